"""How long this process has been running: what may have been missed while it was not.

A machine that was off, or a laptop that was suspended, comes back with deliveries whose time
ran out meanwhile, and with a network that takes a moment to return. Expiry and the last
attempt of a delivery give both that moment.
"""

from datetime import timedelta
from typing import Final

from gateway.clock import Clock

# The sweep runs every second; a longer gap means that the machine was suspended.
_SUSPENDED: Final = timedelta(minutes=10)


class Uptime:
    """Since when this process has been running without a gap: since its start, or a suspension."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen_at = self.since = clock.now()

    def note(self) -> None:
        """Note that the process is running; call it at least once a minute."""
        now = self._clock.now()
        if abs(now - self._seen_at) > _SUSPENDED:
            self.since = now
        self._seen_at = now
