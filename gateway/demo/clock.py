"""The clock of a day that is simulated in seconds, and a time zone with a working day now."""

from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from gateway.clock import Clock, SystemClock

# The first is the zone of the made-up pharmacies; the others have their working day while it is
# evening or night there.
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
    """A clock that is set to times before now, each later than the last, then to now."""

    def __init__(self) -> None:
        self._clock: Clock = SystemClock()
        self._behind = timedelta()

    def now(self) -> datetime:
        """Return the time in the simulated day."""
        return self._clock.now() - self._behind

    def monotonic_seconds(self) -> float:
        """Return monotonic seconds, of the real clock."""
        return self._clock.monotonic_seconds()

    def go_to(self, moment: datetime) -> None:
        """Go forward to a time; a passed or a future one changes nothing."""
        now = self._clock.now()
        if self.now() < moment < now:
            self._behind = now - moment

    def begin_at(self, moment: datetime) -> None:
        """Set the first time, before anything is stored."""
        self._behind = self._clock.now() - moment

    def arrive(self) -> None:
        """Go to the present, and run like the system's clock."""
        self._behind = timedelta()


def working_zone(now: datetime) -> str:
    """Return the first zone in which it is working time after noon."""
    for zone in ZONES:
        if now.astimezone(ZoneInfo(zone)).hour in _WORKING_HOURS:
            return zone
    return ZONES[0]


def minutes_before(now: datetime, minutes: float) -> datetime:
    """Return the time ``minutes`` before ``now``."""
    return now.astimezone(UTC) - timedelta(minutes=minutes)
