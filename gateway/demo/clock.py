"""The clock of a day that is played in seconds, and the place where it is midday now."""

from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from gateway.clock import Clock, SystemClock

# The first is where the made-up pharmacies are; the others, one after the other, have their
# working day while it is evening or night there.
ZONES: Final = (
    "America/Toronto",
    "America/Vancouver",
    "Pacific/Honolulu",
    "Pacific/Auckland",
    "Australia/Sydney",
    "Asia/Manila",
    "Asia/Kolkata",
    "Europe/Athens",
    "Europe/London",
    "America/Sao_Paulo",
)
_WORKING_HOURS: Final = range(12, 20)


class PlayedClock:
    """A clock that is set to moments before now, each later than the last, then to now."""

    def __init__(self) -> None:
        self._clock: Clock = SystemClock()
        self._behind = timedelta()

    def now(self) -> datetime:
        """Return the time in the played day."""
        return self._clock.now() - self._behind

    def monotonic_seconds(self) -> float:
        """Return monotonic seconds, of the real clock."""
        return self._clock.monotonic_seconds()

    def go_to(self, moment: datetime) -> None:
        """Go forward to a moment; one that has passed, or is still to come, changes nothing."""
        now = self._clock.now()
        if self.now() < moment < now:
            self._behind = now - moment

    def begin_at(self, moment: datetime) -> None:
        """Set the beginning, before anything was stored."""
        self._behind = self._clock.now() - moment

    def arrive(self) -> None:
        """Be at now, and go on as clocks do."""
        self._behind = timedelta()


def working_zone(now: datetime) -> str:
    """Return the first of the zones where a day's work is under way, at noon or later."""
    for zone in ZONES:
        if now.astimezone(ZoneInfo(zone)).hour in _WORKING_HOURS:
            return zone
    return ZONES[0]


def minutes_before(now: datetime, minutes: float) -> datetime:
    """Return the moment ``minutes`` before ``now``."""
    return now.astimezone(UTC) - timedelta(minutes=minutes)
