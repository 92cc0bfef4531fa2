"""Judges cells by their columns: what can't be there, and what is unlike the other rows' cells.

Cities, states and postal codes come again in row after row: each distinct one is judged once.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from gateway_csv.columns.cells import Unreadable, text_of
from gateway_csv.columns.evidence import misfit
from gateway_csv.columns.reading import NAMES, Column
from gateway_csv.columns.traits import TRAITS, Trait
from gateway_csv.read.rows import Cell, Row

_REPEATED: Final = frozenset(
    {"city", "locality", "state", "postal_code", "country", "address2", "street_number"}
)
_MOST_KNOWN: Final = 10_000


class CellJudge:
    """Judges one table's cells. ``traits`` are what the cells of a field have in common."""

    def __init__(self, traits: Mapping[str, Sequence[Trait]] | None = None) -> None:
        self._traits = traits or {}
        self._known: dict[tuple[str, str], str] = {}

    def fault(self, field: str, cell: Cell) -> str:
        """Say why a cell can't be ``field``; empty where it may be, or says nothing."""
        if not isinstance(cell, str) or field not in _REPEATED:
            return self._judged(field, cell)
        key = field, cell
        found = self._known.get(key)
        if found is None:
            found = self._judged(field, cell)
            if len(self._known) < _MOST_KNOWN:
                self._known[key] = found
        return found

    def _judged(self, field: str, cell: Cell) -> str:
        reason = misfit(field, cell)
        if not reason and field in self._traits:
            reason = _unlike_others(cell, self._traits[field])
        return reason and (reason if says_something(cell, field) else "")


class TraitCounts:
    """Counts what the cells of each field have in common, row by row."""

    def __init__(self, by_field: Mapping[str, Sequence[Column]]) -> None:
        self._columns = [
            (trait, column.place) for trait in TRAITS for column in by_field.get(trait.field, ())
        ]
        self._counts: Counter[Trait] = Counter()
        self._rows = 0

    def add(self, row: Row) -> None:
        """Count a row."""
        self._rows += 1
        for trait, place in self._columns:
            cell = row.cells[place] if place < len(row.cells) else None
            if isinstance(cell, str) and cell and trait.holds(cell):
                self._counts[trait] += 1

    def usual(self) -> dict[str, list[Trait]]:
        """Return the traits that many of the rows have, by field."""
        usual: dict[str, list[Trait]] = {}
        for trait, count in self._counts.items():
            if self._rows > 1 and count >= trait.share * self._rows:
                usual.setdefault(trait.field, []).append(trait)
        return usual


def says_something(cell: Cell, field: str) -> bool:
    """Say whether a cell says anything, as the reader of its column will see it."""
    try:
        return text_of(cell, is_name=field in NAMES) is not None
    except Unreadable:
        return False  # reported where it is read


def _unlike_others(cell: Cell, traits: Sequence[Trait]) -> str:
    if not isinstance(cell, str) or not cell.strip():
        return ""
    for each in traits:
        if not each.holds(cell):
            return each.lacking
    return ""
