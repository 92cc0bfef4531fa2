"""Migrate the schema with Alembic: one branch for the core and one for each plugin.

A SQLite file is copied before it is changed, so that the copy can be restored.
"""

import asyncio
import sqlite3
import stat
import sys
from collections.abc import Collection, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.errors import StorageError
from gateway.storage.database import Database
from gateway.storage.maintenance.locks import MIGRATION_LOCK, create_privately
from gateway.storage.maintenance.revisions import heads_in
from gateway.storage.plugin_tables import PluginTables
from gateway.storage.schema import metadata

if TYPE_CHECKING:  # the import takes a tenth of a second, and most commands never need it
    from alembic.script import ScriptDirectory

_CORE: Final = "core"
_VERSIONS: Final = "alembic_version"
_SQLITE_COLUMNS: Final = text(
    "SELECT tables.name, columns.name FROM sqlite_master AS tables "
    "JOIN pragma_table_xinfo(tables.name) AS columns WHERE tables.type = 'table'"
)
_MIGRATIONS: Final = Path(__file__).parents[1] / "migrations"


class Migrated(NamedTuple):
    """The result of a migration: revisions applied, and the copy made before, if any."""

    revisions: Sequence[str]
    backup: Path | None


async def migrate(
    database: Database, tables: Sequence[PluginTables], backups: Path, now: datetime
) -> Migrated:
    """Bring the schema to this version; does nothing when it is up to date.

    Safe to call from several processes at once: one migrates, the others wait.
    """
    if database.path is not None:
        create_privately(database.path)
    if not await _is_behind(database, tables):
        return Migrated((), None)
    scripts = _scripts(tables)
    backup = None
    try:
        async with database.begin() as connection:
            await _take_turn(connection)
            # Read again: the process that held the lock before may have migrated.
            current = await connection.run_sync(_current)
            missing = _missing(scripts, current)
            if missing and current and database.path is not None:
                backup = await asyncio.to_thread(_copy, database.path, backups, now)
            if missing:
                await connection.run_sync(_upgrade, scripts)
    except (SQLAlchemyError, sqlite3.Error) as error:
        kept = "" if backup is None else f" The database as it was is in {backup.name}."
        raise StorageError(
            f"The schema could not be brought up to date ({type(error).__name__}).{kept}"
        ) from error
    return Migrated(sorted(missing), backup)


def open_to_others(path: Path) -> list[Path]:
    """Return a SQLite file, its companions and its folder as far as other users can access them.

    That is: files that they can read or write in a folder that they can enter, and a folder in
    which they can replace files. Always empty on Windows, which has no file modes.
    """
    if sys.platform == "win32" or not path.parent.exists():
        return []
    folder = path.parent.stat().st_mode
    found = [path.parent] if folder & 0o022 and not folder & stat.S_ISVTX else []
    if folder & 0o011:
        companions = [path.with_name(path.name + suffix) for suffix in ("", "-wal", "-shm")]
        found += [each for each in companions if each.exists() and each.stat().st_mode & 0o077]
    return found


async def pending(database: Database, tables: Sequence[PluginTables]) -> bool:
    """Return whether the schema is older than this version's."""
    if database.path is not None and not database.path.exists():
        return True
    return await _is_behind(database, tables)


async def _is_behind(database: Database, tables: Sequence[PluginTables]) -> bool:
    """Return whether revisions are to be applied; uses Alembic only in doubtful cases."""
    async with database.read() as connection:
        current = await connection.run_sync(_current)
    heads = heads_in(_places(tables))
    if heads and heads <= current:
        return False
    return bool(_missing(_scripts(tables), current))


async def refuse_pending(database: Database, tables: Sequence[PluginTables]) -> None:
    """Raise ``StorageError`` when there is no database yet, or one of an earlier version."""
    if database.path is not None and not database.path.exists():
        raise StorageError(
            f"There is no database yet at {database.path}: gateway serve creates it."
        )
    if await pending(database, tables):
        raise StorageError(
            "The database is new, or of an earlier version, and this command changes nothing: "
            "gateway serve brings it up to date when it starts (or gateway migrate does)."
        )


async def refuse_missing_columns(database: Database, tables: Sequence[PluginTables]) -> None:
    """Raise ``StorageError`` when the database lacks tables or columns that this version needs.

    Its revisions may be right nevertheless: another build had other migrations with these names.
    """
    async with database.read() as connection:
        found = await connection.run_sync(_columns)
    missing = [
        f"{table.name}.{column.name}"
        for source in (metadata, *(each.metadata for each in tables))
        for table in source.sorted_tables
        for column in table.columns
        if column.name not in found.get(str(table.name), ())
    ]
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""  # noqa: PLR2004
        raise StorageError(
            f"The database lacks {', '.join(missing[:3])}{more}, although its migrations are done: "
            "it was made by another build. Install that one, back up with it, and restore here."
        )


def _columns(connection: Connection) -> dict[str, set[str]]:
    if connection.dialect.name == "sqlite":  # each start asks, and SQLAlchemy reads table by table
        names: dict[str, set[str]] = {}
        for table, column in connection.execute(_SQLITE_COLUMNS):
            names.setdefault(table, set()).add(column)
        return names
    found = inspect(connection).get_multi_columns()
    return {name: {column["name"] for column in columns} for (_, name), columns in found.items()}


async def heads_of(connection: AsyncConnection) -> set[str]:
    """Return the revisions that a database is at, with those of disabled plugins."""
    return await connection.run_sync(_current)


def known_revisions(tables: Sequence[PluginTables]) -> set[str]:
    """Return every revision that this version and its plugins can bring a database to."""
    return {script.revision for script in _scripts(tables).walk_revisions()}


async def upgrade(
    connection: AsyncConnection,
    tables: Sequence[PluginTables],
    heads: Collection[str] | None = None,
) -> None:
    """Bring the schema to ``heads``, or to this version's, within a transaction.

    Until that ends, other processes that migrate wait.
    """
    await _take_turn(connection)
    to = "heads" if heads is None else tuple(heads)
    await connection.run_sync(_upgrade, _scripts(tables), to)


async def _take_turn(connection: AsyncConnection) -> None:
    if connection.dialect.name == "postgresql":  # on SQLite, writers take turns anyway
        await connection.execute(
            text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK}
        )


def _scripts(tables: Sequence[PluginTables]) -> "ScriptDirectory":
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.set_main_option("path_separator", "newline")
    places = map(str, _places(tables))
    config.set_main_option("version_locations", "\n".join(places))
    return ScriptDirectory.from_config(config)


def _places(tables: Sequence[PluginTables]) -> list[Path]:
    return [_MIGRATIONS / "versions", *(each.migrations for each in tables)]


def _missing(scripts: "ScriptDirectory", current: set[str]) -> set[str]:
    """Return the revisions to apply. Those of disabled plugins stay as they are."""
    core = {script.revision for script in scripts.walk_revisions("base", f"{_CORE}@head")}
    if current and not current & core:
        raise StorageError(
            "The database was brought up to date by a newer version: install that one again, "
            "or put back the copy that it made before."
        )
    return set(scripts.get_heads()) - current


def _current(connection: Connection) -> set[str]:
    if not inspect(connection).has_table(_VERSIONS):
        return set()
    return set(connection.execute(text(f"SELECT version_num FROM {_VERSIONS}")).scalars())  # noqa: S608 - a name of Alembic's


def _upgrade(
    connection: Connection, scripts: "ScriptDirectory", to: str | tuple[str, ...] = "heads"
) -> None:
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext

    known = {script.revision for script in scripts.walk_revisions()}

    def steps(current: Collection[str], _context: Any) -> Any:
        # As alembic.command.upgrade does, which refuses a revision without a script; Alembic has no
        # public name for this, and passes all heads where the annotation says one.
        here: Any = tuple(each for each in current if each in known)
        there: Any = to
        return scripts._upgrade_revs(there, here)  # noqa: SLF001

    config = Config(attributes={"connection": connection})
    with EnvironmentContext(config, scripts, fn=steps):
        scripts.run_env()


def _copy(path: Path, backups: Path, now: datetime) -> Path:
    """Copy a SQLite file in use, with SQLite's own online backup."""
    backups.mkdir(parents=True, exist_ok=True, mode=0o700)
    target = backups / f"{path.stem}-{now:%Y%m%dT%H%M%SZ}-before-migration.db"
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(target)) as copy:
        source.backup(copy)
    return target
