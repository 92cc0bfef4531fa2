"""CSV files for spreadsheet programs, with no cell that runs as a formula. Pure.

(https://owasp.org/www-community/attacks/CSV_Injection)
"""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import Final

# Also after spaces and quotes, and in the full-width forms that some programs accept.
_FORMULA: Final = re.compile("[\\s'\"]*[-+=@\uff1d\uff0b\uff0d\uff20]|[\t\r]")
_NUMBER: Final = re.compile(r"[-+]?\d+(\.\d+)?", re.ASCII)


def harmless(value: object) -> str:
    """Return a cell's text; ``""`` for ``None``.

    An apostrophe goes before what a spreadsheet program would run; a plain number, such as money
    or a telephone number, stays.
    """
    text = "" if value is None else str(value)
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def csv_text(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, line_end: str = "\r\n"
) -> str:
    """Return the text of a file: a line of headers, then the rows."""
    return csv_lines([columns], line_end=line_end) + csv_lines(rows, line_end=line_end)


def csv_lines(rows: Iterable[Sequence[object]], *, line_end: str = "\r\n") -> str:
    """Return the lines of some rows; each cell is harmless."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator=line_end)
    writer.writerows([harmless(each) for each in row] for row in rows)
    return out.getvalue()
