"""Rules for text, money and days in all parts of an order."""

import re
from datetime import date
from decimal import Decimal
from typing import Final

from gateway.errors import Problem
from gateway.model.day import YEARS

COPAY_LIMIT: Final = Decimal(10000)
_CENT: Final = Decimal("0.01")
_DIRECTIONS: Final = r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
CONTROL_CHARACTERS: Final = re.compile(rf"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f{_DIRECTIONS}]")
"""C0 and C1, forbidden in an order; texts of several lines may have tabs and line breaks."""
SUSPECT: Final = re.compile(rf"[\x00-\x1f\x7f-\x9f{_DIRECTIONS}]")
"""One match that accepts nearly every text."""
DIRECTION: Final = re.compile(f"[{_DIRECTIONS}]")
LINE_BREAK: Final = re.compile(r"[\t\r\n]")


def two_places(amount: Decimal) -> Decimal:
    """Return an amount of money with its two places: ``12.50`` for ``12.5``, never ``-0.00``."""
    return amount.quantize(_CENT) + 0


def has_two_places(amount: Decimal) -> bool:
    """Return whether :func:`two_places` would change nothing."""
    return amount.same_quantum(_CENT) and not amount.is_signed()


def copay_problem(amount: Decimal | None, field: str) -> Problem | None:
    """Return the problem of ``amount`` as a copay in ``field``, if there is one."""
    if amount is None:
        return None
    if not amount.is_finite() or not 0 <= amount <= COPAY_LIMIT:
        return Problem(f"{field} must be between 0 and {COPAY_LIMIT}", field=field)
    if amount != round(amount, 2):
        return Problem(f"{field} must have at most two decimal places", field=field)
    return None


def day_problem(day: date | None, field: str) -> Problem | None:
    """Return the problem of ``day`` (or of a moment) in ``field``, if there is one."""
    if day is not None and day.year not in YEARS:
        text = f"{field} must lie between the years {YEARS[0]} and {YEARS[-1]}"
        return Problem(text, field=field)
    return None
