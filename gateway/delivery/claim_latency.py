"""How old a destination's state may be at an attempt, and how long a change waits for that.

A claim reads its destination first, and its reply arrives round trips later: at once on a near
database, tenths of a second later on a remote one. What it read is valid for ``FRESH_SECONDS``, and
for at least as long again as the reply took: or else a lane would throw away each reply on a slow
database and never send. A change is answered after a longer time, by the latency that this process
measures.
"""

import logging
from typing import Final

from gateway.clock import Clock

_log = logging.getLogger(__name__)

FRESH_SECONDS: Final = 0.1
"""How long a destination's state is valid after it was read, on a near database."""

SLOW_CLAIM_SECONDS: Final = 2.0
"""A claim that takes longer is logged: changes don't wait for longer ones."""

_VALID_FACTOR: Final = 2
_SETTLES_FACTOR: Final = 1.2
# From the read of the destination: read, BEGIN, claim, events, the probe's hold, COMMIT.
_ROUND_TRIPS: Final = 6
_REMEMBERED_SECONDS: Final = 60.0
_LOG_AGAIN_SECONDS: Final = 60.0


def valid_seconds(latency_seconds: float) -> float:
    """Return how long a state is valid after it was read by a claim that took ``latency``."""
    return max(FRESH_SECONDS, _VALID_FACTOR * latency_seconds)


class ClaimLatency:
    """The longest time from a read to the reply of its claim, of the last one to two minutes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._earlier = self._present = 0.0
        self._since = clock.monotonic_seconds()
        self._logged_at: float | None = None

    def observe(self, seconds: float) -> None:
        """Note the latency of one claim; log it if it is beyond what changes wait for."""
        self._forget()
        self._present = max(self._present, seconds)
        now = self._clock.monotonic_seconds()
        if seconds > SLOW_CLAIM_SECONDS and (
            self._logged_at is None or now - self._logged_at >= _LOG_AGAIN_SECONDS
        ):
            self._logged_at = now
            _log.warning(
                "the database took %.1f s to claim deliveries; they are sent, but a change of an "
                "endpoint may be answered before its last attempt under the earlier state starts",
                seconds,
            )

    def longest(self) -> float:
        """Return the longest latency of the last one to two minutes (seconds)."""
        self._forget()
        return max(self._earlier, self._present)

    def settles_seconds(self, round_trip_seconds: float) -> float:
        """Return how long a change waits after its commit; ``round_trip`` is measured just now.

        A process that delivers nothing has no claims to measure, only the round trip.
        """
        longest = max(self.longest(), _ROUND_TRIPS * round_trip_seconds)
        return _SETTLES_FACTOR * valid_seconds(min(longest, SLOW_CLAIM_SECONDS))

    def _forget(self) -> None:
        elapsed = self._clock.monotonic_seconds() - self._since
        if elapsed >= _REMEMBERED_SECONDS:
            self._earlier = self._present if elapsed < 2 * _REMEMBERED_SECONDS else 0.0
            self._present = 0.0
            self._since += elapsed
