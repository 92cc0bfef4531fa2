"""The one try behind an open breaker, when the process that makes it ends."""

from datetime import timedelta

import pytest
from core.delivery.delivery_source import until
from core.delivery.dispatching import Scripted, carried, publish
from core.gateways import Recorder, add_destination, destination, opened, sqlite_url

from gateway.clock import SteppingClock

RULES = """
[delivery]
breaker_failures = 3
breaker_pauses_seconds = [30, 45]
retry_schedule_seconds = [1]
"""


@pytest.fixture
def clock():
    return SteppingClock()


async def opens(gateway, clock, **changes):
    """Let a destination's breaker open, and its pause of 30 seconds pass."""
    target = await add_destination(gateway, max_in_flight=1, **changes)
    await publish(gateway, *(f"pkg_{n}" for n in range(6)))
    await carried(gateway, target)
    assert (await destination(gateway, target)).breaker.openings == 1
    clock.step(31)
    return target


async def with_work(gateway, target):
    return target in await gateway.dispatcher.destinations_with_work()


async def test_a_try_that_a_stopping_process_gives_back_can_be_made_at_once(
    database_url, tmp_path, clock
):
    sink = Scripted(clock)
    async with opened(database_url, tmp_path, toml=RULES, clock=clock, plugins=[sink]) as gateway:
        target = await opens(gateway, clock)
        # Given a lane that is stopped while it is being handed its one delivery
        batch = await gateway.dispatcher.claim(target, 10)
        [probe] = batch.deliveries
        assert not await with_work(gateway, target)

        gateway.dispatcher.release(probe)
        await gateway.dispatcher.drained()

        assert await with_work(gateway, target)
        # And again it is one that is handed out, and nothing more as long as it is out
        assert len((await gateway.dispatcher.claim(target, 10)).deliveries) == 1
        assert not await with_work(gateway, target)


async def test_after_a_kill_the_next_start_makes_the_try_at_once(tmp_path, clock):
    url, failing = sqlite_url(tmp_path), Scripted(clock)
    async with opened(url, tmp_path, toml=RULES, clock=clock, plugins=[failing]) as gateway:
        target = await opens(gateway, clock)
        assert len((await gateway.dispatcher.claim(target, 10)).deliveries) == 1
    works = Recorder()
    async with (
        opened(url, tmp_path, toml=RULES, clock=clock, plugins=[works]) as gateway,
        gateway.running(),
    ):
        await until(lambda: len(works.delivered) == 6)
        await until(lambda: not gateway.engine.lanes)
        assert (await destination(gateway, target)).breaker.state == "closed"


@pytest.mark.parametrize(
    ("changes", "pause_seconds"), [({}, 45), ({"busy": True, "retry_after_seconds": 60.0}, 60)]
)
async def test_the_pause_after_a_try_that_failed_outlives_a_start(
    tmp_path, clock, changes, pause_seconds
):
    sink = Scripted(clock)
    url = sqlite_url(tmp_path)
    async with opened(url, tmp_path, toml=RULES, clock=clock, plugins=[sink]) as gateway:
        target = await opens(gateway, clock)
        sink.changes = changes
        await carried(gateway, target)
        failed_at = clock.now()
    clock.step(1)
    async with opened(url, tmp_path, toml=RULES, clock=clock, plugins=[sink]) as gateway:
        await gateway.dispatcher.take_back()
        held_until = (await destination(gateway, target)).breaker.held_until
        assert held_until == failed_at + timedelta(seconds=pause_seconds)
        assert not await with_work(gateway, target)


async def test_a_pause_that_was_asked_for_outlives_a_start_and_what_it_sends_back(tmp_path, clock):
    sink = Scripted(clock, status=429, busy=True, retry_after_seconds=60.0)
    url = sqlite_url(tmp_path)
    async with opened(url, tmp_path, clock=clock, plugins=[sink]) as gateway:
        target = await add_destination(gateway, max_in_flight=1)
        await publish(gateway, *(f"pkg_{n}" for n in range(6)))
        # The first is told to wait for as long as a lease lasts; the others go back untried.
        await carried(gateway, target)
        asked_until = clock.now() + timedelta(seconds=60)
        assert (await destination(gateway, target)).breaker.held_until == asked_until
    clock.step(1)
    async with opened(url, tmp_path, clock=clock, plugins=[sink]) as gateway:
        await gateway.dispatcher.take_back()
        assert (await destination(gateway, target)).breaker.held_until == asked_until
        assert not await with_work(gateway, target)
        assert len(sink.attempts) == 1
