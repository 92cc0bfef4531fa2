"""Strengths in drug texts, and their comparison with a product's. Pure.

A text is read token by token, so that its cost grows with its length alone. Masses are compared
in milligrams, concentrations as ratios: 250 mg/5 mL is 50 mg/mL, and 0.5 % is 5 mg/mL or 5 mg/g.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from itertools import islice
from typing import Final, NamedTuple

from gateway_rx_queue.drugs.words import fold

_TOKEN: Final = re.compile(
    r"(?P<number>[1-9]\d{0,2}(?:,\d{3}){1,3}(?!\d)|[1-9]\d{0,2}(?:[ \u00a0\u202f]000){1,3}(?!\d)"
    r"|\d{1,9}(?:[.,]\d{1,6})?|[.]\d{1,6})|(?P<word>[a-z\u03bc]+)|(?P<sign>[/+%#-])"
)
_THOUSANDS: Final = re.compile(r"[1-9]\d{0,2}(?:[, \u00a0\u202f]\d{3})+")
_MAX_TOKENS: Final = 200
_PACKAGE_MG: Final = 2000
_MASS: Final[Mapping[str, Decimal]] = {
    **dict.fromkeys(("mg", "mgs", "milligram", "milligramme", "milligrams"), Decimal(1)),
    **dict.fromkeys(("g", "gm", "gram", "gramme", "grams", "grammes"), Decimal(1000)),
    **dict.fromkeys(
        ("mcg", "ug", "\u03bcg", "microgram", "microgramme", "micrograms"), Decimal("0.001")
    ),
    **dict.fromkeys(("ng", "nanogram"), Decimal("0.000001")),
}
_UNITS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("iu", "ui", "unit", "units", "unite", "unites", "u"), "unit"),
    **dict.fromkeys(("meq",), "meq"),
    **dict.fromkeys(("mmol",), "mmol"),
    **dict.fromkeys(("ppm",), "ppm"),
}
_VOLUME: Final[Mapping[str, Decimal]] = {
    **dict.fromkeys(("ml", "mls", "cc", "millilitre", "milliliter"), Decimal(1)),
    **dict.fromkeys(("l", "litre", "liter"), Decimal(1000)),
}
_TIME: Final = frozenset({"h", "hr", "hrs", "hour", "heure"})
_PIECES: Final = frozenset(
    {
        "tab",
        "tabs",
        "tablet",
        "cap",
        "caps",
        "capsule",
        "co",
        "comprime",
        "dose",
        "doses",
        "puff",
        "actuation",
        "act",
        "aem",
        "spray",
        "inhalation",
        "inh",
        "patch",
        "suppository",
        "bouffee",
        "vaporisation",
        "timbre",
        "drop",
        "goutte",
        "vial",
        "ampoule",
        "pen",
        "blister",
    }
)
_COUNTED: Final = frozenset({"tab", "tabs", "tablet", "cap", "caps", "capsule", "co"})


class Strength(NamedTuple):
    """``amount`` of ``unit`` (mg, unit, meq, % …) in ``per_amount`` of ``per`` (ml, g, h), if any.

    The unit ``""`` is a number that the text gives no unit.
    """

    amount: Decimal
    unit: str
    per_amount: Decimal | None = None
    per: str | None = None

    def __str__(self) -> str:
        """Return it as ``250mg/5ml``."""
        shown = f"{self.amount.normalize():f}{self.unit}"
        if self.per is None or self.per_amount is None:
            return shown
        return f"{shown}/{self.per_amount.normalize():f}{self.per}"


class _Token(NamedTuple):
    number: Decimal | None
    word: str
    start: int
    end: int


_TEXTS: Final = 1024
"""The size of the cache: several rules read the same text."""


class Found(NamedTuple):
    """A strength and the place in the text where it begins."""

    strength: Strength
    place: int


@lru_cache(maxsize=_TEXTS)
def read_strengths(text: str) -> tuple[Found, ...]:
    """Return the strengths in a text, in their order, without package sizes."""
    tokens = list(_tokens(text))
    found: list[Found] = []
    bare: list[tuple[Decimal, int]] = []
    at = 0
    while at < len(tokens):
        token = tokens[at]
        if token.number is None:
            at += 1
            continue
        unit, following = _unit(tokens, at + 1)
        if unit is not None:
            found.extend(Found(_strength(each, unit), place) for each, place in bare)
            bare = []
            strength, at = _with_per(tokens, _strength(token.number, unit), following)
            found.append(Found(strength, token.start))
            continue
        if _is_bare(tokens, at):
            bare.append((token.number, token.start))
            if not _joined(tokens, at + 1):
                found.extend(Found(Strength(each, ""), place) for each, place in bare)
                bare = []
        else:
            bare = []
        at += 1
    return tuple(_without_packages(found))


def _tokens(text: str) -> Iterator[_Token]:
    for match in islice(_TOKEN.finditer(fold(text)), _MAX_TOKENS):
        number = None
        if match["number"] is not None:
            number = _number(match["number"])
        yield _Token(number, match["word"] or match["sign"] or "", match.start(), match.end())


def _number(text: str) -> Decimal:
    if _THOUSANDS.fullmatch(text):
        return Decimal(re.sub(r"\D", "", text))
    return Decimal(text.replace(",", "."))


def _unit(tokens: Sequence[_Token], at: int) -> tuple[str | None, int]:
    """Return the unit at ``at``, and where it ends."""
    word = tokens[at].word if at < len(tokens) else ""
    if word == "%" or word in _MASS or word in _UNITS or word in _VOLUME:
        return word, at + 1
    if word in _TIME:
        return "h", at + 1
    return None, at


def _strength(number: Decimal, unit: str) -> Strength:
    if unit == "%":
        return Strength(number * 10, "mg", Decimal(1), "%")
    if unit in _MASS:
        return Strength(number * _MASS[unit], "mg")
    if unit in _VOLUME:
        return Strength(number * _VOLUME[unit], "ml")
    return Strength(number, _UNITS.get(unit, unit))


def _with_per(tokens: Sequence[_Token], strength: Strength, at: int) -> tuple[Strength, int]:
    """Read ``/5 mL``, ``per hour`` or ``/tab`` behind a strength."""
    if strength.per is not None or at >= len(tokens) or tokens[at].word not in {"/", "per", "par"}:
        return strength, at
    place = at + 1
    number = Decimal(1)
    given = place < len(tokens) and tokens[place].number is not None
    if given:
        number = tokens[place].number or number
        place += 1
    word = tokens[place].word if place < len(tokens) else ""
    if word in _VOLUME and number:
        return strength._replace(per_amount=number * _VOLUME[word], per="ml"), place + 1
    if word in _TIME and number:
        return strength._replace(per_amount=number, per="h"), place + 1
    if word in {"g", "gm", "gram", "gramme"} and not given:
        return strength._replace(per_amount=Decimal(1), per="g"), place + 1
    if word in _PIECES:
        return strength, place + 1
    return strength, at


def _is_bare(tokens: Sequence[_Token], at: int) -> bool:
    """Return whether a number without a unit may be a strength: not B12, #30, 1/2 tab."""
    token = tokens[at]
    before = tokens[at - 1] if at else None
    if before is not None and (before.word == "#" or before.word in {"x", "no", "qty"}):
        return False
    if before is not None and before.end == token.start and before.word.isalpha():
        return False
    after = tokens[at + 1].word if at + 1 < len(tokens) else ""
    in_pair = (before is not None and before.word in {"/", "-"}) or after in {"/", "-"}
    return not (in_pair and _is_count(tokens, at))


def _is_count(tokens: Sequence[_Token], at: int) -> bool:
    """Return whether a pair of numbers counts pieces: ``1/2 tab``, ``1-2 caps``."""
    for token in tokens[at + 1 : at + 4]:
        if token.word in _COUNTED:
            return True
        if token.number is None and token.word not in {"/", "-"}:
            return False
    return False


def _joined(tokens: Sequence[_Token], at: int) -> bool:
    """Return whether another number follows a joining sign: ``5/325``."""
    return (
        at + 1 < len(tokens)
        and tokens[at].word in {"/", "-", "+"}
        and tokens[at + 1].number is not None
    )


def _without_packages(found: Sequence[Found]) -> list[Found]:
    known = [each for each in found if each.strength.unit not in {"", "ml", "h"}]
    bare = [each for each in found if each.strength.unit == ""]
    if not known:
        return bare
    smaller = [
        each
        for each in known
        if not (
            each.strength.unit == "mg"
            and each.strength.per is None
            and each.strength.amount >= _PACKAGE_MG
        )
    ]
    return smaller or known


def fits(said: Strength, listed: Strength) -> bool:
    """Return whether a strength of a text is the one of an ingredient."""
    if said.unit == "":
        return any(said.amount == each for each in _plain_amounts(listed))
    if said.unit != listed.unit:
        return False
    if said.per_amount and listed.per_amount:
        same = said.per == listed.per or (
            "%" in {said.per, listed.per} and {said.per, listed.per} <= {"%", "ml", "g"}
        )
        return same and said.amount * listed.per_amount == listed.amount * said.per_amount
    return said.amount == listed.amount


def _plain_amounts(listed: Strength) -> Iterator[Decimal]:
    yield listed.amount
    if listed.unit == "mg":
        yield listed.amount * 1000  # a number in micrograms
        yield listed.amount / 1000
    if listed.per == "%":
        yield listed.amount / 10


def all_fit(said: Sequence[Strength], listed: Sequence[Strength]) -> bool:
    """Return whether each strength of a text is that of an ingredient of its own.

    A text that repeats a strength, or gives it twice in two forms, names the same ingredient.
    """
    distinct = list(dict.fromkeys(said))
    if len(distinct) > len(listed):
        return all(any(fits(each, part) for part in listed) for each in distinct)
    taken: dict[int, int] = {}

    def placed(which: int, seen: set[int]) -> bool:
        for place, part in enumerate(listed):
            if place in seen or not fits(distinct[which], part):
                continue
            seen.add(place)
            if place not in taken or placed(taken[place], seen):
                taken[place] = which
                return True
        return False

    return all(placed(which, set()) for which in range(len(distinct)))
