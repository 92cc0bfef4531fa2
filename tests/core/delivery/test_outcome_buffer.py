"""OutcomeBuffer: outcomes linger while there is much to do, and survive an outage."""

import asyncio

import pytest
from core.storage.test_batcher import Store

from gateway.delivery.outcome_buffer import (
    CALM_SECONDS,
    MAX_LINGER_SECONDS,
    RIDE_SECONDS,
    OutcomeBuffer,
)
from gateway.errors import Conflict, StorageError

PATIENCE_SECONDS = 10
FOR_EVER = 1000.0


def is_outcome(item):
    return item % 2 == 1


def buffer_of(flush, **options):
    return OutcomeBuffer(flush, is_outcome, **({"max_weight": 5, "retry_seconds": 0.01} | options))


async def answers(*futures):
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await asyncio.gather(*futures)


async def just_flushed(store, **options):
    """Return a buffer whose first flush just ended, so that items linger for very long."""
    options = {"linger_factor": 1e12, "max_linger_seconds": FOR_EVER} | options
    buffer = buffer_of(store.flush, **options)
    await answers(buffer.submit(0))
    await asyncio.sleep(0)
    return buffer


# Lingering


async def test_an_idle_buffer_flushes_at_once_what_is_not_urgent():
    store = Store()

    assert await answers(buffer_of(store.flush).submit(1, urgent=False)) == [10]


async def test_what_nothing_waits_for_shares_a_flush_even_in_an_idle_buffer():
    store = Store()
    buffer = buffer_of(store.flush, is_calm=lambda item: item > 2)

    calm = [buffer.submit(number, urgent=False) for number in (3, 4)]
    await asyncio.sleep(0)
    assert store.batches == []

    assert await answers(*calm) == [30, 40]
    assert store.batches == [[3, 4]]
    assert CALM_SECONDS < MAX_LINGER_SECONDS


async def test_items_that_are_not_urgent_are_flushed_by_a_timer():
    store = Store(held=True)
    buffer = buffer_of(store.flush, linger_factor=1e12, max_linger_seconds=0.05)
    first = buffer.submit(0)
    await store.started.wait()
    others = [buffer.submit(number, urgent=False) for number in (1, 2, 3)]
    store.gate.set()

    assert await answers(first, *others) == [0, 10, 20, 30]
    assert store.batches == [[0], [1, 2, 3]]


async def test_an_urgent_item_takes_the_lingering_ones_along_in_their_order():
    store = Store()
    buffer = await just_flushed(store)

    lingering = [buffer.submit(number, urgent=False) for number in (1, 2)]
    await asyncio.sleep(0)

    assert await answers(*lingering, buffer.submit(3)) == [10, 20, 30]
    assert store.batches == [[0], [1, 2, 3]]


async def test_items_linger_again_after_an_urgent_one_was_flushed():
    store = Store()
    buffer = await just_flushed(store)
    await answers(buffer.submit(2))

    lingering = buffer.submit(3, urgent=False)
    for _ in range(5):
        await asyncio.sleep(0)
    assert store.batches == [[0], [2]]

    assert await answers(lingering, buffer.submit(4)) == [30, 40]


async def test_items_that_come_in_while_a_flush_runs_linger_after_it():
    store = Store(held=True)
    buffer = buffer_of(store.flush, linger_factor=1e12, max_linger_seconds=FOR_EVER)
    first = buffer.submit(0)
    await store.started.wait()
    during = buffer.submit(1, urgent=False)
    store.gate.set()
    await answers(first)
    after = buffer.submit(3, urgent=False)
    for _ in range(5):
        await asyncio.sleep(0)
    assert store.batches == [[0]]

    assert await answers(during, after, buffer.submit(2)) == [10, 30, 20]
    assert store.batches == [[0], [1, 3, 2]]


async def test_an_item_behind_an_urgent_one_that_waits_for_a_flush_goes_along():
    store = Store(held=True)
    buffer = buffer_of(store.flush, linger_factor=1e12, max_linger_seconds=FOR_EVER)
    first = buffer.submit(0)
    await store.started.wait()
    urgent, behind = buffer.submit(2), buffer.submit(3, urgent=False)
    store.gate.set()

    assert await answers(first, urgent, behind) == [0, 20, 30]
    assert store.batches == [[0], [2, 3]]


@pytest.mark.parametrize("before", [0, 1], ids=["none lingered", "one lingered"])
async def test_a_full_batch_lingers_no_longer(before):
    store = Store()
    buffer = await just_flushed(store)
    numbers = [1, 2, 3, 4, 5]
    futures = [buffer.submit(number, urgent=False) for number in numbers[:before]]
    await asyncio.sleep(0)
    futures += [buffer.submit(number, urgent=False) for number in numbers[before:]]

    await answers(*futures)
    assert store.batches == [[0], numbers]


async def test_draining_ends_the_lingering():
    store = Store()
    buffer = await just_flushed(store)
    lingering = buffer.submit(1, urgent=False)

    async with asyncio.timeout(PATIENCE_SECONDS):
        await buffer.drained()

    assert lingering.result() == 10


async def test_no_item_lingers_longer_than_a_moment():
    assert MAX_LINGER_SECONDS <= 0.05


# Outages


class Away:
    """A store that is out of reach until it is back."""

    def __init__(self, *, held: bool = False) -> None:
        self.store = Store(held=held)
        self.is_away = True
        self.asked = asyncio.Event()

    async def flush(self, items):
        self.asked.set()
        if self.is_away:
            await self.store.gate.wait()
            raise ConnectionRefusedError
        return await self.store.flush(items)


async def test_outcomes_are_kept_through_an_outage_and_stored_before_later_ones():
    away = Away()
    buffer = buffer_of(away.flush)
    kept = buffer.submit(1)
    await away.asked.wait()
    newer = buffer.submit(3)
    await asyncio.sleep(0.05)
    assert not kept.done()

    away.is_away = False

    assert await answers(kept, newer) == [10, 30]
    assert away.store.stored == [1, 3]


async def test_a_claim_without_outcomes_fails_at_once_in_an_outage():
    away = Away()
    buffer = buffer_of(away.flush)

    with pytest.raises(StorageError):
        await asyncio.wait_for(buffer.submit(2), PATIENCE_SECONDS)


async def test_an_outcome_flushed_alone_when_an_outage_begins_is_kept_too():
    # Given a batch with a bad item, so that each is flushed alone; and then the database goes
    store = Store(held=True)
    faults = {(1, 3): Conflict("no"), (3,): ConnectionRefusedError()}

    async def flush(items):
        if fault := faults.pop(tuple(items), None):
            raise fault
        return await store.flush(items)

    buffer = buffer_of(flush)
    first = buffer.submit(0)
    await store.started.wait()
    both = [buffer.submit(number) for number in (1, 3)]
    store.gate.set()

    assert await answers(first, *both) == [0, 10, 30]
    assert faults == {}


async def test_outcomes_fail_when_patience_ends_or_there_is_none():
    for options, patient in (({"patience_seconds": 0.0}, True), ({}, False)):
        away = Away()
        buffer = buffer_of(away.flush, **options)
        buffer.patient = patient

        with pytest.raises(StorageError):
            await asyncio.wait_for(buffer.submit(1), PATIENCE_SECONDS)


async def test_outcomes_that_wait_fail_as_soon_as_patience_is_withdrawn():
    away = Away()
    buffer = buffer_of(away.flush, retry_seconds=FOR_EVER)
    kept = buffer.submit(1)
    await away.asked.wait()

    buffer.patient = False

    with pytest.raises(StorageError):
        await asyncio.wait_for(kept, PATIENCE_SECONDS)
    await buffer.drained()


async def test_a_later_outage_is_met_with_new_patience():
    away = Away()
    buffer = buffer_of(away.flush)
    kept = buffer.submit(1)
    await away.asked.wait()
    assert buffer._out_since is not None
    away.is_away = False

    assert await answers(kept) == [10]
    assert buffer._out_since is None


# Riding in another commit


async def test_what_nothing_waits_for_rides_in_the_next_commit_once_it_has_lingered():
    store = Store()
    buffer = buffer_of(store.flush, is_calm=lambda item: item > 2)
    calm = buffer.submit(3, urgent=False)
    buffer.ride()
    await asyncio.sleep(0)
    assert store.batches == []

    began = asyncio.get_running_loop().time()
    while not store.batches:  # long before its own time has come, unless the machine is that slow
        await asyncio.sleep(RIDE_SECONDS / 4)
        buffer.ride()
    assert asyncio.get_running_loop().time() - began >= RIDE_SECONDS / 2
    assert await answers(calm) == [30]
    assert RIDE_SECONDS < CALM_SECONDS < MAX_LINGER_SECONDS


async def test_an_outcome_that_something_waits_for_ends_the_lingering():
    store = Store()
    buffer = buffer_of(store.flush, is_calm=lambda item: item > 2)

    assert await answers(buffer.submit(3, urgent=False), buffer.submit(1, urgent=False)) == [30, 10]
    assert store.batches == [[3, 1]]
