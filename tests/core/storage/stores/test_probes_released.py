"""A try behind an open breaker that comes to nothing leaves its destination to the next one."""

import pytest
from core.storage.rows import LIVE, NOW, at, destination, queued
from sqlalchemy import event

from gateway.model.circuit_breaker import Breaker, EndpointHealth
from gateway.storage.stores.destinations import conditions, hold, write

LEASE_SECONDS = 60.0
OPEN = Breaker(failures=20, openings=1, opened_at=at(-30), held_until=NOW)


@pytest.fixture
def probe(connection, kept):
    """Take a delivery as the one try of a destination whose breaker is open."""

    async def take(breaker=OPEN, ends=LEASE_SECONDS, *, probing=True):
        target = destination(LIVE)
        await kept.destinations.add(connection, target)
        await write(connection, {target.id: EndpointHealth(breaker, at(-60))})
        await queued(connection, target, 2)
        [taken] = await kept.outbox.claim(
            connection, target.id, limit=1, now=NOW, lease_seconds=LEASE_SECONDS
        )
        await hold(connection, target.id, at(ends), probe_lease=taken.lease if probing else None)
        return taken

    return take


@pytest.fixture
def held_until(connection):
    async def read(taken):
        found = await conditions(connection, [taken.destination_id])
        return found[taken.destination_id].breaker.held_until

    return read


async def test_a_probe_released_without_an_attempt_holds_nothing(
    connection, kept, probe, held_until
):
    taken, other = await probe(), await probe()

    await kept.outbox.release(connection, [taken], at(1))

    assert await held_until(taken) == at(1)
    assert await held_until(other) == at(LEASE_SECONDS)
    found = await conditions(connection, [taken.destination_id])
    assert found[taken.destination_id].breaker.state == "open"


async def test_the_probe_of_a_dead_process_holds_nothing(connection, kept, probe, held_until):
    taken = [await probe(), await probe()]

    await kept.outbox.take_back(connection, at(1))

    assert [await held_until(each) for each in taken] == [at(1), at(1)]


@pytest.mark.parametrize("until", [LEASE_SECONDS, 3600], ids=["with the lease", "later"])
async def test_a_pause_without_a_probe_continues_whenever_it_ends(
    connection, kept, probe, held_until, until
):
    taken = await probe(ends=until, probing=False)
    other = await probe(ends=until, probing=False)

    await kept.outbox.release(connection, [taken], at(1))
    await kept.outbox.take_back(connection, at(2))

    assert await held_until(taken) == await held_until(other) == at(until)


async def test_a_pause_that_follows_the_probes_outcome_continues(
    connection, kept, probe, held_until
):
    taken = await probe()
    again = OPEN.changed(openings=2, held_until=at(LEASE_SECONDS))
    await write(connection, {taken.destination_id: EndpointHealth(again, at(-60))})

    await kept.outbox.release(connection, [taken], at(1))
    await kept.outbox.take_back(connection, at(2))

    assert await held_until(taken) == at(LEASE_SECONDS)


async def test_a_hold_that_is_over_stays_as_it_was(connection, kept, probe, held_until):
    taken = await probe()

    await kept.outbox.release(connection, [taken], at(LEASE_SECONDS + 5))

    assert await held_until(taken) == at(LEASE_SECONDS)


async def test_taking_back_looks_at_what_is_due_later_only(sqlite_database, kept):
    statements = []
    async with sqlite_database.begin() as connection:

        @event.listens_for(connection.sync_connection, "before_cursor_execute")
        def note(_connection, _cursor, statement, parameters, *_):
            statements.append((statement, parameters))

        await kept.outbox.take_back(connection, NOW)
        plans = [
            [row[3] for row in await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {one}", of)]
            for one, of in tuple(statements)
        ]

    of_probes, of_leases = plans
    in_index = "USING INDEX ix_deliveries_due (destination_id=? AND due_at_ms"
    assert of_probes == ["SCAN destinations"]
    assert f"SEARCH deliveries {in_index}>?)" in of_leases
    assert not [step for step in of_leases if step.startswith("SCAN deliveries")]
