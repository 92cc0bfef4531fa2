"""What is made of a package for the road: a stop of a driver's manifest, and the bag's label.

Neither names a drug or an rx number. Money is dollars; ``prescriptions`` is how many are in
the bag.
"""

from datetime import date
from decimal import Decimal

import msgspec

from gateway.model.package import Package, Status


class ManifestRow(msgspec.Struct, frozen=True, kw_only=True):
    """One stop of a manifest."""

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
    notes: str | None


class BagLabel(msgspec.Struct, frozen=True, kw_only=True):
    """One label: it lies in the open, so it has no telephone. ``code`` is for the QR code."""

    package_id: str
    code: str
    pharmacy: str | None
    patient_name: str
    patient_address: str
    driver_id: str | None
    delivery_date: date | None
    priority: str
    prescriptions: int
    requires_signature: bool
    refrigerated: bool
    copay_amount: Decimal | None


def manifest_row_of(package: Package) -> ManifestRow:
    """Return a package's stop."""
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
        prescriptions=_count(package),
        requires_signature=order.requires_signature,
        refrigerated=_is_cold(package),
        copay_amount=order.copay_amount,
        notes=order.notes,
    )


def bag_label_of(package: Package, pharmacy: str | None) -> BagLabel:
    """Return the label of a package's bag; ``pharmacy`` is the name of its site."""
    order = package.order
    return BagLabel(
        package_id=package.id,
        code=package.id,
        pharmacy=pharmacy,
        patient_name=order.patient_name,
        patient_address=order.patient_address,
        driver_id=package.driver_id,
        delivery_date=order.delivery_date,
        priority=order.priority,
        prescriptions=_count(package),
        requires_signature=order.requires_signature,
        refrigerated=_is_cold(package),
        copay_amount=order.copay_amount,
    )


def _count(package: Package) -> int:
    return len(package.order.prescriptions) or (1 if package.order.rx_number else 0)


def _is_cold(package: Package) -> bool:
    return any(each.refrigerated for each in package.order.prescriptions)
