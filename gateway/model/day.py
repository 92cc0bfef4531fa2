"""A day of a site by its local time, with 23, 24 or 25 hours."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

YEARS: Final = range(2000, 2101)
"""The years of the days that an order can have or a person can ask for. A year outside is a slip of
the sender (0206, 20206); the first and the last days of the calendar have no beginning or end in
UTC."""

_HOUR = timedelta(hours=1)


class Day(NamedTuple):
    """A calendar day in ``zone``, from ``starts_at`` to before ``ends_at`` (both UTC)."""

    date: date
    zone: ZoneInfo
    starts_at: datetime
    ends_at: datetime

    def hours(self) -> Iterator[datetime]:
        """Yield the local beginning of each hour; in autumn one hour comes twice."""
        at = self.starts_at
        while at < self.ends_at:
            yield at.astimezone(self.zone)
            at += _HOUR


def day_of(zone: ZoneInfo, on: date) -> Day:
    """Return the day ``on`` in ``zone``."""
    return Day(on, zone, _begin(zone, on), _begin(zone, on + timedelta(days=1)))


def day_at(zone: ZoneInfo, now: datetime) -> Day:
    """Return the current day in ``zone`` at ``now`` (aware)."""
    return day_of(zone, now.astimezone(zone).date())


def _begin(zone: ZoneInfo, on: date) -> datetime:
    return datetime.combine(on, time(), zone).astimezone(UTC)
