"""A SQLite file that is replaced, deleted or damaged while in use: red and refused at once."""

import shutil
import sqlite3
import sys
from contextlib import closing

import pytest
from core.gateways import opened, order, sqlite_url, submission
from core.storage.rows import with_all_tables
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from gateway.errors import StorageError
from gateway.health.readiness import Readiness
from gateway.storage.database import Database

REPLACED = "was replaced or deleted while in use"

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows does not delete a file that is open"
)


def watched(tmp_path):
    """Open a database whose file is looked at before each transaction."""
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'gateway.db'}")
    database._watch._pause_seconds = 0
    return database


def deleted(path):
    path.unlink()


def replaced(path):
    copy = path.with_name("copy.db")
    shutil.copy(path, copy)
    copy.replace(path)


def wal_deleted(path):
    path.with_name(f"{path.name}-wal").unlink()


async def enter(opening):
    async with opening():
        raise AssertionError


@pytest.mark.parametrize("harm", [deleted, replaced, wal_deleted], ids=lambda harm: harm.__name__)
async def test_transactions_are_refused_once_the_file_is_another(tmp_path, harm):
    database = await with_all_tables(watched(tmp_path))
    for _ in range(2):  # the -wal is there from the first transaction on
        async with database.begin() as connection:
            await connection.execute(text("SELECT 1"))

    harm(database.path)

    for opening in (database.begin, database.read):
        with pytest.raises(StorageError, match=REPLACED):
            await enter(opening)
    with pytest.raises(StorageError, match=REPLACED):
        await database.ping()
    await database.close()


async def test_no_connection_creates_a_file_that_was_deleted_a_moment_ago(tmp_path):
    database = await with_all_tables(Database(f"sqlite+aiosqlite:///{tmp_path / 'gateway.db'}"))
    async with database.read() as connection:
        await connection.execute(text("SELECT 1"))
        assert database._watch.fault() is None  # not to be looked at for a second
        deleted(database.path)
        with pytest.raises(StorageError, match=REPLACED):
            await enter(database.read)

    assert not database.path.exists()
    await database.close()


async def test_no_file_is_created_in_place_of_one_that_went_between_the_look_and_the_opening(
    tmp_path, monkeypatch
):
    database = await with_all_tables(Database(f"sqlite+aiosqlite:///{tmp_path / 'gateway.db'}"))
    async with database.read() as connection:
        await connection.execute(text("SELECT 1"))
        monkeypatch.setattr(database._watch, "fault", lambda **_: None)
        deleted(database.path)
        with pytest.raises(OperationalError, match="unable to open"):
            await enter(database.read)

    await database.close()
    assert not database.path.exists()
    with pytest.raises(OperationalError, match="unable to open"):  # by a task that is late
        await enter(database.read)
    assert not database.path.exists()


async def test_a_damaged_file_is_refused_from_its_first_error_on(tmp_path):
    database = await with_all_tables(watched(tmp_path))
    async with database.begin() as connection:
        await connection.execute(
            text("INSERT INTO facts (name, value) VALUES (:name, :value)"),
            [{"name": f"fact {number}", "value": "x" * 500} for number in range(2000)],
        )
    await database.close()
    with database.path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 400_000)

    async def read_all():
        async with database.read() as connection:
            (await connection.execute(text("SELECT * FROM facts"))).all()

    with pytest.raises(Exception, match=r"malformed|damaged"):
        await read_all()
    with pytest.raises(StorageError, match="is damaged"):
        await read_all()
    await database.close()


async def test_a_database_that_is_closed_and_opened_again_is_no_other_one(tmp_path):
    database = await with_all_tables(watched(tmp_path))
    await database.close()
    replaced(database.path)

    async with database.begin() as connection:
        await connection.execute(text("SELECT 1"))
    await database.close()


async def test_a_gateway_is_red_and_takes_no_order_once_its_file_is_gone(tmp_path):
    async with opened(sqlite_url(tmp_path), tmp_path) as gateway:
        gateway.database._watch._pause_seconds = gateway.database._watch._look_at = 0
        ready = Readiness(gateway)
        assert (await ready.reports())["database"].healthy
        deleted(gateway.database.path)

        report = (await ready.reports())["database"]
        assert not report.healthy
        assert REPLACED in report.detail
        with pytest.raises(StorageError, match=REPLACED):
            await gateway.intake.accept(submission(order()))


def killed_copy(tmp_path):
    """Copy a database with its -wal as a killed process leaves it; returns the copy's folder."""
    left = tmp_path / "left"
    left.mkdir()
    shutil.copytree(tmp_path / "data", left / "data")  # the master key
    for file in tmp_path.glob("gateway.db*"):
        shutil.copy(file, left / file.name)
    return left


async def test_after_an_unclean_stop_the_file_is_checked_before_it_is_served(tmp_path, caplog):
    async with opened(sqlite_url(tmp_path), tmp_path):
        left = killed_copy(tmp_path)

    async with opened(sqlite_url(left), left) as gateway, gateway.running():
        assert "left open by a process that was killed" in caplog.text
    caplog.clear()

    async with opened(sqlite_url(left), left) as gateway, gateway.running():
        assert "left open" not in caplog.text


async def test_after_an_unclean_stop_a_damaged_file_is_not_served(tmp_path):
    async with opened(sqlite_url(tmp_path), tmp_path) as gateway:
        rows = [{"name": f"fact {number}", "value": "x" * 500} for number in range(2000)]
        async with gateway.database.begin() as connection:
            await connection.execute(
                text("INSERT INTO facts (name, value) VALUES (:name, :value)"), rows
            )
        with closing(sqlite3.connect(gateway.database.path)) as other:
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        async with gateway.database.begin() as connection:  # so that there is a -wal to find
            await connection.execute(text("DELETE FROM facts WHERE name = 'fact 1'"))
        left = killed_copy(tmp_path)
    with (left / "gateway.db").open("r+b") as file:
        file.seek((left / "gateway.db").stat().st_size // 2)
        file.write(b"\xff" * 40_000)

    async with opened(sqlite_url(left), left) as gateway:
        with pytest.raises(StorageError, match="is damaged"):
            await gateway.running().__aenter__()


async def test_a_database_that_quick_check_finds_damaged_is_refused(tmp_path):
    database = await with_all_tables(watched(tmp_path))
    async with database.begin() as connection:
        await connection.execute(
            text("INSERT INTO facts (name, value) VALUES (:name, :value)"),
            [{"name": f"fact {number}", "value": "x" * 500} for number in range(2000)],
        )
    await database.quick_check()
    await database.close()
    with database.path.open("r+b") as file:
        file.seek(database.path.stat().st_size // 2)
        file.write(b"\xff" * 40_000)

    with pytest.raises(StorageError, match="is damaged"):
        await database.quick_check()
    await database.close()


async def test_a_start_on_a_database_that_lacks_a_column_is_refused(database_url, tmp_path):
    async with opened(database_url, tmp_path) as gateway, gateway.database.begin() as connection:
        await connection.execute(text("ALTER TABLE events DROP COLUMN trace"))

    with pytest.raises(StorageError, match=r"lacks events\.trace, although"):
        await opened(database_url, tmp_path).__aenter__()
