"""The rules a delivery update must pass before it is looked at against the package."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import msgspec

from gateway.errors import InvalidInput, Problem
from gateway.model.order import COPAY_LIMIT
from gateway.model.package import (
    EVENT_FOR,
    FAILURE_REASONS,
    STATUS_AFTER,
    DeliveryUpdate,
    Status,
)

COPAY_METHODS: Final = ("cash", "card", "check", "online", "on_account", "waived")
_MAX_CHARACTERS: Final[Mapping[str, int]] = {"driver_id": 100, "notes": 2000, "event_ref": 255}


def check_update(update: DeliveryUpdate) -> DeliveryUpdate:
    """Return ``update`` with its event type in full; raises ``InvalidInput`` with all faults.

    A bare status (``completed``) is taken for the event that leads to it.
    """
    faults: list[Problem] = []
    event = EVENT_FOR.get(update.event, update.event)
    if event not in STATUS_AFTER:
        names = ", ".join(sorted(STATUS_AFTER))
        faults.append(Problem(f"event must be one of {names}", field="event"))
    if update.copay_collected is not None:
        amount = update.copay_collected
        if not amount.is_finite() or not 0 <= amount <= COPAY_LIMIT or amount != round(amount, 2):
            text = "copay_collected must be between 0 and 10000, with at most two decimal places"
            faults.append(Problem(text, field="copay_collected"))
    for name, allowed in (("copay_method", COPAY_METHODS), ("failure_reason", FAILURE_REASONS)):
        value = getattr(update, name)
        if value is not None and value not in allowed:
            faults.append(Problem(f"{name} must be one of {', '.join(allowed)}", field=name))
    for name, limit in _MAX_CHARACTERS.items():
        value = getattr(update, name)
        if value is not None and len(value) > limit:
            faults.append(Problem(f"{name} has more than {limit} characters", field=name))
    if update.occurred_at is not None and update.occurred_at.tzinfo is None:
        text = "occurred_at must say its time zone, as in 2026-04-19T18:42:10Z"
        faults.append(Problem(text, field="occurred_at"))
    if faults:
        raise InvalidInput("The delivery update has faults.", faults)
    return msgspec.structs.replace(update, event=event)


def facts_of(update: DeliveryUpdate, status: Status, occurred_at: datetime) -> dict[str, Any]:
    """Return what the event tells beyond the package's own references.

    ``delivered_at`` when the package arrived, ``occurred_at`` otherwise; what was not
    reported is left out, but for what a completed delivery always tells.
    """
    facts: dict[str, Any] = {"driver_id": update.driver_id}
    facts["delivered_at" if status == "completed" else "occurred_at"] = occurred_at
    if status == "completed" or update.proof is not None:
        facts["proof"] = update.proof
    if status == "completed" or update.copay_collected is not None:
        facts["copay_collected"] = _two_places(update.copay_collected)
        facts["copay_method"] = update.copay_method
    if update.failure_reason is not None:
        facts["failure_reason"] = update.failure_reason
    if update.notes is not None:
        facts["notes"] = update.notes
    return facts


def _two_places(amount: Decimal | None) -> Decimal | None:
    return None if amount is None else amount.quantize(Decimal("0.01"))
