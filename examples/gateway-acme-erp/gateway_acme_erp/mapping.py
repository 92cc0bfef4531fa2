"""Between ACME's shapes and the gateway's own. Pure."""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec

from gateway.plugin import (
    Candidate,
    Event,
    IntakeResult,
    Order,
    Problem,
    Review,
    isoformat,
    problem_of,
)
from gateway_acme_erp.schema import AcmeOrder, ErpEvent, OrdersTaken, OrderTaken, Rush

_PRIORITIES: Final[Mapping[Rush, str]] = {"": "routine", "R": "urgent", "S": "stat"}
_POSTCODE: Final = re.compile(r"\b(\d{5})(?:-\d{4})?\b")


def candidate(sent: Any, store: str | None) -> Candidate:
    """Turn one of ACME's orders into an order, or into the reason why it isn't one."""
    try:
        read = msgspec.convert(sent, AcmeOrder)
    except msgspec.ValidationError as error:
        return Candidate(None, (problem_of(error),))
    customer, to = read.customer, read.ship_to
    return Candidate(
        Order(
            patient_name=f"{customer.first} {customer.last}".strip(),
            patient_address=f"{to.street}, {to.city}, {to.state} {to.zip}",
            patient_phone=customer.phone,
            rx_number=read.rx,
            copay_amount=None if read.due_cents is None else Decimal(read.due_cents).scaleb(-2),
            priority=_PRIORITIES[read.rush],
            requires_signature=read.sign,
            delivery_date=read.day,
            external_patient_id=customer.no,
            external_order_id=read.no,  # the same one again makes no second package
            site=store,
        )
    )


def taken(answer: IntakeResult) -> OrdersTaken:
    """Turn intake's answer into what ACME is answered. No value that was sent is repeated."""
    orders = [
        OrderTaken(each.index, each.status, each.package_id, [_sentence(p) for p in each.errors])
        for each in answer.results
    ]
    return OrdersTaken(
        orders, [f"order {each.index}: {_sentence(each)}" for each in answer.warnings]
    )


def _sentence(problem: Problem) -> str:
    named = problem.field is None or problem.field in problem.message
    return problem.message if named else f"{problem.field}: {problem.message}"


def review(order: Order, postcodes: Sequence[str]) -> Review | None:
    """Refuse an address outside ``postcodes``; remark on one where none can be found."""
    if not postcodes:
        return None
    found = _POSTCODE.findall(order.patient_address)
    if not found:
        text = "no postcode was found; see that the address is in the area"
        return Review(warnings=(Problem(text, field="patient_address"),))
    if found[-1] in postcodes:  # the last number: a house can have five digits too
        return None
    return Review(errors=(Problem("we don't deliver to this postcode", field="patient_address"),))


def erp_event(event: Event, store: str) -> ErpEvent:
    """Turn an event into a message to the bridge; ``kind`` is such as ``DELIVERY_COMPLETED``."""
    paid = event.data.get("copay_collected")
    return ErpEvent(
        id=event.id,
        kind=event.type.replace(".", "_").upper(),
        store=store,
        at=isoformat(event.occurred_at),
        package=event.subject,
        order=event.data.get("external_order_id"),
        paid_cents=None if paid is None else int(Decimal(paid).scaleb(2)),
    )
