"""Reads a damaged file, and holds every package against the originals."""

import random
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec
from plugins.csv.damage.cells import CELLS
from plugins.csv.damage.columns import COLUMNS
from plugins.csv.damage.harmless import HARMLESS, shuffled_columns, shuffled_rows
from plugins.csv.damage.sheets import Sheet, known_file
from plugins.csv.damage.writing import WRITING
from plugins.csv.reading import Outcome, read_file

Damage = Callable[[random.Random, Sheet], Sheet]
HARMFUL: tuple[Damage, ...] = (*COLUMNS, *CELLS, *WRITING)

OPTIONAL = {
    "patient_phone": None,
    "patient_email": None,
    "rx_number": None,
    "copay_amount": None,
    "priority": "routine",
    "requires_signature": False,
    "delivery_date": None,
    "notes": None,
    "external_patient_id": None,
    "external_order_id": None,
}
_FIELDS = {
    "Phone": "patient_phone",
    "Rx Number": "rx_number",
    "Copay": "copay_amount",
    "Delivery Date": "delivery_date",
    "Notes": "notes",
    "Patient ID": "external_patient_id",
    "Order ID": "external_order_id",
    "Email": "patient_email",
    "Priority": "priority",
}


class Verdict(NamedTuple):
    """What became of one file."""

    rows: int
    imported: int
    refused: bool
    wrong: list[str]


def originals(sheet: Sheet) -> list[dict]:
    """Return the orders that an undamaged file with what is left of the cells makes."""
    truth = [*sheet.truth]
    if sheet.lost:
        truth += [{**each, sheet.lost: ""} for each in sheet.truth]
    # A postal code or a state that a row lost is an empty cell like others.
    truth += [{**each, part: ""} for each in truth for part in ("Zip", "State") if each.get("City")]
    # "Apt 27, 183 Park Blvd" is the same place.
    truth += [
        {**each, "Address": f"{each['Apt']} {each['Address']}", "Apt": ""}
        for each in truth
        if each.get("Apt") and each.get("Address")
    ]
    return [{**OPTIONAL, **msgspec.to_builtins(_composed(each))} for each in truth]


def _composed(cells: dict[str, str]) -> dict:
    """Make an order of cells, by the rules and without the reader that is judged."""
    get = cells.get
    name = get("Patient Name") or " ".join(
        filter(None, [get("First Name", ""), get("Last Name", "")])
    )
    if get("Last, First"):
        last, _, first = cells["Last, First"].partition(", ")
        name = f"{first} {last}"
    region = " ".join(filter(None, [get("State", ""), get("Zip", "")]))
    parts = [get("Address", ""), get("Apt", ""), get("City", ""), region, get("City State Zip", "")]
    order = {"patient_name": name, "patient_address": ", ".join(filter(None, parts))}
    order.update({field: get(name) for name, field in _FIELDS.items() if get(name)})
    if "patient_phone" in order:
        order["patient_phone"] = f"+1{order['patient_phone'].replace('-', '')}"
    if get("Signature"):
        order["requires_signature"] = get("Signature") == "yes"
    return order


def judged(sheet: Sheet) -> tuple[Verdict, Outcome]:
    """Read a file, and hold every order against the originals."""
    outcome = read_file(sheet.file(), country=sheet.country)
    known = originals(sheet)
    if sheet.cut is not None and any("has no end" in each for each in outcome.remarks):
        known += originals(sheet._replace(truth=[sheet.cut]))
    wrong = []
    for row, order in outcome.orders.items():
        said = {**OPTIONAL, **msgspec.to_builtins(order)}
        if any("no date shows whether" in each for each in outcome.remarks):
            said["delivery_date"] = None  # an assumption that the report states
        if not any(_is_original(said, each) for each in known):
            wrong.append(f"row {row}: {_difference(said, known)}")
    return Verdict(len(sheet.rows), len(outcome.orders), bool(outcome.refusal), wrong), outcome


def _difference(said: dict, known: list[dict]) -> str:
    """Return the fields that are in no original, by the original that is nearest."""
    wrong = [
        {field: (said[field], each[field]) for field in said if said[field] != each.get(field)}
        for each in known
    ]
    return str(min(wrong, key=len))


def _is_original(said: dict, known: dict) -> bool:
    """Say whether a package is the original; what is optional may be missing."""
    if said["patient_name"] != known["patient_name"]:
        return False
    # "Boston MA" in one column or two: the same place.
    if re.sub(r"\W", "", said["patient_address"]) != re.sub(r"\W", "", known["patient_address"]):
        return False
    said = {**said, "notes": said["notes"] and re.sub(r"\W", "", said["notes"])}
    known = {**known, "notes": known["notes"] and re.sub(r"\W", "", known["notes"])}
    return all(said[field] in {known[field], nothing} for field, nothing in OPTIONAL.items())


def damaged(seed: int, kinds: Sequence[Damage] = HARMFUL) -> tuple[str, Sheet]:
    """Make the damaged file of a seed; sometimes a harmless change comes first."""
    rng = random.Random(seed)
    sheet = known_file(rng)
    if rng.random() < 0.3:
        sheet = rng.choice((shuffled_columns, shuffled_rows))(rng, sheet)
    kind = kinds[seed % len(kinds)]
    return kind.__name__, kind(rng, sheet)


__all__ = ["HARMFUL", "HARMLESS", "Damage", "Verdict", "damaged", "judged", "originals"]
