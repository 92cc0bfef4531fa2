"""Write a database to a file while the gateway runs: a consistent snapshot of every row.

SQLite is copied first, with its own online backup, which is fast and blocks no writer; PostgreSQL
is read in one repeatable-read transaction. The master key is not in the file: the file is
unreadable without it, and readable by anyone who has both.
"""

import asyncio
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Final

from sqlalchemy import Select, Table, func, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.errors import Conflict, StorageError
from gateway.storage.backup.format import BackupWriter, Manifest, Progress, SavedTable
from gateway.storage.crypto.keyring import Keyring, flush_names_to_disk, flush_to_disk
from gateway.storage.database import Database
from gateway.storage.maintenance.migrate import heads_of, known_revisions
from gateway.storage.plugin_tables import PluginTables
from gateway.storage.schema import file_chunks, metadata
from gateway.storage.stores.audit_chain import read_head
from gateway.version import __version__, build_id

_ROWS_AT_ONCE: Final = 500
_LARGE_ROWS_AT_ONCE: Final = 32


def saved_tables(plugins: Sequence[PluginTables]) -> list[Table]:
    """Return the tables that a backup holds: the core's, then the plugins', parents first."""
    return [
        table
        for source in (metadata, *(each.metadata for each in plugins))
        for table in source.sorted_tables
    ]


async def write_backup(
    database: Database,
    plugins: Sequence[PluginTables],
    keyring: Keyring,
    target: Path,
    now: datetime,
    on_progress: Progress = lambda _table, _done, _of: None,
    *,
    configuration: str | None = None,
) -> Manifest:
    """Write every row to ``target``, which must not exist; readable by its owner only.

    ``configuration`` is the text of gateway.toml, without secrets, that is kept with them. The file
    appears only when it is complete, and is on disk when this returns.
    """
    tables, known = saved_tables(plugins), known_revisions(plugins)
    try:
        with _atomic_file(target) as (file, folder):
            async with _snapshot(database, folder) as connection:
                heads = await heads_of(connection)
                manifest = Manifest(
                    version=f"{__version__}+{build_id()}",
                    created_at=now,
                    dialect=database.dialect,
                    heads=tuple(sorted(heads & known)),
                    keyring=keyring.fingerprint(),
                    tables=tuple([await _announced(connection, table) for table in tables]),
                    left_out=tuple(sorted(heads - known)),
                    configuration=configuration,
                    audit_head=None if (head := await read_head(connection)) is None else str(head),
                )
                writer = BackupWriter(file, keyring, manifest)
                for place, table in enumerate(tables):
                    saved = manifest.tables[place]
                    await _write(connection, writer, place, table, saved, on_progress)
                writer.finish()
    except (OSError, sqlite3.Error, SQLAlchemyError) as error:
        raise StorageError(
            f"The backup could not be written ({type(error).__name__}): see that the database can "
            f"be read, and that there is room in {target.parent} for twice its size."
        ) from error
    return manifest


@contextmanager
def _atomic_file(target: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """Open a new file that becomes ``target`` at the end, in a private folder.

    The folder is beside the target, on the disk that needs the space anyway.
    """
    if target.exists():
        raise Conflict(f"{target} is there already: name another file.")
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".gateway-backup-", dir=target.parent) as name:
        folder = Path(name)
        part = folder / "part"
        with part.open("xb") as file:
            part.chmod(0o600)
            yield file, folder
            file.flush()
            flush_to_disk(file.fileno())
        part.rename(target)
    flush_names_to_disk(target.parent)


@asynccontextmanager
async def _snapshot(database: Database, folder: Path) -> AsyncIterator[AsyncConnection]:
    """Open a connection with a consistent snapshot."""
    if database.path is None:
        async with database.read() as connection:
            await connection.execute(
                text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            )
            yield connection
        return
    copy = folder / "copy.db"
    await asyncio.to_thread(_copy, database.path, copy)
    copied = Database(f"sqlite+aiosqlite:///{copy.as_posix()}")
    try:
        async with copied.read() as connection:
            yield connection
    finally:
        await copied.close()


def _copy(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as opened, closing(sqlite3.connect(target)) as copy:
        opened.backup(copy)  # in one step, so that concurrent writes don't restart it


async def _announced(connection: AsyncConnection, table: Table) -> SavedTable:
    count = await connection.execute(select(func.count()).select_from(table))
    columns = tuple(str(column.name) for column in _all_rows(table).selected_columns)
    return SavedTable(str(table.name), columns, int(count.scalar_one()))


async def _write(
    connection: AsyncConnection,
    writer: BackupWriter,
    place: int,
    table: Table,
    saved: SavedTable,
    on_progress: Progress,
) -> None:
    done = 0
    at_once = _LARGE_ROWS_AT_ONCE if table is file_chunks else _ROWS_AT_ONCE
    # Without this limit, the driver reads far ahead of the writer.
    query = _all_rows(table).execution_options(yield_per=at_once)
    async with connection.stream(query) as found:
        async for rows in found.partitions(at_once):
            writer.rows(place, rows)
            done += len(rows)
            on_progress(saved.name, done, saved.rows)


def _all_rows(table: Table) -> Select[Any]:
    stored = [column for column in table.columns if column.computed is None]
    return select(*stored).order_by(*table.primary_key)
