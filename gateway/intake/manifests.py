"""A driver's manifest: the address of each bag, and the amount to collect.

No drug, no rx number. It lists chosen packages, or all that drivers have now. Each package on it is
a row of the audit trail, whether the manifest is printed or returned as data.
"""

from collections.abc import Collection, Sequence
from typing import Final

from gateway.errors import Conflict
from gateway.intake.prints import Prints
from gateway.model.account import Caller
from gateway.model.package import Package, Status
from gateway.model.printed import ManifestRow, manifest_row_of
from gateway.storage.database import Database
from gateway.storage.stores.clear_columns import ClearFilter
from gateway.storage.stores.package_lists import PackageFilter
from gateway.storage.stores.packages import PackageStore

MAX_ON_MANIFEST: Final = 200
MOST_WITH_DRIVERS: Final = 2000
_WITH_A_DRIVER: Final[tuple[Status, ...]] = (
    "assigned",
    "picked_up",
    "out_for_delivery",
    "arrived",
    "attempted",
    "rescheduled",
)
_PAGE: Final = 200
_ACTION: Final = "manifest.printed"


class Manifests:
    """Makes manifests for callers who may see contact data."""

    def __init__(self, database: Database, packages: PackageStore, prints: Prints) -> None:
        self._database = database
        self._packages = packages
        self._prints = prints

    async def of(self, caller: Caller, package_ids: Collection[str]) -> Sequence[ManifestRow]:
        """Return the manifest of packages, by driver and time of arrival; audited as a print.

        Packages that the caller may not see, and erased ones, are left out.
        """
        shown = await self._prints.chosen(
            caller,
            package_ids,
            action=_ACTION,
            most=MAX_ON_MANIFEST,
            refusal="The manifest can't be made.",
        )
        return [manifest_row_of(each) for each in shown]

    async def with_drivers(
        self, caller: Caller, site: str | None = None, driver_id: str | None = None
    ) -> Sequence[ManifestRow]:
        """Return the packages that drivers have now, or one of them, by driver and address.

        Audited as a print. Raises ``Conflict`` for more than 2,000.
        """
        caller.need("reveal.contact")
        found: list[Package] = []
        async with self._database.read() as connection:
            before: str | None = None
            while True:
                wanted = PackageFilter(
                    limit=_PAGE,
                    before_id=before,
                    site=site,
                    clear=ClearFilter(driver_id=driver_id),
                    statuses=_WITH_A_DRIVER,
                )
                page = await self._packages.page(connection, caller, wanted)
                found += page
                if len(page) < _PAGE:
                    break
                if len(found) >= MOST_WITH_DRIVERS:
                    raise Conflict(
                        f"Over {MOST_WITH_DRIVERS} packages are with drivers: name a site or a "
                        "driver."
                    )
                before = page[-1].id
        shown = await self._prints.noted(caller, found, action=_ACTION)
        rows = [manifest_row_of(each) for each in shown]
        return sorted(
            rows, key=lambda each: (each.driver_id or "", each.patient_address, each.package_id)
        )
