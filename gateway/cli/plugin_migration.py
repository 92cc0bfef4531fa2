"""Write a plugin's next migration from the difference between its tables and its migrations."""

import asyncio
import re
import textwrap
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from sqlalchemy import Connection, MetaData

from gateway.clock import SystemClock
from gateway.errors import Conflict, InvalidInput
from gateway.storage.database import Database
from gateway.storage.maintenance.migrate import migrate
from gateway.storage.plugin_migrations import Revision, revisions_in
from gateway.storage.plugin_tables import PluginTables
from gateway.storage.schema.columns import limit_on_postgresql

_NUMBER: Final = re.compile(r"_(\d{1,6})$")
_PLAIN: Final = re.compile(r"[^\x00-\x1f\"\\]{1,100}")
_TEMPLATE: Final = '''"""{what}."""

import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = {down}
branch_labels = {labels}
depends_on = None


def upgrade() -> None:
    """{what}."""
{body}
'''


def write_migration(plugin: str, tables: PluginTables, what: str) -> Path:
    """Write the next migration of ``plugin``, and return its file.

    ``what`` describes it in a few words. Raises ``Conflict`` when there is no difference, and
    ``InvalidInput`` for a text that can't be a docstring.
    """
    if not _PLAIN.fullmatch(what):
        raise InvalidInput("Say in one line of 1 to 100 characters what the migration does.")
    last = _last(revisions_in(tables.migrations))
    body = asyncio.run(_difference(tables))  # in a thread without a loop, as Alembic requires
    if not body:
        raise Conflict("The tables are what the migrations make: there is nothing to write.")
    number = 1 if last is None else int(_NUMBER.findall(last.id)[0]) + 1
    revision = f"{plugin}_{number:04}"
    text = _TEMPLATE.format(
        what=what.strip().rstrip("."),
        revision=revision,
        down="None" if last is None else f'"{last.id}"',
        labels=f'("{plugin}",)' if last is None else "None",
        body=textwrap.indent(body, "    "),
    )
    tables.migrations.mkdir(parents=True, exist_ok=True)
    file = tables.migrations / f"{revision}.py"
    file.write_text(text, encoding="utf-8", newline="\n")
    return file


def _last(revisions: list[Revision]) -> Revision | None:
    """Return the newest revision: the one without a successor."""
    downs = {each.down for each in revisions}
    heads = [each for each in revisions if each.id not in downs]
    if len(heads) > 1:
        names = " and ".join(each.place for each in heads)
        raise Conflict(f"{names} both go on from the same migration: make one follow the other.")
    if heads and not _NUMBER.search(heads[0].id):
        raise Conflict(f"{heads[0].place} has no number to count on from: call it …_0001.")
    return heads[0] if heads else None


async def _difference(tables: PluginTables) -> str:
    """Return the code that brings the schema of the migrations to ``tables.metadata``."""
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        database = Database(f"sqlite+aiosqlite:///{Path(folder, 'gateway.db').as_posix()}")
        try:
            made = [PluginTables(MetaData(), tables.migrations)]
            await migrate(database, made, Path(folder), SystemClock().now())
            async with database.begin() as connection:
                return await connection.run_sync(_compared, tables.metadata)
        finally:
            await database.close()


def _compared(connection: Connection, metadata: MetaData) -> str:
    from alembic.autogenerate import produce_migrations, render_python_code
    from alembic.migration import MigrationContext

    known = set(metadata.tables)
    for each in metadata.tables.values():  # the migration is for both databases
        limit_on_postgresql(each)

    def is_own(item: Any, name: str | None, kind: str, *_more: Any) -> bool:
        table = name if kind == "table" else getattr(getattr(item, "table", None), "name", None)
        return table in known

    context = MigrationContext.configure(
        connection,
        opts={
            "include_object": is_own,
            "compare_type": True,
            "alembic_module_prefix": "op.",
            "sqlalchemy_module_prefix": "sa.",
        },
    )
    operations = produce_migrations(context, metadata).upgrade_ops
    if operations is None or operations.is_empty():
        return ""
    code = render_python_code(operations)
    lines = [line for line in code.splitlines() if not line.strip().startswith("#")]
    return textwrap.dedent("\n".join(line.rstrip() for line in lines)).strip()
