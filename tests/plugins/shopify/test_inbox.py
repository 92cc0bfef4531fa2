"""The inbox: a message is leased to one worker at a time, and due again if it isn't finished."""

import asyncio
import json
import sys
from pathlib import Path

import pytest
from gateway_shopify.inbox import Arrival, Inbox
from gateway_shopify.tables import LEASE_SECONDS, messages
from shopify_orders import SHOP
from sqlalchemy import select
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


def quiet(gateway):
    """Return an inbox whose worker never starts."""
    inbox = Inbox(gateway, unused)
    inbox.worker.wake = lambda: None
    return inbox


def arrival(number, index=None):
    return Arrival(SHOP, f"hook-{number}", "orders/updated", b"{}", index)


async def claim(inbox):
    return await inbox.queue.claim(20, LEASE_SECONDS)


async def test_a_message_is_new_once(inbox):
    assert [await inbox.put(arrival(1)) for _ in range(2)] == [True, False]
    assert await inbox.put(arrival(1)._replace(shop="other.myshopify.com"))


async def test_of_the_same_message_many_times_at_once_one_is_new(inbox):
    waiting = [inbox.put(arrival(number)) for number in (1, 2, 2, 2)]

    assert await asyncio.gather(*waiting) == [True, True, False, False]
    assert len(await claim(inbox)) == 2


async def test_a_killed_process_leaves_its_messages_to_the_next(inbox, clock):
    await inbox.put(arrival(1))
    [claimed] = await claim(inbox)
    assert await claim(inbox) == []

    clock.step(31)
    [again] = await claim(inbox)
    assert (again.id, claimed.attempts, again.attempts) == (claimed.id, 1, 2)


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
        clock.step(25)
        assert [each.id for each in await claim(inbox)] == [lost.id]


async def test_two_messages_about_one_order_are_never_claimed_together(inbox):
    for number, index in enumerate([b"one", b"one", b"two", None, None]):
        await inbox.put(arrival(number, index))
    first = await claim(inbox)
    assert sorted(bytes(each.row.order_index or b"") for each in first) == [
        b"",
        b"",
        b"one",
        b"two",
    ]
    assert await claim(inbox) == []

    for each in first:
        await inbox.queue.finish(each.done("done"))
    [last] = await claim(inbox)
    assert bytes(last.row.order_index) == b"one"


async def test_a_message_in_backoff_lets_later_ones_of_its_order_pass(inbox):
    for number in (1, 2):
        await inbox.put(arrival(number, b"one"))
    [first] = await claim(inbox)
    await inbox.queue.finish(first.retry("busy"))
    [second] = await claim(inbox)

    assert second.id != first.id


async def test_five_hundred_messages_of_one_order_do_not_delay_another_orders_first(inbox):
    await asyncio.gather(*(inbox.put(arrival(number, b"busy")) for number in range(500)))
    await inbox.put(arrival("other", b"other"))

    claimed = await claim(inbox)
    assert [bytes(each.row.order_index) for each in claimed] == [b"busy", b"other"]


async def test_a_failing_message_backs_off_and_is_set_aside_in_the_end(inbox, clock):
    await inbox.put(arrival(1))
    for pause in (5, 30, 120, 600, 1800, 3600, 7200, 14400, 28800):
        [claimed] = await claim(inbox)
        assert await inbox.queue.finish(claimed.retry("timeout")) == "waiting"
        clock.step(pause - 1)
        assert await claim(inbox) == []
        clock.step(1)
    [claimed] = await claim(inbox)
    assert await inbox.queue.finish(claimed.retry("timeout")) == "dead"
    assert await inbox.counts(SHOP) == {"failed": 1}


async def test_a_shop_that_asks_for_a_pause_gets_it(inbox, clock):
    await inbox.put(arrival(1))
    [claimed] = await claim(inbox)
    await inbox.queue.finish(claimed.retry("throttled", 60))
    clock.step(59)
    assert await claim(inbox) == []
    clock.step(1)
    assert len(await claim(inbox)) == 1


async def test_a_failed_message_can_be_retried(inbox):
    await inbox.put(arrival(1))
    [claimed] = await claim(inbox)
    await inbox.queue.finish(claimed.bury("unreadable"))
    assert (await claim(inbox), await inbox.counts(SHOP)) == ([], {"failed": 1})

    assert await inbox.retry_failed("other.myshopify.com") == 0
    assert await inbox.retry_failed(SHOP) == 1
    [again] = await claim(inbox)
    assert again.attempts == 1


async def test_a_processed_message_is_deleted_after_a_week(inbox, clock):
    for number in (1, 2):
        await inbox.put(arrival(number))
    done, _waiting = await claim(inbox)
    await inbox.queue.finish(done.done("made"))
    clock.step(7 * 86_400)
    await inbox.delete_old()
    assert await inbox.counts(SHOP) == {"done": 1, "waiting": 1}
    clock.step(1)
    await inbox.delete_old()
    assert await inbox.counts(SHOP) == {"waiting": 1}


async def test_an_erased_message_stays_erased_after_its_processing(inbox):
    await inbox.put(arrival(1, b"one"))
    [claimed] = await claim(inbox)
    async with inbox._gateway.database.begin() as connection:
        assert await inbox.erase(connection, SHOP, {b"one"}) == 1

    assert await inbox.queue.finish(claimed.retry("busy")) == "lost"
    assert await inbox.counts(SHOP) == {"done": 1}


async def test_a_fault_while_processing_is_a_retry_and_not_the_end_of_the_worker(
    harness, clock, caplog
):
    async def failing(_message):
        raise OSError("the disk is full of Maria Rodriguez")

    async with harness(TOML, clock).gateway as gateway:
        inbox = Inbox(gateway, failing)
        async with inbox.worker:
            await inbox.put(arrival(1))
            await inbox.worker.drain()
            assert await inbox.counts(SHOP) == {"waiting": 1}
            clock.step(5)
            await inbox.worker.drain()

    assert caplog.messages == ["a webhook was not processed: OSError"] * 2


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
            rows = await connection.execute(select(messages).order_by(messages.c.id))
            found = [(row.id, row.attempts, row.outcome) for row in rows]
    assert found == [(each, 2, "shop_not_configured") for each in held]
