"""Refuse ids, amounts, flats and postal codes under each other's header. Pure."""

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from gateway_csv.columns.address_checks import BUILDING
from gateway_csv.columns.dates import could_be_date
from gateway_csv.columns.evidence import fit
from gateway_csv.columns.headers import is_quantity, meaning_of
from gateway_csv.columns.joined_cells import has_number_beside_unit
from gateway_csv.columns.reading import HALF, Column, share
from gateway_csv.columns.shapes import is_phone, is_postal_code
from gateway_csv.columns.taken_columns import (
    FEWEST_ROWS,
    NAMELESS,
    TakenColumns,
    doubted,
    is_judged,
)

_CENTS: Final = re.compile(r"\D*\d+[.,]\d{2}\D*")
_AMOUNT: Final = re.compile(r"\W*(?:(?:ca|us|c)\W*)?\d", re.IGNORECASE)
_RX_PREFIX: Final = re.compile(r"rx[-# ]?\d.*", re.IGNORECASE)
_MARKED: Final = re.compile(r"(?:[A-Z]{1,4}[-#]?|#)\d{3,}|\d{6,}")
_HASH: Final = re.compile(r"#\d+")
_DIGITS: Final = re.compile(r"\d{4,}")
_LONG_HASH: Final = re.compile(r"(?:.*\W)?#(\d{4,})")
_BARE: Final = re.compile(r"(\d{4,})")
_SOME: Final = 0.25
_LONGEST_STEP: Final = 10
# Fewer cells may be single mistakes: each is an error of its row.
_ENOUGH_TO_JUDGE: Final = 4
# Counts and postal codes: forms that a whole column of ids rarely has.
_COUNT_OR_ZIP: Final = re.compile(r"\d{1,2}[05]|\d{5}")
_LONGEST_COUNT: Final = 3
_LETTERED: Final = re.compile(r"(?:[A-Z]{1,4}[-#]?|#)\d{3,}")
_TWO_CODES: Final = re.compile(
    r"(?:[A-Z]{1,4}-?)?\d{4,}-[A-Z]{1,4}-?\d{4,}|[A-Z]{1,4}-?\d{4,}-\d{4,}"
)
_TWO_NUMBERS: Final = re.compile(
    r"[A-Z]{0,4}-?\d{3,}[\s,;/|&]+(?:- )?[A-Z]{0,4}-?\d{3,}|[A-Z]{0,4}-?\d{3,} - .*"
)
_ORDER_PREFIX: Final = re.compile(r"(?:so|ord|order|inv|po)[-# ]?\d.*", re.IGNORECASE)
_PATIENT_PREFIX: Final = re.compile(r"(?:p|pt|pat|mrn|cust|client)[-# ]?\d.*", re.IGNORECASE)
_PATIENT_INSIDE: Final = re.compile(
    r".*[-/ ](?:p|pt|pat|mrn)-?\d{3,}|(?:p|pt|pat|mrn)-?\d{3,}[-/ ].*"
)
_SHORT_ZIP: Final = re.compile(r"\d{3,4}|[A-Z]{2}-\d{4,5}")
_PERSON: Final = re.compile(r"[A-Z][\w.'-]+(?: [A-Z][\w.'-]*){1,2}|[A-Z][\w.' -]+, [A-Z][\w.'-]+")
_ZIP: Final = re.compile(r"\d{5}")
_LONG_NUMBER: Final = re.compile(r"[A-Z]{0,4}[-#]?\d{4,}")
CODES: Final = ("rx_number", "external_patient_id", "external_order_id")
_FORMS: Final[Mapping[str, Callable[[str], object]]] = {
    **dict.fromkeys(CODES, re.compile(r".*\d").match),
    "copay_amount": _CENTS.fullmatch,
    "delivery_date": could_be_date,
    "patient_phone": is_phone,
    "postal_code": is_postal_code,
}


def check_codes(table: TakenColumns) -> None:
    """Refuse an id that other patients have too, and one marked as another column's."""
    names = table.names()
    for column in table.taken(*CODES):
        texts = table.texts(column)
        at: dict[str, set[str]] = {}
        for value, name in zip(table.rows(column), names, strict=False):
            if value and name:
                at.setdefault(value, set()).add(name)
        several = sum(len(each) > 1 for each in at.values())
        is_one_orders = column.field == "external_order_id"  # the rows' own conflict
        if not is_one_orders and len(texts) >= FEWEST_ROWS and at and 2 * several >= len(at):
            raise doubted(column, "the same number stands at several patients")
        before = [each for each in table.columns if each.place == column.place - 1]
        empty = {each.field for each in before if not table.texts(each)}
        may_be_zip = "postal_code" in empty and share(texts, _ZIP.fullmatch) > HALF
        if may_be_zip or (empty & {*CODES} and share(texts, _DIGITS.fullmatch) > HALF):
            raise doubted(column, f"its numbers may be those of {before[0].header}, which is empty")
        _check_marks(table, column, texts)


def check_moved(table: TakenColumns) -> None:
    """Refuse a column after an unknown one where no row reaches the last header.

    An extra header moves each name over the cells of the next column.
    """
    last = table.columns[-1]
    if any(len(row.cells) > last.place for row in table.sample.rows):
        return
    for before, column in itertools.pairwise(table.columns):
        is_unknown = before.field is None and meaning_of(before.header) is None
        if column.field is None or not is_unknown or not is_judged(column):
            continue
        behind = table.columns[before.place :]
        if all(
            _would_be(after.field or "", table.texts(each))
            for each, after in itertools.pairwise(behind)
        ):
            raise doubted(
                column,
                f"{before.header or NAMELESS} may have its cells, as {last.header} is empty",
            )


def _would_be(field: str, texts: Sequence[str]) -> bool:
    """Return whether a column has cells, and all have a form that ``field`` has."""
    form = _FORMS.get(field)
    return form is not None and share(texts, form) == 1 == fit(field, texts)


def _check_marks(table: TakenColumns, column: Column, texts: Sequence[str]) -> None:
    """Refuse numbers that are marked as those of another column: ``RX-1``, ``P-1``, ``SO-1``."""
    _check_counts(table, column, texts)
    if column.field != "external_patient_id" and (
        share(texts, _PATIENT_PREFIX.fullmatch) > HALF
        or share([each.casefold() for each in texts], _PATIENT_INSIDE.fullmatch) > HALF
    ):
        raise doubted(column, "its numbers are marked as a patient's")
    if column.field != "rx_number" and share(texts, _RX_PREFIX.fullmatch) > HALF:
        raise doubted(column, "its numbers are marked as a prescription's")
    if column.field == "external_patient_id" and share(texts, _HASH.fullmatch) > HALF:
        raise doubted(column, "its numbers are marked as an order's")
    if 2 * sum(any(map(str.isdigit, each)) for each in texts) < len(texts):
        raise doubted(column, "half of its cells have no digit")
    if column.field != "rx_number" and share(texts, _TWO_NUMBERS.fullmatch) > HALF:
        raise doubted(column, "its cells have two numbers in them")
    lacking = [each for each in CODES if each not in table.by_field]
    if lacking and share(texts, _TWO_CODES.fullmatch) > HALF:
        raise doubted(column, "its cells have two numbers in them")
    if column.field != "external_order_id" and share(texts, _ORDER_PREFIX.fullmatch) > HALF:
        raise doubted(column, "its numbers are marked as an order's")


def _check_counts(table: TakenColumns, column: Column, texts: Sequence[str]) -> None:
    """Refuse small numbers under an id beside a column of counts, or unknown, with ids."""
    is_plain = share(texts, _COUNT_OR_ZIP.fullmatch) == 1
    for each in table.columns:
        is_count, form = is_quantity(each.header), _MARKED
        if is_plain and not is_count and meaning_of(each.header) is None:
            is_count, form = True, _LETTERED
        if each.field is not None or not is_count:
            continue
        others = table.texts(each)
        is_longer = is_plain and max(map(len, texts)) <= _LONGEST_COUNT < min(
            map(len, others), default=0
        )
        if is_longer or share(others, form.fullmatch) > HALF:
            raise doubted(column, f"{each.header or NAMELESS} has numbers like it")


def _has_amounts_elsewhere(table: TakenColumns) -> bool:
    return any(
        each.field is None and share(table.texts(each), _CENTS.fullmatch) > HALF
        for each in table.columns
    )


def check_amounts(table: TakenColumns) -> None:
    """Refuse counts under *Copay* beside amounts under *Qty*."""
    for column in table.taken("copay_amount"):
        texts = table.texts(column)
        is_judged = len(texts) >= _ENOUGH_TO_JUDGE or (texts and _has_amounts_elsewhere(table))
        if is_judged and share(texts, _AMOUNT.match) < HALF:
            raise doubted(column, "its cells are no amounts")
        if share(texts, _CENTS.fullmatch) > 0 or not texts:
            continue
        for other in table.columns:
            is_amount = share(table.texts(other), _CENTS.fullmatch) > HALF
            if other.field is None and is_quantity(other.header) and is_amount:
                raise doubted(column, f"it has no cents, and {other.header} has")


def check_units(table: TakenColumns) -> None:
    """Refuse long numbers under *Apt* beside an empty column of ids."""
    empty = [
        each for each in table.columns if each.field in CODES and not table.sample.texts(each.place)
    ]
    for column in table.taken("address2"):
        if empty and share(table.texts(column), _LONG_NUMBER.fullmatch) > HALF:
            raise doubted(column, f"its numbers may be those of {empty[0].header}, which is empty")
        if share(table.texts(column), _is_person) > HALF:
            raise doubted(column, "its cells look like names")
        lacks_some = any(each not in table.by_field for each in (*CODES, "postal_code", "state"))
        if lacks_some and share(table.texts(column), has_number_beside_unit) >= _SOME:
            raise doubted(column, "its cells have a number of something else beside the unit")
        lacks_orders = "external_order_id" not in table.by_field
        if lacks_orders and _are_running(table.texts(column), _LONG_HASH):
            raise doubted(column, "its numbers may be those of the orders")
        lacks_ids = any(each not in table.by_field for each in CODES)
        if lacks_ids and len(set(table.houses())) > 1 and _are_running(table.texts(column), _BARE):
            raise doubted(column, "its numbers may be those of another column")


def _is_person(text: str) -> bool:
    """Return whether an address's second line may be a person: two or three words, no building."""
    return _PERSON.fullmatch(text) is not None and not BUILDING.search(text)


def _are_running(texts: Sequence[str], form: re.Pattern[str]) -> bool:
    """Return whether most cells end with a number slightly higher than the one before."""
    numbers = [int(each[1]) for each in map(form.fullmatch, texts) if each is not None]
    steps = [after - before for before, after in itertools.pairwise(numbers)]
    is_usual = len(numbers) > HALF * len(texts)
    return is_usual and bool(steps) and all(0 < each <= _LONGEST_STEP for each in steps)


def check_postal_codes(table: TakenColumns) -> None:
    """Refuse short numbers under *Zip* beside a column of numbers as long as ZIP codes."""
    codes = [each for each in table.columns if each.field in CODES]
    for column in table.taken("postal_code"):
        texts = table.texts(column)
        if share(texts, _SHORT_ZIP.fullmatch) > HALF and any(
            share(table.texts(each), _ZIP.fullmatch) > HALF for each in codes
        ):
            raise doubted(column, "another column's numbers are more like postal codes")
