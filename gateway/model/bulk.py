"""One change of many packages: its effect on each, and whether that is possible. Pure."""

from datetime import date
from typing import Final, Literal

import msgspec

from gateway.errors import InvalidInput, Problem
from gateway.model.fields import day_problem
from gateway.model.package import AMENDABLE, DeliveryUpdate, Status, destined_status

BulkAction = Literal["ready", "assign", "reschedule", "cancel"]
MAX_AT_ONCE: Final = 100
_FAULTY: Final = "The change has faults."
_EVENTS: Final[dict[BulkAction, str]] = {
    "ready": "package.ready",
    "assign": "delivery.assigned",
    "reschedule": "delivery.rescheduled",
    "cancel": "package.cancelled",
}
_STATUS: Final[dict[BulkAction, Status]] = {
    "ready": "ready",
    "assign": "assigned",
    "reschedule": "rescheduled",
    "cancel": "cancelled",
}


class BulkChange(msgspec.Struct, frozen=True, kw_only=True):
    """A change of the packages ``package_ids``.

    ``assign`` needs a ``driver_id``, ``reschedule`` a ``delivery_date``. ``notes`` go with each
    report.
    """

    action: BulkAction
    package_ids: tuple[str, ...]
    driver_id: str | None = None
    delivery_date: date | None = None
    notes: str | None = None


class BulkRow(msgspec.Struct, frozen=True, kw_only=True):
    """The effect of a change on one package.

    ``status`` is its status now. ``leads_to`` is its new status, which is the same where only the
    order's delivery date changes. ``error`` is the reason why it can't be done.
    """

    package_id: str
    status: Status | None = None
    leads_to: Status | None = None
    error: str | None = None


def check_bulk(change: BulkChange) -> None:
    """Raise ``InvalidInput`` unless the change has packages and the values of its action."""
    faults: list[Problem] = []
    if not 1 <= len(set(change.package_ids)) <= MAX_AT_ONCE:
        text = f"name 1 to {MAX_AT_ONCE} packages at a time"
        faults.append(Problem(text, field="package_ids"))
    if change.action == "assign" and not (change.driver_id or "").strip():
        faults.append(Problem("driver_id is required", field="driver_id"))
    if change.action == "reschedule" and change.delivery_date is None:
        faults.append(Problem("delivery_date is required", field="delivery_date"))
    faults.extend(filter(None, (day_problem(change.delivery_date, "delivery_date"),)))
    if faults:
        raise InvalidInput(_FAULTY, faults)


def changes_order(change: BulkChange, status: Status) -> bool:
    """Return whether the change amends the order: a new date while it is in the pharmacy."""
    return change.action == "reschedule" and status in AMENDABLE


def expected(change: BulkChange, package_id: str, status: Status) -> BulkRow:
    """Return the effect of the change on a package in ``status``."""
    if changes_order(change, status):
        return BulkRow(package_id=package_id, status=status, leads_to=status)
    leads_to = destined_status(status, _STATUS[change.action])
    error = None
    if leads_to is None:
        error = f"The package is {status}; {_EVENTS[change.action]} can't follow."
    return BulkRow(package_id=package_id, status=status, leads_to=leads_to, error=error)


def report_of(change: BulkChange, package_id: str) -> DeliveryUpdate:
    """Return the report that the change makes of a package."""
    day, notes = change.delivery_date, change.notes
    if change.action == "reschedule" and day is not None:
        notes = f"{day.isoformat()}. {notes}" if notes else day.isoformat()
    return DeliveryUpdate(
        package_id=package_id,
        event=_EVENTS[change.action],
        driver_id=change.driver_id if change.action == "assign" else None,
        notes=notes,
    )
