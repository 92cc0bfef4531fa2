"""The inbox: a message is leased to one worker at a time, and due again if it isn't finished."""

import asyncio

import pytest
from gateway_shopify import inbox_worker
from gateway_shopify.inbox import Arrival, Inbox
from shopify_orders import SHOP

from gateway.testing import SteppingClock

TOML = "[plugins.shopify]"


@pytest.fixture
def clock():
    return SteppingClock()


@pytest.fixture
async def inbox(harness, clock):
    """The inbox of a gateway without a worker."""
    async with harness(TOML, clock).gateway as gateway:
        yield Inbox(gateway)


def arrival(number, index=None):
    return Arrival(SHOP, f"hook-{number}", "orders/updated", b"{}", index)


async def test_a_message_is_new_once(inbox):
    assert [await inbox.put(arrival(1)) for _ in range(2)] == [True, False]
    assert await inbox.put(arrival(1)._replace(shop="other.myshopify.com"))


async def test_of_the_same_message_many_times_at_once_one_is_new(inbox):
    waiting = [inbox.put(arrival(number)) for number in (1, 2, 2, 2)]

    assert await asyncio.gather(*waiting) == [True, True, False, False]
    assert len(await inbox.claim()) == 2


async def test_a_killed_process_leaves_its_messages_to_the_next(inbox, clock):
    await inbox.put(arrival(1))
    [claimed] = await inbox.claim()
    assert await inbox.claim() == []

    clock.step(31)
    [again] = await inbox.claim()
    assert (again.id, again.body, claimed.attempts, again.attempts) == (claimed.id, b"{}", 1, 2)


async def test_no_message_waits_for_a_clock_that_was_set_back(harness, clock):
    async with harness(TOML, clock).gateway as gateway:
        inbox = Inbox(gateway)
        for number in (1, 2):
            await inbox.put(arrival(number))
        later, lost = await inbox.claim()
        await inbox.put(arrival(3))
        assert await inbox.retry_later(later, "busy")

        clock.step(-3600)
        assert await inbox.claim() == []
        await gateway.dispatcher.clock_skew.check(3600.0)

        [third] = await inbox.claim()
        await inbox.finish(third, "done")
        clock.step(5)
        assert [each.id for each in await inbox.claim()] == [later.id]
        clock.step(25)
        assert [each.id for each in await inbox.claim()] == [lost.id]


async def test_the_next_process_of_a_sqlite_file_claims_at_once(harness, inbox, clock):
    for number in (1, 2):
        await inbox.put(arrival(number))
    claimed = await inbox.claim()
    await inbox.take_back()
    assert await inbox.claim() == []  # its own leases stay

    async with harness(TOML, clock).gateway as gateway:
        after = Inbox(gateway)
        await after.take_back()
        assert [each.id for each in await after.claim()] == [each.id for each in claimed]


async def test_two_messages_about_one_order_are_never_claimed_together(inbox):
    for number, index in enumerate([b"one", b"one", b"two", None, None]):
        await inbox.put(arrival(number, index))
    first = await inbox.claim()
    assert sorted(each.order_index or b"" for each in first) == [b"", b"", b"one", b"two"]
    assert await inbox.claim() == []

    for each in first:
        await inbox.finish(each, "done")
    [last] = await inbox.claim()
    assert last.order_index == b"one"


async def test_a_failing_message_backs_off_and_is_set_aside_in_the_end(inbox, clock):
    await inbox.put(arrival(1))
    for pause in (5, 30, 120, 600, 1800, 3600, 7200, 14400, 28800):
        [claimed] = await inbox.claim()
        assert await inbox.retry_later(claimed, "timeout")
        clock.step(pause - 1)
        assert await inbox.claim() == []
        clock.step(1)
    [claimed] = await inbox.claim()
    assert not await inbox.retry_later(claimed, "timeout")
    assert await inbox.counts(SHOP) == {"failed": 1}


async def test_a_shop_that_asks_for_a_pause_gets_it(inbox, clock):
    await inbox.put(arrival(1))
    [claimed] = await inbox.claim()
    assert await inbox.retry_later(claimed, "throttled", 60)
    clock.step(59)
    assert await inbox.claim() == []
    clock.step(1)
    assert len(await inbox.claim()) == 1


async def test_a_failed_message_can_be_retried(inbox):
    await inbox.put(arrival(1))
    [claimed] = await inbox.claim()
    await inbox.fail(claimed, "unreadable")
    assert (await inbox.claim(), await inbox.counts(SHOP)) == ([], {"failed": 1})

    assert await inbox.retry_failed(SHOP) == 1
    [again] = await inbox.claim()
    assert again.attempts == 1


async def test_a_processed_message_is_deleted_after_a_week(inbox, clock):
    for number in (1, 2):
        await inbox.put(arrival(number))
    done, waiting = await inbox.claim()
    await inbox.finish(done, "made")
    clock.step(7 * 86_400)
    await inbox.delete_old()
    assert await inbox.counts(SHOP) == {"done": 1, "waiting": 1}
    clock.step(1)
    await inbox.delete_old()
    assert await inbox.counts(SHOP) == {"waiting": 1}
    assert waiting.attempts == 1


async def test_stopping_leaves_a_hanging_message_for_later(inbox, clock, monkeypatch):
    monkeypatch.setattr(inbox_worker, "_STOP_TIMEOUT_SECONDS", 0.05)
    hangs, began = asyncio.Event(), asyncio.Event()

    class Hanging:
        async def process(self, _message):
            began.set()
            await hangs.wait()

    worker = inbox_worker.InboxWorker(inbox, Hanging())
    await inbox.put(arrival(1))
    worker.wake()
    await asyncio.wait_for(began.wait(), 5)
    await inbox.put(arrival(2))
    await worker.stop()

    assert await inbox.counts(SHOP) == {"waiting": 2}
    clock.step(31)
    assert len(await inbox.claim()) == 2


async def test_a_database_fault_does_not_end_the_worker(inbox, caplog):
    class Failing:
        async def process(self, _message):
            raise OSError("the database is away")

    worker = inbox_worker.InboxWorker(inbox, Failing())
    await inbox.put(arrival(1))
    await worker.drain()
    claim, inbox.claim = inbox.claim, None
    await worker.drain()
    inbox.claim = claim

    assert caplog.messages == [
        "a webhook stays in the inbox: OSError",
        "processing the inbox stopped: TypeError",
    ]
    await worker.drain()
