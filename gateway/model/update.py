"""The rules a delivery update must pass before it is applied to its package."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from gateway.errors import InvalidInput, Problem
from gateway.model.fields import CONTROL_CHARACTERS, COPAY_LIMIT, day_problem, two_places
from gateway.model.package import (
    EVENT_FOR,
    FAILURE_REASONS,
    STATUS_AFTER,
    DeliveryUpdate,
    Status,
)

COPAY_METHODS: Final = ("cash", "card", "check", "online", "on_account", "waived")
_MAX_CHARACTERS: Final[Mapping[str, int]] = {
    "driver_id": 100,
    "notes": 2000,
    "event_ref": 255,
    "proof.photo_url": 2000,
    "proof.signature_url": 2000,
    "proof.signer_name": 200,
    "proof.signer_relationship": 100,
    "proof.id_checked": 100,
    "proof.left_at": 200,
}
_LINE_BREAK: Final = re.compile(r"[\t\r\n]")
_FILE_ID: Final = re.compile(r"file_[0-9a-f]{32}")
_HTTPS: Final = re.compile(r"https://[^\s/?#\\@]+(?:[/?#]\S*)?", re.IGNORECASE)
_DEGREES: Final[Mapping[str, int]] = {"proof.lat": 90, "proof.lng": 180}


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
    faults.extend(_out_of_bounds(update))
    faults.extend(_wrong_files(update))
    faults.extend(_wrong_moments(update))
    if faults:
        raise InvalidInput("The delivery update has faults.", faults)
    return msgspec.structs.replace(update, event=event)


def _out_of_bounds(update: DeliveryUpdate) -> Iterator[Problem]:
    for name, limit in _MAX_CHARACTERS.items():
        text = _value(update, name)
        if text is None:
            continue
        if len(text) > limit:
            yield Problem(f"{name} has more than {limit} characters", field=name)
        if CONTROL_CHARACTERS.search(text) or (name != "notes" and _LINE_BREAK.search(text)):
            yield Problem(f"{name} contains control characters", field=name)
        # A page that shows the proof makes links of these: no javascript:, no data:.
        elif name.endswith("_url") and not _HTTPS.fullmatch(text):
            yield Problem(f"{name} must be an https:// URL", field=name)
    for name, most in _DEGREES.items():
        degrees = _value(update, name)
        if degrees is not None and not -most <= degrees <= most:
            yield Problem(f"{name} must be between -{most} and {most} degrees", field=name)


def _wrong_files(update: DeliveryUpdate) -> Iterator[Problem]:
    for what in ("photo", "signature"):
        file, name = _value(update, f"proof.{what}_file"), f"proof.{what}_file"
        if file is None:
            continue
        if not _FILE_ID.fullmatch(file):
            text = f"{name} must be the id of a file kept here, as the upload answered it"
            yield Problem(text, field=name)
        if _value(update, f"proof.{what}_url") is not None:
            yield Problem(f"send {what}_file or {what}_url, not both", field=name)


def _value(update: DeliveryUpdate, name: str) -> Any:
    """Return the value of a dotted field name."""
    value: Any = update
    for part in name.split("."):
        value = None if value is None else getattr(value, part)
    return value


def _wrong_moments(update: DeliveryUpdate) -> Iterator[Problem]:
    captured_at = None if update.proof is None else update.proof.captured_at
    for name, moment in (("occurred_at", update.occurred_at), ("proof.captured_at", captured_at)):
        if moment is None:
            continue
        if moment.tzinfo is None:
            text = f"{name} must say its time zone, as in 2026-04-19T18:42:10Z"
            yield Problem(text, field=name)
        elif (problem := day_problem(moment, name)) is not None:
            yield problem


def facts_of(update: DeliveryUpdate, status: Status, occurred_at: datetime) -> dict[str, Any]:
    """Return the event's data beyond the package's own references.

    ``delivered_at`` when the package arrived, ``occurred_at`` otherwise; what was not
    reported is left out, but for the fields that every completed delivery has. Moments are UTC,
    in whole seconds.
    """
    facts: dict[str, Any] = {"driver_id": update.driver_id}
    facts["delivered_at" if status == "completed" else "occurred_at"] = _to_seconds(occurred_at)
    proof = update.proof
    if proof is not None and proof.captured_at is not None:
        proof = msgspec.structs.replace(proof, captured_at=_to_seconds(proof.captured_at))
    if status == "completed" or proof is not None:
        facts["proof"] = proof
    amount = update.copay_collected
    if status == "completed" or amount is not None:
        facts["copay_collected"] = None if amount is None else two_places(amount)
        facts["copay_method"] = update.copay_method
    if update.failure_reason is not None:
        facts["failure_reason"] = update.failure_reason
    if update.notes is not None:
        facts["notes"] = update.notes
    return facts


def _to_seconds(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(microsecond=0)
