"""Properties that nearly all cells of a column share. Pure."""

from collections.abc import Callable
from typing import Final, NamedTuple

from gateway_csv.columns.regions import is_region
from gateway_csv.columns.shapes import ends_with_postal_code, has_capital, is_postal_code
from gateway_csv.columns.wording import has_comma


def _stands_in_capitals(text: str) -> bool:
    if text.istitle():
        return True
    words = text.split()
    return bool(words) and all(has_capital(each[:1]) for each in (words[0], words[-1]))


def _has_words(text: str) -> bool:
    return len(text.split()) > 1


class Trait(NamedTuple):
    """A property that nearly all cells of a field share."""

    field: str
    holds: Callable[[str], bool]
    lacking: str
    share: float = 0.3
    """The share of rows from which on it counts as shared."""


TRAITS: Final = (
    Trait("patient_name", _stands_in_capitals, "it is in small letters, unlike the other cells"),
    Trait("patient_name", _has_words, "it is one word, unlike the other cells", 0.51),
    Trait("last_first", has_capital, "it is in small letters, unlike the other cells"),
    Trait("last_first", has_comma, "it has no comma, unlike the other cells", 0.7),
    Trait("first_name", has_capital, "it is in small letters, unlike the other cells"),
    Trait("last_name", has_capital, "it is in small letters, unlike the other cells"),
    Trait("city", _stands_in_capitals, "it is in small letters, unlike the other cells"),
    Trait("postal_code", is_postal_code, "it is no postal code as the others are", 0.5),
    Trait("locality", ends_with_postal_code, "it has no postal code, unlike the others", 0.5),
    Trait("state", is_region, "it is no state or province, unlike the other cells", 0.5),
)
