"""How an endpoint does: its success by quarter hour, and the time in which 95 % are delivered."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from gateway.plugin import Backlog, Timing, from_epoch_ms, to_epoch_ms

QUARTER: Final = timedelta(minutes=15)
_QUARTER_MS: Final = 15 * 60 * 1000


class Quarter(NamedTuple):
    """The attempts that began in one quarter of an hour; ``p95_ms`` is of those delivered."""

    start: datetime
    delivered: int
    failed: int
    p95_ms: int | None


class Statistics(NamedTuple):
    """An endpoint's last hours. ``is_whole``: no attempt of them was left out."""

    since: datetime
    until: datetime
    is_whole: bool
    delivered: int
    failed: int
    p95_ms: int | None
    quarters: Sequence[Quarter]
    waiting: Backlog

    @property
    def success(self) -> float | None:
        """The share of attempts that delivered; ``None`` without any."""
        all_of_them = self.delivered + self.failed
        return self.delivered / all_of_them if all_of_them else None


def first_quarter(until: datetime, hours: int) -> datetime:
    """Return the start of the first quarter, so that the last one holds ``until``."""
    last_ms = to_epoch_ms(until) // _QUARTER_MS * _QUARTER_MS
    return from_epoch_ms(last_ms) - timedelta(hours=hours) + QUARTER


def statistics(
    timings: Sequence[Timing],
    since: datetime,
    until: datetime,
    waiting: Backlog,
    *,
    is_whole: bool,
) -> Statistics:
    """Count ``timings`` by quarter, empty ones included."""
    by_quarter: defaultdict[int, list[Timing]] = defaultdict(list)
    for each in timings:
        by_quarter[each.started_at_ms // _QUARTER_MS].append(each)
    first = to_epoch_ms(since) // _QUARTER_MS
    quarters = [
        _quarter(number, by_quarter.get(number, ()))
        for number in range(first, to_epoch_ms(until) // _QUARTER_MS + 1)
    ]
    return Statistics(
        since,
        until,
        is_whole,
        sum(each.delivered for each in quarters),
        sum(each.failed for each in quarters),
        p95([each.duration_ms for each in timings if each.delivered]),
        quarters,
        waiting,
    )


def _quarter(number: int, timings: Sequence[Timing]) -> Quarter:
    delivered = [each.duration_ms for each in timings if each.delivered]
    start = from_epoch_ms(number * _QUARTER_MS)
    return Quarter(start, len(delivered), len(timings) - len(delivered), p95(delivered))


def p95(durations_ms: Sequence[int]) -> int | None:
    """Return the duration that 95 % do not exceed (the nearest rank); ``None`` without any."""
    if not durations_ms:
        return None
    return sorted(durations_ms)[-(-len(durations_ms) * 95 // 100) - 1]
