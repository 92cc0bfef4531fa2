"""How much room there is, and that it comes back."""

import asyncio
import sqlite3
import sys
from contextlib import closing
from datetime import timedelta
from subprocess import PIPE

import pytest
from core.storage.old_rows import House, ago
from core.storage.rows import NOW, with_all_tables
from sqlalchemy import Column, Integer, LargeBinary, MetaData, Table, delete, insert, text

from gateway.errors import Conflict
from gateway.storage.database import Database
from gateway.storage.maintenance.locks import exclusive_connection
from gateway.storage.maintenance.space import compact, extent, release_space, table_sizes
from gateway.storage.schema import events, facts, packages

HOLDING_IT_OPEN = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("SELECT count(*) FROM facts").fetchall()
print("open", flush=True)
sys.stdin.readline()
"""
BULK = Table("bulk", MetaData(), Column("id", Integer, primary_key=True), Column("b", LargeBinary))


@pytest.fixture
async def sqlite(tmp_path):
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'gateway.db'}")
    yield await with_all_tables(database)
    await database.close()


@pytest.fixture
def older(tmp_path):
    """A file as it was made before it could give space back."""
    path = tmp_path / "older.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE bulk (id INTEGER PRIMARY KEY, b BLOB)")
        connection.execute("CREATE TABLE facts (name TEXT, value TEXT)")
    return path


async def filled(database, rows=3000):
    """Put some ten megabytes in, and most of it out again."""
    async with database.begin() as connection:
        await connection.run_sync(BULK.create, checkfirst=True)
        some = [{"id": number, "b": bytes(3000)} for number in range(rows)]
        await connection.execute(insert(BULK), some)
    await database.run_script("PRAGMA wal_checkpoint(TRUNCATE)")
    async with database.begin() as connection:
        await connection.execute(delete(BULK).where(BULK.c.id >= 100))


async def test_the_file_gets_smaller_when_space_is_given_back(sqlite):
    await filled(sqlite)
    before = sqlite.path.stat().st_size

    given = await release_space(sqlite, pause_seconds=0)

    after = sqlite.path.stat().st_size
    assert before - after == given
    assert after < before / 10
    assert (await extent(sqlite)) == (after, 0, True)
    async with sqlite.read() as connection:
        assert (await connection.execute(text("PRAGMA integrity_check"))).scalar() == "ok"
        assert (await connection.execute(text("SELECT count(*) FROM bulk"))).scalar() == 100


async def test_there_is_room_between_two_portions_for_a_writer(sqlite):
    await filled(sqlite)

    giving = asyncio.create_task(release_space(sqlite, pause_seconds=0.001))
    written = 0
    while not giving.done():
        async with sqlite.begin() as connection:
            await connection.execute(insert(facts).values(name=f"{written}", value="1"))
        written += 1

    assert await giving > 0
    assert written > 1


async def test_a_sweep_releases_the_space_of_deleted_rows(sqlite):
    house = House(sqlite)
    await house.destination()
    await house.told(days=731)
    await filled(sqlite)
    before = sqlite.path.stat().st_size

    await house.kept_for(metadata_days=730).prune("gateway")

    assert sqlite.path.stat().st_size < before / 10
    assert await house.counts(packages, events) == [0, 0]


async def test_an_older_file_keeps_its_pages_until_it_is_compacted(older):
    database = Database(f"sqlite+aiosqlite:///{older}")
    await filled(database)

    assert await release_space(database, pause_seconds=0) == 0
    found = await extent(database)
    assert not found.releases_space
    assert found.free_bytes > 8_000_000
    await database.close()

    before, after = await asyncio.to_thread(compact, older)

    assert before == found.size_bytes
    assert after == older.stat().st_size < before / 10
    database = Database(f"sqlite+aiosqlite:///{older}")
    assert (await extent(database)).releases_space
    async with database.read() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM bulk"))).scalar() == 100
        assert (await connection.execute(text("PRAGMA journal_mode"))).scalar() == "wal"
    await database.close()


async def test_a_file_that_another_process_has_open_is_not_compacted(older):
    other = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDING_IT_OPEN, str(older), stdin=PIPE, stdout=PIPE
    )
    assert await other.stdout.readline() == b"open\n"
    before = older.read_bytes()

    with pytest.raises(Conflict, match=r"^The database is in use by another process, such as"):
        compact(older)

    assert older.read_bytes() == before
    await other.communicate(b"\n")
    compact(older)


async def test_no_other_process_gets_in_while_a_file_is_locked(older):
    with (
        exclusive_connection(older),
        closing(sqlite3.connect(older, timeout=0)) as late,
        pytest.raises(sqlite3.OperationalError, match="locked"),
    ):
        late.execute("SELECT count(*) FROM facts")


async def test_postgresql_has_no_space_to_release(postgres_url):
    database = Database(postgres_url)

    assert await release_space(database, pause_seconds=0) == 0
    found = await extent(database)
    assert found.size_bytes > 1_000_000
    assert found[1:] == (0, True)
    await database.close()


async def test_each_table_says_how_many_rows_it_has_and_how_old_they_are(database):
    house = House(database)
    await house.destination()
    await house.told(days=3)
    await house.told(days=8, external_order_id="SO-2")

    sizes = {each.table: each for each in await table_sizes(database, [packages, events, facts])}

    assert list(sizes)[-1] == "facts"
    assert (sizes["packages"].rows, sizes["packages"].oldest) == (2, ago(8))
    assert (sizes["events"].rows, sizes["events"].oldest) == (2, NOW - timedelta(days=8))
    assert (sizes["facts"].rows, sizes["facts"].oldest) == (0, None)
    # A page for the table and one for each of its indexes, at the least.
    assert sizes["packages"].size_bytes >= 6 * 4096
    assert sizes["packages"].size_bytes > sizes["facts"].size_bytes >= 4096


async def test_an_empty_table_has_no_oldest_row(database):
    assert [(each.rows, each.oldest) for each in await table_sizes(database, [events])] == [
        (0, None)
    ]


async def test_where_others_delete_faster_it_stops_and_goes_on_the_next_time(sqlite):
    class Overtaken:
        """A file in which as much becomes free as is given back."""

        dialect, read = sqlite.dialect, staticmethod(sqlite.read)
        asked: list[str] = []  # noqa: RUF012 - one test's own

        async def run_script(self, statements):
            self.asked.append(statements)

    await filled(sqlite)

    assert await release_space(Overtaken(), pause_seconds=0) == 0

    assert Overtaken.asked == ["PRAGMA incremental_vacuum(1000)", "PRAGMA wal_checkpoint(PASSIVE)"]


def test_a_file_that_can_not_be_opened_is_distinguished_from_one_in_use(tmp_path):
    folder = tmp_path / "gateway.db"
    folder.mkdir()

    with (
        pytest.raises(sqlite3.OperationalError, match="unable to open"),
        exclusive_connection(folder),
    ):
        raise AssertionError  # it can't come to this
