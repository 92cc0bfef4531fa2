"""The size of the database, and releasing its free space.

SQLite keeps the pages of deleted rows and never shrinks its file by itself. A file created by
this version releases free pages a few at a time (``auto_vacuum=INCREMENTAL``); an older one has
to be rewritten once, which :func:`compact` does. PostgreSQL reuses space by itself.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

from sqlalchemy import Table, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import from_epoch_ms
from gateway.storage.database import Database
from gateway.storage.maintenance.locks import exclusive_connection

_PAGES_AT_ONCE: Final = 1000
_INCREMENTAL: Final = 2
# The first of these that a table has is the age of a row.
_AGE_COLUMNS: Final = ("recorded_at_ms", "started_at_ms", "at_ms", "created_at_ms")


class TableSize(NamedTuple):
    """One table: ``size_bytes`` with its indexes, ``None`` where the database has no figure."""

    table: str
    rows: int
    size_bytes: int | None
    oldest: datetime | None


class Extent(NamedTuple):
    """The whole database. ``free_bytes`` are reused; it shrinks if ``releases_space``."""

    size_bytes: int
    free_bytes: int
    releases_space: bool


async def table_sizes(database: Database, tables: Sequence[Table]) -> list[TableSize]:
    """Return the size of each of ``tables``, the largest first."""
    async with database.read() as connection:
        sizes = await _bytes_of(connection)
        found = [await _size(connection, table, sizes) for table in tables]
    return sorted(found, key=lambda each: (-(each.size_bytes or 0), -each.rows, each.table))


async def extent(database: Database) -> Extent:
    """Return the size of the whole database."""
    async with database.read() as connection:
        if database.dialect == "postgresql":
            return Extent(
                await _number(connection, "SELECT pg_database_size(current_database())"),
                0,
                releases_space=True,
            )
        page = await _number(connection, "PRAGMA page_size")
        pages = await _number(connection, "PRAGMA page_count")
        free = await _number(connection, "PRAGMA freelist_count")
        mode = await _number(connection, "PRAGMA auto_vacuum")
    return Extent(page * pages, page * free, releases_space=mode == _INCREMENTAL)


async def release_space(database: Database, *, pause_seconds: float) -> int:
    """Release SQLite's free pages to the disk, a few at a time; returns the number of bytes."""
    if database.dialect != "sqlite":
        return 0
    before = await extent(database)
    left = before.free_bytes if before.releases_space else 0
    while left > 0:
        await database.run_script(f"PRAGMA incremental_vacuum({_PAGES_AT_ONCE})")
        was, left = left, (await extent(database)).free_bytes
        if left >= was:  # another process frees pages faster; the next run continues
            break
        await asyncio.sleep(pause_seconds)
    if before.releases_space and before.free_bytes:
        # The file shrinks after the log is written into it; this doesn't wait for other
        # connections.
        await database.run_script("PRAGMA wal_checkpoint(PASSIVE)")
    return max(before.size_bytes - (await extent(database)).size_bytes, 0)


def compact(path: Path) -> tuple[int, int]:
    """Rewrite a SQLite file without its free pages; returns its bytes before and after.

    From then on it shrinks without a rewrite. Needs the same space again while it runs, and raises
    ``Conflict`` while another process has the file open.
    """
    with exclusive_connection(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        before = path.stat().st_size
        connection.execute(f"PRAGMA auto_vacuum={_INCREMENTAL}")
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return before, path.stat().st_size


async def _number(connection: AsyncConnection, query: str) -> int:
    return int((await connection.execute(text(query))).scalar_one())


async def _size(connection: AsyncConnection, table: Table, sizes: Mapping[str, int]) -> TableSize:
    aged = next((table.c[name] for name in _AGE_COLUMNS if name in table.c), None)
    query = select(func.count(), *([] if aged is None else [func.min(aged)])).select_from(table)
    row = (await connection.execute(query)).one()
    oldest = None if aged is None or row[1] is None else from_epoch_ms(row[1])
    return TableSize(str(table.name), row[0], sizes.get(table.name), oldest)


async def _bytes_of(connection: AsyncConnection) -> dict[str, int]:
    """Return bytes by table, indexes included; nothing where SQLite was built without dbstat."""
    query = (
        "SELECT relname, pg_total_relation_size(oid) FROM pg_class "
        "WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace"
    )
    if connection.dialect.name == "sqlite":
        known = text("SELECT count(*) FROM pragma_module_list WHERE name = 'dbstat'")
        if not (await connection.execute(known)).scalar_one():
            return {}
        query = (
            "SELECT m.tbl_name, sum(s.pgsize) FROM dbstat s "
            "JOIN sqlite_master m ON m.name = s.name WHERE s.aggregate = TRUE GROUP BY 1"
        )
    return {name: int(size) for name, size in await connection.execute(text(query))}
