"""The facts about each column before fields are chosen: choices, layout, header, values."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from gateway.plugin import InvalidInput, Problem
from gateway_csv.columns.cells import Unreadable, money_of, text_of
from gateway_csv.columns.dates import could_be_date
from gateway_csv.columns.evidence import fit
from gateway_csv.columns.headers import (
    MANY,
    How,
    Meaning,
    looks_like,
    meaning_of,
    normal,
    plain,
    words_of_others,
)
from gateway_csv.columns.layouts import KnownLayout, layout_of
from gateway_csv.columns.regions import is_region
from gateway_csv.read.rows import Cell, Row, column_letters

HALF: Final = 0.5
NAMES: Final = frozenset({"patient_name", "last_first", "first_name", "middle_name", "last_name"})
CONTACTS: Final = frozenset({"patient_phone", "patient_email"})
CODE_LIKE: Final = re.compile(r"[A-Za-z]\d[A-Za-z][ -]?\d[A-Za-z]\d|\d{5}(?:-\d{4})?")
_UNIT_CELL: Final = re.compile(
    r"#?\s?\w{1,5}|(?:apt|unit|suite|ste|app|no|#)\b.{1,10}", re.IGNORECASE
)
_DRUG_WORDS: Final = frozenset({"drug", "qty", "quantity", "strength", "medication", "units"})


class DoubtfulColumns(InvalidInput):
    """Several columns may be ``field``; ``headers`` are these columns."""

    def __init__(self, message: str, details: Sequence[Problem], *, headers: Sequence[str]) -> None:
        super().__init__(message, details)
        self.headers = tuple(headers)


class Column(NamedTuple):
    """One column: its place from 0, its header, its field, how it was recognised, and why."""

    place: int
    header: str
    field: str | None = None
    how: How | None = None
    looks_like: str | None = None
    why: str = ""


class Sample:
    """The first rows below a header, and their columns' values, each read once."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows
        self._cells: dict[int, Sequence[str]] = {}
        self._texts: dict[int, Sequence[str]] = {}
        self._folded: dict[int, Sequence[str]] = {}
        self._fits: dict[tuple[str, int], float] = {}

    def cells(self, place: int) -> Sequence[str]:
        """Return a column's text in each row, empty without a value."""
        if place not in self._cells:
            self._cells[place] = [
                (_readable(each.cells[place]) or "") if place < len(each.cells) else ""
                for each in self.rows
            ]
        return self._cells[place]

    def texts(self, place: int) -> Sequence[str]:
        """Return a column's texts, without empty cells."""
        if place not in self._texts:
            self._texts[place] = [each for each in self.cells(place) if each]
        return self._texts[place]

    def by_row(self, place: int) -> Sequence[str]:
        """Return a column's values without their case and punctuation, one for each row."""
        if place not in self._folded:
            self._folded[place] = [_folded(each) for each in self.cells(place)]
        return self._folded[place]

    def fit(self, field: str, place: int) -> float:
        """Return the share of a column's values that may be ``field``."""
        key = field, place
        if key not in self._fits:
            self._fits[key] = fit(field, self.texts(place))
        return self._fits[key]


class Choices(NamedTuple):
    """The chosen fields of columns, by normal header: for this file, and for earlier ones."""

    chosen: Mapping[str, str]
    remembered: Mapping[str, str]

    def of(self, header: str, label: str) -> tuple[str, How] | None:
        """Return the chosen field of a column, empty for an ignored one."""
        for said, how in ((self.chosen, "chosen"), (self.remembered, "remembered")):
            for name in (normal(label), normal(header)):
                if name in said:
                    return said[name], how  # type: ignore[return-value]  # both are How
        return None


def labels_of(headers: Sequence[object]) -> list[str]:
    """Return a unique name for each column: a second ``Name`` gets its column's letter."""
    shown = [plain(each) for each in headers]
    folded = [normal(each) for each in shown]
    return [
        f"{each} (column {column_letters(place)})" if each and folded.count(name) > 1 else each
        for place, (each, name) in enumerate(zip(shown, folded, strict=True))
    ]


class ColumnReading:
    """A table's columns with their headers and sampled values, and the fields taken so far."""

    def __init__(self, headers: Sequence[object], sample: Sample, choices: Choices) -> None:
        self._sample = sample
        self._headers = [plain(each) for each in headers]
        self._labels = labels_of(headers)
        self._fields: dict[int, tuple[str, How]] = {}
        self._why: dict[int, str] = {}
        self._ignored: dict[int, How | None] = {}
        self._meanings: dict[int, Meaning] = {}
        self._fixed: set[str] = set()
        self._layout: KnownLayout | None = layout_of(self._headers)
        self._read_choices(choices)
        self._read_layout()
        self._read_headers()

    def _column(self, place: int) -> Column:
        header = self._labels[place]
        if place in self._fields:
            field, how = self._fields[place]
            return Column(place, header, field, how, None, self._why.get(place, ""))
        ignored = self._ignored.get(place)
        hint = None
        if header and ignored is None and self._layout is None and place not in self._meanings:
            hint = self._hint(place)
        why = self._why.get(place, "")
        if not header and not why and self._sample.texts(place):
            why = "it has no header"
        return Column(place, header, None, ignored, hint, why)

    def _read_choices(self, choices: Choices) -> None:
        for place, (header, label) in enumerate(zip(self._headers, self._labels, strict=True)):
            name = header or f"column {column_letters(place)}"
            said = choices.of(name, label or name)
            if said is None:
                continue
            field, how = said
            if not field:
                self._ignored[place] = how
            elif field in MANY or field not in self._fixed:
                self._fields[place] = field, how
                self._fixed.add(field)
        if self._fixed & NAMES:
            self._fixed |= NAMES

    def _read_layout(self) -> None:
        if self._layout is None:
            return
        taken: set[str] = set(self._fixed)
        places = {normal(each): place for place, each in reversed([*enumerate(self._headers)])}
        for header, field in self._layout.fields.items():
            place = places.get(header)
            free = place is not None and place not in self._fields and place not in self._ignored
            if place is None or not free or (field in taken and field not in MANY):
                continue
            taken.add(field)
            self._fields[place] = field, "layout"
            self._why[place] = f"as {self._layout.name} exports it"
        self._fixed |= taken

    def _read_headers(self) -> None:
        if self._layout is not None:
            return
        names = {normal(each) for each in self._headers}
        for place, header in enumerate(self._headers):
            if place in self._fields or place in self._ignored or not header:
                continue
            meaning = self._in_context(place, header, names)
            if meaning is None:
                continue
            self._meanings[place] = meaning

    def _in_context(self, place: int, header: str, names: set[str]) -> Meaning | None:
        """Read a header whose meaning depends on the other columns."""
        name = normal(header)
        if name == "nom":
            field = "last_name" if names & {"prenom", "prenoms"} else "patient_name"
            return Meaning(field, "none")
        if name in {"unit", "units"}:
            return Meaning("address2", "none") if self._is_flat(place, names) else None
        if name in {"delivery state", "state of delivery"}:
            texts = self._sample.texts(place)
            share = sum(map(is_region, texts)) / len(texts) if texts else 0.0
            if share > HALF:
                return Meaning("state", "delivery")
            return Meaning("status", "none") if texts and not any(map(has_digit, texts)) else None
        if name in {"buzzer", "buzzer code", "buzz", "entry code", "gate code"}:
            return Meaning("notes", "none")
        return meaning_of(header)

    def _party(self, place: int) -> frozenset[str]:
        """Return the words for the owner of another party's column."""
        return words_of_others(self._headers[place])

    def _is_flat(self, place: int, names: set[str]) -> bool:
        """Return whether a column named Unit belongs to an address, not to a drug."""
        beside = [
            found.field
            for index in (place - 1, place + 1)
            if 0 <= index < len(self._headers)
            and (found := meaning_of(self._headers[index])) is not None
        ]
        texts = self._sample.texts(place)
        return (
            any(each in {"patient_address", "city"} for each in beside)
            and not names & _DRUG_WORDS
            and all(_UNIT_CELL.fullmatch(each) for each in texts)
        )

    def _places(self, *fields: str) -> list[int]:
        """Return columns whose headers may mean one of ``fields``, except other parties'."""
        return [
            place
            for place, meaning in self._meanings.items()
            if meaning.field in fields and meaning.role != "other" and place not in self._fields
        ]

    def _take(self, place: int, field: str | None = None, why: str = "") -> None:
        meaning = self._meanings[place]
        self._fields[place] = field or meaning.field, meaning.how
        if why:
            self._why[place] = why

    def _is_settled(self, place: int) -> bool:
        return place in self._fields or place in self._ignored

    def _fits(self, places: Iterable[int]) -> bool:
        return all(self._sample.fit(self._meanings[place].field, place) >= HALF for place in places)

    def _joined(self, places: Sequence[int]) -> list[str]:
        return [" ".join(each) for each in zip(*map(self._sample.by_row, places), strict=True)]

    def _one_of(self, field: str, places: Sequence[int]) -> int:
        """Return the only one, or the first of several equal ones."""
        first, *others = places
        for other in others:
            if not _same(self._sample.by_row(first), self._sample.by_row(other)):
                raise two_readings(field, [self._shown(first), self._shown(other)])
        return first

    def _doubtful_owner(self, place: int) -> str:
        """Return the header before a column that names its owner, if that isn't the patient."""
        meaning = self._meanings.get(place)
        if meaning is None or meaning.role != "none":
            return ""
        for before in range(place - 1, -1, -1):
            owner = self._meanings.get(before)
            if owner is None:
                continue
            is_name = owner.field in NAMES or owner.field == ""
            if is_name and owner.role != "other":
                return ""
            if is_name and owner.role == "other" and owner.field:
                if owner.is_driver and meaning.field not in CONTACTS:
                    continue
                return self._labels[before]
        return ""

    def _rank(self, place: int) -> int:
        meaning = self._meanings[place]
        is_named = self._headers[place].casefold() == meaning.field
        return 4 * is_named + 2 * meaning.rank + (meaning.role != "none")

    def _hint(self, place: int) -> str | None:
        """Return the field that a header resembles and its values may be."""
        field = looks_like(self._headers[place])
        taken = {each for each, _ in self._fields.values()}
        if field is None or (field in taken and field not in MANY):
            return None
        texts = self._sample.texts(place)
        if not texts:
            return field
        judge = _POSITIVE.get(field)
        part = self._sample.fit(field, place) if judge is None else share(texts, judge)
        return field if part > HALF else None

    def _shown(self, place: int) -> str:
        return self._labels[place] or f"column {column_letters(place)}"

    def _list(self, places: Sequence[int]) -> str:
        return " + ".join(map(self._shown, places))


def share(texts: Sequence[str], judge: Callable[[str], object]) -> float:
    """Return the share of ``texts`` that ``judge`` accepts, 0 to 1."""
    # Each is checked once: cities, notes and answers repeat in many rows.
    accepted = [count for each, count in Counter(texts).items() if judge(each)]
    return sum(accepted) / len(texts) if texts else 0.0


def has_digit(text: str) -> bool:
    """Return whether ``text`` has a digit."""
    return any(map(str.isdigit, text))


def _is_money(text: str) -> bool:
    try:
        return money_of(text, decimal_comma=False) is not None
    except Unreadable:
        return False


def _readable(cell: Cell) -> str | None:
    try:
        return text_of(cell)
    except Unreadable:
        return None


def _folded(text: str) -> str:
    return re.sub(r"\W+", "", text).casefold()


def _same(one: Sequence[str], other: Sequence[str]) -> bool:
    """Return whether two columns never differ; an empty cell differs from a filled one."""
    return list(one) == list(other) and any(one)


def two_readings(field: str, headers: Sequence[str]) -> DoubtfulColumns:
    """Return the refusal of a file in which two columns may be ``field``."""
    one, other = headers[:2]
    pick = one.split(" + ", maxsplit=1)[0]
    return DoubtfulColumns(
        f"Two columns may be {field}, and they differ.",
        [
            Problem(
                f"{one} or {other}: say which one it is, as in "
                f'--column "{pick}={field}" (over HTTP: columns={{"{pick}": "{field}"}}); that is '
                "remembered for the sender",
                field=field,
            )
        ],
        headers=[each for header in headers for each in header.split(" + ")],
    )


_POSITIVE: Final[Mapping[str, Callable[[str], object]]] = {
    "copay_amount": _is_money,
    "delivery_date": could_be_date,
    "external_order_id": has_digit,
    "external_patient_id": has_digit,
    "rx_number": has_digit,
    "patient_phone": lambda text: sum(map(str.isdigit, text)) >= 7,  # noqa: PLR2004
    "patient_email": lambda text: "@" in text,
    "postal_code": CODE_LIKE.fullmatch,
    "address2": lambda text: has_digit(text) and len(text) < 12,  # noqa: PLR2004
    "state": is_region,
    "site": lambda text: not has_digit(text),
}
