"""Give up deliveries that nobody will try again in time, so that they show.

A destination whose breaker is open is tried with one delivery at a time, and a disabled
one with none. What waited behind for as long as a whole retry schedule takes is exhausted:
visible, and sent again by a recovery.
"""

import logging
from collections.abc import Collection
from datetime import timedelta
from typing import Final

from gateway.clock import Clock
from gateway.delivery.dispatcher import DispatchRules
from gateway.storage.database import Database
from gateway.storage.stores import outbox

_log = logging.getLogger(__name__)

_AT_ONCE: Final = 1000
# Who runs every minute and was not run for this long was off, or asleep.
_ASLEEP: Final = timedelta(minutes=10)


class ExpiryJob:
    """Gives up what is overdue; run it now and then."""

    def __init__(
        self, database: Database, rules: DispatchRules, sinks: Collection[str], clock: Clock
    ) -> None:
        self._database = database
        self._give_up_after = rules.schedule.expires_after
        # We may have been off for days: whoever was failing before is tried first.
        self._patience = timedelta(seconds=max(rules.breaker.pauses_seconds) + rules.lease_seconds)
        self._sinks = sinks
        self._clock = clock
        self._last_run_at = self._awake_since = clock.now()

    async def run(self) -> None:
        """Give up all that is overdue, some in each transaction; nothing while just awake."""
        now = self._clock.now()
        if abs(now - self._last_run_at) > _ASLEEP:
            self._awake_since = now
        self._last_run_at = now
        if now - self._awake_since < self._patience:
            return
        while True:
            now = self._clock.now()
            async with self._database.begin() as connection:
                counted = await outbox.give_up(
                    connection,
                    older_than=now - self._give_up_after,
                    now=now,
                    limit=_AT_ONCE,
                    sinks=self._sinks,
                )
            for destination_id, count in sorted(counted.items()):
                _log.error(
                    "deliveries given up: the endpoint is not being called",
                    extra={"destination_id": destination_id, "deliveries": count},
                )
            if sum(counted.values()) < _AT_ONCE:
                return
