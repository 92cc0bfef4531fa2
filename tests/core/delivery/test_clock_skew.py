"""A clock that was far ahead and is put right while the gateway is down makes nothing wait."""

from datetime import timedelta

import pytest
from core.delivery.delivery_source import NOW, until
from core.delivery.dispatching import Scripted, carried, looked_up, publish
from core.gateways import Recorder, add_destination, opened, sqlite_url
from sqlalchemy import BigInteger, Column, Engine, MetaData, Table, Text, event, insert, select

from gateway.clock import SteppingClock, to_epoch_ms
from gateway.delivery.clock_skew import ClockSkewMonitor
from gateway.model.delivery import Outcome
from gateway.storage.maintenance.clock_skew import last_recorded_time
from gateway.storage.plugin_tables import DueColumn

ALWAYS = 0.005  # seconds between two sweeps

AHEAD = timedelta(days=3)
LEASE_SECONDS = 60.0


def keeper(gateway, clock, waits=()):
    return ClockSkewMonitor(gateway.database, clock, lease_seconds=LEASE_SECONDS, waits=waits)


async def noted(gateway):
    async with gateway.database.read() as connection:
        return await last_recorded_time(connection)


def set_back(caplog):
    return [each for each in caplog.messages if each.startswith("the clock was set back")]


async def test_a_start_after_the_clock_was_put_right_sends_what_waits(
    database_url, tmp_path, caplog
):
    # Given a gateway that ran three days ahead: one try failed, and something never went out
    wrong, sink = SteppingClock(NOW + AHEAD), Recorder()
    failing = Scripted(wrong, retry_after_seconds=7200.0)
    async with opened(database_url, tmp_path, clock=wrong, plugins=[failing]) as gateway:
        await keeper(gateway, wrong).check()
        wrong.step(30)
        target = await add_destination(gateway)
        [tried] = await publish(gateway)
        await carried(gateway, target)
        [untried] = await publish(gateway, "pkg_2")

    # When it starts with the clock put right, and that stays so
    clock = SteppingClock(NOW)
    async with (
        opened(database_url, tmp_path, clock=clock, plugins=[sink]) as gateway,
        gateway.running(sweep_seconds=ALWAYS),
    ):
        await until(lambda: any("seconds behind" in each for each in caplog.messages))
        assert sink.delivered == []
        clock.step(300)
        await until(lambda: set_back(caplog) == ["the clock was set back by 258900 seconds"])
        clock.step(30)  # so long had it run when it last noted the time
        await until(lambda: len(sink.delivered) == 1 and not gateway.engine.lanes)

        # Then what never went out is sent; the other one still waits for as long as it was told
        assert (await looked_up(gateway, untried))[0].state == "delivered"
        retry, _ = await looked_up(gateway, tried)
        assert retry.due_at == NOW + timedelta(seconds=300 + 7200 + 30)
        assert retry.first_attempt_at == NOW + timedelta(seconds=330)


async def test_an_outcome_that_is_stored_after_the_clock_was_put_right_waits_no_longer(
    database_url, tmp_path
):
    # Given an attempt that failed a day ahead, whose outcome is in memory
    clock = SteppingClock(NOW + timedelta(days=1))
    sink = Scripted(clock)
    async with opened(database_url, tmp_path, clock=clock, plugins=[sink]) as gateway:
        target = await add_destination(gateway)
        [tried] = await publish(gateway)
        batch = await gateway.dispatcher.claim(target, 1)
        failed = Outcome(
            delivery_id=tried, delivered=False, started_at=clock.now(), duration_ms=7, status=500
        )
        stored = gateway.dispatcher.settle(batch.deliveries[0], failed, urgent=True)
        # When the clock is put right before it is stored
        clock.step(-86_400)
        await stored

        # Then the next attempt is as far away as the schedule says
        found, _ = await looked_up(gateway, tried)
    assert NOW < found.due_at <= NOW + timedelta(seconds=60)


async def test_a_clock_that_catches_up_soon_changes_nothing(tmp_path, caplog):
    # Given a machine that knows the time only a while after it was switched on
    clock = SteppingClock(NOW)
    async with opened(sqlite_url(tmp_path), tmp_path, clock=clock) as gateway:
        await keeper(gateway, clock).check()
        early = SteppingClock(NOW - timedelta(days=10_000))
        late = keeper(gateway, early)
        for _ in range(3):
            await late.check()
            early.step(99)
        assert await noted(gateway) == NOW

        early.step(10_000 * 86_400)
        await late.check()

        assert set_back(caplog) == []
        assert await noted(gateway) == early.now()
        # Another time it is waited for as long again
        early.step(-3600)
        await late.check()
        early.step(299)
        await late.check()
        assert set_back(caplog) == []
        early.step(1)
        await late.check()
        assert set_back(caplog) == ["the clock was set back by 3300 seconds"]


async def test_it_is_done_once_by_however_many_processes(database_url, tmp_path, caplog):
    wrong, clock = SteppingClock(NOW + AHEAD), SteppingClock(NOW)
    async with opened(database_url, tmp_path, clock=clock) as gateway:
        await keeper(gateway, wrong).check()
        two = [keeper(gateway, clock), keeper(gateway, clock)]
        for each in two:
            await each.check()
        clock.step(300)
        for each in (*two, keeper(gateway, clock)):
            await each.check()

    assert len(set_back(caplog)) == 1


async def test_a_set_back_that_was_seen_is_not_found_a_second_time(tmp_path, caplog):
    clock = SteppingClock(NOW)
    async with opened(sqlite_url(tmp_path), tmp_path, clock=clock) as gateway:
        running = keeper(gateway, clock)
        await running.check()
        clock.step(-3600)
        await running.check(3600.0)
        next_one = keeper(gateway, clock)
        await next_one.check()
        clock.step(300)
        await next_one.check()

    assert set_back(caplog) == ["the clock was set back by 3600 seconds"]


@pytest.mark.parametrize("seconds", [0, 5, 60])
async def test_clocks_of_two_machines_may_differ_a_little(tmp_path, caplog, seconds):
    clock, other = SteppingClock(NOW), SteppingClock(NOW - timedelta(seconds=seconds))
    async with opened(sqlite_url(tmp_path), tmp_path, clock=clock) as gateway:
        await keeper(gateway, clock).check()
        await keeper(gateway, other).check()
        assert await noted(gateway) == other.now()

    assert caplog.messages == []


async def test_the_time_is_noted_once_a_minute_and_when_it_jumps(tmp_path):
    clock = SteppingClock(NOW)
    async with opened(sqlite_url(tmp_path), tmp_path, clock=clock) as gateway:
        running = keeper(gateway, clock)
        found = []
        for step in (0, 59, 1, 1, 259_200):
            clock.step(step)
            await running.check()
            found.append(((await noted(gateway)) - NOW).total_seconds())

    assert found == [0, 0, 60, 60, 259_261]


async def test_a_start_looks_at_one_row_only(tmp_path):
    clock, statements = SteppingClock(NOW), []
    async with opened(sqlite_url(tmp_path), tmp_path, clock=clock) as gateway:
        await keeper(gateway, clock).check()

        def note(_connection, _cursor, statement, *_):
            statements.append(statement)

        event.listen(Engine, "before_cursor_execute", note)
        try:
            await keeper(gateway, clock).check()
        finally:
            event.remove(Engine, "before_cursor_execute", note)

    assert [each.split()[0] for each in statements] == ["BEGIN", "SELECT", "INSERT"]


async def test_what_plugins_wait_for_is_brought_forward_and_no_lease_is_cut_short(
    database_url, tmp_path
):
    rows = Table(
        "fake_rows",
        MetaData(),
        Column("name", Text),
        Column("due_at_ms", BigInteger),
        Column("lease_until_ms", BigInteger),
    )
    waits = [DueColumn(rows.c.due_at_ms), DueColumn(rows.c.lease_until_ms, lease_seconds=120)]
    clock = SteppingClock(NOW)
    now_ms, hour_ms = to_epoch_ms(NOW), 3_600_000
    given = {
        # name: due and lease before, and as they are to be, in ms from now
        "done long ago": (-hour_ms, None, -hour_ms, None),
        "came in just before": (hour_ms - 5, 0, 0, 0),
        "is tried again in a minute": (hour_ms + 60_000, None, 60_000, None),
        "taken a minute before": (0, hour_ms + 60_000, 0, 60_000),
        "taken just now": (0, 120_000, 0, 120_000),
        "lost meanwhile": (0, 120_001, 0, 0),
    }
    async with opened(database_url, tmp_path, clock=clock) as gateway:
        async with gateway.database.begin() as connection:
            await connection.run_sync(rows.metadata.create_all)
            await connection.execute(
                insert(rows),
                [
                    {
                        "name": name,
                        "due_at_ms": now_ms + due,
                        "lease_until_ms": None if lease is None else now_ms + lease,
                    }
                    for name, (due, lease, *_) in given.items()
                ],
            )

        await keeper(gateway, clock, waits).check(3600.0)

        async with gateway.database.read() as connection:
            found = (await connection.execute(select(rows))).all()
    assert {
        name: (due - now_ms, None if lease is None else lease - now_ms)
        for name, due, lease in found
    } == {name: tuple(each[2:]) for name, each in given.items()}
