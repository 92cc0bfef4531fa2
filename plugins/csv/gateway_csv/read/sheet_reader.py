"""Reads the rows of a spreadsheet; runs in the sandbox (``gateway.sandbox.reader``).

It yields ``[number, cells]`` for each row that isn't blank, with dates as ``{"date": …}``, and
before them ``{"more": n}``: how many sheets come after the one that is read.
"""

import datetime as dt
import io
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import python_calamine


def read(content: bytes, refuse: Callable[[str], NoReturn], most_cells: str) -> Iterator[Any]:
    """Yield the rows of the first visible sheet that has any.

    ``most_cells`` bounds the rectangle from a sheet's first cell to its last. Refuses with
    ``far`` beyond that, with ``damaged`` what can't be opened.
    """
    try:
        book = python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(content))
        sheet, more = _sheet(book)
        yield {"more": more}
        if _cells(sheet) > int(most_cells):
            refuse("far")
        indent = [None] * (sheet.start[1] if sheet is not None and sheet.start else 0)
        for number, cells in enumerate(sheet.iter_rows() if sheet is not None else (), 1):
            # One cell far down has a million blank rows above it.
            if any(each != "" for each in cells):
                yield [number, indent + [_plain(each) for each in cells]]
    except (python_calamine.CalamineError, ValueError, OverflowError):
        refuse("damaged")


def _plain(cell: Any) -> Any:
    if isinstance(cell, dt.datetime | dt.date):
        return {"date": cell.isoformat()}
    if isinstance(cell, dt.time | dt.timedelta):
        return str(cell)
    return None if cell == "" else cell


def _sheet(
    book: python_calamine.CalamineWorkbook,
) -> tuple[python_calamine.CalamineSheet | None, int]:
    """Return the first visible sheet that has anything on it, and how many come after it."""
    visible = [
        index
        for index, each in enumerate(book.sheets_metadata)
        if each.visible == python_calamine.SheetVisibleEnum.Visible
        and each.typ == python_calamine.SheetTypeEnum.WorkSheet
    ]
    sheets = (book.get_sheet_by_index(index) for index in visible)
    filled = next(((place, each) for place, each in enumerate(sheets) if each.height), None)
    return (None, 0) if filled is None else (filled[1], len(visible) - filled[0] - 1)


def _cells(sheet: python_calamine.CalamineSheet | None) -> int:
    """Count the cells from the first one to the last."""
    if sheet is None or sheet.end is None:
        return 0
    row, column = sheet.end
    return (row + 1) * (column + 1)
