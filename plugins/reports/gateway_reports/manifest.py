"""What a driver takes along: name, address, phone, signature, copay. No drug and no rx number.

The layouts are the columns that route planners import; each has the whole address in one column.
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Final, Literal, NamedTuple

import msgspec

from gateway.plugin import (
    Caller,
    ClearFilter,
    Conflict,
    Gateway,
    Package,
    PackageFilter,
    Status,
    csv_text,
)
from gateway_reports.signatures import MARK

Layout = Literal["plain", "circuit", "onfleet", "optimoroute"]
_WITH_A_DRIVER: Final[tuple[Status, ...]] = (
    "assigned",
    "picked_up",
    "out_for_delivery",
    "arrived",
    "attempted",
    "rescheduled",
)
_PAGE: Final = 200
_MOST: Final = 2000


class Stop(msgspec.Struct, frozen=True, kw_only=True):
    """One package of a driver's tour; ``prescriptions`` is how many are in the bag."""

    package_id: str
    status: Status
    driver_id: str | None
    name: str
    address: str
    phone: str | None
    prescriptions: int
    requires_signature: bool
    refrigerated: bool
    copay_due: Decimal | None
    delivery_date: str | None
    notes: str | None


async def manifest(
    gateway: Gateway, caller: Caller, site: str | None, driver_id: str | None
) -> list[Stop]:
    """Return the packages that a driver has now, or all drivers, by driver and address.

    What is shown is audited as an export.
    """
    found: list[Package] = []
    async with gateway.database.read() as connection:
        before: str | None = None
        while True:
            wanted = PackageFilter(
                limit=_PAGE,
                before_id=before,
                site=site,
                clear=ClearFilter(driver_id=driver_id),
                statuses=_WITH_A_DRIVER,
            )
            page = await gateway.packages.page(connection, caller, wanted)
            found += [each for each in page if not each.purged]
            if len(page) < _PAGE:
                break
            if len(found) >= _MOST:
                raise Conflict(f"Over {_MOST} packages are with drivers: name a site or a driver.")
            before = page[-1].id
    views = gateway.packages.views(
        caller, found, "reports.manifest", ("contact", "identity", "money")
    )
    await gateway.audit.note([msgspec.structs.replace(each, kind="export") for each in views])
    stops = [_stop(each) for each in found]
    return sorted(stops, key=lambda each: (each.driver_id or "", each.address, each.package_id))


def _stop(package: Package) -> Stop:
    order = package.order
    day = order.delivery_date
    return Stop(
        package_id=package.id,
        status=package.status,
        driver_id=package.driver_id,
        name=order.patient_name,
        address=order.patient_address,
        phone=order.patient_phone,
        prescriptions=max(1, len(order.prescriptions)),
        requires_signature=order.requires_signature,
        refrigerated=any(each.refrigerated for each in order.prescriptions),
        copay_due=order.copay_amount,
        delivery_date=None if day is None else day.isoformat(),
        notes=order.notes,
    )


class _Column(NamedTuple):
    name: str
    value: Callable[[Stop], object]


def _one_line(stop: Stop) -> str:
    return ", ".join(each.strip() for each in stop.address.splitlines() if each.strip())


def _digits(stop: Stop) -> str:
    # Without the plus, which a spreadsheet program would run as a formula.
    return (stop.phone or "").removeprefix("+")


def _one_parcel(_: Stop) -> int:
    return 1


def _remarks(stop: Stop) -> str:
    parts = [
        "signature" if stop.requires_signature else "",
        "keep cold" if stop.refrigerated else "",
        f"collect {stop.copay_due:.2f}" if stop.copay_due else "",
        stop.notes or "",
    ]
    return "; ".join(each for each in parts if each)


_LAYOUTS: Final[Mapping[Layout, Sequence[_Column]]] = {
    "plain": (
        _Column("driver", lambda stop: stop.driver_id),
        _Column("name", lambda stop: stop.name),
        _Column("address", _one_line),
        _Column("phone", _digits),
        _Column("prescriptions", lambda stop: stop.prescriptions),
        _Column("signature", lambda stop: "yes" if stop.requires_signature else ""),
        _Column("keep cold", lambda stop: "yes" if stop.refrigerated else ""),
        _Column("copay", lambda stop: "" if stop.copay_due is None else f"{stop.copay_due:.2f}"),
        _Column("deliver on", lambda stop: stop.delivery_date),
        _Column("notes", lambda stop: stop.notes),
        _Column("package", lambda stop: stop.package_id),
    ),
    "circuit": (
        _Column("Address", _one_line),
        _Column("Recipient Name", lambda stop: stop.name),
        _Column("Phone", _digits),
        _Column("Notes", _remarks),
        _Column("Packages", _one_parcel),
        _Column("Id", lambda stop: stop.package_id),
    ),
    "onfleet": (
        _Column("Recipient_Name", lambda stop: stop.name),
        _Column("Recipient_Phone", _digits),
        _Column("Address_Line1", _one_line),
        _Column("Task_Details", _remarks),
        _Column("Quantity", _one_parcel),
        _Column("External_ID", lambda stop: stop.package_id),
    ),
    "optimoroute": (
        _Column("Order ID", lambda stop: stop.package_id),
        _Column("Address", _one_line),
        _Column("Customer name", lambda stop: stop.name),
        _Column("Phone", _digits),
        _Column("Notes", _remarks),
        _Column("Date", lambda stop: stop.delivery_date),
    ),
}
LAYOUTS: Final[tuple[str, ...]] = tuple(_LAYOUTS)


def csv_of(stops: Sequence[Stop], layout: Layout) -> str:
    """Return a manifest as CSV, in the columns of ``layout``."""
    columns = _LAYOUTS[layout]
    rows = [[column.value(stop) for column in columns] for stop in stops]
    return MARK + csv_text([column.name for column in columns], rows)
