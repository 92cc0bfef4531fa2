"""An order: its fields, and the rules it must pass before it is stored.

A source plugin turns the other system's format into :class:`Candidate` objects, one for each sent
item; :func:`check` applies the rules of all sources.
"""

import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from operator import attrgetter
from typing import Any, Final

import msgspec

from gateway.errors import Problem
from gateway.model.bag import Prescription, checked_bag
from gateway.model.fields import (
    CONTROL_CHARACTERS,
    DIRECTION,
    LINE_BREAK,
    SUSPECT,
    copay_problem,
    day_problem,
    has_two_places,
    two_places,
)
from gateway.model.phone import to_e164

PRIORITIES: Final = ("routine", "urgent", "stat")
MAX_METADATA_ENTRIES: Final = 50
MAX_CHARACTERS: Final[Mapping[str, int]] = {
    "patient_name": 200,
    "patient_address": 500,
    "patient_phone": 50,
    "patient_email": 254,
    "rx_number": 100,
    "notes": 2000,
    "external_patient_id": 255,
    "external_order_id": 255,
    "site": 40,
}
"""The maximum length of each text of an order."""
_MULTILINE: Final = frozenset({"notes", "patient_address"})
_TEXTS: Final = attrgetter(*MAX_CHARACTERS)
_LIMITS: Final = tuple(MAX_CHARACTERS.items())
_EMAIL: Final = re.compile(r"[^\s@<>(),;:\"]+@[^\s@<>(),;:\"]+\.[^\s@<>(),;:\".]+")


class Order(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One order in the gateway's own form.

    Money is dollars with at most two places; names and addresses are kept as they were given;
    ``site`` is a site's code; ``external_order_id`` is the caller's own id, by which a repeated
    order is recognised. An order with ``prescriptions`` is a bag (:mod:`gateway.model.bag`).
    """

    patient_name: str
    patient_address: str
    patient_phone: str | None = None
    patient_email: str | None = None
    rx_number: str | None = None
    copay_amount: Decimal | None = None
    priority: str = "routine"
    requires_signature: bool = False
    delivery_date: date | None = None
    notes: str | None = None
    external_patient_id: str | None = None
    external_order_id: str | None = None
    site: str | None = None
    metadata: dict[str, str] = {}
    prescriptions: tuple[Prescription, ...] = ()


def routing_of(order: Order) -> dict[str, Any]:
    """Return the facts of an order that route its events and aren't part of them."""
    facts: dict[str, Any] = {}
    if order.metadata:
        facts["metadata"] = order.metadata
    if order.priority != "routine":
        facts["priority"] = order.priority
    if order.requires_signature:
        facts["requires_signature"] = True
    return facts


class Candidate(msgspec.Struct, frozen=True):
    """A submitted order that may be stored, or the reasons against it.

    ``order`` is ``None`` when the sent item could not be read. ``reference`` is the source's id for
    an order without an ``external_order_id``: the same reference from the same source again is a
    duplicate. Only its blind index is stored.
    """

    order: Order | None
    errors: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    reference: str | None = None


class Review(msgspec.Struct, frozen=True):
    """A rule's result for one order: a changed order, errors, warnings."""

    order: Order | None = None
    errors: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()


def check(order: Order, country: str) -> Review:
    """Apply the rules of all sources; ``country`` decides how a local phone number is read.

    The review's ``order`` is the one to store: money with two places; the phone number in E.164, or
    left out with a warning when it can't be one.
    """
    errors: list[Problem] = []
    texts = _TEXTS(order)
    is_suspect = SUSPECT.search("".join(filter(None, texts))) is not None
    for (name, limit), value in zip(_LIMITS, texts, strict=True):
        if value is not None and (is_suspect or len(value) > limit):
            _check_text(name, value, limit, errors)
    for name, value in (
        ("patient_name", order.patient_name),
        ("patient_address", order.patient_address),
    ):
        # A source that reads another system's format may pass None for a missing field.
        if not (value or "").strip():
            errors.append(Problem(f"{name} is required", field=name))
    if order.priority not in PRIORITIES:
        errors.append(Problem(f"priority must be one of {', '.join(PRIORITIES)}", field="priority"))
    if order.copay_amount is not None or order.delivery_date is not None:
        copay = copay_problem(order.copay_amount, "copay_amount")
        day = day_problem(order.delivery_date, "delivery_date")
        errors.extend(filter(None, (copay, day)))
    if order.prescriptions:
        order = _with_bag(order, errors)
    if order.metadata:
        _check_metadata(order.metadata, errors)
    warnings: list[Problem] = []
    kept = _with_usable_contacts(order, country, warnings)
    amount = kept.copay_amount
    if amount is not None and not errors and not has_two_places(amount):
        kept = msgspec.structs.replace(kept, copay_amount=two_places(amount))
    return Review(kept, tuple(errors), tuple(warnings))


def _with_bag(order: Order, errors: list[Problem]) -> Order:
    """Return the order with the fields that follow from its prescriptions."""
    bag, problems = checked_bag(order.prescriptions, order.rx_number, order.copay_amount)
    errors.extend(problems)
    return order if bag is None else msgspec.structs.replace(order, **bag._asdict())


def _with_usable_contacts(order: Order, country: str, warnings: list[Problem]) -> Order:
    changes: dict[str, object] = {}
    if order.patient_email and not _EMAIL.fullmatch(order.patient_email):
        changes["patient_email"] = None
        text = "patient_email is not an e-mail address; it was left out"
        warnings.append(Problem(text, field="patient_email"))
    if order.patient_phone:
        phone = to_e164(order.patient_phone, country)
        if phone is None:
            text = "patient_phone is not a phone number; it was left out"
            warnings.append(Problem(text, field="patient_phone"))
        if phone != order.patient_phone:
            changes["patient_phone"] = phone
    return msgspec.structs.replace(order, **changes) if changes else order


def _check_text(name: str, value: str, limit: int, errors: list[Problem]) -> None:
    if len(value) > limit:
        errors.append(Problem(f"{name} has more than {limit} characters", field=name))
    if name == "patient_phone":  # phone numbers copied from a contact contain them; E.164 doesn't
        value = DIRECTION.sub("", value)
    if CONTROL_CHARACTERS.search(value) or (name not in _MULTILINE and LINE_BREAK.search(value)):
        errors.append(Problem(f"{name} contains control characters", field=name))


def _check_metadata(metadata: Mapping[str, str], errors: list[Problem]) -> None:
    if len(metadata) > MAX_METADATA_ENTRIES:
        errors.append(
            Problem(f"metadata has more than {MAX_METADATA_ENTRIES} entries", field="metadata")
        )
    if any(len(name) > 100 or len(value) > 500 for name, value in metadata.items()):  # noqa: PLR2004
        errors.append(
            Problem("metadata names have at most 100 characters, values 500", field="metadata")
        )
    if any(SUSPECT.search(name) or CONTROL_CHARACTERS.search(metadata[name]) for name in metadata):
        errors.append(Problem("metadata contains control characters", field="metadata"))
