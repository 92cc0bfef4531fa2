"""The cause of a database failure, in words, from the errors that drivers really raise."""

import sqlite3

import asyncpg
import pytest
from sqlalchemy.exc import OperationalError

from gateway.errors import StorageError
from gateway.storage.database import Database
from gateway.storage.outage import cause_of


def wrapped(error: Exception) -> Exception:
    return OperationalError("SELECT secret", {}, error)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (asyncpg.InvalidPasswordError("x"), "the password"),
        (asyncpg.InvalidAuthorizationSpecificationError("x"), "refuses this user"),
        (asyncpg.InvalidCatalogNameError("x"), "no database of this name"),
        (asyncpg.TooManyConnectionsError("x"), "no free connection"),
        (asyncpg.DiskFullError("x"), "disk is full"),
        (asyncpg.LockNotAvailableError("x"), "a table is locked"),
        (asyncpg.InsufficientPrivilegeError("x"), "lacks a permission"),
        (asyncpg.ReadOnlySQLTransactionError("x"), "read-only"),
        (asyncpg.CannotConnectNowError("x"), "starting up"),
        (asyncpg.UndefinedTableError("x"), "gateway migrate"),
        (ConnectionRefusedError(), "nothing listens"),
        (TimeoutError(), "doesn't answer in time"),
        (OSError(28, "No space left on device"), "no space left on device"),
        (ValueError("whsec_1"), "ValueError"),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, Exception) else "",
)
def test_the_cause_is_named_and_no_message_is_repeated(error, words):
    for each in (error, wrapped(error)):
        assert words in cause_of(each)
        assert "whsec_1" not in cause_of(each)
        assert "secret" not in cause_of(each)


def test_a_file_that_is_no_database_is_named(tmp_path):
    path = tmp_path / "gateway.db"
    path.write_text("no database" * 100)
    with pytest.raises(sqlite3.DatabaseError) as raised, sqlite3.connect(path) as connection:
        connection.execute("SELECT * FROM facts")

    assert "not a database" in cause_of(raised.value)


async def test_a_folder_that_is_missing_is_named(tmp_path):
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'none' / 'gateway.db'}")
    with pytest.raises(StorageError, match="folder is missing"):
        await database.ping()
    await database.close()


async def test_a_locked_file_is_named(tmp_path):
    path = tmp_path / "gateway.db"
    with sqlite3.connect(path) as holder:
        holder.execute("CREATE TABLE t (x)")
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(sqlite3.OperationalError) as raised:
            sqlite3.connect(path, timeout=0).execute("SELECT * FROM t")

    assert "locked" in cause_of(raised.value)
