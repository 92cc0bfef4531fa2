"""Having the database to oneself, for what can't be done while anybody else uses it."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.errors import Conflict
from gateway.storage.database import APPLICATION_NAME

_IN_USE: Final = (
    "The database is in use by another process, such as gateway serve: stop it, then try again."
)


@contextmanager
def sole_connection(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a SQLite file, in autocommit, so that nobody else can until the block ends.

    Raises ``Conflict`` when somebody has it open. In WAL mode every connection keeps a
    shared lock for as long as it lives, so even an idle server shows
    (https://www.sqlite.org/pragma.html#pragma_locking_mode).
    """
    with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as connection:
        try:
            connection.execute("PRAGMA locking_mode=EXCLUSIVE")
            connection.execute("BEGIN EXCLUSIVE")
            connection.execute("COMMIT")  # the lock stays until the connection is closed
        except sqlite3.OperationalError as error:
            raise Conflict(_IN_USE) from error
        yield connection


async def refuse_others(connection: AsyncConnection) -> None:
    """Raise ``Conflict`` when another of our processes is connected to this PostgreSQL."""
    others = await connection.execute(
        text(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            "AND application_name = :ours AND pid <> pg_backend_pid()"
        ),
        {"ours": APPLICATION_NAME},
    )
    if others.scalar_one():
        raise Conflict(_IN_USE)
