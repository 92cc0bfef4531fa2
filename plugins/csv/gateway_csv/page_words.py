"""The words of the Import page: fields, states, confidence, reasons without commands."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from gateway_csv.columns.headers import METADATA
from gateway_csv.details import FoundColumn
from gateway_csv.schema import State

Text = Callable[[str], str]
"""Translates a sentence."""


def _(text: str) -> str:
    """Mark a text for the catalogs; it is translated where it is shown."""
    return text


NO_UPLOAD: Final = _("no file was uploaded lately")
LAST_UPLOAD: Final = _(
    "last upload {at}: not finished, {created} created, {duplicates} known, {rejected} rejected"
)
ENDED_UPLOAD: Final[Mapping[State, str]] = {
    "done": _("last upload {at}: done, {created} created, {duplicates} known, {rejected} rejected"),
    "failed": _(
        "last upload {at}: failed, {created} created, {duplicates} known, {rejected} rejected"
    ),
    "stopped": _(
        "last upload {at}: stopped, {created} created, {duplicates} known, {rejected} rejected"
    ),
    "interrupted": _(
        "last upload {at}: interrupted, {created} created, {duplicates} known, {rejected} rejected"
    ),
    "undone": _(
        "last upload {at}: undone, {created} created, {duplicates} known, {rejected} rejected"
    ),
}
"""The sentence of a state; ``LAST_UPLOAD`` for those that haven't ended."""
NO_FAILED_FILE: Final = _("no file of the watched folder failed")
FIELD_WORDS: Final[Mapping[str, str]] = {
    "patient_name": _("patient name"),
    "last_first": _("last name, first name"),
    "first_name": _("first name"),
    "middle_name": _("middle name"),
    "last_name": _("last name"),
    "patient_address": _("patient address"),
    "street_number": _("house number"),
    "address2": _("unit, apartment"),
    "locality": _("city, state and postal code"),
    "city": _("city"),
    "state": _("state or province"),
    "postal_code": _("postal code"),
    "country": _("country"),
    "patient_phone": _("patient phone"),
    "patient_email": _("patient e-mail"),
    "rx_number": _("Rx number"),
    "copay_amount": _("copay amount"),
    "priority": _("priority"),
    "requires_signature": _("signature needed"),
    "delivery_date": _("delivery date"),
    "notes": _("notes"),
    "external_patient_id": _("patient id"),
    "external_order_id": _("order id"),
    "metadata": _("further facts (JSON)"),
    "prescriptions": _("prescriptions (JSON)"),
    "site": _("site"),
    "status": _("status of the delivery"),
    "ended_at": _("when it was delivered or cancelled"),
    "package_id": _("package id of this gateway"),
}
"""The names of fields, in the order of the choices."""

STATE_WORDS: Final[Mapping[State, tuple[str, str, str]]] = {
    "reading": ("s-wait", "", _("Being checked")),
    "read": ("s-new", "", _("Not imported yet")),
    "waiting": ("s-wait", "", _("Waits for its turn")),
    "running": ("s-wait", "move", _("Importing")),
    "done": ("s-done", "ok", _("Imported")),
    "failed": ("s-fail", "bad", _("Failed")),
    "stopped": ("s-hold", "warn", _("Stopped")),
    "interrupted": ("s-warn", "warn", _("Interrupted")),
    "undoing": ("s-wait", "", _("Being undone")),
    "undone": ("s-back", "", _("Undone")),
}
"""Glyph, kind of state, word."""

ORIGIN_WORDS: Final[Mapping[str, str]] = {
    "request": _("sent by the API"),
    "upload": _("uploaded"),
    "folder": _("from the watched folder"),
    "cli": _("from the command line"),
}

DELIMITER_WORDS: Final[Mapping[str, str]] = {
    ",": _("commas"),
    ";": _("semicolons"),
    "\t": _("tabs"),
    "|": _("bars"),
}

REASONS: Final = (
    _("{field} is required"),
    _("{field} can't be read"),
    _("{field} must be between 0 and 10000"),
    _("{field} must have at most two decimal places"),
    _("priority must be one of routine, urgent, stat"),
    _("{field} contains control characters"),
    _("{field} is empty, and a part of a name is not the whole"),
    _("the row has more cells than the header and the other rows"),
    _("the row has fewer cells than the other rows: it is broken, or its cells moved"),
    _("several cells don't fit their columns: the row's cells may have moved"),
    _("a quotation mark is in the middle of a cell"),
    _("the city is missing, which other rows have"),
    _("the note is an address: cells may be exchanged"),
    _("the order id is that of a package for another patient or address; no package was made"),
    _("by row {n} the same order needs no delivery any more"),
    _("the row has the same order id as row {n}, and says something else"),
    _("the row has the same prescription, patient and date as row {n}, and says something else"),
    _(
        "a row with the same order id was imported before, and it said something else; its "
        "package was not changed"
    ),
    _("enter the patient's name"),
    _("enter the address to deliver to"),
    _("correct the number, or leave the cell empty"),
    _("correct the cell"),
    _("correct the date, or leave the cell empty"),
    _("correct the cell; where all cells of the row moved, put them back"),
    _("enter dollars and cents, or leave the cell empty"),
    _("enter yes or no, or leave the cell empty"),
    _("write dates as 2026-04-20, or say whether the day or the month comes first"),
    _("give it an order id of its own, or take one of the rows out"),
    _("a new order needs an order id of its own"),
    _("put every cell under its header, empty ones too"),
    _("put quotation marks around a cell that has the delimiter in it"),
    _("double the mark, or take it out"),
    _("enter the other part of the name too"),
    _("take one of the two rows out"),
    _("Two columns may be {field}, and they differ."),
    _("It is in doubt which column is {field}."),
    _("It is in doubt whether a column is {field}."),
    _("The table lacks a column that every order needs."),
    _("A column has more than one field in it."),
    _("A column looks like a part of the address, and its header isn't known."),
    _("An address has a state or a province, and no city."),
    _("no column was found for {field}"),
    _("The file is empty: export it again, and look whether it has rows."),
    _(
        "No header was found: the table's first row has to name its columns, at least {field} and "
        "{field}."
    ),
    _("The file is no longer kept: send it again."),
    _("There is nothing to import: no row would make a package."),
    _("The spreadsheet has no visible sheet of that name: choose another one."),
    _("some dates can only be day-first and others only month-first, or hardly any says which"),
)
"""Frequent reasons; ``{field}`` and ``{n}`` stand for a field and a row's number."""

_FIELD: Final = re.compile(r"\b(?:" + "|".join(FIELD_WORDS) + r")\b")
_ROW: Final = re.compile(r"(?<=\brow )\d+")
_SLOT: Final = re.compile(r"\{(?:field|n)\}")
_PLAIN: Final = frozenset(
    {"city", "site", "state", "status", "country", "notes", "priority", "prescriptions", "metadata"}
)
"""Field names that are words, and stay unchanged."""
# Remedies for the command line and the API; the page has choices instead.
_COMMANDS: Final = re.compile(
    r"(?:[:;,.] (?:say |If it is right)| \((?:--|over HTTP)|: map (?:it|the)|; rename it).*",
    re.DOTALL,
)


class Certainty(NamedTuple):
    """The confidence in a column's field: a glyph, a kind of state, and words."""

    glyph: str
    kind: str
    words: str


def certainty(column: FoundColumn, sender: str, text: Text) -> Certainty:
    """Return the confidence in a column's field."""
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
    """Return the name of a field."""
    if field.startswith(METADATA):
        name = field.removeprefix(METADATA)
        return text("extra fact: {name}").replace("{name}", name)
    return text(FIELD_WORDS.get(field, field))


def plainly(sentence: str, text: Text) -> str:
    """Return a reason in the page's words: without commands, with fields by their names."""
    said = _COMMANDS.sub("", sentence).strip()
    if not said:  # gettext would return the catalog's header
        return ""
    values: list[tuple[int, str, str]] = [
        (found.start(), found[0], field_words(found[0], text))
        for found in _FIELD.finditer(said)
        if found[0] not in _PLAIN
    ]
    values += [(found.start(), found[0], found[0]) for found in _ROW.finditer(said)]
    values.sort()
    slots = iter(values)
    translated = _translated(_with_slots(said, values), text)
    return _SLOT.sub(lambda found: next(slots, (0, "", found[0]))[2], translated)


def _translated(template: str, text: Text) -> str:
    """Return a sentence in the reader's language, else its parts before and after a colon."""
    whole = text(template)
    what, colon, why = template.partition(": ")
    if whole != template or not colon:
        return whole
    return f"{text(what)}: {_translated(why, text)}"


def _with_slots(said: str, values: list[tuple[int, str, str]]) -> str:
    return "".join(_parts(said, values))


def _parts(said: str, values: list[tuple[int, str, str]]) -> Iterator[str]:
    end = 0
    for start, found, _words in values:
        yield said[end:start]
        yield "{n}" if found.isdigit() else "{field}"
        end = start + len(found)
    yield said[end:]
