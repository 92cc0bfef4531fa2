"""Orders as JSON: the request and the response of ``POST /api/webhook/orders``.

The JSON API and the confirmation of a scanned label share this shape, so that errors, warnings and
results are the same.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from litestar import Response
from msgspec import Meta

from gateway.errors import InvalidInput, Problem
from gateway.model.bag import MAX_PRESCRIPTIONS, Prescription
from gateway.model.order import Candidate, Order
from gateway.model.submission import IntakeResult
from gateway.model.wire import problem_of
from gateway.sdk.http import json_response


class BagPrescriptionIn(msgspec.Struct, frozen=True, kw_only=True):
    """One prescription of a bag. Unknown fields are ignored with a warning."""

    rx_number: Annotated[str, Meta(examples=["RX-8872341"])]
    fill_number: Annotated[
        int | None, Meta(description="0 for the original fill, then 1, 2, …; at most 999")
    ] = None
    filled_on: Annotated[date | None, Meta(description="ISO, as in 2026-04-19")] = None
    copay_amount: Annotated[
        Decimal | None, Meta(description="0 to 10000, at most two decimal places")
    ] = None
    partial: Annotated[
        bool | None, Meta(description="less than the quantity prescribed is in the bag")
    ] = None
    controlled: bool | None = None
    refrigerated: bool | None = None


class OrderIn(msgspec.Struct, frozen=True, kw_only=True):
    """One order. Unknown fields are ignored with a warning."""

    patient_name: Annotated[str, Meta(examples=["Maria Rodriguez"])]
    patient_address: Annotated[str, Meta(examples=["123 Main St, Miami, FL 33178"])]
    patient_phone: Annotated[str | None, Meta(description="E.164, or any usual spelling")] = None
    patient_email: str | None = None
    rx_number: str | None = None
    copay_amount: Annotated[
        Decimal | None, Meta(description="0 to 10000, at most two decimal places")
    ] = None
    priority: Annotated[str | None, Meta(description="routine (the default), urgent or stat")] = (
        None
    )
    requires_signature: bool | None = None
    delivery_date: Annotated[date | None, Meta(description="ISO, as in 2026-04-20")] = None
    notes: str | None = None
    external_patient_id: str | None = None
    external_order_id: Annotated[
        str | None, Meta(description="your own id; the same one again is a duplicate")
    ] = None
    site: Annotated[str | None, Meta(description="a site's code")] = None
    metadata: dict[str, str] | None = None
    prescriptions: Annotated[
        list[BagPrescriptionIn] | None,
        Meta(
            description="up to 50, where a bag holds several; rx_number is then the first one's "
            "and copay_amount the sum, if they are sent at all"
        ),
    ] = None


class OrdersIn(msgspec.Struct, frozen=True):
    """A batch of 1 to 100 orders, each accepted or rejected alone."""

    orders: list[OrderIn]


class OrderResultOut(msgspec.Struct, frozen=True, omit_defaults=True):
    """The result of one order."""

    index: int
    status: Literal["created", "duplicate", "rejected"]
    package_id: str | None = None
    errors: tuple[Problem, ...] = ()


class OrdersOut(msgspec.Struct, frozen=True):
    """The results of a batch of orders."""

    created: int
    package_ids: list[str]
    warnings: list[Problem]
    results: list[OrderResultOut]


_ORDER_FIELDS: Final = frozenset(OrderIn.__struct_fields__)
_PRESCRIPTION_FIELDS: Final = frozenset(BagPrescriptionIn.__struct_fields__)
# An unknown field's name is repeated only if it looks like an identifier and not like patient data.
_FIELD_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")

Shape = TypeVar("Shape", bound=msgspec.Struct)


def order_candidate(sent: Any) -> Candidate:
    """Convert one entry of ``orders`` into an order, or into all of its problems."""
    if not isinstance(sent, dict):
        return Candidate(None, (Problem("an order must be a JSON object"),))
    warnings = _unknown_fields(sent)
    try:
        order = msgspec.convert(sent, OrderIn)
    except msgspec.ValidationError:
        return Candidate(None, tuple(json_faults(sent, OrderIn)), warnings)
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


def json_faults(sent: Mapping[str, Any], shape: type[Shape]) -> list[Problem]:
    """Return the problems of all fields of ``sent`` that don't fit ``shape``."""
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
    """Yield a field's problems; for a list of prescriptions, those of each one."""
    if name != "prescriptions" or not isinstance(value, list):
        yield Problem(problem.message, field=name)
        return
    for place, each in enumerate(value[:MAX_PRESCRIPTIONS]):
        at = f"{name}[{place}]"
        if not isinstance(each, dict):
            yield Problem("a prescription must be a JSON object", field=at)
            continue
        for fault in json_faults(each, BagPrescriptionIn):
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


def all_problems(faults: Iterable[tuple[int, Sequence[Problem]]]) -> list[Problem]:
    """Collect the problems of a batch's entries into one list, each with its index."""
    return [
        Problem(problem.message, index=index, field=problem.field)
        for index, problems in faults
        for problem in problems
    ]


def orders_answer(answer: IntakeResult) -> Response[bytes]:
    """Return the response to orders; raises ``InvalidInput`` when none of them is acceptable."""
    if answer.plan is not None and answer.is_beyond_plan:
        details = all_problems((result.index, result.errors) for result in answer.results)
        raise answer.plan.error(details)
    if all(result.status == "rejected" for result in answer.results):
        details = all_problems((result.index, result.errors) for result in answer.results)
        raise InvalidInput("None of the orders can be accepted.", details)
    created = [each.package_id for each in answer.results if each.status == "created"]
    body = {
        "created": len(created),
        "package_ids": created,
        "warnings": answer.warnings,
        "results": answer.results,
    }
    return json_response(body, headers={"Idempotent-Replayed": "true"} if answer.replayed else None)
