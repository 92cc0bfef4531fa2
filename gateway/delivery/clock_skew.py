"""Reschedule due times after the system clock was set back, extend leases after a step forward.

A running process notices a step by its monotonic clock. The time is also stored in the database, so
that the next process notices a step that happened while no process was running.
"""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from gateway.clock import Clock
from gateway.storage.database import Database
from gateway.storage.maintenance.clock_skew import (
    extend_leases,
    last_recorded_time,
    record_time,
    shift_due_times,
)
from gateway.storage.plugin_tables import DueColumn

_log = logging.getLogger(__name__)

_EVERY: Final = timedelta(minutes=1)
# The next process may run on another machine, whose clock differs a little.
_TOLERANCE_SECONDS: Final = 60.0
# A machine that just started may be behind until NTP has set its clock.
_SETTLING_SECONDS: Final = 300.0


class ClockSkewMonitor:
    """Stores the time, and moves due times forward after a step back. One per process."""

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

    async def check(self, seconds_back: float = 0.0) -> None:
        """Move due times forward if the clock was set back; call it every second.

        ``seconds_back`` is the step that the caller noticed since the last call. Writes only
        when there was a step, and once a minute.
        """
        now = self._clock.now()
        if not seconds_back and self._noted_at and abs(now - self._noted_at) < _EVERY:
            return
        async with self._database.begin() as connection:
            before = await last_recorded_time(connection)
            behind = 0.0 if before is None else (before - now).total_seconds()
            if behind > _TOLERANCE_SECONDS:
                if not seconds_back and not self._is_lasting(behind):
                    return
                seconds_back = max(seconds_back, behind)
            if seconds_back:
                await shift_due_times(
                    connection,
                    now,
                    seconds=seconds_back,
                    lease_seconds=self._lease_seconds,
                    waits=self._waits,
                )
            await record_time(connection, now)
        self._noted_at, self._behind_since = now, None
        if seconds_back:
            _log.warning("the clock was set back by %d seconds", seconds_back)

    async def extend_leases(self, seconds_ahead: float) -> None:
        """Extend all leases by a step forward, before the process uses the new time."""
        now = self._clock.now()
        async with self._database.begin() as connection:
            await extend_leases(
                connection,
                now,
                seconds=seconds_ahead,
                lease_seconds=self._lease_seconds,
                waits=self._waits,
            )
        _log.warning("the clock was set forward by %d seconds", seconds_ahead)

    def _is_lasting(self, behind: float) -> bool:
        """Return whether the clock has been behind for so long that NTP won't correct it."""
        seconds = self._clock.monotonic_seconds()
        if self._behind_since is None:
            self._behind_since = seconds
            _log.warning(
                "the clock is %d seconds behind the time of the last run; unless it is corrected, "
                "due times are brought forward in %d seconds",
                behind,
                _SETTLING_SECONDS,
            )
        return seconds - self._behind_since >= _SETTLING_SECONDS
