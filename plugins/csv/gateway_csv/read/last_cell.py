"""The last cell of a text file without a line end: it may be cut off, as a broken copy is.

Many programs write no end after the last line, so its absence alone means nothing. The cell is
compared with the cells above it; if those can't show whether it is complete, the report says so.
"""

from typing import Final

from gateway_csv.columns.reading import HALF, NAMES, share
from gateway_csv.columns.shapes import ends_with_postal_code, names_street
from gateway_csv.read.layout import Layout
from gateway_csv.read.rows import Row
from gateway_csv.report import Report

_MOST_KEPT: Final = 1000
_FIXED_FORMS: Final = frozenset(
    {"patient_email", "patient_phone", "rx_number", "external_patient_id", "external_order_id"}
    | {"copay_amount", "delivery_date", "postal_code", "state", "locality", "priority"}
)
"""Fields whose cells look alike in all rows."""
_PARTS_OF_UNITS: Final = frozenset(
    word[:length] for word in ("apt", "unit", "suite", "ste") for length in range(1, 6)
)
_OF_WORDS: Final = NAMES | {"patient_address", "address2", "city"}
"""Fields that may lack a word."""


class LastCell:
    """Checks the last row's last cell against the rows above it, if the file lacks a line end."""

    def __init__(self, layout: Layout, *, lacks_end: bool, is_quoted: bool = False) -> None:
        self._lacks_end = lacks_end
        self._is_quoted = is_quoted  # a cell that ends with its quotation mark is complete
        self._field = layout.columns[-1].field or ""
        self._place, self._width = layout.width - 1, layout.width
        self._widths: set[int] = set()
        self._forms: set[str] = set()
        self._shortest = 0
        self._texts: list[str] = []
        self._last: Row | None = None

    def add(self, row: Row) -> None:
        """Count the previous row among the others, and keep this one as the last."""
        if not self._lacks_end:
            return
        if self._last is not None:
            self._widths.add(len(self._last.cells))
            text = self._text(self._last)
            if text and len(self._texts) < _MOST_KEPT:
                self._texts.append(text)
                self._forms.add(self._form(text))
                self._shortest = min(self._shortest or len(text), len(text))
        self._last = row

    def cut_off(self) -> int:
        """Return the number of the last row where it is shorter than the others, else 0."""
        if self._last is None:
            return 0
        self._widths |= set() if self._widths else {self._width}
        if len(self._last.cells) < min(self._widths):
            return self._last.number
        text = self._text(self._last)
        if self._field == "address2" and text.casefold() in _PARTS_OF_UNITS:
            return self._last.number
        if not text or not self._texts or self._is_quoted:
            return 0
        if self._field in _FIXED_FORMS:
            is_mail = self._field == "patient_email"
            is_short = is_mail or len(text) <= self._shortest
            return self._last.number if is_short and self._form(text) not in self._forms else 0
        is_part = self._field in _OF_WORDS and self._is_part(text)
        return self._last.number if is_part else 0

    def report(self, report: Report) -> None:
        """Warn of a last word that no cell above ends with: it may be a part of one."""
        is_seen = self._is_quoted or self._field not in _OF_WORDS
        if self._last is None or not self._texts or is_seen:
            return
        text = self._text(self._last)
        is_seen = any(_last_word(each) == _last_word(text) for each in self._texts)
        if text and not is_seen and not ends_with_postal_code(text):
            report.warn(
                "the file's last line has no end: see whether the last cell is whole", self._last
            )

    def _is_part(self, text: str) -> bool:
        """Return whether a text lacks the end that the others have, or a part of its last word."""
        word = _last_word(text)
        words = set(map(_last_word, self._texts))
        if word in words:
            return False
        if any(each.startswith(word) for each in words):
            return True
        if self._field == "address2" and any(
            each.casefold().startswith(text.casefold()) for each in self._texts
        ):
            return True  # the others begin with a word that this one has a part of: Apt 25, A
        if self._field != "patient_address":
            return False
        ends = (names_street, ends_with_postal_code)
        return any(not has(text) and share(self._texts, has) > HALF for has in ends)

    def _text(self, row: Row) -> str:
        cell = row.cells[self._place] if self._place < len(row.cells) else None
        return "" if cell is None else str(cell).strip()

    def _form(self, text: str) -> str:
        text = text.rpartition(".")[2] if self._field == "patient_email" else text
        return "".join("9" if each.isdigit() else "x" if each.isalpha() else each for each in text)


def _last_word(text: str) -> str:
    return text.casefold().rpartition(" ")[2]
