"""Refuses to create a database where one was lost.

The first start migrates the database, and creates the master key afterwards: a key beside no
database, or beside an empty one, means that the database was deleted, moved, or that [database] url
names another one. An empty database in its place would accept orders and hide the loss; SQLite
would also drop the transactions in a leftover ``-wal``.
"""

import asyncio
import sqlite3
from contextlib import closing
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


def foreign_wal(path: Path) -> str | None:
    """Return why a SQLite file must not be opened with the ``-wal`` beside it, as a sentence.

    SQLite trusts the name of a ``-wal``, and the last connection to close writes it into the file.
    The check compares the keyring's fingerprint with the ``-wal`` and without it.
    """
    wal = path.with_name(f"{path.name}-wal")
    if not (path.exists() and wal.exists() and wal.stat().st_size):
        return None
    alone, together = (_fingerprint(path, how) for how in ("immutable=1", "mode=ro"))
    if alone is None or together is None or alone == together:
        return None
    return (
        f"{wal.name} is of another database than {path}: opened with it, the orders in {path.name} "
        f"would be overwritten. Move {wal.name} and {path.name}-shm to another folder, then start "
        "again."
    )


def _fingerprint(path: Path, how: str) -> str | None:
    """Read the keyring's fingerprint; None for a file without one, or an unreadable file."""
    try:
        address = f"{path.absolute().as_uri()}?{how}"
        with closing(sqlite3.connect(address, uri=True, timeout=1)) as connection:
            found = connection.execute("SELECT value FROM facts WHERE name = 'keyring'").fetchone()
    except sqlite3.Error:
        return None
    return None if found is None else str(found[0])


async def refuse_lost_database(database: Database, key: Path | None) -> None:
    """Raise ``StorageError`` when opening would create a database where one was lost.

    Also when it would overwrite one with the ``-wal`` of another database.
    """
    found = lost_file(database.url, key)
    if found is None and database.path is not None:
        found = await asyncio.to_thread(foreign_wal, database.path)
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
