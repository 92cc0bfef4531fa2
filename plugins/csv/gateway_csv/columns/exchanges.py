"""Cells that were exchanged in one row, recognised by the other rows' cells. Pure.

For example a prescription's number in the form of the other rows' patient ids, beside a patient id
in the form of their prescriptions: each cell fits its column alone, but not both together.
"""

import itertools
import re
import string
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from gateway_csv.columns.headers import is_quantity, meaning_of, words_of_others
from gateway_csv.columns.reading import Column
from gateway_csv.columns.regions import is_region
from gateway_csv.columns.shapes import looks
from gateway_csv.columns.wording import has_doctors_title
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
"""Parties that may also be a patient of the same file."""
_LETTERS: Final = re.compile(r"[^\W\d_]")
_DIGITS: Final = re.compile(r"\d")
_CENTS: Final = re.compile(r"\D*\d+[.,]\d\d\D*")
_STRENGTH: Final = re.compile(r"\d\s?(?:mg|mcg|ml|units?)\b", re.IGNORECASE)
_LOCALITY: Final = re.compile(r"[^\d]+, [A-Z]{2} (?:\d{5}(?:-\d{4})?|[A-Z]\d[A-Z] ?\d[A-Z]\d)")
_ROWS_TO_TELL: Final = 100
_FEWEST_DIGITS: Final = 5
_MOST_VALUES: Final = 2000
_MOST_VERDICTS: Final = 5000
_FEWEST_LETTERS: Final = 2
_LONG: Final = "9999"
_UNIT: Final = re.compile(r"(?:apt|unit|suite|ste)\b\.? ?#?\w{1,5}$", re.IGNORECASE)
_MOVED: Final = ("address2", *_CODES, "patient_address")
_BETWEEN: Final = "\x1f"
_ASCII_MARKS: Final = dict.fromkeys(map(ord, string.digits), "9")
_ASCII_SHAPES: Final = {**dict.fromkeys(map(ord, string.ascii_letters), "x"), **_ASCII_MARKS}

Pair = tuple[int, int]


class Exchanges:
    """Counts the forms of pairs of columns in all rows, then checks rows by them."""

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
        self._lost = list(itertools.product(places("copay_amount"), [*codes, *quantities]))
        self._names = list(itertools.product(places(*_NAMES), places("city")))
        self._numbers = list(itertools.permutations([*codes, *places("postal_code")], 2))
        self._counts = list(itertools.product(codes, quantities))
        self._units = list(itertools.product(places("address2"), codes))
        # Counts of pieces with another value in one row: its cells moved.
        self._moved = list(itertools.product(quantities, places(*_MOVED)[:1]))
        self._digits = {each: [0, 0] for each, _ in self._moved}
        self._homes = [(unit, each.place) for each in ignored for unit in places("address2")]
        texts = places("notes", *_NAMES, *_CODES, "last_first", "city", "address2")
        self._states = [(each, texts) for each in places("state") if texts]
        self._others = [
            (mine, theirs.place) for theirs in ignored for mine in _alike(theirs, by_field)
        ]
        self._families = {
            (mine, theirs.place)
            for theirs in ignored
            if words_of_others(theirs.header) & _FAMILY
            for mine in places(*_NAMES)
        }
        doctors = [each.place for each in ignored if _is_persons(each)]
        persons = places(*_NAMES, "last_first", "city", "address2")
        self._doctors = [(each, persons) for each in doctors]
        self._titled = {each: [0, 0] for each in (*persons, *doctors) if doctors}
        self._pair_texts(places, columns)
        self._shapes: Counter[tuple[Pair, str, str]] = Counter()
        self._own = {
            each: Counter[str]() for pair in (*self._numbers, *self._counts) for each in pair
        }
        # A form keeps a number's letters: MRN1000 has another form than ORD5000.
        marked = {each for pair in (*self._numbers, *self._units) for each in pair}
        marked |= {each for _, each in self._lost}
        self._marks = {each: Counter[str]() for each in marked}
        self._beside: Counter[tuple[Pair, str]] = Counter()
        self._filled: Counter[Pair] = Counter()
        paired = {each for pair in self._codes for each in pair}
        self._shaped = sorted(paired | self._own.keys() | self._marks.keys())
        self._priced = sorted(
            {each for pair in self._amounts for each in pair} | set(places("copay_amount"))
        )
        self._cents = {each: Counter[str]() for each in places("copay_amount")}
        self._formed = sorted({*self._shaped, *self._priced})
        self._written: dict[str, tuple[Mapping[int, str], int]] = {}
        """Rows to count later, by the forms of their numbers: an example, and their number."""
        self._by_marks: dict[str, tuple[Pair | None, Mapping[int, str]]] = {}
        counted = {each for pair in self._others for each in pair} | set(places("city"))
        self._values = {each: Counter[str]() for each in counted}
        compared = {each for pair in (*self._names, *self._others) for each in pair}
        beside: dict[int, list[Counter[str]]] = {}
        for said, other in (*self._names, *self._others):
            beside.setdefault(said, []).append(self._values[other])
        self._beside_of = list(beside.items())
        self._said_beside: list[tuple[int, frozenset[str]]] | None = None
        by_texts = (
            (self._odd, (self._moved, self._homes, self._states)),
            (self._doctor, (self._doctors,)),
            (self._drug, (self._drugs,)),
            (self._comma, (self._commas, self._places)),
            (self._neighbours, (self._beside_ignored,)),
            (self._texts, (self._names, self._others)),
        )
        self._judges = [judge for judge, pairs in by_texts if any(pairs)]
        homes = {each for pair in self._homes for each in pair}
        homes |= {each for state, others in self._states for each in (state, *others)}
        self._used = sorted(
            {*self._shaped, *self._priced, *compared, *homes}
            | {*self._digits, *self._titled, *self._values, *self._strong, *self._parted}
            | {each for pair in (*self._places, *self._beside_ignored) for each in pair}
        )

    def _pair_texts(self, places: Callable[..., list[int]], columns: Sequence[Column]) -> None:
        """Record which columns are compared by content: a drug, a comma, a form."""
        ignored = [each for each in columns if each.field is None and each.header]
        things = [each.place for each in ignored if not is_quantity(each.header)]
        self._commas = list(itertools.product(places("last_first"), things))
        self._drugs = [(each, things) for each in places("notes") if things]
        self._strong = {each: [0, 0] for note, others in self._drugs for each in (note, *others)}
        self._parted = {each: 0 for pair in self._commas for each in pair}
        self._places = list(itertools.product(places("locality"), things))
        self._beside_ignored = [
            (one.place, other.place)
            for one, other in itertools.pairwise(columns)
            if one.field is None or other.field is None
        ]
        self._usual = {each: Counter[str]() for pair in self._beside_ignored for each in pair}
        self._rows = 0
        self._marked: list[tuple[int, int, str]] | None = None

    def _texts_of(self, row: Row) -> dict[int, str]:
        cells, texts = row.cells, dict.fromkeys(self._used, "")
        for place in self._used:
            if place < len(cells):
                cell = cells[place]
                texts[place] = cell.strip() if isinstance(cell, str) else _text(cell)
        return texts

    def add(self, row: Row) -> None:
        """Count a row."""
        texts = self._texts_of(row)
        self._said_beside = None
        key, is_sure = self._form_of(texts)
        if is_sure:
            first, rows = self._written.get(key, (texts, 0))
            self._written[key] = first, rows + 1
        else:
            self._count_forms(texts, 1)
        self._count_texts(texts)
        if self._rows < _ROWS_TO_TELL:
            self._count_kinds(texts)

    def _form_of(self, texts: Mapping[int, str]) -> tuple[str, bool]:
        """Return the forms of a row's numbers, and whether other rows can share the result."""
        said = _BETWEEN.join([texts[place] for place in self._formed])
        return _mark(said), said.count(_BETWEEN) < max(1, len(self._formed))  # none is in a cell

    def _count_forms(self, texts: Mapping[int, str], rows: int) -> None:
        """Count a number of rows whose numbers have the same forms."""
        marks, kinds = self._forms(texts)
        shapes = {place: _shape(mark) for place, mark in marks.items()}
        for counters, forms in ((self._own, shapes), (self._marks, marks), (self._cents, kinds)):
            for place, counted in counters.items():
                if forms[place]:
                    counted[forms[place]] += rows
        for pair in self._numbers:
            if shapes[pair[0]] and shapes[pair[1]]:
                self._beside[pair, shapes[pair[0]]] += rows
                self._filled[pair] += rows
        for one, other in self._codes:
            self._shapes[(one, other), shapes[one], shapes[other]] += rows
        for one, other in self._amounts:
            self._shapes[(one, other), kinds[one], kinds[other]] += rows

    def _count_kinds(self, texts: Mapping[int, str]) -> None:
        """Count kinds of values, for which some rows are enough."""
        self._rows += 1
        for place, counted in self._usual.items():
            counted[_mark(texts[place])] += 1
        for place, titled in self._titled.items():
            if text := texts[place]:
                titled[has_doctors_title(text)] += 1
        for place, strong in self._strong.items():
            if text := texts[place]:
                strong[_STRENGTH.search(text) is not None] += 1
        for place in self._parted:
            self._parted[place] += "," in texts[place]

    def _count_texts(self, texts: Mapping[int, str]) -> None:
        for place, counts in self._digits.items():
            if text := texts[place]:
                counts[text.replace(".", "").isdigit()] += 1
        for place, values in self._values.items():
            text = texts[place]
            if text and len(values) < _MOST_VALUES:
                values[text.casefold()] += 1

    def found(self, row: Row) -> Pair | None:
        """Return two columns whose cells this row has exchanged; ``None`` for none."""
        texts = self._texts_of(row)
        found, kinds = self._by_numbers(texts)
        found = found or next(self._lost_numbers(texts, kinds), None)
        for judge in () if found else self._judges:
            found = found or next(judge(texts), None)
        return found

    def _by_numbers(self, texts: Mapping[int, str]) -> tuple[Pair | None, Mapping[int, str]]:
        """Check a row by the forms of its numbers, of which a file has few combinations.

        Returns the result and which amounts have cents, the same for all rows with these forms.
        """
        key, is_sure = self._form_of(texts)
        found = self._by_marks.get(key)
        if found is None:
            while self._written:  # all rows were counted
                self._count_forms(*self._written.popitem()[1])
            marks, kinds = self._forms(texts)
            found = self._by_form(kinds, marks), kinds
            if is_sure:
                if len(self._by_marks) >= _MOST_VERDICTS:
                    self._by_marks.clear()
                self._by_marks[key] = found
        return found

    def _forms(self, texts: Mapping[int, str]) -> tuple[dict[int, str], dict[int, str]]:
        """Return the form of each number, and which amounts have cents, by column."""
        marks = {place: _mark(texts[place]) for place in self._shaped}
        return marks, {place: _kind(texts[place]) for place in self._priced}

    def _by_form(self, kinds: Mapping[int, str], marks: Mapping[int, str]) -> Pair | None:
        """Check a row by the forms of its numbers alone, of which a file has few combinations."""
        shapes = {place: _shape(mark) for place, mark in marks.items()}
        turned = (each for each in self._codes if self._is_turned(each, shapes))
        amounts = (each for each in self._amounts if self._is_turned(each, kinds))
        others = (
            each
            for each in self._numbers
            if self._is_others(each, shapes, self._own) or self._is_others(each, marks, self._marks)
        )
        counts = (each for each in self._counts if self._is_count(each, shapes))
        units = (each for each in self._units if self._is_unit(each, marks))
        return next(itertools.chain(turned, amounts, others, counts, units), None)

    def _lost_numbers(self, texts: Mapping[int, str], kinds: Mapping[int, str]) -> Iterator[Pair]:
        """Yield amounts without cents, unlike the others, where the row lacks such a number."""
        for amount, code in self._lost:
            if kinds[amount] != "none" or texts[code]:
                continue
            cents, codes = self._cents[amount], self._marks[code]
            is_usual = 2 * codes[_mark(texts[amount])] >= codes.total() > 0
            if is_usual and cents["cents"] > cents["none"]:
                yield amount, code

    def _odd(self, texts: Mapping[int, str]) -> Iterator[Pair]:
        """Yield counts with another kind of value in this row, and a note that is a state."""
        for count, beside in self._moved:
            said = texts[count]
            if said.isdigit():
                continue
            words, digits = self._digits[count]
            if digits < words:
                continue
            if looks(said) not in {"", "a number", "an amount"}:
                yield count, beside
        for unit, other in self._homes:
            if texts[other] and not texts[unit] and _UNIT.match(texts[other]):
                yield unit, other
        for state, others in self._states:
            for other in () if texts[state] else others:
                if len(texts[other]) == _FEWEST_LETTERS and is_region(texts[other]):
                    yield other, state

    def _neighbours(self, texts: Mapping[int, str]) -> Iterator[Pair]:
        """Yield a column whose cell has the form of the neighbouring column, in this row only."""
        if self._marked is None:
            self._marked = self._telling_pairs()
        for one, other, mark in self._marked:
            if _mark(texts[one]) == mark != _mark(texts[other]):
                yield one, other

    def _telling_pairs(self) -> list[tuple[int, int, str]]:
        """Return columns with the form of their neighbour, where the forms differ."""
        usual = {
            place: mark
            for place, counted in self._usual.items()
            for mark, count in counted.most_common(1)
            if 2 * count >= self._rows and mark.count("9") >= _FEWEST_DIGITS
        }
        pairs = [*self._beside_ignored, *((two, one) for one, two in self._beside_ignored)]
        return [
            (one, other, usual[other])
            for one, other in pairs
            if other in usual
            and usual.get(one) != usual[other]
            and 2 * self._usual[one][usual[other]] <= self._rows
        ]

    def _comma(self, texts: Mapping[int, str]) -> Iterator[Pair]:
        """Yield a name without a comma beside another party's cell that alone has one.

        Also yield a missing city beside such a cell with a city and its postal code.
        """
        for mine, theirs in self._commas:
            is_bare = "," not in texts[mine] and self._parted[mine] > 0
            if is_bare and "," in texts[theirs] and self._parted[theirs] <= 1:
                yield mine, theirs
        for mine, theirs in self._places:
            if not texts[mine] and _LOCALITY.fullmatch(texts[theirs]):
                yield mine, theirs

    def _drug(self, texts: Mapping[int, str]) -> Iterator[Pair]:
        """Yield a note with a drug's strength beside a drug without one, unlike other rows."""
        for note, things in self._drugs:
            if not _STRENGTH.search(texts[note]) or self._strong[note][True] > 1:
                continue
            for thing in things:
                bare, strong = self._strong[thing]
                if strong > bare and not _STRENGTH.search(texts[thing]):
                    yield note, thing

    def _doctor(self, texts: Mapping[int, str]) -> Iterator[Pair]:
        """Yield a patient with a doctor's title beside a doctor without one, unlike other rows."""
        for theirs, persons in self._doctors:
            other = texts[theirs]
            if not other or has_doctors_title(other):
                continue
            bare, titled = self._titled[theirs]
            for mine in persons if titled >= bare else ():
                others_bare, others_titled = self._titled[mine]
                if others_titled <= others_bare and has_doctors_title(texts[mine]):
                    yield mine, theirs

    def _texts(self, said_at: Mapping[int, str]) -> Iterator[Pair]:
        if self._is_said_once(said_at):
            return
        folded = {place: said_at[place].casefold() for place, _ in self._beside_of}
        for name, city in self._names:
            values, said = self._values[city], folded[name]
            if said not in values:
                continue
            at = said_at[city].casefold()
            if at and said != at and values.get(at, 0) <= 1:
                yield name, city
        for mine, theirs in self._others:
            said = folded[mine]
            if said not in self._values[theirs] or len(said) <= _FEWEST_LETTERS:
                continue
            at = said_at[theirs].casefold()
            if said == at:
                continue
            if (mine, theirs) in self._families and self._values[theirs].get(at, 0) > 1:
                continue  # the payer of others may be a patient, and has a payer, too
            if self._values[mine].get(said, 0) <= 1:
                yield mine, theirs

    def _is_said_once(self, said_at: Mapping[int, str]) -> bool:
        """Return whether no value of a row occurs in the columns it may be exchanged with."""
        if self._said_beside is None:  # all rows were counted
            self._said_beside = [
                (place, frozenset(itertools.chain(*values))) for place, values in self._beside_of
            ]
        return all(said_at[place].casefold() not in said for place, said in self._said_beside)

    def _is_turned(self, pair: Pair, forms: Mapping[int, str]) -> bool:
        """Return whether as many rows have the two forms in reverse."""
        one, other = forms[pair[0]], forms[pair[1]]
        turned = self._shapes.get((pair, other, one), 0)
        is_odd = bool(one and other) and one != other
        return is_odd and turned >= self._shapes.get((pair, one, other), 0) > 0

    def _is_others(
        self, pair: Pair, shapes: Mapping[int, str], counted: Mapping[int, Counter[str]]
    ) -> bool:
        """Return whether a number has the form of another column, whose cell is empty.

        It is unusual in its own column, or rows usually have both.
        """
        one, other = pair
        shape, others = shapes[one], counted[other]
        is_usual = bool(shape) and 2 * others.get(shape, 0) >= others.total() > 0
        if not is_usual or shapes[other] == shape:
            return False
        is_unlike = not shapes[other] and 2 * self._beside[pair, shape] < self._filled[pair]
        return (is_unlike and counted is self._own) or _is_odd(counted[one], shape)

    def _is_unit(self, pair: Pair, marks: Mapping[int, str]) -> bool:
        """Return whether a flat's number has the long form of an id that is missing."""
        unit, other = marks[pair[0]], self._marks[pair[1]]
        is_usual = 2 * other.get(unit, 0) >= other.total() > 0
        return is_usual and _LONG in unit and not marks[pair[1]]

    def _is_count(self, pair: Pair, shapes: Mapping[int, str]) -> bool:
        """Return whether a number looks like a count of pieces, and its row lacks one."""
        one, other = pair
        shape, own, counts = shapes[one], self._own[one], self._own[other]
        said = shapes[other]
        is_none = said not in counts or ("x" in said and _is_odd(counts, said))
        is_lost = shape in counts and is_none
        return is_lost and _is_odd(own, shape) and own.total() <= counts.total() + own[shape]


def _is_odd(own: Counter[str], shape: str) -> bool:
    rows = own.total()
    return len(own) > 1 and (2 * own[shape] < rows or own[shape] <= 1 < rows)


def _alike(theirs: Column, by_field: Mapping[str, Sequence[Column]]) -> list[int]:
    """Return the columns whose cells may be exchanged with those of another party's column."""
    fields = [*_TEXTS]
    meaning = meaning_of(theirs.header)
    is_family = bool(words_of_others(theirs.header) & _FAMILY)
    if meaning is not None and meaning.field == "patient_name":
        fields += [*_NAMES, "last_first"]
    elif meaning is not None and meaning.field in _OF_PERSONS and not is_family:
        fields.append(meaning.field)
    elif meaning is None or not meaning.field:
        fields += [*_NAMES, "last_first"]
    return [each.place for field in fields for each in by_field.get(field, ())]


def _is_persons(column: Column) -> bool:
    meaning = meaning_of(column.header)
    return meaning is not None and meaning.field == "patient_name"


def _kind(text: str) -> str:
    return "" if not text else "cents" if _CENTS.fullmatch(text) else "none"


def _shape(text: str) -> str:
    if text.isascii():
        return text.translate(_ASCII_SHAPES)
    return _DIGITS.sub("9", _LETTERS.sub("x", text))


def _mark(text: str) -> str:
    """Return the form of a number, with its digits replaced."""
    return text.translate(_ASCII_MARKS) if text.isascii() else _DIGITS.sub("9", text)


def _text(cell: Cell) -> str:
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return "" if cell is None else str(cell).strip()
