"""QueueWorker: works a queue off in one process, and stops without losing an item."""

import asyncio
import logging
from collections.abc import Callable

import pytest
from core.storage.queues import BACKOFF, Bench
from waiting import PATIENCE_SECONDS

from gateway.clock import SteppingClock
from gateway.storage.database import Database
from gateway.storage.queue_worker import QueueWorker
from gateway.storage.work_queue import Claimed, Settlement


@pytest.fixture
async def bench(database_url):
    database = Database(database_url)
    bench = Bench("own", database, SteppingClock())
    await bench.make()
    yield bench
    await database.close()


class Handler:
    """Keeps what it is handed; holds it back until it is let go, and fails as it is told."""

    def __init__(self, *, held: bool = False) -> None:
        self.seen: list[str] = []
        self.in_work = 0
        self.most_in_work = 0
        self.gate = asyncio.Event()
        self.started = asyncio.Event()
        self.faults: dict[str, Exception] = {}
        self.endings: dict[str, Callable[[Claimed], Settlement]] = {}
        if not held:
            self.gate.set()

    async def __call__(self, item):
        payload = item.row.payload
        self.seen.append(payload)
        self.in_work += 1
        self.most_in_work = max(self.most_in_work, self.in_work)
        self.started.set()
        try:
            await self.gate.wait()
        finally:
            self.in_work -= 1
        if payload in self.faults:
            raise self.faults[payload]
        return self.endings.get(payload, lambda _item: "printed")(item)


async def drained(worker):
    async with asyncio.timeout(PATIENCE_SECONDS):
        await worker.drain()


async def test_a_worker_does_everything_due_in_order_and_settles_it(bench):
    handler = Handler()
    await bench.put("a1", "a2", "a3", subject="a")

    async with QueueWorker.of(bench.queue, handler) as worker:
        await drained(worker)

    assert handler.seen == ["a1", "a2", "a3"]
    assert await bench.states() == ["done"] * 3
    assert await bench.column("outcome") == ["printed"] * 3


async def test_a_worker_has_no_more_in_work_than_it_may(bench):
    handler = Handler()
    await bench.put(*map(str, range(40)))

    async with QueueWorker.of(bench.queue, handler, max_in_flight=4) as worker:
        await drained(worker)

    assert handler.most_in_work <= 4
    assert sorted(handler.seen, key=int) == [str(number) for number in range(40)]


async def test_how_a_handler_ends_decides_what_becomes_of_the_item(bench):
    handler = Handler()
    handler.endings = {
        "later": lambda item: item.retry("printer_busy", after_seconds=600),
        "never": lambda item: item.bury("unreadable"),
    }
    handler.faults = {"broken": ValueError("Maria Rodriguez")}
    await bench.put("fine", "later", "never", "broken")

    async with QueueWorker.of(bench.queue, handler) as worker:
        await drained(worker)
        assert await bench.states() == ["done", "waiting", "dead", "waiting"]
        assert await bench.column("outcome") == [
            "printed",
            "printer_busy",
            "unreadable",
            "ValueError",
        ]
        bench.clock.step(BACKOFF[0])
        del handler.faults["broken"]
        await drained(worker)
        assert await bench.states() == ["done", "waiting", "dead", "done"]
        bench.clock.step(600)
        del handler.endings["later"]
        await drained(worker)

    assert await bench.states() == ["done", "done", "dead", "done"]


async def test_what_a_handler_raises_is_logged_by_its_type_alone(bench, caplog):
    handler = Handler()
    handler.faults = {"a": ValueError("Maria Rodriguez")}
    await bench.put("a")

    with caplog.at_level(logging.ERROR):
        async with QueueWorker.of(bench.queue, handler) as worker:
            await drained(worker)

    assert "queue own: attempt 1 failed: ValueError" in caplog.text
    assert "Maria" not in caplog.text


async def test_a_handler_that_takes_longer_than_its_lease_is_cut_off_before_it_ends(bench):
    handler = Handler(held=True)
    await bench.put("a")

    async with QueueWorker.of(bench.queue, handler, lease_seconds=0.2) as worker:
        await drained(worker)

    assert await bench.states() == ["waiting"]
    assert await bench.column("outcome") == ["timed_out"]
    assert await bench.column("lease") == [None]


async def test_waking_a_worker_that_is_at_work_brings_in_the_new_items(bench):
    handler = Handler(held=True)
    await bench.put("a")
    async with QueueWorker.of(bench.queue, handler, max_in_flight=4) as worker:
        worker.wake()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await handler.started.wait()
            handler.started.clear()
            await bench.put("b")
            worker.wake()
            await handler.started.wait()
        assert handler.seen == ["a", "b"]
        handler.gate.set()


async def test_the_job_finds_what_nothing_woke_for_and_what_was_lost(bench):
    handler = Handler()
    await bench.put("a")
    await bench.claim()  # by a process that is gone
    bench.clock.step(31)

    async with QueueWorker.of(bench.queue, handler) as worker:
        await worker.run()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await worker.idle()

    assert handler.seen == ["a"]
    assert await bench.states() == ["done"]


async def test_stopping_finishes_what_is_in_work_and_takes_nothing_more(bench):
    handler = Handler(held=True)
    await bench.put("a1", "a2", subject="a")

    async with QueueWorker.of(bench.queue, handler) as worker:
        worker.wake()
        await asyncio.wait_for(handler.started.wait(), PATIENCE_SECONDS)
        asyncio.get_running_loop().call_later(0.05, handler.gate.set)

    assert handler.seen == ["a1"]
    assert await bench.states() == ["done", "waiting"]
    worker.wake()  # after the end it stays asleep
    await asyncio.wait_for(worker.idle(), PATIENCE_SECONDS)
    assert handler.seen == ["a1"]


async def test_stopping_cuts_off_what_takes_too_long_and_its_lease_brings_it_back(bench):
    handler = Handler(held=True)
    await bench.put("a")

    async with QueueWorker.of(bench.queue, handler, grace_seconds=0.05) as worker:
        worker.wake()
        await asyncio.wait_for(handler.started.wait(), PATIENCE_SECONDS)

    assert await bench.states() == ["waiting"]
    assert await bench.claimed() == []
    bench.clock.step(31)
    assert await bench.claimed() == ["a"]


async def test_a_database_that_is_away_stops_a_worker_until_it_is_woken_again(bench, caplog):
    handler = Handler()
    await bench.put("a")
    faults = [ConnectionRefusedError()]

    async def claim(limit):
        if faults:
            raise faults.pop()
        return await bench.queue.claim(limit, 30)

    async def work(item):
        await bench.queue.finish(item.done(await handler(item)))

    async with QueueWorker(claim, work, bench.queue.sweep, 2) as worker:
        await drained(worker)
        assert handler.seen == []
        assert "queue worker stopped for now: ConnectionRefusedError" in caplog.text

        await drained(worker)
        assert handler.seen == ["a"]


async def test_an_item_that_cant_be_settled_leaves_the_others_alone(bench, caplog):
    seen = []

    async def work(item):
        seen.append(item.row.payload)
        if item.row.payload == "a":
            raise OSError
        await bench.queue.finish(item.done())

    await bench.put("a", "b")
    async with QueueWorker(
        lambda limit: bench.queue.claim(limit, 30), work, bench.queue.sweep, 2
    ) as worker:
        await drained(worker)

    assert sorted(seen) == ["a", "b"]
    assert await bench.states() == ["waiting", "done"]
    assert "a queue item could not be settled: OSError" in caplog.text


async def test_a_job_claims_only_where_something_is_open(bench):
    claims = []

    async def claim(limit):
        claims.append(limit)
        return await bench.queue.claim(limit, 30)

    async def work(item):
        await bench.queue.finish(item.bury("never"))

    queue = bench.queue
    async with QueueWorker(claim, work, queue.sweep, 2, has_open=queue.has_open) as worker:
        await worker.run()
        await worker.idle()
        assert claims == []

        await bench.put("a")
        await worker.run()
        await worker.idle()
        assert claims != []

    # What is a dead letter is no work; who looks after them says so.
    assert await bench.states() == ["dead"]
    assert not await queue.has_open()
    assert await queue.has_open(or_dead=True)
