"""A destination that keeps failing, all the way: held, tried, warned about, disabled, back."""

from core.flow.dispatching import Scripted, carried, looked_up, publish
from core.flow.gateways import add_destination, destination, opened, sqlite_url

from gateway.clock import SteppingClock

RULES = """
[delivery]
breaker_failures = 3
breaker_pauses_seconds = [30, 60]
retry_schedule_seconds = [1]
"""
DAY = 86_400


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
        for _ in range(7):
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


async def test_what_waits_behind_an_open_breaker_is_given_up_after_a_whole_schedule(tmp_path):
    clock = SteppingClock()
    sink = Scripted(clock)
    url = sqlite_url(tmp_path)
    async with opened(url, tmp_path, toml=RULES, clock=clock, plugins=[sink]) as gateway:
        target = await add_destination(gateway, max_in_flight=1)
        ids = await publish(gateway, *(f"pkg_{n}" for n in range(6)))
        await carried(gateway, target)
        clock.step(DAY)
        await gateway.giving_up.run()
        early = [(await looked_up(gateway, each))[0].state for each in ids]
        clock.step(1)
        await gateway.giving_up.run()
        late = [(await looked_up(gateway, each))[0].state for each in ids]
    assert early == ["pending"] * 6
    assert late == ["exhausted"] * 6
