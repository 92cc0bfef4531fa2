"""Retention works in short transactions: it can be stopped, shared and overtaken."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from core.storage.old_rows import STORES, House, ago
from core.storage.rows import rows_in
from sqlalchemy import insert, text, tuple_
from waiting import PATIENCE_SECONDS

from gateway.clock import to_epoch_ms
from gateway.storage.database import Database
from gateway.storage.retention.policy import STEPS
from gateway.storage.schema import attempts, deliveries, events, packages


@pytest.fixture
async def house(database):
    house = House(database)
    await house.destination()
    return house


async def old_attempts(house, count, *, days=31):
    row = {
        "account_id": "acme",
        "destination_id": "dst_board",
        "delivery_id": "dlv_gone",
        "event_id": "evt_1",
        "event_type": "delivery.completed",
        "number": 1,
        "started_at_ms": to_epoch_ms(ago(days)),
        "duration_ms": 1,
        "delivered": True,
    }
    async with house.database.begin() as connection:
        await connection.execute(insert(attempts), [row] * count)


class Watched:
    """A database that notes how many attempts there are after each writing transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.dialect = database.dialect
        self.read = database.read
        self.run_script = database.run_script
        self.counts: list[int] = []
        self.stop_after = 1000

    @asynccontextmanager
    async def begin(self):
        async with self._database.begin() as connection:
            yield connection
            self.counts.append(await rows_in(connection, attempts))
        if len(self.counts) >= self.stop_after:
            raise asyncio.CancelledError


async def test_five_hundred_rows_go_at_a_time(house):
    await old_attempts(house, 1100)
    watched = Watched(house.database)
    house.database = watched

    assert await house.gone(log_days=30) == {"attempts": 1100}

    assert watched.counts == [600, 100, 0]


async def test_where_nothing_is_due_no_writer_is_held_up(house):
    await old_attempts(house, 3, days=29)
    await house.told(days=29)
    watched = Watched(house.database)
    house.database = watched

    swept = await house.swept(payload_days=90, metadata_days=730, log_days=30)

    assert not any(each.rows for each in swept.values())
    assert watched.counts == []


async def test_a_rehearsal_waits_for_no_writer(house):
    await house.told(days=800)

    async with house.database.begin() as connection, asyncio.timeout(PATIENCE_SECONDS):
        await STORES.accounts.ensure(connection, "acme", ago(0))
        swept = await house.swept(dry_run=True, payload_days=90, metadata_days=730, log_days=30)

    assert [each.rows for each in swept.values()] == [1, 0, 1, 0, 0, 1, 0]


async def test_a_hundred_packages_go_at_a_time_with_all_that_is_theirs(house):
    ids = [await house.package(days=91, external_order_id=f"SO-{n}") for n in range(101)]
    for package_id in ids:
        await house.event(package_id, days=91)
    watched = Watched(house.database)
    house.database = watched

    assert await house.gone(payload_days=90) == {"contents of packages": 101}

    assert len(watched.counts) == 2
    assert {row.purged for row in await house.rows(packages)} == {True}
    assert {row.purged for row in await house.rows(events)} == {True}


async def test_what_was_stopped_goes_on_where_it_was(house):
    await old_attempts(house, 1100)
    watched = Watched(house.database)
    watched.stop_after = 1
    plain, house.database = house.database, watched

    with pytest.raises(asyncio.CancelledError):
        await house.swept(log_days=30)

    house.database = plain
    assert await house.counts(attempts) == [600]
    assert await house.gone(log_days=30) == {"attempts": 600}


async def test_two_at_once_do_the_work_once(house):
    for number in range(5):
        await house.told(days=91, external_order_id=f"SO-{number}")
    await old_attempts(house, 1000)

    both = await asyncio.gather(*(house.gone(payload_days=90, log_days=30) for _ in range(2)))

    # A process passes over what the other one holds, so one of them may come back for it.
    rest = await house.gone(payload_days=90, log_days=30)
    for what, count in (("contents of packages", 5), ("attempts", 1005)):
        assert sum(each.get(what, 0) for each in (*both, rest)) == count
    assert await house.counts(attempts) == [0]


async def test_events_sent_again_at_the_same_moment_are_not_erased(house):
    """Sending again holds its event until it is committed; emptying looks after that."""
    package_id = await house.told(days=91)
    [delivery] = await house.rows(deliveries)

    async with house.database.begin() as connection:
        await STORES.outbox.resend(connection, "acme", delivery.id, ago(0))
        sweeping = asyncio.create_task(house.swept(payload_days=90))
        assert not (await asyncio.wait({sweeping}, timeout=0.2))[0]

    async with asyncio.timeout(PATIENCE_SECONDS):
        swept = await sweeping
    assert swept["contents of packages"][2:4] == (0, 1)
    assert not await house.purged(package_id)
    assert [row.purged for row in await house.rows(events)] == [False]


async def test_events_being_recovered_at_the_same_moment_are_not_erased(house):
    """Recovery queues events it has read; they must not be emptied in between."""
    event_id = await house.event("rxq_1", days=91)

    async with house.database.begin() as connection:
        [event] = await STORES.events.between(
            connection, "acme", after_id="evt_", until_ms=to_epoch_ms(ago(0)), limit=5
        )
        sweeping = asyncio.create_task(house.swept(payload_days=90))
        async with asyncio.timeout(PATIENCE_SECONDS):
            if house.database.dialect == "postgresql":  # it passes over what is held
                assert (await sweeping)["contents of other events"].rows == 0
            else:  # SQLite's writers take turns
                assert not (await asyncio.wait({sweeping}, timeout=0.2))[0]
        assert (event.id, event.purged) == (event_id, False)

    async with asyncio.timeout(PATIENCE_SECONDS):
        swept = await sweeping
    if house.database.dialect == "sqlite":
        assert swept["contents of other events"].rows == 1


INDEXES = {
    "packages": "ix_packages_finished",
    "contents of packages": "ix_packages_finished",
    "other events": "ix_events_loose",
    "contents of other events": "ix_events_loose",
    "files of packages": "ix_files_created_at_ms",
    "replayable answers": "ix_idempotency_created_at_ms",
}


@pytest.mark.parametrize("onward", [False, True], ids=["first", "next"])
@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.what)
async def test_every_step_walks_along_an_index(house, step, onward):
    query = step.query.order_by(*step.key).limit(step.at_once)
    if onward:
        sample = {"sequence": 5, "id": "a", "account_id": "a", "key_digest": b"b"}
        at = [sample.get(column.key, 5) for column in step.key]
        query = query.where(tuple_(*step.key) > tuple_(*at))

    plan = await _plan(house.database, query)

    own_order = {"sqlite": "attempts", "postgresql": "pk_attempts"}[house.database.dialect]
    assert INDEXES.get(step.what, own_order) in plan


async def _plan(database, query):
    async with database.read() as connection:
        compiled = query.compile(dialect=connection.dialect, compile_kwargs={"literal_binds": True})
        if database.dialect == "postgresql":
            # The tables are empty, and then it would rather read them whole.
            await connection.execute(text("SET LOCAL enable_seqscan = off"))
            await connection.execute(text("SET LOCAL enable_bitmapscan = off"))
            rows = await connection.exec_driver_sql(f"EXPLAIN {compiled}")
            return "\n".join(row[0] for row in rows)
        rows = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}")
        return "\n".join(row[3] for row in rows)
