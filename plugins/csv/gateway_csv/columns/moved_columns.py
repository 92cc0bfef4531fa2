"""Refuse a column whose cells are in other rows: moved down by one, or sorted alone. Pure.

Every cell fits its column, and no single row shows the fault. A last row with one cell shows it, or
e-mail addresses that contain the names of other rows.
"""

import unicodedata
from collections.abc import Sequence
from typing import Final

from gateway_csv.columns.cells import Unreadable, money_of
from gateway_csv.columns.taken_columns import TakenColumns, doubted, is_judged
from gateway_csv.read.rows import is_filled

_FEWEST: Final = 2
_FEWEST_CELLS: Final = 2
_FEWEST_LETTERS: Final = 5


def check_rows(table: TakenColumns) -> None:
    """Refuse a column that alone continues in a last row, and names in other rows' mails."""
    _check_last_row(table)
    _check_mails(table)


def _check_last_row(table: TakenColumns) -> None:
    rows = table.sample.rows
    if len(rows) < _FEWEST:
        return
    last = [place for place, each in enumerate(rows[-1].cells) if is_filled(each)]
    first = {place for place, each in enumerate(rows[0].cells) if is_filled(each)}
    if len(last) != 1 or last[0] in first or len(first) < _FEWEST_CELLS:
        return
    for column in table.columns:
        if column.place == last[0] and column.field is not None and is_judged(column):
            *others, end = table.texts(column)
            if column.field == "copay_amount" and _is_total(end, others):
                continue
            raise doubted(
                column, "it is empty in the first row and alone in the last: it moved down"
            )


def _is_total(text: str, others: Sequence[str]) -> bool:
    """Return whether an amount is the sum of those above it; an unreadable one may be."""
    try:
        end, *amounts = [money_of(each, decimal_comma="," in each) or 0 for each in (text, *others)]
    except Unreadable:
        return True
    return end == sum(amounts)


def _check_mails(table: TakenColumns) -> None:
    """Refuse addresses of which one contains the name of another row, and neither its own."""
    for column in table.taken("patient_email"):
        mails = [_letters(each.partition("@")[0], "ignore") for each in table.rows(column)]
        names = [{_letters(each, how) for how in ("fold", "ignore")} for each in table.names()]
        strangers = {
            mail
            for mail, name in zip(mails, names, strict=False)
            if len(mail) >= _FEWEST_LETTERS and mail not in name
        }
        odd = [name for mail, name in zip(mails, names, strict=False) if mail and mail not in name]
        if any(not strangers.isdisjoint(each) for each in odd):
            raise doubted(column, "its addresses are made of the names in other rows")


def _letters(text: str, accents: str) -> str:
    """Return a text's letters in their order in the alphabet: ``reed.ana`` is Ana Reed.

    ``accents`` decides about letters with accents: ``fold`` removes the accents.
    """
    parts = unicodedata.normalize("NFKD", text) if accents == "fold" else text
    return "".join(sorted(each for each in parts.casefold() if "a" <= each <= "z"))
