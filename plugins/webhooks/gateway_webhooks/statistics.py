"""An endpoint's success by quarter hour, and the time in which 95 % are delivered."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import chain
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
    by_quarter: defaultdict[int, _Attempts] = defaultdict(_Attempts)
    for started_at_ms, duration_ms, delivered in timings:
        quarter = by_quarter[started_at_ms // _QUARTER_MS]
        if delivered:
            quarter.durations_ms.append(duration_ms)
        else:
            quarter.failed += 1
    first = to_epoch_ms(since) // _QUARTER_MS
    shown = range(first, to_epoch_ms(until) // _QUARTER_MS + 1)
    quarters = [_quarter(each, by_quarter.get(each, _NONE)) for each in shown]
    return Statistics(
        since,
        until,
        is_whole,
        sum(each.delivered for each in quarters),
        sum(each.failed for each in quarters),
        p95(list(chain.from_iterable(each.durations_ms for each in by_quarter.values()))),
        quarters,
        waiting,
    )


class _Attempts:
    """The attempts of a quarter: how long those took that delivered, and how many failed."""

    __slots__ = ("durations_ms", "failed")

    def __init__(self) -> None:
        self.durations_ms: list[int] = []
        self.failed = 0


_NONE: Final = _Attempts()


def _quarter(number: int, attempts: _Attempts) -> Quarter:
    """Return the figures of a quarter, which begins at so many quarters since 1970."""
    durations_ms = attempts.durations_ms
    start = from_epoch_ms(number * _QUARTER_MS)
    return Quarter(start, len(durations_ms), attempts.failed, p95(durations_ms))


def p95(durations_ms: Sequence[int]) -> int | None:
    """Return the duration that 95 % do not exceed (the nearest rank); ``None`` without any."""
    if not durations_ms:
        return None
    return sorted(durations_ms)[-(-len(durations_ms) * 95 // 100) - 1]
