"""Refuse notes that contain values of a column that the file lacks. Pure."""

import re
from collections.abc import Sequence
from typing import Final

from gateway_csv.columns.headers import meaning_of, words_of_others
from gateway_csv.columns.number_checks import CODES
from gateway_csv.columns.reading import HALF, Column, share
from gateway_csv.columns.regions import is_region
from gateway_csv.columns.taken_columns import (
    FEWEST_ROWS,
    NAMELESS,
    NEARLY_ALL,
    PLACE,
    TakenColumns,
    doubted,
)
from gateway_csv.columns.wording import is_note

_SOME: Final = 0.3
_LEFT, _RIGHT = r"(?:{})(?=$|[\s,;/|&-])", r"(?<![^\s,;/|&-])(?:{})"
_IN_NOTES: Final[Sequence[tuple[str, str, tuple[str, ...], float]]] = (
    ("a date", r"20\d{2}-\d{2}-\d{2}|\d{1,2}/\d{1,2}/(?:\d{4}|\d{2})", ("delivery_date",), _SOME),
    ("an amount", r"\$ ?\d[\d.,]*|\d{1,5}[.,]\d{2}", ("copay_amount",), _SOME),
    ("a telephone number", r"\(?\d{3}\)?[-. ]\d{3}[-. ]\d{4}", ("patient_phone",), HALF),
    ("an e-mail address", r"[^\s@,;/|]+@[^\s@,;/|]+\.[a-z]{2,}", ("patient_email",), _SOME),
    ("a postal code", r"\d{5}(?:-\d{4})?|[A-Z]\d[A-Z] ?\d[A-Z]\d", ("postal_code",), HALF),
    ("a number", r"[A-Z]{0,4}[-#]?\d{5,12}|[A-Z]{1,4}[-#]?\d{4,12}|#\d{4,12}", CODES, HALF),
    ("a number", r"\d{4}", CODES, NEARLY_ALL),
    ("a unit of an address", r"(?:apt|unit|suite) ?#?\d\w{0,4}", ("address2",), _SOME),
    ("a priority", r"routine|urgent|stat|rush|normal", ("priority",), _SOME),
)
"""Text at one end of most notes: its name, its form, its fields, the least share."""
_ANSWER_END: Final = re.compile(r"(?:^|[\s,;/|&-])(?:yes|no|y|n)$", re.IGNORECASE)
_ANSWER_IN_FRONT: Final = re.compile(r"(?:yes|no|y|n)(?:\s*[,;/|&\t\n-]| {2,})", re.IGNORECASE)
_CITY_IN_FRONT: Final = re.compile(
    r"[A-Z][\w.]*(?: [A-Z][\w.]*){0,2}(?:\s*[-/|;,&\t\n]\s*|\s{2,})(?=\w)"
)
_MARKS: Final[Sequence[tuple[str, re.Pattern[str], re.Pattern[str], tuple[str, ...], float]]] = (
    tuple(
        (
            name,
            re.compile(_LEFT.format(form), re.IGNORECASE),
            re.compile(_RIGHT.format(form) + "$", re.IGNORECASE),
            fields,
            least,
        )
        for name, form, fields, least in _IN_NOTES
    )
)


def check_notes(table: TakenColumns) -> None:
    """Refuse notes that contain values of a column that the file lacks."""
    for column in table.taken("notes"):
        texts = table.texts(column)
        if (
            len(texts) >= FEWEST_ROWS
            and "requires_signature" not in table.by_field
            and share(texts, _has_answer) > NEARLY_ALL
        ):
            raise doubted(column, "its notes end with yes or no, as a column of signatures does")
        for name, left, right, fields, least in _MARKS:
            if all(each in table.by_field for each in fields):
                continue
            at_left = share(texts, left.match)
            if max(at_left, share(texts, right.search)) > least:
                raise doubted(
                    column,
                    f"many of its notes have {name} at one end, and the file has no column for "
                    f"{next(each for each in fields if each not in table.by_field)}",
                )
        _check_places_in_notes(table, column, texts)


def _has_answer(text: str) -> bool:
    return bool(_ANSWER_END.search(text) or _ANSWER_IN_FRONT.match(text))


def _check_places_in_notes(table: TakenColumns, column: Column, texts: Sequence[str]) -> None:
    """Refuse notes with a city or a state, and those that another column has."""
    others = [
        each
        for each in table.columns
        if each.field is None
        and meaning_of(each.header) is None
        and not words_of_others(each.header)
    ]
    for each in others if not any(map(is_note, texts)) else ():
        if share(table.texts(each), is_note) > _SOME:
            raise doubted(column, f"{each.header or NAMELESS} has notes")
    if "state" not in table.by_field and share(texts, _has_state_behind) > HALF:
        raise doubted(column, "its notes have a state or a province behind them")
    if table.lacks_city() and share(texts, _CITY_IN_FRONT.match) > HALF:
        raise doubted(column, "its notes may have the city in front of them")
    has_place = bool(table.by_field.keys() & {"city", "locality", "postal_code"})
    if not has_place and share(texts, PLACE.search) > HALF:
        raise doubted(column, "its notes have a city and a postal code in them")
    if share(texts, _is_whole_street) > HALF:
        raise doubted(column, "its notes are addresses")


def _has_state_behind(text: str) -> bool:
    parts = [each.strip() for each in _PARTED.split(text)] + [text.rpartition(" ")[2]]
    states = [each for each in parts if _STATE.fullmatch(each) and is_region(each)]
    return bool(states) and not text.isupper()


def _is_whole_street(text: str) -> bool:
    return bool(re.fullmatch(r"\d+ [A-Z].*", text)) and len(text.split()) <= _MOST_WORDS


_MOST_WORDS: Final = 6
_PARTED: Final = re.compile(r"[|;/,&\t\n]|\s{2,}| - ")
_STATE: Final = re.compile(r"(?!OK|ID|HI)[A-Z]{2}")  # these three are also words of notes
