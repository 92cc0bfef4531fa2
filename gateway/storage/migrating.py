"""Bringing the schema up to date: Alembic, one branch for the core and one a plugin.

A SQLite file is copied aside before it is changed; going back is putting the copy
back.
"""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from gateway.errors import StorageError
from gateway.records import PluginTables
from gateway.storage.database import Database

if TYPE_CHECKING:  # it takes a tenth of a second to import, and most commands never need it
    from alembic.config import Config

_MIGRATIONS: Final = Path(__file__).parent / "migrations"
# Any number will do, as long as nothing else in the database uses it.
_MIGRATION_LOCK: Final = 0x0A0D16


class Migrated(NamedTuple):
    """What was done: revisions applied, and the copy made before, if any."""

    revisions: Sequence[str]
    backup: Path | None


async def migrate(
    database: Database, tables: Sequence[PluginTables], backups: Path, now: datetime
) -> Migrated:
    """Bring the schema to what this version needs; does nothing when it is there already.

    Safe to call from several processes at once: one does it, the others wait.
    """
    from alembic.script import ScriptDirectory

    config = _config(tables)
    scripts = ScriptDirectory.from_config(config)
    heads = set(scripts.get_heads())
    if database.path is not None:
        database.path.parent.mkdir(parents=True, exist_ok=True)
    async with database.read() as connection:
        current = await connection.run_sync(_current)
    if heads <= current:
        return Migrated((), None)
    if unknown := current - {script.revision for script in scripts.walk_revisions()}:
        raise StorageError(
            f"The database was made by a newer version, or by a plugin that is not enabled "
            f"({', '.join(sorted(unknown))}): install that version, or enable that plugin."
        )
    backup = None
    if database.path is not None and current:
        backup = _copy(database.path, backups, now)
    try:
        async with database.begin() as connection:
            if database.dialect == "postgresql":
                await connection.execute(
                    text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK}
                )
            await connection.run_sync(_upgrade, config)
    except SQLAlchemyError as error:
        kept = "" if backup is None else f" The database as it was is in {backup.name}."
        raise StorageError(
            f"The schema could not be brought up to date ({type(error).__name__}).{kept}"
        ) from error
    return Migrated(sorted(heads - current), backup)


async def pending(database: Database, tables: Sequence[PluginTables]) -> bool:
    """Say whether the schema is behind what this version needs."""
    from alembic.script import ScriptDirectory

    heads = set(ScriptDirectory.from_config(_config(tables)).get_heads())
    if database.path is not None and not database.path.exists():
        return True
    async with database.read() as connection:
        return not heads <= await connection.run_sync(_current)


def _config(tables: Sequence[PluginTables]) -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.set_main_option("path_separator", "newline")
    places = [_MIGRATIONS / "versions", *(each.migrations for each in tables)]
    config.set_main_option("version_locations", "\n".join(str(place) for place in places))
    return config


def _current(connection: Connection) -> set[str]:
    from alembic.migration import MigrationContext

    return set(MigrationContext.configure(connection).get_current_heads())


def _upgrade(connection: Connection, config: "Config") -> None:
    from alembic import command

    config.attributes["connection"] = connection
    command.upgrade(config, "heads")


def _copy(path: Path, backups: Path, now: datetime) -> Path:
    """Copy a SQLite file in use, with SQLite's own online backup."""
    backups.mkdir(parents=True, exist_ok=True, mode=0o700)
    target = backups / f"{path.stem}-{now:%Y%m%dT%H%M%SZ}-before-migration.db"
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(target)) as copy:
        source.backup(copy)
    return target
