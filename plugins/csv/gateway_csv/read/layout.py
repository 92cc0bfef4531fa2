"""Where the table is in a file: titles above it, its header, and rows that are no orders."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Final, NamedTuple

from gateway.plugin import InvalidInput, Problem
from gateway_csv.columns.headers import Column, columns_of, known_headers, looks_like
from gateway_csv.read.rows import Cell, Row, column_letters, is_filled

_LOOKED_AT: Final = 40
_FEWEST_HEADERS: Final = 2
_TOTAL: Final = re.compile(
    r"(grand |sub)?-?\s*totals?\b.*|sum\b.*|(row|record)?\s*counts?\b.*|"
    r"(number of )?(records|rows|orders|deliveries)\s*:?\s*\d*|end of (report|file)\b.*",
    re.IGNORECASE,
)
_TOTAL_CHARACTERS: Final = 80
_NAME_PARTS: Final = frozenset({"patient_name", "last_first", "first_name", "last_name"})
_ADDRESS_PARTS: Final = frozenset({"patient_address", "city", "postal_code"})


class Layout(NamedTuple):
    """The header's row, what its columns are, and the columns of each field in their order."""

    header: Row
    columns: Sequence[Column]
    by_field: Mapping[str, Sequence[Column]]

    @classmethod
    def made(cls, header: Row, columns: Sequence[Column]) -> "Layout":
        """Put the columns under their fields."""
        by_field: dict[str, list[Column]] = {}
        for each in columns:
            if each.field is not None:
                by_field.setdefault(each.field, []).append(each)
        return cls(header, columns, by_field)

    @property
    def width(self) -> int:
        """How many columns the header has, those without a name counted."""
        return len(self.header.cells)

    def ignored(self) -> list[str]:
        """Return the headers of the columns that are not used."""
        return [each.header for each in self.columns if each.field is None and each.header]


def find_layout(
    rows: Iterable[Row], told: Mapping[str, str], remembered: Mapping[str, str]
) -> tuple[Layout, Iterator[Row]]:
    """Find the header; returns it with the rows below. Raises ``InvalidInput``, naming columns."""
    iterator = iter(rows)
    first = list(islice(iterator, _LOOKED_AT))
    known = {**remembered, **told}
    scores = [known_headers(row.cells, known) for row in first]
    best = max(scores, default=0)
    if best < _FEWEST_HEADERS:
        raise InvalidInput(
            "No header was found: the table's first row has to name its columns, at least "
            "patient_name and patient_address.",
            _suggestions(first),
        )
    place = scores.index(best)
    header = first[place]
    layout = Layout.made(header, columns_of(header.cells, told, remembered))
    missing = _missing(layout)
    if missing:
        raise InvalidInput("The table lacks a column that every order needs.", missing)
    return layout, chain(first[place + 1 :], iterator)


def _missing(layout: Layout) -> list[Problem]:
    fields = layout.by_field.keys()
    problems = []
    for field, parts in (("patient_name", _NAME_PARTS), ("patient_address", _ADDRESS_PARTS)):
        if fields & parts:
            continue
        alike = [each.header for each in layout.columns if each.looks_like in parts]
        hint = f"; {alike[0]} looks like it: rename it, or map it" if alike else ""
        problems.append(Problem(f"no column was found for {field}{hint}", field=field))
    return problems


def _suggestions(rows: Sequence[Row]) -> list[Problem]:
    """Suggest by place, not by name: without a header, what stands there may be a patient."""
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
    """Say whether a row repeats the header, as reports do on every page."""
    header = layout.header.cells
    # Nearly every row differs in its first cell; only one that doesn't is looked at further.
    if not row.cells or _text(row.cells[0]) != _text(header[0]):
        return False
    return [_text(each) for each in row.cells] == [_text(each) for each in header]


def is_total(layout: Layout, row: Row) -> bool:
    """Say whether a row is a total and no order: it says so, and has no address."""
    addresses = [each for field in _ADDRESS_PARTS for each in layout.by_field.get(field, ())]
    if any(is_filled(cell_at(row, each)) for each in addresses):
        return False
    texts = [each.strip() for each in row.cells if isinstance(each, str) and each.strip()]
    return bool(texts) and bool(_TOTAL.fullmatch(texts[0][:_TOTAL_CHARACTERS]))


def surplus(layout: Layout, row: Row) -> int:
    """Count the filled cells that stand beyond the header's last column."""
    return sum(map(is_filled, row.cells[layout.width :]))


def cell_at(row: Row, column: Column) -> Cell:
    """Return a row's cell; a row may be shorter than the header."""
    return row.cells[column.place] if column.place < len(row.cells) else None


def _text(cell: object) -> str:
    return "" if cell is None else str(cell).strip()
