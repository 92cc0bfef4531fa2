"""A destination that keeps failing, all the way: held, tried, warned about, disabled, back."""

import asyncio

from core.delivery.delivery_source import Holding, until
from core.delivery.dispatching import Scripted, carried, looked_up, publish
from core.gateways import (
    Recorder,
    add_destination,
    change_destination,
    destination,
    opened,
    sqlite_url,
)

from gateway.clock import SteppingClock, SystemClock

RULES = """
[delivery]
breaker_failures = 3
breaker_pauses_seconds = [30, 60]
retry_schedule_seconds = [1]
"""
DAY = 86_400


class Held(Recorder):
    """A sink that holds what it is handed until it is let go."""

    def __init__(self):
        super().__init__()
        self.holding = Holding()

    async def deliver(self, batch):
        await self.holding.deliver(batch)
        return await super().deliver(batch)


def told(sink, watching):
    return [(event.type, dict(event.data)) for to, event in sink.delivered if to == watching]


async def test_after_so_many_failures_nothing_is_sent_until_one_try_succeeds(
    database_url, tmp_path
):
    clock = SteppingClock()
    sink = Scripted(clock)
    async with opened(database_url, tmp_path, toml=RULES, clock=clock, plugins=[sink]) as gateway:
        target = await add_destination(gateway, max_in_flight=1, name="Board")
        watching = await add_destination(gateway, events=("endpoint.*",))
        await publish(gateway, *(f"pkg_{n}" for n in range(6)))
        await carried(gateway, target)
        counts = [len(sink.delivered)]
        at_first = (await destination(gateway, target)).breaker
        clock.step(29.9)
        await carried(gateway, target)
        counts.append(len(sink.delivered))
        with_work = await gateway.dispatcher.destinations_with_work()
        clock.step(0.2)
        await carried(gateway, target)
        counts.append(len(sink.delivered))
        again = (await destination(gateway, target)).breaker
        clock.step(60)
        sink.changes = {"delivered": True}
        await carried(gateway, target)
        counts.append(len(sink.delivered))
        closed = await destination(gateway, target)
        await carried(gateway, watching)

    # Six waited: three opened it, one tried, and with the next all went.
    assert counts == [3, 3, 4, 10]
    assert target not in with_work
    assert (at_first.state, at_first.failures, at_first.openings) == ("open", 3, 1)
    assert (again.state, again.failures, again.openings) == ("open", 4, 2)
    assert (closed.breaker.state, closed.breaker.failures, closed.failing_since) == (
        "closed",
        0,
        None,
    )
    assert told(sink, watching) == [
        (
            "endpoint.recovered",
            {
                "endpoint_id": target,
                "name": "Board",
                "reason": None,
                "failing_since": "2026-01-01T00:00:00Z",
            },
        )
    ]


async def test_what_was_taken_ahead_goes_back_untried_when_it_opens(tmp_path):
    clock = SteppingClock()
    sink = Scripted(clock)
    url = sqlite_url(tmp_path)
    async with opened(url, tmp_path, toml=RULES, clock=clock, plugins=[sink]) as gateway:
        target = await add_destination(gateway, max_in_flight=1)
        ids = await publish(gateway, *(f"pkg_{n}" for n in range(20)))
        await carried(gateway, target)
        tries = [len((await looked_up(gateway, each))[1]) for each in ids]
    assert sorted(tries) == [0] * (20 - sum(tries)) + [1] * sum(tries)
    assert sum(tries) == 3


async def test_who_is_busy_is_asked_nothing_more_until_then(database_url, tmp_path):
    clock = SteppingClock()
    sink = Scripted(clock, status=429, busy=True, retry_after_seconds=20.0)
    async with opened(database_url, tmp_path, clock=clock, plugins=[sink]) as gateway:
        target = await add_destination(gateway, max_in_flight=1)
        other = await add_destination(gateway)
        await publish(gateway, "pkg_1", "pkg_2", "pkg_3")
        await carried(gateway, target)
        first = len(sink.attempts)
        sink.changes = {"delivered": True}
        clock.step(19.9)
        await carried(gateway, target)
        held = len(sink.attempts)
        await carried(gateway, other)
        elsewhere = len(sink.attempts)
        clock.step(0.2)
        await carried(gateway, target)
    assert (first, held, elsewhere, len(sink.attempts)) == (1, 1, 4, 7)


async def test_a_day_without_success_warns_and_five_disable(tmp_path):
    clock = SteppingClock()
    sink = Scripted(clock)
    url = sqlite_url(tmp_path)
    async with opened(url, tmp_path, clock=clock, plugins=[sink]) as gateway:
        target = await add_destination(gateway, events=("*", "endpoint.*"), name="Old")
        watching = await add_destination(gateway, events=("endpoint.*",))
        for _ in range(8):
            await publish(gateway)
            await carried(gateway, target)
            clock.step(DAY - 1000)
        stopped = await destination(gateway, target)
        sink.changes = {"delivered": True}
        await carried(gateway, watching)

    assert (stopped.state, stopped.state_reason) == ("disabled", "failing")
    assert stopped.disabled_at is not None
    since = "2026-01-01T00:00:00Z"
    about = {"endpoint_id": target, "name": "Old"}
    assert told(sink, watching) == [
        ("endpoint.failing", {**about, "reason": None, "failing_since": since}),
        ("endpoint.disabled", {**about, "reason": "failing"}),
    ]


async def looked_after(gateway, clock):
    """Let the half hour pass in which nobody is given up on, with the job run as it is."""
    for _ in range(6):
        clock.step(300)
        await gateway.expiry.run()


async def test_what_waits_behind_an_open_breaker_is_given_up_after_a_whole_schedule(tmp_path):
    clock = SteppingClock()
    sink = Scripted(clock)
    url = sqlite_url(tmp_path)
    async with opened(url, tmp_path, toml=RULES, clock=clock, plugins=[sink]) as gateway:
        target = await add_destination(gateway, max_in_flight=1)
        ids = await publish(gateway, *(f"pkg_{n}" for n in range(6)))
        await carried(gateway, target)
        await looked_after(gateway, clock)
        early = [(await looked_up(gateway, each))[0].state for each in ids]
        clock.step(DAY)
        await gateway.expiry.run()  # we were asleep: the destination is tried first
        awake = [(await looked_up(gateway, each))[0].state for each in ids]
        await looked_after(gateway, clock)
        late = [(await looked_up(gateway, each))[0].state for each in ids]
    assert early == awake == ["pending"] * 6
    assert late == ["exhausted"] * 6


async def test_a_busy_sinks_pause_outlives_the_successes_that_were_on_their_way(tmp_path):
    class Limited(Scripted):
        calls = 0

        async def deliver(self, batch):
            self.calls += 1
            if self.calls == 2:
                self.changes = {"status": 429, "busy": True, "retry_after_seconds": 600.0}
                return await super().deliver(batch)
            await asyncio.sleep(0.05)
            self.changes = {"delivered": True, "status": 200}
            return await super().deliver(batch)

    sink = Limited(SystemClock())
    async with opened(sqlite_url(tmp_path), tmp_path, plugins=[sink]) as gateway:
        target = await add_destination(gateway, max_in_flight=4)
        await publish(gateway, *(f"pkg_{n}" for n in range(40)))
        await carried(gateway, target)
        held_until = (await destination(gateway, target)).breaker.held_until
    assert sink.calls <= 4
    assert held_until is not None


async def test_many_that_fail_at_once_open_it_once(database_url, tmp_path):
    class Quick(Scripted):
        calls = 0

        async def deliver(self, batch):
            self.calls += 1
            await asyncio.sleep(0.001 * (self.calls % 7))
            return await super().deliver(batch)

    sink = Quick(SystemClock())
    async with opened(database_url, tmp_path, plugins=[sink]) as gateway:
        target = await add_destination(gateway, max_in_flight=256)
        await publish(gateway, *(f"pkg_{n}" for n in range(300)))
        await carried(gateway, target)
        breaker = (await destination(gateway, target)).breaker
    assert breaker.openings == 1
    assert (breaker.held_until - breaker.opened_at).total_seconds() == 30


async def test_a_delivery_that_needed_no_call_says_nothing_of_how_it_is(tmp_path):
    clock = SteppingClock()
    sink = Scripted(clock)
    url = sqlite_url(tmp_path)
    async with opened(url, tmp_path, toml=RULES, clock=clock, plugins=[sink]) as gateway:
        target = await add_destination(gateway, max_in_flight=1)
        await publish(gateway, "pkg_1", "pkg_2")
        await carried(gateway, target)
        sink.changes = {"delivered": True, "status": None, "error": "nothing_to_tell"}
        await publish(gateway, "pkg_3")
        await carried(gateway, target)
        after = await destination(gateway, target)
    assert (after.breaker.failures, after.last_success_at) == (2, None)


async def test_a_lane_hears_soon_that_its_destination_was_disabled(tmp_path):
    clock = SteppingClock()
    sink = Held()
    async with opened(sqlite_url(tmp_path), tmp_path, clock=clock, plugins=[sink]) as gateway:
        target = await add_destination(gateway, max_in_flight=1)
        await publish(gateway, *(f"pkg_{n}" for n in range(100)))
        running = asyncio.create_task(carried(gateway, target))
        await sink.holding.until(lambda: len(sink.holding.held) == 1)
        await change_destination(gateway, target, state="disabled")
        clock.step(2.1)
        for number in range(1, 100):
            sink.holding.let_go()
            await until(lambda n=number: len(sink.holding.seen) > n or running.done())
            if running.done():
                break
        await running
    # One was on its way, and a few more went while the database was asked; 100 wait.
    assert len(sink.delivered) < 50
