"""A driver's manifest: where each bag goes, and what to collect there. No drug, no rx number.

Each package on it is a row of the audit trail, whether it is printed or fetched as data.
"""

from collections.abc import Collection, Sequence
from datetime import date
from decimal import Decimal
from typing import Final

import msgspec

from gateway.errors import InvalidInput, Problem
from gateway.model.account import Caller
from gateway.model.audit import AuditEntry
from gateway.model.package import Package, Status
from gateway.storage.database import Database
from gateway.storage.stores.audit import AuditTrail
from gateway.storage.stores.packages import PackageStore

MAX_ON_MANIFEST: Final = 200


class ManifestRow(msgspec.Struct, frozen=True, kw_only=True):
    """One stop. ``prescriptions`` is how many are in the bag; money is dollars."""

    package_id: str
    driver_id: str | None
    status: Status
    patient_name: str
    patient_address: str
    patient_phone: str | None
    delivery_date: date | None
    priority: str
    prescriptions: int
    requires_signature: bool
    refrigerated: bool
    copay_amount: Decimal | None


class Manifests:
    """Makes manifests for callers who may see contact data."""

    def __init__(self, database: Database, packages: PackageStore, audit: AuditTrail) -> None:
        self._database = database
        self._packages = packages
        self._audit = audit

    async def of(self, caller: Caller, package_ids: Collection[str]) -> Sequence[ManifestRow]:
        """Return the manifest of packages, by driver and then as they came in; noted as a print.

        Packages that the caller doesn't see, and erased ones, are left out.
        """
        caller.need("reveal.contact")
        if not 1 <= len(package_ids) <= MAX_ON_MANIFEST:
            text = f"name 1 to {MAX_ON_MANIFEST} packages"
            raise InvalidInput("The manifest can't be made.", [Problem(text, field="package_ids")])
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
                    "manifest.printed",
                    each.id,
                    patient=self._packages.patient_keys(each),
                    fields=("contact", "identity", "money"),
                    site=each.site,
                    purpose="delivery",
                )
                for each in shown
            ]
        )
        return [_row(each) for each in shown]


def _row(package: Package) -> ManifestRow:
    order = package.order
    return ManifestRow(
        package_id=package.id,
        driver_id=package.driver_id,
        status=package.status,
        patient_name=order.patient_name,
        patient_address=order.patient_address,
        patient_phone=order.patient_phone,
        delivery_date=order.delivery_date,
        priority=order.priority,
        prescriptions=len(order.prescriptions) or (1 if order.rx_number else 0),
        requires_signature=order.requires_signature,
        refrigerated=any(each.refrigerated for each in order.prescriptions),
        copay_amount=order.copay_amount,
    )
