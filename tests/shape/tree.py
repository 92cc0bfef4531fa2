"""What the shape tests look at: the files of this project, and its Python as syntax trees."""

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, Self

ROOT: Final = Path(__file__).parents[2]
PLUGIN_FOLDERS: Final = sorted(each for each in (ROOT / "plugins").iterdir() if each.is_dir())
PLUGIN_PACKAGES: Final = [f"gateway_{folder.name}" for folder in PLUGIN_FOLDERS]
# Without git (a downloaded archive), what git would leave out.
LEFT_OUT: Final = {"__pycache__", "build", "data", "dist"}


@cache
def project_files() -> tuple[Path, ...]:
    """Return every file that belongs to the project, the new ones too."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=False,
        text=True,
    )
    if listed.returncode == 0:
        found = [ROOT / name for name in listed.stdout.split("\0") if name]
    else:
        found = [path for path in ROOT.rglob("*") if _belongs(path.relative_to(ROOT))]
    return tuple(sorted(path for path in found if path.is_file()))


def _belongs(path: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.parts[:-1])
    return path.parts[0] == ".ci" or not (hidden or LEFT_OUT & set(path.parts[:1]))


def named(path: Path) -> str:
    """Return how the project calls a file: its path from the root, with slashes."""
    return path.relative_to(ROOT).as_posix()


@dataclass(frozen=True)
class Module:
    """A Python file: its path from the root, its text and its syntax tree."""

    name: str
    text: str
    tree: ast.Module

    @classmethod
    def of(cls, text: str, name: str = "gateway/example.py") -> Self:
        """Read a module from its text."""
        return cls(name, text, ast.parse(text))

    def at(self, node: ast.stmt | ast.expr, what: str) -> str:
        """Say where something is, as editors and people find it."""
        return f"{self.name}:{node.lineno}: {what}"


@cache
def modules(*folders: str) -> tuple[Module, ...]:
    """Return the project's modules, or those in some of its folders."""
    return tuple(
        Module.of(path.read_text("utf-8"), named(path))
        for path in project_files()
        if path.suffix == ".py" and (not folders or path.relative_to(ROOT).parts[0] in folders)
    )


def dotted_names(module: Module) -> Iterator[tuple[ast.expr, str]]:
    """Yield every name that a module reads, in full: ``dt.now`` is ``datetime.datetime.now``."""
    imported: dict[str, str] = {}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            for each in node.names:
                root = each.name.partition(".")[0]
                imported[each.asname or root] = each.name if each.asname else root
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for each in node.names:
                imported[each.asname or each.name] = f"{node.module}.{each.name}"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Name | ast.Attribute):
            first, _, rest = ast.unparse(node).partition(".")
            full = imported.get(first, first)
            yield node, f"{full}.{rest}" if rest else full


def imported_modules(module: Module) -> Iterator[tuple[ast.stmt, str]]:
    """Yield every module that a module imports, at any depth; ``from a import b`` is ``a``."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            for each in node.names:
                yield node, each.name
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node, node.module or ""
