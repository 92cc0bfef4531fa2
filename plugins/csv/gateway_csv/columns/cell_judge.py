"""Checks cells by their columns: impossible values, and values unlike those of other rows.

Cities, states and postal codes repeat from row to row: each distinct one is checked once.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from gateway_csv.columns.cells import Unreadable, text_of
from gateway_csv.columns.evidence import misfits
from gateway_csv.columns.kept_texts import kept
from gateway_csv.columns.reading import NAMES, Column
from gateway_csv.columns.traits import TRAITS, Trait
from gateway_csv.read.rows import Cell, Row

# A patient with several prescriptions has a row for each.
_REPEATED: Final = NAMES | {
    *("city", "locality", "state", "postal_code", "country"),
    *("address2", "street_number", "patient_address"),
}


Fault = Callable[[Cell], str]
"""Returns why a cell doesn't fit its column; empty if it may fit, or is empty."""


class CellJudge:
    """Checks one table's cells. ``traits`` are the common properties of a field's cells."""

    def __init__(self, traits: Mapping[str, Sequence[Trait]] | None = None) -> None:
        self._traits = traits or {}
        self._faults: Sequence[tuple[Column, Fault]] | None = None

    def __reduce__(self) -> tuple[type["CellJudge"], tuple[Mapping[str, Sequence[Trait]]]]:
        """Let another process make it again."""
        return CellJudge, (self._traits,)

    def faults(self, judged: Sequence[Column]) -> Sequence[tuple[Column, Fault]]:
        """Return the table's checked columns, each with the function that checks its cells."""
        if self._faults is None:
            self._faults = [(each, self._judge_of(each.field or "")) for each in judged]
        return self._faults

    def _judge_of(self, field: str) -> Fault:
        traits = self._traits.get(field, ())
        why_not = misfits(field)

        def judge(cell: Cell) -> str:
            reason = why_not(cell) or (_unlike_others(cell, traits) if traits else "")
            return reason and (reason if says_something(cell, field) else "")

        return kept(judge) if field in _REPEATED else judge


class TraitCounts:
    """Counts the common properties of each field's cells, row by row."""

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
    """Return whether a cell has a value, as the reader of its column will see it."""
    try:
        return text_of(cell, is_name=field in NAMES) is not None
    except Unreadable:
        return False  # reported when it is read


def _unlike_others(cell: Cell, traits: Sequence[Trait]) -> str:
    if not isinstance(cell, str) or not cell.strip():
        return ""
    for each in traits:
        if not each.holds(cell):
            return each.lacking
    return ""
