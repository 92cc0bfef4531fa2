"""Rejected rows as a file: as they were sent, with the reason, safe to open.

It is CSV in UTF-8 with a byte order mark, by which Excel recognises it. A cell that a spreadsheet
program would run as a formula gets an apostrophe in front, which makes it text and which an import
removes (https://owasp.org/www-community/attacks/CSV_Injection). Readable dates and amounts are
written in an unambiguous form, because the rest of their column isn't in this file.
"""

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from gateway_csv.columns.cells import Unreadable, code_of, money_of, text_of
from gateway_csv.columns.dates import date_of
from gateway_csv.columns.reading import Column
from gateway_csv.mapping import Reading
from gateway_csv.read.rows import Cell, Row
from gateway_csv.schema import RowProblem

MARK: Final = "\ufeff"
ERROR_HEADERS: Final = ("import_row", "import_error")
_FORMULA: Final = re.compile("'*[-+=@\uff1d\uff0b\uff0d\uff20]|'+[0-9]")

Rejection = tuple[Row, Sequence[RowProblem]]


def header_line(reading: Reading) -> str:
    """Return the first line: the file's own header, and two columns more."""
    headers = [harmless(column.header) for column in reading.layout.columns]
    return MARK + _lines([[*headers, *ERROR_HEADERS]])


def rejected_lines(rejections: Iterable[Rejection], reading: Reading) -> str:
    """Return a line for each rejected row."""
    return _lines(
        [
            *(harmless(_shown(row, column, reading)) for column in reading.layout.columns),
            row.number,
            harmless("; ".join(_sentence(each) for each in problems)),
        ]
        for row, problems in rejections
    )


def harmless(text: str) -> str:
    """Keep a spreadsheet program from running a cell; an import undoes it."""
    stripped = text.strip()
    return f"'{stripped}" if _FORMULA.match(stripped) else stripped


def _shown(row: Row, column: Column, reading: Reading) -> str:
    cell: Cell = row.cells[column.place] if column.place < len(row.cells) else None
    plainly: dict[str, Callable[[Cell], object]] = {
        "delivery_date": lambda cell: date_of(cell, reading.date_order),
        "copay_amount": lambda cell: money_of(cell, decimal_comma=reading.decimal_comma),
    }
    try:
        found = plainly.get(column.field or "", _text)(cell)
    except Unreadable:
        return "" if cell is None else str(cell)
    return "" if found is None else str(found)


def _text(cell: Cell) -> str:
    """Return a cell as it was sent; a number without the ``.0`` that no sheet shows."""
    if isinstance(cell, str):
        return cell
    return (code_of(cell) if isinstance(cell, float) else text_of(cell)) or ""


def _sentence(problem: RowProblem) -> str:
    column = f"{problem.column}: " if problem.column else ""
    fix = f" ({problem.fix})" if problem.fix else ""
    return f"{column}{problem.message}{fix}"


def _lines(rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue()
