"""The embedded engine: woken at once, swept for what nobody woke it for, alarmed for retries."""

import asyncio
import random
from datetime import timedelta

import pytest
from core.delivery.delivery_source import Holding, until
from core.delivery.dispatching import Scripted, looked_up, publish
from core.gateways import Recorder, add_destination, opened, sqlite_url

from gateway.clock import SteppingClock, SystemClock

# Seconds between two sweeps. The first runs at the start in any case: what it doesn't find and
# the engine isn't woken for, isn't delivered.
NEVER = 3600.0
ALWAYS = 0.01


class Held(Recorder):
    """A sink that holds the deliveries of one destination until it is let go."""

    def __init__(self):
        super().__init__()
        self.holding = Holding()
        self.hold = ""

    async def deliver(self, batch):
        if batch.destination.id == self.hold:
            await self.holding.deliver(batch)
        return await super().deliver(batch)


async def swept_once(gateway):
    await until(lambda: gateway.engine.last_sweep_at is not None)


async def test_a_delivery_goes_out_without_a_sweep(tmp_path):
    """How soon after the commit is for ``make bench`` to say."""
    sink = Recorder()
    async with opened(sqlite_url(tmp_path), tmp_path, plugins=[sink]) as gateway:
        await add_destination(gateway)
        async with gateway.running(sweep_seconds=NEVER):
            await swept_once(gateway)
            for number in range(20):
                await publish(gateway)
                await until(lambda number=number: len(sink.delivered) == number + 1)


async def test_the_sweep_finds_what_nobody_woke_the_engine_for(database_url, tmp_path):
    sink = Recorder()
    async with (
        opened(database_url, tmp_path, plugins=[sink]) as gateway,
        opened(database_url, tmp_path) as another_process,
    ):
        destination_id = await add_destination(gateway)
        async with gateway.running(sweep_seconds=ALWAYS):
            await publish(another_process, "pkg_1", "pkg_2")
            await until(lambda: len(sink.delivered) == 2)

    assert [to for to, _ in sink.delivered] == [destination_id, destination_id]


async def test_what_was_due_before_the_start_goes_out_at_the_start(tmp_path):
    sink = Recorder()
    async with opened(sqlite_url(tmp_path), tmp_path, plugins=[sink]) as gateway:
        await add_destination(gateway)
        await publish(gateway)
        async with gateway.running(sweep_seconds=NEVER):
            await until(lambda: len(sink.delivered) == 1)


async def test_a_retry_goes_out_when_it_is_due_without_a_sweep(tmp_path):
    sink = Scripted(SystemClock())
    toml = "[delivery]\nretry_schedule_seconds = [0.05, 0.05, 600]"
    async with opened(sqlite_url(tmp_path), tmp_path, toml=toml, plugins=[sink]) as gateway:
        await add_destination(gateway)
        async with gateway.running(sweep_seconds=NEVER):
            await swept_once(gateway)
            [delivery_id] = await publish(gateway)
            await until(lambda: len(sink.delivered) == 3)
        delivery, attempts = await looked_up(gateway, delivery_id)

    assert (delivery.state, delivery.attempts) == ("pending", 3)
    # The schedule counts from when the delivery was taken, a moment before the first try began.
    first = delivery.first_attempt_at
    waited = [(each.started_at - first).total_seconds() for each in attempts]
    assert waited[1] >= 0.05
    assert waited[2] >= 0.1


async def test_a_hanging_destination_holds_back_no_other(tmp_path):
    sink = Held()
    async with opened(sqlite_url(tmp_path), tmp_path, plugins=[sink]) as gateway:
        hanging = await add_destination(gateway, max_in_flight=2)
        working = await add_destination(gateway)
        sink.hold = hanging
        async with gateway.running(sweep_seconds=NEVER):
            await publish(gateway, *(f"pkg_{number}" for number in range(50)))
            await until(lambda: len(sink.types_for(working)) == 50)
            assert sink.types_for(hanging) == []
            assert len(sink.holding.held) == 2
            assert len(gateway.engine.lanes) >= 1
            sink.hold = ""
            sink.holding.let_go()
            await until(lambda: len(sink.types_for(hanging)) == 50)


async def test_the_next_event_of_a_subject_does_not_wait_for_a_sweep(tmp_path):
    sink = Recorder()
    async with opened(sqlite_url(tmp_path), tmp_path, plugins=[sink]) as gateway:
        await add_destination(gateway, ordered=True)
        async with gateway.running(sweep_seconds=NEVER):
            for number in range(10):
                await publish(gateway, data={"number": number})
            await until(lambda: len(sink.delivered) == 10)

    assert [event.data["number"] for _, event in sink.delivered] == list(range(10))


async def test_those_who_watch_endpoints_hear_at_once_that_one_is_gone(tmp_path):
    sink = Scripted(SystemClock(), gone=True)
    async with opened(sqlite_url(tmp_path), tmp_path, plugins=[sink]) as gateway:
        await add_destination(gateway, events=("delivery.*",))
        watching = await add_destination(gateway, events=("endpoint.*",))
        async with gateway.running(sweep_seconds=NEVER):
            await publish(gateway)
            await until(lambda: sink.types_for(watching) == ["endpoint.disabled"])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
async def test_nothing_is_lost_however_commits_and_lanes_interleave(tmp_path, seed):
    """Without a sweep: what one wake-up too few would leave behind would stay there."""
    chance = random.Random(seed)
    sink = Recorder(max_batch=chance.choice([1, 4]))
    async with opened(sqlite_url(tmp_path), tmp_path, plugins=[sink]) as gateway:
        for _ in range(4):
            await add_destination(gateway, max_in_flight=chance.choice([1, 2, 32]))

        async def report(start: int) -> None:
            for number in range(start, start + 60):
                await publish(gateway, f"pkg_{number}")
                await asyncio.sleep(chance.choice([0, 0, 0.001, 0.003]))

        async with gateway.running(sweep_seconds=NEVER):
            await asyncio.gather(*(report(start) for start in range(0, 300, 60)))
            await until(lambda: len(sink.delivered) == 1200)

    assert len({(to, event.id) for to, event in sink.delivered}) == 1200


async def test_an_engine_that_swept_lately_is_healthy(tmp_path):
    clock = SteppingClock()
    async with opened(sqlite_url(tmp_path), tmp_path, clock=clock) as gateway:
        async with gateway.running(sweep_seconds=NEVER):
            engine = gateway.engine
            begun = await engine.health(clock.now())
            await swept_once(gateway)
            fresh = await engine.health(clock.now())
            stale = await engine.health(clock.now() + timedelta(seconds=31))
        assert gateway.engine is None

    assert (begun.healthy, fresh.healthy, stale.healthy) == (True, True, False)
    assert fresh.detail == "deliveries are moving"
    assert stale.detail == "deliveries are not moving; see the log"


async def test_waking_what_does_not_run_does_nothing(tmp_path):
    sink = Recorder()
    async with opened(sqlite_url(tmp_path), tmp_path, plugins=[sink]) as gateway:
        destination_id = await add_destination(gateway)
        await publish(gateway)
        gateway.wake([destination_id])
        async with gateway.running():
            engine = gateway.engine
            await until(lambda: len(sink.delivered) == 1)
        await publish(gateway)
        engine.wake([destination_id])

    assert len(sink.delivered) == 1
    assert not engine.lanes
