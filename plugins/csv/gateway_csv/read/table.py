"""A file as a table: opened, understood, and looked through before anything is imported.

The file is read twice. The first reading finds the header, judges the columns that can't be
judged by one cell, and meets everything that could stop the second one: so a file that
can't be read to its end imports nothing at all.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

from gateway.plugin import TooLarge
from gateway_csv.columns.cells import uses_decimal_comma
from gateway_csv.columns.dates import Evidence
from gateway_csv.columns.headers import known_headers
from gateway_csv.mapping import Reading
from gateway_csv.read.archive import check_archive
from gateway_csv.read.file_type import Kind, kind_of
from gateway_csv.read.layout import Layout, cell_at, find_layout, is_header_again, is_total
from gateway_csv.read.rows import Row, within_limits
from gateway_csv.read.sheets import sheet_rows
from gateway_csv.read.text import DELIMITERS, TextForm, form_of, text_rows
from gateway_csv.report import Report
from gateway_csv.settings import CsvSettings, DayOrder


@dataclass(frozen=True, slots=True)
class Wishes:
    """What whoever sends a file says of it. ``country`` is that of its site.

    ``told`` and ``remembered`` are fields by normal header.
    """

    site: str | None = None
    country: str = "US"
    dates: DayOrder = "auto"
    told: Mapping[str, str] = field(default_factory=dict)
    remembered: Mapping[str, str] = field(default_factory=dict)


class Table:
    """A file that can be read from its start as often as wanted."""

    def __init__(self, file: BinaryIO, settings: CsvSettings, wishes: Wishes) -> None:
        self._file = file
        self._settings = settings
        self._wishes = wishes
        self._form: TextForm | None = None
        self._other_sheets = 0

    def understand(self, report: Report) -> tuple[Reading, int]:
        """Read the file to its end; returns how to read it, and how many rows are orders.

        What was assumed goes into ``report``. Raises ``InvalidInput`` or ``TooLarge``.
        """
        self._open()
        wishes = self._wishes
        layout, below = find_layout(self._rows(), wishes.told, wishes.remembered)
        dates, decimal_comma, count = Evidence(), False, 0
        date_columns = layout.by_field.get("delivery_date", ())
        money_columns = layout.by_field.get("copay_amount", ())
        for row in below:
            if row.is_blank or is_header_again(layout, row):
                continue
            if is_total(layout, row):
                report.warn("the row looks like a total, not like an order; it was left out", row)
                continue
            count += 1
            for column in date_columns:
                dates = dates.and_of(cell_at(row, column))
            if not decimal_comma:
                decimal_comma = uses_decimal_comma(cell_at(row, each) for each in money_columns)
        self._tell_assumptions(report, layout, dates)
        order = dates.order(wishes.dates, wishes.country)
        return Reading(layout, order, decimal_comma, wishes.site), count

    def orders(self, layout: Layout) -> Iterator[Row]:
        """Yield the rows that are orders."""
        for row in self._rows():
            if (
                row.number > layout.header.number
                and not row.is_blank
                and not is_header_again(layout, row)
                and not is_total(layout, row)
            ):
                yield row

    def _open(self) -> None:
        size = self._file.seek(0, os.SEEK_END)
        if size > self._settings.max_file_bytes:
            most = self._settings.max_file_bytes / 1_000_000
            raise TooLarge(f"The file has more than {most:g} MB: split it, and import the parts.")
        kind = kind_of(self._file)
        if kind is Kind.ZIPPED:
            check_archive(self._file, self._settings.max_unpacked_bytes)
        elif kind is Kind.TEXT:
            told = {**self._wishes.remembered, **self._wishes.told}
            self._form = form_of(self._file, lambda cells: known_headers(cells, told))

    def _rows(self) -> Iterator[Row]:
        if self._form is not None:
            rows = text_rows(self._file, self._form)
        else:
            rows = sheet_rows(self._file, self._note_other_sheets)
        return within_limits(rows, self._settings)

    def _note_other_sheets(self, count: int) -> None:
        self._other_sheets = count

    def _tell_assumptions(self, report: Report, layout: Layout, dates: Evidence) -> None:
        if self._form is not None and not self._form.encoding.startswith("utf"):
            report.assume(
                f"the text was read as {self._form.encoding}: look whether accents are right, or "
                "save the file as CSV UTF-8"
            )
        if self._form is not None and self._form.delimiter != ",":
            report.assume(f"columns are parted by {DELIMITERS.get(self._form.delimiter, 'others')}")
        if self._other_sheets:
            report.assume("only the first sheet that has anything on it was read")
        for column in layout.columns:
            if column.how == "remembered" and column.field is None:
                report.assume("the column was ignored, as was told before", column.header)
            elif column.how in {"synonym", "remembered"}:
                report.assume(f"the column was read as {column.field}", column.header)
            elif column.looks_like is not None:
                report.assume(
                    f"the column was ignored; if it is {column.looks_like}, rename it or map it",
                    column.header,
                )
        self._tell_dates(report, dates)

    def _tell_dates(self, report: Report, dates: Evidence) -> None:
        order = dates.order(self._wishes.dates, self._wishes.country)
        if dates.contradicts_itself and order is None:
            report.assume(
                "some dates can only be day-first and others only month-first: write them as "
                "2026-04-20, or say which comes first (--dates, ?dates=)"
            )
        elif dates.was_assumed(self._wishes.dates) and order is not None:
            report.assume(
                f"no date tells whether its day or its month comes first; {order} was taken, as is "
                "usual in the site's country"
            )
