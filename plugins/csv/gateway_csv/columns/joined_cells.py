"""Cells in which two columns were joined: a note before a street, a state behind a flat. Pure."""

import re
from typing import Final

from gateway_csv.columns.regions import is_region
from gateway_csv.columns.wording import is_note

# Text that ends with a mark or a gap, and then the number of a house.
_BEFORE_HOUSE: Final = re.compile(
    r"(?P<words>[^\d]*[^\W\d_]|[^|;\t]*[^\W\d_][^|;\t]*(?=[|;\t]))"
    r"(?:\s*[;|/,&\t\n-]\s*|\s{2,})(?=\d)"
)
_WORDS_BEFORE_HOUSE: Final = re.compile(
    r"(?P<words>[^\d,]*?)[\s,;/|&-]+(?:(?:apt|unit|suite|ste)\b.{1,8}|#\d+\W+)?\d+[A-Za-z]?\s",
    re.IGNORECASE,
)
_BUZZ: Final = re.compile(r"buzz(?:er)? ?#?\d+\W+\d+ ", re.IGNORECASE)
# Normal and Rush are towns as well.
_PRIORITY_BEHIND: Final = re.compile(
    r"[\s/|;,&-](?:routine|urgent|stat)$|[/|;&]\s*(?:rush|normal)$", re.IGNORECASE
)
_STATE_IN_FRONT: Final = re.compile(r"([A-Z]{2})\s*[-/|;,&\t\n]\s*[^\W\d_]")
_REGION_BEHIND: Final = re.compile(r"[|;/\t\n-]\s*([A-Z]{2})$")
_STATE_BEHIND_UNIT: Final = re.compile(r".*\d.*[|;/,&\t\n]\s*([A-Z]{2})", re.DOTALL)
_BETWEEN_LINES: Final = re.compile(r"[|;/\t\n]")
_WORD_BEFORE_UNIT: Final = re.compile(
    r"[^\W\d_]{3,}\s*[-/|;,]\s*(?:apt|unit|suite|ste)\b", re.IGNORECASE
)
# Another number, a state or a postal code beside the flat: 1001 Apt 30, Apt 22 02305.
_BESIDE_UNIT: Final = re.compile(
    r"(?:[A-Z]{0,4}[-#]?\d{4,}|(?-i:(?!NE|SE)[A-Z]{2})|[A-Z]\d[A-Z] ?\d[A-Z]\d)[\s,;/|&-]+"
    r"(?:apt|unit|suite|ste)\b.*"
    r"|(?:apt|unit|suite|ste)\b\.? ?#?\w{1,5}[\s,;/|&-]+"
    r"(?:[A-Z]{0,4}[-#]?\d{4,}|[A-Z]\d[A-Z] ?\d[A-Z]\d)(?:\W.*)?|\d{4,}[\s,;/|&-]+\d{4,}",
    re.IGNORECASE,
)
_UNIT_AND_STATE: Final = re.compile(
    r"(?:Apt|Unit|Suite|Ste|APT|UNIT|SUITE|STE)\b\.? ?#?\w{1,5} +([A-Z]{2})"
)
# Without MD and PA, which are states: Baltimore, MD.
_DOCTOR_BEHIND: Final = re.compile(r"[ ,](?:DO|NP|RPh|PharmD|DDS)\.?$")
_DIRECTIONS: Final = frozenset({"NE", "SE"})
_TITLED: Final = re.compile(r"(?:dr|prof|mr|mrs|ms)\b\.? +\S+ +\S.*", re.IGNORECASE)
# The first word of these names alone isn't a city: Thunder Bay, San Diego, Saint John.
_FIRST_OF_CITY: Final = frozenset(
    [
        *("thunder", "sault", "san", "los", "las", "santa", "saint", "st", "st.", "ste", "ste."),
        *("fort", "ft", "ft.", "baton", "corpus", "medicine", "trois", "rouyn"),
    ]
)


def has_more_than_street(text: str) -> bool:
    """Return whether an address has a note before, or a priority or a state after its street."""
    if _PRIORITY_BEHIND.search(text):
        return True
    behind, in_front = _REGION_BEHIND.search(text), _BEFORE_HOUSE.match(text)
    has_note = in_front is not None and is_note(in_front["words"])
    if not has_note and not text[0].isdigit():
        has_note = _begins_with_note(text)
    # After a comma it belongs to the city: 12 Elm St, Boston - MA.
    has_state = behind is not None and "," not in text and is_region(behind[1])
    return has_note or has_state


def _begins_with_note(text: str) -> bool:
    """Return whether a note is before a street: ``call first 4 Elm St``, ``buzz 1  4 Elm St``."""
    if _BUZZ.match(text):
        return True
    before = _WORDS_BEFORE_HOUSE.match(text)
    return before is not None and is_note(before["words"])


def has_more_than_unit(text: str) -> bool:
    """Return whether an address's second line has a note, a place or another number."""
    behind, parts = _STATE_BEHIND_UNIT.fullmatch(text), _BETWEEN_LINES.split(text)
    has_state = behind is not None and is_region(behind[1])
    has_words = len(parts) > 1 and not all(any(map(str.isdigit, each)) for each in parts)
    has_place = "|" in text or _WORD_BEFORE_UNIT.search(text) is not None
    has_other = has_number_beside_unit(text) or _ends_with_state(text)
    has_other = has_other or is_titled(text)
    return has_state or has_words or has_place or has_other or any(map(is_note, parts))


def has_number_beside_unit(text: str) -> bool:
    """Return whether a flat has another number, or a state, beside it."""
    return _BESIDE_UNIT.fullmatch(text) is not None


def _ends_with_state(text: str) -> bool:
    """Return whether a state follows a flat, except NE, which also means northeast."""
    found = _UNIT_AND_STATE.fullmatch(text)
    return found is not None and found[1] not in _DIRECTIONS and is_region(found[1])


def is_titled(text: str) -> bool:
    """Return whether a text is a whole name with a title: ``Dr. Alma Lind``."""
    return _TITLED.fullmatch(text) is not None


def misses_city(text: str) -> str:
    """Return why a text isn't a whole city: a doctor's name, ``Thunder`` for Thunder Bay."""
    if is_titled(text) or _DOCTOR_BEHIND.search(text):
        return "it looks like a name"
    state = _STATE_IN_FRONT.match(text)
    # LA-SALLE is a city in capital letters.
    has_state = state is not None and is_region(state[1]) and text != text.upper()
    if has_state or _PRIORITY_BEHIND.search(text):
        return "it has more in it than a city"
    is_part = text.casefold() in _FIRST_OF_CITY
    return "it is only a part of a city's name" if is_part else ""
