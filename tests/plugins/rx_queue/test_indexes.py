"""Jobs are found by their indexes, and a change of a job writes as few of them as possible."""

import asyncio
import re

import pytest
from gateway_rx_queue.claims import Claims
from gateway_rx_queue.store import Scope
from gateway_rx_queue.tables import JOBS, OVER, TABLES, metadata, rx_jobs
from sqlalchemy import event, select, text

from gateway.clock import SteppingClock
from gateway.storage.database import Database
from gateway.storage.work_queue import WorkQueue
from gateway.testing.schema import migrated_file


class Bench:
    """A migrated database, and the steps of SQLite's plans."""

    def __init__(self, path) -> None:
        self.database = Database(f"sqlite+aiosqlite:///{path}")
        self.clock = SteppingClock()

    async def plan_of(self, asked) -> str:
        async with self.database.begin() as connection:
            statements = []

            @event.listens_for(connection.sync_connection, "before_cursor_execute")
            def note(_connection, _cursor, statement, parameters, *_):
                statements.append((statement, parameters))

            await asked(connection)
            [(statement, of)] = tuple(statements)
            rows = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", of)
            return "\n".join(row[3] for row in rows)


@pytest.fixture
async def bench(tmp_path):
    # Which of two indexes SQLite takes depends on the one that was made last.
    path = tmp_path / "gateway.db"
    path.write_bytes(await asyncio.to_thread(migrated_file, (TABLES.migrations,)))
    made = Bench(path)
    yield made
    await made.database.close()


@pytest.mark.parametrize(
    ("site", "index"),
    [
        (None, "ix_rx_jobs_due (account_id=? AND mode=? AND due_at_ms<?)"),
        ("lakeside", "ix_rx_jobs_due_site (account_id=? AND mode=? AND site=? AND due_at_ms<?)"),
    ],
)
async def test_a_claim_reads_the_queue_of_its_scope_in_order(bench, site, index):
    claims = Claims(WorkQueue(JOBS, bench))

    async def claim(connection):
        await claims.take(connection, Scope("default", "live", site), 10, 60, 5)

    plan = await bench.plan_of(claim)

    assert f"SEARCH rx_jobs USING INDEX {index}" in plan
    open_jobs = "SEARCH other USING INDEX ix_rx_jobs_patient (patient_index=? AND account_id=?)"
    assert open_jobs in plan
    assert "USE TEMP B-TREE" not in plan


async def test_jobs_that_are_over_are_read_from_their_index_by_age(bench):
    async def old(connection):
        over = select(rx_jobs.c.id).where(text(OVER), rx_jobs.c.state_at_ms < 5)
        await connection.execute(
            over.where(rx_jobs.c.purged.is_(False)).order_by(rx_jobs.c.state_at_ms).limit(9)
        )

    plan = await bench.plan_of(old)

    assert plan == "SEARCH rx_jobs USING INDEX ix_rx_jobs_over (purged=? AND state_at_ms<?)"


def test_no_index_has_a_condition_that_sqlite_makes_a_table_for():
    conditions = [
        str(index.dialect_options["sqlite"]["where"])
        for table in metadata.tables.values()
        for index in table.indexes
    ]

    lists = [each for each in conditions if re.search(r"IN \([^)]*,[^)]*,", each)]
    assert lists == []
