"""Telephone numbers of North America, by the rules of its numbering plan (nanpa.com). Pure.

A number that breaks the rules isn't usable: as E.164 it would be another number, often abroad.
Intake checks numbers of other countries.
"""

import re
from typing import Final

_COUNTRIES: Final = frozenset({"US", "CA"})
_ALLOWED: Final = re.compile(
    r"\+?[\d\s().\-/\u2010-\u2015]+(?:(?:x|ext\.?|#)\s*\d{1,6})?", re.IGNORECASE
)
_PLAIN: Final = re.compile(r"(?:\+?1[-. ]?)?\(?(\d{3})\)?[-. ]{0,2}(\d{3})[-. ]?(\d{4})", re.ASCII)
# Nearly every valid number has this form.
_USUAL: Final = re.compile(
    r"(?:\+?1[-. ]?)?\(?(?!\d11)[2-9]\d{2}\)?[-. ]{0,2}(?!\d11)[2-9]\d{2}[-. ]?\d{4}", re.ASCII
)
_NUMBER: Final = re.compile(r"[2-9]\d{2}[2-9]\d{6}", re.ASCII)
_SERVICE: Final = re.compile(r"\d11")
_NO_DIGIT: Final = re.compile(r"\D")
_EXTENSION: Final = re.compile(r"(?:x|ext\.?|#).*", re.IGNORECASE)
_LOCAL_DIGITS, _WITH_COUNTRY_DIGITS = 10, 11


def usable_phone(text: str, country: str) -> bool:
    """Return whether a number may be passed to intake for a site in ``country``."""
    if country not in _COUNTRIES or _USUAL.fullmatch(text):
        return True
    plain = _PLAIN.fullmatch(text)
    if plain:
        return _is_north_american(plain[1] + plain[2] + plain[3])
    if not _ALLOWED.fullmatch(text.strip()):
        return False
    digits = _NO_DIGIT.sub("", _EXTENSION.sub("", text))
    if text.strip().startswith("+") and not digits.startswith("1"):
        # "+617-555-0123" is Boston's number with a stray mark, or one in Australia.
        return len(digits) > _WITH_COUNTRY_DIGITS or not _is_north_american(digits)
    if len(digits) == _WITH_COUNTRY_DIGITS and digits.startswith("1"):
        digits = digits[1:]
    return _is_north_american(digits)


def _is_north_american(digits: str) -> bool:
    return (
        len(digits) == _LOCAL_DIGITS
        and bool(_NUMBER.fullmatch(digits))
        and not _SERVICE.match(digits)
        and not _SERVICE.match(digits[3:6])
    )
