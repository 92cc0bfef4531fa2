"""Whoever is told of an event finds it in the database: nothing is announced before the commit.

A plugin or an engine that hears too soon looks for what isn't there yet, and hears of what
never was when the commit fails.
"""

import sqlite3
from contextlib import closing
from datetime import timedelta

import pytest
from core.delivery.dispatching import Scripted, carried, publish
from core.gateways import (
    LIVE,
    add_destination,
    change_destination,
    opened,
    order,
    package,
    sqlite_url,
    update,
)

from gateway.clock import SteppingClock
from gateway.hookspecs import hookimpl


class OnTheSpot:
    """A plugin that looks, over a connection of its own, whether what it is told is stored."""

    def __init__(self, directory):
        self.path = directory / "gateway.db"
        self.told = []

    @hookimpl
    def events_recorded(self, events):
        self.told += [(event.type, self.count("events", event.id)) for event in events]

    def count(self, table, row_id):
        with closing(sqlite3.connect(self.path)) as connection:
            query = f"SELECT count(*) FROM {table} WHERE id = ?"
            [(found,)] = connection.execute(query, (row_id,))
        return found


async def accept(gateway):
    await package(gateway)


async def report(gateway):
    await gateway.tracking.apply(LIVE, update(await package(gateway), "delivery.completed"))


async def amend(gateway):
    await gateway.amendments.amend(LIVE, await package(gateway), order(rx_number="RX-2"))


@pytest.mark.parametrize(
    ("act", "told"),
    [
        (accept, ["package.created"]),
        (report, ["package.created", "delivery.completed"]),
        (amend, ["package.created", "package.updated"]),
    ],
)
async def test_an_event_is_stored_when_it_is_announced(tmp_path, act, told):
    watcher = OnTheSpot(tmp_path)
    async with opened(sqlite_url(tmp_path), tmp_path, plugins=[watcher]) as gateway:
        await act(gateway)

    assert watcher.told == [(kind, 1) for kind in told]


async def test_news_of_an_endpoint_is_stored_when_it_is_announced(tmp_path):
    clock = SteppingClock()
    watcher, sink = OnTheSpot(tmp_path), Scripted(clock, gone=True)
    async with opened(
        sqlite_url(tmp_path), tmp_path, clock=clock, plugins=[watcher, sink]
    ) as gateway:
        target = await add_destination(gateway)
        await publish(gateway)
        await carried(gateway, target)

    assert watcher.told == [("delivery.completed", 1), ("endpoint.disabled", 1)]


async def test_what_a_recovery_queued_is_stored_when_the_engine_is_woken(tmp_path):
    watcher = OnTheSpot(tmp_path)
    async with opened(sqlite_url(tmp_path), tmp_path, plugins=[watcher]) as gateway:
        target = await add_destination(gateway, state="disabled")
        await publish(gateway)
        await change_destination(gateway, target, state="active")
        waiting = []

        def wake(destination_ids):
            with closing(sqlite3.connect(watcher.path)) as connection:
                rows = connection.execute("SELECT destination_id FROM deliveries").fetchall()
            waiting.append((set(destination_ids), rows))

        gateway.recovery._wake = wake
        async with gateway.database.read() as connection:
            about = await gateway.destinations.get(connection, LIVE, target)
        since = gateway.clock.now() - timedelta(hours=1)
        await gateway.recovery.start(about, since, None)
        await gateway.recovery.step()

    assert waiting == [({target}, [(target,)])]
