"""What a sink may do wrong: each try ends with an outcome, and a lease is never overstepped."""

import asyncio
import re

import pytest
from core.delivery.delivery_source import (
    NOW,
    FakeDeliverySource,
    Holding,
    at_once,
    carried,
    outcome,
    until,
)

from gateway.clock import SteppingClock


async def raises(_batch):
    raise ValueError("what the sink says may hold anything")


async def returns_nothing(_batch):
    return None


async def returns_too_little(batch):
    return [outcome(batch.deliveries[0])]


async def returns_strangers(batch):
    return [outcome(each) for each in batch.deliveries[:1]] + ["no outcome at all"]


async def raises_a_timeout_of_its_own(_batch):
    raise TimeoutError


async def awaits_what_was_cancelled(_batch):
    other = asyncio.get_running_loop().create_future()
    other.cancel()
    await other


@pytest.mark.parametrize(
    ("deliver", "error"),
    [
        (raises, "sink_failed"),
        (returns_nothing, "sink_failed"),
        (returns_strangers, "sink_failed"),
        (raises_a_timeout_of_its_own, "timeout"),
        (awaits_what_was_cancelled, "sink_failed"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
async def test_a_sink_that_fails_makes_each_try_of_its_batch_a_failed_one(deliver, error):
    source = FakeDeliverySource(deliver, max_batch=2)
    source.add(0, 1, 2)

    await carried(source.lane())

    assert {key: each.error for key, each in source.settled.items()} == {
        "dlv_0": error,
        "dlv_1": error,
        "dlv_2": error,
    }
    assert not any(each.delivered for each in source.settled.values())


async def test_a_delivery_without_an_outcome_counts_as_failed_and_its_neighbour_does_not():
    source = FakeDeliverySource(returns_too_little, max_batch=2)
    source.add(0, 1)

    await carried(source.lane(SteppingClock(NOW)))

    assert source.settled["dlv_0"].delivered
    missing = source.settled["dlv_1"]
    assert (missing.delivered, missing.error, missing.status) == (False, "no_outcome", None)
    assert (missing.started_at, missing.duration_ms) == (NOW, 0)


async def test_what_a_sink_says_when_it_fails_stays_out_of_the_log(caplog):
    source = FakeDeliverySource(raises)
    source.add(0)

    await carried(source.lane())

    [message] = caplog.messages
    place = r"[\w/]*test_lane_sinks\.py:\d+ in raises"
    assert re.fullmatch(f"sink fake failed: ValueError at {place}", message)


async def test_a_sink_that_hangs_past_the_deadline_is_cut_off():
    sink = Holding()
    source = FakeDeliverySource(sink.deliver)
    source.add(0)

    await carried(source.lane(timeout_seconds=0.01, grace_seconds=0.02))

    assert source.settled["dlv_0"].error == "timeout"
    assert source.settled["dlv_0"].duration_ms >= 30


async def test_each_of_several_that_hang_is_cut_off_and_what_comes_after_them_is_not():
    hangs = {"dlv_0", "dlv_2", "dlv_3"}

    async def some_hang(batch):
        if batch.deliveries[0].id in hangs:
            await asyncio.Event().wait()
        return await at_once(batch)

    source = FakeDeliverySource(some_hang, max_in_flight=2)
    source.add(*range(6))

    await carried(source.lane(timeout_seconds=0.01, grace_seconds=0.02))

    late = {key for key, outcome in source.settled.items() if outcome.error == "timeout"}
    assert late == hangs
    assert {key for key, outcome in source.settled.items() if outcome.delivered} == {
        "dlv_1",
        "dlv_4",
        "dlv_5",
    }


async def test_a_sink_that_answers_although_it_was_cut_off_is_believed_and_may_go_on():

    async def stubborn(batch):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return await at_once(batch)

    source = FakeDeliverySource(stubborn, max_in_flight=1)
    source.add(0, 1)

    await carried(source.lane(timeout_seconds=0.01, grace_seconds=0.0))

    assert [source.settled[key].delivered for key in ("dlv_0", "dlv_1")] == [True, True]


async def test_what_a_sink_did_before_its_deadline_ran_out_is_not_cut_off():

    async def slower_than_its_deadline(batch):
        await asyncio.sleep(0.02)
        return await at_once(batch)

    source = FakeDeliverySource(slower_than_its_deadline)
    source.add(0)

    await carried(source.lane(timeout_seconds=0.001, grace_seconds=10.0))

    assert source.settled["dlv_0"].delivered


async def test_a_delivery_whose_lease_is_about_to_run_out_is_given_back_and_not_sent():
    """A lease of 60 s, less 15 s for the try and 5 s of grace: usable for 40 s."""
    clock = SteppingClock(NOW)
    sink = Holding()
    source = FakeDeliverySource(sink.deliver, max_in_flight=1)
    source.add(0, 1, 2)
    running = asyncio.create_task(carried(source.lane(clock)))
    await sink.until(lambda: "dlv_0" in sink.held)

    clock.step(39.9)
    sink.let_go()
    await sink.until(lambda: "dlv_1" in sink.held)
    assert source.released == []

    clock.step(0.1)
    sink.let_go()
    await until(lambda: source.released == ["dlv_2"])
    await sink.until(lambda: "dlv_2" in sink.held)  # claimed anew, with a lease of its own
    sink.let_go()
    await running

    assert sink.seen == ["dlv_0", "dlv_1", "dlv_2"]
    # The destination is read again before each attempt, and at the end: it was read long ago.
    assert source.limits == [32, 30, 31, 32]


async def test_a_worker_that_dies_gives_the_rest_back(caplog):
    """A fault of ours must not keep deliveries until their lease ends."""
    source = FakeDeliverySource(max_in_flight=1)
    source.add(0, 1, 2)

    def settle(*_arguments, **_options):
        raise RuntimeError("a fault of ours")

    source.settle = settle

    await carried(source.lane())

    assert source.released == ["dlv_1", "dlv_2"]
    assert caplog.messages == ["unhandled error in delivery worker for dst_1"]


async def test_a_destination_with_no_room_at_all_is_still_served():
    source = FakeDeliverySource(max_in_flight=0)
    source.add(0, 1)

    await carried(source.lane())

    assert sorted(source.settled) == ["dlv_0", "dlv_1"]
