"""Conversions between the JSON shapes and the gateway's own. Pure."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec
from msgspec import UNSET

from gateway.plugin import (
    MAX_PRESCRIPTIONS,
    BagChange,
    Caller,
    Candidate,
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
    masked,
    problem_of,
    why_not_sent,
)
from gateway_json_api.schema import (
    BagPrescriptionIn,
    EventOut,
    EventTypeOut,
    OrderIn,
    PackageChangeIn,
    PackageOut,
    PackageUpdateIn,
    PrescriptionOut,
    UpdateIn,
)

_ORDER_FIELDS: Final = frozenset(OrderIn.__struct_fields__)
_PRESCRIPTION_FIELDS: Final = frozenset(BagPrescriptionIn.__struct_fields__)
# The order's fields of a package, which are null once the order was erased.
_ORDER_OUT_FIELDS: Final = frozenset(Order.__struct_fields__) - {"site", "prescriptions"}
# An unknown field's name is repeated only if it looks like an identifier, not like patient data.
_FIELD_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")

Shape = TypeVar("Shape", bound=msgspec.Struct)


def candidate(sent: Any) -> Candidate:
    """Convert one entry of ``orders`` into an order, or into every fault it has."""
    if not isinstance(sent, dict):
        return Candidate(None, (Problem("an order must be a JSON object"),))
    warnings = _unknown_fields(sent)
    try:
        order = msgspec.convert(sent, OrderIn)
    except msgspec.ValidationError:
        return Candidate(None, tuple(faults(sent, OrderIn)), warnings)
    return Candidate(_order(order), (), warnings)


def _order(sent: OrderIn) -> Order:
    return Order(
        patient_name=sent.patient_name,
        patient_address=sent.patient_address,
        patient_phone=sent.patient_phone or None,
        patient_email=sent.patient_email or None,
        rx_number=sent.rx_number or None,
        copay_amount=sent.copay_amount,
        priority=sent.priority or "routine",
        requires_signature=bool(sent.requires_signature),
        delivery_date=sent.delivery_date,
        notes=sent.notes or None,
        external_patient_id=sent.external_patient_id or None,
        external_order_id=sent.external_order_id or None,
        site=sent.site or None,
        metadata=sent.metadata or {},
        prescriptions=tuple(map(_prescription, sent.prescriptions or ())),
    )


def _prescription(sent: BagPrescriptionIn) -> Prescription:
    return Prescription(
        rx_number=sent.rx_number,
        fill_number=sent.fill_number,
        filled_on=sent.filled_on,
        copay_amount=sent.copay_amount,
        partial=bool(sent.partial),
        controlled=bool(sent.controlled),
        refrigerated=bool(sent.refrigerated),
    )


def faults(sent: Mapping[str, Any], shape: type[Shape]) -> list[Problem]:
    """Return the faults of all fields of ``sent`` that don't fit ``shape``."""
    found: list[Problem] = []
    for field in msgspec.structs.fields(shape):
        if field.name not in sent or (field.required and sent[field.name] is None):
            if field.required:
                found.append(Problem(f"{field.name} is required", field=field.name))
            continue
        try:
            msgspec.convert(sent[field.name], field.type)
        except msgspec.ValidationError as error:
            found += _faults_of(field.name, sent[field.name], problem_of(error))
    return found


def _faults_of(name: str, value: Any, problem: Problem) -> Iterator[Problem]:
    """Yield a faulty field's problems: of a list of prescriptions, those of each one."""
    if name != "prescriptions" or not isinstance(value, list):
        yield Problem(problem.message, field=name)
        return
    for place, each in enumerate(value[:MAX_PRESCRIPTIONS]):
        at = f"{name}[{place}]"
        if not isinstance(each, dict):
            yield Problem("a prescription must be a JSON object", field=at)
            continue
        for fault in faults(each, BagPrescriptionIn):
            yield Problem(fault.message, field=f"{at}.{fault.field}")
    if len(value) > MAX_PRESCRIPTIONS:
        yield Problem(f"an order has at most {MAX_PRESCRIPTIONS} prescriptions", field=name)


def _unknown_fields(sent: Mapping[str, Any]) -> tuple[Problem, ...]:
    found = []
    if sent.keys() - _ORDER_FIELDS:
        found = [_unknown(name) for name in sent if name not in _ORDER_FIELDS]
    listed = sent.get("prescriptions")
    if isinstance(listed, list):
        found += [
            _unknown(name, f"prescriptions[{place}].")
            for place, each in enumerate(listed[:MAX_PRESCRIPTIONS])
            if isinstance(each, dict)
            for name in each
            if name not in _PRESCRIPTION_FIELDS
        ]
    return tuple(found)


def _unknown(name: str, at: str = "") -> Problem:
    shown = _shown(name)
    return Problem("unknown field; it was ignored", field=None if shown is None else f"{at}{shown}")


def _shown(name: str) -> str | None:
    return name if _FIELD_NAME.fullmatch(name) else None


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
            "The delivery update has faults.", faults(sent, PackageUpdateIn)
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
    """Say why an event went to no destination, where that isn't plain from the rest."""
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


def all_problems(faults: Iterable[tuple[int, Sequence[Problem]]]) -> list[Problem]:
    """Collect the problems of a batch's entries into one list, each with its index."""
    return [
        Problem(problem.message, index=index, field=problem.field)
        for index, problems in faults
        for problem in problems
    ]
