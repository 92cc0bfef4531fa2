"""Reads a spreadsheet in a process of its own: a damaged or hostile one can only end that.

Run as a script, with the spreadsheet on stdin and the most cells that a sheet may have, blank
ones included, as its argument. It writes JSON, a line for each row that isn't blank:
``[number, cells]`` with dates as ``{"date": …}``; at the end, or where it can't go on, a
line ``{"end": …}``. It imports nothing of the gateway, so that it starts quickly.
"""

import contextlib
import datetime as dt
import io
import sys
from typing import Any, Final

import msgspec
import python_calamine

MEMORY_BYTES: Final = 1_500_000_000


def _confine() -> None:
    """Bound what this process may take, where the system can (not on Windows)."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        most = MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(MEMORY_BYTES, hard)
        resource.setrlimit(resource.RLIMIT_AS, (most, hard))


def _plain(cell: Any) -> Any:
    if isinstance(cell, dt.datetime | dt.date):
        return {"date": cell.isoformat()}
    if isinstance(cell, dt.time | dt.timedelta):
        return str(cell)
    return None if cell == "" else cell


def _sheet(
    book: python_calamine.CalamineWorkbook,
) -> tuple[python_calamine.CalamineSheet | None, int]:
    """Return the first sheet that anybody sees and that has something on it; how many more."""
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


def main(most_cells: int) -> None:
    """Do it."""
    _confine()
    out = sys.stdout.buffer
    encoder = msgspec.json.Encoder()
    more = 0
    try:
        book = python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(sys.stdin.buffer.read()))
        sheet, more = _sheet(book)
        end = "read"
        if _cells(sheet) > most_cells:
            sheet, end = None, "far"
        indent = [None] * (sheet.start[1] if sheet is not None and sheet.start else 0)
        for number, cells in enumerate(sheet.iter_rows() if sheet is not None else (), 1):
            # One cell far down has a million blank rows above it.
            if any(each != "" for each in cells):
                row = [number, indent + [_plain(each) for each in cells]]
                out.write(encoder.encode(row) + b"\n")
    except MemoryError:
        end = "memory"
    except (python_calamine.CalamineError, ValueError, OverflowError):
        end = "damaged"
    out.write(encoder.encode({"end": end, "more": more}) + b"\n")


if __name__ == "__main__":
    main(int(sys.argv[1]))
