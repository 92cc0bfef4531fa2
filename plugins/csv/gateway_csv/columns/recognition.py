"""Recognises the field of each column, by the headers, their neighbours, and the values below.

A column is recognised by its exact name or a known synonym, by the sender's choice, or because the
whole file has a known layout. Of several columns for one field the one with the most specific owner
counts: delivery before patient before neither; a prescriber's, a pharmacy's or a driver's never
counts. Where two are equally good and differ, the file is refused, and the error says how to
choose. A column whose values don't fit isn't recognised.
"""

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from gateway.plugin import Problem
from gateway_csv.columns.cross_checks import check_columns
from gateway_csv.columns.evidence import column_fit
from gateway_csv.columns.headers import (
    MANY,
    METADATA,
    Role,
    meaning_of,
    merged_fields,
    normal,
)
from gateway_csv.columns.reading import (
    CODE_LIKE,
    CONTACTS,
    HALF,
    NAMES,
    Choices,
    Column,
    ColumnReading,
    DoubtfulColumns,
    Sample,
    has_digit,
    share,
    two_readings,
)
from gateway_csv.columns.regions import is_region
from gateway_csv.columns.shapes import ends_with_postal_code, has_capital, looks, names_street
from gateway_csv.columns.taken_columns import PLACE
from gateway_csv.read.rows import Row

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
_RANK: Final[Mapping[Role, int]] = {"delivery": 3, "patient": 2, "none": 1, "other": 0}
_WORD: Final = re.compile(r"[^\W\d_]+")
_TITLE: Final = re.compile(r"[A-Z][a-z'-]+(?: [A-Z][\w'.-]*)+")
_CITY_WORDS: Final = 3
_GOING_ON: Final = frozenset({"notes", "city", "patient_address", "locality"})
_BESIDE_NAMES: Final = frozenset(
    {"suffix", "title", "salutation", "nickname", "gender", "sex", "initials", "generation"}
)
_NEARLY_ALL: Final = 0.8
_NUMBER_BEHIND: Final = re.compile(r" ?\d$")
_ONE_TEXT: Final = NAMES | {"patient_address", "city", "state", "postal_code", "locality"}


def recognise_columns(
    headers: Sequence[object], rows: Sequence[Row], choices: Choices
) -> list[Column]:
    """Return the field of each column; raises ``InvalidInput`` where it is in doubt."""
    sample = Sample(rows)
    columns = _Recognition(headers, sample, choices).columns()
    check_columns(columns, sample)
    return columns


class _Recognition(ColumnReading):
    def columns(self) -> list[Column]:
        """Decide, field by field."""
        self._choose_name()
        self._choose_address()
        self._choose_contacts()
        self._choose_others()
        self._refuse_lost_address_parts()
        return [self._column(place) for place in range(len(self._headers))]

    def _choose_name(self) -> None:
        if self._fixed & NAMES:
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
                raise two_readings("patient_name", [self._list(first), self._list(other)])
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
        if not texts or share(texts, has_capital) > HALF:
            return
        for other, meaning in self._meanings.items():
            if meaning.field == "notes" and share(self._sample.texts(other), _is_name) > HALF:
                raise _doubtful(
                    f"{self._shown(place)} is in small letters, and {self._shown(other)} has names",
                    [self._shown(place)],
                    self._meanings[place].field,
                )

    def _refuse_half_of_name(self, places: tuple[int, ...]) -> None:
        """Refuse a name of one word beside an unknown column of one word."""
        if len(places) > 1:
            return
        names = self._sample.cells(places[0])
        for beside in (places[0] - 1, places[0] + 1):
            if not 0 <= beside < len(self._headers) or self._is_settled(beside):
                continue
            cells = zip(names, self._sample.cells(beside), strict=True)
            is_turned = self._meanings[places[0]].field == "last_first"
            words = [
                1 if is_turned and "," not in name else len(name.split())
                for name, cell in cells
                if name and cell
            ]
            if not words or 2 * sum(each == 1 for each in words) < len(words):
                continue
            if beside not in self._meanings and share(self._sample.texts(beside), _is_name) > HALF:
                raise _doubtful(
                    f"{self._shown(places[0])} has names of one word, and {self._shown(beside)} "
                    "beside it may be the other part",
                    [self._shown(beside)],
                    "patient_name",
                )

    def _refuse_other_names(self, places: tuple[int, ...]) -> None:
        """Refuse names in small letters where another column has names as they are written."""
        texts = [text for place in places for text in self._sample.texts(place)]
        if not texts or share(texts, has_capital) > HALF:
            return
        for place in range(len(self._headers)):
            if place not in places and share(self._sample.texts(place), _TITLE.fullmatch) > HALF:
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
            if share(self._sample.texts(city), _TITLE.fullmatch) > HALF:
                raise _doubtful(
                    f"{self._shown(places[0])} has names of one word, and {self._shown(city)} has "
                    "names of several",
                    [self._shown(places[0])],
                    "patient_name",
                )

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
                    raise two_readings(field, [self._shown(each) for each in places])
            if of_role["first_name"] and of_role["last_name"]:
                found.append(tuple(each[0] for each in of_role.values() if each))
        # "Patient First Name" and "Surname": there is no other name to confuse it with
        if not found:
            parts = [self._places(each) for each in ("first_name", "middle_name", "last_name")]
            if len(parts[0]) == len(parts[2]) == 1 and len(parts[1]) <= 1:
                found.append(tuple(each[0] for each in parts if each))
        return found

    def _refuse_part_of_name(self) -> None:
        for place in self._places("first_name", "last_name"):
            raise DoubtfulColumns(
                "The table lacks a column that every order needs.",
                [
                    Problem(
                        f"{self._shown(place)} is only a part of a name, and there is no column "
                        "for the other part: map it, or map a column with the whole name "
                        f'(--column "{self._labels[place]}=patient_name")',
                        field="patient_name",
                    )
                ],
                headers=[self._shown(place)],
            )

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
                    f"{self._shown(street)} stands behind a column of another party "
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
        fitting = [each for each in places if self._sample.fit("patient_address", each) >= HALF]
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
                raise two_readings("patient_address", [self._shown(first), self._shown(other)])
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
                self._refuse_part_of_another_party(field)
                if "none" not in other_streets:
                    self._refuse_doubtful_part(field)
                continue
            if len({self._meanings[each].role for each in chosen}) > 1:
                best = max(_RANK[self._meanings[each].role] for each in chosen)
                chosen = [each for each in chosen if _RANK[self._meanings[each].role] == best]
            first = self._one_of(field, chosen)
            if self._sample.fit(field, first) < HALF or self._is_misplaced(field, first):
                raise _doubtful(
                    f"{self._shown(first)} is called {field}, and its values are none",
                    [self._shown(first)],
                    field,
                )
            if field == "city":
                self._refuse_small_letters(first)
            self._take(first)

    def _is_misplaced(self, field: str, place: int) -> bool:
        """Return whether states or units are in another column than the one with that header."""
        judge = {"state": is_region, "address2": _is_unit}.get(field)
        if judge is None or share(self._sample.texts(place), judge) > HALF:
            return False
        return any(
            share(self._sample.texts(each), judge) > HALF
            for each in range(len(self._headers))
            if each != place
        )

    def _refuse_doubtful_part(self, field: str) -> None:
        for place in self._places(field):
            owner = self._doubtful_owner(place)
            if owner:
                raise _doubtful(
                    f"{self._shown(place)} stands behind a column of another party ({owner})",
                    [self._shown(place)],
                    field,
                )

    def _refuse_part_of_another_party(self, field: str) -> None:
        """Refuse an address part of another party that has no street."""
        others = [each for each, it in self._meanings.items() if it.role == "other"]
        parts = [each for each in others if self._meanings[each].field == field]
        streets = [each for each in others if self._meanings[each].field in _STREETS]
        if parts and not any(self._party(each) & self._party(parts[0]) for each in streets):
            raise _doubtful(
                f"{self._shown(parts[0])} is the only {field}, and the file has no street for it",
                [self._shown(parts[0])],
                field,
            )

    def _choose_contacts(self) -> None:
        for field in sorted(CONTACTS - self._fixed):
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
        """Refuse columns with the same header that differ: one of them is an error.

        Where one is filled and the other is empty, either may be right.
        """
        for one, other in itertools.combinations(places, 2):
            texts, others = self._sample.by_row(one), self._sample.by_row(other)
            is_same = normal(self._headers[one]) == normal(self._headers[other])
            if is_same and any(texts) and any(others) and texts != others:
                raise two_readings(field, [self._shown(one), self._shown(other)])

    def _refuse_odd(self, field: str, places: Sequence[int]) -> None:
        for each in places:
            if column_fit(field, self._sample.texts(each)) < HALF:
                raise _doubtful(
                    f"{self._shown(each)} is called {field}, and its values are none",
                    [self._shown(each)],
                    field,
                )

    def _choose_others(self) -> None:
        settled = {*NAMES, *_STREETS, *_PARTS, *CONTACTS, "", *self._fixed}
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
            if self._sample.fit(field, first) < HALF:
                raise _doubtful(
                    f"{self._shown(first)} is called {field}, and its values are none",
                    [self._shown(first)],
                    field,
                )
            self._take(first)

    def _refuse_lost_address_parts(self) -> None:
        """Refuse a file in which an unknown column holds a part of the address."""
        if self._layout is not None:
            return
        fields = {field for field, _ in self._fields.values()}
        if not fields & _STREETS:
            return
        for place, header in enumerate(self._headers):
            meaning = self._meanings.get(place)
            if place in self._fields or place in self._ignored or meaning is not None:
                continue
            self._refuse_second(place, fields)
            merged = merged_fields(header)
            if merged & {*NAMES, *_STREETS, *_PARTS} and self._sample.texts(place):
                raise DoubtfulColumns(
                    "A column has more than one field in it.",
                    [
                        Problem(
                            f"{self._shown(place)} is called {' and '.join(sorted(merged))}: make "
                            f'a column of each, or leave it out (--column "{header}=ignore")',
                            field=min(merged),
                        )
                    ],
                    headers=[self._shown(place)],
                )
            part = self._lost_part(place, fields)
            if part is not None and (header or self._sample.texts(place)):
                raise DoubtfulColumns(
                    "A column looks like a part of the address, and its header isn't known.",
                    [
                        Problem(
                            f"{self._shown(place)} holds what looks like {part}: say what it is "
                            f'(--column "{self._shown(place)}={part}"), or that it is none '
                            f'(--column "{self._shown(place)}=ignore")',
                            field=part,
                        )
                    ],
                    headers=[self._shown(place)],
                )

    def _refuse_second(self, place: int, fields: set[str]) -> None:
        """Refuse ``City 2`` beside ``City``: it contains the rest of the first."""
        name = normal(self._headers[place])
        first = meaning_of(_NUMBER_BEHIND.sub("", name)) if _NUMBER_BEHIND.search(name) else None
        if first is None or first.field not in _ONE_TEXT & fields or first.role == "other":
            return
        if self._sample.texts(place):
            raise _doubtful(
                f"{self._shown(place)} may be a part of {first.field}",
                [self._shown(place)],
                first.field,
            )

    def _lost_part(self, place: int, fields: set[str]) -> str | None:
        texts = self._sample.texts(place)
        if not texts:
            return None
        beside = [self._fields[each][0] for each in (place - 1, place + 1) if each in self._fields]
        is_beside = any(each in _STREETS or each in _PARTS for each in beside)
        # Before the name, a column is a number of the row; after it, a part of the address.
        if "locality" in fields and not self._localities_lack_codes():
            fields = fields | {"city", "state", "postal_code"}
        has_parts = bool(fields & {"city", "state"})
        is_split = bool(fields & {"city", "state", "postal_code"})
        lacks_place = not is_split and "locality" not in fields and not self._streets_have_places()
        parts: tuple[tuple[str, bool, Callable[[str], object]], ...] = (
            ("postal_code", is_beside or has_parts, CODE_LIKE.fullmatch),
            ("postal_code", is_beside and "state" not in fields, _is_region_and_code),
            ("address2", True, _is_unit),
            ("state", is_beside or is_split, is_region),
            (
                "city",
                is_split or (lacks_place and (is_beside or not self._headers[place])),
                _is_city,
            ),
            ("address2", is_beside, names_street),
            ("locality", is_beside or lacks_place, ends_with_postal_code),
            ("locality", lacks_place, PLACE.search),
            (self._text_before(place), bool(self._text_before(place)), bool),
        )
        return next(
            (
                part
                for part, is_possible, judge in parts
                if is_possible
                and (part not in fields or part in _GOING_ON | NAMES)
                and share(texts, judge) > HALF
            ),
            None,
        )

    def _localities_lack_codes(self) -> bool:
        places = [each for each, it in self._fields.items() if it[0] == "locality"]
        return any(share(self._sample.texts(each), ends_with_postal_code) < HALF for each in places)

    def _streets_have_places(self) -> bool:
        """Return whether most streets contain more, as in ``5 Elm St, Boston``."""
        streets = [each for each, it in self._fields.items() if it[0] in _STREETS]
        return any(
            share(self._sample.texts(each), lambda text: "," in text) > HALF for each in streets
        )

    def _text_before(self, place: int) -> str:
        """Return the field of the text before a column that may continue it; else nothing."""
        before = self._fields.get(place - 1, ("", ""))[0]
        if before not in _GOING_ON | NAMES or normal(self._headers[place]) in _BESIDE_NAMES:
            return ""
        texts = self._sample.texts(place)
        if not self._headers[place] and share(texts, _WORD.search) > HALF:
            return before
        if not self._headers[place] and before != "notes":
            return ""
        if before != "notes" and (
            any(map(has_digit, texts)) or 2 * len(texts) > len(self._sample.texts(place - 1))
        ):
            return ""
        cells = zip(self._sample.cells(place - 1), self._sample.cells(place), strict=True)
        filled = [text for text, more in cells if more]
        return before if share(filled, lambda text: len(text.split()) == 1) > _NEARLY_ALL else ""


def _is_unit(text: str) -> bool:
    return looks(text) == "a unit of an address"


def _is_region_and_code(text: str) -> bool:
    region, _, code = text.replace(",", " ").strip().partition(" ")
    return is_region(region) and bool(CODE_LIKE.fullmatch(code.strip()))


def _is_words(text: str) -> bool:
    return len(text) > 3 and not has_digit(text) and bool(_WORD.search(text))  # noqa: PLR2004


def _is_name(text: str) -> bool:
    return not has_digit(text) and has_capital(text[:1])


def _is_city(text: str) -> bool:
    return _is_words(text) and has_capital(text) and len(text.split()) <= _CITY_WORDS


def _same_words(one: Sequence[str], other: Sequence[str]) -> bool:
    return [sorted(each.replace(" ", "")) for each in one] == [
        sorted(each.replace(" ", "")) for each in other
    ] and any(one)


def _longer(one: Sequence[str], other: Sequence[str]) -> bool | None:
    """Return whether one of two columns always contains the other's text, perhaps with more."""
    if all(a.startswith(b) for a, b in zip(one, other, strict=True)):
        return True
    if all(b.startswith(a) for a, b in zip(one, other, strict=True)):
        return False
    return None


def _doubtful(message: str, headers: Sequence[str], field: str) -> DoubtfulColumns:
    return DoubtfulColumns(
        f"It is in doubt which column is {field}.",
        [
            Problem(
                f'{message}; say which column is {field} (--column "HEADER={field}"), or that '
                f'this one is none (--column "{headers[0]}=ignore")',
                field=field,
            )
        ],
        headers=headers,
    )
