"""Refuse address columns with a note, a city, a state or a number beside the street. Pure."""

import re
from collections.abc import Sequence
from typing import Final

from gateway.plugin import Problem
from gateway_csv.columns.reading import HALF, DoubtfulColumns, share
from gateway_csv.columns.regions import is_region
from gateway_csv.columns.shapes import says_street
from gateway_csv.columns.taken_columns import TakenColumns, doubted
from gateway_csv.columns.wording import has_comma, note_behind_address

_NUMBER: Final = r"[A-Z]{0,4}[-#]?\d{3,}"
_TWO_NUMBERS: Final = re.compile(
    rf"(?P<number>{_NUMBER})(?:\s|[^\w\s-]|\s-\s)+(?P<house>\d{{1,6}})[A-Za-z]? +[^\W\d_]"
)
_NUMBER_BEHIND: Final = re.compile(
    rf"(?P<house>\d{{1,6}})[A-Za-z]? +[^\W\d_][^\d,]*[^\w#-]\s*(?P<number>{_NUMBER})(?=$|[,\n])"
)
_STATE_BEFORE_HOUSE: Final = re.compile(r"([A-Z]{2})[\s,;/|&-]+\d{1,6}[A-Za-z]? +[^\W\d_]")
HOME: Final = re.compile(
    r"\b(?:residences?|homes?|villas?|lodge|cent(?:re|er)|gardens?|apartments|towers?|village|"
    r"hospital|clinic|church|school|inn|hotel|heights|care|living|hall)\b",
    re.IGNORECASE,
)
_MARK_BEFORE_HOUSE: Final = re.compile(r"[^\d,;/|&\t\n]+?\s*[;|&\t/]\s*\d")
BUILDING: Final = re.compile(
    HOME.pattern + r"|\b(?:floor|level|unit|rear|front|upper|lower|main|basement|building|bldg|"
    r"house|manor|tower|wing|block|court|room|suite|side|left|right|north|south|east|west|"
    r"penthouse|attn|attention|care|estates?|park|ridge|place|terrace|entrance|ground|garage)\b",
    re.IGNORECASE,
)
_CITY_BEFORE_HOUSE: Final = re.compile(
    r"(?P<city>[^\W\d_][^\d,;/|&\t\n]*?)[\s,;/|&-]+\d{1,6}[A-Za-z]? +[^\W\d_]"
)


def check_address(table: TakenColumns) -> None:
    """Refuse words of a note behind the street, and a state without a city."""
    for column in table.taken("patient_address"):
        texts = table.texts(column)
        if "notes" not in table.by_field and share(texts, note_behind_address) >= HALF:
            raise doubted(column, "its addresses have words of a note behind the street")
        for place, pattern in (("in front", _TWO_NUMBERS), ("behind the street", _NUMBER_BEHIND)):
            if _has_numbers(texts, pattern):
                raise doubted(column, f"its addresses have a number of something else {place}")
        if not table.by_field.keys() & {"city", "locality"} and _begin_with_city(texts):
            raise doubted(column, "its addresses may have the city in front of the street")
        if "state" not in table.by_field and share(texts, _begins_with_state) > HALF:
            raise doubted(column, "its addresses have a state or a province in front of the street")
        fields = table.by_field.keys()
        lacks_city = "state" in fields and not fields & {"city", "locality"}
        if lacks_city and share(texts, has_comma) < HALF:
            raise DoubtfulColumns(
                "An address has a state or a province, and no city.",
                [
                    Problem(
                        "map the column with the city, or leave the state out "
                        f'(--column "{table.by_field["state"][0].header}=ignore")',
                        field="city",
                    )
                ],
                headers=[table.by_field["state"][0].header],
            )


def _begins_with_state(address: str) -> bool:
    found = _STATE_BEFORE_HOUSE.match(address)
    return found is not None and is_region(found[1])


def _begin_with_city(addresses: Sequence[str]) -> bool:
    """Return whether most addresses have words before the house number, on different houses."""
    found = [each["city"] for each in map(_CITY_BEFORE_HOUSE.match, addresses) if each is not None]
    cities = [each for each in found if not says_street(each) and not HOME.search(each)]
    is_marked = share(addresses, _MARK_BEFORE_HOUSE.match) > HALF
    return len(cities) > HALF * len(addresses) and (is_marked or len(set(cities)) > 1)


def _has_numbers(addresses: Sequence[str], pattern: re.Pattern[str]) -> bool:
    """Return whether most addresses have a second number, and no two share the house's.

    The flats of a house share its number: ``1204 500 Elm St``, ``1305 500 Elm St``.
    """
    found = [each for each in map(pattern.match, addresses) if each is not None]
    houses = {each["house"] for each in found}
    numbers = {each["number"] for each in found}
    is_usual = len(found) > 1 and len(found) > HALF * len(addresses)
    return is_usual and len(houses) == len(numbers) == len(found)
