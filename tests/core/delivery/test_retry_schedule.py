"""When a delivery is tried again, to the second, and when it is given up."""

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.delivery.retry_schedule import RetrySchedule, next_attempt
from gateway.settings import Settings

FIRST = datetime(2026, 1, 1, tzinfo=UTC)
DAY_SECONDS = 86_400
CONTRACT = RetrySchedule(
    (5, 30, 120, 600, 1800, 3600, 7200, 14400, 28800), timedelta(seconds=DAY_SECONDS)
)


def tries(jitter: float, schedule: RetrySchedule = CONTRACT) -> list[float]:
    """Return when each try after the first is made, in seconds; each fails the moment it begins."""
    moments: list[float] = []
    now: datetime | None = FIRST
    while True:
        now = next_attempt(
            schedule,
            retry_index=len(moments),
            first_attempt_at=FIRST,
            now=now,
            retry_after_seconds=None,
            jitter=jitter,
        )
        if now is None:
            return moments
        moments.append((now - FIRST).total_seconds())


def at(seconds: float) -> datetime:
    return FIRST + timedelta(seconds=seconds)


def after(
    seconds: float, retry_index: int, retry_after: float | None = None, jitter: float = 0
) -> float | None:
    """Return the seconds from the first try to the one that follows a failure at ``seconds``."""
    due = next_attempt(
        CONTRACT,
        retry_index=retry_index,
        first_attempt_at=FIRST,
        now=at(seconds),
        retry_after_seconds=retry_after,
        jitter=jitter,
    )
    return None if due is None else (due - FIRST).total_seconds()


def test_the_contracts_schedule_to_the_second():
    assert tries(jitter=0) == [
        5,
        5 + 30,
        35 + 2 * 60,
        155 + 10 * 60,
        755 + 30 * 60,
        2555 + 60 * 60,
        6155 + 2 * 60 * 60,
        13355 + 4 * 60 * 60,
        27755 + 8 * 60 * 60,
        24 * 60 * 60,
    ]
    assert tries(jitter=0) == [5, 35, 155, 755, 2555, 6155, 13355, 27755, 56555, 86400]


def test_the_most_jitter_adds_a_tenth_to_each_wait_and_nothing_to_the_last_try():
    assert tries(jitter=1) == [
        5.5,
        38.5,
        170.5,
        830.5,
        2810.5,
        6770.5,
        14690.5,
        30530.5,
        62210.5,
        86400,
    ]


def test_the_built_in_settings_are_the_contracts_schedule():
    delivery = Settings().delivery

    assert tuple(delivery.retry_schedule_seconds) == CONTRACT.waits_seconds
    assert delivery.give_up_after_seconds == DAY_SECONDS


def test_a_wait_counts_from_the_end_of_the_try_that_failed():
    assert after(15, retry_index=0) == 20


def test_retry_after_is_a_floor():
    assert after(0, retry_index=0, retry_after=4) == 5
    assert after(0, retry_index=0, retry_after=5) == 5
    assert after(0, retry_index=0, retry_after=90) == 90
    assert after(0, retry_index=0, retry_after=90, jitter=1) == 90


def test_retry_after_beyond_the_end_moves_the_last_try_there():
    assert after(80_000, retry_index=9, retry_after=10_000) == 90_000


@pytest.mark.parametrize("asked", [86_401, 10**9, 1e300, math.inf])
def test_retry_after_is_capped_at_a_day(asked: float):
    assert after(100, retry_index=0, retry_after=asked) == 100 + DAY_SECONDS


@pytest.mark.parametrize("asked", [None, 0, -1, -1e300, -math.inf, math.nan])
def test_a_retry_after_that_asks_for_nothing_changes_nothing(asked: float | None):
    assert after(0, retry_index=0, retry_after=asked) == 5


def test_a_wait_that_would_end_after_24_hours_ends_at_24_hours():
    assert after(86_399, retry_index=0) == DAY_SECONDS
    assert after(57_600, retry_index=8) == DAY_SECONDS
    assert after(57_599, retry_index=8) == 86_399


def test_after_24_hours_nothing_is_tried_any_more():
    assert after(DAY_SECONDS - 0.001, retry_index=9) == DAY_SECONDS
    assert after(DAY_SECONDS, retry_index=9) is None
    assert after(DAY_SECONDS, retry_index=0) is None
    assert after(DAY_SECONDS, retry_index=0, retry_after=60) is None
    assert after(90_000, retry_index=10) is None


def test_a_schedule_without_waits_tries_once_more_at_its_end():
    assert tries(0, RetrySchedule((), timedelta(seconds=60))) == [60]


schedules = st.builds(
    RetrySchedule,
    st.lists(st.floats(0.001, 10**6), max_size=12).map(tuple),
    st.floats(0.001, 10**7).map(lambda seconds: timedelta(seconds=seconds)),
)
asked_waits = st.none() | st.floats()


@settings(deadline=None)
@given(
    schedule=schedules,
    retry_index=st.integers(0, 20),
    now_seconds=st.floats(0, 2 * 10**7),
    asked=asked_waits,
    jitter=st.floats(0, 1),
)
def test_a_next_try_is_never_before_now_nor_earlier_than_was_asked_for(
    schedule, retry_index, now_seconds, asked, jitter
):
    now = at(now_seconds)
    due = next_attempt(
        schedule,
        retry_index=retry_index,
        first_attempt_at=FIRST,
        now=now,
        retry_after_seconds=asked,
        jitter=jitter,
    )
    last = FIRST + schedule.expires_after

    if due is None:
        assert now >= last
        return
    assert now < last
    assert due >= now
    if asked is not None and 0 < asked <= DAY_SECONDS:
        assert due >= now + timedelta(seconds=asked)
    assert due <= max(last, now + timedelta(days=1))
    if due < last and retry_index < len(schedule.waits_seconds):
        least = timedelta(seconds=schedule.waits_seconds[retry_index])
        assert due >= now + least


@settings(deadline=None)
@given(schedule=schedules, data=st.data())
def test_every_delivery_is_given_up_some_day(schedule, data):
    """However long tries take, whatever is asked for: at most two more than there are waits."""
    now, made = FIRST, 0
    while True:
        took = data.draw(st.floats(0, 3600))
        due = next_attempt(
            schedule,
            retry_index=made,
            first_attempt_at=FIRST,
            now=now + timedelta(seconds=took),
            retry_after_seconds=data.draw(asked_waits),
            jitter=data.draw(st.floats(0, 1)),
        )
        if due is None:
            break
        now, made = due, made + 1
        assert made <= len(schedule.waits_seconds) + 1


def test_after_a_start_a_delivery_whose_time_ran_out_gets_a_few_attempts_more():
    """The network may need a moment: every half minute, for five minutes."""
    started = FIRST + timedelta(days=3)
    now, attempts = started + timedelta(seconds=1), [started]
    while now is not None:
        attempts.append(now)
        now = next_attempt(
            CONTRACT,
            retry_index=1,
            first_attempt_at=FIRST,
            now=now,
            retry_after_seconds=None,
            jitter=0.0,
            running_since=started,
        )

    assert len(attempts) == 11
    assert attempts[-1] - started < timedelta(minutes=5)


def test_a_delivery_whose_time_ran_out_while_the_gateway_runs_is_exhausted():
    due = next_attempt(
        CONTRACT,
        retry_index=1,
        first_attempt_at=FIRST,
        now=FIRST + timedelta(days=1),
        retry_after_seconds=None,
        jitter=0.0,
        running_since=FIRST - timedelta(days=1),
    )

    assert due is None


def test_a_retry_after_of_ten_years_is_a_day():
    asked = 10 * 365 * 86_400.0
    due = next_attempt(
        CONTRACT,
        retry_index=0,
        first_attempt_at=FIRST,
        now=FIRST,
        retry_after_seconds=asked,
        jitter=0.0,
    )

    assert due == FIRST + timedelta(days=1)
