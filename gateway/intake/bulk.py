"""Change many packages at once: a preview, then each package alone, with a result for each.

Each package is a transaction of its own, as in a single report, so a package that can't change
doesn't affect the others.
"""

import asyncio
from collections.abc import Sequence

from gateway.errors import Conflict, InvalidInput, NotFound
from gateway.intake.amendments import Amendments
from gateway.intake.updates import UpdateIntake
from gateway.model.account import Caller
from gateway.model.bulk import (
    BulkChange,
    BulkRow,
    changes_order,
    check_bulk,
    expected,
    report_of,
)
from gateway.model.package import Package
from gateway.storage.database import Database
from gateway.storage.stores.packages import PackageStore

_UNKNOWN = "There is no such package."


class BulkChanges:
    """Previews and applies changes of many packages."""

    def __init__(
        self,
        database: Database,
        packages: PackageStore,
        tracking: UpdateIntake,
        amendments: Amendments,
    ) -> None:
        self._database = database
        self._packages = packages
        self._tracking = tracking
        self._amendments = amendments

    async def preview(self, caller: Caller, change: BulkChange) -> Sequence[BulkRow]:
        """Return the effect on each package, in the given order; changes nothing."""
        check_bulk(change)
        _need(caller, change)
        found = await self._found(caller, change)
        return [
            BulkRow(package_id=each, error=_UNKNOWN)
            if each not in found
            else expected(change, each, found[each].status)
            for each in dict.fromkeys(change.package_ids)
        ]

    async def apply(self, caller: Caller, change: BulkChange) -> Sequence[BulkRow]:
        """Apply the change to each package; returns after the commits, with each one's result."""
        check_bulk(change)
        _need(caller, change)
        found = await self._found(caller, change)
        rows = await asyncio.gather(
            *(
                self._apply(caller, change, each, found.get(each))
                for each in dict.fromkeys(change.package_ids)
            )
        )
        return list(rows)

    async def _found(self, caller: Caller, change: BulkChange) -> dict[str, Package]:
        async with self._database.read() as connection:
            found = await self._packages.of_ids(connection, caller, change.package_ids)
        return {each.id: each for each in found}

    async def _apply(
        self, caller: Caller, change: BulkChange, package_id: str, package: Package | None
    ) -> BulkRow:
        if package is None:
            return BulkRow(package_id=package_id, error=_UNKNOWN)
        status = package.status
        try:
            if changes_order(change, status):
                changes = {"delivery_date": change.delivery_date}
                await self._amendments.correct(caller, package_id, changes)
            else:
                done = await self._tracking.apply(caller, report_of(change, package_id))
                status = done.status
        except (InvalidInput, NotFound, Conflict) as error:
            details = "; ".join(each.message for each in error.details)
            return BulkRow(
                package_id=package_id, status=package.status, error=details or error.message
            )
        return BulkRow(package_id=package_id, status=status, leads_to=status)


def _need(caller: Caller, change: BulkChange) -> None:
    """Raise ``Forbidden`` without the permission for the change."""
    caller.need("packages.update")
    if change.action == "reschedule":
        caller.need("orders.amend")
