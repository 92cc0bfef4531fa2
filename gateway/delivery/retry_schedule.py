"""When to try again, and when to give up. Pure."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

MAX_JITTER: Final = 0.1
# Another server may ask for any wait at all; more than a day is as good as never.
MAX_RETRY_AFTER_SECONDS: Final = 86_400.0


class RetrySchedule(NamedTuple):
    """Waits between tries, and the age at which the last try is made.

    ``waits_seconds`` counts from the end of a failed try; ``expires_after`` from the
    start of the first one.
    """

    waits_seconds: Sequence[float]
    expires_after: timedelta


def next_attempt(
    schedule: RetrySchedule,
    *,
    retry_index: int,
    first_attempt_at: datetime,
    now: datetime,
    retry_after_seconds: float | None,
    jitter: float,
) -> datetime | None:
    """Return when a delivery that just failed is tried again, or ``None`` to give up.

    ``retry_index`` is how many retries came before; ``jitter`` is between 0 and 1 and
    only ever adds, at most a tenth of the wait. What the other side asked for
    (``Retry-After``) is a floor. Whatever would come after the end of the schedule comes
    at its end instead, once; after that there is nothing left to try.
    """
    last = first_attempt_at + schedule.expires_after
    if now >= last:
        return None
    # A sink hands on what it was told: also what is negative, infinite or no number at all.
    asked_seconds = min(max(0.0, retry_after_seconds or 0.0), MAX_RETRY_AFTER_SECONDS)
    floor = now + timedelta(seconds=asked_seconds)
    if retry_index < len(schedule.waits_seconds):
        wait = schedule.waits_seconds[retry_index] * (1 + MAX_JITTER * jitter)
        due = max(now + timedelta(seconds=wait), floor)
        if due < last:
            return due
    return max(last, floor)
