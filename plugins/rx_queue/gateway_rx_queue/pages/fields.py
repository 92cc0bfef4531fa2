"""The fields of a prescription as a page shows them and as a reviewer types them. Pure."""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any, Final, Literal, NamedTuple

from gateway.plugin import InvalidInput, Problem
from gateway_rx_queue.model import Prescription

Kind = Literal["text", "area", "date", "number", "whole", "list", "yes_no"]
Text = Callable[[str], str]


class Field(NamedTuple):
    """A field: its dotted name, its label, and its type of input."""

    name: str
    label: str
    kind: Kind = "text"

    @property
    def part(self) -> str:
        """The part of the prescription: ``patient``, ``prescriber``, ``medication``."""
        return self.name.partition(".")[0]


def _(text: str) -> str:
    """Mark a text for the catalogs; it is translated where it is shown."""
    return text


FIELDS: Final[Mapping[str, Field]] = {
    each.name: each
    for each in (
        Field("medication.drug_text", _("Drug")),
        Field("medication.din", _("DIN")),
        Field("medication.npn", _("NPN")),
        Field("medication.pin", _("Pseudo-DIN")),
        Field("medication.strength", _("Strength")),
        Field("medication.form", _("Form")),
        Field("medication.sig", _("Directions"), "area"),
        Field("medication.quantity", _("Quantity"), "number"),
        Field("medication.quantity_unit", _("Unit")),
        Field("medication.days_supply", _("Days"), "whole"),
        Field("medication.refills", _("Refills"), "whole"),
        Field("medication.written_date", _("Written"), "date"),
        Field("medication.valid_from", _("Valid from"), "date"),
        Field("medication.valid_until", _("Valid until"), "date"),
        Field("medication.no_substitution", _("No substitution"), "yes_no"),
        Field("medication.controlled", _("Controlled"), "yes_no"),
        Field("medication.indication", _("What it is for")),
        Field("medication.notes", _("Prescriber's note"), "area"),
        Field("patient.first_name", _("First name")),
        Field("patient.last_name", _("Last name")),
        Field("patient.dob", _("Born"), "date"),
        Field("patient.external_patient_id", _("Patient id")),
        Field("patient.health_number", _("Health number")),
        Field("patient.health_number_version", _("Version")),
        Field("patient.province", _("Province")),
        Field("patient.phone", _("Phone")),
        Field("patient.address", _("Address")),
        Field("patient.allergies", _("Allergies"), "list"),
        Field("prescriber.name", _("Prescriber")),
        Field("prescriber.licence_type", _("College")),
        Field("prescriber.licence_number", _("Licence")),
        Field("prescriber.phone", _("Prescriber's phone")),
        Field("prescriber.fax", _("Prescriber's fax")),
    )
}
"""Every field that a reviewer may correct, in the order of the page."""

ALWAYS: Final = frozenset(
    {
        *("medication.drug_text", "medication.din", "medication.sig", "medication.quantity"),
        *("medication.quantity_unit", "medication.days_supply", "medication.refills"),
        *("medication.written_date", "patient.allergies", "prescriber.name"),
    }
)
"""Fields that the page shows even if they are empty."""

PARTS: Final[Mapping[str, tuple[str, ...]]] = {
    "patient": (
        *("patient.first_name", "patient.last_name", "patient.dob"),
        *("patient.external_patient_id", "patient.health_number"),
    ),
    "prescriber": ("prescriber.name", "prescriber.licence_number"),
}
"""The fields that answer a reason which names a whole part."""

_WHOLE: Final = re.compile(r"[0-9]{1,6}", re.ASCII)
_YES_NO: Final[Mapping[str, bool]] = {"yes": True, "no": False}


def value_of(prescription: Prescription, name: str) -> Any:
    """Return the value of a field."""
    part, _dot, field = name.partition(".")
    return getattr(getattr(prescription, part), field)


def typed(prescription: Prescription, name: str) -> str:
    """Return a field's value as text for the input."""
    value = value_of(prescription, name)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(value)
    if isinstance(value, Decimal):
        return f"{value:f}"
    return value.isoformat() if isinstance(value, date) else str(value)


def corrections_of(prescription: Prescription, fields: Mapping[str, str]) -> dict[str, Any]:
    """Return the changes by dotted name, for ``Review.resolve``.

    Raises ``InvalidInput``, which names invalid numbers and dates.
    """
    changes: dict[str, Any] = {}
    problems: list[Problem] = []
    for name, text in changed(prescription, fields):
        try:
            changes[name] = _READERS[FIELDS[name].kind](text) if text else None
        except ValueError as error:
            problems.append(Problem(str(error), field=name))
    if problems:
        raise InvalidInput("The corrections don't fit.", problems)
    return changes


def changed(prescription: Prescription, fields: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the fields whose typed value differs."""
    for name, given in fields.items():
        text = given.replace("\r\n", "\n").strip()
        if name in FIELDS and text != typed(prescription, name).strip():
            yield name, text


def _number(text: str) -> Decimal:
    try:
        return Decimal(text.replace(",", "."))
    except InvalidOperation:
        raise ValueError(_("must be a number, as in 30 or 2.5")) from None


def _whole(text: str) -> int:
    if not _WHOLE.fullmatch(text):
        raise ValueError(_("must be a whole number"))
    return int(text)


def _date(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise ValueError(_("must be a date, as in 2026-11-01")) from None


def _yes_no(text: str) -> bool:
    if text not in _YES_NO:
        raise ValueError(_("must be yes or no"))
    return _YES_NO[text]


def _list(text: str) -> list[str]:
    return [each.strip() for each in text.split(",") if each.strip()]


_READERS: Final[Mapping[Kind, Callable[[str], Any]]] = {
    "text": str,
    "area": str,
    "date": _date,
    "number": _number,
    "whole": _whole,
    "list": _list,
    "yes_no": _yes_no,
}
