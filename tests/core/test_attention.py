"""What needs a person is one list; a source that fails is on it."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from core.gateways import NoSettings, package

from gateway.attention import Attention
from gateway.clock import SteppingClock, to_epoch_ms
from gateway.model.account import Caller
from gateway.plugin import (
    ATTENTION,
    AttentionDetail,
    AttentionItem,
    AttentionSource,
    Destination,
    Sink,
    hookimpl,
    new_id,
)
from gateway.storage.stores.installation import LAST_BACKUP, note_fact

START = datetime(2026, 4, 19, 18, 42, 10, tzinfo=UTC)
JOB = Caller("default", "live", "test")


class Brings:
    """A plugin with one source."""

    def __init__(self, find, permission="acme.see"):
        self.source = AttentionSource("acme-held", permission, find)

    @hookimpl
    def extensions(self, point):
        return [self.source] if point == ATTENTION else []


@pytest.fixture
def clock():
    return SteppingClock(START)


class BringsTheSink:
    """A plugin with the sink of the destinations below."""

    @hookimpl
    def sinks(self):
        return [Sink("acme", NoSettings, self.deliver)]

    async def deliver(self, _batch):
        return []


@pytest.fixture
async def opened(harness, clock):
    made = harness("", clock)
    made.gateway.hooks.register(BringsTheSink(), "board")
    async with made as gateway:
        yield gateway.gateway


def listed(gateway, plugin=None, **options):
    if plugin is not None:
        gateway.hooks.register(plugin, "acme")
    parts = (
        gateway.settings,
        gateway.database,
        gateway.destinations,
        gateway.delivery_log,
        gateway.hooks,
    )
    return Attention(*parts, gateway.clock, **options)


async def add(gateway, **fields):
    now = gateway.clock.now()
    destination = Destination(
        **{
            "id": new_id("dst", now),
            "account_id": "default",
            "mode": "live",
            "sink": "acme",
            "name": "board",
            "events": ("*",),
            "settings": {},
            "created_at": now,
            **fields,
        }
    )
    async with gateway.database.begin() as connection:
        await gateway.destinations.add(connection, destination)
    return destination.id


async def fail_since(gateway, destination_id, minutes, **more):
    from sqlalchemy import update

    from gateway.storage.schema import destinations

    since = gateway.clock.now() - timedelta(minutes=minutes)
    async with gateway.database.begin() as connection:
        await connection.execute(
            update(destinations)
            .where(destinations.c.id == destination_id)
            .values(failing_since_ms=to_epoch_ms(since), **more)
        )


async def test_a_healthy_gateway_needs_nobody(opened):
    await add(opened)
    assert await listed(opened).of(JOB) == []


async def test_an_endpoint_that_failed_for_a_quarter_of_an_hour_is_listed(opened):
    endpoint = await add(opened)
    await fail_since(opened, endpoint, 14)
    assert await listed(opened).of(JOB) == []
    await fail_since(opened, endpoint, 15)

    [item] = await listed(opened).of(JOB)

    assert (item.kind, item.subject, item.since) == (
        "endpoint_failing",
        endpoint,
        START - timedelta(minutes=15),
    )
    assert item.details == []


async def test_a_failing_endpoint_says_how_many_deliveries_wait_and_when_the_next_is_attempted(
    opened,
):
    held_until = START + timedelta(minutes=5)
    endpoint = await add(opened)
    await fail_since(
        opened, endpoint, 15, opened_at_ms=to_epoch_ms(START), held_until_ms=to_epoch_ms(held_until)
    )
    await package(opened)

    [item] = await listed(opened).of(JOB)

    assert item.details == [
        AttentionDetail("{count} delivery waits", {"count": "1"}),
        AttentionDetail("next attempt at {time}", {"time": held_until}),
    ]


async def test_an_endpoint_that_the_gateway_disabled_is_listed_and_one_that_a_person_did_is_not(
    opened,
):
    stopped, chosen = await add(opened), await add(opened)
    async with opened.database.begin() as connection:
        await opened.destinations.disable(connection, stopped, "gone", START)
        await opened.destinations.disable(connection, chosen, "by_request", START)

    assert [each.subject for each in await listed(opened).of(JOB)] == [stopped]


async def test_another_account_s_endpoint_is_not_listed(opened):
    await fail_since(opened, await add(opened), 60)
    assert await listed(opened).of(Caller("elsewhere", "live", "test")) == []


async def test_a_backup_older_than_three_days_is_listed(opened, clock):
    await note_fact(opened.database, LAST_BACKUP, str(to_epoch_ms(START)))
    clock.step(3 * 86_400 - 1)
    assert await listed(opened).of(JOB) == []
    clock.step(1)

    [item] = await listed(opened).of(JOB)

    assert (item.kind, item.since) == ("backup_old", START)


async def test_a_plugin_s_items_are_listed_for_callers_with_its_permission(opened):
    item = AttentionItem("held", "1", "1 order waits.")

    async def find(_caller):
        return [item]

    attention = listed(opened, Brings(find))
    sees = Caller("default", "live", "key_1", permissions=frozenset({"acme.see"}), kind="key")
    blind = Caller("default", "live", "key_2", kind="key")

    assert await attention.of(sees) == [item]
    assert await attention.of(blind) == []


async def test_an_item_of_another_site_is_not_listed(opened):
    async def find(_caller):
        return [AttentionItem("held", "1", "1 order waits.", site="north")]

    attention = listed(opened, Brings(find))

    assert await attention.of(Caller("default", "live", "job", frozenset({"main"}))) == []
    assert len(await attention.of(Caller("default", "live", "job", frozenset({"north"})))) == 1


async def test_a_source_that_raises_is_an_item_itself_and_hides_no_other(opened):
    async def find(_caller):
        raise ValueError("Maria Rodriguez, 123 Main St")

    await fail_since(opened, await add(opened), 60)

    items = await listed(opened, Brings(find)).of(JOB)

    assert [each.kind for each in items] == ["endpoint_failing", "source_failed"]
    assert items[1].text == "The check acme-held fails (ValueError); the log has the place."


async def test_a_source_that_hangs_is_given_up(opened):
    async def find(_caller):
        await asyncio.Event().wait()

    items = await listed(opened, Brings(find), seconds=0.5).of(JOB)

    assert ("source_failed", "acme-held") in [(each.kind, each.subject) for each in items]
