"""Refuse headers over their neighbours' columns, where no row has as many cells. Pure.

An extra header moves all later ones by one: each is over the cells of the next column, and the last
over none.
"""

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from gateway_csv.columns.dates import could_be_date
from gateway_csv.columns.evidence import column_fit
from gateway_csv.columns.headers import is_quantity
from gateway_csv.columns.reading import HALF, NAMES, Column, share
from gateway_csv.columns.regions import is_region
from gateway_csv.columns.shapes import EMAIL, is_phone, looks, names_street
from gateway_csv.columns.taken_columns import TakenColumns, doubted, is_judged

_COUNT: Final = re.compile(r"\d{1,4}")
_CENTS: Final = re.compile(r"\D*\d+[.,]\d{2}\D*")
_FEWEST: Final = 2
_RARELY_EMPTY: Final = frozenset({"city", "locality"})
_SURE: Final[Mapping[str, Callable[[str], object]]] = {
    "patient_address": names_street,
    "patient_phone": is_phone,
    "patient_email": EMAIL.fullmatch,
    "delivery_date": could_be_date,
    "copay_amount": _CENTS.fullmatch,
    "state": is_region,
    "address2": lambda text: looks(text) == "a unit of an address",
}
"""Fields with cells of a unique form."""
_ANY: Final[Mapping[str, Callable[[str], object]]] = {
    "copay_amount": _CENTS.fullmatch,
    "delivery_date": could_be_date,
    "patient_phone": is_phone,
    "patient_email": EMAIL.fullmatch,
    "requires_signature": lambda text: text.casefold() in {"yes", "no", "y", "n"},
    "priority": lambda text: text.casefold() in {"routine", "urgent", "stat"},
}


def check_width(table: TakenColumns) -> None:
    """Refuse a column whose cells may be the next one's, where all rows have fewer cells."""
    columns, rows = table.columns, table.sample.rows
    ends = {len(row.cells) for row in rows}
    if len(rows) < _FEWEST or len(ends) != 1 or not 0 < (end := ends.pop()) < len(columns):
        return
    for place in range(end - 1, -1, -1):
        column, behind = columns[place], columns[place + 1]
        texts = table.texts(column)
        sure = _SURE.get(column.field or "")
        is_sure = bool(texts) and sure is not None and share(texts, sure) > HALF
        if is_sure or not _may_be(behind, texts):
            return
        if column.field is not None and texts:
            if is_judged(column):
                raise doubted(
                    column,
                    f"no row has as many cells as the header: {behind.header} may have its cells",
                )
            return


def check_empty(table: TakenColumns) -> None:
    """Refuse names and notes after an empty column of cities: its cells may have moved."""
    for before, column in itertools.pairwise(table.columns):
        texts = table.texts(column)
        if before.field not in _RARELY_EMPTY or table.texts(before) or len(texts) < _FEWEST:
            continue
        is_text = column.field in NAMES or column.field in {"notes", "address2"}
        if is_text and is_judged(column) and column_fit(before.field, texts) > HALF:
            raise doubted(column, f"its cells may be those of {before.header}, which is empty")


def _may_be(column: Column, texts: Sequence[str]) -> bool:
    """Return whether cells may be those of another column."""
    if column.field is None:
        return not is_quantity(column.header) or share(texts, _COUNT.fullmatch) == 1
    form = _ANY.get(column.field)
    if form is not None:
        return share(texts, form) > HALF
    return column_fit(column.field, texts) > HALF
