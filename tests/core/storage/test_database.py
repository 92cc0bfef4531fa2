"""Connections: what commits, what rolls back, and how SQLite is opened."""

import asyncio
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing, suppress

import pytest
from core.storage.rows import rows_in, with_all_tables
from servers import running_postgres
from servers_asked_for import skipped_if_missing
from sqlalchemy import delete, insert, select, text
from sqlalchemy.exc import DBAPIError, OperationalError
from waiting import PATIENCE_SECONDS

from gateway.errors import StorageError
from gateway.storage.database import Database, is_outage
from gateway.storage.schema import facts
from gateway.storage.transaction import Statement

HOLDING_THE_FILE = """
import sqlite3, sys

connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
connection.execute("INSERT INTO facts VALUES ('theirs', '1')")
print("holding", flush=True)
sys.stdin.readline()
connection.execute("COMMIT")
"""


@pytest.fixture
async def sqlite(tmp_path):
    opened = Database(f"sqlite+aiosqlite:///{tmp_path / 'gateway.db'}")
    yield await with_all_tables(opened)
    await opened.close()


def living_threads():
    """Return the names of the driver's threads: each would answer an event loop."""
    names = [each.name for each in threading.enumerate() if each.is_alive()]
    return [each for each in names if "_connection_worker_thread" in each]


async def note(connection, name):
    await connection.execute(insert(facts).values(name=name, value="1"))


async def names(database):
    async with database.read() as connection:
        return list((await connection.execute(select(facts.c.name).order_by("name"))).scalars())


async def test_what_was_written_is_there_when_the_block_ends(database):
    async with database.begin() as connection:
        await note(connection, "a")

    assert await names(database) == ["a"]


@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError])
async def test_nothing_is_there_when_the_block_fails(database, error):
    with suppress(error):
        async with database.begin() as connection:
            await note(connection, "a")
            raise error

    assert await names(database) == []


async def test_a_writer_that_is_cancelled_leaves_the_next_one_free(database):
    begun = asyncio.Event()

    async def write() -> None:
        async with database.begin() as connection:
            await note(connection, "a")
            begun.set()
            await asyncio.Event().wait()

    writer = asyncio.create_task(write())
    await begun.wait()
    writer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writer

    async with database.begin() as connection:
        await note(connection, "b")
    assert await names(database) == ["b"]


async def test_a_reader_sees_one_state_and_waits_for_no_writer(database):
    async with database.begin() as writing, database.read() as reading:
        await note(writing, "a")

        assert await rows_in(reading, facts) == 0


async def test_what_is_done_while_reading_is_not_kept(database):
    async with database.begin() as connection:
        await note(connection, "a")

    async with database.read() as connection:
        await connection.execute(delete(facts))

    assert await names(database) == ["a"]


async def test_many_writers_take_turns(database):
    async def write(number):
        async with database.begin() as connection:
            before = await rows_in(connection, facts)
            await note(connection, f"{number:02}")
            return before

    seen = await asyncio.gather(*(write(number) for number in range(20)))

    assert await names(database) == [f"{number:02}" for number in range(20)]
    if database.dialect == "sqlite":  # one after the other, each sees those before it
        assert sorted(seen) == list(range(20))


async def test_sqlite_is_opened_to_survive_a_power_cut(sqlite):
    wanted = {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": 15_000,
        "temp_store": 2,
    }

    for opened in (sqlite.begin(), sqlite.read()):
        async with opened as connection:
            for pragma, value in wanted.items():
                found = (await connection.execute(text(f"PRAGMA {pragma}"))).scalar_one()
                assert found == value, pragma


async def test_no_connection_keeps_much_of_a_sqlite_file_in_memory(sqlite):
    # A dozen of them is open after a busy day; a negative number means kilobytes.
    async def kept(transaction):
        [(kilobytes,)] = await transaction.fetch(Statement("PRAGMA cache_size"))
        return kilobytes

    found = [await sqlite.transact(kept)]
    for opened in (sqlite.begin(), sqlite.read()):
        async with opened as connection:
            found.append((await connection.execute(text("PRAGMA cache_size"))).scalar_one())
    assert found == [-4096, -4096, -2000]


async def test_a_writer_in_another_process_is_waited_for(sqlite):
    # Given another process that holds the file
    other = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        HOLDING_THE_FILE,
        str(sqlite.path),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert await other.stdout.readline() == b"holding\n"

    # When we write
    async def write() -> list[str]:
        async with sqlite.begin() as connection:
            await rows_in(connection, facts)  # were it only a reader so far, it could not go on
            await note(connection, "ours")
            return list((await connection.execute(select(facts.c.name).order_by("name"))).scalars())

    writing = asyncio.create_task(write())
    assert not (await asyncio.wait({writing}, timeout=0.1))[0]
    assert await names(sqlite) == []

    # Then that waits, and goes on as soon as the other one is done
    other.stdin.write(b"\n")
    assert await asyncio.wait_for(writing, 10) == ["ours", "theirs"]
    assert await other.wait() == 0


async def test_a_new_file_that_another_process_is_writing_to_is_waited_for(tmp_path):
    # Given a file that is no WAL file yet, and a writer that SQLite itself won't wait for then
    path = tmp_path / "gateway.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("CREATE TABLE facts (name TEXT, value TEXT)")
        other.execute("BEGIN IMMEDIATE")
        other.execute("INSERT INTO facts VALUES ('theirs', '1')")

        # When we open it, then that waits for the writer to be done
        database = Database(f"sqlite+aiosqlite:///{path}")
        opening = asyncio.create_task(names(database))
        assert not (await asyncio.wait({opening}, timeout=0.1))[0]
        other.execute("COMMIT")
        assert await asyncio.wait_for(opening, 10) == ["theirs"]

    async with database.begin() as connection:
        assert (await connection.execute(text("PRAGMA journal_mode"))).scalar_one() == "wal"
    await database.close()


async def test_a_new_file_that_never_comes_free_is_an_outage(tmp_path):
    path = tmp_path / "gateway.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("CREATE TABLE facts (name TEXT, value TEXT)")
        other.execute("BEGIN IMMEDIATE")

        database = Database(f"sqlite+aiosqlite:///{path}", busy_timeout_ms=50)
        with pytest.raises(OperationalError, match="database is locked") as refused:
            await names(database)

    assert is_outage(refused.value)
    await database.close()


async def test_closing_waits_for_a_statement_whose_task_was_cancelled(tmp_path):
    """Its thread answers the event loop, which a caller may close next."""
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'gateway.db'}")
    began, goes_on = threading.Event(), threading.Event()

    def hold():
        began.set()
        goes_on.wait(PATIENCE_SECONDS)

    async def read():
        async with database.read() as connection:
            driver = (await connection.get_raw_connection()).driver_connection
            await driver.create_function("hold", 0, hold)
            await connection.execute(text("SELECT hold()"))

    reading = asyncio.create_task(read())
    await asyncio.to_thread(began.wait, PATIENCE_SECONDS)
    for _ in range(2):  # the second time while the first makes the connection give way
        reading.cancel()
        await asyncio.sleep(0)
    closing = asyncio.create_task(database.close())
    assert not (await asyncio.wait({closing}, timeout=0.1))[0]
    goes_on.set()
    await closing

    assert living_threads() == []


async def test_closing_waits_for_a_connection_that_is_in_use_and_ends_its_thread(tmp_path):
    """A connection that is returned to a pool which is gone would never be closed."""
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'gateway.db'}")
    entered, goes_on = asyncio.Event(), asyncio.Event()

    async def read():
        async with database.read() as connection:
            entered.set()
            await goes_on.wait()
            return (await connection.execute(text("SELECT 7"))).scalar_one()

    reading = asyncio.create_task(read())
    await entered.wait()
    loop = asyncio.get_running_loop()
    loop.call_later(0.3, goes_on.set)
    await database.close()

    assert await reading == 7
    assert living_threads() == []


async def test_a_database_says_what_it_is(database, sqlite):
    assert database.dialect == database.url.get_backend_name()
    assert (database.path is None) == (database.dialect == "postgresql")
    assert sqlite.path.name == "gateway.db"


async def test_a_database_in_reach_answers_a_ping(database):
    await database.ping()


@pytest.mark.parametrize(
    ("url", "why"),
    [
        (
            "sqlite+aiosqlite:////nowhere/at/all/gateway.db",
            "its file can't be opened",
        ),
        ("postgresql+asyncpg://gateway@127.0.0.1:1/gateway", "nothing listens at the address"),
    ],
)
async def test_a_database_out_of_reach_is_reported_in_a_sentence(url, why):
    away = Database(url)

    with pytest.raises(StorageError) as refused:
        await away.ping()

    assert refused.value.message.startswith(f"The database can't be reached: {why}")
    await away.close()
    assert living_threads() == []


@pytest.mark.parametrize(("right", "wrong"), [("/fresh", "/nowhere"), ("//gateway@", "//nobody@")])
async def test_a_wrong_database_or_user_is_reported_in_a_sentence(postgres_url, right, wrong):
    away = Database(postgres_url.replace(right, wrong))

    with pytest.raises(StorageError, match=r"^The database can't be reached: PostgreSQL \w+"):
        await away.ping()

    with pytest.raises(DBAPIError) as refused:
        async with away.begin():
            raise AssertionError  # it can't come to this
    assert is_outage(refused.value)
    await away.close()


async def test_values_are_not_shown_in_the_database_s_own_errors(database):
    async with database.begin() as connection:
        await note(connection, "Maria Rodriguez")

    with pytest.raises(Exception, match="parameters hidden") as refused:
        async with database.begin() as connection:
            await note(connection, "Maria Rodriguez")

    assert "Maria" not in str(refused.value)


async def test_a_file_that_cannot_be_opened_is_an_outage():
    away = Database("sqlite+aiosqlite:////nowhere/at/all/gateway.db")

    with pytest.raises(OperationalError) as refused:
        async with away.begin():
            raise AssertionError  # it can't come to this

    assert is_outage(refused.value)
    await away.close()
    assert living_threads() == []


async def test_what_an_item_brings_about_is_no_outage(database):
    async def write(name):
        async with database.begin() as connection:
            await note(connection, name)

    await write("a")
    wrong = ["a", "\0", "\ud800", 1, b"1"]
    found = [await asyncio.gather(write(name), return_exceptions=True) for name in wrong]

    # SQLite takes more than PostgreSQL does; what is refused is the item's own fault.
    refused = [error for (error,) in found if error is not None]
    assert len(refused) == {"sqlite": 2, "postgresql": 5}[database.dialect]
    assert not any(is_outage(error) for error in refused)


@pytest.fixture
def own_server():
    with skipped_if_missing(), running_postgres(durable=True) as server:
        yield server


@pytest.mark.slow
async def test_a_server_that_dies_is_an_outage_and_is_found_again_when_it_is_back(own_server):
    with own_server.fresh_database() as url:
        database = await with_all_tables(Database(url))

        # When it dies in the middle of a transaction, and while it is away
        async def cut_off_while_writing() -> None:
            async with database.begin() as connection:
                await note(connection, "lost")
                own_server.kill()
                await note(connection, "never")

        with pytest.raises(DBAPIError) as cut_off:
            await cut_off_while_writing()
        with pytest.raises(ConnectionRefusedError) as away:
            async with database.begin():
                raise AssertionError  # it can't come to this

        # Then both are outages, and what was not committed is not there afterwards
        assert is_outage(cut_off.value)
        assert is_outage(away.value)
        own_server.start()
        async with database.begin() as connection:
            await note(connection, "kept")
        assert await names(database) == ["kept"]
        await database.close()
