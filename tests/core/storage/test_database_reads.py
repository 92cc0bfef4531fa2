"""What a read costs beside its statement: hops to SQLite's thread, round trips to PostgreSQL."""

import asyncio
import threading
import tracemalloc

import asyncpg
import pytest
from core.storage.people_rows import write_people
from core.storage.rows import NOW, SEALER
from sqlalchemy import make_url, text
from waiting import PATIENCE_SECONDS

from gateway.storage.database import Database
from gateway.storage.postgres_connections import IDLE_SECONDS
from gateway.storage.sqlite_reader import ROWS_AT_ONCE, Connection
from gateway.storage.stores.emergencies import EmergencyStore
from gateway.storage.stores.sessions import SessionStore
from gateway.storage.transaction import Statement

NUMBERS = (
    "WITH RECURSIVE numbers(n) AS (VALUES(1) UNION ALL SELECT n + 1 FROM numbers WHERE n < {}) "
    "SELECT n FROM numbers"
)


@pytest.fixture
async def sqlite(tmp_path):
    opened = Database(f"sqlite+aiosqlite:///{tmp_path / 'gateway.db'}")
    async with opened.begin() as connection:
        await connection.execute(text("CREATE TABLE noted (n INTEGER)"))
    async with opened.read() as connection:  # opens the connection
        await connection.execute(text("SELECT 1"))
    yield opened
    await opened.close()


@pytest.fixture
def hops(monkeypatch):
    """What is run in the thread of a connection, in order."""
    made = []
    hop = Connection._execute

    async def counted(self, function, *args, **kwargs):
        made.append(function.__name__)
        return await hop(self, function, *args, **kwargs)

    monkeypatch.setattr(Connection, "_execute", counted)
    return made


async def test_a_read_makes_a_hop_for_each_statement_and_one_to_end(sqlite, hops):
    async with sqlite.read() as connection:
        first = (await connection.execute(text(NUMBERS.format(20)))).scalars().all()
        second = (await connection.execute(text("SELECT count(*) FROM noted"))).scalar_one()

    assert (first, second) == ([*range(1, 21)], 0)
    assert hops == ["_execute", "_execute", "rollback"]


@pytest.mark.parametrize("count", [ROWS_AT_ONCE - 1, ROWS_AT_ONCE, 2 * ROWS_AT_ONCE + 1])
async def test_a_long_answer_is_whole(sqlite, count):
    async with sqlite.read() as connection:
        found = (await connection.execute(text(NUMBERS.format(count)))).scalars().all()
        async with connection.stream(text(NUMBERS.format(count))) as streamed:
            one_by_one = [row.n async for row in streamed]

    assert found == one_by_one == [*range(1, count + 1)]


async def test_a_stream_of_large_rows_keeps_few_of_them_in_memory(sqlite):
    query = text(NUMBERS.format(200).replace("SELECT n FROM", "SELECT n, zeroblob(65536) FROM"))
    read = 0
    async with sqlite.read() as connection:
        tracemalloc.start()
        async with connection.stream(query, execution_options={"yield_per": 8}) as found:
            async for rows in found.partitions(8):
                read += len(rows)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert read == 200
    assert most < 4_000_000  # of 13 MB


async def test_a_stream_that_is_left_early_leaves_the_connection_free(sqlite):
    async with sqlite.read() as connection:
        async with connection.stream(text(NUMBERS.format(3 * ROWS_AT_ONCE))) as streamed:
            assert (await anext(aiter(streamed))).n == 1
        assert (await connection.execute(text("SELECT 7"))).scalar_one() == 7

    async with sqlite.begin() as connection:
        written = await connection.execute(text("INSERT INTO noted VALUES (1), (2)"))

    assert written.rowcount == 2


async def test_a_read_that_is_cancelled_is_undone_wherever_it_was(sqlite):
    async def write():
        async with sqlite.read() as connection:
            await connection.execute(text("INSERT INTO noted VALUES (1)"))

    for waits in range(12):
        writing = asyncio.create_task(write())
        for _ in range(waits):
            await asyncio.sleep(0)
        writing.cancel()
        await asyncio.wait({writing})

    async with sqlite.read() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM noted"))).scalar_one() == 0


async def test_what_every_page_asks_first_is_read_without_a_hop(sqlite_database, hops):
    async with sqlite_database.begin() as connection:
        await write_people(connection, SEALER, NOW)
    store, emergencies = SessionStore(SEALER), EmergencyStore(SEALER)
    hops.clear()

    session = await store.look(sqlite_database, b"s" * 32, NOW)
    draft = await store.read_draft(sqlite_database, "per_1", "/x", NOW)
    opened = await emergencies.open_to(sqlite_database, "default", "per_1", NOW)

    assert (session.row.id, session.person_name, session.membership.role) == (
        "ses_1",
        "Amara",
        "owner",
    )
    assert session.row.is_strong is True
    assert (draft, [each.subject for each in opened]) == (b"typed x", ["pkg_1"])
    assert await store.look(sqlite_database, b"t" * 32, NOW) is None
    assert hops == []


@pytest.fixture
async def postgres(postgres_url):
    opened = Database(postgres_url, pool_size=2)
    yield opened
    await opened.close()


async def backend(connection):
    return (await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one()


async def test_a_connection_that_the_server_closed_is_replaced_and_no_one_sees_it(postgres):
    async with postgres.read() as one, postgres.read() as other:
        before = {await backend(one), await backend(other)}
    async with postgres.begin() as connection:
        ended = text("SELECT pg_terminate_backend(pid) FROM unnest(CAST(:pids AS int[])) AS pid")
        before.discard(await backend(connection))
        await connection.execute(ended, {"pids": [*before]})
        driver = (await connection.get_raw_connection()).driver_connection
        await driver.execute("SELECT pg_sleep(0.05)")  # the other's end arrives meanwhile

    async with postgres.read() as one, postgres.read() as other:
        after = {await backend(one), await backend(other)}

    assert not after & before


async def _end(url):
    """End all backends of a database; returns when the server has closed their connections."""
    server = make_url(url).set(drivername="postgresql", database="postgres")
    connection = await asyncpg.connect(server.render_as_string(hide_password=False))
    name = make_url(url).database
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1"
    left = "SELECT count(*) FROM pg_stat_activity WHERE datname = $1"
    await connection.fetch(end, name)
    while await connection.fetchval(left, name):  # noqa: ASYNC110 - PostgreSQL notifies no one of it
        await asyncio.sleep(0.01)
    await connection.close()


async def test_no_one_sees_a_connection_whose_end_the_event_loop_has_not_read(
    postgres, postgres_url
):
    statement = Statement("SELECT 1")
    async with postgres.read() as one, postgres.read() as other:
        await backend(one)
        await backend(other)
    await postgres.look(statement)

    # In an event loop of its own, while this one stands still
    ending = threading.Thread(target=asyncio.run, args=(_end(postgres_url),))
    ending.start()
    ending.join(PATIENCE_SECONDS)

    async with postgres.read() as one, postgres.begin() as other:
        assert await backend(one) != await backend(other)
    assert [tuple(row) for row in await postgres.look(statement)] == [(1,)]


async def test_a_connection_of_hot_statements_that_rested_is_asked_and_replaced(
    postgres, monkeypatch
):
    statement = Statement("SELECT pg_backend_pid()")
    asked = []

    fetch = asyncpg.Connection.fetch

    async def silent(self, query, *values, **options):
        if query:
            return await fetch(self, query, *values, **options)
        asked.append(options)
        raise TimeoutError

    [[before]] = await postgres.look(statement)
    [[at_once]] = await postgres.look(statement)
    monkeypatch.setattr("gateway.storage.postgres_writer.IDLE_SECONDS", -1)
    with monkeypatch.context() as patched:
        patched.setattr(asyncpg.Connection, "fetch", silent)
        [[after]] = await postgres.look(statement)
    [[alive]] = await postgres.look(statement)

    assert (at_once, asked) == (before, [{"timeout": 5.0}])
    assert after != before
    assert alive == after


async def test_only_a_connection_that_rested_is_asked_whether_it_is_alive(postgres, monkeypatch):
    adapter = (await _adapter(postgres)).__class__
    asked = []
    ping = adapter.ping
    monkeypatch.setattr(adapter, "ping", lambda self: (asked.append(1), ping(self)))

    for _ in range(3):
        async with postgres.read() as connection:
            await backend(connection)
    at_once = len(asked)
    monkeypatch.setattr("gateway.storage.postgres_connections.IDLE_SECONDS", -IDLE_SECONDS)
    async with postgres.read() as connection:
        await backend(connection)

    assert (at_once, len(asked)) == (0, 1)


@pytest.mark.parametrize(
    ("option", "mode"), [("", "force_custom_plan"), ("?prepared_statements=false", "auto")]
)
async def test_a_list_is_planned_for_its_values_each_time(postgres_url, option, mode):
    """One plan for all values would read the whole table for the few packages of today."""
    database = Database(postgres_url + option)
    async with database.read() as connection:
        found = (await connection.execute(text("SHOW plan_cache_mode"))).scalar_one()
    await database.close()

    assert found == mode


async def _adapter(database):
    async with database.read() as connection:
        return (await connection.get_raw_connection()).dbapi_connection
