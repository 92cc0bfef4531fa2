"""Give up deliveries that nobody will try again in time, so that they show.

A destination whose breaker is open is tried with one delivery at a time, and a disabled
one with none. What waited behind for as long as a whole retry schedule takes is exhausted:
visible, and sent again by a recovery.
"""

import logging
from datetime import timedelta
from typing import Final

from gateway.clock import Clock
from gateway.storage import giving_up
from gateway.storage.database import Database

_log = logging.getLogger(__name__)

_AT_ONCE: Final = 1000


class GivingUp:
    """Gives up what is overdue; run it now and then."""

    def __init__(self, database: Database, give_up_after: timedelta, clock: Clock) -> None:
        self._database = database
        self._give_up_after = give_up_after
        self._clock = clock

    async def run(self) -> None:
        """Give up all that is overdue, some in each transaction."""
        while True:
            now = self._clock.now()
            async with self._database.begin() as connection:
                counted = await giving_up.give_up(
                    connection, older_than=now - self._give_up_after, now=now, limit=_AT_ONCE
                )
            for destination_id, count in sorted(counted.items()):
                _log.error(
                    "deliveries given up: the endpoint is not being called",
                    extra={"destination_id": destination_id, "deliveries": count},
                )
            if sum(counted.values()) < _AT_ONCE:
                return
