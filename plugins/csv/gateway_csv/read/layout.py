"""Find the table in a file: blocks above it, its header, and rows that aren't orders."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Final, NamedTuple

from gateway.plugin import InvalidInput, Problem
from gateway_csv.columns.evidence import JUDGED, may_be_header
from gateway_csv.columns.headers import (
    METADATA,
    known_headers,
    looks_like,
    meaning_of,
    plain,
    role_of_group,
)
from gateway_csv.columns.reading import Choices, Column
from gateway_csv.columns.recognition import recognise_columns
from gateway_csv.columns.shapes import looks
from gateway_csv.read.rows import Cell, Row, column_letters, is_filled

_HEADERS_WITHIN: Final = 40
_SAMPLE_ROWS: Final = 300
_FEWEST_HEADERS: Final = 2
_TOTAL: Final = re.compile(
    r"(grand |sub)?-?\s*totals?\b.*|sum\b.*|(row|record)?\s*counts?\b.*|"
    r"(number of )?(records|rows|orders|deliveries)\s*:?\s*\d*|end of (report|file)\b.*",
    re.IGNORECASE,
)
_TOTAL_CHARACTERS: Final = 80
_NAME_PARTS: Final = frozenset({"patient_name", "last_first", "first_name", "last_name"})
_ADDRESS_PARTS: Final = ("patient_address", "city", "postal_code")


class Layout(NamedTuple):
    """The header's row, the fields of its columns, and the columns of each field in order."""

    header: Row
    columns: Sequence[Column]
    by_field: Mapping[str, Sequence[Column]]
    judged: Sequence[Column] = ()
    """The columns whose cells differ from other fields' cells."""
    addresses: Sequence[Column] = ()
    """The columns of which each order's row has at least one."""
    metadata: Sequence[str] = ()
    """The fields of metadata that have a column each."""

    @classmethod
    def made(cls, header: Row, columns: Sequence[Column]) -> "Layout":
        """Group the columns by field."""
        by_field: dict[str, list[Column]] = {}
        for each in columns:
            if each.field is not None:
                by_field.setdefault(each.field, []).append(each)
        judged = [each for each in columns if each.field in JUDGED]
        addresses = [each for field in _ADDRESS_PARTS for each in by_field.get(field, ())]
        metadata = [each for each in by_field if each.startswith(METADATA)]
        return cls(header, columns, by_field, judged, addresses, metadata)

    @property
    def width(self) -> int:
        """The number of columns of the header, with unnamed ones."""
        return len(self.header.cells)

    def ignored(self) -> list[str]:
        """Return the headers of columns that are not used; one that may be data as its place."""
        return [
            each.header if each.header and not _is_data(each.header) else _lettered(each)
            for each in self.columns
            if each.field is None and (each.header or each.why)
        ]


def _lettered(column: Column) -> str:
    return f"column {column_letters(column.place)}"


def find_layout(rows: Iterable[Row], choices: Choices) -> tuple[Layout, Iterator[Row]]:
    """Find the header, and check its columns by the rows below; returns it with those rows.

    Raises ``InvalidInput``, which names columns and never what is in a cell.
    """
    iterator = iter(rows)
    first = list(islice(iterator, _HEADERS_WITHIN))
    known = {**choices.remembered, **choices.chosen}
    scores = [_header_score(row, known) for row in first]
    best = max(scores, default=0)
    if best < _FEWEST_HEADERS:
        raise InvalidInput(
            "No header was found: the table's first row has to name its columns, at least "
            "patient_name and patient_address.",
            _suggestions(first),
        )
    place = scores.index(best)
    header = first[place]
    below = [*first[place + 1 :], *islice(iterator, _SAMPLE_ROWS)]
    sample = [each for each in below if not each.is_blank and not _same_cells(header, each)]
    for each in sample:
        check_second_header(header, each)
    headers = _headers(first[place - 1] if place else None, header)
    columns = recognise_columns(headers, sample[:_SAMPLE_ROWS], choices)
    layout = Layout.made(header, columns)
    missing = _missing(layout)
    if missing:
        raise InvalidInput("The table lacks a column that every order needs.", missing)
    return layout, chain(below, iterator)


def likely_header(rows: Sequence[Row], known: Mapping[str, str]) -> Row | None:
    """Return the row that is most like a header; an empty one if none is.

    Without a header the first row may contain a patient. The cells have the names of their groups,
    as the columns are called elsewhere.
    """
    if not rows:
        return None
    scores = [_header_score(row, known) for row in rows[:_HEADERS_WITHIN]]
    place = scores.index(max(scores))
    if scores[place] < _FEWEST_HEADERS:
        return Row(0, [None] * max(len(row.cells) for row in rows))
    return rows[place]._replace(cells=_headers(rows[place - 1] if place else None, rows[place]))


def _header_score(row: Row, known: Mapping[str, str]) -> int:
    """Count the headers of a row; none in one that has values: labels, or an order."""
    filled = [each for each in row.cells if is_filled(each)]
    if any(not isinstance(each, str) or _is_data(each) for each in filled):
        return 0
    labels = [
        place
        for place, each in enumerate(row.cells[:-1])
        if isinstance(each, str)
        and each.strip().endswith(":")
        and isinstance(row.cells[place + 1], str)
        and is_filled(row.cells[place + 1])
        and not str(row.cells[place + 1]).strip().endswith(":")
        and meaning_of(str(row.cells[place + 1])) is None
    ]
    count = known_headers(row.cells, known)
    return 0 if labels and 2 * len(labels) >= count else count


def _is_data(cell: object) -> bool:
    """Return whether a cell is a value and no header: a street, a number, a date."""
    text = str(cell).strip()
    return looks(text) not in {"", "a unit of an address"} and meaning_of(text) is None


def _headers(above: Row | None, header: Row) -> list[Cell]:
    """Return the headers, each with the name of its group: ``Prescriber,,Patient,`` above them."""
    headers = list(header.cells)
    if above is None or above.number != header.number - 1:
        return headers
    filled = [each for each in above.cells if is_filled(each)]
    if len(filled) < _FEWEST_HEADERS or not any(map(role_of_group, above.cells)):
        return headers
    group = ""
    for place, each in enumerate(header.cells):
        if place < len(above.cells) and is_filled(above.cells[place]):
            cell = above.cells[place]
            group = plain(cell) if role_of_group(cell) else ""
        if group and is_filled(each):
            whole = f"{group} {plain(each)}"
            is_others = role_of_group(group) == "other"
            if is_others or meaning_of(whole) is not None or meaning_of(plain(each)) is None:
                headers[place] = whole
    return headers


def _missing(layout: Layout) -> list[Problem]:
    fields = layout.by_field.keys()
    problems = []
    if not fields & _NAME_PARTS:
        problems.append(_without(layout, "patient_name", _NAME_PARTS))
    if "patient_address" not in fields:
        problems.append(_without(layout, "patient_address", frozenset(_ADDRESS_PARTS)))
    return problems


def _without(layout: Layout, field: str, parts: frozenset[str]) -> Problem:
    alike = [each.header for each in layout.columns if each.looks_like in parts]
    hint = ""
    if alike:
        hint = f"; {alike[0]} looks like it: rename it, or map it"
    elif layout.by_field.keys() & parts:
        hint = ": a city or a postal code alone is no address; map the column with the street"
    return Problem(f"no column was found for {field}{hint}", field=field)


def _suggestions(rows: Sequence[Row]) -> list[Problem]:
    """Suggest by place, not by name: without a header, the cells may contain a patient."""
    for row in rows:
        alike = [
            (index, field)
            for index, each in enumerate(row.cells)
            if isinstance(each, str) and (field := looks_like(each))
        ]
        if len(alike) >= _FEWEST_HEADERS:
            return [
                Problem(
                    f"column {column_letters(index)} of row {row.number} looks like it: rename "
                    "it, or map it",
                    field=field,
                )
                for index, field in alike
            ]
    return []


def is_header_again(layout: Layout, row: Row) -> bool:
    """Return whether a row repeats the header, as reports do on every page."""
    header = layout.header.cells
    # Nearly every row differs in its first cell; only one that doesn't is compared further.
    if not row.cells or _text(row.cells[0]) != _text(header[0]):
        return False
    return _same_cells(layout.header, row)


def check_second_header(header: Row, row: Row) -> None:
    """Raise ``InvalidInput`` for a row that is a header of other columns than the first."""
    for first in row.cells:
        if is_filled(first):
            break
    else:
        return
    if not isinstance(first, str) or not may_be_header(first) or _same_cells(header, row):
        return
    filled = [each for each in row.cells if is_filled(each)]
    if _header_score(row, {}) < _FEWEST_HEADERS:
        return
    ours = {_text(each) for each in header.cells}
    if all(
        isinstance(each, str) and (_text(each) in ours or meaning_of(each) is not None)
        for each in filled
    ):
        raise InvalidInput(
            f"Row {row.number} is a second header, and its columns are others than those of the "
            "first: split the file there, and import the parts."
        )


def is_total(layout: Layout, row: Row) -> bool:
    """Return whether a row is a total: it says so, and has no address."""
    for each in layout.addresses:
        if is_filled(cell_at(row, each)):
            return False
    texts = [each.strip() for each in row.cells if isinstance(each, str) and each.strip()]
    return bool(texts) and bool(_TOTAL.fullmatch(texts[0][:_TOTAL_CHARACTERS]))


def surplus(layout: Layout, row: Row) -> int:
    """Count the filled cells that stand beyond the header's last column."""
    return sum(map(is_filled, row.cells[layout.width :]))


def cell_at(row: Row, column: Column) -> Cell:
    """Return a row's cell; a row may be shorter than the header."""
    return row.cells[column.place] if column.place < len(row.cells) else None


def _same_cells(one: Row, other: Row) -> bool:
    # Nearly all differ in their first cell, so no list of the others is made.
    return len(one.cells) == len(other.cells) and all(
        _text(each) == _text(its) for each, its in zip(one.cells, other.cells, strict=True)
    )


def _text(cell: object) -> str:
    return "" if cell is None else str(cell).strip()
