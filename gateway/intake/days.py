"""The figures of a day: its packages by status, and the deliveries of each hour."""

from collections.abc import Sequence
from datetime import date

from gateway.clock import Clock
from gateway.errors import InvalidInput, Problem
from gateway.intake.sites import SiteDirectory
from gateway.intake.usual_days import UsualDays
from gateway.model.account import Caller
from gateway.model.day import YEARS, Day, day_at, day_of
from gateway.storage.database import Database
from gateway.storage.stores.package_lists import DayCounts, counts_of_day


class Days:
    """Counts the packages of a day, which begins at midnight of the caller's site."""

    def __init__(self, database: Database, sites: SiteDirectory, clock: Clock) -> None:
        self._database = database
        self._sites = sites
        self._clock = clock
        self._usual = UsualDays(database)

    def day(self, caller: Caller, on: date | None = None) -> Day:
        """Return a day of the caller's site, by default today.

        For a caller of several sites it is the day of the account's first site. Raises
        ``InvalidInput`` for a day outside of the years 2000 to 2100.
        """
        if on is not None and on.year not in YEARS:
            problem = Problem(f"expected a day of the years {YEARS[0]} to {YEARS[-1]}", field="on")
            raise InvalidInput("There is no such day.", [problem])
        zone = self._sites.zone(caller.account_id, caller.site)
        return day_at(zone, self._clock.now()) if on is None else day_of(zone, on)

    async def counts(self, caller: Caller, day: Day) -> DayCounts:
        """Return the day's counts."""
        async with self._database.read() as connection:
            return await counts_of_day(connection, caller, day)

    async def usual_deliveries(self, caller: Caller, day: Day) -> Sequence[float]:
        """Return what is usually delivered in each hour of such a weekday; empty while not known.

        It is the median of the same weekday of the last eight weeks, counted once a day.
        """
        return await self._usual.deliveries(caller, day)
