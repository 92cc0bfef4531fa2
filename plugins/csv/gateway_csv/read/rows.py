"""A row of a table from any kind of file, and the limits for all of them."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from typing import Final, NamedTuple

from gateway.plugin import InvalidInput, Problem, TooLarge
from gateway_csv.read.threads import Pace
from gateway_csv.settings import CsvSettings

Cell = str | int | float | bool | date | datetime | None
"""The value of a cell: text from text files, typed values from spreadsheets."""

_A: Final = ord("A")
_LETTERS: Final = 26


NO_VALUE: Final = "#FORMULA!"
"""Stands in the cell of a formula that was saved without its value."""


class Row(NamedTuple):
    """``number`` is the one that a spreadsheet program shows beside the row, from 1.

    ``fault`` says why the row's cells can't be separated; such a row has none.
    """

    number: int
    cells: Sequence[Cell]
    is_hidden: bool = False
    fault: str = ""

    @property
    def is_blank(self) -> bool:
        """Whether every cell is empty."""
        for each in self.cells:
            if each is not None and (not isinstance(each, str) or each.strip()):
                return False
        return not self.fault


def is_filled(cell: Cell) -> bool:
    """Return whether a cell has a value."""
    return bool(cell.strip()) if isinstance(cell, str) else cell is not None


def column_letters(index: int) -> str:
    """Return what a spreadsheet program calls a column, counted from 0: ``A`` … ``Z``, ``AA``."""
    letters = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, _LETTERS)
        letters = chr(_A + rest) + letters
    return letters


def within_limits(rows: Iterable[Row], settings: CsvSettings, pace: Pace) -> Iterator[Row]:
    """Yield rows; raises ``TooLarge`` or ``InvalidInput`` for a table past the limits."""
    longest = settings.max_cell_characters
    filled = 0
    for row in rows:
        pace.beat()
        if row.number > settings.max_lines:
            raise TooLarge(
                f"The file has more than {settings.max_lines} lines, blank ones included: take "
                "the blank ones out, or split it, and import the parts."
            )
        if len(row.cells) > settings.max_columns and any(
            map(is_filled, row.cells[settings.max_columns :])
        ):
            raise InvalidInput(
                f"Row {row.number} has more than {settings.max_columns} columns: "
                "delete those that aren't needed, and import it again."
            )
        for index, each in enumerate(row.cells):
            if isinstance(each, str) and len(each) > longest:
                raise _too_long(row.number, index, longest)
        filled += not row.is_blank
        if filled > settings.max_rows + 1:  # and the header
            raise TooLarge(
                f"The file has more than {settings.max_rows} rows: split it, and import the parts."
            )
        # A million blank cells after the last one don't count.
        yield row if len(row.cells) <= settings.max_columns else _cut(row, settings.max_columns)


def _cut(row: Row, columns: int) -> Row:
    return row._replace(cells=row.cells[:columns])


def _too_long(number: int, index: int, longest: int) -> InvalidInput:
    place = f"row {number}, column {column_letters(index)}"
    problem = Problem(f"{place}: a closing quotation mark may be missing before this place")
    return InvalidInput(f"A cell has more than {longest} characters ({place}).", [problem])
