"""What waited too long for a destination that nobody calls is given up; nothing else is."""

import pytest
from core.storage.rows import LIVE, NOW, at, destination
from sqlalchemy import update

from gateway.clock import to_epoch_ms
from gateway.model.circuit_breaker import Breaker, EndpointHealth
from gateway.storage.schema import deliveries
from gateway.storage.stores.destinations import write
from gateway.storage.stores.outbox import NewDelivery, expire

OPEN = EndpointHealth(Breaker(failures=20, openings=1, opened_at=NOW, held_until=at(30)), NOW)
DAY = 86_400


@pytest.fixture
def waiting(connection, kept):
    """Make a destination and a delivery that waits for it; returns both ids."""

    async def make(condition=None, made=NOW, **changes):
        target = destination(LIVE, **changes)
        await kept.destinations.add(connection, target)
        if condition is not None:
            await write(connection, {target.id: condition})
        [delivery_id] = await kept.outbox.queue(connection, [new_delivery(target.id)], made)
        return target.id, delivery_id

    return make


def new_delivery(destination_id):
    return NewDelivery("acme", destination_id, "evt_1", "package.created", "pkg_1", in_order=False)


async def given_up(connection, limit=10):
    return await expire(
        connection, older_than=at(0.001), now=at(DAY), limit=limit, sinks=[destination(LIVE).sink]
    )


async def test_it_expires_where_the_breaker_is_open_or_the_destination_disabled(
    connection, kept, waiting
):
    opened, first = await waiting(OPEN)
    disabled, second = await waiting(state="disabled")
    assert await given_up(connection) == {opened: 1, disabled: 1}
    for each in (first, second):
        delivery = await kept.log.get(connection, LIVE, each)
        assert (delivery.state, delivery.attempts) == ("exhausted", 0)
        assert (delivery.finished_at, delivery.due_at) == (at(DAY), None)
    assert await given_up(connection) == {}


async def test_the_healthy_and_the_paused_keep_theirs(connection, waiting):
    await waiting()
    await waiting(state="paused")
    assert await given_up(connection) == {}


async def test_a_paused_one_keeps_its_own_though_its_breaker_is_open(connection, waiting):
    await waiting(OPEN, state="paused")
    assert await given_up(connection) == {}


async def test_a_destination_that_failed_for_less_is_attempted_first(connection, waiting):
    lately = EndpointHealth(OPEN.breaker, at(DAY - 60))
    await waiting(lately)
    assert await given_up(connection) == {}


async def test_deliveries_that_can_no_longer_be_sent_expire(connection, waiting):
    orphan, _ = await waiting(sink="of a plugin that is gone")
    assert await given_up(connection) == {orphan: 1}


async def test_what_is_younger_or_on_its_way_is_left_alone(connection, waiting):
    await waiting(OPEN, made=at(1))
    _, on_its_way = await waiting(OPEN)
    taken = update(deliveries).where(deliveries.c.id == on_its_way)
    await connection.execute(taken.values(lease="x", due_at_ms=to_epoch_ms(at(DAY + 60))))
    assert await given_up(connection) == {}


async def test_no_more_than_asked_for_at_a_time(connection, waiting):
    opened, _ = await waiting(OPEN)
    other, _ = await waiting(OPEN)
    first, second, third = [await given_up(connection, limit=1) for _ in range(3)]
    assert (len(first), len(second), third) == (1, 1, {})
    assert {*first, *second} == {opened, other}


async def test_what_was_sent_again_has_a_whole_schedule_before_it(connection, kept, waiting):
    """It was made long ago, and is as good as new."""
    _, again = await waiting(OPEN)
    assert len(await given_up(connection)) == 1
    await kept.outbox.resend(connection, "acme", again, at(DAY))

    async def after(seconds):
        older_than = at(seconds - DAY)
        sinks = [destination(LIVE).sink]
        return await expire(
            connection, older_than=older_than, now=at(seconds), limit=10, sinks=sinks
        )

    assert await after(2 * DAY) == {}
    assert len(await after(2 * DAY + 1)) == 1
