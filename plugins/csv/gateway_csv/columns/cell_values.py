"""The values of one table's cells: places, amounts, days, yes and no.

Cities, copays, days and notes repeat from row to row: each text is read once. An unreadable one
isn't cached: it is rare, and each row reports its own problem.
"""

from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from functools import partial
from typing import Final

from gateway_csv.columns.cell_judge import says_something
from gateway_csv.columns.cells import (
    Unreadable,
    code_of,
    money_of,
    priority_of,
    text_of,
    yes_or_no,
)
from gateway_csv.columns.dates import Evidence, Order, date_of
from gateway_csv.columns.evidence import weak_misfit
from gateway_csv.columns.kept_texts import KeptTexts, kept
from gateway_csv.read.rows import Cell

_ODD_FIELDS: Final = ("patient_email", "notes")


class CellValues:
    """Reads one table's cells. ``dates`` and ``order`` come from its column of days."""

    def __init__(self, *, decimal_comma: bool, dates: Evidence, order: Order | None) -> None:
        self._again = partial(CellValues, decimal_comma=decimal_comma, dates=dates, order=order)

        def money(cell: Cell) -> Decimal | None:
            return money_of(cell, decimal_comma=decimal_comma)

        def day(cell: Cell) -> date | None:
            if dates.is_strange(cell, order):
                raise Unreadable(
                    "a date near those of the other rows",
                    "its day and month may be exchanged: write dates as 2026-04-20",
                )
            return date_of(cell, order)

        self.text: Final = kept(text_of)
        self.code: Final = kept(code_of)
        self.money: Final = kept(money)
        self.day: Final = kept(day)
        self.priority: Final = kept(priority_of)
        self.answer: Final = kept(yes_or_no)
        self.odd: Final[Mapping[str, Callable[[str], bool]]] = {
            each: KeptTexts(_odd_for(each)).__getitem__ for each in _ODD_FIELDS
        }
        """Whether a text is unusual for its field without being impossible, by field."""

    def __reduce__(self) -> tuple[Callable[[], "CellValues"], tuple[()]]:
        """Let another process make it again."""
        return self._again, ()


def _odd_for(field: str) -> Callable[[str], bool]:
    def is_odd(cell: str) -> bool:
        text = cell.strip()
        return bool(text) and says_something(cell, field) and weak_misfit(field, text)

    return is_odd
