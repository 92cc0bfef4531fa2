"""A file as a table: opened, recognised, and read to its end before a row is imported.

The file is read twice, except a small one, whose rows are kept. The first reading finds the header,
decides about columns that one cell can't decide, and finds everything that could stop the second
one: a file that can't be read to its end imports no row.
"""

import itertools
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import BinaryIO, Final

from gateway.plugin import GatewayError, TooLarge
from gateway_csv.columns.cell_judge import CellJudge, TraitCounts
from gateway_csv.columns.cell_values import CellValues
from gateway_csv.columns.cells import uses_decimal_comma
from gateway_csv.columns.dates import Evidence
from gateway_csv.columns.exchanges import Exchanges
from gateway_csv.columns.headers import known_headers
from gateway_csv.columns.reading import Choices, Column
from gateway_csv.mapping import Reading, ended_key
from gateway_csv.read.archive import check_archive
from gateway_csv.read.encoding import MIXED
from gateway_csv.read.file_type import FileType, file_type_of
from gateway_csv.read.last_cell import LastCell
from gateway_csv.read.layout import (
    Layout,
    cell_at,
    check_second_header,
    find_layout,
    is_header_again,
    is_total,
    likely_header,
)
from gateway_csv.read.rows import Row, column_letters, is_filled, within_limits
from gateway_csv.read.sheets import Sheets, sheet_rows
from gateway_csv.read.text import DELIMITERS, TextForm, form_of, text_rows
from gateway_csv.read.threads import Pace
from gateway_csv.report import Report
from gateway_csv.settings import CsvSettings, DayOrder

_SHEETS_NAMED: Final = 5
_SAMPLES: Final = 2
_GLIMPSED_ROWS: Final = 60
_FILLED_WITHIN: Final = 1000
_FEWEST_COLUMNS: Final = 2
_TAIL_BYTES: Final = 4
_KEPT_CHARACTERS: Final = 1_000_000
_KEPT_CELLS: Final = 100_000


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """The sender's options for a file. ``country`` is that of its site.

    ``chosen`` and ``remembered`` are fields by normal header.
    """

    site: str | None = None
    country: str = "US"
    countries: Mapping[str, str] = field(default_factory=dict)
    dates: DayOrder = "auto"
    chosen: Mapping[str, str] = field(default_factory=dict)
    remembered: Mapping[str, str] = field(default_factory=dict)
    takes_hidden: bool = False
    sheet: str | None = None
    encoding: str | None = None
    delimiter: str | None = None
    cells: Mapping[int, Mapping[int, str]] = field(default_factory=dict)
    """Cells that were corrected: by row as a spreadsheet numbers it, and by column from 0."""


class Table:
    """A file that can be read from its start any number of times."""

    def __init__(
        self,
        file: BinaryIO,
        settings: CsvSettings,
        options: ImportOptions,
        pace: Pace | None = None,
    ) -> None:
        self.file = file
        self.settings = settings
        self.options = options
        self._pace = Pace() if pace is None else pace
        self.size = 0
        self.form: TextForm | None = None
        """How a text file is written; ``None`` for a spreadsheet."""
        self.sheets: Sheets | None = None
        """The sheets of a spreadsheet, once it was read."""
        self.first_orders: list[Row] = []
        """The first rows that are orders, as samples."""
        self._kept: _KeptRows | None = None

    def understand(self, report: Report) -> tuple[Reading, int]:
        """Read the file to its end; returns its reading, and the number of orders.

        Assumptions are added to ``report``. Raises ``InvalidInput`` or ``TooLarge``.
        """
        self._open()
        # Before the first row is read, because rows are read from the same file on demand.
        lacks_end, is_quoted = self._lacks_line_end()
        options = self.options
        layout, below = find_layout(self._rows(), Choices(options.chosen, options.remembered))
        dates, decimal_comma, count = Evidence(), False, 0
        date_columns = layout.by_field.get("delivery_date", ())
        money_columns = layout.by_field.get("copay_amount", ())
        widths: Counter[int] = Counter()
        filled: Counter[int] = Counter()
        short: list[tuple[int, int]] = []
        is_text, has_empty_ends = self.form is not None, False
        traits = TraitCounts(layout.by_field)
        exchanges = Exchanges(layout.by_field, layout.columns)
        last = LastCell(layout, lacks_end=lacks_end, is_quoted=is_quoted)
        kept = _KeptRows(is_text=self.form is not None, size=self.size)
        self.first_orders = kept.first
        for row in below:
            if row.is_blank or is_header_again(layout, row) or _is_left_out(layout, row, report):
                continue
            check_second_header(layout.header, row)
            count += 1
            kept.add(row)
            cells = row.cells
            widths[len(cells)] += 1
            if lacks_end:
                last.add(row)
            if len(cells) < layout.width:
                short.append((row.number, len(cells)))
            elif is_text and not has_empty_ends:
                has_empty_ends = not is_filled(cells[layout.width - 1])
            if count <= _FILLED_WITHIN:
                filled.update([place for place, each in enumerate(cells) if is_filled(each)])
                traits.add(row)
                exchanges.add(row)
            for column in date_columns:
                dates = dates.and_of(cell_at(row, column))
            if not decimal_comma and money_columns:
                decimal_comma = uses_decimal_comma([cell_at(row, each) for each in money_columns])
        self._kept = kept
        self._report_assumptions(report, layout, dates)
        last.report(report)
        order = dates.order(options.dates, options.country)
        reading = Reading(
            layout,
            CellJudge(traits.usual()),
            order,
            decimal_comma,
            CellValues(decimal_comma=decimal_comma, dates=dates, order=order),
            options.site,
            usual_width=_usual(widths, layout.width),
            country=options.country,
            countries=options.countries,
            usually_filled=frozenset(
                place for place, each in filled.items() if 2 * each >= min(count, _FILLED_WITHIN)
            ),
            has_empty_ends=has_empty_ends,
            broken=_broken(short, layout.width),
            takes_hidden=options.takes_hidden,
            exchanges=exchanges,
            has_notes="notes" in layout.by_field,
            cut_off_row=last.cut_off(),
            dates=dates,
        )
        if layout.by_field.keys() & {"status", "ended_at"}:
            reading = reading._replace(ended=self._ended(reading))
        return reading, count

    def _ended(self, reading: Reading) -> dict[int, int]:
        """Return the rows that need no delivery, by their identity."""
        found: dict[int, int] = {}
        for row in self.orders(reading.layout):
            key = ended_key(row, reading)
            if key is not None:
                found.setdefault(key, row.number)
        return found

    def _lacks_line_end(self) -> tuple[bool, bool]:
        """Return whether a text file ends within a line, and whether with a quoted cell."""
        if self.form is None:
            return False, False
        self.file.seek(-min(_TAIL_BYTES, self.file.seek(0, os.SEEK_END)), os.SEEK_END)
        tail = self.file.read()
        return not any(each in tail for each in (b"\n", b"\r")), b'"' in tail

    def orders(self, layout: Layout) -> Iterator[Row]:
        """Yield the rows that are orders."""
        if self._kept is not None and self._kept.rows is not None:
            for row in self._kept.rows:
                self._pace.beat()
                yield row
            return
        for row in self._rows():
            if (
                row.number > layout.header.number
                and not row.is_blank
                and not is_header_again(layout, row)
                and not is_total(layout, row)
            ):
                yield row

    def _open(self) -> None:
        size = self.size = self.file.seek(0, os.SEEK_END)
        if size > self.settings.max_file_bytes:
            most = self.settings.max_file_bytes / 1_000_000
            raise TooLarge(f"The file has more than {most:g} MB: split it, and import the parts.")
        file_type = file_type_of(self.file)
        if file_type is FileType.ZIPPED:
            check_archive(self.file, self.settings.max_unpacked_bytes)
        elif file_type is FileType.TEXT:
            known = {**self.options.remembered, **self.options.chosen}
            self.form = form_of(
                self.file,
                lambda cells: known_headers(cells, known),
                encoding=self.options.encoding,
                delimiter=self.options.delimiter,
            )

    def _rows(self) -> Iterator[Row]:
        if self.form is not None:
            rows = text_rows(self.file, self.form)
        else:
            rows = sheet_rows(self.file, self._note_sheets, self.options.sheet)
        return map(self._corrected, within_limits(rows, self.settings, self._pace))

    def _corrected(self, row: Row) -> Row:
        """Put the corrected cells into a row."""
        found = self.options.cells.get(row.number)
        if found is None or row.fault:
            return row
        cells = [*row.cells, *[None] * (max(found) + 1 - len(row.cells))]
        for place, text in found.items():
            cells[place] = text
        return row._replace(cells=cells)

    def _note_sheets(self, sheets: Sheets) -> None:
        self.sheets = sheets

    def glimpse(self) -> tuple[Row, list[Row]] | None:
        """Return the likely header, and rows below it, of a refused file.

        Returns ``None`` without a table.
        """
        try:
            self._open()
            first = [row for row in islice(self._rows(), _GLIMPSED_ROWS) if not row.is_blank]
        except GatewayError:
            return None
        known = {**self.options.remembered, **self.options.chosen}
        header = likely_header(first, known)
        if header is None:
            return None
        below = [row for row in first if row.number > header.number]
        return header, below

    def _report_assumptions(self, report: Report, layout: Layout, dates: Evidence) -> None:
        if self.form is not None and self.form.encoding == MIXED:
            report.assume(
                "some lines are UTF-8 and others are not; those were read as cp1252: look whether "
                "accents are right, or save the file as CSV UTF-8"
            )
        elif self.form is not None and not self.form.encoding.startswith("utf"):
            report.assume(
                f"the text was read as {self.form.encoding}: look whether accents are right, or "
                "save the file as CSV UTF-8"
            )
        if self.form is not None and self.form.delimiter != ",":
            report.assume(
                f"columns are separated by {DELIMITERS.get(self.form.delimiter, 'others')}"
            )
        others = [] if self.sheets is None else self.sheets.others
        if others:
            names = ", ".join(f'"{each[:31]}"' for each in others[:_SHEETS_NAMED])
            more = len(others) - _SHEETS_NAMED
            rest = f" and {more} more" if more > 0 else ""
            report.assume(
                f"only the first sheet that has anything on it was read; not read: {names}{rest}"
            )
        for column in layout.columns:
            _report_column(report, column)
        self._report_dates(report, dates)

    def _report_dates(self, report: Report, dates: Evidence) -> None:
        options = self.options
        order = dates.order(options.dates, options.country)
        if dates.is_undecided(options.dates, options.country):
            report.assume(
                "some dates can only be day-first and others only month-first, or hardly any "
                "says which: write them as 2026-04-20, or say which comes first "
                "(--dates, ?dates=)"
            )
        elif dates.was_assumed(options.dates) and order is not None:
            report.assume(
                f"no date shows whether its day or its month comes first; {order} was taken, as is "
                "usual in the site's country"
            )
        elif dates.is_against_habit(options.dates, options.country):
            report.assume(f"dates were read {order}: some of them can only be that")


class _KeptRows:
    """The rows of a small file that are orders, and the first two of any; ``size`` in bytes."""

    def __init__(self, *, is_text: bool, size: int) -> None:
        self.first: list[Row] = []
        self.rows: list[Row] | None = [] if size <= _KEPT_CHARACTERS else None
        """All rows; none of a file that isn't small."""
        self._is_text = is_text
        self._characters = self._cells = 0

    def add(self, row: Row) -> None:
        """Keep a row, unless there are too many."""
        if len(self.first) < _SAMPLES:
            self.first.append(row)
        if self.rows is None:
            return
        self._cells += len(row.cells)
        if not self._is_text:  # a spreadsheet's size doesn't count: it is compressed
            self._characters += sum([len(each) for each in row.cells if isinstance(each, str)])
        if self._cells > _KEPT_CELLS or self._characters > _KEPT_CHARACTERS:
            self.rows = None
        else:
            self.rows.append(row)


def _report_column(report: Report, column: Column) -> None:
    why = f", {column.why}" if column.why else ""
    if column.how == "remembered" and column.field is None:
        report.assume("the column was ignored, as was said before", column.header)
    elif (column.how == "name" and column.why and column.field is not None) or column.how in {
        "synonym",
        "remembered",
        "layout",
    }:
        report.assume(f"the column was read as {column.field}{why}", column.header)
    elif column.looks_like is not None:
        report.assume(
            f"the column was ignored; if it is {column.looks_like}, rename it or map it",
            column.header,
        )
    elif column.field is None and column.why:
        name = column.header or f"column {column_letters(column.place)}"
        report.assume(f"the column was ignored: {column.why}", name)


def _broken(short: Sequence[tuple[int, int]], width: int) -> frozenset[int]:
    """Return the rows that follow each other and have, together, the cells of one."""
    found: set[int] = set()
    for (one, cells), (other, more) in itertools.pairwise(short):
        if other == one + 1 and cells + more == width + 1:
            found |= {one, other}
    # A line of one cell is the end of the row before it, or the beginning of the next.
    for number, cells in short:
        if cells == 1 and width > _FEWEST_COLUMNS:
            found |= {number - 1, number, number + 1}
    return frozenset(found)


def _is_left_out(layout: Layout, row: Row, report: Report) -> bool:
    found = is_total(layout, row)
    if found:
        report.warn("the row looks like a total, not like an order; it was left out", row)
    return found


def _usual(widths: Counter[int], header: int) -> int:
    """Return how many cells most rows have; in a tie, as many as the header."""
    most = max(widths.values(), default=0)
    usual = [each for each, count in widths.items() if count == most]
    return header if header in usual or not usual else min(usual)
