"""Exclusive use of the database, and the numbers of PostgreSQL's advisory locks."""

import asyncio
import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.errors import Conflict
from gateway.storage.database import APPLICATION_NAME, is_busy

# All of the gateway's advisory locks in PostgreSQL, each with a number of its own. The first are of
# the single-key kind; WORK_QUEUE_LOCK is the first key of the two-key kind, the second of which
# names a queue and a partition (https://www.postgresql.org/docs/current/explicit-locking.html).
MIGRATION_LOCK: Final = 0x0A0D16
AUDIT_CHAIN_LOCK: Final = 0x0A0D17
START_LOCK: Final = 0x0A0D18
WORK_QUEUE_LOCK: Final = 0x0A0D20
# Also the first key of two; the second is the number of a delivering process.
DELIVERING_LOCK: Final = 0x0A0D21

_IN_USE: Final = (
    "The database is in use by another process, such as gateway serve: stop it, then try again."
)
_LOOKS: Final = 10
_LOOK_AGAIN_SECONDS: Final = 0.1


@contextmanager
def exclusive_connection(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a SQLite file in autocommit mode and lock out all other processes until the block ends.

    Raises ``Conflict`` when another process has it open. In WAL mode every connection keeps a
    shared lock for as long as it lives, so even an idle server shows
    (https://www.sqlite.org/pragma.html#pragma_locking_mode). A new file is created, readable by its
    owner alone, and removed again when the block fails.
    """
    is_new = not path.exists()
    try:
        create_privately(path)
        with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as connection:
            _lock(connection)
            yield connection
    except BaseException:  # also after Ctrl-C: no empty file is left behind; raised again
        if is_new:
            path.unlink(missing_ok=True)
        raise


def create_privately(path: Path) -> None:
    """Create a SQLite file that only its owner can read, in a folder that only its owner can enter.

    SQLite gives its -wal and -shm files the mode of the database. An existing file or folder isn't
    changed.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _lock(connection: sqlite3.Connection) -> None:
    try:
        connection.execute("PRAGMA fullfsync=ON")  # as in database.py
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("COMMIT")  # the lock stays until the connection is closed
    except sqlite3.OperationalError as error:
        if not is_busy(error):
            raise
        raise Conflict(_IN_USE) from error


async def refuse_other_processes(connection: AsyncConnection) -> None:
    """Raise ``Conflict`` when another of our processes is connected to this PostgreSQL.

    A session closed just now may still be listed, so the list is read for a second.
    """
    for _ in range(_LOOKS):
        # Otherwise the list stays the same within a transaction.
        await connection.execute(text("SELECT pg_stat_clear_snapshot()"))
        others = await connection.execute(
            text(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                "AND application_name = :ours AND pid <> pg_backend_pid()"
            ),
            {"ours": APPLICATION_NAME},
        )
        if not others.scalar_one():
            return
        await asyncio.sleep(_LOOK_AGAIN_SECONDS)
    raise Conflict(_IN_USE)


@contextmanager
def server_lock(database: Path) -> Iterator[None]:
    """Lock a SQLite file for the one process that serves it, until the block ends.

    Raises ``Conflict`` while another process serves it. The operating system holds the lock, on an
    empty file beside the database, and releases it when the process ends for any reason. Where
    locks aren't supported (some network volumes), the server starts without one.
    """
    with ExitStack() as held:
        with suppress(OSError):  # a full disk has no space for it; the gateway can start without
            file = held.enter_context(database.with_name(f"{database.name}.serving").open("ab"))
            if not _locked(file.fileno()):
                raise Conflict(
                    f"Another gateway serves {database} already: stop that one first. Several at "
                    "a time need PostgreSQL and [redis]."
                )
        yield


def is_served(database: Path) -> bool:
    """Return whether a process serves a SQLite file, on this machine."""
    lock = database.with_name(f"{database.name}.serving")
    try:
        with lock.open("r+b") as file:
            return not _locked(file.fileno())
    except OSError:  # no server ever ran, or it runs without a lock
        return False


def _locked(descriptor: int) -> bool:
    """Take the lock; returns whether it was free. Raises ``OSError`` where there are no locks."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            # Unlike flock's, this lock isn't passed on to child processes, which may live longer.
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # which error it is depends on the system
        return False
    return True
