"""The only module that reads the system time.

Code that needs the time takes a :class:`Clock`; tests pass a :class:`SteppingClock` and
advance it by hand.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
SMALLEST_STEP_SECONDS: Final = 1.0
"""Less is a correction (NTP) and no step."""
_MILLISECOND: Final = timedelta(milliseconds=1)
# Windows can't convert times before 1970 or after the year 3000.
_YEAR_2900_MS: Final = 29_348_006_400_000


class Clock(Protocol):
    """A source of wall-clock and monotonic time."""

    def now(self) -> datetime:
        """Return the current time, aware, UTC."""
        ...

    def monotonic_seconds(self) -> float:
        """Return monotonic seconds, for measuring durations."""
        ...


class SystemClock:
    """The system clock."""

    def now(self) -> datetime:
        """Return the current time, aware, UTC."""
        return datetime.now(UTC)

    monotonic_seconds = staticmethod(time.monotonic)
    """Return monotonic seconds; the system's own function, since an order asks twenty times."""


class StepWatch:
    """Detects that the wall clock was set back, by comparing it with the monotonic clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen = self._look()

    def seconds_back(self) -> float:
        """Return how far the clock was set back since the last call; 0 for a second or less.

        Small corrections (NTP) are not reported.
        """
        (was_at, was_seconds), (at, seconds) = self._seen, self._look()
        self._seen = at, seconds
        back = (seconds - was_seconds) - (at - was_at).total_seconds()
        return back if back > SMALLEST_STEP_SECONDS else 0.0

    def _look(self) -> tuple[datetime, float]:
        return self._clock.now(), self._clock.monotonic_seconds()


class HeldClock:
    """A clock that, once held, doesn't jump forward until :meth:`follow` is called.

    Leases are stored as wall-clock times: a jump would end all of them at once, and deliveries in
    flight would be claimed a second time. So the engine holds the clock, extends the leases after a
    step, and only then uses the new time. Steps back apply at once.
    """

    def __init__(self, clock: Clock) -> None:
        self.source = clock
        """The clock that is held."""
        self.monotonic_seconds: Callable[[], float] = clock.monotonic_seconds
        """Returns monotonic seconds, which no step touches."""
        self._is_held = False
        self._base = clock.now(), clock.monotonic_seconds()

    def now(self) -> datetime:
        """Return the wall-clock time, without a step forward that is held back."""
        wall = self.source.now()
        if not self._is_held:
            return wall
        seconds = self.source.monotonic_seconds()
        was_at, was_seconds = self._base
        passed = seconds - was_seconds
        if (wall - was_at).total_seconds() - passed > SMALLEST_STEP_SECONDS:
            return was_at + timedelta(seconds=passed)
        self._base = wall, seconds
        return wall

    def hold(self) -> None:
        """Hold back steps forward from now on."""
        self.follow()
        self._is_held = True

    def release(self) -> None:
        """Apply every step at once again."""
        self._is_held = False

    def seconds_ahead(self) -> float:
        """Return how large the step is that is held back; 0 when there is none."""
        if not self._is_held:
            return 0.0
        ahead = (self.source.now() - self.now()).total_seconds()
        return ahead if ahead > SMALLEST_STEP_SECONDS else 0.0

    def follow(self) -> None:
        """Apply the step that is held back."""
        self._base = self.source.now(), self.source.monotonic_seconds()


class SteppingClock:
    """A clock for tests that only moves when :meth:`step` is called."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = start
        self._monotonic_seconds = 0.0

    def now(self) -> datetime:
        """Return the time this clock was moved to."""
        return self._now

    def monotonic_seconds(self) -> float:
        """Return the seconds this clock was moved since it was made."""
        return self._monotonic_seconds

    def step(self, seconds: float) -> None:
        """Move forward by ``seconds``; a negative number steps the wall clock back only."""
        self._now += timedelta(seconds=seconds)
        self._monotonic_seconds += max(seconds, 0.0)


def to_epoch_ms(moment: datetime) -> int:
    """Turn an aware datetime into whole milliseconds since 1970, the form tables hold."""
    return (moment - _EPOCH) // _MILLISECOND  # exact, where a float is sometimes off by one


def from_epoch_ms(epoch_ms: int) -> datetime:
    """Turn milliseconds since 1970 into an aware UTC datetime."""
    if 0 <= epoch_ms < _YEAR_2900_MS:
        return datetime.fromtimestamp(epoch_ms / 1000, UTC)  # in half the time
    return _EPOCH + timedelta(milliseconds=epoch_ms)


def isoformat(moment: datetime) -> str:
    """Write an aware datetime as the wire does: ``2026-04-19T18:42:10Z``, whole seconds, UTC."""
    # isoformat is faster than strftime, and every webhook contains several timestamps.
    in_utc = moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    return in_utc.isoformat()[:19] + "Z"


def aware(moment: datetime) -> datetime:
    """Return ``moment`` as it is, or in UTC if it has no time zone."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
