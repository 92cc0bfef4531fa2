"""Conversions between the JSON shapes and the gateway's own. Pure."""

from collections.abc import Collection, Sequence
from typing import Any, Final

import msgspec
from msgspec import UNSET

from gateway.plugin import (
    BagChange,
    Caller,
    DeliveryUpdate,
    Event,
    EventType,
    InvalidInput,
    Order,
    Package,
    Prescription,
    Problem,
    RxNumber,
    isoformat,
    json_faults,
    masked,
    why_not_sent,
)
from gateway_json_api.schema import (
    EventOut,
    EventTypeOut,
    PackageChangeIn,
    PackageOut,
    PackageUpdateIn,
    PrescriptionOut,
    UpdateIn,
)

# The order's fields of a package, which are null once the order was erased.
_ORDER_OUT_FIELDS: Final = frozenset(Order.__struct_fields__) - {"site", "prescriptions"}


def package_out(package: Package) -> PackageOut:
    """Convert a package for its account."""
    order = package.order
    shown = PackageOut(
        id=package.id,
        status=package.status,
        status_at=isoformat(package.status_at),
        mode=package.mode,
        site=package.site,
        source=package.source,
        created_at=isoformat(package.created_at),
        patient_name=order.patient_name,
        patient_address=order.patient_address,
        patient_phone=order.patient_phone,
        patient_email=order.patient_email,
        rx_number=order.rx_number,
        copay_amount=order.copay_amount,
        priority=order.priority,
        requires_signature=order.requires_signature,
        delivery_date=order.delivery_date,
        notes=order.notes,
        external_patient_id=order.external_patient_id,
        external_order_id=order.external_order_id,
        metadata=order.metadata,
        prescriptions=tuple(map(_prescription_out, order.prescriptions)),
        driver_id=package.driver_id,
        needs_person=package.needs_person,
        purged=package.purged,
    )
    if not package.purged:
        return shown
    return msgspec.structs.replace(shown, **dict.fromkeys(_ORDER_OUT_FIELDS))


def _prescription_out(each: Prescription) -> PrescriptionOut:
    return PrescriptionOut(
        rx_number=each.rx_number,
        fill_number=each.fill_number,
        filled_on=each.filled_on,
        copay_amount=each.copay_amount,
        partial=each.partial,
        controlled=each.controlled,
        refrigerated=each.refrigerated,
    )


def change_of(sent: PackageChangeIn) -> BagChange:
    """Convert a change of a bag; raises ``InvalidInput`` where nothing is to change."""
    cancelled = tuple(
        RxNumber(each.rx_number, each.fill_number) for each in sent.cancel_prescriptions
    )
    if sent.copay_amount is not None and not cancelled:
        text = "copay_amount changes only with cancel_prescriptions"
        raise InvalidInput("The change has faults.", [Problem(text, field="copay_amount")])
    if not cancelled and sent.needs_person is None:
        raise InvalidInput("Send order, cancel_prescriptions or needs_person.")
    return BagChange(cancelled, sent.copay_amount, sent.needs_person)


def corrections_of(sent: PackageChangeIn) -> dict[str, Any] | None:
    """Return the fields of the order to replace, ``None`` for a change of the bag.

    Raises ``InvalidInput`` for both at once, and for an order without any field.
    """
    order = sent.order
    if order is None:
        return None
    if sent != PackageChangeIn(order=order):
        raise InvalidInput("Send order by itself; change the bag in another request.")
    fields = {name: getattr(order, name) for name in order.__struct_fields__}
    changes = {name: value for name, value in fields.items() if value is not UNSET}
    if not changes:
        raise InvalidInput("The order names no field to change.")
    return changes


def update_of(package_id: str, sent: UpdateIn) -> DeliveryUpdate:
    """Convert an update into the gateway's own."""
    return DeliveryUpdate(
        package_id=package_id,
        event=sent.event,
        occurred_at=sent.occurred_at,
        driver_id=sent.driver_id,
        proof=sent.proof,
        copay_collected=sent.copay_collected,
        copay_method=sent.copay_method,
        failure_reason=sent.failure_reason,
        notes=sent.notes,
        event_ref=sent.event_ref,
    )


def batch_update(sent: Any) -> DeliveryUpdate:
    """Convert one entry of ``events``; raises ``InvalidInput`` with every fault."""
    if not isinstance(sent, dict):
        raise InvalidInput("An update must be a JSON object.")
    try:
        read = msgspec.convert(sent, PackageUpdateIn)
    except msgspec.ValidationError:
        raise InvalidInput(
            "The delivery update has faults.", json_faults(sent, PackageUpdateIn)
        ) from None
    return update_of(read.package_id, read)


def event_out(event: Event, caller: Caller, shown: Collection[str] = ()) -> EventOut:
    """Convert an event into a timeline entry, with the data that ``caller`` may see.

    ``shown`` are the names that its type shows to every caller.
    """
    return EventOut(
        id=event.id,
        event=event.type,
        occurred_at=isoformat(event.occurred_at),
        recorded_at=isoformat(event.recorded_at),
        late=event.late,
        data=masked(caller, dict(event.data), shown=shown),
        purged=event.purged,
        not_sent=_not_sent(event),
    )


def _not_sent(event: Event) -> str | None:
    """Return why an event went to no destination, where that isn't obvious."""
    if event.not_sent is None or event.not_sent in {"late", "no_destination"}:
        return None
    return why_not_sent(event.not_sent)


def event_type_out(entry: EventType) -> EventTypeOut:
    """Convert an event type into a catalog entry."""
    return EventTypeOut(
        type=entry.type,
        meaning=entry.meaning,
        sample=dict(entry.sample),
        schema=dict(entry.schema),
    )


def check_size(sent: Sequence[Any], name: str, most: int) -> None:
    """Raise ``InvalidInput`` for an empty batch or one of more than ``most`` entries."""
    if not 1 <= len(sent) <= most:
        problem = Problem(f"send 1 to {most} at a time", field=name)
        raise InvalidInput(f"{name} must hold 1 to {most} entries.", [problem])
