"""How a lane ends: stopped, paused, told that nobody is there, cut off from its database."""

import asyncio

import pytest
from core.delivery.delivery_source import FakeDeliverySource, Holding, carried, outcome, until

from gateway.errors import StorageError


async def test_a_paused_destination_gets_nothing_more_and_loses_nothing():
    sink = Holding()
    source = FakeDeliverySource(sink.deliver, max_in_flight=2)
    source.add(*range(10))
    lane = source.lane()
    running = asyncio.create_task(carried(lane))
    await sink.until(lambda: len(sink.held) == 2)
    source.takes_deliveries = False
    lane.nudge()
    await until(lambda: len(source.released) == 8)
    sink.let_go()
    await running

    assert sorted(source.settled) == ["dlv_0", "dlv_1"]
    assert [each.id for each in source.due] == [f"dlv_{number}" for number in range(2, 10)]


@pytest.mark.parametrize("said", ["gone", "busy"])
async def test_a_destination_that_is_gone_or_busy_gets_nothing_that_still_waited(said):
    async def deliver(batch):
        return [outcome(each, delivered=False, **{said: True}) for each in batch.deliveries]

    source = FakeDeliverySource(deliver, max_in_flight=1)
    source.add(*range(10))
    settle = source.settle

    def settle_and_disable(*arguments, **options):
        source.takes_deliveries = False
        return settle(*arguments, **options)

    source.settle = settle_and_disable

    await carried(source.lane())

    assert list(source.settled) == ["dlv_0"]
    assert sorted(source.released) == [f"dlv_{number}" for number in range(1, 10)]


async def test_what_was_being_claimed_while_a_destination_said_it_is_gone_goes_back_too():
    sink = Holding()

    async def deliver(batch):
        await sink.deliver(batch)
        return [outcome(each, delivered=False, gone=True) for each in batch.deliveries]

    source = FakeDeliverySource(deliver)
    source.add(0)
    lane = source.lane()
    running = asyncio.create_task(carried(lane))
    await sink.until(lambda: len(sink.held) == 1)
    source.claiming.clear()
    source.add(*range(1, 20))
    lane.nudge()
    await until(lambda: not source.due)
    sink.let_go()
    await until(lambda: len(source.settled) == 1)
    source.claiming.set()
    await running

    assert sink.seen == ["dlv_0"]
    assert len(source.released) == 19


async def test_a_stopped_lane_finishes_what_is_in_flight_and_gives_the_rest_back():
    sink = Holding()
    source = FakeDeliverySource(sink.deliver, max_in_flight=3)
    source.add(*range(10))
    lane = source.lane()
    running = asyncio.create_task(carried(lane))
    await sink.until(lambda: len(sink.held) == 3)
    lane.stop()
    await until(lambda: len(source.released) == 7)
    lane.nudge()
    assert not running.done()
    sink.let_go()
    await running

    assert sorted(source.settled) == ["dlv_0", "dlv_1", "dlv_2"]
    assert source.limits == [32]


async def test_a_claim_under_way_when_the_lane_is_stopped_is_given_back():
    sink = Holding()
    source = FakeDeliverySource(sink.deliver)
    source.add(*range(10))
    source.claiming.clear()
    lane = source.lane()
    running = asyncio.create_task(carried(lane))
    await until(lambda: not source.due)
    lane.stop()
    source.claiming.set()
    await running

    assert sink.seen == []
    assert len(source.released) == 10


async def test_when_no_claim_can_be_made_what_is_in_flight_is_finished():
    sink = Holding()
    source = FakeDeliverySource(sink.deliver, max_in_flight=2)
    source.add(*range(3))
    lane = source.lane()
    running = asyncio.create_task(carried(lane))
    await sink.until(lambda: len(sink.held) == 2)
    source.failing = StorageError("The database is away.")
    source.storing.clear()
    lane.nudge()
    await until(lambda: len(source.limits) == 2)
    sink.let_go()
    for _ in range(10):
        await asyncio.sleep(0)
    source.failing = None  # it is back before the outcomes are stored
    source.storing.set()

    with pytest.raises(StorageError):
        await running
    assert sorted(source.settled) == ["dlv_0", "dlv_1"]
    assert source.released == ["dlv_2"]


async def test_an_outcome_that_cannot_be_stored_is_logged_without_ending_the_lane(caplog):
    source = FakeDeliverySource()
    source.add(0, 1)
    source.storing.clear()
    running = asyncio.create_task(carried(source.lane()))
    await until(lambda: not source.due)
    source.failing = StorageError("The database is away.")
    source.storing.set()
    await running

    assert source.settled == {}
    assert "an outcome for dst_1 could not be stored: StorageError" in caplog.messages


async def test_cancelling_a_lane_leaves_no_worker_behind():
    sink = Holding()
    source = FakeDeliverySource(sink.deliver)
    source.add(0)
    running = asyncio.create_task(source.lane().run())
    await sink.until(lambda: len(sink.held) == 1)
    running.cancel()

    with pytest.raises(asyncio.CancelledError):
        await running
    await until(lambda: len(asyncio.all_tasks()) == 1)
