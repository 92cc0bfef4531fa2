"""Dates, read by their column: ``03/04/2026`` is ambiguous alone, its column decides."""

import re
from datetime import date, datetime, timedelta
from typing import Final, Literal, NamedTuple

from gateway_csv.columns.cells import Unreadable, text_of
from gateway_csv.read.rows import Cell
from gateway_csv.settings import DayOrder

Order = Literal["day-first", "month-first"]

_ISO: Final = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})")
_COMPACT: Final = re.compile(r"(20\d{2})(\d{2})(\d{2})")
_NUMERIC: Final = re.compile(r"(\d{1,2})([-/. ])(\d{1,2})\2(\d{4}|\d{2})")
_WORDED: Final = re.compile(
    r"(?:(?P<day>\d{1,2})(?:st|nd|rd|th)?[ -]+)?(?P<month>[a-z]{3,9})\.?,?[ -]+"
    r"(?:(?P<day2>\d{1,2})(?:st|nd|rd|th)?,?[ -]+)?(?P<year>\d{4}|\d{2})",
    re.IGNORECASE,
)
_WEEKDAY: Final = re.compile(r"^(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*[.,]*\s+", re.IGNORECASE)
_CLOCK: Final = re.compile(
    r"[ T]+\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?\s*(?:[ap]\.?m\.?)?(?:Z|[+-]\d{2}:?\d{2})?$",
    re.IGNORECASE,
)
_MONTH_NAMES: Final = "jan feb mar apr may jun jul aug sep oct nov dec"
_MONTHS: Final = tuple(_MONTH_NAMES.split(" "))
_SERIAL: Final = re.compile(r"(\d{5})(?:\.\d+)?")
# Day 0 of Excel's calendar, which includes a leap day in 1900 that didn't exist.
_SERIAL_START: Final = date(1899, 12, 30)
_FIRST_YEAR, _LAST_YEAR = 2000, 2100
_TWELVE: Final = 12
_YEAR_DIGITS: Final = 4
_LONGEST: Final = 60
_MOST: Final = 0.5
_MANY: Final = 0.2
_NEAR: Final = timedelta(days=27)
_MONTH_FIRST_COUNTRIES: Final = frozenset({"US"})
_UNDECIDED_COUNTRIES: Final = frozenset({"CA"})
"""Canada writes its dates both ways."""


class Evidence(NamedTuple):
    """The dates of a column: how many can be read in one way only, and how many both ways."""

    day_first: int = 0
    month_first: int = 0
    either: int = 0
    earliest: date | None = None
    latest: date | None = None
    """Among the dates that can be read in one way only."""

    def and_of(self, cell: Cell) -> "Evidence":
        """Add one more cell."""
        if (
            not isinstance(cell, str)
            or cell[:_YEAR_DIGITS].isdigit()  # the date begins with its year
            or len(cell) > _LONGEST
            or not (found := _NUMERIC.fullmatch(_day_part(cell)))
        ):
            return self
        first, second = int(found[1]), int(found[3])
        if first > _TWELVE >= second:
            return self._sure(found, "day-first")._replace(day_first=self.day_first + 1)
        if second > _TWELVE >= first:
            return self._sure(found, "month-first")._replace(month_first=self.month_first + 1)
        return self._replace(either=self.either + (first != second))

    def _sure(self, found: re.Match[str], order: Order) -> "Evidence":
        try:
            day = _numeric(found, order)
        except Unreadable:
            return self
        earliest, latest = self.earliest or day, self.latest or day
        return self._replace(earliest=min(earliest, day), latest=max(latest, day))

    def is_strange(self, cell: Cell, order: Order | None) -> bool:
        """Return whether a date is far from the unambiguous ones, but near in the other order."""
        if self.earliest is None or self.latest is None or not isinstance(cell, str):
            return False
        found = _NUMERIC.fullmatch(_day_part(cell))
        if found is None or order is None or int(found[1]) == int(found[3]):
            return False
        try:
            said = _numeric(found, order)
            turned = _numeric(found, "day-first" if order == "month-first" else "month-first")
        except Unreadable:
            return False
        start, end = self.earliest - _NEAR, self.latest + _NEAR
        return start <= turned <= end and not start <= said <= end

    def order(self, wanted: DayOrder, country: str) -> Order | None:
        """Return the order; ``None`` when the column leaves it open or contradicts itself.

        A single date against the country's habit, among many ambiguous ones, counts as a typing
        error: it doesn't decide for the others.
        """
        if wanted != "auto":
            return wanted
        habit = _habit(country)
        if self.day_first and self.month_first:
            return None
        sure = self.day_first or self.month_first
        if not sure:
            return habit
        found: Order = "day-first" if self.day_first else "month-first"
        share = sure / (sure + self.either)
        if found == habit or share >= _MOST or (sure > 1 and share >= _MANY):
            return found
        return habit if sure == 1 else None

    def is_undecided(self, wanted: DayOrder, country: str) -> bool:
        """Return whether the column's own dates leave the order open, or contradict each other."""
        return bool(self.day_first or self.month_first) and self.order(wanted, country) is None

    def is_against_habit(self, wanted: DayOrder, country: str) -> bool:
        """Return whether the column's order differs from the country's."""
        order = self.order(wanted, country)
        return wanted == "auto" and order is not None and _habit(country) not in {None, order}

    def was_assumed(self, wanted: DayOrder) -> bool:
        """Whether the country decided the order."""
        return wanted == "auto" and bool(self.either) and not (self.day_first or self.month_first)


def _habit(country: str) -> Order | None:
    if country in _UNDECIDED_COUNTRIES:
        return None
    return "month-first" if country in _MONTH_FIRST_COUNTRIES else "day-first"


def could_be_date(text: str) -> bool:
    """Return whether a text is a date in one order or the other."""
    if not any(map(str.isdigit, text)):
        return False
    for order in ("day-first", "month-first"):
        try:
            return date_of(text, order) is not None
        except Unreadable:
            continue
    return False


def date_of(cell: Cell, order: Order | None) -> date | None:
    """Read a date as its column is read; raises ``Unreadable``."""
    if isinstance(cell, datetime):
        return _plausible(cell.date())
    if isinstance(cell, date):
        return _plausible(cell)
    text = text_of(cell)
    if text is None:
        return None
    found = _ISO.fullmatch(text)  # most dates have this form, and no other text
    if found:
        return _made(int(found[1]), int(found[2]), int(found[3]))
    return _written(_day_part(text), order)


def _written(day: str, order: Order | None) -> date:
    if len(day) > _LONGEST:
        raise _no_date()
    serial = _SERIAL.fullmatch(day)
    if serial:
        return _plausible(_SERIAL_START + timedelta(days=int(serial[1])))
    if found := _ISO.fullmatch(day) or _COMPACT.fullmatch(day):
        return _made(int(found[1]), int(found[2]), int(found[3]))
    if found := _NUMERIC.fullmatch(day):
        return _numeric(found, order)
    if found := _WORDED.fullmatch(day):
        return _worded(found)
    raise _no_date()


def _day_part(text: str) -> str:
    if len(text) > _LONGEST:  # not a date, and the patterns below are slow
        return text
    return _CLOCK.sub("", _WEEKDAY.sub("", text.strip())).strip()


def _numeric(found: re.Match[str], order: Order | None) -> date:
    first, second, year = int(found[1]), int(found[3]), _year(found[4])
    if order is None and first != second:
        raise Unreadable(
            "a date that can be read in one way only",
            "write dates as 2026-04-20, or say whether the day or the month comes first "
            "(--dates, ?dates=)",
        )
    return _made(year, first, second) if order == "month-first" else _made(year, second, first)


def _worded(found: re.Match[str]) -> date:
    month = found["month"].lower()
    day = found["day"] or found["day2"]
    if day is None or month[:3] not in _MONTHS or (found["day"] and found["day2"]):
        raise _no_date()
    return _made(_year(found["year"]), _MONTHS.index(month[:3]) + 1, int(day))


def _year(digits: str) -> int:
    return int(digits) + 2000 if len(digits) == 2 else int(digits)  # noqa: PLR2004


def _made(year: int, month: int, day: int) -> date:
    try:
        return _plausible(date(year, month, day))
    except ValueError:
        raise _no_date() from None


def _plausible(found: date) -> date:
    if not _FIRST_YEAR <= found.year <= _LAST_YEAR:
        raise _no_date()
    return found


def _no_date() -> Unreadable:
    return Unreadable("a date such as 2026-04-20", "correct the date, or leave the cell empty")
