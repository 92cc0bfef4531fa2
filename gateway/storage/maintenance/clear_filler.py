"""Fill the clear columns of packages that an earlier version stored, while the gateway serves.

A package whose ``flags`` are null is unfilled, and a partial index lists those packages. So a
process continues after a stop or a kill, several processes fill different packages, and packages
that a process of the earlier version stores meanwhile are found, too. An update or an amendment of
a package fills it in the same transaction, so that the job never overwrites newer values.
"""

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import Row, bindparam, func, select, text, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import Clock, to_epoch_ms
from gateway.errors import SealError
from gateway.model.order import Order
from gateway.storage.crypto.encryption import Sealer
from gateway.storage.database import Database, among
from gateway.storage.schema import UNFILLED, events, packages
from gateway.storage.stores.clear_columns import clear_values, driver_after, flags_after
from gateway.storage.stores.packages import PackageState, name_index

_log = logging.getLogger(__name__)

_PACKAGES_AT_ONCE: Final = 250
# The pause for intake and deliveries is as long as the last batch took, and at least this.
_LEAST_PAUSE_SECONDS: Final = 0.02
# The pause between two passes after the job met unreadable packages.
_REST: Final = timedelta(hours=1)
# Older packages that failed or came back no longer need a person.
_RECENTLY: Final = timedelta(days=30)
_READ: Final = select(
    packages.c.account_id,
    packages.c.id,
    packages.c.payload,
    packages.c.purged,
    packages.c.status,
    packages.c.status_at_ms,
)
_KEY: Final = (packages.c.account_id, packages.c.id)
_FILL: Final = (
    update(packages)
    .where(
        packages.c.account_id == bindparam("account"),
        packages.c.id == bindparam("key"),
        text(UNFILLED),
    )
    .values(
        delivery_day=bindparam("new_day"),
        priority=bindparam("new_priority"),
        driver_id=bindparam("new_driver"),
        flags=bindparam("new_flags"),
        name_index=func.coalesce(packages.c.name_index, bindparam("new_name_index")),
    )
)


class _Reported(msgspec.Struct, frozen=True):
    """The driver in an event's data."""

    driver_id: str | None = None


class FillProgress(NamedTuple):
    """The number of packages, and of those still to be filled."""

    packages: int
    unfilled: int


class ClearFiller:
    """Fills clear columns. ``pause_seconds`` is the shortest pause between two transactions."""

    def __init__(
        self,
        database: Database,
        sealer: Sealer,
        clock: Clock,
        *,
        pause_seconds: float = _LEAST_PAUSE_SECONDS,
    ) -> None:
        self._database = database
        self._sealer = sealer
        self._clock = clock
        self._pause_seconds = pause_seconds
        self._orders = msgspec.json.Decoder(Order)
        self._reports = msgspec.json.Decoder(_Reported)
        self._unreadable = 0
        self._rests_until: datetime | None = None

    async def run(self) -> None:
        """Run as a job: fill all unfilled packages, some in each transaction."""
        now = self._clock.now()
        if self._rests_until is not None and now < self._rests_until:
            return
        loop = asyncio.get_running_loop()
        filled = self._unreadable = 0
        after: tuple[str, str] | None = None
        async with self._database.read() as connection:
            rows = await self._next(connection, None)
        while rows:
            started = loop.time()
            async with self._database.begin() as connection:
                rows = await self._next(connection, after, locking=True)
                filled += await self._fill(connection, rows)
            if rows:
                # Start behind the entries that were just removed from the index.
                after = (rows[-1].account_id, rows[-1].id)
                spent = loop.time() - started
                await asyncio.sleep(max(self._pause_seconds, spent if self._pause_seconds else 0))
        if filled:
            _log.info("the clear columns of %d packages are filled", filled)
        if self._unreadable:
            # They stay unfilled: with the right key again, a later pass fills them.
            self._rests_until = now + _REST
            _log.error(
                "packages that can't be read: %d; their columns stay empty", self._unreadable
            )

    async def filled(
        self, connection: AsyncConnection, states: Mapping[str, PackageState]
    ) -> dict[str, PackageState]:
        """Return ``states`` with their clear columns, filled where they weren't.

        The packages are locked by the caller's transaction.
        """
        known = dict(states)
        missing = [each for each in known.values() if each.flags is None]
        if missing:
            drivers = await self._drivers(connection, [each.id for each in missing])
            values = []
            for each in missing:
                driver = drivers.get(each.id)
                day, priority, flags = clear_values(each.order)
                flags = self._flags(flags, each.status, each.status_at_ms)
                known[each.id] = each._replace(driver_id=driver, flags=flags)
                name = self._name_index(each.account_id, each.order)
                values.append(_values(each.account_id, each.id, day, priority, driver, flags, name))
            await connection.execute(_FILL, values)
        return known

    async def _next(
        self, connection: AsyncConnection, after: tuple[str, str] | None, *, locking: bool = False
    ) -> list[Row[Any]]:
        query = _READ.where(text(UNFILLED)).order_by(*_KEY).limit(_PACKAGES_AT_ONCE)
        if after is not None:
            query = query.where(tuple_(*_KEY) > tuple_(*after))
        if locking:
            query = query.with_for_update(skip_locked=True)
        return list(await connection.execute(query))

    async def _fill(self, connection: AsyncConnection, rows: Sequence[Row[Any]]) -> int:
        values = []
        drivers = await self._drivers(connection, [row.id for row in rows if not row.purged])
        for row in rows:
            if row.purged:
                values.append(_values(row.account_id, row.id, None, None, None, 0))
                continue
            try:
                sealed = bytes(row.payload)
                order = self._orders.decode(
                    self._sealer.unseal(sealed, table="packages", row_id=row.id)
                )
            except SealError:
                self._unreadable += 1
                continue
            day, priority, flags = clear_values(order)
            flags = self._flags(flags, row.status, row.status_at_ms)
            name = self._name_index(row.account_id, order)
            values.append(
                _values(row.account_id, row.id, day, priority, drivers.get(row.id), flags, name)
            )
        if values:
            await connection.execute(_FILL, values)
        return len(values)

    def _name_index(self, account_id: str, order: Order) -> bytes | None:
        if not order.patient_name:  # it was erased
            return None
        return name_index(self._sealer, account_id, order.patient_name, order.patient_address)

    def _flags(self, flags: int, status: Any, status_at_ms: int) -> int:
        if status_at_ms < to_epoch_ms(self._clock.now() - _RECENTLY):
            return flags
        return flags_after(flags, status)

    async def _drivers(self, connection: AsyncConnection, ids: Collection[str]) -> dict[str, str]:
        """Return the last reported driver of each package, if any."""
        drivers: dict[str, str | None] = {}
        if not ids:
            return {}
        rows = await connection.execute(
            select(events.c.id, events.c.subject, events.c.type, events.c.data)
            .where(
                among(connection, events.c.subject, ids),
                events.c.type.like("delivery.%"),
                events.c.late.is_(False),
            )
            .order_by(events.c.subject, events.c.sequence)
        )
        for event_id, subject, kind, data in rows:
            try:
                said = self._sealer.unseal(bytes(data), table="events", row_id=event_id)
                reported = self._reports.decode(said).driver_id
            except SealError:
                # the package itself is readable: its columns get the values that could be read
                continue
            drivers[subject] = driver_after(drivers.get(subject), kind, reported)
        return {package_id: driver for package_id, driver in drivers.items() if driver}


def _values(
    account_id: str,
    package_id: str,
    day: str | None,
    priority: str | None,
    driver: str | None,
    flags: int,
    name_index: bytes | None = None,
) -> dict[str, Any]:
    return {
        "account": account_id,
        "key": package_id,
        "new_day": day,
        "new_priority": priority,
        "new_driver": driver,
        "new_flags": flags,
        "new_name_index": name_index,
    }


async def fill_progress(connection: AsyncConnection) -> FillProgress:
    """Return the progress; the number of packages is 0 when none is unfilled."""
    unfilled = await connection.execute(
        select(func.count()).select_from(packages).where(text(UNFILLED))
    )
    left = int(unfilled.scalar_one())
    if not left:
        return FillProgress(0, 0)
    total = await connection.execute(select(func.count()).select_from(packages))
    return FillProgress(int(total.scalar_one()), left)
