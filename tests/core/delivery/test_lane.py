"""One destination's deliveries: side by side, within bounds, and none of them lost."""

import asyncio
import random
from collections import deque

import pytest
from core.delivery.delivery_source import (
    FakeDeliverySource,
    Holding,
    at_once,
    carried,
    claimed,
    outcome,
    until,
)

from gateway.clock import SteppingClock


async def test_a_lane_carries_what_is_due_and_ends():
    source = FakeDeliverySource()
    source.add(*range(5))

    await carried(source.lane())

    assert list(source.settled) == ["dlv_0", "dlv_1", "dlv_2", "dlv_3", "dlv_4"]
    assert all(each.delivered for each in source.settled.values())
    assert source.limits == [32]
    assert source.released == []


async def test_a_lane_with_nothing_due_ends_at_once():
    source = FakeDeliverySource()

    await carried(source.lane())

    assert (source.limits, source.settled) == ([32], {})


async def test_a_busy_lane_takes_eight_times_as_much_each_time_up_to_4096():
    source = FakeDeliverySource()
    source.add(*range(16_000))

    await carried(source.lane(SteppingClock()))  # no time passes between two claims

    assert len(source.settled) == 16_000
    assert max(source.limits) <= 4096
    # A claim asks for what is missing to the size of a claim, which grows from 32.
    assert source.limits[0] == 32
    assert 128 < source.limits[1] <= 256
    assert any(limit > 512 for limit in source.limits)


async def test_a_slow_lane_takes_less_and_less_down_to_what_is_in_flight():
    clock = SteppingClock()
    sink = Holding()
    source = FakeDeliverySource(sink.deliver, max_in_flight=4)
    source.add(*range(200))
    running = asyncio.create_task(carried(source.lane(clock)))
    while len(source.settled) < 100:
        before = len(source.settled)
        await sink.until(lambda: len(sink.held) == 4)
        clock.step(3)
        sink.let_go()
        await until(lambda before=before: len(source.settled) == before + 4)
    slow = list(source.limits)
    clock.step(-3600)  # the wall clock goes back; what is measured does not
    while not running.done():
        sink.let_go()
        await asyncio.sleep(0)
    await running

    assert slow[0] == 32
    assert max(slow[-5:]) <= 4
    assert len(source.settled) == 200
    assert source.released == []


async def test_a_lane_with_enough_queued_reads_its_destination_without_a_claim():
    clock = SteppingClock()
    sink = Holding()
    source = FakeDeliverySource(sink.deliver, max_in_flight=2)
    source.add(*range(40))
    running = asyncio.create_task(carried(source.lane(clock)))
    for settled in (2, 4, 6):
        await sink.until(lambda: len(sink.held) == 2)
        clock.step(0.06)  # the destination was read longer ago than it should be
        sink.let_go()
        await until(lambda settled=settled: len(source.settled) == settled)
    await sink.until(lambda: len(sink.held) == 2)
    limits = list(source.limits)
    while not running.done():
        sink.let_go()
        await asyncio.sleep(0)
    await running

    assert limits == [32, 0, 0, 0]
    assert len(source.settled) == 40


async def test_max_in_flight_is_reached_and_never_exceeded():
    sink = Holding()
    source = FakeDeliverySource(sink.deliver, max_in_flight=7)
    source.add(*range(40))
    lane = asyncio.create_task(carried(source.lane()))
    await sink.until(lambda: len(sink.held) == 7)

    while len(source.settled) < 40:
        before = len(source.settled)
        sink.let_go()
        await until(lambda before=before: len(source.settled) > before)
    await lane

    assert sink.most == 7
    assert len(sink.seen) == 40


async def test_one_at_a_time_means_one_at_a_time_and_nothing_is_forgotten():
    sink = Holding()
    source = FakeDeliverySource(sink.deliver, max_in_flight=1)
    source.add(0)
    lane = source.lane()
    running = asyncio.create_task(carried(lane))
    await sink.until(lambda: len(sink.held) == 1)
    # The next claim comes back in the very moment in which the only worker ends.
    source.claiming.clear()
    source.add(1, 2, 3)
    lane.nudge()
    await until(lambda: len(source.limits) == 2 and not source.due)
    sink.let_go()
    source.claiming.set()

    for number in (1, 2, 3):
        await sink.until(lambda number=number: f"dlv_{number}" in sink.held)
        sink.let_go()
    await running

    assert sorted(source.settled) == ["dlv_0", "dlv_1", "dlv_2", "dlv_3"]
    assert sink.most == 1


async def test_fewer_in_flight_holds_from_the_next_claim_on():
    sink = Holding()
    source = FakeDeliverySource(sink.deliver, max_in_flight=4)
    source.add(*range(200))
    lane = source.lane()
    running = asyncio.create_task(carried(lane))
    await sink.until(lambda: len(sink.held) == 4)
    source.destination = FakeDeliverySource(max_in_flight=1).destination

    most_later = 0
    while len(source.settled) < 200:
        before = len(source.settled)
        if len(source.limits) > 1:
            most_later = max(most_later, len(sink.held) if before > 40 else 0)
        sink.let_go()
        await until(lambda before=before: len(source.settled) > before)
    await running

    assert most_later == 1


async def test_a_batch_is_never_larger_than_the_sink_takes():
    sizes = []

    async def deliver(batch):
        sizes.append(len(batch.deliveries))
        return await at_once(batch)

    source = FakeDeliverySource(deliver, max_batch=10, max_in_flight=1)
    source.add(*range(25))

    await carried(source.lane())

    assert sizes == [10, 10, 5]
    assert len(source.settled) == 25


async def test_one_hanging_delivery_holds_back_no_other_of_its_lane():
    sink = Holding()

    async def deliver(batch):
        if batch.deliveries[0].id == "dlv_0":
            return await sink.deliver(batch)
        return await at_once(batch)

    source = FakeDeliverySource(deliver, max_in_flight=2)
    source.add(*range(100))
    lane = source.lane()
    running = asyncio.create_task(carried(lane))
    await until(lambda: len(source.settled) == 99)
    source.add(100)
    lane.nudge()
    await until(lambda: len(source.settled) == 100)

    assert list(sink.held) == ["dlv_0"]
    sink.let_go()
    await running
    assert len(source.settled) == 101


async def test_what_comes_due_while_outcomes_are_being_stored_goes_out_in_the_same_lane():
    source = FakeDeliverySource()
    source.add(0)
    source.storing.clear()
    lane = source.lane()
    running = asyncio.create_task(carried(lane))
    await until(lambda: len(source.limits) == 1 and not source.due)
    for _ in range(10):  # the worker ends meanwhile; only the storing is left
        await asyncio.sleep(0)
    source.add(1)
    lane.nudge()
    source.storing.set()
    await running

    assert list(source.settled) == ["dlv_0", "dlv_1"]


@pytest.mark.parametrize("delivered", [True, False])
async def test_the_next_of_a_subject_follows_as_soon_as_the_one_before_is_stored(delivered):
    """An ordered destination gets the next of a subject only when the first one is over."""

    async def deliver(batch):
        return [outcome(each, delivered=delivered) for each in batch.deliveries]

    source = FakeDeliverySource(deliver, ordered=True)
    held_back = deque(claimed(number) for number in range(1, 50))
    source.due.append(claimed(0))
    settle = source.settle

    def settle_in_order(delivery, result, *, urgent):
        def follow(_):
            if held_back:
                source.due.append(held_back.popleft())

        settlement = settle(delivery, result, urgent=urgent)
        settlement.add_done_callback(follow)
        return settlement

    source.settle = settle_in_order

    await carried(source.lane())

    assert list(source.settled) == [f"dlv_{number}" for number in range(50)]


async def test_a_lane_takes_no_more_while_much_is_still_to_be_stored():
    source = FakeDeliverySource(max_in_flight=4)
    source.add(*range(500))
    source.storing.clear()
    running = asyncio.create_task(carried(source.lane(max_claim=16)))
    await until(lambda: len(source.due) < 460)
    for _ in range(1000):
        await asyncio.sleep(0)
    assert len(source.due) > 400

    source.storing.set()
    await running
    assert len(source.settled) == 500


@pytest.mark.parametrize("seed", range(4))
async def test_nothing_is_lost_between_a_nudge_and_the_end_of_a_lane(seed):
    """An engine in small: nudge the lane that runs, or open one. Thousands of times."""
    chance = random.Random(seed)

    async def deliver(batch):
        for _ in range(chance.randrange(4)):
            await asyncio.sleep(0)
        return await at_once(batch)

    source = FakeDeliverySource(
        deliver, max_in_flight=chance.choice([1, 2, 32]), max_batch=1 + seed % 2
    )
    lanes = {}
    tasks = set()

    async def carry(lane):
        try:
            await carried(lane)
        finally:
            del lanes["dst_1"]

    for number in range(3000):
        source.add(number)
        if "dst_1" in lanes:
            lanes["dst_1"].nudge()
        else:
            lanes["dst_1"] = source.lane()
            task = asyncio.create_task(carry(lanes["dst_1"]))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        for _ in range(chance.choice([0, 0, 1, 2, 3, 5, 8])):
            await asyncio.sleep(0)
    await until(lambda: not tasks)

    assert len(source.settled) == 3000
    assert not source.due
