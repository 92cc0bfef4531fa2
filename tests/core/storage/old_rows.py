"""A house with things in it that are over, or not, for as long as a test wants.

Nothing here knows pytest.
"""

from datetime import datetime, timedelta
from typing import Any

from core.storage.rows import (
    LIVE,
    NOW,
    SEALER,
    delivered,
    destination,
    draft,
    failed,
    new_package,
    stores,
)
from sqlalchemy import Table, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import SteppingClock, to_epoch_ms
from gateway.model.delivery import Destination
from gateway.model.package import Status
from gateway.settings import RetentionTable
from gateway.storage.database import Database
from gateway.storage.plugin_tables import PluginTables
from gateway.storage.retention.policy import Housekeeper, StepResult
from gateway.storage.stores.audit import AuditTrail
from gateway.storage.stores.outbox import NewDelivery

STORES = stores()
BOARD = destination(id="dst_board", moment=NOW - timedelta(days=2000))


def ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


class House:
    """A database with one destination, and who keeps it in order."""

    def __init__(self, database: Database, **ages: Any) -> None:
        self.database = database
        self.clock = SteppingClock(NOW)
        self.trail = AuditTrail(database, SEALER, self.clock)
        self.tables: list[PluginTables] = []
        self.keeper = self.kept_for(**ages)

    def kept_for(self, **ages: Any) -> Housekeeper:
        """Return somebody who goes by other settings; by default nothing goes."""
        settings = RetentionTable(**{"payload_days": 0, "metadata_days": 0, "log_days": 0, **ages})
        return Housekeeper(
            self.database,
            SEALER,
            settings,
            self.trail,
            self.clock,
            tables=self.tables,
            pause_seconds=0,
        )

    async def swept(self, *, dry_run: bool = False, **ages: Any) -> dict[str, StepResult]:
        """Sweep by other settings; returns what became of each kind of thing."""
        found = await self.kept_for(**ages).sweep(dry_run=dry_run)
        return {each.what: each for each in found}

    async def gone(self, **ages: Any) -> dict[str, int]:
        """Sweep; return how many of which went."""
        return {what: each.rows for what, each in (await self.swept(**ages)).items() if each.rows}

    async def destination(self, target: Destination = BOARD) -> Destination:
        async with self.database.begin() as connection:
            await STORES.destinations.add(connection, target)
        return target

    async def package(
        self,
        status: Status = "completed",
        *,
        days: float,
        made: datetime | None = None,
        **changes: Any,
    ) -> str:
        """Make a package that came to ``status`` so many days ago; returns its id."""
        new = new_package(moment=made or ago(days), **changes)
        moved = (new.account_id, new.id, status, to_epoch_ms(ago(days)))
        async with self.database.begin() as connection:
            await STORES.packages.insert(connection, [new])
            await STORES.packages.move(connection, [moved])
        return new.id

    async def event(self, subject: str, *, days: float, **changes: Any) -> str:
        """Record an event of so many days ago; returns its id."""
        async with self.database.begin() as connection:
            data = {"driver_id": "drv_1", "notes": "left with Maria"}
            made = draft(moment=ago(days), subject=subject, **{"data": data, **changes})
            [event] = await STORES.events.append(connection, [made], ago(days))
        return event.id

    async def delivery(
        self, event_id: str, subject: str, *, days: float, state: str = "delivered"
    ) -> str:
        """Queue an event for the board and, unless ``pending``, try it once; returns its id.

        A pending one was tried and failed.
        """
        kind = "delivery.completed"
        new = NewDelivery("acme", BOARD.id, event_id, kind, subject, in_order=False)
        moment = ago(days)
        async with self.database.begin() as connection:
            [delivery_id] = await STORES.outbox.queue(connection, [new], moment)
            [claimed] = await STORES.outbox.claim(
                connection, BOARD.id, limit=1, now=moment, lease_seconds=60
            )
            seen = {"started_at": moment, "excerpt": b"Maria says thanks"}
            settled = {
                "delivered": delivered(claimed, **seen),
                "exhausted": failed(claimed, **seen),
                "pending": failed(claimed, NOW + timedelta(days=1000), **seen),
            }[state]
            await STORES.outbox.settle(connection, [settled], moment)
        return delivery_id

    async def told(self, *, days: float, state: str = "delivered", **changes: Any) -> str:
        """Make a package with one event and one delivery of it; returns the package's id."""
        package_id = await self.package(days=days, **changes)
        event_id = await self.event(package_id, days=days)
        await self.delivery(event_id, package_id, days=days, state=state)
        return package_id

    async def rows(self, table: Table) -> list[Any]:
        """Return every row of a table, in the order of its key."""
        async with self.database.read() as connection:
            query = select(table).order_by(*table.primary_key)
            return list(await connection.execute(query))

    async def counts(self, *tables: Table) -> list[int]:
        async with self.database.read() as connection:
            return [await _count(connection, table) for table in tables]

    async def purged(self, package_id: str) -> bool:
        """Say whether a package was emptied; its account sees it either way."""
        async with self.database.read() as connection:
            found = await STORES.packages.get(connection, LIVE, package_id)
        assert found is not None
        return found.purged


async def _count(connection: AsyncConnection, table: Table) -> int:
    query = select(func.count()).select_from(table)
    return int((await connection.execute(query)).scalar_one())
