"""The retry schedule: when the next attempt is due, and when none is left. Pure."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

MAX_JITTER: Final = 0.1
# After a start the network may need minutes. Until then a delivery whose time ended while the
# gateway was off is attempted repeatedly instead of being exhausted by one failure.
GRACE: Final = timedelta(minutes=5)
_GRACE_WAIT: Final = timedelta(seconds=30)
# A receiver may ask for any wait; more than a day is cut to a day.
MAX_RETRY_AFTER_SECONDS: Final = 86_400.0


class RetrySchedule(NamedTuple):
    """The waits between attempts, and the age at which the last attempt is made.

    ``waits_seconds`` count from the end of a failed attempt, ``expires_after`` from the
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
    running_since: datetime | None = None,
) -> datetime | None:
    """Return when a failed delivery is attempted again, or ``None`` when it is exhausted.

    ``retry_index`` is the number of earlier retries; ``jitter`` is between 0 and 1 and lengthens
    the wait by at most a tenth. ``Retry-After`` is the shortest wait. An attempt that would be due
    after the end of the schedule is due at its end instead, once. After that there is none, unless
    the first attempt was before ``running_since``, the start of this process, and that start was
    less than :data:`GRACE` ago.
    """
    last = first_attempt_at + schedule.expires_after
    if now >= last:
        if running_since is None or first_attempt_at >= running_since:
            return None
        if now + _GRACE_WAIT >= running_since + GRACE:
            return None
        return now + _GRACE_WAIT * (1 + MAX_JITTER * jitter)
    # The value comes from another server: it may be negative, infinite or not a number.
    asked_seconds = min(max(0.0, retry_after_seconds or 0.0), MAX_RETRY_AFTER_SECONDS)
    floor = now + timedelta(seconds=asked_seconds)
    if retry_index < len(schedule.waits_seconds):
        wait = schedule.waits_seconds[retry_index] * (1 + MAX_JITTER * jitter)
        due = max(now + timedelta(seconds=wait), floor)
        if due < last:
            return due
    return max(last, floor)
