"""Convert a row into an order, a reason why it needs none, or all of its problems. Pure."""

import re
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from gateway.plugin import Candidate, Order, Problem
from gateway_csv.columns.addresses import full_address
from gateway_csv.columns.cell_judge import CellJudge
from gateway_csv.columns.cell_values import CellValues
from gateway_csv.columns.cells import (
    Unreadable,
    code_of,
    masked,
    metadata_of,
    name_of,
    prescriptions_of,
    text_of,
)
from gateway_csv.columns.dates import Evidence
from gateway_csv.columns.dates import Order as DateOrder
from gateway_csv.columns.exchanges import Exchanges
from gateway_csv.columns.headers import METADATA
from gateway_csv.columns.phones import usable_phone
from gateway_csv.columns.reading import Column
from gateway_csv.columns.shapes import is_whole_address
from gateway_csv.columns.statuses import is_ended, is_said
from gateway_csv.columns.taken_columns import is_judged
from gateway_csv.columns.wording import note_behind_address
from gateway_csv.read.layout import Layout, surplus
from gateway_csv.read.rows import Cell, Row, is_filled
from gateway_csv.row_dedup import key_of
from gateway_csv.schema import RowProblem

SOURCE: Final = "csv"
T = TypeVar("T")

_CODES: Final = ("rx_number", "external_patient_id", "external_order_id")
_TEXTS: Final = ("patient_email", "site")
_BREAKS: Final = re.compile(r"[\r\n\t]+")
EXPECTED: Final[Mapping[str, str]] = {
    "patient_name": "a name",
    "patient_address": "an address",
    "patient_phone": "a telephone number such as +13055551234",
    "patient_email": "an e-mail address",
    "copay_amount": "an amount from 0.00 to 10000.00",
    "priority": "routine, urgent or stat",
    "requires_signature": "yes or no",
    "metadata": "a JSON object of texts",
    "prescriptions": "a JSON list of prescriptions, as an export writes it",
    "delivery_date": "a date such as 2026-04-20",
    "site": "the code of one of your sites",
}
_FIXES: Final[Mapping[str, str]] = {
    "patient_name": "enter the patient's name",
    "patient_address": "enter the address to deliver to",
    "patient_phone": "correct the number, or leave the cell empty",
    "site": "enter a site's code, or leave the cell empty and name the site for the whole file",
}
PARTS: Final[Mapping[str, tuple[str, ...]]] = {
    "patient_name": ("patient_name", "last_first", "last_name", "first_name"),
    "patient_address": ("patient_address",),
}
"""The columns that a field may be made of, the likeliest first."""
_CORRECT: Final = "correct the cell"
_QUOTE: Final = "put quotation marks around a cell that has the delimiter in it"
_MOVED: Final = "several cells don't fit their columns: the row's cells may have moved"
_PUT_BACK: Final = "put every cell under its header, empty ones too"
_NUMBER_PARTS: Final = frozenset({"postal_code", "street_number"})
_LONG_UNIT: Final = re.compile(r"\d{4,}")
_BARE_UNIT: Final = re.compile(r"\w{1,2}|\d{1,5}\w?")
_UNIT_WORD: Final = re.compile(r"(?:apt|apartment|unit|suite|ste)\b", re.IGNORECASE)
_NOTE_HEADERS: Final = re.compile(r"(?:buzzer|entry|gate)( code)?|buzz\b", re.IGNORECASE)
_SEVERAL: Final = 2


class Reading(NamedTuple):
    """The reading of a table's columns, determined before its first row is read.

    ``usual_width`` is how many cells most rows have. ``countries`` are those of sites by code,
    ``country`` is that of a row whose site isn't among them.
    """

    layout: Layout
    judge: CellJudge
    date_order: DateOrder | None
    decimal_comma: bool
    values: CellValues
    site: str | None
    """The site of rows that name none."""
    usual_width: int = 0
    country: str = "US"
    countries: Mapping[str, str] = MappingProxyType({})
    usually_filled: frozenset[int] = frozenset()
    """Columns that are filled in at least half of the rows."""
    has_empty_ends: bool = False
    """Whether rows of a text have empty last cells: then one that ends earlier lacks a cell."""
    broken: frozenset[int] = frozenset()
    """Rows that are parts of one row, broken in two."""
    takes_hidden: bool = False
    """Whether rows that a filter hides are orders like the others."""
    exchanges: Exchanges | None = None
    """The forms of pairs of columns, by which exchanged cells are recognised."""
    has_notes: bool = True
    """Whether notes have a column of their own, or an address may have words of a note."""
    cut_off_row: int = 0
    """The last row of a file that may be cut off in its last cell; 0 for none."""
    dates: Evidence | None = None
    """The evidence of the column of dates for its order."""
    ended: Mapping[int, int] = MappingProxyType({})
    """Rows that need no delivery: their numbers, by the hash of their identity."""


class ReadRow(NamedTuple):
    """A read row: the candidate for intake, and the reader's findings.

    ``rest`` is the readable part of a row with ``errors``: it makes no package, but intake may find
    more problems in it. ``skipped`` says why a row needs no package. A row that ``continues`` has
    an order id and no patient: another line of an order above it.
    """

    row: Row
    candidate: Candidate
    errors: tuple[RowProblem, ...] = ()
    warnings: tuple[RowProblem, ...] = ()
    rest: Order | None = None
    skipped: str = ""
    continues: bool = False
    package_id: str | None = None
    members: tuple[Row, ...] = ()
    """The other rows of the bag that this one is the first of."""


def ended_key(row: Row, reading: Reading) -> int | None:
    """Return the hash of the identity of a row that needs no delivery; ``None`` for others."""
    return _RowReader(row, reading).ended_key()


def _number_of(key: str) -> int:
    # Python's own hash differs from process to process.
    return int.from_bytes(blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest())


def read_row(row: Row, reading: Reading) -> ReadRow:
    """Convert a row into an order, or into all of its problems."""
    return _RowReader(row, reading).read()


class _RowReader:
    """Reads one row, and collects its problems."""

    def __init__(self, row: Row, reading: Reading) -> None:
        self._row = row
        self._reading = reading
        self._values = reading.values
        self._by_field = reading.layout.by_field
        self._errors: list[RowProblem] = []
        self._warnings: list[RowProblem] = []

    def read(self) -> ReadRow:
        row = self._row
        skipped = self._skipped()
        if skipped:
            return ReadRow(row, Candidate(None), skipped=skipped)
        self._check_cells()
        if self._errors:
            return ReadRow(row, Candidate(None), tuple(self._errors))
        order = self._order()
        self._check_city()
        self._check_exchanges()
        if self._odd_cells() + len(self._warnings) > 1:
            self._reject(_MOVED, fix=_PUT_BACK)
        ended = self._ended_row(order)
        if ended is not None and not self._errors:
            self._reject(
                f"by row {ended} the same order needs no delivery any more",
                fix="take one of the two rows out",
            )
        errors, warnings = tuple(self._errors), tuple(self._warnings)
        continues = bool(
            order.external_order_id and not order.patient_name and not order.patient_address
        )
        if errors:
            return ReadRow(row, Candidate(None), errors, warnings, order, continues=continues)
        package_id = self._single("package_id") if self._has("package_id") else None
        return ReadRow(
            row, Candidate(order), errors, warnings, continues=continues, package_id=package_id
        )

    def _ended_row(self, order: Order) -> int | None:
        """Return the row by which the same order needs no delivery any more."""
        ended = self._reading.ended
        return ended.get(_number_of(key_of(order, self._reading.site))) if ended else None

    def ended_key(self) -> int | None:
        return _number_of(key_of(self._order(), self._reading.site)) if self._ended() else None

    def _has(self, field: str) -> bool:
        return field in self._by_field

    def _skipped(self) -> str:
        """Return why the row needs no package: it is hidden, or its delivery is over."""
        if self._row.is_hidden and not self._reading.takes_hidden:
            return "the row is hidden in the spreadsheet (a filter, or hidden by hand)"
        return self._ended()

    def _ended(self) -> str:
        """Return which column says that the delivery is over; empty for none."""
        for column, cell in self._cells("status"):
            if isinstance(cell, str) and is_ended(cell):
                return f"by {column.header} it needs no delivery any more, or is on its way"
        for column, cell in self._cells("ended_at"):
            if cell is not None and is_said(str(cell)):
                return f"{column.header} is filled, so it needs no delivery any more"
        return ""

    def _check_cells(self) -> None:
        """Check whether the cells fit their columns."""
        row, layout = self._row, self._reading.layout
        if row.fault:
            self._reject(row.fault, fix="double the mark, or take it out")
            return
        extra = surplus(layout, row) if len(row.cells) > layout.width else 0
        if extra:
            self._errors.append(
                RowProblem(
                    row=row.number,
                    message=f"the row has {extra} filled cells more than the header has columns",
                    expected=f"{layout.width} cells",
                    fix=_QUOTE,
                )
            )
            return
        if layout.width < len(row.cells) != self._reading.usual_width:
            self._errors.append(
                RowProblem(
                    row=row.number,
                    message="the row has more cells than the header and the other rows",
                    expected=f"{layout.width} cells",
                    fix=_QUOTE,
                )
            )
            return
        missing = range(len(row.cells), layout.width)
        is_short = bool(missing) and self._reading.has_empty_ends
        if (
            is_short
            or row.number in self._reading.broken
            or not self._reading.usually_filled.isdisjoint(missing)
        ):
            self._reject(
                "the row has fewer cells than the other rows: it is broken, or its cells moved",
                fix=_PUT_BACK,
            )
            return
        cells = row.cells
        for column, fault in self._reading.judge.faults(layout.judged):
            cell = cells[column.place] if column.place < len(cells) else None
            if cell is None or cell == "":
                continue
            reason = fault(cell)
            if reason:
                field = column.field or ""
                self._errors.append(
                    RowProblem(
                        row=row.number,
                        column=column.header,
                        field=field,
                        message=f"the cell can't be {field}: {reason}",
                        expected=EXPECTED.get(field),
                        found=masked(cell),
                        fix="correct the cell; where all cells of the row moved, put them back",
                    )
                )

    def _check_exchanges(self) -> None:
        """Reject a row whose cells together show that two of them were exchanged."""
        reading = self._reading
        found = None if reading.exchanges is None else reading.exchanges.found(self._row)
        if found is not None:
            names = " and ".join(reading.layout.columns[each].header for each in found)
            self._reject(f"the cells under {names} look exchanged", fix=_PUT_BACK)
        if reading.cut_off_row == self._row.number:
            self._reject(
                "the file may be cut off here: the last cell is unlike the others",
                fix="export the file again; its last line has no end",
            )
        for column, cell in self._cells("notes"):
            if is_judged(column) and isinstance(cell, str) and is_whole_address(cell.strip()):
                self._reject("the note is an address: cells may be exchanged", fix=_PUT_BACK)
        if reading.has_notes:
            return
        for column, cell in self._cells("patient_address"):
            if is_judged(column) and isinstance(cell, str) and note_behind_address(cell):
                self._reject(
                    "the address has words of a note behind the street",
                    fix=f"put them into a column Notes, or say that they belong there (--column "
                    f'"{column.header}=patient_address")',
                )

    def _check_city(self) -> None:
        """Reject a row without a city where the others have one, and the street contains none."""
        for column, cell in (*self._cells("city"), *self._cells("locality")):
            if is_filled(cell) or column.place not in self._reading.usually_filled:
                continue
            streets = [str(street) for _, street in self._cells("patient_address") if street]
            if streets and not any("," in each for each in streets):
                self._reject("the city is missing, which other rows have", fix=_PUT_BACK)

    def _odd_cells(self) -> int:
        """Count cells that are unusual for their columns without being impossible."""
        odd = 0
        for field, is_odd in self._values.odd.items():
            for _, cell in self._cells(field):
                odd += isinstance(cell, str) and is_odd(cell)
        # "1007" is a unit, or the patient id that this row lacks.
        for _, cell in self._cells("address2"):
            if isinstance(cell, str) and _LONG_UNIT.fullmatch(cell.strip()):
                odd += 1
                break
        return odd + (odd and self._lacks_a_cell())

    def _lacks_a_cell(self) -> bool:
        """Return whether a cell is empty that most rows have."""
        cells = self._row.cells
        return any(
            place >= len(cells) or not is_filled(cells[place])
            for place in self._reading.usually_filled
        )

    def _reject(self, message: str, *, fix: str) -> None:
        self._errors.append(RowProblem(row=self._row.number, message=message, fix=fix))

    def _order(self) -> Order:
        fields, cells = self._by_field, self._values
        values: dict[str, Any] = {each: self._code(each) for each in _CODES if each in fields}
        values.update({each: self._single(each) for each in _TEXTS if each in fields})
        return Order(
            patient_name=self._name() or "",
            patient_address=full_address(self._part) or "",
            patient_phone=self._phone(),
            copay_amount=self._one("copay_amount", cells.money),
            priority=self._one("priority", cells.priority) or "routine",
            requires_signature=self._one("requires_signature", cells.answer) or False,
            delivery_date=self._one("delivery_date", cells.day),
            notes=self._notes(),
            metadata=self._metadata(),
            prescriptions=self._one("prescriptions", prescriptions_of) or (),
            **{**values, "site": values.get("site") or self._reading.site},
        )

    def _cells(self, field: str) -> Sequence[tuple[Column, Cell]]:
        columns = self._by_field.get(field)
        if columns is None:
            return ()
        cells = self._row.cells
        return [(each, cells[each.place]) for each in columns if each.place < len(cells)]

    def _one(self, field: str, read: Callable[[Cell], T | None]) -> T | None:
        columns = self._by_field.get(field)
        if columns is None:
            return None
        cells = self._row.cells
        for column in columns:
            if column.place < len(cells):
                cell = cells[column.place]
                try:
                    return read(cell)
                except Unreadable as error:
                    self._errors.append(_unreadable(self._row, column, cell, error))
        return None

    def _code(self, field: str) -> str | None:
        return _on_one_line(self._one(field, code_of))

    def _single(self, field: str) -> str | None:
        return _on_one_line(self._one(field, text_of))

    def _part(self, field: str) -> str | None:
        """Read a part of the address; a postal code is a number to some programs."""
        if field not in self._by_field:
            return None
        if field == "patient_address":
            return self._one(field, text_of)
        if field != "address2":
            values = self._values
            return self._one(field, values.code if field in _NUMBER_PARTS else values.text)
        text = self._one(field, self._values.code)
        if text is None or not _BARE_UNIT.fullmatch(text):
            return text
        # "5 Elm St, 1204" isn't an address: the header says what 1204 is.
        word = _UNIT_WORD.match(self._reading.layout.by_field[field][0].header)
        return text if word is None else f"{word[0].capitalize()} {text}"

    def _name(self) -> str | None:
        if self._has("patient_name"):
            return self._name_part("patient_name")
        if self._has("last_first"):
            last, comma, first = (self._name_part("last_first") or "").partition(",")
            if not comma:
                return last.strip()
            return " ".join(each for each in (first.strip(), last.strip()) if each)
        parts = {each: self._name_part(each) for each in ("first_name", "middle_name", "last_name")}
        for needed, other in (("first_name", "last_name"), ("last_name", "first_name")):
            if parts[other] and not parts[needed] and self._has(needed):
                self._errors.append(
                    RowProblem(
                        row=self._row.number,
                        column=self._reading.layout.by_field[needed][0].header,
                        field=needed,
                        message=f"{needed} is empty, and a part of a name is not the whole",
                        expected="a name",
                        fix="enter the other part of the name too",
                    )
                )
        return " ".join(each for each in parts.values() if each)

    def _name_part(self, field: str) -> str | None:
        return _on_one_line(self._one(field, name_of))

    def _phone(self) -> str | None:
        """Return the first number; text that isn't one is left out, as everywhere."""
        country = self._country()
        for column, cell in self._cells("patient_phone"):
            try:
                phone = _on_one_line(code_of(cell))
            except Unreadable as error:
                self._leave_out(column, cell, error)
                continue
            if phone is None:
                continue
            if usable_phone(phone, country):
                return phone
            self._leave_out(
                column, cell, Unreadable(EXPECTED["patient_phone"], _FIXES["patient_phone"])
            )
        return None

    def _leave_out(self, column: Column, cell: Cell, error: Unreadable) -> None:
        problem = _unreadable(self._row, column, cell, error)
        self._warnings.append(
            msgspec.structs.replace(problem, message="the telephone number was left out")
        )

    def _country(self) -> str:
        reading = self._reading
        if len(reading.countries) < _SEVERAL or "site" not in reading.layout.by_field:
            return reading.country
        for _, cell in self._cells("site"):
            if isinstance(cell, str) and cell.strip() in reading.countries:
                return reading.countries[cell.strip()]
        return reading.country

    def _notes(self) -> str | None:
        notes: list[str] = []
        said: set[str] = set()
        for column, cell in self._cells("notes"):
            try:
                text = text_of(cell)
            except Unreadable as error:
                self._errors.append(_unreadable(self._row, column, cell, error))
                continue
            if text and text not in said:
                said.add(text)
                name = _NOTE_HEADERS.match(column.header)
                notes.append(f"{name[0]}: {text}" if name else text)
        return "; ".join(notes) or None

    def _metadata(self) -> dict[str, str]:
        names = self._reading.layout.metadata
        if not names and "metadata" not in self._by_field:
            return {}
        found = ((name.removeprefix(METADATA), self._single(name)) for name in names)
        return {
            **(self._one("metadata", metadata_of) or {}),
            **{name: text for name, text in found if text},
        }


def row_problem(row: Row, layout: Layout, problem: Problem) -> RowProblem:
    """Return the cell of intake's problem, and the remedy."""
    field = problem.field
    names = PARTS.get(field or "", (field or "",))
    columns = [column for name in names for column in layout.by_field.get(name, ())]
    column = next(iter(columns), None)
    cell = None
    if column is not None and column.place < len(row.cells):
        cell = row.cells[column.place]
    return RowProblem(
        row=row.number,
        column=None if column is None else column.header,
        field=field,
        message=problem.message,
        expected=EXPECTED.get(field or ""),
        found=masked(cell),
        fix=_FIXES.get(field or "", _CORRECT if column is not None else None),
    )


def _unreadable(row: Row, column: Column, cell: Cell, error: Unreadable) -> RowProblem:
    return RowProblem(
        row=row.number,
        column=column.header,
        field=column.field,
        message=f"{column.field} can't be read",
        expected=error.expected,
        found=masked(cell),
        fix=error.fix,
    )


def _on_one_line(text: str | None) -> str | None:
    if text is None or text.isprintable() or not _BREAKS.search(text):
        return text
    return " ".join(filter(None, map(str.strip, _BREAKS.split(text))))
