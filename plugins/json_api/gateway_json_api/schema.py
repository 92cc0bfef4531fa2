"""Request and response bodies of the JSON API."""

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from gateway.plugin import Mode, Problem, Proof, Status

Priority = Literal["routine", "urgent", "stat"]
Flag = Literal["signature", "refrigerated", "controlled", "needs_person", "no_proof"]


class OrdersBody(msgspec.Struct, frozen=True):
    """The same batch before its orders are validated."""

    orders: list[Any]


class PrescriptionOut(msgspec.Struct, frozen=True, kw_only=True):
    """One prescription of a bag."""

    rx_number: str
    fill_number: int | None
    filled_on: date | None
    copay_amount: Decimal | None
    partial: bool
    controlled: bool
    refrigerated: bool


class PackageOut(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A package with its order.

    ``prescriptions`` is present if the order had any: then ``rx_number`` is the first one's and
    ``copay_amount`` the sum. ``driver_id``, the last driver reported, is present once there is
    one, ``needs_person`` while it is true. ``purged`` is present, and true, once retention
    deleted the order: then the order's fields are null.
    """

    id: str
    status: Status
    status_at: str
    mode: Mode
    site: str | None
    source: str
    created_at: str
    patient_name: str | None
    patient_address: str | None
    patient_phone: str | None
    patient_email: str | None
    rx_number: str | None
    copay_amount: Decimal | None
    priority: str | None
    requires_signature: bool | None
    delivery_date: date | None
    notes: str | None
    external_patient_id: str | None
    external_order_id: str | None
    metadata: dict[str, str] | None
    prescriptions: tuple[PrescriptionOut, ...] = ()
    driver_id: str | None = None
    needs_person: bool = False
    purged: bool = False


class PrescriptionRef(msgspec.Struct, frozen=True, kw_only=True):
    """Names a prescription of a bag."""

    rx_number: Annotated[str, Meta(examples=["RX-8872342"])]
    fill_number: Annotated[
        int | None, Meta(description="needed where the bag has several fills of the number")
    ] = None


class OrderChangeIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fields of an order to replace; those left out stay, null empties one that may be empty."""

    patient_name: str | UnsetType = UNSET
    patient_address: str | UnsetType = UNSET
    patient_phone: str | UnsetType | None = UNSET
    patient_email: str | UnsetType | None = UNSET
    notes: str | UnsetType | None = UNSET
    delivery_date: Annotated[date | UnsetType | None, Meta(description="ISO, as in 2026-04-20")] = (
        UNSET
    )
    priority: Priority | UnsetType = UNSET
    requires_signature: bool | UnsetType = UNSET
    copay_amount: Decimal | UnsetType | None = UNSET


class PackageChangeIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change of a package's order or of its bag; not both at once."""

    order: Annotated[
        OrderChangeIn | None, Meta(description="corrections, while it is in the pharmacy")
    ] = None

    cancel_prescriptions: Annotated[list[PrescriptionRef], Meta(max_length=50)] = []
    copay_amount: Annotated[
        Decimal | None,
        Meta(
            description="what is left to collect, where the copays aren't named for each "
            "prescription; else their sum is taken"
        ),
    ] = None
    needs_person: Annotated[
        bool | None, Meta(description="false once the package has been seen to")
    ] = None


class PackageChangeOut(msgspec.Struct, frozen=True):
    """The names of the changed fields, and the ``package.updated`` that reports them."""

    package_id: str
    changed: tuple[str, ...]
    event_id: str | None


class PackagesOut(msgspec.Struct, frozen=True):
    """A page of packages; ``next_cursor`` is null on the last page."""

    packages: list[PackageOut]
    next_cursor: str | None


class SearchIn(msgspec.Struct, frozen=True, kw_only=True):
    """Exactly one value to search for, in full."""

    rx_number: str | None = None
    patient_phone: str | None = None
    external_patient_id: str | None = None
    external_order_id: str | None = None
    cursor: str | None = None
    limit: Annotated[int, Meta(extra_json_schema={"minimum": 1, "maximum": 100})] = 50


class UpdateIn(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a package's delivery."""

    event: Annotated[str, Meta(examples=["delivery.completed"])]
    occurred_at: datetime | None = None
    driver_id: str | None = None
    proof: Proof | None = None
    copay_collected: Decimal | None = None
    copay_method: str | None = None
    failure_reason: str | None = None
    notes: str | None = None
    event_ref: Annotated[
        str | None, Meta(description="your own id of this report; a repeated id changes nothing")
    ] = None


class PackageUpdateIn(UpdateIn, frozen=True, kw_only=True):
    """A delivery update with the id of its package."""

    package_id: str


class UpdatesIn(msgspec.Struct, frozen=True):
    """A batch of updates, each accepted or rejected alone."""

    events: list[PackageUpdateIn]


class UpdatesBody(msgspec.Struct, frozen=True):
    """The same batch before its updates are validated."""

    events: list[Any]


class UpdateOut(msgspec.Struct, frozen=True):
    """The recorded event and the package's status after it."""

    event_id: str
    package_id: str
    status: Status


class UpdateResultOut(msgspec.Struct, frozen=True, omit_defaults=True):
    """The result of one update of a batch."""

    index: int
    status: Literal["applied", "late", "duplicate", "rejected"]
    event_id: str | None = None
    package_id: str | None = None
    package_status: str | None = None
    errors: tuple[Problem, ...] = ()


class UpdatesOut(msgspec.Struct, frozen=True):
    """The results of a batch of updates; ``accepted`` counts all but the rejected."""

    accepted: int
    results: list[UpdateResultOut]


class EventOut(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One event of a timeline. A ``late`` event changed no status and was not delivered.

    ``purged`` is present, and true, once retention deleted its data. ``not_sent`` is present, and
    a sentence, where no destination of the account got the event.
    """

    id: str
    event: str
    occurred_at: str
    recorded_at: str
    late: bool
    data: dict[str, Any]
    purged: bool = False
    not_sent: str | None = None


class TimelineOut(msgspec.Struct, frozen=True):
    """The events of a package in the order they were recorded."""

    events: list[EventOut]


class EventTypeOut(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of the catalog."""

    type: str
    meaning: str
    sample: dict[str, Any]
    schema: dict[str, Any]


class CatalogOut(msgspec.Struct, frozen=True):
    """All event types."""

    event_types: list[EventTypeOut]
