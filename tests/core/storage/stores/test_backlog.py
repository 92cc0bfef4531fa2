"""How much waits, for how long, and when something was tried last."""

import asyncio
from datetime import timedelta

import pytest
from core.delivery.dispatching import Scripted, carried, publish
from core.gateways import add_destination, change_destination, opened, sqlite_url
from sqlalchemy import event

from gateway.clock import SteppingClock
from gateway.storage.stores.backlog import BacklogReader, DestinationBacklog

MINUTE = timedelta(minutes=1)


def reader(gateway, *sinks, **rows) -> BacklogReader:
    return BacklogReader(gateway.database, gateway.clock, sinks or ("fake",), **rows)


async def test_without_destinations_nothing_waits(database_url, tmp_path):
    clock = SteppingClock()
    async with opened(database_url, tmp_path, clock=clock) as gateway:
        backlog = await reader(gateway).read()

    assert (backlog.read_at, backlog.queues) == (clock.now(), {})
    assert (backlog.last_attempt_at, backlog.oldest_age) == (None, timedelta())


async def test_each_backlog_has_the_number_due_and_for_how_long(database_url, tmp_path):
    clock = SteppingClock()
    async with opened(database_url, tmp_path, clock=clock) as gateway:
        started = clock.now()
        full, empty = await add_destination(gateway), await add_destination(gateway, events=())
        await publish(gateway, "pkg_1")
        clock.step(60)
        await publish(gateway, "pkg_2", "pkg_3")
        clock.step(60)
        backlog = await reader(gateway).read()

    assert backlog.queues == {
        full: DestinationBacklog("active", None, due=3, oldest_due_at=started),
        empty: DestinationBacklog("active", None),
    }
    assert backlog.oldest_age == 2 * MINUTE


async def test_a_later_attempt_is_not_due(database_url, tmp_path):
    clock = SteppingClock()
    sink = Scripted(clock, retry_after_seconds=600)
    async with opened(database_url, tmp_path, clock=clock, plugins=[sink]) as gateway:
        failing = await add_destination(gateway)
        await publish(gateway)
        clock.step(60)
        tried_at = clock.now()
        await carried(gateway, failing)
        backlog = await reader(gateway).read()

    assert backlog.queues == {failing: DestinationBacklog("active", tried_at)}
    assert backlog.last_attempt_at == tried_at + timedelta(milliseconds=7)


async def test_what_waits_for_an_earlier_one_of_its_subject_is_not_held_against_anybody(
    database_url, tmp_path
):
    clock = SteppingClock()
    sink = Scripted(clock, retry_after_seconds=7200)
    async with opened(database_url, tmp_path, clock=clock, plugins=[sink]) as gateway:
        ordered = await add_destination(gateway, ordered=True)
        await publish(gateway, "pkg_1")
        await publish(gateway, "pkg_1")
        await carried(gateway, ordered)
        clock.step(3600)
        waiting = await reader(gateway).read()
        await publish(gateway, "pkg_2")
        clock.step(60)
        moving = await reader(gateway).read()

    assert (waiting.queues[ordered].due, waiting.oldest_age) == (1, timedelta())
    assert (moving.queues[ordered].due, moving.oldest_age) == (2, MINUTE)


@pytest.mark.parametrize("state", ["paused", "disabled"])
async def test_what_waits_on_purpose_has_no_age(database_url, tmp_path, state):
    clock = SteppingClock()
    async with opened(database_url, tmp_path, clock=clock) as gateway:
        stopped = await add_destination(gateway)
        await publish(gateway)
        await change_destination(gateway, stopped, state=state)
        clock.step(3600)
        backlog = await reader(gateway).read()

    assert backlog.queues == {stopped: DestinationBacklog(state, None)}


async def test_a_destination_that_is_left_alone_is_as_old_as_the_end_of_its_pause(
    database_url, tmp_path
):
    clock = SteppingClock()
    sink = Scripted(clock)
    rules = "[delivery]\nbreaker_failures = 1\nbreaker_pauses_seconds = [900]\n"
    options = {"toml": rules, "clock": clock, "plugins": [sink]}
    async with opened(database_url, tmp_path, **options) as gateway:
        failing = await add_destination(gateway)
        started = clock.now()
        await publish(gateway)
        await carried(gateway, failing)
        await publish(gateway, "pkg_2")
        clock.step(899)
        held = await reader(gateway).read()
        clock.step(61)
        free = await reader(gateway).read()

    until = started + 15 * MINUTE
    assert held.queues == {
        failing: DestinationBacklog("active", started, due=2, breaker="open", held_until=until)
    }
    assert held.oldest_age == timedelta()
    assert free.queues == {
        failing: DestinationBacklog("active", started, due=2, oldest_due_at=until, breaker="open")
    }
    assert free.oldest_age == MINUTE


async def test_deliveries_of_an_absent_sink_have_no_age(tmp_path):
    async with opened(sqlite_url(tmp_path), tmp_path) as gateway:
        of_a_plugin_that_is_off = await add_destination(gateway)
        await publish(gateway)
        backlog = await reader(gateway, "webhooks").read()

    assert backlog.queues == {of_a_plugin_that_is_off: DestinationBacklog("active", None)}


async def test_a_removed_destination_is_not_listed(tmp_path):
    async with opened(sqlite_url(tmp_path), tmp_path) as gateway:
        removed = await add_destination(gateway)
        await publish(gateway)
        async with gateway.database.begin() as connection:
            await gateway.destinations.remove(connection, removed, gateway.clock.now())
        backlog = await reader(gateway).read()

    assert backlog.queues == {}


async def test_counting_ends_where_there_is_very_much(tmp_path):
    async with opened(sqlite_url(tmp_path), tmp_path) as gateway:
        one = await add_destination(gateway)
        await publish(gateway, *(f"pkg_{number}" for number in range(12)))
        alone = await reader(gateway, max_rows=10, min_rows=3).read()
        for _ in range(4):
            await add_destination(gateway, events=())
        among_five = await reader(gateway, max_rows=10, min_rows=3).read()

    assert (alone.queues[one].due, among_five.queues[one].due) == (10, 3)


async def test_it_is_read_once_a_second_however_often_it_is_asked_for(tmp_path):
    clock = SteppingClock()
    async with opened(sqlite_url(tmp_path), tmp_path, clock=clock) as gateway:
        asked = reader(gateway)
        first, same = await asyncio.gather(asked.read(), asked.read())
        clock.step(0.5)
        still = await asked.read()
        clock.step(0.5)
        later = await asked.read()

    assert first is same is still
    assert later.read_at == clock.now()


async def test_it_is_read_from_indexes(tmp_path):
    statements = []
    async with opened(sqlite_url(tmp_path), tmp_path) as gateway:
        await add_destination(gateway)
        async with gateway.database.read() as connection:

            @event.listens_for(connection.sync_connection, "before_cursor_execute")
            def note(_connection, _cursor, statement, parameters, *_):
                statements.append((statement, parameters))

            await reader(gateway)._read(connection)
            plans = [
                [
                    row[3]
                    for row in await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {one}", of)
                ]
                for one, of in tuple(statements)
            ]

    *_, counting, last_try = ("\n".join(plan) for plan in plans)
    assert counting.count("SEARCH deliveries USING INDEX ix_deliveries_due") == 2
    assert "SEARCH other USING INDEX ix_deliveries_in_order" in counting
    assert "SCAN deliveries" not in counting
    assert last_try == "SCAN attempts"  # by its primary key, and one row of it
