"""The words of the Import page: fields, how sure a column is, and reasons without commands."""

import re
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from gateway_csv.columns.headers import METADATA
from gateway_csv.details import FoundColumn
from gateway_csv.schema import State

Text = Callable[[str], str]
"""Translates a sentence."""

FIELD_WORDS: Final[Mapping[str, str]] = {
    "patient_name": "patient name",
    "last_first": "last name, first name",
    "first_name": "first name",
    "middle_name": "middle name",
    "last_name": "last name",
    "patient_address": "patient address",
    "street_number": "house number",
    "address2": "unit, apartment",
    "locality": "city, state and postal code",
    "city": "city",
    "state": "state or province",
    "postal_code": "postal code",
    "country": "country",
    "patient_phone": "patient phone",
    "patient_email": "patient e-mail",
    "rx_number": "Rx number",
    "copay_amount": "copay amount",
    "priority": "priority",
    "requires_signature": "signature needed",
    "delivery_date": "delivery date",
    "notes": "notes",
    "external_patient_id": "patient id",
    "external_order_id": "order id",
    "metadata": "further facts (JSON)",
    "prescriptions": "prescriptions (JSON)",
    "site": "site",
    "status": "status of the delivery",
    "ended_at": "when it was delivered or cancelled",
    "package_id": "package id of this gateway",
}
"""What a field is called, in the order of the choices."""

STATE_WORDS: Final[Mapping[State, tuple[str, str, str]]] = {
    "reading": ("s-wait", "", "Being checked"),
    "read": ("s-new", "", "Not imported yet"),
    "waiting": ("s-wait", "", "Waits for its turn"),
    "running": ("s-wait", "move", "Importing"),
    "done": ("s-done", "ok", "Imported"),
    "failed": ("s-fail", "bad", "Failed"),
    "stopped": ("s-hold", "warn", "Stopped"),
    "interrupted": ("s-warn", "warn", "Interrupted"),
    "undoing": ("s-wait", "", "Being undone"),
    "undone": ("s-back", "", "Undone"),
}
"""Glyph, kind of state, word."""

ORIGIN_WORDS: Final[Mapping[str, str]] = {
    "request": "sent by the API",
    "upload": "uploaded",
    "folder": "from the watched folder",
    "cli": "from the command line",
}

_FIELD: Final = re.compile(r"\b(?:" + "|".join(FIELD_WORDS) + r")\b")
# What tells a command line or a program what to do next; the page has choices for it.
_COMMANDS: Final = re.compile(
    r"(?:[:;,.] (?:say |If it is right)| \((?:--|over HTTP)|: map (?:it|the)|; rename it).*",
    re.DOTALL,
)


class Certainty(NamedTuple):
    """How sure it is what a column is: a glyph, a kind of state, and words."""

    glyph: str
    kind: str
    words: str


def certainty(column: FoundColumn, sender: str, text: Text) -> Certainty:
    """Return how sure it is what a column is."""
    if column.asked:
        return Certainty("s-warn", "warn", text("Choose what it is"))
    if column.field is None and column.looks_like is not None:
        return Certainty("s-warn", "warn", text("Looks like it. Is it?"))
    known = {
        "chosen": text("You chose it"),
        "remembered": text("As for {sender} before").replace("{sender}", sender),
        "layout": text("Known layout"),
    }
    if column.field is None:
        words = known.get(column.how or "", text("Not used here"))
        return Certainty("s-off", "", words)
    if column.how is None:
        return Certainty("s-dot", "", text("Not settled yet"))
    return Certainty("s-done", "ok", known.get(column.how, text("Known name")))


def field_words(field: str, text: Text) -> str:
    """Return what a field is called."""
    if field.startswith(METADATA):
        return text("extra fact: {name}").replace("{name}", field.removeprefix(METADATA))
    return text(FIELD_WORDS.get(field, field))


def plainly(sentence: str, text: Text) -> str:
    """Return a reason in the page's words: without commands, with fields by their names."""
    translated = text(sentence)
    if translated != sentence:
        return translated
    said = _COMMANDS.sub("", sentence).strip()
    return _FIELD.sub(lambda found: field_words(found[0], text), said)
