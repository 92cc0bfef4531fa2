"""``max_per_second`` holds: within a lane, from one lane to the next, and to the end of a lease."""

import asyncio
import time

from core.delivery.delivery_source import FakeDeliverySource, Holding, at_once, carried, until

from gateway.clock import SteppingClock, SystemClock
from gateway.delivery.lane import Pace


class Watching:
    """A sink that delivers at once and remembers when."""

    def __init__(self):
        self.moments = []

    async def deliver(self, batch):
        self.moments.append(time.monotonic())
        return await at_once(batch)

    @property
    def shortest_gap_seconds(self):
        pairs = zip(self.moments, self.moments[1:], strict=False)
        return min(later - earlier for earlier, later in pairs)

    @property
    def took_seconds(self):
        return self.moments[-1] - self.moments[0]


async def test_no_more_than_so_many_a_second_go_out():
    sink = Watching()
    source = FakeDeliverySource(sink.deliver, max_per_second=100.0)
    source.add(*range(20))

    await carried(source.lane())

    assert len(sink.moments) == 20
    assert sink.took_seconds >= 0.19


async def test_a_batch_takes_the_time_of_all_that_is_in_it():
    sink = Watching()
    source = FakeDeliverySource(sink.deliver, max_per_second=100.0, max_batch=5)
    source.add(*range(15))

    await carried(source.lane())

    assert len(sink.moments) == 3
    assert sink.took_seconds >= 0.1


async def test_the_pace_holds_from_one_lane_to_the_next():
    """Single events, each in a lane of its own, must not go out faster than a batch of them."""
    sink = Watching()
    source = FakeDeliverySource(sink.deliver, max_per_second=50.0)
    for number in range(5):
        source.add(number)
        await carried(source.lane())

    assert sink.took_seconds >= 0.08


async def test_a_lane_that_waits_for_its_pace_to_end_takes_what_comes_due():
    sink = Watching()
    source = FakeDeliverySource(sink.deliver, max_per_second=20.0)
    source.add(0)
    lane = source.lane()
    running = asyncio.create_task(carried(lane))
    await until(lambda: len(source.settled) == 1)
    source.add(1)
    lane.nudge()
    await running

    assert len(source.settled) == 2
    assert sink.shortest_gap_seconds >= 0.05


async def test_a_slow_pace_does_not_hold_up_the_end_of_a_lane():
    source = FakeDeliverySource(max_per_second=0.001, max_in_flight=4)
    source.add(*range(10))
    lane = source.lane()
    running = asyncio.create_task(carried(lane))
    await until(lambda: len(source.settled) == 1)
    lane.stop()
    await running

    assert list(source.settled) == ["dlv_0"]
    assert len(source.released) == 9


async def test_a_delivery_that_waits_for_its_turn_until_its_lease_ends_is_not_sent():
    """Ten seconds apart, the fifth would go out after 40 s: its lease may be somebody else's."""
    clock = SteppingClock()
    sink = Holding()
    source = FakeDeliverySource(sink.deliver, max_in_flight=32, max_per_second=50.0)
    source.add(*range(3))
    lane = source.lane(clock)
    running = asyncio.create_task(carried(lane))
    await sink.until(lambda: len(sink.held) == 1)
    clock.step(41)
    await until(lambda: len(source.released) == 2)
    lane.stop()
    sink.let_go()
    await running

    assert sink.seen[0] == "dlv_0"
    assert sorted(source.released[:2]) == ["dlv_1", "dlv_2"]


async def test_without_a_limit_nobody_waits():
    pace = Pace(SteppingClock())
    for _ in range(3):
        async with pace.turn():
            pace.took(1000, None)

    assert pace.pause_seconds() == 0.0


async def test_slots_follow_each_other_at_the_rate_that_is_asked_for():
    clock = SteppingClock()
    pace = Pace(clock)
    pace.took(1, 4.0)
    pauses = [pace.pause_seconds()]
    clock.step(0.1)
    pauses.append(pace.pause_seconds())
    pace.took(2, 4.0)
    pauses.append(pace.pause_seconds())
    clock.step(10)  # a quiet time earns no burst
    pace.took(1, 4.0)
    pauses.append(pace.pause_seconds())

    assert [round(pause, 6) for pause in pauses] == [0.25, 0.15, 0.65, 0.25]


async def test_turns_are_taken_one_at_a_time():
    pace = Pace(SystemClock())
    inside = 0
    most = 0

    async def take():
        nonlocal inside, most
        async with pace.turn():
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(take() for _ in range(5)))

    assert most == 1
