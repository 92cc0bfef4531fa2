"""The names of a plugin's migrations and tables begin with the plugin's name.

Alembic keeps the revisions of all plugins in one list, and a database has one namespace of tables.
Two plugins' revisions ``0001`` would be the same one to Alembic: the tables of the second plugin
would silently be left out.
"""

import ast
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from gateway.errors import PluginError
from gateway.storage.plugin_tables import PluginTables
from gateway.storage.schema import metadata as core_tables

# "revision: str = …", as Alembic's own template writes it, and "revision = …".
_STATED: Final = re.compile(
    r"^(revision|down_revision|branch_labels)\b[^=\n]*=\s*([^#\n]+)", re.MULTILINE
)

Brought = Sequence[tuple[str, PluginTables]]
"""Tables, with the name of their plugin."""


class Revision(NamedTuple):
    """One migration script; ``labels`` are its branch labels."""

    id: str
    down: Any
    labels: tuple[str, ...]
    file: Path

    @property
    def place(self) -> str:
        """Its file, as messages name it."""
        return f"{self.file.parent.name}/{self.file.name}"


def revisions_in(folder: Path) -> list[Revision]:
    """Read the revisions of a folder without running them, by file name."""
    found = []
    for file in sorted(folder.glob("*.py")):
        stated = {name: _value(text) for name, text in _STATED.findall(file.read_text("utf-8"))}
        labels = stated.get("branch_labels") or ()
        labels = (labels,) if isinstance(labels, str) else tuple(labels)
        if isinstance(stated.get("revision"), str):
            found.append(Revision(stated["revision"], stated.get("down_revision"), labels, file))
    return found


def refuse_clashes(brought: Brought) -> None:
    """Raise ``PluginError`` for a revision or a table that two plugins have."""
    revisions: dict[str, tuple[str, Revision]] = {}
    tables: dict[str, str] = {}
    for plugin, each in brought:
        for revision in revisions_in(each.migrations):
            other, first = revisions.setdefault(revision.id, (plugin, revision))
            if first.file != revision.file:
                raise PluginError(
                    f"plugin {other} ({first.place}) and plugin {plugin} ({revision.place}) both "
                    f"bring the migration {revision.id}, so one of them would never run: begin "
                    f"each with its plugin's name, as in {plugin}_0001"
                )
        for name in each.metadata.tables:
            if name in core_tables.tables:
                raise PluginError(
                    f"plugin {plugin} brings the table {name}, which is one of the core's: begin "
                    f"it with the plugin's name, as in {plugin}_{name}"
                )
            owner = tables.setdefault(name, plugin)
            if owner != plugin:
                raise PluginError(
                    f"plugin {owner} and plugin {plugin} both bring the table {name}: begin each "
                    f"with its plugin's name, as in {plugin}_{name}"
                )


def refuse_unprefixed(brought: Brought) -> None:
    """Raise ``PluginError`` for a revision or table that doesn't begin with its plugin's name."""
    for plugin, each in brought:
        for fault in name_faults(plugin, each):
            raise PluginError(f"plugin {plugin}: {fault}")


def name_faults(plugin: str, tables: PluginTables) -> Iterator[str]:
    """Yield the faults in the names of a plugin's migrations and tables."""
    prefix = f"{plugin}_"
    for revision in revisions_in(tables.migrations):
        if not revision.id.startswith(prefix):
            yield (
                f"the migration {revision.id} ({revision.place}) doesn't begin with the plugin's "
                f"name: call it {prefix}{revision.id}"
            )
        if revision.down is None and plugin not in revision.labels:
            yield (
                f"the first migration {revision.id} ({revision.place}) doesn't name the plugin: "
                f'write branch_labels = ("{plugin}",)'
            )
    own = tables.prefix or prefix
    if not plugin.startswith(own.rstrip("_")):
        yield f"the prefix {own} of its tables is no beginning of the plugin's name"
    for name in tables.metadata.tables:
        if not name.startswith(own):
            yield f"the table {name} doesn't begin with {own}: call it {own}{name}"


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError):
        return None
