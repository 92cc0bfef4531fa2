"""Labels for bags: to whom a bag goes, what to mind at the door, and a code to scan.

The code is the package's id and nothing else: it means nothing outside of this gateway. A label
lies in the open, so it names no drug, no rx number and no telephone.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from gateway.errors import InvalidInput, Problem
from gateway.model.account import Caller
from gateway.model.audit import AuditEntry
from gateway.model.package import Package
from gateway.model.printed import BagLabel, bag_label_of
from gateway.storage.database import Database
from gateway.storage.stores.audit import AuditTrail
from gateway.storage.stores.packages import PackageStore

MAX_LABELS: Final = 100


class BagLabels:
    """Makes labels for callers who may see contact data. ``names`` are sites by account, code."""

    def __init__(
        self,
        database: Database,
        packages: PackageStore,
        audit: AuditTrail,
        names: Mapping[tuple[str, str], str],
    ) -> None:
        self._database = database
        self._packages = packages
        self._audit = audit
        self._names = names

    async def of(self, caller: Caller, package_ids: Collection[str]) -> Sequence[BagLabel]:
        """Return the labels of packages, by driver and then as they came in; noted as a print.

        Packages that the caller doesn't see, and erased ones, are left out.
        """
        caller.need("reveal.contact")
        if not 1 <= len(package_ids) <= MAX_LABELS:
            text = f"name 1 to {MAX_LABELS} packages"
            raise InvalidInput("The labels can't be made.", [Problem(text, field="package_ids")])
        async with self._database.read() as connection:
            found = await self._packages.of_ids(connection, caller, package_ids)
        shown = sorted(
            (each for each in found if not each.purged),
            key=lambda each: (each.driver_id or "", each.id),
        )
        await self._audit.note(
            [
                AuditEntry.by(
                    caller,
                    "print",
                    "bag_label.printed",
                    each.id,
                    patient=self._packages.patient_keys(each),
                    fields=("contact", "identity", "money"),
                    site=each.site,
                    purpose="delivery",
                )
                for each in shown
            ]
        )
        return [self._label(each) for each in shown]

    def _label(self, package: Package) -> BagLabel:
        site = package.site
        name = None if site is None else self._names.get((package.account_id, site), site)
        return bag_label_of(package, name)
