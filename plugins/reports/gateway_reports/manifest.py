"""A driver's manifest: name, address, phone, signature, copay. No drug and no rx number.

The layouts are the columns that route planners import; each has the whole address in one column.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal, NamedTuple

from gateway.plugin import ManifestRow, csv_text
from gateway_reports.signatures import MARK

Layout = Literal["plain", "circuit", "onfleet", "optimoroute"]


class _Column(NamedTuple):
    name: str
    value: Callable[[ManifestRow], object]


def _one_line(stop: ManifestRow) -> str:
    return ", ".join(each.strip() for each in stop.patient_address.splitlines() if each.strip())


def _digits(stop: ManifestRow) -> str:
    # Without the plus, which a spreadsheet program would run as a formula.
    return (stop.patient_phone or "").removeprefix("+")


def _copay(stop: ManifestRow) -> str:
    return "" if stop.copay_amount is None else f"{stop.copay_amount:.2f}"


def _one_parcel(_: ManifestRow) -> int:
    return 1


def _remarks(stop: ManifestRow) -> str:
    parts = [
        "signature" if stop.requires_signature else "",
        "keep cold" if stop.refrigerated else "",
        f"collect {stop.copay_amount:.2f}" if stop.copay_amount else "",
        stop.notes or "",
    ]
    return "; ".join(each for each in parts if each)


_LAYOUTS: Final[Mapping[Layout, Sequence[_Column]]] = {
    "plain": (
        _Column("driver", lambda stop: stop.driver_id),
        _Column("name", lambda stop: stop.patient_name),
        _Column("address", _one_line),
        _Column("phone", _digits),
        _Column("prescriptions", lambda stop: stop.prescriptions),
        _Column("signature", lambda stop: "yes" if stop.requires_signature else ""),
        _Column("keep cold", lambda stop: "yes" if stop.refrigerated else ""),
        _Column("copay", _copay),
        _Column("deliver on", lambda stop: stop.delivery_date),
        _Column("notes", lambda stop: stop.notes),
        _Column("package", lambda stop: stop.package_id),
    ),
    "circuit": (
        _Column("Address", _one_line),
        _Column("Recipient Name", lambda stop: stop.patient_name),
        _Column("Phone", _digits),
        _Column("Notes", _remarks),
        _Column("Packages", _one_parcel),
        _Column("Id", lambda stop: stop.package_id),
    ),
    "onfleet": (
        _Column("Recipient_Name", lambda stop: stop.patient_name),
        _Column("Recipient_Phone", _digits),
        _Column("Address_Line1", _one_line),
        _Column("Task_Details", _remarks),
        _Column("Quantity", _one_parcel),
        _Column("External_ID", lambda stop: stop.package_id),
    ),
    "optimoroute": (
        _Column("Order ID", lambda stop: stop.package_id),
        _Column("Address", _one_line),
        _Column("Customer name", lambda stop: stop.patient_name),
        _Column("Phone", _digits),
        _Column("Notes", _remarks),
        _Column("Date", lambda stop: stop.delivery_date),
    ),
}
LAYOUTS: Final[tuple[str, ...]] = tuple(_LAYOUTS)


def csv_of(stops: Sequence[ManifestRow], layout: Layout) -> str:
    """Return a manifest as CSV, in the columns of ``layout``."""
    columns = _LAYOUTS[layout]
    rows = [[column.value(stop) for column in columns] for stop in stops]
    return MARK + csv_text([column.name for column in columns], rows)
