"""Join an address from its columns. Pure."""

import re
from collections.abc import Callable
from typing import Final

# Their ZIP codes begin with a zero, which a spreadsheet drops.
_ZERO_STATES: Final = frozenset({"CT", "MA", "ME", "NH", "NJ", "PR", "RI", "VI", "VT"})
_SHORT_ZIP: Final = re.compile(r"\d{3,4}")
_ZIP_DIGITS: Final = 5
_BETWEEN_WORDS: Final = re.compile(r"\W+")


def full_address(part: Callable[[str], str | None]) -> str | None:
    """Join the parts: ``123 Main St, Apt 4, Miami, FL 33178``.

    ``part`` reads a field. Parts that the street's column already contains are not repeated.
    """
    street, second = part("patient_address"), part("address2")
    if street is None:  # a city alone isn't an address
        return None
    # The flat is after the street, before the city of the second line.
    line, line_break, rest = street.partition("\n")
    if not line_break and street[:1].isdigit() and part("city") is None:
        line, line_break, rest = street.partition(", ")
    if second and line_break and not rest[:1].isdigit():
        street = f"{line.strip()}, {second}, {rest.strip()}"
        second = None
    number = part("street_number")
    if number and not street.startswith(number):
        street = f"{number} {street}"
    locality = part("locality")
    city, state, postal = part("city"), part("state"), part("postal_code")
    country = part("country")
    region = " ".join(each for each in (state, _with_zeros(postal, state)) if each)
    if postal and _says(street, postal) and (not city or _says(street, city)):
        return ", ".join(each for each in (street, second) if each)
    parts = [each for each in (street, second, locality, city, region, country) if each]
    return ", ".join(parts) or None


def _with_zeros(postal: str | None, state: str | None) -> str | None:
    if postal and state and state.strip().upper() in _ZERO_STATES and _SHORT_ZIP.fullmatch(postal):
        return postal.zfill(_ZIP_DIGITS)
    return postal


def _says(street: str, part: str) -> bool:
    said = _folded(part)
    # Most streets lack some digit of the postal code.
    return set(said).issubset(street.casefold()) and said in _folded(street)


def _folded(text: str) -> str:
    if text.isalnum():
        return text.casefold()
    return _BETWEEN_WORDS.sub("", text).casefold()
