"""A list of few among very many is read from an index of those few, however much is over."""

import pytest
from core.storage.rows import LIVE, destination, with_all_tables
from sqlalchemy import event

from gateway.storage.database import Database
from gateway.storage.delivery_log import AttemptFilter
from gateway.storage.packages import PackageFilter


@pytest.fixture
async def sqlite_database(tmp_path):
    opened = Database(f"sqlite+aiosqlite:///{tmp_path / 'gateway.db'}")
    yield await with_all_tables(opened)
    await opened.close()


async def given_up(kept, connection):
    await kept.log.page(connection, LIVE, limit=9, state="exhausted")


async def failed(kept, connection):
    await kept.destinations.add(connection, destination(LIVE))
    await kept.log.attempts_page(connection, LIVE, AttemptFilter(9, delivered=False))


async def completed(kept, connection):
    await kept.packages.page(connection, LIVE, PackageFilter(9, status="completed"))


@pytest.mark.parametrize(
    ("asked", "searched"),
    [
        (
            given_up,
            "SEARCH deliveries USING INDEX ix_deliveries_exhausted (account_id=? AND state=?)",
        ),
        (
            failed,
            "SEARCH attempts USING INDEX ix_attempts_failed (destination_id=? AND delivered=?)",
        ),
        (completed, "SEARCH packages USING INDEX ix_packages_status (account_id=? AND status=?)"),
    ],
)
async def test_a_list_of_few_among_many_is_read_from_their_index(
    sqlite_database, kept, asked, searched
):
    statements = []
    async with sqlite_database.begin() as connection:

        @event.listens_for(connection.sync_connection, "before_cursor_execute")
        def note(_connection, _cursor, statement, parameters, *_):
            statements.append((statement, parameters))

        await asked(kept, connection)
        query, values = statements[-1]
        explained = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}", values)
        plan = [row[3] for row in explained]

    assert searched in plan
    assert "USE TEMP B-TREE FOR ORDER BY" not in plan
