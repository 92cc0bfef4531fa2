"""A package: one order on its way to a patient, and its status transitions."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Final, Literal

import msgspec

from gateway.model.account import Mode
from gateway.model.order import Order

Status = Literal[
    "created",
    "ready",
    "assigned",
    "unassigned",
    "picked_up",
    "out_for_delivery",
    "arrived",
    "attempted",
    "rescheduled",
    "returning",
    "completed",
    "failed",
    "returned",
    "cancelled",
]

TERMINAL: Final[frozenset[str]] = frozenset({"completed", "failed", "returned", "cancelled"})

# An event a driver or the pharmacy may report, and the status it leads to. package.created is
# not among them: only intake creates packages.
STATUS_AFTER: Final[Mapping[str, Status]] = {
    "package.ready": "ready",
    "package.cancelled": "cancelled",
    "delivery.assigned": "assigned",
    "delivery.unassigned": "unassigned",
    "delivery.picked_up": "picked_up",
    "delivery.out_for_delivery": "out_for_delivery",
    "delivery.arrived": "arrived",
    "delivery.attempted": "attempted",
    "delivery.rescheduled": "rescheduled",
    "delivery.returning": "returning",
    "delivery.completed": "completed",
    "delivery.failed": "failed",
    "delivery.returned": "returned",
}
EVENT_FOR: Final[Mapping[str, str]] = {status: event for event, status in STATUS_AFTER.items()}

# While a package is in the pharmacy, its order may change.
AMENDABLE: Final[frozenset[str]] = frozenset({"created", "ready", "assigned", "unassigned"})

_WITH_THE_DRIVER: Final[frozenset[Status]] = frozenset(
    {"picked_up", "out_for_delivery", "arrived", "attempted", "rescheduled", "returning"}
)
_ENDINGS: Final[frozenset[Status]] = frozenset({"completed", "failed"})
_AT_THE_DOOR: Final = _ENDINGS | frozenset[Status]({"arrived", "attempted"})
_ON_THE_ROAD: Final = _AT_THE_DOOR | frozenset[Status](
    {"out_for_delivery", "rescheduled", "returning", "returned"}
)
_IN_THE_PHARMACY: Final = _ON_THE_ROAD | frozenset[Status](
    {"assigned", "unassigned", "picked_up", "cancelled"}
)

# Skipping forward is allowed, because a driver's app may only report the end. Going back isn't,
# except for the loops of real deliveries (assigned ⇄ unassigned, another attempt).
ALLOWED: Final[Mapping[Status, frozenset[Status]]] = {
    "created": _IN_THE_PHARMACY | {"ready"},
    "ready": _IN_THE_PHARMACY,
    "assigned": _IN_THE_PHARMACY - {"assigned"},
    "unassigned": _IN_THE_PHARMACY - {"unassigned"},
    "picked_up": _ON_THE_ROAD,
    "out_for_delivery": _ON_THE_ROAD - {"out_for_delivery"},
    "arrived": _ON_THE_ROAD - {"out_for_delivery", "arrived"},
    "attempted": _ON_THE_ROAD - {"attempted"},
    "rescheduled": _ON_THE_ROAD - {"rescheduled"} | {"assigned", "unassigned", "picked_up"},
    "returning": frozenset({"returned", "failed"}),
    "completed": frozenset(),
    "failed": frozenset(),
    "returned": frozenset(),
    "cancelled": frozenset(),
}

FAILURE_REASONS: Final[tuple[str, ...]] = (
    "no_answer",
    "recipient_not_home",
    "wrong_address",
    "address_not_found",
    "access_problem",
    "business_closed",
    "refused",
    "id_check_failed",
    "signature_refused",
    "recipient_ineligible",
    "copay_not_paid",
    "damaged",
    "lost",
    "temperature_excursion",
    "vehicle_or_driver_problem",
    "weather",
    "safety_concern",
    "out_of_area",
    "cancelled_by_pharmacy",
    "cancelled_by_patient",
    "other",
)


def destined_status(current: Status, reported: Status) -> Status | None:
    """Return the status that a report leads to, or ``None`` when the transition is not allowed.

    A cancellation after pick-up leads to ``returning`` instead.
    """
    if reported == "cancelled" and current in _WITH_THE_DRIVER:
        reported = "returning"
    return reported if reported in ALLOWED[current] else None


class Proof(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Proof of a handover. Latitude and longitude are WGS 84 degrees.

    ``photo_file`` and ``signature_file`` are ids of stored files, ``photo_url`` and
    ``signature_url`` other addresses: stored as they were sent, never fetched. ``id_checked`` names
    the type of document, never its number.
    """

    photo_url: str | None = None
    signature_url: str | None = None
    photo_file: str | None = None
    signature_file: str | None = None
    signer_name: str | None = None
    signer_relationship: str | None = None
    id_checked: str | None = None
    lat: float | None = None
    lng: float | None = None
    captured_at: datetime | None = None
    left_at: str | None = None


class DeliveryUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """One report about a package on its way.

    ``event`` is an event type of :data:`STATUS_AFTER`. ``occurred_at`` defaults to
    the moment of arrival. ``event_ref`` is the reporter's own id of this report:
    the same one again gives the same answer and no second event.
    """

    package_id: str
    event: str
    occurred_at: datetime | None = None
    driver_id: str | None = None
    proof: Proof | None = None
    copay_collected: Decimal | None = None
    copay_method: str | None = None
    failure_reason: str | None = None
    notes: str | None = None
    event_ref: str | None = None


class Package(msgspec.Struct, frozen=True, kw_only=True):
    """A package as its account sees it: its status, and the order it carries.

    ``driver_id`` is the last driver reported. ``needs_person``: the delivery failed or the bag
    came back, and it has not been seen to yet. ``purged``: the order was erased at its age, so
    that nothing in it means anything any more.
    """

    id: str
    account_id: str
    mode: Mode
    site: str | None
    source: str
    status: Status
    status_at: datetime
    created_at: datetime
    order: Order
    driver_id: str | None = None
    needs_person: bool = False
    purged: bool = False
