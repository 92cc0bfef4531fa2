"""Restore a backup completely, or change nothing.

The whole file is checked before anything is changed. Then the schema is brought to the
backup's revision, the rows are inserted, and the schema is migrated to this version. On
PostgreSQL all of that is one transaction. On SQLite it happens in a new file, which then
replaces the content of the database, in one transaction too.
"""

import sqlite3
import tempfile
from collections.abc import Collection, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import (
    Connection,
    Integer,
    MetaData,
    Table,
    delete,
    insert,
    inspect,
    select,
    text,
    update,
)
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import to_epoch_ms
from gateway.errors import ConfigurationError, Conflict, StorageError
from gateway.model.account import DEFAULT_ACCOUNT
from gateway.model.audit import AuditEntry
from gateway.storage.backup.format import BackupReader, Manifest, Progress, column_value, verify
from gateway.storage.backup.write import saved_tables
from gateway.storage.crypto.encryption import Sealer
from gateway.storage.crypto.key_binding import KeyBinder, bind_earlier_keys
from gateway.storage.crypto.keyring import Keyring
from gateway.storage.database import Database
from gateway.storage.maintenance.locks import exclusive_connection, refuse_other_processes
from gateway.storage.maintenance.migrate import heads_of, known_revisions, upgrade
from gateway.storage.plugin_tables import PluginTables
from gateway.storage.schema import (
    deliveries,
    drafts,
    files,
    invitations,
    owner_codes,
    sessions,
    sign_in_counts,
)
from gateway.storage.stores import audit_chain
from gateway.storage.stores.accounts import AccountStore
from gateway.storage.stores.audit_chain import Head

# A gateway that only started once has rows in these tables; they can be replaced.
_BOOKKEEPING: Final = frozenset({"facts", "accounts", "sites", "alembic_version", "owner_codes"})
# Rows that a restore must leave out: they may have been ended, used or revoked since.
_ENDED: Final = (sessions, drafts, invitations, owner_codes, sign_in_counts)


@dataclass(frozen=True, slots=True)
class Restore:
    """A restore: the file, its keyring, the plugins whose tables it may contain.

    ``actor`` and ``now`` are for the audit trail.
    """

    source: Path
    keyring: Keyring
    plugins: Sequence[PluginTables]
    actor: str
    now: datetime
    on_progress: Progress = lambda _table, _done, _of: None

    async def into(self, url: str, *, force: bool = False) -> Manifest:
        """Restore into the database at ``url``; returns the manifest.

        Raises ``Conflict`` while another process uses the database, and for a database with data,
        unless ``force`` replaces it.
        """
        manifest = self.check()
        database = Database(url)
        try:
            if database.path is None:
                await self._into_postgresql(database, manifest, force=force)
            else:
                await self._into_sqlite(database.path, manifest, force=force)
        except (OSError, sqlite3.Error, SQLAlchemyError) as error:
            raise StorageError(
                f"The backup could not be restored ({type(error).__name__}), and nothing was "
                "changed: see that the database can be written, and that there is room."
            ) from error
        finally:
            await database.close()
        return manifest

    def check(self) -> Manifest:
        """Check every part of the file, and that this gateway has all its revisions."""
        try:
            manifest = verify(self.source, self.keyring)
        except OSError as error:
            reason = (error.strerror or "it can't be opened").lower()
            raise StorageError(f"{self.source} can't be read: {reason}.") from error
        unknown = set(manifest.heads) - known_revisions(self.plugins)
        if unknown:
            raise ConfigurationError(
                f"The backup was made by version {manifest.version} with parts that are not here "
                f"({', '.join(sorted(unknown))}): install that version, enable the same plugins."
            )
        return manifest

    async def _into_sqlite(self, path: Path, manifest: Manifest, *, force: bool) -> None:
        with exclusive_connection(path) as held:
            if not force:
                _refuse(_filled_in_sqlite(held))
            with tempfile.TemporaryDirectory(prefix=".gateway-restore-", dir=path.parent) as name:
                fresh = Path(name) / "fresh.db"
                built = Database(f"sqlite+aiosqlite:///{fresh.as_posix()}")
                try:
                    async with built.begin() as connection:
                        await self._fill(connection, manifest, _head_in_sqlite(held))
                finally:
                    await built.close()
                with closing(sqlite3.connect(fresh)) as made:
                    made.backup(held)

    async def _into_postgresql(
        self, database: Database, manifest: Manifest, *, force: bool
    ) -> None:
        async with database.begin() as connection:
            await refuse_other_processes(connection)
            strangers = await heads_of(connection) - known_revisions(self.plugins)
            if strangers:
                raise Conflict(
                    "The database has tables of a plugin that is not enabled, or of a newer "
                    f"version ({', '.join(sorted(strangers))}): name an empty database."
                )
            ours = {table.name for table in saved_tables(self.plugins)} | _BOOKKEEPING
            old = await _reflected(connection, ours)
            if not force:
                _refuse([table.name for table in old if await _has_rows(connection, table)])
            before = None
            if any(table.name == "audit" for table in old):
                before = await audit_chain.read_head(connection)
            await connection.run_sync(_drop, old)
            await self._fill(connection, manifest, before)

    async def _fill(
        self, connection: AsyncConnection, manifest: Manifest, before: Head | None
    ) -> None:
        await upgrade(connection, self.plugins, manifest.heads)
        names = {saved.name for saved in manifest.tables}
        tables = {table.name: table for table in await _reflected(connection, names)}
        for saved in manifest.tables:
            if saved.name not in tables or set(saved.columns) - {*tables[saved.name].c.keys()}:
                raise StorageError(
                    f"The backup's table {saved.name} doesn't fit: it was made by a version of the "
                    "same number that had other tables; restore it with that one."
                )
        for saved in reversed(manifest.tables):
            await connection.execute(delete(tables[saved.name]))  # rows that a migration inserted
        await self._insert(connection, manifest, tables)
        if connection.dialect.name == "postgresql":
            for table in tables.values():
                await _advance_sequences(connection, table)
        await upgrade(connection, self.plugins)
        # The backup is authentic, so its keys from before bindings existed get one.
        await bind_earlier_keys(connection, AccountStore(), KeyBinder(self.keyring))
        # The processes that held these leases are gone: the deliveries are due at once.
        await connection.execute(
            update(deliveries)
            .where(deliveries.c.state == "pending", deliveries.c.lease.is_not(None))
            .values(due_at_ms=to_epoch_ms(self.now), lease=None)
        )
        for table in _ENDED:
            await connection.execute(delete(table))
        # Links that were revoked after the backup must not open again.
        await connection.execute(update(files).values(links_after_ms=to_epoch_ms(self.now)))
        await self._note(connection, before)

    async def _note(self, connection: AsyncConnection, before: Head | None) -> None:
        """Audit the restore with both heads: of the backup and of the replaced database."""
        restored = await audit_chain.read_head(connection)
        detail = f"head of the backup {restored or 'none'}, head before it {before or 'none'}"
        entry = AuditEntry(
            DEFAULT_ACCOUNT,
            self.actor,
            "backup.restored",
            self.source.name,
            via="cli",
            detail=detail,
        )
        await audit_chain.append(connection, Sealer(self.keyring), [entry], self.now)

    async def _insert(
        self, connection: AsyncConnection, manifest: Manifest, tables: dict[str, Table]
    ) -> None:
        done = dict.fromkeys(tables, 0)
        with self.source.open("rb") as file:
            reader = BackupReader(file, self.keyring)
            if reader.manifest != manifest:
                raise StorageError(
                    "The backup was replaced while it was read; nothing was changed."
                )
            for saved, rows in reader.rows():
                table = tables[saved.name]
                columns = [table.c[name] for name in saved.columns]
                await connection.execute(
                    insert(table),
                    [
                        {
                            column.key: column_value(value, column)
                            for column, value in zip(columns, row, strict=True)
                        }
                        for row in rows
                    ],
                )
                done[saved.name] += len(rows)
                self.on_progress(saved.name, done[saved.name], saved.rows)


def _refuse(filled: Sequence[str]) -> None:
    missed = sorted(set(filled) - _BOOKKEEPING)
    if missed:
        raise Conflict(
            f"The database holds data already (in {', '.join(missed)}): name an empty one, or use "
            "--force to replace all of it."
        )


def _head_in_sqlite(connection: sqlite3.Connection) -> Head | None:
    if "audit" not in _filled_in_sqlite(connection):
        return None
    query = "SELECT sequence, digest FROM audit ORDER BY sequence DESC LIMIT 1"
    return Head(*connection.execute(query).fetchone())


def _filled_in_sqlite(connection: sqlite3.Connection) -> list[str]:
    names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    return [
        name
        for (name,) in names
        if not name.startswith("sqlite_")
        and connection.execute(f'SELECT 1 FROM "{name}" LIMIT 1').fetchone()  # noqa: S608 - its own
    ]


async def _has_rows(connection: AsyncConnection, table: Table) -> bool:
    found = await connection.execute(select(text("1")).select_from(table).limit(1))
    return found.first() is not None


async def _reflected(connection: AsyncConnection, names: Collection[str]) -> list[Table]:
    """Return the existing ones of the tables, as the database defines them, parents first."""

    def look(plain: Connection) -> list[Table]:
        there = MetaData()
        there.reflect(plain, only=sorted({*inspect(plain).get_table_names()} & {*names}))
        return list(there.sorted_tables)

    return await connection.run_sync(look)


def _drop(connection: Connection, tables: Sequence[Table]) -> None:
    for table in reversed(tables):
        table.drop(connection)


async def _advance_sequences(connection: AsyncConnection, table: Table) -> None:
    """Set PostgreSQL's sequences to the highest inserted number."""
    name = connection.dialect.identifier_preparer.format_table(table)
    for column in table.primary_key:
        if isinstance(column.type, Integer):
            quoted: Any = connection.dialect.identifier_preparer.format_column(column)
            await connection.execute(
                text(
                    f"SELECT setval(pg_get_serial_sequence('{name}', '{column.name}'), "  # noqa: S608 - names of our own
                    f"coalesce(max({quoted}), 1), max({quoted}) IS NOT NULL) FROM {name}"
                )
            )
