"""What a weekday usually brings: the deliveries of each hour, of the last eight weeks."""

from collections import OrderedDict
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Final

from gateway.model.account import Caller
from gateway.model.day import Day, day_of
from gateway.storage.database import Database
from gateway.storage.stores.package_lists import deliveries_by_hour

_WEEKS: Final = 8
_FEWEST: Final = 3
_HOURS: Final = 24
_MOST_KEPT: Final = 200
_NOT_KNOWN: Final[Sequence[float]] = ()

_Key = tuple[str, str, frozenset[str] | None, date, str]


class UsualDays:
    """Counts the same weekday of the last eight weeks, once a day for each view of the data."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept: OrderedDict[_Key, Sequence[float]] = OrderedDict()

    async def deliveries(self, caller: Caller, day: Day) -> Sequence[float]:
        """Return the median of the deliveries in each hour of ``day``; empty while not known.

        It is known from three such weekdays with a delivery on. One without any, as a holiday is,
        doesn't count. Where the clock is set, an hour is the one that has the same name.
        """
        key = (caller.account_id, caller.mode, caller.sites, day.date, day.zone.key)
        by_clock = self._kept.get(key)
        if by_clock is None:
            by_clock = self._kept[key] = await self._by_clock(caller, day)
        self._kept.move_to_end(key)
        while len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)
        return [by_clock[at.hour] for at in day.hours()] if by_clock else _NOT_KNOWN

    async def _by_clock(self, caller: Caller, day: Day) -> Sequence[float]:
        from statistics import median  # with the first chart of a day

        days = [day_of(day.zone, day.date - timedelta(weeks=week)) for week in range(1, _WEEKS + 1)]
        async with self._database.read() as connection:
            found = await deliveries_by_hour(connection, caller, days)
        worked = [_by_name(each, counts) for each, counts in zip(days, found, strict=True)]
        worked = [each for each in worked if any(each)]
        if len(worked) < _FEWEST:
            return _NOT_KNOWN
        return [median(each[hour] for each in worked) for hour in range(_HOURS)]


def _by_name(day: Day, counts: Sequence[int]) -> Sequence[int]:
    """Return the counts of a day's hours by the hour of the clock."""
    by_name = [0] * _HOURS
    for at, count in zip(day.hours(), counts, strict=True):
        by_name[at.hour] += count
    return by_name
