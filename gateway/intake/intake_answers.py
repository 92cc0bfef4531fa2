"""What intake answers, and the event it draws up: pure, given what was found and stored."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from gateway.errors import Problem
from gateway.model.account import Caller
from gateway.model.event import EventDraft
from gateway.model.order import Order
from gateway.model.submission import IntakeAnswer, OrderResult
from gateway.storage.stores.packages import NewPackage

_ANSWER_DECODER = msgspec.json.Decoder(IntakeAnswer)


def answer(
    errors: Sequence[tuple[Problem, ...]],
    warnings: tuple[Problem, ...],
    stored: Mapping[int, OrderResult],
) -> IntakeAnswer:
    """Answer for each place: what was stored there, or why nothing was."""
    results = (
        stored.get(index) or OrderResult(index, "rejected", errors=faults)
        for index, faults in enumerate(errors)
    )
    return IntakeAnswer(tuple(results), warnings)


def replayed(response: bytes) -> IntakeAnswer:
    """Return an answer that was kept, marked as such."""
    return msgspec.structs.replace(_ANSWER_DECODER.decode(response), replayed=True)


def duplicate(index: int, order: Order, package_id: str, site: str | None) -> OrderResult:
    """Answer with the package that is there; never let two sites' orders pass for one."""
    if order.site == site:
        return OrderResult(index, "duplicate", package_id)
    problem = Problem(
        "another site's order has this external_order_id; put the site into the id",
        field="external_order_id",
    )
    return OrderResult(index, "rejected", errors=(problem,))


def created_event(event_id: str, package: NewPackage, caller: Caller, now: datetime) -> EventDraft:
    """Draft the event that tells of a new package."""
    order = package.order
    data: dict[str, Any] = {
        "package_id": package.id,
        "external_patient_id": order.external_patient_id,
        "rx_number": order.rx_number,
        "external_order_id": order.external_order_id,
        "site": order.site,
        "source": package.source,
        "priority": order.priority,
        "requires_signature": order.requires_signature,
        "copay_amount": order.copay_amount,
        "delivery_date": order.delivery_date,
    }
    return EventDraft(
        id=event_id,
        type="package.created",
        account_id=package.account_id,
        mode=package.mode,
        site=order.site,
        subject=package.id,
        data=data,
        occurred_at=now,
        actor=caller.actor,
        status_after="created",
        trace=caller.trace,
    )


def at(index: int, problem: Problem) -> Problem:
    """Say of a problem which place of the batch it is about."""
    return msgspec.structs.replace(problem, index=index)
