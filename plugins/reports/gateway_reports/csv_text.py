"""Reports as CSV: UTF-8 with a mark, which Excel takes for it; no cell runs as a formula.

(https://owasp.org/www-community/attacks/CSV_Injection)
"""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import Final

MARK: Final = "\ufeff"
_FORMULA: Final = re.compile("['\"]*[-+=@\t\r\uff1d\uff0b\uff0d\uff20]")


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a whole file."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(columns)
    writer.writerows([_cell(each) for each in row] for row in rows)
    return MARK + out.getvalue()


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    return f"'{text}" if _FORMULA.match(text.lstrip()) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-?\d+(\.\d+)?", text) is not None
