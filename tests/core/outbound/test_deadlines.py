"""One timer cuts off all tasks that take too long."""

import asyncio
import time

import pytest

from gateway.outbound.deadlines import Deadlines

SOON_SECONDS = 0.02
LATE_SECONDS = 30.0


async def _runs(deadlines, seconds, work):
    """Run ``work`` with a deadline; returns how it ended."""
    this = deadlines.begin(seconds)
    try:
        await work
        ended = "done"
    except asyncio.CancelledError:
        ended = "cancelled"
    return ended, deadlines.finish(this)


@pytest.fixture
def deadlines():
    made = Deadlines()
    yield made
    made.end()


async def test_a_task_is_cut_off_at_its_deadline_and_not_before(deadlines):
    began = time.monotonic()

    assert await _runs(deadlines, SOON_SECONDS, asyncio.sleep(LATE_SECONDS)) == ("cancelled", True)

    assert time.monotonic() - began > SOON_SECONDS - 0.005
    assert asyncio.current_task().cancelling() == 0


async def test_a_task_that_ends_in_time_is_left_alone(deadlines):
    assert await _runs(deadlines, SOON_SECONDS, asyncio.sleep(0)) == ("done", False)

    await asyncio.sleep(2 * SOON_SECONDS)


async def test_a_deadline_before_those_of_others_is_kept(deadlines):
    later = asyncio.create_task(_runs(deadlines, LATE_SECONDS, asyncio.sleep(4 * SOON_SECONDS)))
    await asyncio.sleep(0)

    sooner = await _runs(deadlines, SOON_SECONDS, asyncio.sleep(LATE_SECONDS))

    assert sooner == ("cancelled", True)
    assert await later == ("done", False)


async def test_each_of_several_deadlines_is_kept(deadlines):
    ended = await asyncio.gather(
        *(
            _runs(deadlines, SOON_SECONDS * times, asyncio.sleep(LATE_SECONDS))
            for times in (3, 1, 2)
        )
    )

    assert ended == [("cancelled", True)] * 3


async def test_the_timer_is_set_again_for_what_begins_after_all_others_ended(deadlines):
    await _runs(deadlines, SOON_SECONDS, asyncio.sleep(0))
    await asyncio.sleep(2 * SOON_SECONDS)

    assert await _runs(deadlines, SOON_SECONDS, asyncio.sleep(LATE_SECONDS)) == ("cancelled", True)


async def test_a_cancellation_by_another_is_not_taken_for_a_deadline(deadlines):
    running = asyncio.create_task(_runs(deadlines, LATE_SECONDS, asyncio.sleep(LATE_SECONDS)))
    await asyncio.sleep(0)

    running.cancel()

    assert await running == ("cancelled", False)
