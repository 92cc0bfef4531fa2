"""Refuses to create a database where one was lost.

The first start migrates the database, and creates the master key afterwards: a key beside no
database, or beside an empty one, means that the database was deleted, moved, or that
[database] url names another one. An empty database in its place would accept orders and hide the
loss; SQLite would also drop the transactions that still are in a leftover ``-wal``.
"""

import asyncio
from pathlib import Path

from sqlalchemy.engine import URL

from gateway.errors import StorageError
from gateway.storage.database import Database
from gateway.storage.maintenance.migrate import heads_of


def lost_file(url: URL, key: Path | None) -> str | None:
    """Return why the SQLite file of ``url`` must not be created, as a sentence; None if it may.

    ``key`` is the master key file, None when the settings hold the key.
    """
    if url.get_backend_name() != "sqlite":
        return None
    path = Path(url.database or "")
    if path.exists() and path.stat().st_size > 0:
        return None
    wal = path.with_name(f"{path.name}-wal")
    if wal.exists() and wal.stat().st_size > 0:
        return (
            f"{path} is missing or empty, but its {wal.name} is there and may hold orders: put the "
            f"file back beside it, or move {wal.name} away and restore the last backup "
            "(gateway restore FILE)."
        )
    return None if key is None or not key.exists() else _without_database(str(path), key)


async def refuse_lost_database(database: Database, key: Path | None) -> None:
    """Raise ``StorageError`` when opening would create a database that was there before."""
    found = lost_file(database.url, key)
    if found is None and key is not None and await asyncio.to_thread(key.exists):
        async with database.read() as connection:
            if not await heads_of(connection):
                where = "The PostgreSQL database" if database.path is None else str(database.path)
                found = _without_database(where, key)
    if found is not None:
        raise StorageError(found)


def _without_database(what: str, key: Path) -> str:
    return (
        f"{what} is empty or missing, but its master key is there ({key}): see that [database] url "
        "is right, put the database back, or restore the last backup (gateway restore FILE). "
        "gateway migrate --new starts with an empty one."
    )
