"""See to it that a clock that is set back makes nothing wait for the time it was set back by.

A process that runs notices it by the monotonic clock. What time it was is also noted in the
database, so that whoever starts next sees that the clock was set back meanwhile.
"""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from gateway.clock import Clock
from gateway.storage.database import Database
from gateway.storage.maintenance.clock_skew import note_time, noted_time, turn_back
from gateway.storage.plugin_tables import DueColumn

_log = logging.getLogger(__name__)

_EVERY: Final = timedelta(minutes=1)
# The next to run may be another machine, whose clock is never quite the same.
_TOLERANCE_SECONDS: Final = 60.0
# A machine that was just switched on may be behind until it has asked for the time.
_PATIENCE_SECONDS: Final = 300.0


class ClockSkewMonitor:
    """Notes the time, and brings forward what waits when it went back. One for a process."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        lease_seconds: float,
        waits: Sequence[DueColumn] = (),
    ) -> None:
        self._database = database
        self._clock = clock
        self._lease_seconds = lease_seconds
        self._waits = waits
        self._noted_at: datetime | None = None
        self._behind_since: float | None = None

    async def keep(self, seconds_back: float = 0.0) -> None:
        """Bring forward what waits, if the clock was set back; called again and again.

        ``seconds_back`` is by how much it was since the last call, as far as the caller saw.
        Writes only then, once a minute, and when the clock jumped.
        """
        now = self._clock.now()
        if not seconds_back and self._noted_at and abs(now - self._noted_at) < _EVERY:
            return
        async with self._database.begin() as connection:
            before = await noted_time(connection)
            behind = 0.0 if before is None else (before - now).total_seconds()
            if behind > _TOLERANCE_SECONDS:
                if not seconds_back and not self._is_lasting(behind):
                    return
                seconds_back = max(seconds_back, behind)
            if seconds_back:
                await turn_back(
                    connection,
                    now,
                    seconds=seconds_back,
                    lease_seconds=self._lease_seconds,
                    waits=self._waits,
                )
            await note_time(connection, now)
        self._noted_at, self._behind_since = now, None
        if seconds_back:
            _log.warning("the clock was set back by %d seconds", seconds_back)

    def _is_lasting(self, behind: float) -> bool:
        """Say whether the clock has been behind for so long that it won't catch up by itself."""
        seconds = self._clock.monotonic_seconds()
        if self._behind_since is None:
            self._behind_since = seconds
            _log.warning(
                "the clock is %d seconds behind what it was when the gateway ran last; unless it "
                "is put right, what waits is brought forward in %d seconds",
                behind,
                _PATIENCE_SECONDS,
            )
        return seconds - self._behind_since >= _PATIENCE_SECONDS
