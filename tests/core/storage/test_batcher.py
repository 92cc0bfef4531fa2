"""The Batcher: many callers, one flush at a time, and nobody fails for somebody else."""

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


async def test_after_an_outage_the_next_item_is_tried_again():
    store = Store()
    store.faults = {1: ConnectionRefusedError()}
    batcher = Batcher(store.flush)

    with pytest.raises(StorageError):
        await batcher.submit(1)

    assert await batcher.submit(2) == 20


async def test_what_nobody_else_remembers_is_kept_through_an_outage_and_stored_first():
    # Given a database that is away, and items of both kinds
    store = Store(held=True)
    store.faults = {number: ConnectionRefusedError() for number in range(10)}
    batcher = Batcher(store.flush, keeps=lambda item: item % 2 == 1)
    answers = [batcher.submit_nowait(number) for number in range(4)]
    store.gate.set()

    # Then one kind fails at once, and the other waits
    for number in (0, 2):
        with pytest.raises(StorageError):
            await asyncio.wait_for(answers[number], PATIENCE_SECONDS)
    assert not answers[1].done()
    assert not answers[3].done()

    # When the database is back
    store.faults.clear()
    answers.append(batcher.submit_nowait(4))
    kept = await asyncio.wait_for(asyncio.gather(answers[1], answers[3], answers[4]), 10)

    assert kept == [10, 30, 40]
    assert store.stored == [1, 3, 4]


class Away:
    """A store that is out of reach at the first flush, and there from then on."""

    def __init__(self, *, held: bool = False) -> None:
        self.store = Store(held=held)
        self.is_away = True

    async def flush(self, items):
        if not self.is_away:
            return await self.store.flush(items)
        self.store.started.set()
        await self.store.gate.wait()
        self.is_away = False
        raise ConnectionRefusedError


async def test_what_was_kept_through_an_outage_goes_before_what_came_in_meanwhile():
    away = Away(held=True)
    batcher = Batcher(away.flush, keeps=lambda _: True)
    kept = batcher.submit_nowait(1)
    await away.store.started.wait()
    newer = batcher.submit_nowait(2)

    away.store.gate.set()
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await asyncio.gather(kept, newer) == [10, 20]
    assert away.store.stored == [1, 2]


async def test_what_is_tried_alone_when_an_outage_begins_is_kept_too():
    # Given a batch that failed, so that each of it is tried alone; and then the database goes
    store = Store(held=True)
    faults = {(1, 2): Conflict("no"), (2,): ConnectionRefusedError()}

    async def flush(items):
        if fault := faults.pop(tuple(items), None):
            raise fault
        return await store.flush(items)

    batcher = Batcher(flush, keeps=lambda _: True)
    first = batcher.submit_nowait(0)
    await store.started.wait()
    both = [batcher.submit_nowait(number) for number in (1, 2)]
    store.gate.set()

    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await asyncio.gather(first, *both) == [0, 10, 20]
    assert faults == {}


async def test_after_an_outage_nobody_in_haste_has_to_rest():
    away = Away()
    batcher = Batcher(away.flush, keeps=lambda _: True)
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await batcher.submit(1) == 10
        await batcher.drained()
        batcher._rests_until += 1000

        assert await batcher.submit(2) == 20


async def test_a_later_outage_is_met_with_new_patience(monkeypatch):
    # Given an outage that is over
    away = Away()
    batcher = Batcher(away.flush, keeps=lambda _: True)
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await batcher.submit(1) == 10
        # When there is one again, longer after the first than patience lasts
        monkeypatch.setattr("gateway.storage.batcher._PATIENCE_SECONDS", 0.001)
        away.is_away = True

        # Then what nobody else remembers is kept again
        assert await batcher.submit(2) == 20


async def test_a_batch_runs_under_nobodys_name():
    whose = ContextVar("whose", default="nobody's")
    found = []

    async def flush(items):
        found.append(whose.get())
        return items

    whose.set("the first one's")
    assert await Batcher(flush).submit(1) == 1
    assert found == ["nobody's"]


@pytest.mark.parametrize("patience_seconds", [0, 3600])
async def test_what_is_kept_is_given_up_when_patience_ends(monkeypatch, patience_seconds):
    monkeypatch.setattr("gateway.storage.batcher._PATIENCE_SECONDS", patience_seconds)
    store = Store()
    store.faults = {1: ConnectionRefusedError()}
    batcher = Batcher(store.flush, keeps=lambda _: True)
    batcher.patient = patience_seconds == 0  # the other one is told to have none

    with pytest.raises(StorageError):
        await asyncio.wait_for(batcher.submit(1), PATIENCE_SECONDS)

    assert store.batches == [[1]]
    await batcher.drained()


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


async def test_a_caller_that_goes_away_from_a_bad_item_disturbs_nobody():
    store = Store(held=True)
    store.faults = {1: Conflict("bad")}
    batcher = Batcher(store.flush)
    bad, good = batcher.submit_nowait(1), batcher.submit_nowait(2)

    bad.cancel()
    store.gate.set()

    assert await asyncio.wait_for(good, PATIENCE_SECONDS) == 20


async def test_more_than_can_be_kept_is_turned_away_and_the_rest_is_stored():
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


async def test_it_is_drained_when_all_is_answered():
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


async def test_who_waits_for_it_to_drain_may_give_up_without_stopping_it():
    store = Store(held=True)
    batcher = Batcher(store.flush)
    answer = batcher.submit_nowait(1)
    drained = asyncio.create_task(batcher.drained())
    await store.started.wait()

    drained.cancel()
    store.gate.set()

    assert await asyncio.wait_for(answer, PATIENCE_SECONDS) == 10


@pytest.mark.parametrize("answers", [[], [10], [10, 20, 30, 40]], ids=len)
async def test_a_flush_that_answers_for_another_number_leaves_nobody_waiting(answers):
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


class Resting:
    """A batcher that rests for as long as it may: its first flush took very long."""

    def __init__(self):
        self.store = Store(held=True)
        self.batcher = Batcher(self.store.flush, max_weight=5)
        self.told = []
        self.something_new = asyncio.Event()

    async def __aenter__(self):
        self.batcher.hand_in(0, self.hear)
        await self.store.started.wait()
        await asyncio.sleep(0.1)  # four times this is more than the longest rest
        self.store.gate.set()
        await self.until(1)
        return self

    async def __aexit__(self, *_):
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self.batcher.drained()

    def lay(self, *numbers):
        for number in numbers:
            self.batcher.hand_in(number, self.hear, at_once=False)

    def hear(self, answer):
        self.told.append(answer)
        self.something_new.set()

    async def until(self, count):
        """Wait until so many were told their answers; a bounded time."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(self.told) < count:
                self.something_new.clear()
                await self.something_new.wait()


async def test_what_has_no_haste_waits_for_others_while_a_busy_batcher_rests():
    async with Resting() as resting:
        began = asyncio.get_running_loop().time()
        resting.lay(1)
        await asyncio.sleep(0)
        resting.lay(2, 3)
        await resting.until(4)
        ended = asyncio.get_running_loop().time()

    assert resting.store.batches == [[0], [1, 2, 3]]
    assert resting.told == [0, 10, 20, 30]
    assert ended - began > 0.01


async def test_who_is_in_haste_takes_along_what_lies():
    async with Resting() as resting:
        resting.batcher._rests_until += 1000
        resting.lay(1, 2)
        await asyncio.sleep(0)

        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await resting.batcher.submit(3) == 30
        assert resting.store.batches == [[0], [1, 2, 3]]


@pytest.mark.parametrize("before", [0, 1], ids=["none lay there", "one lay there"])
async def test_a_batcher_that_has_a_full_batch_rests_no_longer(before):
    async with Resting() as resting:
        resting.batcher._rests_until += 1000
        numbers = [1, 2, 3, 4, 5]
        resting.lay(*numbers[:before])
        await asyncio.sleep(0)
        resting.lay(*numbers[before:])
        await resting.until(6)

    assert resting.store.batches == [[0], [1, 2, 3, 4, 5]]


async def test_no_rest_is_longer_than_a_moment():
    async with Resting() as resting:
        left_seconds = resting.batcher._rests_until - asyncio.get_running_loop().time()
        assert left_seconds <= 0.05


async def test_a_haste_that_is_over_does_not_end_the_next_rest():
    async with Resting() as resting:
        resting.batcher._rests_until += 1000
        resting.lay(1)
        await asyncio.sleep(0)
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await resting.batcher.submit(2) == 20
        resting.batcher._rests_until += 1000
        resting.lay(3)
        for _ in range(5):
            await asyncio.sleep(0)
        assert resting.store.batches == [[0], [1, 2]]

        resting.batcher.hand_in(4, resting.hear)
        await resting.until(4)
    assert resting.store.batches == [[0], [1, 2], [3, 4]]


@pytest.mark.parametrize("turns", [0, 1], ids=["about to rest", "at rest"])
async def test_draining_ends_the_rest(turns):
    async with Resting() as resting:
        resting.batcher._rests_until += 1000
        resting.lay(1)
        for _ in range(turns):
            await asyncio.sleep(0)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await resting.batcher.drained()

        assert resting.store.batches == [[0], [1]]


async def test_an_idle_batcher_stores_at_once_what_has_no_haste():
    store = Store()
    batcher = Batcher(store.flush)
    told = asyncio.get_running_loop().create_future()

    batcher.hand_in(1, told.set_result, at_once=False)

    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await told == 10
