"""Transaction functions: whole or not at all, together or alone, on both databases."""

import asyncio
import contextlib
import sqlite3
import threading
from contextlib import closing

import pytest
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError, IntegrityError

from gateway.errors import StorageError
from gateway.storage.database import Database, insert_rows, update_rows
from gateway.storage.schema import changes, facts
from gateway.storage.transaction import Statement

COLUMNS = ("name", "value")
CHANGES = ("topic", "account_id", "site", "count", "ids", "at_ms")
VALUE = Statement("SELECT value FROM facts WHERE name = :name")
ANY_OF = Statement(
    "SELECT name FROM facts WHERE name = :name",
    "SELECT name FROM facts WHERE name = ANY(:name)",
    among="SELECT name FROM facts WHERE name IN ({})",
)
CHANGED_ALL = Statement(
    "UPDATE facts SET value = :value WHERE name = :name",
    "UPDATE facts SET value = :value WHERE name = ANY(:name)",
    listed="UPDATE facts SET value = :value "
    "WHERE name IN (SELECT each.value FROM json_each(:name) AS each)",
    locks=True,
)
CHANGED = Statement("UPDATE facts SET value = :value WHERE name = :name", locks=True)


@pytest.fixture
async def database(database_url):
    opened = Database(database_url)
    yield opened
    await opened.close()


def storing(name, value="1"):
    async def store(transaction):
        await insert_rows(transaction, facts, COLUMNS, [(name, value)])
        return name

    return store


async def value_of(database, name):
    query = select(facts.c.value).where(facts.c.name == name)
    async with database.read() as connection:
        return (await connection.execute(query)).scalar()


async def test_the_answer_comes_after_the_commit(database):
    assert await database.transact(storing("a")) == "a"

    assert await value_of(database, "a") == "1"


async def test_a_function_that_fails_stores_nothing(database):
    async def fail(transaction):
        await insert_rows(transaction, facts, COLUMNS, [("a", "1")])
        raise LookupError("a fault of its own")

    with pytest.raises(LookupError):
        await database.transact(fail)

    assert await value_of(database, "a") is None


async def test_one_that_fails_takes_no_neighbour_along(database):
    async def fail(transaction):
        await insert_rows(transaction, facts, COLUMNS, [("bad", "1")])
        raise LookupError("a fault of its own")

    answers = await asyncio.gather(
        *(database.transact(storing(f"n{number}")) for number in range(8)),
        database.transact(fail),
        *(database.transact(storing(f"m{number}")) for number in range(8)),
        return_exceptions=True,
    )

    assert [each for each in answers if isinstance(each, Exception)] == [answers[8]]
    assert [await value_of(database, each) for each in ("n0", "n7", "m0", "m7")] == ["1"] * 4
    assert await value_of(database, "bad") is None


async def test_what_was_inserted_is_there_for_the_next_statement(database):
    async def store(transaction):
        await insert_rows(transaction, facts, COLUMNS, [("a", "1"), ("b", "2")])
        await transaction.fetch(CHANGED, name="a", value="3")
        seen = await transaction.fetch(VALUE, name="a")
        found = await transaction.execute(select(facts.c.value).where(facts.c.name == "b"))
        return [tuple(row) for row in seen], found.scalar()

    assert await database.transact(store) == ([("3",)], "2")
    assert await value_of(database, "a") == "3"


@pytest.mark.parametrize("sizes", [(1,), (2, 1), (3, 1, 2), (1, 1, 1, 4)])
async def test_rows_of_any_number_and_statement_are_stored_in_their_order(database, sizes):
    names = [f"{place}-{row}" for place, size in enumerate(sizes) for row in range(size)]

    async def store(transaction):
        for place, size in enumerate(sizes):
            rows = [(f"{place}-{row}", None if row else "1") for row in range(size)]
            await insert_rows(transaction, facts, COLUMNS, [(n, v or "none") for n, v in rows])

    await database.transact(store)

    async with database.read() as connection:
        found = await connection.execute(select(facts.c.name, facts.c.value))
        kept = {row.name: row.value for row in found if "-" in row.name}
    assert kept == {name: "1" if name.endswith("-0") else "none" for name in names}


async def test_of_many_rows_each_is_there_and_found(database):
    names = [f"n{number:04}" for number in range(1300)]

    async def store(transaction):
        await insert_rows(transaction, facts, COLUMNS, [(name, "1") for name in names])
        return await transaction.fetch_each(ANY_OF, "name", ["none", *names, "other"])

    assert sorted(row[0] for row in await database.transact(store)) == names


@pytest.mark.parametrize("count", [1, 2, 4, 5, 16, 17, 64, 65, 250, 251, 900, 901, 902])
async def test_of_any_number_of_values_each_is_found_once(database, count):
    names = [f"n{number:04}" for number in range(1000)]

    async def store(transaction):
        await insert_rows(transaction, facts, COLUMNS, [(name, "1") for name in names])
        if database.dialect == "sqlite":
            transaction._driver.set_trace_callback(run.append)
        return await transaction.fetch_each(ANY_OF, "name", names[:count])

    run = []
    assert sorted(row[0] for row in await database.transact(store)) == names[:count]
    assert sum("SELECT name" in each for each in run) <= (1 if count <= 900 else 2)


@pytest.mark.parametrize("count", [0, 1, 2, 1300])
async def test_one_statement_changes_all_rows_of_a_list(database, count):
    names = [f"n{number:04}" for number in range(1301)]

    async def store(transaction):
        await insert_rows(transaction, facts, COLUMNS, [(name, "1") for name in names])
        changed = ["other", *names[:count]] if count else []
        await transaction.fetch_each(CHANGED_ALL, "name", changed, value="2")

    await database.transact(store)

    async with database.read() as connection:
        found = await connection.execute(select(facts.c.name).where(facts.c.value == "2"))
        assert sorted(found.scalars()) == names[:count]


@pytest.mark.parametrize("few", [1, 2, 4])
@pytest.mark.parametrize("many", [1, 4, 5, 6])
async def test_rows_of_several_tables_are_stored_in_their_order(database, few, many):
    topics = [f"t{number}" for number in range(many)]
    names = [f"n{number}" for number in range(few)]

    async def store(transaction):
        news = [(topic, "acme", None, 1, "", 5) for topic in topics]
        await insert_rows(transaction, changes, CHANGES, news[:1])
        await insert_rows(transaction, facts, COLUMNS, [(name, "1") for name in names])
        await insert_rows(transaction, changes, CHANGES, news[1:])

    await database.transact(store)

    query = select(changes.c.topic, changes.c.site, changes.c.at_ms).order_by(changes.c.sequence)
    async with database.read() as connection:
        stored = [tuple(row) for row in await connection.execute(query)]
        known = (await connection.execute(select(facts.c.name).order_by(facts.c.name))).scalars()
    assert stored == [(topic, None, 5) for topic in topics]
    assert set(names) <= set(known)


@pytest.mark.parametrize("differ", [(), ("topic",), ("site", "count"), ("topic", "site", "at_ms")])
async def test_rows_with_some_values_in_common_are_stored_as_they_are(database, differ):
    same = {"topic": "t", "account_id": "acme", "site": None, "count": 1, "ids": "", "at_ms": 5}
    other = {"topic": "u", "site": "lakeside", "count": 2, "at_ms": 6}
    news = [
        tuple((other if name in differ and number % 3 else same)[name] for name in CHANGES)
        for number in range(7)
    ]

    async def store(transaction):
        await insert_rows(transaction, changes, CHANGES, news)

    await database.transact(store)

    columns = [changes.c[name] for name in CHANGES]
    async with database.read() as connection:
        stored = await connection.execute(select(*columns).order_by(changes.c.sequence))
        assert [tuple(row) for row in stored] == news


@pytest.mark.parametrize("counts", [(3, 3, 3), (3, 4, 3), (9,)])
async def test_updated_columns_may_have_values_in_common(database, counts):
    keys = range(1, len(counts) + 1)

    async def update(transaction):
        news = [(f"t{number}", "acme", None, 1, "", 5) for number in range(5)]
        await insert_rows(transaction, changes, CHANGES, news)
        rows = [("lakeside", count, key) for key, count in zip(keys, counts, strict=True)]
        await update_rows(transaction, changes, ("site", "count"), "sequence", rows)

    await database.transact(update)

    query = select(changes.c.site, changes.c.count).order_by(changes.c.sequence)
    async with database.read() as connection:
        stored = [tuple(row) for row in await connection.execute(query)]
    untouched = [(None, 1)] * (5 - len(counts))
    assert stored == [*(("lakeside", count) for count in counts), *untouched]


async def test_rows_of_a_table_with_other_columns_come_after_the_first(database):
    async def store(transaction):
        await insert_rows(transaction, changes, CHANGES, [("t0", "acme", None, 1, "", 5)])
        with_mode = (*CHANGES, "mode")
        await insert_rows(transaction, changes, with_mode, [("t1", "acme", None, 1, "", 5, "live")])
        await insert_rows(transaction, changes, CHANGES, [("t2", "acme", None, 1, "", 5)])

    await database.transact(store)

    query = select(changes.c.topic, changes.c.mode).order_by(changes.c.sequence)
    async with database.read() as connection:
        stored = [tuple(row) for row in await connection.execute(query)]
    assert stored == [("t0", None), ("t1", "live"), ("t2", None)]


async def test_of_many_rows_none_is_there_where_one_has_the_key_of_another(database):
    names = [*(f"n{number:04}" for number in range(1300)), "n0700"]

    async def store(transaction):
        await insert_rows(transaction, facts, COLUMNS, [(name, "1") for name in sorted(names)])

    with pytest.raises(IntegrityError):
        await database.transact(store)

    assert [await value_of(database, each) for each in ("n0000", "n0700", "n1299")] == [None] * 3


@pytest.mark.parametrize("is_function", [True, False], ids=["function", "connection"])
async def test_rows_are_updated_by_their_key_and_others_stay(database, is_function):
    async def update(connection):
        rows = [("a", "1"), ("b", "2"), ("c", "3")]
        await insert_rows(connection, facts, COLUMNS, rows)
        await update_rows(connection, facts, ("value",), "name", [("5", "c"), ("4", "a")])
        await update_rows(connection, facts, ("value",), "name", [])

    if is_function:
        await database.transact(update)
    else:
        async with database.begin() as connection:
            await update(connection)

    assert [await value_of(database, each) for each in "abc"] == ["4", "2", "5"]


async def test_an_update_that_the_schema_refuses_stores_nothing(database):
    async def update(transaction):
        await insert_rows(transaction, facts, COLUMNS, [("a", "1"), ("b", "2")])
        await update_rows(transaction, facts, ("name", "value"), "name", [("a", "3", "b")])

    with pytest.raises(IntegrityError):
        await database.transact(update)

    assert await value_of(database, "a") is None


async def test_a_function_that_keeps_an_inserts_error_to_itself_stores_nothing(database):
    async def store(transaction):
        rows = [(f"n{number:04}", "1") for number in range(1300)]
        with contextlib.suppress(DBAPIError):
            await insert_rows(transaction, facts, COLUMNS, [*rows, ("n0700", "1")])
        return "as if it was stored"

    with pytest.raises(DBAPIError):
        await database.transact(store)

    assert [await value_of(database, each) for each in ("n0000", "n0700", "n1299")] == [None] * 3


async def test_what_core_wrote_is_undone_with_the_rest(database):
    await database.transact(storing("a"))

    async def fail(transaction):
        await transaction.execute(facts.update().values(value="changed"))
        await transaction.fetch(CHANGED, name="a", value="changed again")
        raise LookupError("a fault of its own")

    with pytest.raises(LookupError):
        await database.transact(fail)

    assert await value_of(database, "a") == "1"


async def test_a_repeated_key_is_the_same_error_as_anywhere_else(database):
    await database.transact(storing("a"))

    with pytest.raises(IntegrityError):
        await database.transact(storing("a", "2"))

    assert await database.transact(storing("b")) == "b"  # the connection is as good as before


async def test_transactions_of_both_kinds_wait_for_each_other(database):
    async with database.begin() as connection:
        await connection.execute(facts.insert().values(name="slow", value="1"))
        waiting = asyncio.ensure_future(database.transact(storing("quick")))
        if database.dialect == "postgresql":
            await waiting
        else:
            await asyncio.sleep(0.02)
            assert not waiting.done()

    assert await waiting == "quick"
    assert await value_of(database, "slow") == "1"


async def test_a_caller_that_is_cancelled_while_it_waits_for_its_turn_holds_up_nothing(database):
    async with database.begin():
        waiting = asyncio.ensure_future(database.begin().__aenter__())
        await asyncio.sleep(0.02)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)

    assert await database.transact(storing("a")) == "a"


async def test_a_function_that_waits_for_something_else_fails_on_sqlite(sqlite):
    async def wait(_transaction):
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="something else than its connection"):
        await sqlite.transact(wait)


async def test_on_sqlite_it_runs_in_the_writers_thread(sqlite):
    async def thread(_transaction):
        return threading.current_thread().name

    assert await sqlite.transact(thread) == "sqlite writer"


async def test_functions_that_wait_share_a_commit(sqlite):
    commits = []

    async def counted(transaction):
        total = Statement("SELECT count(*) FROM facts")
        before = await transaction.fetch(total)
        await insert_rows(transaction, facts, COLUMNS, [(f"f{len(commits)}", "1")])
        commits.append(before[0][0])

    async with sqlite.begin():  # so that all of them wait
        waiting = [asyncio.ensure_future(sqlite.transact(counted)) for _ in range(5)]
        await asyncio.sleep(0.05)
    await asyncio.gather(*waiting)

    assert commits == [0, 1, 2, 3, 4]


async def test_a_point_read_sees_what_another_process_committed(sqlite):
    await sqlite.transact(storing("a"))
    assert sqlite.read_now(VALUE, name="a") == [("1",)]

    other = sqlite3.connect(sqlite.path)
    other.execute("UPDATE facts SET value = '2'")
    other.commit()
    other.close()

    assert sqlite.read_now(VALUE, name="a") == [("2",)]


async def test_a_point_read_of_a_locked_file_waits_for_nothing_and_leaves_nothing_open(
    sqlite, monkeypatch
):
    await sqlite.transact(storing("a"))
    await sqlite.close()
    opened = []
    connect = sqlite3.connect

    def noted(*args, **options):
        opened.append((connect(*args, **options), options["timeout"]))
        return opened[-1][0]

    with closing(connect(sqlite.path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        monkeypatch.setattr(sqlite3, "connect", noted)
        refused = [sqlite.read_now(VALUE, name="a") for _ in range(2)]
        monkeypatch.undo()

    assert refused == [None, None]
    assert [timeout for _, timeout in opened] == [0, 0]
    for driver, _ in opened:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            driver.execute("SELECT 1")
    assert sqlite.read_now(VALUE, name="a") == [("1",)]
    assert sqlite._point_reader.execute("PRAGMA busy_timeout").fetchone() == (0,)


async def test_a_point_read_can_not_write(sqlite):
    with pytest.raises(Exception, match="readonly"):
        sqlite.read_now(CHANGED, name="a", value="2")


async def test_a_file_that_was_replaced_takes_no_transaction(sqlite):
    await sqlite.transact(storing("a"))
    sqlite.path.rename(sqlite.path.with_suffix(".gone"))
    sqlite._watch._look_at = 0.0

    with pytest.raises(StorageError, match="replaced or deleted"):
        await sqlite.transact(storing("b"))
    with pytest.raises(StorageError, match="replaced or deleted"):
        sqlite.read_now(VALUE, name="a")


@pytest.fixture
def path(tmp_path):
    """A migrated file, which is made outside of an event loop."""
    from conftest import STOCK

    from gateway.testing.schema import migrated_file

    made = tmp_path / "gateway.db"
    made.write_bytes(migrated_file(tuple(each.migrations for each in STOCK)))
    return made


@pytest.fixture
async def sqlite(path):
    opened = Database(f"sqlite+aiosqlite:///{path}")
    yield opened
    await opened.close()
