"""After the clock was set back, nothing waits for the time that it was set back by."""

from datetime import timedelta

import pytest
from core.storage.rows import LIVE, NOW, at, delivered, destination, failed, queued
from sqlalchemy import select

from gateway.clock import to_epoch_ms
from gateway.model.circuit_breaker import Breaker, EndpointHealth
from gateway.storage.maintenance.clock_skew import extend_leases, shift_due_times
from gateway.storage.schema import deliveries, destinations
from gateway.storage.stores import destinations as destination_store

HOUR = 3600.0
LEASE_SECONDS = 60.0
TARGET = destination(LIVE)


@pytest.fixture
async def dues(connection, kept):
    """Queue three deliveries at NOW; return a reader of how far off each is, by id."""
    await kept.destinations.add(connection, TARGET)
    _, ids = await queued(connection, TARGET, 3)

    async def read(now):
        rows = await connection.execute(
            select(deliveries.c.id, deliveries.c.due_at_ms).order_by(deliveries.c.id)
        )
        found = dict(map(tuple, rows))
        return [(found[each] - to_epoch_ms(now)) / 1000 for each in ids]

    return read


async def test_what_was_queued_before_is_due_and_a_retry_keeps_its_wait(connection, kept, dues):
    # Given one that is to be tried again in 30 s, when the clock is set back by an hour
    [taken] = await kept.outbox.claim(
        connection, TARGET.id, limit=1, now=NOW, lease_seconds=LEASE_SECONDS
    )
    await kept.outbox.settle(connection, [failed(taken, at(30))], NOW)
    now = at(-HOUR)
    assert await dues(now) == [HOUR + 30, HOUR, HOUR]

    await shift_due_times(connection, now, seconds=HOUR, lease_seconds=LEASE_SECONDS)

    assert await dues(now) == [30, 0, 0]


async def test_a_lease_lasts_no_longer_than_a_new_one_and_is_not_cut_short(connection, kept, dues):
    # Given one that was taken before the clock was set back, and one that was taken after
    async def take(now):
        return await kept.outbox.claim(
            connection, TARGET.id, limit=1, now=now, lease_seconds=LEASE_SECONDS
        )

    now = at(-HOUR)
    [before] = await take(NOW)
    await shift_due_times(connection, now, seconds=HOUR, lease_seconds=LEASE_SECONDS)
    [after] = await take(now)
    await shift_due_times(connection, now, seconds=HOUR, lease_seconds=LEASE_SECONDS)

    assert await dues(now) == [LEASE_SECONDS, LEASE_SECONDS, 0]
    # They are still whose they were
    await kept.outbox.settle(connection, [delivered(before), failed(after, at(-HOUR + 5))], now)
    assert await dues(now) == [LEASE_SECONDS, 5, 0]


async def test_a_destination_that_is_left_alone_is_so_for_no_longer(connection, dues):
    await destination_store.hold(connection, TARGET.id, at(90))
    now = at(-HOUR)

    await shift_due_times(connection, now, seconds=HOUR, lease_seconds=LEASE_SECONDS)

    held = (await connection.execute(select(destinations.c.held_until_ms))).scalar_one()
    assert held == to_epoch_ms(now + timedelta(seconds=90))


async def test_finished_and_due_deliveries_stay_as_they_are(connection, kept, dues):
    [taken] = await kept.outbox.claim(
        connection, TARGET.id, limit=1, now=NOW, lease_seconds=LEASE_SECONDS
    )
    await kept.outbox.settle(connection, [delivered(taken)], NOW)
    now = at(10)
    before = await dues(now)

    await shift_due_times(connection, now, seconds=HOUR, lease_seconds=LEASE_SECONDS)

    assert await dues(now) == before


async def test_what_happened_lies_no_longer_ahead(connection, kept, dues):
    [taken] = await kept.outbox.claim(
        connection, TARGET.id, limit=1, now=NOW, lease_seconds=LEASE_SECONDS
    )
    await kept.outbox.settle(connection, [failed(taken, at(30))], NOW)
    opened = Breaker(failures=20, openings=1, opened_at=NOW, held_until=at(30), warned_at=NOW)
    await destination_store.write(connection, {TARGET.id: EndpointHealth(opened, NOW)})
    now = at(-HOUR)

    await shift_due_times(connection, now, seconds=HOUR, lease_seconds=LEASE_SECONDS)

    found = await kept.log.get(connection, LIVE, taken.id)
    shown = await kept.destinations.get(connection, LIVE, TARGET.id)
    assert (found.first_attempt_at, shown.failing_since) == (now, now)
    assert (shown.breaker.opened_at, shown.breaker.warned_at) == (now, now)
    assert shown.breaker.held_until == now + timedelta(seconds=30)


async def test_a_step_forward_extends_each_lease_once_and_no_due_time(connection, kept, dues):
    await kept.outbox.claim(connection, TARGET.id, limit=1, now=NOW, lease_seconds=LEASE_SECONDS)

    for _ in range(2):  # two processes see the same step
        await extend_leases(connection, NOW, seconds=HOUR, lease_seconds=LEASE_SECONDS)

    assert await dues(NOW) == [HOUR + LEASE_SECONDS, 0, 0]
