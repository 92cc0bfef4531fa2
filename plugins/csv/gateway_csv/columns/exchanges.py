"""Cells that were exchanged in one row, known by what the other rows have in both columns. Pure.

A prescription's number that is written as the other rows' patient ids, beside a patient id written
as their prescriptions: each cell may be what its column is, and together they can't.
"""

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from gateway_csv.columns.headers import is_quantity, meaning_of, words_of_others
from gateway_csv.columns.reading import Column
from gateway_csv.read.rows import Cell, Row

_CODES: Final = ("rx_number", "external_patient_id", "external_order_id")
_NAMES: Final = ("first_name", "patient_name", "last_name")
_OF_PERSONS: Final = frozenset({"patient_name", "patient_phone", "patient_address"})
_TEXTS: Final = ("notes", "city", "address2")
_FAMILY: Final = frozenset(
    {
        "bill to",
        "billto",
        "billing",
        "billed",
        "bill",
        "emergency",
        "contact",
        "caregiver",
        "parent",
    }
    | {
        "guardian",
        "spouse",
        "owner",
        "insured",
        "subscriber",
        "kin",
        "account",
        "party",
        "alternate",
    }
)
"""Parties that may be a patient of the same file as well."""
_LETTERS: Final = re.compile(r"[^\W\d_]")
_DIGITS: Final = re.compile(r"\d")
_CENTS: Final = re.compile(r"\D*\d+[.,]\d\d\D*")
_MOST_VALUES: Final = 2000
_FEWEST_LETTERS: Final = 2

Pair = tuple[int, int]


class Exchanges:
    """Counts what pairs of columns have in each row, then judges rows by it."""

    def __init__(
        self, by_field: Mapping[str, Sequence[Column]], columns: Sequence[Column] = ()
    ) -> None:
        def places(*fields: str) -> list[int]:
            return [each.place for field in fields for each in by_field.get(field, ())]

        codes = places(*_CODES)
        ignored = [each for each in columns if each.field is None and each.header]
        quantities = [each.place for each in ignored if is_quantity(each.header)]
        self._codes = [*itertools.combinations(codes, 2), *itertools.product(codes, quantities)]
        self._amounts = list(itertools.product(places("copay_amount"), quantities))
        self._names = list(itertools.product(places(*_NAMES), places("city")))
        self._numbers = list(itertools.permutations([*codes, *places("postal_code")], 2))
        self._others = [
            (mine, theirs.place) for theirs in ignored for mine in _alike(theirs, by_field)
        ]
        self._families = {
            (mine, theirs.place)
            for theirs in ignored
            if words_of_others(theirs.header) & _FAMILY
            for mine in places(*_NAMES)
        }
        self._shapes: Counter[tuple[Pair, str, str]] = Counter()
        self._own = {each: Counter[str]() for pair in self._numbers for each in pair}
        counted = {each for pair in self._others for each in pair} | set(places("city"))
        self._values = {each: Counter[str]() for each in counted}

    def add(self, row: Row) -> None:
        """Count a row."""
        for place, shapes in self._own.items():
            shape = _shape(_text(row, place))
            if shape:
                shapes[shape] += 1
        for pair in self._codes:
            self._shapes[pair, *_shapes(row, pair)] += 1
        for pair in self._amounts:
            self._shapes[pair, *_cents(row, pair)] += 1
        for place, values in self._values.items():
            text = _text(row, place)
            if text and len(values) < _MOST_VALUES:
                values[text.casefold()] += 1

    def found(self, row: Row) -> Pair | None:
        """Return two columns whose cells this row has exchanged; ``None`` for none."""
        turned = (each for each in self._codes if self._is_turned(each, *_shapes(row, each)))
        amounts = (each for each in self._amounts if self._is_turned(each, *_cents(row, each)))
        others = (each for each in self._numbers if self._is_others(row, *each))
        texts = (each for each in self._texts(row))
        return next(itertools.chain(turned, amounts, others, texts), None)

    def _texts(self, row: Row) -> Iterator[Pair]:
        for name, city in self._names:
            values = self._values[city]
            said, at = _text(row, name).casefold(), _text(row, city).casefold()
            if at and said != at and values.get(said, 0) > 0 and values.get(at, 0) <= 1:
                yield name, city
        for mine, theirs in self._others:
            said, at = _text(row, mine).casefold(), _text(row, theirs).casefold()
            if (mine, theirs) in self._families and self._values[theirs].get(at, 0) > 1:
                continue  # the payer of others may be a patient, and has a payer, too
            if len(said) > _FEWEST_LETTERS and said != at and self._is_theirs(mine, theirs, said):
                yield mine, theirs

    def _is_turned(self, pair: Pair, one: str, other: str) -> bool:
        """Say whether as many rows have the two forms the other way round."""
        turned = self._shapes.get((pair, other, one), 0)
        is_odd = bool(one and other) and one != other
        return is_odd and turned >= self._shapes.get((pair, one, other), 0) > 0

    def _is_others(self, row: Row, one: int, other: int) -> bool:
        """Say whether a number is written as those of another column, whose cell has none."""
        shape, own, others = _shape(_text(row, one)), self._own[one], self._own[other]
        is_usual = bool(shape) and 2 * others.get(shape, 0) >= others.total() > 0
        is_odd = 2 * own[shape] < own.total() or own[shape] <= 1 < own.total()
        is_odd = is_odd and len(own) > 1
        return is_usual and is_odd and _shape(_text(row, other)) != shape

    def _is_theirs(self, mine: int, theirs: int, said: str) -> bool:
        return self._values[theirs].get(said, 0) > 0 and self._values[mine].get(said, 0) <= 1


def _alike(theirs: Column, by_field: Mapping[str, Sequence[Column]]) -> list[int]:
    """Return the columns whose cells may be exchanged with those of another party's column."""
    fields = [*_TEXTS]
    meaning = meaning_of(theirs.header)
    is_family = bool(words_of_others(theirs.header) & _FAMILY)
    if meaning is not None and meaning.field == "patient_name":
        fields += _NAMES
    elif meaning is not None and meaning.field in _OF_PERSONS and not is_family:
        fields.append(meaning.field)
    return [each.place for field in fields for each in by_field.get(field, ())]


def _shapes(row: Row, pair: Pair) -> tuple[str, str]:
    return _shape(_text(row, pair[0])), _shape(_text(row, pair[1]))


def _cents(row: Row, pair: Pair) -> tuple[str, str]:
    one, other = (_text(row, each) for each in pair)
    return _kind(one), _kind(other)


def _kind(text: str) -> str:
    return "" if not text else "cents" if _CENTS.fullmatch(text) else "none"


def _shape(text: str) -> str:
    return _DIGITS.sub("9", _LETTERS.sub("x", text))


def _text(row: Row, place: int) -> str:
    cell: Cell = row.cells[place] if place < len(row.cells) else None
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return "" if cell is None else str(cell).strip()
