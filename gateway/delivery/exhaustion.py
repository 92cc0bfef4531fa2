"""Exhaust deliveries whose retry window passed without an attempt, so that lists show them.

While a breaker is open one delivery at a time is sent, and to a disabled destination none.

A delivery that has been pending for the length of the whole retry schedule becomes ``exhausted``:
it stays listed, and a recovery sends it again.
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

_MAX_PER_TRANSACTION: Final = 1000
# The job runs every minute; a longer gap means that the machine was off or suspended.
_SUSPENDED: Final = timedelta(minutes=10)


class ExpiryJob:
    """Exhausts overdue deliveries; runs once a minute."""

    def __init__(
        self, database: Database, rules: DispatchRules, sinks: Collection[str], clock: Clock
    ) -> None:
        self._database = database
        self._give_up_after = rules.schedule.expires_after
        # After days off, a destination that was failing before is probed first.
        self._grace = timedelta(seconds=max(rules.breaker.pauses_seconds) + rules.lease_seconds)
        self._sinks = sinks
        self._clock = clock
        self._last_run_at = self._running_since = clock.now()

    async def run(self) -> None:
        """Exhaust all overdue deliveries, batch by batch; none shortly after a start."""
        now = self._clock.now()
        if abs(now - self._last_run_at) > _SUSPENDED:
            self._running_since = now
        self._last_run_at = now
        if now - self._running_since < self._grace:
            return
        while True:
            now = self._clock.now()
            async with self._database.begin() as connection:
                counted = await outbox.expire(
                    connection,
                    older_than=now - self._give_up_after,
                    now=now,
                    limit=_MAX_PER_TRANSACTION,
                    sinks=self._sinks,
                )
            for destination_id, count in sorted(counted.items()):
                _log.error(
                    "deliveries exhausted: the endpoint is not being called",
                    extra={"destination_id": destination_id, "deliveries": count},
                )
            if sum(counted.values()) < _MAX_PER_TRANSACTION:
                return
