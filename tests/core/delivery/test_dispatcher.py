"""From the outbox to the sink and back: claims, outcomes, and what follows from them."""

import asyncio
from datetime import timedelta
from itertools import pairwise

from core.delivery.dispatching import Scripted, carried, looked_up, publish
from core.gateways import (
    Recorder,
    add_destination,
    destination,
    opened,
)
from waiting import PATIENCE_SECONDS

from gateway.clock import SteppingClock
from gateway.storage.stores import destinations as destination_store


async def test_a_delivery_that_arrives_is_over(database_url, tmp_path):
    clock = SteppingClock()
    sink = Scripted(clock, delivered=True, status=204, excerpt=b"thanks")
    async with opened(database_url, tmp_path, clock=clock, plugins=[sink]) as gateway:
        destination_id = await add_destination(gateway)
        [delivery_id] = await publish(gateway)
        await carried(gateway, destination_id)
        delivery, [attempt] = await looked_up(gateway, delivery_id)
        target = await destination(gateway, destination_id)

    assert (delivery.state, delivery.attempts) == ("delivered", 1)
    assert (delivery.due_at, delivery.finished_at) == (None, clock.now())
    assert (attempt.number, attempt.delivered, attempt.status) == (1, True, 204)
    assert (attempt.duration_ms, attempt.error, attempt.excerpt) == (7, None, "thanks")
    assert attempt.started_at == clock.now()
    assert (target.last_success_at, target.failing_since) == (clock.now(), None)


async def test_a_failed_delivery_is_tried_again_on_schedule_until_it_is_given_up(
    database_url, tmp_path
):
    clock = SteppingClock()
    started = clock.now()
    sink = Scripted(clock)
    async with opened(database_url, tmp_path, clock=clock, plugins=[sink]) as gateway:
        destination_id = await add_destination(gateway)
        [delivery_id] = await publish(gateway)
        tried = []
        while True:
            await carried(gateway, destination_id)
            delivery, attempts = await looked_up(gateway, delivery_id)
            assert len(attempts) == delivery.attempts == len(tried) + 1
            tried.append((clock.now() - started).total_seconds())
            if delivery.state != "pending":
                break
            # A moment earlier nothing is due.
            clock.step((delivery.due_at - clock.now()).total_seconds() - 0.001)
            await carried(gateway, destination_id)
            assert len(sink.delivered) == len(tried)
            clock.step(0.001)
        target = await destination(gateway, destination_id)

    waits = [5, 30, 120, 600, 1800, 3600, 7200, 14400, 28800]
    took = [later - earlier for earlier, later in pairwise(tried)]
    assert (delivery.state, delivery.attempts, delivery.due_at) == ("exhausted", 11, None)
    for wait, real in zip(waits, took, strict=False):
        assert wait <= real <= wait * 1.1 + 0.001
    assert tried[-1] == 86_400
    assert [attempt for _, attempt in sink.attempts] == list(range(1, 12))
    assert (target.state, target.failing_since) == ("active", started)


async def test_what_the_other_side_asks_for_is_waited_for(database_url, tmp_path):
    clock = SteppingClock()
    sink = Scripted(clock, retry_after_seconds=90.0)
    async with opened(database_url, tmp_path, clock=clock, plugins=[sink]) as gateway:
        destination_id = await add_destination(gateway)
        [delivery_id] = await publish(gateway)
        await carried(gateway, destination_id)
        delivery, _ = await looked_up(gateway, delivery_id)

    assert delivery.due_at == clock.now() + timedelta(seconds=90)


async def test_one_success_ends_a_destinations_bad_time(database_url, tmp_path):
    clock = SteppingClock()
    sink = Scripted(clock)
    async with opened(database_url, tmp_path, clock=clock, plugins=[sink]) as gateway:
        destination_id = await add_destination(gateway)
        await publish(gateway)
        await carried(gateway, destination_id)
        since = clock.now()
        clock.step(10)
        await carried(gateway, destination_id)
        failing = await destination(gateway, destination_id)
        sink.changes = {"delivered": True}
        clock.step(40)
        await carried(gateway, destination_id)
        recovered = await destination(gateway, destination_id)

    assert (failing.failing_since, failing.last_success_at) == (since, None)
    assert (recovered.failing_since, recovered.last_success_at) == (None, clock.now())


async def test_no_transaction_is_open_while_a_sink_delivers(database_url, tmp_path):
    """The sink itself takes the database for writing: on SQLite there is only one writer."""

    class Writes(Recorder):
        async def deliver(self, batch):
            async with asyncio.timeout(PATIENCE_SECONDS), gateway.database.begin() as connection:
                ids = [batch.destination.id]
                await destination_store.succeeded(connection, ids, gateway.clock.now())
            return await super().deliver(batch)

    sink = Writes()
    async with opened(database_url, tmp_path, plugins=[sink]) as gateway:
        destination_id = await add_destination(gateway, max_in_flight=1)
        await publish(gateway, *(f"pkg_{number}" for number in range(5)))
        await carried(gateway, destination_id)

    assert len(sink.delivered) == 5
