"""Write a plugin's package from templates; its tests pass at once.

A kind is a folder of templates: the core's are in ``gateway/scaffold``, those of a plugin that has
extension points in the folder ``scaffold`` of its package. ``common`` belongs to every kind,
``tables`` to those with tables. In file names ``PACKAGE`` and ``NAME`` stand for the plugin's, and
``dot_`` for a dot; ``.jinja`` is taken off.
"""

import keyword
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from gateway.errors import Conflict, InvalidInput
from gateway.hookspecs import API_VERSION
from gateway.installed_plugins.discovery import installed_plugins
from gateway.settings import Settings
from gateway.version import __version__

_CORE: Final = Path(__file__).parents[1] / "scaffold"
_SUFFIX: Final = ".jinja"
_FACTS: Final = "scaffold.toml"
_NAME: Final = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_LONGEST_NAME: Final = 40


class Names(NamedTuple):
    """A plugin's name in the forms that its package needs."""

    name: str

    @property
    def package(self) -> str:
        """The Python package: ``gateway_acme_erp``."""
        return f"gateway_{self.name}"

    @property
    def distribution(self) -> str:
        """The distribution, and the folder that it is written to: ``gateway-acme-erp``."""
        return self.package.replace("_", "-")

    @property
    def title(self) -> str:
        """The name for people: ``Acme Erp``."""
        return self.name.replace("_", " ").title()

    def values(self) -> dict[str, Any]:
        """Return what templates may use."""
        return {
            "name": self.name,
            "package": self.package,
            "distribution": self.distribution,
            "title": self.title,
            "class_name": self.title.replace(" ", ""),
            "header": self.title.replace(" ", "-"),
            "route": self.name.replace("_", "-"),
            "api_version": API_VERSION,
            "gateway_version": __version__,
        }


def kinds() -> dict[str, Path]:
    """Return the folder of each kind, the core's first."""
    folders = [_CORE]
    folders += [
        each.settings_file.parent / "scaffold"
        for each in installed_plugins(Settings())
        if each.settings_file is not None
    ]
    return {
        kind.name: kind
        for folder in folders
        if folder.is_dir()
        for kind in sorted(folder.iterdir())
        if (kind / _FACTS).is_file()
    }


def names_of(text: str) -> Names:
    """Return the forms of a plugin's name; ``acme-erp`` is ``acme_erp``.

    Raises ``InvalidInput`` for an invalid name, ``Conflict`` for that of an installed plugin.
    """
    name = text.strip().lower().replace("-", "_").removeprefix("gateway_")
    if not _NAME.fullmatch(name) or len(name) > _LONGEST_NAME or keyword.iskeyword(name):
        raise InvalidInput(
            "A plugin's name has small letters, digits and single underscores, begins with a "
            f"letter and has at most {_LONGEST_NAME} characters: acme_erp."
        )
    if name in {each.name for each in installed_plugins(Settings())}:
        raise Conflict(f"A plugin {name} is installed already: choose another name.")
    return Names(name)


def write_plugin(names: Names, kind: Path, folder: Path, *, tables: bool = False) -> list[Path]:
    """Write the package of a kind into ``folder``; returns the files that it wrote.

    Raises ``Conflict`` for a folder that isn't empty: no file is overwritten.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Conflict(f"{folder} isn't empty: choose another folder with --dir.")
    values = names.values() | {"tables": tables} | _facts(kind, names)
    written = []
    for source, path in _templates(names, [_CORE / "common", kind, *([_CORE / "tables"] * tables)]):
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(_rendered(source, values), encoding="utf-8", newline="\n")
        written.append(target)
    return written


def _facts(kind: Path, names: Names) -> dict[str, Any]:
    read = tomllib.loads((kind / _FACTS).read_text("utf-8"))
    values: Mapping[str, str] = names.values()
    return {
        "description": read["description"].format_map(values),
        "configuration": read["configuration"].format_map(values).strip(),
        "files": [
            (file.format_map(values), text.format_map(values))
            for file, text in read["files"].items()
        ],
    }


def _templates(names: Names, folders: list[Path]) -> Iterator[tuple[Path, Path]]:
    for folder in folders:
        for source in sorted(folder.rglob(f"*{_SUFFIX}")):
            text = source.relative_to(folder).as_posix().removesuffix(_SUFFIX)
            text = text.replace("PACKAGE", names.package).replace("NAME", names.name)
            yield source, Path(text.replace("dot_", "."))


def _rendered(source: Path, values: Mapping[str, Any]) -> str:
    from jinja2 import Environment, StrictUndefined

    # No escaping: the templates are Python, TOML and Markdown, and their values are checked names.
    environment = Environment(  # noqa: S701
        undefined=StrictUndefined, keep_trailing_newline=True, lstrip_blocks=True
    )
    text = environment.from_string(source.read_text("utf-8")).render(values).rstrip("\n")
    return f"{text}\n" if text else ""
