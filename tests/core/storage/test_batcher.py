"""The Batcher: many callers, one flush at a time, and no item fails for another."""

import asyncio
from contextvars import ContextVar

import pytest
from sqlalchemy.exc import DataError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from waiting import PATIENCE_SECONDS

from gateway.errors import Conflict, NotFound, StorageError, Unavailable
from gateway.storage.batcher import Batcher

NOT_ASCII = UnicodeEncodeError("ascii", "é", 0, 1, "no")


class Store:
    """Keeps batches; each flush waits until it is let go, and fails as it is told."""

    def __init__(self, *, held: bool = False) -> None:
        self.batches: list[list[int]] = []
        self.stored: list[int] = []
        self.running = 0
        self.most_running = 0
        self.started = asyncio.Event()
        self.gate = asyncio.Event()
        self.faults: dict[int, Exception] = {}
        self.answers: dict[int, Exception] = {}
        if not held:
            self.gate.set()

    async def flush(self, items):
        self.batches.append(list(items))
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        self.started.set()
        await self.gate.wait()
        self.running -= 1
        for item in items:
            if item in self.faults:
                raise self.faults[item]
        self.stored += items
        return [self.answers.get(item, item * 10) for item in items]


async def test_an_idle_batcher_flushes_at_once():
    store = Store()
    batcher = Batcher(store.flush)

    assert await batcher.submit(1) == 10
    assert await batcher.submit(2) == 20
    assert store.batches == [[1], [2]]


async def test_what_comes_in_while_a_flush_runs_goes_out_together_in_its_order():
    store = Store(held=True)
    batcher = Batcher(store.flush)
    first = batcher.submit_nowait(1)
    await store.started.wait()

    rest = [batcher.submit_nowait(number) for number in range(2, 50)]
    store.gate.set()

    assert await first == 10
    assert await asyncio.gather(*rest) == [number * 10 for number in range(2, 50)]
    assert store.batches == [[1], list(range(2, 50))]


async def test_only_one_flush_runs_at_a_time():
    store = Store()
    batcher = Batcher(store.flush, max_weight=3)

    await asyncio.gather(*(batcher.submit(number) for number in range(100)))

    assert store.most_running == 1
    assert store.stored == list(range(100))


async def test_a_flush_is_bounded_by_weight():
    store = Store(held=True)
    batcher = Batcher(store.flush, max_weight=10, weigh=lambda item: item)
    first = batcher.submit_nowait(1)
    await store.started.wait()

    rest = [batcher.submit_nowait(weight) for weight in (4, 6, 1, 5, 5, 12, 9, 2, 1)]
    store.gate.set()
    await asyncio.gather(first, *rest)

    assert store.batches == [[1], [4, 6], [1, 5], [5], [12], [9], [2, 1]]


async def test_an_answer_that_is_an_exception_is_raised_to_its_caller_only():
    store = Store(held=True)
    store.answers = {2: NotFound("no such thing")}
    batcher = Batcher(store.flush)
    answers = [batcher.submit_nowait(number) for number in (1, 2, 3)]
    store.gate.set()

    outcomes = await asyncio.gather(*answers, return_exceptions=True)

    assert outcomes[0] == 10
    assert isinstance(outcomes[1], NotFound)
    assert outcomes[2] == 30


@pytest.mark.parametrize(
    "fault",
    [
        Conflict("bad"),
        ValueError("bad"),
        NOT_ASCII,
        IntegrityError("INSERT", {}, Exception("duplicate")),
        DataError("INSERT", {}, Exception("too long")),
    ],
    ids=lambda fault: type(fault).__name__,
)
async def test_one_bad_item_fails_alone(fault):
    # Given a batch of which one item brings the whole flush down
    store = Store(held=True)
    store.faults = {3: fault}
    batcher = Batcher(store.flush)
    answers = [batcher.submit_nowait(0)]
    await store.started.wait()
    answers += [batcher.submit_nowait(number) for number in range(1, 6)]

    # When it is flushed
    store.gate.set()
    outcomes = await asyncio.gather(*answers, return_exceptions=True)

    # Then each was tried alone, and the others are stored
    assert outcomes == [0, 10, 20, fault, 40, 50]
    assert store.stored == [0, 1, 2, 4, 5]
    assert store.batches == [[0], [1, 2, 3, 4, 5], [1], [2], [3], [4], [5]]


@pytest.mark.parametrize(
    "outage",
    [
        OperationalError("BEGIN", {}, Exception("database is locked")),
        ConnectionRefusedError(111, "Connection refused"),
        TimeoutError(),
        PoolTimeoutError("QueuePool limit reached"),
    ],
    ids=lambda outage: type(outage).__name__,
)
async def test_an_outage_of_the_database_fails_all_at_once(outage):
    store = Store(held=True)
    store.faults = {3: outage}
    batcher = Batcher(store.flush)
    answers = [batcher.submit_nowait(0)]
    await store.started.wait()
    answers += [batcher.submit_nowait(number) for number in range(1, 6)]
    store.gate.set()

    outcomes = await asyncio.gather(*answers, return_exceptions=True)

    assert outcomes[0] == 0
    assert [type(each) for each in outcomes[1:]] == [StorageError] * 5
    assert {each.message for each in outcomes[1:]} == {
        "The database can't be reached right now; try again shortly."
    }
    assert all(each.__cause__ is outage for each in outcomes[1:])
    assert store.batches == [[0], [1, 2, 3, 4, 5]]


async def test_after_an_outage_the_next_item_is_flushed_again():
    store = Store()
    store.faults = {1: ConnectionRefusedError()}
    batcher = Batcher(store.flush)

    with pytest.raises(StorageError):
        await batcher.submit(1)

    assert await batcher.submit(2) == 20


async def test_a_batch_runs_without_a_callers_context():
    whose = ContextVar("whose", default="none")
    found = []

    async def flush(items):
        found.append(whose.get())
        return items

    whose.set("the first one")
    assert await Batcher(flush).submit(1) == 1
    assert found == ["none"]


async def test_a_caller_that_goes_away_does_not_lose_its_item_or_its_neighbours():
    store = Store(held=True)
    batcher = Batcher(store.flush)
    first = asyncio.create_task(batcher.submit(1))
    await store.started.wait()
    second, third = (asyncio.create_task(batcher.submit(number)) for number in (2, 3))
    await asyncio.sleep(0)

    for gone in (first, second):
        gone.cancel()
    store.gate.set()

    assert await asyncio.wait_for(third, PATIENCE_SECONDS) == 30
    assert store.stored == [1, 2, 3]
    assert first.cancelled()
    assert second.cancelled()


async def test_a_caller_that_leaves_a_bad_item_disturbs_no_other():
    store = Store(held=True)
    store.faults = {1: Conflict("bad")}
    batcher = Batcher(store.flush)
    bad, good = batcher.submit_nowait(1), batcher.submit_nowait(2)

    bad.cancel()
    store.gate.set()

    assert await asyncio.wait_for(good, PATIENCE_SECONDS) == 20


async def test_more_than_can_be_stored_is_refused_and_the_others_are_stored():
    store = Store(held=True)
    batcher = Batcher(store.flush, max_waiting=2)
    first = batcher.submit_nowait(1)
    await store.started.wait()
    waiting = [batcher.submit_nowait(2), batcher.submit_nowait(3)]

    with pytest.raises(Unavailable) as refused:
        await batcher.submit(4)

    assert refused.value.message == (
        "The gateway is taking in more than it can store; try again shortly."
    )
    store.gate.set()
    assert await asyncio.gather(first, *waiting) == [10, 20, 30]
    assert await batcher.submit(5) == 50
    assert store.stored == [1, 2, 3, 5]


async def test_it_is_drained_when_every_item_is_answered():
    store = Store(held=True)
    batcher = Batcher(store.flush, max_weight=1)
    await batcher.drained()
    answers = [batcher.submit_nowait(number) for number in (1, 2, 3)]
    drained = asyncio.create_task(batcher.drained())
    await store.started.wait()
    assert not drained.done()

    store.gate.set()
    await drained

    assert all(answer.done() for answer in answers)
    assert store.stored == [1, 2, 3]


async def test_a_cancelled_wait_for_drained_does_not_stop_it():
    store = Store(held=True)
    batcher = Batcher(store.flush)
    answer = batcher.submit_nowait(1)
    drained = asyncio.create_task(batcher.drained())
    await store.started.wait()

    drained.cancel()
    store.gate.set()

    assert await asyncio.wait_for(answer, PATIENCE_SECONDS) == 10


@pytest.mark.parametrize("answers", [[], [10], [10, 20, 30, 40]], ids=len)
async def test_a_flush_with_another_number_of_answers_leaves_no_caller_waiting(answers):
    store = Store(held=True)

    async def flush(items):
        await store.flush(items)
        return answers if len(items) == 3 else [0] * len(items)

    batcher = Batcher(flush)
    first = batcher.submit_nowait(0)
    await store.started.wait()
    rest = [batcher.submit_nowait(number) for number in (1, 2, 3)]
    store.gate.set()

    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await first == 0
        failed = await asyncio.gather(*rest, return_exceptions=True)
    assert [str(each) for each in failed] == [f"a flush of 3 items gave {len(answers)} answers"] * 3
    assert await batcher.submit(4) == 0  # it goes on


async def test_futures_of_a_caller_are_resolved_with_the_answers():
    first, second = (asyncio.get_running_loop().create_future() for _ in range(2))
    store = Store()
    batcher = Batcher(store.flush)

    batcher.submit_all([(1, first), (2, second)])

    assert [await first, await second] == [10, 20]
    assert store.batches == [[1, 2]]


async def test_the_number_of_queued_items_is_known():
    store = Store(held=True)
    batcher = Batcher(store.flush)
    first = batcher.submit_nowait(1)
    await store.started.wait()
    others = [batcher.submit_nowait(number) for number in (2, 3)]

    assert batcher.waiting == 2
    store.gate.set()
    await asyncio.gather(first, *others)
    assert batcher.waiting == 0
