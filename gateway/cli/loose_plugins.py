"""Loose plugins: a ``.py`` file with a plugin class, found without being installed.

Only a distribution's metadata makes a class a plugin. So this module writes metadata for them into
a folder of the caller; with that folder on the path they are found like installed plugins.
"""

import ast
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from gateway.errors import GatewayError

_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")
_DISTRIBUTION: Final = "loose_plugins"


def loose_plugins(folder: Path) -> dict[str, str]:
    """Return the plugin classes in a folder's files, ``module:Class`` by plugin name.

    A plugin has the name of its file. A file without a class that sets ``api_version`` is left out;
    one that Python can't read raises ``GatewayError``, with its line.
    """
    found = {}
    for file in sorted(folder.glob("*.py")):
        try:
            tree = ast.parse(file.read_text("utf-8"))
        except (SyntaxError, ValueError) as error:
            line = getattr(error, "lineno", None) or 1
            raise GatewayError(f"{file.name}:{line} is no Python: correct it first.") from error
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and _sets_version(node):
                if not _NAME.fullmatch(file.stem):
                    raise GatewayError(
                        f"{file.name} can't name a plugin: use small letters, digits and _."
                    )
                found[file.stem] = f"{file.stem}:{node.name}"
                break
    return found


def write_distribution(site: Path, plugins: Mapping[str, str]) -> None:
    """Write the metadata by which ``plugins`` are found when ``site`` is on the path."""
    info = site / f"{_DISTRIBUTION}-0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {_DISTRIBUTION.replace('_', '-')}\nVersion: 0\n", "utf-8"
    )
    lines = "".join(f"{name} = {value}\n" for name, value in plugins.items())
    (info / "entry_points.txt").write_text(f"[gateway.plugins]\n{lines}", "utf-8")


def _sets_version(node: ast.ClassDef) -> bool:
    return any(
        isinstance(each, ast.Assign)
        and any(isinstance(name, ast.Name) and name.id == "api_version" for name in each.targets)
        for each in node.body
    )
