"""Which column is which field, judged by the headers, their neighbours, and the values below.

A column is taken by its exact name or a known synonym, as somebody chose, or because the whole
file has a layout that is known. Of several columns for one field the one that says most exactly
whose it is counts: delivery before patient before neither; a prescriber's, a pharmacy's or a
driver's never counts. Where two are equally good and differ, the file is refused, and the error
says how to choose. Nothing is taken whose values say that it is something else.
"""

import itertools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from gateway.plugin import InvalidInput, Problem
from gateway_csv.columns.cells import Unreadable, money_of, text_of
from gateway_csv.columns.dates import could_be_date
from gateway_csv.columns.evidence import (
    column_fit,
    ends_with_postal_code,
    fit,
    has_capital,
    looks,
    names_street,
)
from gateway_csv.columns.headers import (
    MANY,
    METADATA,
    How,
    Meaning,
    Role,
    looks_like,
    meaning_of,
    merged_fields,
    normal,
    plain,
)
from gateway_csv.columns.layouts import KnownLayout, layout_of
from gateway_csv.columns.regions import is_region
from gateway_csv.read.rows import Cell, Row, column_letters

_HALF: Final = 0.5
_NAMES: Final = frozenset({"patient_name", "last_first", "first_name", "middle_name", "last_name"})
_STREETS: Final = frozenset({"patient_address"})
_PARTS: Final = (
    "street_number",
    "address2",
    "locality",
    "city",
    "state",
    "postal_code",
    "country",
)
_CONTACTS: Final = frozenset({"patient_phone", "patient_email"})
_RANK: Final[Mapping[Role, int]] = {"delivery": 3, "patient": 2, "none": 1, "other": 0}
_CODE_LIKE: Final = re.compile(r"[A-Za-z]\d[A-Za-z][ -]?\d[A-Za-z]\d|\d{5}(?:-\d{4})?")
_WORD: Final = re.compile(r"[^\W\d_]+")
_TITLE: Final = re.compile(r"[A-Z][a-z'-]+(?: [A-Z][\w'.-]*)+")
_CITY_WORDS: Final = 3
_UNIT_CELL: Final = re.compile(
    r"#?\s?\w{1,5}|(?:apt|unit|suite|ste|app|no|#)\b.{1,10}", re.IGNORECASE
)
_DRUG_WORDS: Final = frozenset({"drug", "qty", "quantity", "strength", "medication", "units"})


class Column(NamedTuple):
    """One column: its place from 0, its header, the field it is taken for, how, and why."""

    place: int
    header: str
    field: str | None = None
    how: How | None = None
    looks_like: str | None = None
    why: str = ""


class Sample(NamedTuple):
    """The columns' values in the first rows below a header, each column's filled ones only."""

    rows: Sequence[Row]

    def texts(self, place: int) -> list[str]:
        """Return what a column says, empty cells left out."""
        found = (_readable(each.cells[place]) for each in self.rows if place < len(each.cells))
        return [each for each in found if each]

    def fit(self, field: str, place: int) -> float:
        """Return the share of a column's values that may be ``field``."""
        return fit(field, self.texts(place))

    def by_row(self, place: int) -> list[str]:
        """Return a column's values, one for each row."""
        return [
            _folded(_readable(each.cells[place]) or "") if place < len(each.cells) else ""
            for each in self.rows
        ]


class Choices(NamedTuple):
    """What was said of the columns, by normal header: for this file, and for earlier ones."""

    chosen: Mapping[str, str]
    remembered: Mapping[str, str]

    def of(self, header: str, label: str) -> tuple[str, How] | None:
        """Return the field that a column was said to be, empty for one to ignore."""
        for said, how in ((self.chosen, "chosen"), (self.remembered, "remembered")):
            for name in (normal(label), normal(header)):
                if name in said:
                    return said[name], how  # type: ignore[return-value]  # both are How
        return None


def choose_columns(
    headers: Sequence[object], rows: Sequence[Row], choices: Choices
) -> list[Column]:
    """Say of each column which field it is; raises ``InvalidInput`` where that is in doubt."""
    return _Chooser(headers, Sample(rows), choices).columns()


def labels_of(headers: Sequence[object]) -> list[str]:
    """Return a name for each column that no other has: a second ``Name`` says its column."""
    shown = [plain(each) for each in headers]
    folded = [normal(each) for each in shown]
    return [
        f"{each} (column {column_letters(place)})" if each and folded.count(name) > 1 else each
        for place, (each, name) in enumerate(zip(shown, folded, strict=True))
    ]


class _Chooser:
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

    def columns(self) -> list[Column]:
        """Decide, field by field."""
        self._choose_name()
        self._choose_address()
        self._choose_contacts()
        self._choose_others()
        self._refuse_lost_address_parts()
        return [self._column(place) for place in range(len(self._headers))]

    def _column(self, place: int) -> Column:
        header = self._labels[place]
        if place in self._fields:
            field, how = self._fields[place]
            return Column(place, header, field, how, None, self._why.get(place, ""))
        ignored = self._ignored.get(place)
        hint = None
        if header and ignored is None and self._layout is None and place not in self._meanings:
            hint = self._hint(place)
        return Column(place, header, None, ignored, hint, self._why.get(place, ""))

    # What is settled before anything is compared.

    def _read_choices(self, choices: Choices) -> None:
        for place, (header, label) in enumerate(zip(self._headers, self._labels, strict=True)):
            said = choices.of(header, label) if header else None
            if said is None:
                continue
            field, how = said
            if not field:
                self._ignored[place] = how
            elif field in MANY or field not in self._fixed:
                self._fields[place] = field, how
                self._fixed.add(field)
        if self._fixed & _NAMES:
            self._fixed |= _NAMES

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
        """Read a header that means one thing beside some columns and another beside others."""
        name = normal(header)
        if name == "nom":
            field = "last_name" if names & {"prenom", "prenoms"} else "patient_name"
            return Meaning(field, "none")
        if name in {"unit", "units"}:
            return Meaning("address2", "none") if self._is_flat(place, names) else None
        if name in {"delivery state", "state of delivery"}:
            texts = self._sample.texts(place)
            share = sum(map(is_region, texts)) / len(texts) if texts else 0.0
            if share > _HALF:
                return Meaning("state", "delivery")
            return Meaning("status", "none") if texts and not any(map(_has_digit, texts)) else None
        if name in {"buzzer", "buzzer code", "buzz", "entry code", "gate code"}:
            return Meaning("notes", "none")
        return meaning_of(header)

    def _is_flat(self, place: int, names: set[str]) -> bool:
        """Say whether a column called Unit is that of an address, not of a drug."""
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

    # One field after the other.

    def _places(self, *fields: str) -> list[int]:
        """Return the columns that may be one of ``fields`` by their headers, and aren't others'."""
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

    def _choose_name(self) -> None:
        if self._fixed & _NAMES:
            return
        whole = self._places("patient_name", "last_first")
        self._refuse_same_header("patient_name", whole)
        parts = self._name_parts()
        options: list[tuple[int, tuple[int, ...]]] = [
            (self._name_rank(each), (each,)) for each in whole
        ]
        options += [(min(map(self._name_rank, each)), each) for each in parts]
        fitting = [each for each in options if self._fits(each[1])]
        if options and not fitting:
            worst = options[0][1][0]
            raise _doubtful(
                f"{self._shown(worst)} is called a name, and its values are none",
                [self._shown(worst)],
                "patient_name",
            )
        if not fitting:
            self._refuse_part_of_name()
            return
        best = max(rank for rank, _ in fitting)
        first, *others = [places for rank, places in fitting if rank == best]
        joined = self._joined(first)
        for other in others:
            if not _same_words(joined, self._joined(other)):
                raise _two_readings("patient_name", [self._list(first), self._list(other)])
        beaten = [places for _, places in options if places != first and places not in others]
        why = f"not {self._list(beaten[0])}" if beaten else ""
        self._refuse_half_of_name(first)
        self._refuse_other_names(first)
        self._refuse_city_names(first)
        for place in first:
            self._refuse_small_letters(place)
            self._take(place, why=why)

    def _refuse_small_letters(self, place: int) -> None:
        """Refuse names in small letters where the notes are in capital ones."""
        texts = self._sample.texts(place)
        if not texts or _share(texts, has_capital) > _HALF:
            return
        for other, meaning in self._meanings.items():
            if meaning.field == "notes" and _share(self._sample.texts(other), _is_name) > _HALF:
                raise _doubtful(
                    f"{self._shown(place)} is in small letters, and {self._shown(other)} has names",
                    [self._shown(place)],
                    self._meanings[place].field,
                )

    def _refuse_half_of_name(self, places: tuple[int, ...]) -> None:
        """Refuse a name of one word beside a column that nobody knows, of one word too."""
        if len(places) > 1:
            return
        words = [len(each.split()) for each in self._sample.texts(places[0])]
        if not words or 2 * sum(each == 1 for each in words) < len(words):
            return
        for beside in (places[0] - 1, places[0] + 1):
            if not 0 <= beside < len(self._headers) or self._is_settled(beside):
                continue
            if (
                beside not in self._meanings
                and _share(self._sample.texts(beside), _is_one_word) > _HALF
            ):
                raise _doubtful(
                    f"{self._shown(places[0])} has names of one word, and {self._shown(beside)} "
                    "beside it may be the other part",
                    [self._shown(beside)],
                    "patient_name",
                )

    def _refuse_other_names(self, places: tuple[int, ...]) -> None:
        """Refuse names in small letters where another column has names as they are written."""
        texts = [text for place in places for text in self._sample.texts(place)]
        if not texts or _share(texts, has_capital) > _HALF:
            return
        for place in range(len(self._headers)):
            if place not in places and _share(self._sample.texts(place), _TITLE.fullmatch) > _HALF:
                raise _doubtful(
                    f"{self._shown(places[0])} has no names as they are usually written, and "
                    f"{self._shown(place)} has",
                    [self._shown(places[0])],
                    "patient_name",
                )

    def _refuse_city_names(self, places: tuple[int, ...]) -> None:
        """Refuse names of one word where the city's column has names of several."""
        words = [len(each.split()) for each in self._sample.texts(places[0])]
        if len(places) > 1 or 2 * sum(each > 1 for each in words) >= len(words):
            return
        for city in self._places("city"):
            if _share(self._sample.texts(city), _TITLE.fullmatch) > _HALF:
                raise _doubtful(
                    f"{self._shown(places[0])} has names of one word, and {self._shown(city)} has "
                    "names of several",
                    [self._shown(places[0])],
                    "patient_name",
                )

    def _is_settled(self, place: int) -> bool:
        return place in self._fields or place in self._ignored

    def _name_rank(self, place: int) -> int:
        return 2 if self._meanings[place].role in {"patient", "delivery"} else 1

    def _name_parts(self) -> list[tuple[int, ...]]:
        found = []
        for role in ("delivery", "patient", "none"):
            of_role = {
                field: [
                    place for place in self._places(field) if self._meanings[place].role == role
                ]
                for field in ("first_name", "middle_name", "last_name")
            }
            if any(len(each) > 1 for each in of_role.values()):
                field, places = next(each for each in of_role.items() if len(each[1]) > 1)
                if len({tuple(self._sample.by_row(each)) for each in places}) > 1:
                    raise _two_readings(field, [self._shown(each) for each in places])
            if of_role["first_name"] and of_role["last_name"]:
                found.append(tuple(each[0] for each in of_role.values() if each))
        if not found:  # "Patient First Name" and "Surname": there is no other name to mix it with
            parts = [self._places(each) for each in ("first_name", "middle_name", "last_name")]
            if len(parts[0]) == len(parts[2]) == 1 and len(parts[1]) <= 1:
                found.append(tuple(each[0] for each in parts if each))
        return found

    def _refuse_part_of_name(self) -> None:
        for place in self._places("first_name", "last_name"):
            raise InvalidInput(
                "The table lacks a column that every order needs.",
                [
                    Problem(
                        f"{self._shown(place)} is only a part of a name, and there is no column "
                        "for the other part: map it, or map a column with the whole name "
                        f'(--column "{self._labels[place]}=patient_name")',
                        field="patient_name",
                    )
                ],
            )

    def _fits(self, places: Iterable[int]) -> bool:
        return all(
            self._sample.fit(self._meanings[place].field, place) >= _HALF for place in places
        )

    def _joined(self, places: Sequence[int]) -> list[str]:
        return [" ".join(each) for each in zip(*map(self._sample.by_row, places), strict=True)]

    def _choose_address(self) -> None:
        street = next((each for each, it in self._fields.items() if it[0] in _STREETS), None)
        role: Role = "none"
        if street is None:
            found = self._street()
            if found is None:
                return
            street = found
            role = self._meanings[street].role
            if self._doubtful_owner(street):
                raise _doubtful(
                    f"{self._shown(street)} stands behind a column of somebody else "
                    f"({self._doubtful_owner(street)}): it may not be the patient's",
                    [self._shown(street)],
                    "patient_address",
                )
            beaten = [
                each
                for each, meaning in self._meanings.items()
                if meaning.field in _STREETS and each != street
            ]
            self._take(street, why=f"not {self._shown(beaten[0])}" if beaten else "")
        self._choose_parts(street, role)

    def _street(self) -> int | None:
        places = self._places("patient_address")
        if not places:
            return None
        self._refuse_same_header("patient_address", places)
        fitting = [each for each in places if self._sample.fit("patient_address", each) >= _HALF]
        if not fitting:
            raise _doubtful(
                f"{self._shown(places[0])} is called an address, and its values are none: they "
                "have no street and number",
                [self._shown(places[0])],
                "patient_address",
            )
        best = max(_RANK[self._meanings[each].role] for each in fitting)
        first, *others = [each for each in fitting if _RANK[self._meanings[each].role] == best]
        for other in others:
            longer = _longer(self._sample.by_row(first), self._sample.by_row(other))
            if longer is None:
                raise _two_readings("patient_address", [self._shown(first), self._shown(other)])
            first = first if longer else other
        return first

    def _choose_parts(self, street: int, role: Role) -> None:
        other_streets = {
            meaning.role
            for place, meaning in self._meanings.items()
            if meaning.field in _STREETS and place != street
        }
        for field in _PARTS:
            if field in self._fixed:
                continue
            places = [each for each in self._places(field) if not self._doubtful_owner(each)]
            same = [each for each in places if self._meanings[each].role == role]
            loose = [each for each in places if self._meanings[each].role not in other_streets]
            chosen = same or loose
            if not chosen:
                self._refuse_part_of_somebody_else(field)
                if "none" not in other_streets:
                    self._refuse_doubtful_part(field)
                continue
            if len({self._meanings[each].role for each in chosen}) > 1:
                best = max(_RANK[self._meanings[each].role] for each in chosen)
                chosen = [each for each in chosen if _RANK[self._meanings[each].role] == best]
            first = self._one_of(field, chosen)
            if self._sample.fit(field, first) < _HALF or self._is_misplaced(field, first):
                raise _doubtful(
                    f"{self._shown(first)} is called {field}, and its values are none",
                    [self._shown(first)],
                    field,
                )
            if field == "city":
                self._refuse_small_letters(first)
            self._take(first)

    def _is_misplaced(self, field: str, place: int) -> bool:
        """Say whether states or units stand in another column than the one that is called that."""
        judge = {"state": is_region, "address2": _is_unit}.get(field)
        if judge is None or _share(self._sample.texts(place), judge) > _HALF:
            return False
        return any(
            _share(self._sample.texts(each), judge) > _HALF
            for each in range(len(self._headers))
            if each != place
        )

    def _refuse_doubtful_part(self, field: str) -> None:
        for place in self._places(field):
            owner = self._doubtful_owner(place)
            if owner:
                raise _doubtful(
                    f"{self._shown(place)} stands behind a column of somebody else ({owner})",
                    [self._shown(place)],
                    field,
                )

    def _refuse_part_of_somebody_else(self, field: str) -> None:
        """Refuse a part of an address that is somebody else's who has no street."""
        others = [each for each, it in self._meanings.items() if it.role == "other"]
        parts = [each for each in others if self._meanings[each].field == field]
        if parts and not any(self._meanings[each].field in _STREETS for each in others):
            raise _doubtful(
                f"{self._shown(parts[0])} is the only {field}, and the file has no street for it",
                [self._shown(parts[0])],
                field,
            )

    def _one_of(self, field: str, places: Sequence[int]) -> int:
        """Return the only one, or the first of several that say the same."""
        first, *others = places
        for other in others:
            if not _same(self._sample.by_row(first), self._sample.by_row(other)):
                raise _two_readings(field, [self._shown(first), self._shown(other)])
        return first

    def _doubtful_owner(self, place: int) -> str:
        """Return the header before a column that says whose it is, if that isn't the patient."""
        meaning = self._meanings.get(place)
        if meaning is None or meaning.role != "none":
            return ""
        for before in range(place - 1, -1, -1):
            owner = self._meanings.get(before)
            if owner is None:
                continue
            is_name = owner.field in _NAMES or owner.field == ""
            if is_name and owner.role != "other":
                return ""
            if is_name and owner.role == "other" and owner.field:
                if owner.is_driver and meaning.field not in _CONTACTS:
                    continue
                return self._labels[before]
        return ""

    def _choose_contacts(self) -> None:
        for field in sorted(_CONTACTS - self._fixed):
            places = self._places(field)
            sure = [each for each in places if not self._doubtful_owner(each)]
            for each in set(places) - set(sure):
                self._why[each] = (
                    f"it stands behind {self._doubtful_owner(each)} and may not be the patient's"
                )
            if not sure:
                continue
            best = max(_RANK[self._meanings[each].role] for each in sure)
            equal = [each for each in sure if _RANK[self._meanings[each].role] == best]
            chosen = equal if field in MANY else [self._one_of(field, equal)]
            self._refuse_same_header(field, chosen)
            if field == "patient_email":
                self._refuse_odd(field, chosen)
            for each in chosen:
                self._take(each)

    def _refuse_same_header(self, field: str, places: Sequence[int]) -> None:
        """Refuse columns of one and the same header that differ: one of them is a stray."""
        for one, other in itertools.combinations(places, 2):
            both = zip(self._sample.by_row(one), self._sample.by_row(other), strict=True)
            is_same = normal(self._headers[one]) == normal(self._headers[other])
            if is_same and any(a and b and a != b for a, b in both):
                raise _two_readings(field, [self._shown(one), self._shown(other)])

    def _refuse_odd(self, field: str, places: Sequence[int]) -> None:
        for each in places:
            if column_fit(field, self._sample.texts(each)) < _HALF:
                raise _doubtful(
                    f"{self._shown(each)} is called {field}, and its values are none",
                    [self._shown(each)],
                    field,
                )

    def _choose_others(self) -> None:
        settled = {*_NAMES, *_STREETS, *_PARTS, *_CONTACTS, "", *self._fixed}
        fields = {meaning.field for meaning in self._meanings.values()} - settled
        for field in sorted(fields):
            places = self._places(field)
            if not places:
                continue
            if field in MANY or field.startswith(METADATA):
                if field == "notes":
                    self._refuse_same_header(field, places)
                    self._refuse_odd(field, places)
                for each in places:
                    self._take(each)
                continue
            best = max(map(self._rank, places))
            first = self._one_of(field, [each for each in places if self._rank(each) == best])
            if self._sample.fit(field, first) < _HALF:
                raise _doubtful(
                    f"{self._shown(first)} is called {field}, and its values are none",
                    [self._shown(first)],
                    field,
                )
            self._take(first)

    def _rank(self, place: int) -> int:
        meaning = self._meanings[place]
        is_named = self._headers[place].casefold() == meaning.field
        return 4 * is_named + 2 * meaning.rank + (meaning.role != "none")

    # What would be lost without a word.

    def _refuse_lost_address_parts(self) -> None:
        """Refuse a file in which a column that nobody knows holds a part of the address."""
        if self._layout is not None:
            return
        fields = {field for field, _ in self._fields.values()}
        if not fields & _STREETS:
            return
        for place, header in enumerate(self._headers):
            meaning = self._meanings.get(place)
            if place in self._fields or place in self._ignored or meaning is not None:
                continue
            merged = merged_fields(header)
            if merged & {*_NAMES, *_STREETS, *_PARTS} and self._sample.texts(place):
                raise InvalidInput(
                    "A column has more than one field in it.",
                    [
                        Problem(
                            f"{self._shown(place)} is called {' and '.join(sorted(merged))}: make "
                            f'a column of each, or leave it out (--column "{header}=ignore")',
                            field=min(merged),
                        )
                    ],
                )
            part = self._lost_part(place, fields)
            if part is not None and (header or self._sample.texts(place)):
                raise InvalidInput(
                    "A column looks like a part of the address, and its header isn't known.",
                    [
                        Problem(
                            f"{self._shown(place)} holds what looks like {part}: say what it is "
                            f'(--column "{header or "…"}={part}"), or that it is none '
                            f'(--column "{header or "…"}=ignore")',
                            field=part,
                        )
                    ],
                )

    def _lost_part(self, place: int, fields: set[str]) -> str | None:
        texts = self._sample.texts(place)
        if not texts:
            return None
        beside = [self._fields[each][0] for each in (place - 1, place + 1) if each in self._fields]
        is_beside = any(each in _STREETS or each in _PARTS for each in beside)
        # Before the name a column is a number of the row, behind it is something of the address.
        if "locality" in fields:
            fields = fields | {"city", "state", "postal_code"}
        has_parts = bool(fields & {"city", "state"})
        is_split = bool(fields & {"city", "state", "postal_code"})
        parts: tuple[tuple[str, bool, Callable[[str], object]], ...] = (
            ("postal_code", is_beside or has_parts, _CODE_LIKE.fullmatch),
            ("address2", True, _is_unit),
            ("state", is_beside or is_split, is_region),
            ("city", is_split, _is_city),
            ("address2", is_beside, names_street),
            ("locality", is_beside, ends_with_postal_code),
        )
        return next(
            (
                part
                for part, is_possible, judge in parts
                if is_possible and part not in fields and _share(texts, judge) > _HALF
            ),
            None,
        )

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
        share = self._sample.fit(field, place) if judge is None else _share(texts, judge)
        return field if share > _HALF else None

    def _shown(self, place: int) -> str:
        return self._labels[place] or f"column {column_letters(place)}"

    def _list(self, places: Sequence[int]) -> str:
        return " + ".join(map(self._shown, places))


def _share(texts: Sequence[str], judge: Callable[[str], object]) -> float:
    return sum(bool(judge(each)) for each in texts) / len(texts) if texts else 0.0


def _has_digit(text: str) -> bool:
    return any(map(str.isdigit, text))


def _is_unit(text: str) -> bool:
    return looks(text) == "a unit of an address"


def _is_words(text: str) -> bool:
    return len(text) > 3 and not _has_digit(text) and bool(_WORD.search(text))  # noqa: PLR2004


def _is_one_word(text: str) -> bool:
    return " " not in text and not _has_digit(text) and bool(_WORD.search(text))


def _is_name(text: str) -> bool:
    return not _has_digit(text) and has_capital(text[:1])


def _is_city(text: str) -> bool:
    return _is_words(text) and has_capital(text) and len(text.split()) <= _CITY_WORDS


def _is_money(text: str) -> bool:
    try:
        return money_of(text, decimal_comma=False) is not None
    except Unreadable:
        return False


_POSITIVE: Final[Mapping[str, Callable[[str], object]]] = {
    "copay_amount": _is_money,
    "delivery_date": could_be_date,
    "external_order_id": _has_digit,
    "external_patient_id": _has_digit,
    "rx_number": _has_digit,
    "patient_phone": lambda text: sum(map(str.isdigit, text)) >= 7,  # noqa: PLR2004
    "patient_email": lambda text: "@" in text,
    "postal_code": _CODE_LIKE.fullmatch,
    "address2": lambda text: _has_digit(text) and len(text) < 12,  # noqa: PLR2004
    "state": is_region,
    "site": lambda text: not _has_digit(text),
}


def _readable(cell: Cell) -> str | None:
    try:
        return text_of(cell)
    except Unreadable:
        return None


def _folded(text: str) -> str:
    return re.sub(r"\W+", "", text).casefold()


def _same(one: Sequence[str], other: Sequence[str]) -> bool:
    """Say whether two columns never differ; an empty cell differs from a filled one."""
    return list(one) == list(other) and any(one)


def _same_words(one: Sequence[str], other: Sequence[str]) -> bool:
    return [sorted(each.replace(" ", "")) for each in one] == [
        sorted(each.replace(" ", "")) for each in other
    ] and any(one)


def _longer(one: Sequence[str], other: Sequence[str]) -> bool | None:
    """Say whether one of two columns always says what the other says, and perhaps more."""
    if all(a.startswith(b) for a, b in zip(one, other, strict=True)):
        return True
    if all(b.startswith(a) for a, b in zip(one, other, strict=True)):
        return False
    return None


def _two_readings(field: str, headers: Sequence[str]) -> InvalidInput:
    one, other = headers[:2]
    pick = one.split(" + ", maxsplit=1)[0]
    return InvalidInput(
        f"Two columns may be {field}, and they differ.",
        [
            Problem(
                f"{one} or {other}: say which one it is, as in "
                f'--column "{pick}={field}" (over HTTP: columns={{"{pick}": "{field}"}}); that is '
                "remembered for the sender",
                field=field,
            )
        ],
    )


def _doubtful(message: str, headers: Sequence[str], field: str) -> InvalidInput:
    return InvalidInput(
        f"It is in doubt which column is {field}.",
        [
            Problem(
                f'{message}; say which column is {field} (--column "HEADER={field}"), or that '
                f'this one is none (--column "{headers[0]}=ignore")',
                field=field,
            )
        ],
    )
