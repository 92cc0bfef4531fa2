"""Refuse columns that two were joined in: a state after each name, a city after each note.

Joining leaves a trace in every row, and the joined column is missing elsewhere: the text at one end
of most cells belongs to a field that the file has no column for. Pure.
"""

import re
from collections.abc import Callable, Sequence
from typing import Final

from gateway_csv.columns.address_checks import BUILDING
from gateway_csv.columns.reading import HALF, Column, share
from gateway_csv.columns.regions import is_region
from gateway_csv.columns.shapes import POSTAL_END, STREET_WORD
from gateway_csv.columns.taken_columns import FEWEST_ROWS, NEARLY_ALL, TakenColumns, doubted
from gateway_csv.columns.wording import NOTE_WORDS, is_note

_FIRST: Final = re.compile(r"[^\s,;/|&-]+")
_STRONG: Final = re.compile(r"\s*[|;/&\t\n,]\s*|\s{2,}|\s-\s|(?<=\w)-(?=\w)")
_UNUSUAL: Final = re.compile(r"\s*[|;/&\t]\s*|\s{2,}|\s-\s")
_BEFORE_PLACE: Final = re.compile(rf"{_UNUSUAL.pattern}|-(?=[A-Z])")
_POSTAL_BEHIND_MARK: Final = re.compile(r"[-/|;&]\s*(?:\d{5}|[A-Z]\d[A-Z] ?\d[A-Z]\d)$")
_UNIT: Final = re.compile(r"(?:apt|unit|suite|ste)\b\.? ?#?\w{1,5}", re.IGNORECASE)
_FEW: Final = 0.1
# Marks that don't occur in an address; "1204 - 500 Elm St" is an address.
_CLEAR: Final = re.compile(r"[|;&\t]|\s{2,}|[^/]+/[^/]+/")
_LONG_CODE: Final = re.compile(r"[A-Z]{1,4}[-#]?\d{4,}|\d{6,}")
_CODE: Final = re.compile(r"[A-Z]{0,4}[-#]?\d{4,}")
_CITY_WORDS: Final = 3
_AREA: Final = 2
# Northeast, Court, Lane, Mount … at the end of a street.
_OF_STREETS: Final = frozenset({"NE", "CT", "LA", "AL", "MT", "PR"})
_WORDS_AS_STATES: Final = ("OK", "ID", "HI")
_OF_CHOICES: Final = frozenset({"yes", "routine", "urgent", "stat"})
_NAMES: Final = ("patient_name", "last_first", "first_name", "last_name")


def check_joined(table: TakenColumns) -> None:
    """Refuse columns whose cells mostly begin or end with a value without a column."""
    _check_names(table)
    _check_streets(table)
    _check_units(table)
    _check_notes(table)
    _check_numbers(table)


def _last(text: str) -> str:
    """Return the last word of a text, empty where it ends with a mark."""
    # Read backwards, because a search for the end of a text would begin at each letter.
    found = _FIRST.match(text[::-1])
    return found[0][::-1] if found else ""


def _is_area(piece: str) -> bool:
    return len(piece) == _AREA and piece.isupper() and is_region(piece)


def _is_answer(piece: str) -> bool:
    return piece.casefold() in {"yes", "no"}


def _is_priority(piece: str) -> bool:
    return piece.casefold() in {"routine", "urgent", "stat"}


_KINDS: Final[Sequence[tuple[str, str, Callable[[str], bool]]]] = (
    ("a state or a province", "state", _is_area),
    ("yes or no", "requires_signature", _is_answer),
    ("a priority", "priority", _is_priority),
)


def _check_ends(
    table: TakenColumns, column: Column, texts: Sequence[str], skipped: str = ""
) -> None:
    """Refuse a column whose cells mostly begin or end with one word of a missing field."""
    first = [found[0] if (found := _FIRST.match(each)) else "" for each in texts]
    last = [_last(each) for each in texts]
    for name, field, judge in _KINDS:
        is_missing = field not in table.by_field and field != skipped
        if is_missing and max(share(first, judge), share(last, judge)) > HALF:
            raise doubted(column, f"its cells have {name} at one end")


def _check_names(table: TakenColumns) -> None:
    for column in table.taken(*_NAMES):
        texts = table.texts(column)
        _check_ends(table, column, texts)
        fewest = FEWEST_ROWS if column.field == "last_name" else 2
        if len(texts) < fewest or not table.lacks_city():
            continue
        usual = 1 + (column.field in {"patient_name", "last_first"})
        if all(_has_more_words(each, usual) for each in texts):
            raise doubted(column, "its cells may have the city behind the name")


def _has_more_words(name: str, usual: int) -> bool:
    """Return whether a name has more words than usual, no initial or small letters among them."""
    words = name.replace(",", " ").split()
    return len(words) > usual and all(
        len(each.strip(".")) > 1 and each[:1].isupper() for each in words
    )


def _check_streets(table: TakenColumns) -> None:
    for column in table.taken("patient_address"):
        texts = table.texts(column)
        if "state" not in table.by_field and share(texts, _ends_with_state) > HALF:
            raise doubted(column, "its addresses have a state or a province behind the street")
        ends = [_last(each) for each in texts]
        if "requires_signature" not in table.by_field and share(ends, _is_answer) > HALF:
            raise doubted(column, "its addresses end with yes or no")
        if share(texts, _has_other_piece) > HALF:
            raise doubted(column, "its addresses have something else in front or behind")
        has_unit = bool(table.by_field.get("address2"))
        if has_unit and table.lacks_city() and share(texts, _ends_with_place) > HALF:
            raise doubted(column, "its addresses may have the city behind the street")
        _check_places_before_cities(table, column)


def _ends_with_state(address: str) -> bool:
    """Return whether a state follows the street at once: ``8 Elm St MA``, but not ``Boston MA``."""
    *_, street, last = ["", "", *address.split(" ")]
    is_state = _is_area(last) and last not in _OF_STREETS
    return is_state and STREET_WORD.fullmatch(street.strip(",")) is not None


def _check_places_before_cities(table: TakenColumns, column: Column) -> None:
    """Refuse addresses that end with a state or a postal code, and lack the city of their row."""
    for city in table.by_field.get("city", ()):
        pairs = zip(table.rows(column), table.rows(city), strict=True)
        odd = [
            _ends_with_area(address) and city.casefold() not in address.casefold()
            for address, city in pairs
            if address and city
        ]
        if 2 * sum(odd) > len(odd):
            raise doubted(
                column, "its addresses end with a state or a postal code, and the city is elsewhere"
            )


def _ends_with_area(address: str) -> bool:
    piece = _last(address)
    is_area = _is_area(piece) and ("," in address or piece not in _OF_STREETS)
    return is_area or any(each.search(address) for each in (POSTAL_END, _POSTAL_BEHIND_MARK))


def _has_other_piece(address: str) -> bool:
    """Return whether a piece between unusual marks is a number, a state, a priority, yes or no."""
    pieces = _UNUSUAL.split(address)
    if len(pieces) == 1:
        first = _FIRST.match(address)
        return first is not None and (first[0].casefold() == "yes" or _is_priority(first[0]))
    is_marked = _CLEAR.search(address) is not None
    return any(map(_is_area, pieces[:-1])) or any(
        _LONG_CODE.fullmatch(each)
        or (is_marked and _CODE.fullmatch(each))
        or _is_answer(each)
        or _is_priority(each)
        for each in pieces
    )


def _check_units(table: TakenColumns) -> None:
    for column in table.taken("address2", "city", "locality"):
        texts = table.texts(column)
        is_second = column.field == "address2"
        _check_ends(table, column, texts, skipped="" if is_second else "state")
        if column.field == "city" and "state" not in table.by_field:
            first = [each.split(" ")[0] for each in texts if not each.isupper()]
            if 2 * sum(map(_is_area, first)) > len(texts):
                raise doubted(column, "its cells begin with a state or a province")
        if is_second and table.lacks_city() and share(texts, _has_city) > HALF:
            raise doubted(column, "its cells may have the city in them")


def _has_city(text: str) -> bool:
    """Return whether a likely city is beside a flat, or alone."""
    rest = _UNIT.sub(" ", text)
    words = [
        each for each in _STRONG.sub(" ", rest).split() if not _is_area(each) and each.strip("-")
    ]
    said = " ".join(words)
    return len(said) > _AREA and _is_place(said) and not BUILDING.search(said)


def _ends_with_place(text: str) -> bool:
    """Return whether the piece after an unusual mark may be a city: words with capital letters."""
    *before, last = _BEFORE_PLACE.split(text)
    return bool(before) and _is_place(last)


def _is_place(text: str) -> bool:
    words = text.split()
    return (
        0 < len(words) <= _CITY_WORDS
        and all(each[:1].isupper() for each in words)
        and not any(map(str.isdigit, text))
        and not is_note(text)
        and not any(each.strip(".,!").casefold() in NOTE_WORDS for each in words)
    )


def _check_notes(table: TakenColumns) -> None:
    for column in table.taken("notes"):
        texts = table.texts(column)
        said = [
            each for each in texts if not each.endswith(_WORDS_AS_STATES) and not each.isupper()
        ]
        _check_ends(table, column, said, skipped="requires_signature")
        if "requires_signature" not in table.by_field and _begin_with_answers(texts):
            raise doubted(column, "its notes begin or end with yes or no")
        if "address2" not in table.by_field and share(texts, _has_unit) > _FEW:
            raise doubted(column, "some of its notes have a unit of an address at one end")
        if table.lacks_city() and len(texts) > 1:
            where = "behind" if _end_with_cities(said) else "in front of"
            if where == "behind" or _begin_with_cities(texts):
                raise doubted(column, f"its notes may have the city {where} them")


def _end_with_cities(notes: Sequence[str]) -> bool:
    """Return whether most notes end with a city; some of them are more than one."""
    behind = [_STRONG.split(each) for each in notes]
    words = [each.split() for each in notes]
    for pieces, least in ((behind, HALF), (words, NEARLY_ALL)):
        places = [len(each) for each in pieces if _is_place(each[-1])]
        if len(places) > least * len(notes) and max(places, default=0) > 1:
            return True
    return False


def _begin_with_cities(notes: Sequence[str]) -> bool:
    """Return whether all notes begin with a city, and most continue with a note."""
    pieces = [_STRONG.split(each, maxsplit=1) for each in notes]
    has_notes = any(len(each) > 1 and is_note(each[1]) for each in pieces)
    are_places = all(_is_place(each[0]) for each in pieces)
    if has_notes and are_places and len({each[0] for each in pieces}) > 1:
        return True
    words = [each.split(maxsplit=1) for each in notes]
    goes_on = [len(each) > 1 and is_note(each[1]) for each in words]
    return 2 * sum(goes_on) > len(notes) and all(_is_place(each[0]) for each in words)


def _begin_with_answers(texts: Sequence[str]) -> bool:
    """Return whether all notes begin with a separate yes or no, unlike ``no stairs please``."""
    ends = [(words[0], words[-1]) for words in map(str.split, texts)]
    return len(set(texts)) > 1 and any(
        all(map(_is_answer, each)) for each in zip(*ends, strict=True)
    )


def _has_unit(text: str) -> bool:
    pieces = _STRONG.split(text)
    return any(_UNIT.fullmatch(each.strip()) for each in (pieces[0], pieces[-1]))


def _check_numbers(table: TakenColumns) -> None:
    for column in table.taken("rx_number", "external_patient_id", "external_order_id"):
        # Hardly any number contains one of the words.
        texts = [
            text
            for text in table.texts(column)
            if any(word in text.casefold() for word in _OF_CHOICES)
        ]
        said = [
            each for text in texts for each in _STRONG.split(text)[:1] + _STRONG.split(text)[-1:]
        ]
        spaced = [each for text in texts for each in text.split()]
        if _OF_CHOICES & {each.casefold() for each in (*said, *spaced)}:
            raise doubted(column, "its cells have something else than a number in them")
