"""The inbox in Shopify's words. What every plugin's inbox does is in core/sdk/test_inbox.py."""

import asyncio
import json
import sys
from pathlib import Path

import pytest
from gateway_shopify.inbox import LEASE_SECONDS, PLUGIN, Arrival, Inbox
from shopify_orders import SHOP, shopify_toml
from sqlalchemy import text
from waiting import until

from gateway.plugin import SystemClock
from gateway.testing import SteppingClock

TOML = "[plugins.shopify]"
CHILD = Path(__file__).with_name("inbox_process.py")


@pytest.fixture
def clock():
    return SteppingClock()


async def unused(_message):
    raise AssertionError("no worker runs in this test")


@pytest.fixture
async def inbox(harness, clock, database_url):
    """The inbox of a gateway without a worker."""
    toml = f'[database]\nurl = "{database_url}"\n{TOML}'
    async with harness(toml, clock).gateway as gateway:
        yield quiet(gateway)


def quiet(gateway, process=unused):
    """Return an inbox whose worker never starts by itself."""
    inbox = Inbox(gateway, process)
    inbox.worker.wake = lambda: None
    return inbox


def arrival(number, index=None):
    return Arrival(SHOP, f"hook-{number}", "orders/updated", b"{}", index)


async def claim(inbox):
    return await inbox.queue.claim(20, LEASE_SECONDS, partition=PLUGIN)


async def test_a_message_is_new_once_in_its_shop(inbox):
    assert [await inbox.put(arrival(1)) for _ in range(2)] == [True, False]
    assert await inbox.put(arrival(1)._replace(shop="other.myshopify.com"))


async def test_a_message_is_handed_on_as_it_came(harness, clock):
    processed = []

    async def process(message):
        processed.append(message)
        return message.item.done("made")

    async with harness(shopify_toml(), clock).gateway as gateway:
        inbox = Inbox(gateway, process)
        async with inbox.worker:
            await inbox.put(Arrival(SHOP, "hook-1", "orders/paid", b'{"id":1}', b"\x01\xff", 1234))
            await inbox.worker.drain()
        assert await inbox.last_received_at_ms(SHOP) == int(clock.now().timestamp() * 1000)
        assert await inbox.last_received_at_ms("other.myshopify.com") is None

    [message] = processed
    assert (message.shop, message.topic, message.body) == (SHOP, "orders/paid", b'{"id":1}')
    assert (message.order_index, message.triggered_at_ms) == (b"\x01\xff", 1234)
    assert message.received_at_ms == int(clock.now().timestamp() * 1000)


async def test_no_message_waits_for_a_clock_that_was_set_back(harness, clock):
    async with harness(TOML, clock).gateway as gateway:
        inbox = quiet(gateway)
        for number in (1, 2):
            await inbox.put(arrival(number))
        later, lost = await claim(inbox)
        await inbox.put(arrival(3))
        assert await inbox.queue.finish(later.retry("busy")) == "waiting"

        clock.step(-3600)
        assert await claim(inbox) == []
        await gateway.dispatcher.clock_skew.check(3600.0)

        [third] = await claim(inbox)
        await inbox.queue.finish(third.done("done"))
        clock.step(5)
        assert [each.id for each in await claim(inbox)] == [later.id]
        clock.step(295)  # the longest lease of any plugin's inbox
        assert {each.id for each in await claim(inbox)} == {later.id, lost.id}


async def test_two_messages_about_one_order_are_never_claimed_together(inbox):
    for number, index in enumerate([b"one", b"one", b"two", None, None]):
        await inbox.put(arrival(number, index))
    first = await claim(inbox)
    assert sorted(each.row.subject or "" for each in first) == [
        "",
        "",
        b"one".hex(),
        b"two".hex(),
    ]
    assert await claim(inbox) == []

    for each in first:
        await inbox.queue.finish(each.done("done"))
    [last] = await claim(inbox)
    assert last.row.subject == b"one".hex()


async def test_a_failed_message_is_counted_and_can_be_retried_by_its_shop(inbox):
    await inbox.put(arrival(1))
    [claimed] = await claim(inbox)
    await inbox.queue.finish(claimed.bury("unreadable"))
    assert (await claim(inbox), await inbox.counts(SHOP)) == ([], {"failed": 1})

    assert await inbox.retry_failed("other.myshopify.com") == 0
    assert await inbox.retry_failed(SHOP) == 1
    [again] = await claim(inbox)
    assert again.attempts == 1


async def test_an_erased_message_stays_erased_after_its_processing(inbox):
    await inbox.put(arrival(1, b"one"))
    [claimed] = await claim(inbox)
    async with inbox._gateway.database.begin() as connection:
        assert await inbox.erase(connection, SHOP, {b"one"}) == 1

    assert await inbox.queue.finish(claimed.retry("busy")) == "lost"
    assert await inbox.counts(SHOP) == {"done": 1}


@pytest.mark.slow
async def test_messages_claimed_by_a_killed_process_are_claimed_again(harness, database_url):
    """SIGKILL between claim and done. On SQLite the next start releases the leases at once."""
    toml = f'[database]\nurl = "{database_url}"\n{TOML}'
    async with harness(toml).gateway as gateway:
        inbox = quiet(gateway)
        for number in (1, 2):
            await inbox.put(arrival(number))
        folder = str(gateway.settings.gateway.data_dir)
    child = await asyncio.create_subprocess_exec(
        sys.executable, str(CHILD), database_url, folder, stdout=asyncio.subprocess.PIPE
    )
    try:
        line = await asyncio.wait_for(child.stdout.readline(), 60)
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()
    held = json.loads(line)

    clock = SteppingClock(SystemClock().now())
    async with harness(toml, clock).gateway as gateway:
        inbox = quiet(gateway)
        assert await claim(inbox) == []
        if gateway.database.dialect != "sqlite":
            clock.step(LEASE_SECONDS + 1)
        async with gateway.running():  # the plugin's own worker takes over

            async def processed():
                return (await inbox.counts(SHOP)).get("failed", 0) == len(held)

            await until(processed)
        async with gateway.database.read() as connection:
            query = "SELECT id, attempts, outcome FROM plugin_inbox ORDER BY id"
            found = [tuple(row) for row in await connection.execute(text(query))]
    assert found == [(each, 2, "shop_not_configured") for each in held]
