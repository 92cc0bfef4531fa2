"""Words that are out of place in a name or an address, and letters that were garbled. Pure."""

import re
from typing import Final

# UTF-8 read as cp1252 or as Mac Roman; a letter that was lost; letters written as in HTML.
_GARBLED: Final = re.compile(
    r"[\u00c2-\u00c5][\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc"
    r"\u2018-\u201e\u2020-\u2022\u2026\u2030\u2039\u203a\u2122\u2013\u2014\u20ac]"
    r"|\u00e2\u20ac|[\ufffd\u221a]|&(?:#\d{2,5}|#x[\da-f]{2,4}|[a-z]{2,8});",
    re.IGNORECASE,
)
_LOST_LETTER: Final = re.compile(r"[^\W\d_]\?|\?[^\W\d_]")
_SMALL_WORDS: Final = (
    "de la le les du des da das do dos del della di van von der den ter ten zu zur af av bin bint "
    "al el y e i and et of st ste mac mc ou or aka née nee jr sr c/o the dit sur aux au d l lo los "
    "las vom zum am im in upon under on near at ul ap abu ben ibn bat"
)
_PARTICLES: Final = frozenset(_SMALL_WORDS.split(" "))
_SUFFIXES: Final = re.compile(r"(?:jr|sr|ii|iii|iv|md|phd|esq|dds|rn|do)\.?", re.IGNORECASE)
_OF_NOTES: Final = (
    "leave left ring call knock door gate desk buzz buzzer before after delivery deliver delivered "
    "entrance dog dogs please twice porch stairs neighbor neighbour neighbors use with first front "
    "back side rear behind careful beware doorbell bell concierge lobby doorman code signature "
    "sign urgent stat routine rush yes no not only text phone arrival when if needs hard hearing "
    "knocking parcel package mailbox garage driveway upstairs downstairs basement security "
    "reception between today tomorrow morning afternoon evening fragile refrigerate fridge cooler "
    "keep cold id must"
)
NOTE_WORDS: Final = frozenset(_OF_NOTES.split(" "))
ANSWERS: Final = frozenset(["yes", "no", "y", "n", "true", "false", "routine", "urgent", "stat"])
_FEWEST_NOTE_WORDS: Final = 2
_AROUND_WORDS: Final = ".,;:()'&|/-"
_MARKS_AS_SPACES: Final = dict.fromkeys(map(ord, _AROUND_WORDS), " ")
_DOCTOR_IN_FRONT: Final = re.compile(r"(?:dr|doctor|prof)\b\.? ", re.IGNORECASE)
_DOCTOR_BEHIND: Final = re.compile(
    r"[ ,](?:md|do|np|pa|rph|pharmd|dds|dvm|pa-c|aprn)\.?\Z", re.IGNORECASE
)
_STREET_END: Final = re.compile(
    r".*\b(?:st|street|ave|avenue|av|rd|road|dr|drive|ln|lane|blvd|boulevard|way|ct|court|pl|place|"
    r"cir|circle|pkwy|parkway|sq|square|ter|terrace|trl|trail|hwy|highway|cres|crescent)\b\.?",
    re.IGNORECASE | re.DOTALL,
)


def has_comma(text: str) -> bool:
    """Return whether a text has a comma."""
    return "," in text


def has_doctors_title(text: str) -> bool:
    """Return whether a name has a doctor's title: ``Dr. Alma Lind``, ``Iris Quist MD``."""
    has_title = _DOCTOR_IN_FRONT.match(text) or _DOCTOR_BEHIND.search(text)
    return has_title is not None and "\n" not in text


def has_second_comma(text: str) -> bool:
    """Return whether a name continues after a second comma, except a suffix: Reed, Ana, Boston."""
    if text.count(",") < 2:  # noqa: PLR2004
        return False
    parts = text.split(",")[2:]
    return any(each.strip() and not _SUFFIXES.fullmatch(each.strip()) for each in parts)


def words_of_a_note(text: str) -> str:
    """Return whether a name or a place has words of a note: ``Ana Reed ring twice``."""
    words = [each.strip(_AROUND_WORDS) for each in text.split()]
    is_mixed = text != text.casefold() and text != text.upper()
    small = [
        each
        for each in words
        if is_mixed and len(each) > 1 and each.islower() and each not in _PARTICLES
    ]
    noted = [each for each in words if each.casefold() in NOTE_WORDS]
    if len(small) > 1 or any(each in NOTE_WORDS for each in small):
        return "it has words that are no part of it"
    return "it has words of a note" if len(noted) >= _FEWEST_NOTE_WORDS else ""


def is_note(text: str) -> bool:
    """Return whether separate words are a note: ``dog in yard``, ``Leave at front desk``."""
    words = [each.strip(_AROUND_WORDS) for each in text.split()]
    is_small = any(each.islower() for each in words) and not any(each.istitle() for each in words)
    has_noted = any(each.casefold() in NOTE_WORDS for each in words)
    return (is_small and has_noted) or words_of_a_note(text) != ""


def garbled(field: str, text: str) -> str:
    """Return whether programs garbled a text's letters."""
    if field not in GARBLED_FIELDS or (text.isascii() and "&" not in text and "?" not in text):
        return ""
    if _GARBLED.search(text) or (field in _OF_LETTERS and _LOST_LETTER.search(text)):
        return "its letters are garbled: export the file as CSV UTF-8 again"
    return ""


NAME_FIELDS: Final = frozenset(
    {"patient_name", "last_first", "first_name", "middle_name", "last_name"}
)
_OF_LETTERS: Final = NAME_FIELDS | {"city", "locality"}
GARBLED_FIELDS: Final = NAME_FIELDS | {"patient_address", "address2", "city", "locality"}


def _may_be_noted(text: str) -> bool:
    """Return whether a text has a word in small letters, or one of a note's."""
    words = text.split()
    if any(map(str.islower, words)):
        return True
    # Nearly every address has none of these words.
    if NOTE_WORDS.isdisjoint(text.casefold().translate(_MARKS_AS_SPACES).split()):
        return False
    return not NOTE_WORDS.isdisjoint([each.strip(_AROUND_WORDS).casefold() for each in words])


def note_behind_address(text: str) -> bool:
    """Return whether words behind a street are a note's: ``5 Elm St, ring twice``."""
    if not _may_be_noted(text):
        return False
    rest = _STREET_END.sub("", text)
    words = [each.strip(_AROUND_WORDS) for each in rest.split()]
    noted = [each for each in words if each.casefold() in NOTE_WORDS]
    is_mixed = text != text.casefold() and text != text.upper()
    small = [
        each
        for each in words
        if is_mixed and len(each) > 1 and each.islower() and each not in _PARTICLES
    ]
    return len(noted) > 1 or len(small) > 1 or bool(noted and small)
