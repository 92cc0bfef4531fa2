"""Whether a cell fits its column: a person's name, an address, a number … Pure.

A cell that certainly is something else proves that cells moved, or that the column was recognised
as the wrong field. An ambiguous cell passes.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from functools import partial
from typing import Final

from gateway_csv.columns.headers import HEADER_WORDS, meaning_of
from gateway_csv.columns.joined_cells import (
    has_more_than_street,
    has_more_than_unit,
    is_titled,
    misses_city,
)
from gateway_csv.columns.kept_texts import kept
from gateway_csv.columns.regions import is_region
from gateway_csv.columns.shapes import (
    ADDRESS_UNIT,
    CA_POSTAL,
    DIGIT,
    EMAIL,
    PLACEHOLDER,
    POSTAL_END,
    STREET_WORD,
    US_ZIP,
    has_capital,
    has_digit,
    is_phone,
    is_placeholder,
    is_street,
    looks,
)
from gateway_csv.columns.wording import (
    ANSWERS,
    GARBLED_FIELDS,
    NOTE_WORDS,
    garbled,
    has_second_comma,
    words_of_a_note,
)
from gateway_csv.read.rows import Cell

_PHONE_INSIDE: Final = re.compile(
    r"(?<![\w-])(?:\+1[\s.-]?\d{3}[\s.-]?\d{3}[\s.-]?\d{4}|\(?\d{3}\)?[\s.-]\d{3}[.-]\d{4}|\+1\d{10})(?![\w-])"
)
_EMAIL_INSIDE: Final = re.compile(r"[^\s@]@[^\s@]+\.[a-z]", re.IGNORECASE)
# ana+pharmacy@example.com is one address.
_PLUS_BEFORE_AT: Final = re.compile(r"(?<=\w)\+(?=\w[^@\s]*@)")
_BEHIND_EMAIL: Final = re.compile(r"@[^\s@]+\.[a-z]{2,}[-/|&][^\s@]*$", re.IGNORECASE)
_LETTER: Final = re.compile(r"[^\W\d_]")
# Nearly every name: letters and the marks between them.
_PLAIN_NAME: Final = re.compile(r"[^\W\d_](?:[^\W\d_]|[ .,'\u2019-](?![ ,]*$)|\.$)*")
_USUAL_NAME: Final = re.compile(r"[A-Z][a-z]+(?: [A-Z][a-z]+){1,2}")
_EXTENSION: Final = re.compile(r"\s*(?:x|ext\.?)\s*\d{1,6}$", re.IGNORECASE)
_STRENGTH: Final = re.compile(r"\d\s*(?:mg|mcg|ml|tab|cap|%|units?)\b", re.IGNORECASE)
_USUAL_STREET: Final = re.compile(
    r"\d{1,6}(?: [a-z]+){1,6}(?<! stat)(?<! urgent)(?<! routine)", re.ASCII | re.IGNORECASE
)
_DOSE: Final = re.compile(r"\d\s*(?:mg|mcg|ml)\b", re.IGNORECASE)
_PLAIN_STREET: Final = re.compile(r"\d{1,6}[a-z]? +[^\W\d_][^@$\d]*", re.IGNORECASE)
# Nearly every address in one cell: 123 Main St, Apt 4, Miami, FL 33100.
_PLAIN_ADDRESS: Final = re.compile(
    r"\d{1,6} (?!(?:mg|mcg|ml|tab|cap|units?)\b)[a-z][a-z .']*"
    r"(?:, (?:apt \d{1,4}(?=,))?[a-z .']*)*"
    r", [a-z]{2} (?:\d{5}|[a-z]\d[a-z] ?\d[a-z]\d)",
    re.ASCII | re.IGNORECASE,
)
_BETWEEN_CODES: Final = re.compile(r"[\s,;/|&+]+")
_DIGIT_RUN: Final = re.compile(r"\d+")
_FROM_DIGIT: Final = re.compile(r"[\W\d_].*", re.DOTALL)
_LETTER_RUN: Final = re.compile(r"[^\W\d_]+")
_DATE_INSIDE: Final = re.compile(
    r"(?<!\d)(?:20\d{2}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}/\d{1,2}/(?:\d{4}|\d{2}))(?!\d)"
)
_POSTAL_FORMS: Final = re.compile(
    r"\d{3,5}|\d{9}|\d{5}-\d{4}|\d{3}[ -]\d{2,4}|\d{4} ?[A-Z]{2}|[A-Z]{2}-\d{4,5}"
    r"|[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}",
    re.IGNORECASE,
)
_UNIT_INSIDE: Final = re.compile(r"\b(?:apt|unit|suite|ste)\b\.? ?#?\d", re.IGNORECASE)
_SHORT_NUMBER: Final = 3
_PHONE_DIGITS: Final = re.compile(r"\d{3}[-.]\d{3}[-.]\d{4}")
# A prescription's number, a patient's, an amount.
_NOT_IN_AN_ADDRESS: Final = re.compile(
    r"(?<!\d)(?:\d{7,8}|\d{10,})(?!\d)|(?<![^\W_])[A-Z]{1,3}-\d{3,}|\d\.\d{2}(?!\d)"
    r"|(?<=[\s,;/|-])[A-Z]{1,4}\d{4,}"
)
_BEHIND_POSTAL: Final = re.compile(
    r"(?:\b[A-Z]{2}[\s,]+\d{5}(?:-\d{4})?|\b[A-Z]\d[A-Z][ -]?\d[A-Z]\d)\b(?P<rest>.*)", re.DOTALL
)
# 01902 460 N 5th St; but 12345 101 Ave is a street.
_POSTAL_FIRST: Final = re.compile(
    r"0\d{4}\W+\d|[A-Z]\d[A-Z] ?\d[A-Z]\d\W|\d{5}\W+\d{1,5}\s+(?!(?:st|nd|rd|th|ave|avenue|a|"
    r"street|blvd|way|rd|dr|ct|pl|ln)\b)\w+\s+\w",
    re.IGNORECASE,
)
_COUNTRY: Final = re.compile(
    r"[\s,.]*(?:usa?|u\.s\.a?|canada|can?|united states(?: of america)?)?[\s,.]*", re.IGNORECASE
)
_OTHER_DELIMITERS: Final = re.compile(r"[;|\t].*[;|\t]", re.DOTALL)
_WORDS_OF_CODES: Final = frozenset(
    ["rx", "no", "num", "number", "nbr", "n", "id", "script", "ref", "and", "or", "et", "ou"]
)
_LENGTHS_APART: Final = 1
_CODE_NOTE: Final = re.compile(r"[A-Z]{0,4}[-#]?\d{3,14}", re.IGNORECASE)
_NO_UNIT: Final = re.compile(
    r"\d{5,}|[0\W_]*|(?!PH|TH|BOX|APT|STE|UNIT|LOT)[A-Z]{2,4}\d{4,}|[A-Z]\d{5,}"
)
_MOST_PHONE_DIGITS: Final = 11
_TWO_PHONES: Final = re.compile(r"\s*(?:[,;/&|]|\bor\b|\band\b|\bou\b)\s*", re.IGNORECASE)
_CENTS_END: Final = re.compile(r"\d[.,]\d{2}$")
_STATE: Final = re.compile(r"[A-Z]{2,5}|[A-Z\u00c0-\u00de][\w.'-]*(?: [\w.'-]+)*")
_BEHIND_AREA: Final = re.compile(r"[\s,;/|&-]+")
_ZERO: Final = re.compile(r"[0\W_]*")
_UNIT_WORD: Final = re.compile(
    r"(?:apt|apartment|unit|suite|ste|app|appt|bureau|floor|fl|room|rm|bldg|lot|no|#)\.?",
    re.IGNORECASE,
)
_SHORT_CODE: Final = re.compile(r"(?:[A-Za-z]{0,4}[-#]?|[A-Z]{1,4} |[a-z]{1,3} )\d{1,14}")
_NO_NAMES: Final = PLACEHOLDER - {"hold", "home", "store", "mail", "call", "same", "x", "patient"}
_SHORTEST: Final = 3
_MAX_REGION: Final = 30
_NO_LETTERS_AT_END: Final = re.compile(r"[\W_]+$")
_NO_LETTER: Final = re.compile(r"[\W_]")
# Most numbers: a few letters and some digits, not all of them zero.
_PLAIN_CODE: Final = re.compile(r"[A-Za-z]{0,4}-?(?=0*[1-9])\d{1,14}", re.ASCII)
_PLAIN_EMAIL: Final = re.compile(
    r"[a-z]+(?:[._][a-z]+)*\d{0,6}@[a-z]+(?:\.[a-z]+)+", re.ASCII | re.IGNORECASE
)
_PLAIN_DIGITS: Final = re.compile(r"\d{1,11}", re.ASCII)


def _is_usual_name(text: str) -> bool:
    """Return quickly whether a text is a name of the usual form: ``Ana Maria Reed``."""
    last = text.rpartition(" ")[2].casefold()
    is_usual = _USUAL_NAME.fullmatch(text) is not None and last not in HEADER_WORDS
    return is_usual and text.casefold() not in _NO_NAMES


def _name(text: str) -> str:
    return "" if _is_usual_name(text) else _rarer_name(text)


def _rarer_name(text: str) -> str:
    if _PLAIN_NAME.fullmatch(text) and not _is_header(text):
        is_place = text[-4:-2] == ", " and is_region(text[-2:])
        if is_place or text.casefold() in _NO_NAMES or has_second_comma(text):
            return "it is no name"
        return "" if text.istitle() else words_of_a_note(text)
    if not _LETTER.search(text):
        return "it has no letters"
    units = (_UNIT_INSIDE.search(text), ADDRESS_UNIT.search(text))
    if is_placeholder(text) or "/" in text or any(units) or has_second_comma(text):
        return "it is no name"
    shape = looks(text)
    is_other = "@" in text or text[0].isdigit() or _STRENGTH.search(text)
    if shape or is_other or sum(map(str.isdigit, text)) > 1:
        return f"it looks like {shape or 'something else'}"
    return "it looks like a header" if _is_header(text) else words_of_a_note(text)


def may_be_header(text: str) -> bool:
    """Return quickly whether a text's last word is a common end of headers."""
    last = text.rpartition(" ")[2]
    if not last.isalnum():
        last = _NO_LETTER.split(_NO_LETTERS_AT_END.sub("", text))[-1]
    return last.casefold() in HEADER_WORDS


def _is_header(text: str) -> bool:
    """Whether a text is a header and not a name: several words, or a role."""
    if not may_be_header(text):
        return False
    if " " not in text and "_" not in text:
        return text.casefold() in {"patient", "recipient", "customer", "pharmacy", "prescriber"}
    meaning = meaning_of(text)
    return meaning is not None and meaning.field not in {"", "last_first"}


def _address(text: str) -> str:
    if _USUAL_STREET.fullmatch(text) or _PLAIN_ADDRESS.fullmatch(text) or _is_plain_street(text):
        return ""
    first = text.split(maxsplit=1)[0]
    begins_noted = first in NOTE_WORDS and not STREET_WORD.search(text)
    if begins_noted or is_placeholder(text) or _CODE_NOTE.fullmatch(text):
        return "it names no place to deliver to"
    shape = looks(text)
    if shape and shape != "a street address":
        return f"it looks like {shape}"
    if _PHONE_INSIDE.search(text) or _EMAIL_INSIDE.search(text):
        return "it has a telephone number or an e-mail address in it"
    others = (*_NOT_IN_ADDRESSES, _STRENGTH)
    has_postal = _POSTAL_FIRST.match(text) is not None
    if has_postal or has_more_than_street(text) or any(each.search(text) for each in others):
        return "it has something else in it"
    return _behind_postal(text) or ("" if is_street(text) else "it has no street and number")


def _is_plain_street(text: str) -> bool:
    """Return whether a text is a street of the usual form: a number, and no later digit."""
    is_plain = _PLAIN_STREET.fullmatch(text) and not _OTHER_DELIMITERS.search(text)
    return bool(is_plain) and not has_more_than_street(text)


def _behind_postal(text: str) -> str:
    found = None
    for found in _BEHIND_POSTAL.finditer(text):  # noqa: B007 - the last one
        pass
    if found is None or _COUNTRY.fullmatch(found["rest"]):
        return ""
    return "it goes on behind the postal code"


_NOT_IN_ADDRESSES: Final = (_NOT_IN_AN_ADDRESS, _DATE_INSIDE, _PHONE_DIGITS, _OTHER_DELIMITERS)


def _locality(text: str) -> str:
    """Check a city with its state and postal code, in one column."""
    shape = looks(text)
    if shape or not _LETTER.search(text) or is_placeholder(text):
        return f"it looks like {shape}" if shape else "it is no city"
    if _PHONE_INSIDE.search(text) or "@" in text:
        return "it has something else in it"
    if any(each.search(text) for each in _NOT_IN_ADDRESSES) or _behind_postal(text):
        return "it has something else in it"
    rest = POSTAL_END.sub("", text)
    if DIGIT.search(rest) and (rest != text or not _has_postal_form(text)):
        return "it has digits"
    return words_of_a_note(rest)


def _has_postal_form(text: str) -> bool:
    """Return whether all words with digits may be a postal code of some country: ``1010 Wien``."""
    words = [each for each in text.replace(",", " ").split() if DIGIT.search(each)]
    return all(_POSTAL_FORMS.fullmatch(each) for each in words) or (
        _POSTAL_FORMS.fullmatch(" ".join(words)) is not None
    )


def _not_like(*shapes: str) -> Callable[[str], str]:
    def judge(text: str) -> str:
        shape = looks(text)
        return f"it looks like {shape}" if shape in shapes else ""

    return judge


_NO_PART: Final = ("a telephone number", "a date", "an e-mail address", "an amount")


def _email(text: str) -> str:
    if _PLAIN_EMAIL.fullmatch(text):
        return ""
    shape = looks(text)
    if _DATE_INSIDE.search(text) or _PHONE_DIGITS.search(text):
        return "it has something else in it"
    parts = [each for each in _BETWEEN_CODES.split(_PLUS_BEFORE_AT.sub("", text)) if each]
    if any("@" in each for each in parts) and not all("@" in each for each in parts):
        return "it has something else in it"
    if _BEHIND_EMAIL.search(text):
        return "it has something else in it"
    return f"it looks like {shape}" if shape not in {"", "an e-mail address"} else ""


_NOT_IN_UNITS: Final = (*_NOT_IN_ADDRESSES, _PHONE_INSIDE, _EMAIL_INSIDE, _DOSE)


def _second_line(text: str) -> str:
    shape = looks(text)
    if shape in _NO_PART:
        return f"it looks like {shape}"
    if _UNIT_WORD.fullmatch(text):
        return "the number of the unit is missing"
    is_state = len(text) == 2 and text.isupper() and is_region(text)  # noqa: PLR2004
    is_small_note = " " in text and not DIGIT.search(text) and not has_capital(text)
    is_other = any(each.search(text) for each in _NOT_IN_UNITS)
    if (
        text.casefold() in ANSWERS
        or CA_POSTAL.fullmatch(text)
        or is_state
        or has_more_than_unit(text)
        or is_small_note
        or is_other
        or _NO_UNIT.fullmatch(text)
        or is_placeholder(text)
    ):
        return "it is no part of an address"
    return ""


def _city(text: str) -> str:
    shape = looks(text)
    if shape or is_placeholder(text) or not _LETTER.search(text):
        return f"it looks like {shape}" if shape else "it is no city"
    if is_region(text) and len(text) == 2:  # noqa: PLR2004
        return "it looks like a state or a province"
    before, comma, behind = text.partition(",")
    if comma and not is_region(behind) and not is_region(behind.strip().split(" ")[0]):
        return f"it has more in it than {'a city' if before else 'nothing'}"
    if text.casefold() == "100 mile house":  # a town in British Columbia
        return ""
    if DIGIT.search(text) or "@" in text:
        return "it has digits"
    return misses_city(text) or words_of_a_note(text)


def _state(text: str) -> str:
    first, _, rest = _BEHIND_AREA.sub(" ", text).partition(" ")
    if rest and len(first) == 2 and is_region(first) and not _COUNTRY.fullmatch(rest):  # noqa: PLR2004
        return "it has more in it than a state" if first.isupper() else ""
    if is_region(text) or (len(text) <= _MAX_REGION and _STATE.fullmatch(text)):
        return "it has digits" if DIGIT.search(text) else ""
    return "it is no state, province or country"


def _postal(text: str) -> str:
    if US_ZIP.fullmatch(text) or CA_POSTAL.fullmatch(text):
        return ""
    return "" if _POSTAL_FORMS.fullmatch(text) else "it is no postal code"


def _phone(text: str) -> str:
    if is_phone(text) or _PLAIN_DIGITS.fullmatch(text):
        return ""
    if not has_digit(text):
        return "it looks like an e-mail address" if EMAIL.fullmatch(text) else ""
    digits = _EXTENSION.sub("", text)
    if sum(map(str.isdigit, digits)) > _MOST_PHONE_DIGITS and not text.startswith("+"):
        parts = [each for each in _TWO_PHONES.split(text) if each]
        return "" if all(map(is_phone, parts)) else "it has something else in it"
    shape = looks(text)
    wrong = shape in {"a date", "an e-mail address", "an amount", "a postal code"}
    wrong = wrong or shape in {"a unit of an address", "a street address"}
    if not wrong and _UNIT_INSIDE.search(text):
        return "it has something else in it"
    return f"it looks like {shape}" if wrong else ""


def _code(text: str) -> str:
    if _PLAIN_CODE.fullmatch(text):
        return ""
    if ADDRESS_UNIT.search(text) or is_placeholder(text) or text.casefold() in ANSWERS:
        return "it is no number"
    if _SHORT_CODE.fullmatch(text) and not _ZERO.fullmatch(text):
        return ""
    shape = looks(text)
    if shape not in {"", "a number", "a postal code"}:
        return f"it looks like {shape}"
    return "it is no number" if _ZERO.fullmatch(text) else _several_codes(text)


def _several_codes(text: str) -> str:
    tokens = [each for each in _BETWEEN_CODES.split(text) if each]
    words = [each for each in tokens if not DIGIT.search(each)]
    kinds = {_DIGIT_RUN.sub("9", _LETTER_RUN.sub("x", each)) for each in tokens} - {"x"}
    letters = {_FROM_DIGIT.sub("", each).upper() for each in tokens if has_digit(each)} - {""}
    lengths = [len(each) for each in tokens if each.isdigit()]
    if (
        _CENTS_END.search(text)
        or _PHONE_DIGITS.search(text)
        or _DATE_INSIDE.search(text)
        or "@" in text
        or (len(kinds) > 1 and len(tokens) - len(words) > 1)
        or len(letters) > 1
        or (lengths and max(lengths) - min(lengths) > _LENGTHS_APART)
        or any(looks(each) in _NO_PART for each in tokens)
    ):
        return "it has something else in it"
    names = [each for each in words if each.strip("-.:#").casefold() not in _WORDS_OF_CODES]
    if len(tokens) > 1 and (names or tokens[-1] in words):
        return "it looks like words"
    return ""


def _rx(text: str) -> str:
    if _PLAIN_CODE.fullmatch(text):  # it has digits
        return ""
    return _code(text) or ("" if has_digit(text) else "it has no digits")


def _part_of_name(text: str) -> str:
    if is_titled(text):
        return "it is a whole name with a title"
    if "," in text and has_second_comma(f",{text}"):
        return "it is more than a part of a name"
    return "it has two lines" if "\n" in text or "\t" in text else _name(text)


_JUDGES: Final[Mapping[str, Callable[[str], str]]] = {
    "patient_name": _name,
    "last_first": _name,
    "first_name": _part_of_name,
    "middle_name": _part_of_name,
    "last_name": _part_of_name,
    "patient_address": _address,
    "street_number": _not_like(*_NO_PART, "a street address"),
    "address2": _second_line,
    "locality": _locality,
    "city": _city,
    "state": _state,
    "postal_code": _postal,
    "country": _state,
    "patient_phone": _phone,
    "patient_email": _email,
    "rx_number": _rx,
    "external_patient_id": _code,
    "external_order_id": _code,
}


def weak_misfit(field: str, text: str) -> bool:
    """Return why a cell is unusual for its column; two in one row mean that cells moved."""
    if field == "patient_email":
        return "@" not in text
    shape = looks(text) if field == "notes" else ""
    if field == "notes" and len(text) > 1 and text.casefold() in ANSWERS:
        return True
    if field == "notes" and _CODE_NOTE.fullmatch(text):
        return len(text) > _SHORT_NUMBER
    if shape == "a number":
        return len(text) > _SHORT_NUMBER
    return shape not in {"", "a street address", "a unit of an address"}


def column_fit(field: str, texts: Sequence[str]) -> float:
    """Return the share of a column's values that are usual for it; 1 without values."""
    odd = [weak_misfit(field, each) or misfit(field, each) != "" for each in texts]
    return 1 - sum(odd) / len(odd) if odd else 1.0


JUDGED: Final = frozenset(_JUDGES)


def misfit(field: str, cell: Cell) -> str:
    """Return why a cell doesn't fit its column; empty where it may fit."""
    judge = _JUDGES.get(field)
    return "" if judge is None else _misfit(field, judge, cell)


def misfits(field: str) -> Callable[[Cell], str]:
    """Return :func:`misfit` for one field."""
    judge = _JUDGES.get(field)
    if judge is None:
        return lambda _: ""
    if field in GARBLED_FIELDS:
        return partial(_misfit, field, judge)

    def why_not(cell: Cell) -> str:
        if not isinstance(cell, str):
            return _misfit(field, judge, cell)
        text = cell.strip().removeprefix("'")
        return judge(text) if text else ""

    return why_not


def _misfit(field: str, judge: Callable[[str], str], cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, str):
        # An apostrophe marks a number as text in a spreadsheet: '02108.
        text = cell.strip().removeprefix("'")
        return (judge(text) or garbled(field, text)) if text else ""
    if isinstance(cell, date):
        return "it looks like a date"
    if isinstance(cell, float) and cell.is_integer():
        return judge(str(int(cell)))
    return judge(str(cell))


def _is_nothing(field: str, cell: Cell) -> bool:
    """Return whether a cell doesn't count for its column: a placeholder, a stray mark."""
    if field != "patient_address" or not isinstance(cell, str):
        return False
    return len(cell.strip()) < _SHORTEST or is_placeholder(cell)


def fit(field: str, cells: Iterable[Cell], *, is_garbled_fine: bool = False) -> float:
    """Return the share of a column's filled cells that fit it; 1 without any.

    With ``is_garbled_fine`` garbled texts count as fitting.
    """

    def may_be(cell: Cell) -> bool:
        return why_not(cell) == "" or (is_garbled_fine and garbled(field, str(cell)) != "")

    why_not = misfits(field)
    judge = kept(may_be)  # cities, states and days repeat in many rows
    found = [judge(each) for each in cells if not _is_nothing(field, each)]
    return sum(found) / len(found) if found else 1.0
