"""Which delivering processes are alive, by a session lock of PostgreSQL for each.

A process holds an advisory lock for as long as it delivers, on a connection of its own, and its
leases begin with the lock's number. When the process dies its connection closes, PostgreSQL drops
the lock at once, and the sweep of another process ends the leases before they expire.

A machine that loses its power closes no connection; its leases expire.
"""

import asyncio
import logging
import secrets
from collections.abc import Collection
from contextlib import suppress
from datetime import datetime
from typing import Final

from sqlalchemy import NullPool, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from gateway.clock import to_epoch_ms
from gateway.storage.database import APPLICATION_NAME, Database
from gateway.storage.maintenance.locks import DELIVERING_LOCK
from gateway.storage.stores.destinations import release_probes
from gateway.storage.transaction import Statement

_log = logging.getLogger(__name__)

# Sweeps, a second apart, that must find a lock missing: its process may be reconnecting.
_SWEEPS_UNTIL_DEAD: Final = 3
_LARGEST: Final = 2**31 - 1

# The numbers of the processes that are alive.
_ALIVE: Final = """
SELECT objid::text
  FROM pg_locks
 WHERE locktype = 'advisory' AND classid = :lock AND objsubid = 2 AND granted
   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""

# The owners of leases whose lock no session holds. Reads only rows that are due within a lease, by
# the index of due rows.
_DEAD: Final = Statement(
    f"""
SELECT DISTINCT split_part(lease, '.', 1)
  FROM deliveries
 WHERE destination_id IN (SELECT id FROM destinations) AND state = 'pending'
   AND due_at_ms > :now_ms AND due_at_ms <= :until_ms AND lease LIKE '%.%'
   AND split_part(lease, '.', 1) NOT IN ({_ALIVE})
"""  # noqa: S608 - of constants
)
_HELD: Final = Statement(_ALIVE)
_ENDED = text(
    """
UPDATE deliveries
   SET due_at_ms = :now_ms, lease = NULL
 WHERE destination_id IN (SELECT id FROM destinations) AND state = 'pending'
   AND due_at_ms > :now_ms AND split_part(lease, '.', 1) = ANY(:owners)
RETURNING destination_id, lease
"""
)
_PROBES = text(
    "SELECT probe_lease FROM destinations WHERE split_part(probe_lease, '.', 1) = ANY(:owners)"
)


class Liveness:
    """This process's lock, and the search for those of others that are gone."""

    def __init__(self, database: Database, lease_seconds: float) -> None:
        self._database = database
        self._lease_ms = int(lease_seconds * 1000)
        self.number = str(secrets.randbelow(_LARGEST))
        self._engine: AsyncEngine | None = None
        self._connection: AsyncConnection | None = None
        self._gone: dict[str, int] = {}
        self._holding = asyncio.Lock()

    @property
    def lease_prefix(self) -> str:
        """The prefix of this process's leases; empty where no lock is held."""
        return "" if self._connection is None else f"{self.number}."

    async def hold(self) -> None:
        """Take the lock, and take it again after its connection broke; call it every second."""
        if self._database.dialect == "sqlite":
            return
        # two processes that took it at once would wait for each other for ever
        async with self._holding:
            await self._hold()

    async def _hold(self) -> None:
        if self._connection is not None:
            try:
                await self._connection.execute(text("SELECT 1"))
            except (SQLAlchemyError, OSError):
                await self._drop()
            else:
                return
        if self._engine is None:
            self._engine = create_async_engine(
                self._database.url,
                poolclass=NullPool,
                isolation_level="AUTOCOMMIT",
                connect_args={"server_settings": {"application_name": APPLICATION_NAME}},
            )
        connection = await self._engine.connect()
        values = {"lock": DELIVERING_LOCK, "number": int(self.number)}
        await connection.execute(text("SELECT pg_advisory_lock(:lock, :number)"), values)
        self._connection = connection

    async def gone(self, numbers: Collection[str]) -> Collection[str]:
        """Return those of ``numbers`` whose lock no session holds."""
        if not numbers or self._database.dialect == "sqlite":
            return ()
        alive = {number for (number,) in await self._database.look(_HELD, lock=DELIVERING_LOCK)}
        return set(numbers) - alive

    async def end_leases_of_the_dead(self, now: datetime) -> Collection[str]:
        """End the leases of processes whose lock is gone; returns their destinations.

        A process counts as gone when three calls, a second apart, found no lock of it.
        """
        if self._database.dialect == "sqlite":
            return ()
        now_ms = to_epoch_ms(now)
        span = {"now_ms": now_ms, "until_ms": now_ms + self._lease_ms, "lock": DELIVERING_LOCK}
        found = {owner for (owner,) in await self._database.look(_DEAD, **span)}
        self._gone = {each: self._gone.get(each, 0) + 1 for each in found}
        dead = sorted(each for each, times in self._gone.items() if times >= _SWEEPS_UNTIL_DEAD)
        if not dead:
            return ()
        async with self._database.begin() as connection:
            probes = (await connection.execute(_PROBES, {"owners": dead})).scalars()
            await release_probes(connection, now, sorted(probes))
            ended = await connection.execute(_ENDED, {"now_ms": now_ms, "owners": dead})
            destinations = sorted({row[0] for row in ended})
        for each in dead:
            del self._gone[each]
        _log.warning("a delivering process is gone: its deliveries are due again")
        return destinations

    async def release(self) -> None:
        """Release the lock: this process has stopped delivering."""
        await self._drop()
        if self._engine is not None:
            await self._engine.dispose()
            self._engine = None

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):
                await connection.close()
