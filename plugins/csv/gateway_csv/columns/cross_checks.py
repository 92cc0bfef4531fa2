"""Checks of the chosen columns against each other, for faults that no single column shows.

A doctor's name under *Patient Name* occurs at many addresses; an amount that was merged into the
notes leaves no column of amounts. Each fault refuses the file, and the error says how to overrule
it: a column that the sender chose isn't checked.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

from gateway_csv.columns.address_checks import check_address
from gateway_csv.columns.dates import could_be_date
from gateway_csv.columns.evidence import fit
from gateway_csv.columns.headers import meaning_of
from gateway_csv.columns.joined_columns import check_joined
from gateway_csv.columns.moved_columns import check_rows
from gateway_csv.columns.note_checks import check_notes
from gateway_csv.columns.number_checks import (
    check_amounts,
    check_codes,
    check_moved,
    check_postal_codes,
    check_units,
)
from gateway_csv.columns.reading import HALF, Column, Sample, share
from gateway_csv.columns.regions import is_region
from gateway_csv.columns.shifted_headers import check_empty, check_width
from gateway_csv.columns.taken_columns import FEWEST_ROWS, NEARLY_ALL, PLACE, TakenColumns, doubted
from gateway_csv.columns.wording import has_comma, has_doctors_title

_FEWEST_FOR_REPEATS: Final = 8
_BEHIND_GAP: Final = re.compile(r"\S {2,}[^\W\d_]{2,}(?: [^\W\d_]+)*$")
_BESIDE_NAMES: Final = (
    _BEHIND_GAP.search,
    re.compile(r"[^\W\d_]\s*[&|;\t\n]\s*[^\W\d_]").search,
    re.compile(r"[^\W\d_]\.? [-/] [^\W\d_]").search,
)
_WORD: Final = re.compile(r"[^\W\d_]{4}")
_SEVEN_DIGITS: Final = re.compile(r"\d{3}\D{0,3}\d{4}")
_JOINED: Final = re.compile(r"[^\W\d_]-[^\W\d_]{2,}")


def check_columns(columns: Sequence[Column], sample: Sample) -> None:
    """Raise ``InvalidInput`` where the columns together show that one of them is wrong."""
    if any(each.how == "layout" for each in columns):
        return
    by_field: dict[str, list[Column]] = {}
    for each in columns:
        if each.field is not None:
            by_field.setdefault(each.field, []).append(each)
    table = TakenColumns(columns, sample, by_field)
    for check in _CHECKS:
        check(table)


def _check_names(table: TakenColumns) -> None:
    """Refuse names with a doctor's title, one at many addresses, and cells that aren't names."""
    for column in table.taken("patient_name", "last_first", "first_name", "last_name"):
        if fit(column.field or "", table.texts(column), is_garbled_fine=True) <= HALF:
            raise doubted(column, "half of its cells are no names")
        texts = table.texts(column)
        is_bare = column.field == "last_first" and share(texts, has_comma) == 0
        if is_bare and texts:
            raise doubted(column, "none of its cells has a comma")
    for column in table.taken("patient_name", "last_first", "first_name", "last_name"):
        if table.lacks_city() and _may_have_city(table.texts(column)):
            raise doubted(column, "its cells may have the city behind the name")
    for column in table.taken("patient_name", "last_first", "last_name"):
        if share(table.texts(column), has_doctors_title) > HALF:
            raise doubted(column, "its names have a doctor's title")
        others = _others(table, "patient_name")
        is_beaten = any(len(each) > len(set(table.texts(column))) for each in others)
        if is_beaten and _repeats(table.names(), table.houses()) and column.field != "last_name":
            raise doubted(column, "the same name stands at several addresses")
        ends = Counter(
            end
            for each in table.texts(column)
            for end in {each.split()[0], each.split()[-1]}
            if len(end) == 2 and end.isupper() and is_region(end)  # noqa: PLR2004
        )
        if any(2 * count > len(table.texts(column)) for count in ends.values()):
            raise doubted(column, "its names have a state or a province in them")


def _may_have_city(names: Sequence[str]) -> bool:
    """Return whether most names have text after a gap or a mark, or all after a hyphen."""
    is_joined = len(names) > 1 and share(names, _JOINED.search) > NEARLY_ALL
    return is_joined or any(share(names, each) > HALF for each in _BESIDE_NAMES)


def _check_first_names(table: TakenColumns) -> None:
    """Refuse whole names under *First Name* that occur at several addresses."""
    for column in table.taken("first_name"):
        texts = table.texts(column)
        is_whole = share(texts, lambda each: " " in each) > HALF
        others = _others(table, "patient_name")
        is_beaten = any(len(each) > len(set(texts)) for each in others)
        at: dict[str, set[str]] = {}
        for name, house in zip(table.rows(column), table.houses(), strict=False):
            at.setdefault(name, set()).add(house)
        if is_whole and is_beaten and max(map(len, at.values()), default=0) >= FEWEST_ROWS:
            raise doubted(column, "the same whole name stands at several addresses")
        has_repeated = len(set(texts)) < len(texts)
        are_short = any(each and not any(" " in name for name in each) for each in others)
        if is_whole and has_repeated and are_short:
            raise doubted(column, "its cells are whole names, and another party's are first names")


def _others(table: TakenColumns, field: str) -> list[set[str]]:
    """Return the values of other parties' columns for ``field``."""
    return [
        set(table.texts(each))
        for each in table.columns
        if each.field is None
        and (meaning := meaning_of(each.header)) is not None
        and (meaning.field, meaning.role) == (field, "other")
    ]


def _repeats(values: Sequence[str], houses: Sequence[str]) -> bool:
    """Return whether most rows have a value that occurs at another address in each of its rows."""
    if not houses or len(values) < FEWEST_ROWS:
        return False
    at: dict[str, list[str]] = {}
    for value, house in zip(values, houses, strict=True):
        if value and house:
            at.setdefault(value, []).append(house)
    several = sum(len(each) for each in at.values() if 1 < len(each) == len(set(each)))
    return several >= FEWEST_ROWS and 2 * several > len(values)


def _check_phones(table: TakenColumns) -> None:
    columns = list(table.taken("patient_phone"))
    houses = table.houses()
    for column in columns:
        if share(table.texts(column), _has_words) > HALF:
            raise doubted(column, "its cells have more than a telephone number in them")
    for column in columns[:1] if len(columns) == 1 else ():
        numbers = table.rows(column)
        said = [each for each in numbers if each]
        others = _others(table, "patient_phone")
        is_repeated = len(set(said)) < len(said) and len({*zip(numbers, houses, strict=False)}) > (
            len(set(numbers))
        )
        if is_repeated and any(len(each) > len(set(said)) for each in others):
            raise doubted(column, "the same number stands at several addresses")


def _has_words(text: str) -> bool:
    """Return whether a cell has words beside a number; one that has no number is left out."""
    return bool(_WORD.search(text) and _SEVEN_DIGITS.search(text))


def _check_dates(table: TakenColumns) -> None:
    """Refuse a column of days without days, where another column has them, or entirely."""
    for column in table.taken("delivery_date"):
        texts = table.texts(column)
        days = share(texts, could_be_date)
        if not texts or days >= HALF:
            continue
        others = [each for each in table.columns if each.field is None]
        is_beaten = any(share(table.texts(each), could_be_date) > HALF for each in others)
        if is_beaten or (days == 0 and len(texts) > 1):
            raise doubted(column, "its cells are no dates")


def _check_cities(table: TakenColumns) -> None:
    """Refuse a city's column that contains the patients' names."""
    for column in table.taken("city", "locality"):
        others = [each for each in table.columns if each.field is None]
        if not any(map(PLACE.search, table.texts(column))) and any(
            share(table.texts(each), PLACE.search) > HALF for each in others
        ):
            raise doubted(column, "another column has cities with their postal codes")
    _check_bare_cities(table)


def _check_bare_cities(table: TakenColumns) -> None:
    """Refuse cities that aren't, and those that are rather in the names' columns."""
    for column in table.taken("city"):
        if fit("city", table.texts(column), is_garbled_fine=True) <= HALF:
            raise doubted(column, "half of its cells are no cities")
        cities, mails = table.rows(column), []
        for each in table.by_field.get("patient_email", ())[:1]:
            mails = [text.casefold() for text in table.rows(each)]
        for field in ("first_name", "last_name", "patient_name"):
            for name in table.by_field.get(field, ()):
                names = table.rows(name)
                if mails and _in_mails(cities, mails) > max(HALF, _in_mails(names, mails)):
                    raise doubted(
                        column, f"the e-mail addresses have its words, and not {name.header}'s"
                    )
                different = len(set(filter(None, names)))
                is_turned = 2 * different <= len(names) and len(set(cities)) == len(cities)
                if len(names) >= _FEWEST_FOR_REPEATS and is_turned and field != "last_name":
                    raise doubted(column, f"its words are all different, and {name.header} repeats")


def _in_mails(names: Sequence[str], mails: Sequence[str]) -> float:
    both = [
        (name.casefold(), mail) for name, mail in zip(names, mails, strict=True) if name and mail
    ]
    found = [any(len(w) > 1 and w in mail for w in name.split()) for name, mail in both]
    return sum(found) / len(found) if len(found) > 1 else 0.0


_CHECKS: Final = (
    _check_names,
    _check_first_names,
    _check_phones,
    check_codes,
    check_moved,
    check_amounts,
    _check_dates,
    check_notes,
    check_address,
    check_joined,
    check_rows,
    check_width,
    check_empty,
    check_units,
    check_postal_codes,
    _check_cities,
)
