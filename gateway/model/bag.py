"""A bag: the prescriptions of one package, and the order's fields that follow from them.

``rx_number`` and ``copay_amount`` of an order with prescriptions are the first number and the sum
of the copays, for receivers that know only those two. An order without prescriptions has no bag:
both are as they were sent.
"""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any, Final, NamedTuple

import msgspec

from gateway.errors import Conflict, InvalidInput, Problem
from gateway.model.fields import (
    COPAY_LIMIT,
    SUSPECT,
    copay_problem,
    day_problem,
    has_two_places,
    two_places,
)

MAX_PRESCRIPTIONS: Final = 50
MAX_RX_CHARACTERS: Final = 100
MAX_FILL_NUMBER: Final = 999
_NOT_CANCELLED: Final = "The prescriptions can't be cancelled."


class Prescription(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One prescription in a bag.

    ``fill_number`` counts from 0, the original fill; ``filled_on`` is a day of the pharmacy;
    money is dollars. ``partial``: less than the quantity prescribed is in the bag.
    """

    rx_number: str
    fill_number: int | None = None
    filled_on: date | None = None
    copay_amount: Decimal | None = None
    partial: bool = False
    controlled: bool = False
    refrigerated: bool = False


class RxNumber(NamedTuple):
    """Names a prescription of a bag: without a fill number, the only one with its number."""

    rx_number: str
    fill_number: int | None = None


class BagChange(NamedTuple):
    """A change of a package's bag.

    ``cancelled`` leave it; ``copay_amount`` is the amount left to collect, where prescriptions have
    no copays of their own. ``needs_person`` raises or lowers that flag.
    """

    cancelled: tuple[RxNumber, ...] = ()
    copay_amount: Decimal | None = None
    needs_person: bool | None = None


class Bag(NamedTuple):
    """Accepted prescriptions, with the number and the copay of their order."""

    prescriptions: tuple[Prescription, ...]
    rx_number: str | None
    copay_amount: Decimal | None


def checked_bag(
    prescriptions: Sequence[Prescription], rx_number: str | None, copay_amount: Decimal | None
) -> tuple[Bag | None, tuple[Problem, ...]]:
    """Return the bag, or every problem of it.

    ``rx_number`` and ``copay_amount`` are the order's own fields: a number that isn't the first and
    an amount that isn't the sum are refused. An amount beside prescriptions without copays is the
    whole bag's.
    """
    if len(prescriptions) > MAX_PRESCRIPTIONS:
        text = f"an order has at most {MAX_PRESCRIPTIONS} prescriptions"
        return None, (Problem(text, field="prescriptions"),)
    problems: list[Problem] = []
    seen: set[tuple[str, int | None]] = set()
    for place, each in enumerate(prescriptions):
        problems += _problems_of(each, f"prescriptions[{place}]")
        key = (folded(each.rx_number), each.fill_number)
        if key in seen:
            text = "the same rx_number and fill_number are listed twice"
            problems.append(Problem(text, field=f"prescriptions[{place}].rx_number"))
        seen.add(key)
    if problems:
        return None, tuple(problems)
    first = prescriptions[0].rx_number.strip()
    if rx_number is not None and folded(rx_number) != folded(first):
        text = "rx_number must be that of the first of prescriptions, or left out"
        problems.append(Problem(text, field="rx_number"))
    total = total_copay(prescriptions)
    if total is not None and total > COPAY_LIMIT:
        text = f"the copays of prescriptions add up to more than {COPAY_LIMIT}"
        problems.append(Problem(text, field="prescriptions"))
    if total is not None and copay_amount is not None and total != copay_amount:
        text = "copay_amount must be the sum of the copays in prescriptions, or left out"
        problems.append(Problem(text, field="copay_amount"))
    if problems:
        return None, tuple(problems)
    kept = tuple(_tidied(each) for each in prescriptions)
    return Bag(kept, first, copay_amount if total is None else total), ()


def total_copay(prescriptions: Sequence[Prescription]) -> Decimal | None:
    """Return the sum of the copays named, or ``None`` where none is."""
    named = [each.copay_amount for each in prescriptions if each.copay_amount is not None]
    return sum(named, Decimal("0.00")) if named else None


def without(
    bag: Bag, cancelled: Sequence[RxNumber], copay_amount: Decimal | None = None
) -> tuple[Bag, tuple[Prescription, ...]]:
    """Return the bag without some prescriptions, and the removed ones.

    The copay is the sum of those left. Where prescriptions have no copays of their own, the bag's
    new ``copay_amount`` is required if it has one. Raises ``InvalidInput``, and ``Conflict`` where
    none would be left.
    """
    gone: list[int] = []
    problems: list[Problem] = []
    for place, wanted in enumerate(cancelled):
        found = [index for index, each in enumerate(bag.prescriptions) if _is_meant(wanted, each)]
        field = f"cancel_prescriptions[{place}].rx_number"
        if not found:
            problems.append(Problem("the bag has no such prescription", field=field))
        elif len(found) > 1:
            text = "the bag has several fills of this number: name the fill_number"
            problems.append(Problem(text, field=field))
        else:
            gone += found
    if problems:
        raise InvalidInput(_NOT_CANCELLED, problems)
    left = tuple(each for index, each in enumerate(bag.prescriptions) if index not in gone)
    if not left:
        raise Conflict("Nothing would be left in the bag: cancel the package instead.")
    total = total_copay(left)
    is_split = total_copay(bag.prescriptions) is not None
    text = ""
    if not is_split and bag.copay_amount is not None and copay_amount is None:
        text = (
            "the bag's copay isn't named for each prescription: send the copay_amount that is left"
        )
    elif is_split and copay_amount is not None and copay_amount != (total or 0):
        text = "copay_amount must be the sum of the copays that are left, or left out"
    if text:
        raise InvalidInput(_NOT_CANCELLED, [Problem(text, field="copay_amount")])
    went = tuple(bag.prescriptions[index] for index in sorted(set(gone)))
    return Bag(left, left[0].rx_number, total if is_split else copay_amount), went


def bag_of(
    prescriptions: tuple[Prescription, ...], rx_number: str | None, copay_amount: Decimal | None
) -> Bag:
    """Return the bag of an order; an ``rx_number`` alone is a bag of one."""
    if not prescriptions and rx_number:
        prescriptions = (Prescription(rx_number=rx_number, copay_amount=copay_amount),)
    return Bag(prescriptions, rx_number, copay_amount)


def references_of(prescriptions: Sequence[Prescription]) -> list[dict[str, Any]]:
    """Return a bag's numbers and fill numbers, as events have them."""
    return [
        {"rx_number": each.rx_number, "fill_number": each.fill_number} for each in prescriptions
    ]


def folded(rx_number: str) -> str:
    """Return a number in the form for comparisons, as in a search."""
    return rx_number.strip().casefold()


def _is_meant(wanted: RxNumber, each: Prescription) -> bool:
    return folded(wanted.rx_number) == folded(each.rx_number) and (
        wanted.fill_number is None or wanted.fill_number == each.fill_number
    )


def _problems_of(each: Prescription, at: str) -> list[Problem]:
    number, problems = each.rx_number, []
    field = f"{at}.rx_number"
    if not number.strip():
        problems.append(Problem("rx_number is required", field=field))
    if len(number) > MAX_RX_CHARACTERS:
        text = f"rx_number has more than {MAX_RX_CHARACTERS} characters"
        problems.append(Problem(text, field=field))
    if SUSPECT.search(number):
        problems.append(Problem("rx_number contains control characters", field=field))
    if each.fill_number is not None and not 0 <= each.fill_number <= MAX_FILL_NUMBER:
        text = f"fill_number must be between 0 and {MAX_FILL_NUMBER}"
        problems.append(Problem(text, field=f"{at}.fill_number"))
    day = day_problem(each.filled_on, f"{at}.filled_on")
    copay = copay_problem(each.copay_amount, f"{at}.copay_amount")
    return [*problems, *filter(None, (day, copay))]


def _tidied(each: Prescription) -> Prescription:
    amount, number = each.copay_amount, each.rx_number.strip()
    if amount is not None and not has_two_places(amount):
        each = msgspec.structs.replace(each, copay_amount=two_places(amount))
    return each if number == each.rx_number else msgspec.structs.replace(each, rx_number=number)
