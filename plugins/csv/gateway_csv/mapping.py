"""From a row to an order, or to everything that is wrong with it. Pure."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from gateway.plugin import Candidate, Order, Problem
from gateway_csv.columns.addresses import full_address
from gateway_csv.columns.cells import (
    Unreadable,
    code_of,
    masked,
    metadata_of,
    money_of,
    priority_of,
    text_of,
    yes_or_no,
)
from gateway_csv.columns.dates import Order as DateOrder
from gateway_csv.columns.dates import date_of
from gateway_csv.columns.headers import METADATA, Column
from gateway_csv.read.layout import Layout, surplus
from gateway_csv.read.rows import Cell, Row
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
    "patient_address": ("patient_address", "city", "postal_code"),
}
"""The columns that a field may be made of, the likeliest first."""
_CORRECT: Final = "correct the cell"


class Reading(NamedTuple):
    """How a table's columns are read, settled before its first row is."""

    layout: Layout
    date_order: DateOrder | None
    decimal_comma: bool
    site: str | None
    """The site of rows that name none."""


class ReadRow(NamedTuple):
    """A row that was read: the candidate for intake, and what the file's reader has to say.

    ``rest`` is what could be read of a row with ``errors``: nothing is made of it, but intake
    may find more that is wrong with it.
    """

    row: Row
    candidate: Candidate
    errors: tuple[RowProblem, ...] = ()
    warnings: tuple[RowProblem, ...] = ()
    rest: Order | None = None


def read_row(row: Row, reading: Reading) -> ReadRow:
    """Turn a row into an order, or into every reason why it isn't one."""
    return _RowReader(row, reading).read()


class _RowReader:
    """Reads one row, and notes what is wrong on the way."""

    def __init__(self, row: Row, reading: Reading) -> None:
        self._row = row
        self._reading = reading
        self._errors: list[RowProblem] = []
        self._warnings: list[RowProblem] = []

    def read(self) -> ReadRow:
        row = self._row
        extra = surplus(self._reading.layout, row)
        if extra:
            width = self._reading.layout.width
            self._errors.append(
                RowProblem(
                    row=row.number,
                    message=f"the row has {extra} filled cells more than the header has columns",
                    expected=f"{width} cells",
                    fix="put quotation marks around a cell that has the delimiter in it",
                )
            )
            return ReadRow(row, Candidate(None), tuple(self._errors))
        order = self._order()
        errors, warnings = tuple(self._errors), tuple(self._warnings)
        if errors:
            return ReadRow(row, Candidate(None), errors, warnings, order)
        return ReadRow(row, Candidate(order), errors, warnings)

    def _order(self) -> Order:
        values: dict[str, Any] = {field: self._code(field) for field in _CODES}
        values.update({field: self._single(field) for field in _TEXTS})
        return Order(
            patient_name=self._name() or "",
            patient_address=full_address(self._part) or "",
            patient_phone=self._phone(),
            copay_amount=self._one("copay_amount", self._money),
            priority=self._one("priority", priority_of) or "routine",
            requires_signature=self._one("requires_signature", yes_or_no) or False,
            delivery_date=self._one("delivery_date", self._date),
            notes=self._notes(),
            metadata=self._metadata(),
            **{**values, "site": values["site"] or self._reading.site},
        )

    def _cells(self, field: str) -> Iterable[tuple[Column, Cell]]:
        cells = self._row.cells
        for column in self._reading.layout.by_field.get(field, ()):
            if column.place < len(cells):
                yield column, cells[column.place]

    def _one(self, field: str, read: Callable[[Cell], T | None]) -> T | None:
        for column, cell in self._cells(field):
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
        return self._one(field, code_of if field == "postal_code" else text_of)

    def _money(self, cell: Cell) -> Any:
        return money_of(cell, decimal_comma=self._reading.decimal_comma)

    def _date(self, cell: Cell) -> Any:
        return date_of(cell, self._reading.date_order)

    def _name(self) -> str | None:
        whole = self._name_part("patient_name")
        if whole:
            return whole
        last, comma, first = (self._name_part("last_first") or "").partition(",")
        if comma:
            return " ".join(each for each in (first.strip(), last.strip()) if each)
        parts = (self._name_part(each) for each in ("first_name", "middle_name", "last_name"))
        return last.strip() or " ".join(each for each in parts if each)

    def _name_part(self, field: str) -> str | None:
        return _on_one_line(self._one(field, lambda cell: text_of(cell, is_name=True)))

    def _phone(self) -> str | None:
        """Return the first number there is; what isn't one is left out, as everywhere."""
        for column, cell in self._cells("patient_phone"):
            try:
                phone = _on_one_line(code_of(cell))
            except Unreadable as error:
                problem = _unreadable(self._row, column, cell, error)
                self._warnings.append(
                    msgspec.structs.replace(problem, message="the telephone number was left out")
                )
                continue
            if phone is not None:
                return phone
        return None

    def _notes(self) -> str | None:
        notes = [text for _, cell in self._cells("notes") if (text := text_of(cell))]
        return "; ".join(notes) or None

    def _metadata(self) -> dict[str, str]:
        names = (each for each in self._reading.layout.by_field if each.startswith(METADATA))
        found = ((name.removeprefix(METADATA), self._single(name)) for name in names)
        return {
            **(self._one("metadata", metadata_of) or {}),
            **{name: text for name, text in found if text},
        }


def row_problem(row: Row, layout: Layout, problem: Problem) -> RowProblem:
    """Say of a problem that intake found which cell it is about, and what to do."""
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
    if text is None or not _BREAKS.search(text):
        return text
    return " ".join(filter(None, map(str.strip, _BREAKS.split(text))))
