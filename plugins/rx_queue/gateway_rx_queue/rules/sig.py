"""What directions mean in doses a day, where they say it plainly. Pure.

Directions are free text; what isn't understood for certain is left alone: a rule that
guesses would send everything to a person.
"""

import re
from decimal import Decimal
from typing import Final, NamedTuple

_UNITS: Final = {
    **dict.fromkeys(("tab", "tabs", "tablet", "tablets"), "tablet"),
    **dict.fromkeys(("cap", "caps", "capsule", "capsules"), "capsule"),
    **dict.fromkeys(("ml", "mls", "millilitre", "millilitres"), "ml"),
    **dict.fromkeys(("puff", "puffs", "inhalation", "inhalations"), "puff"),
    **dict.fromkeys(("patch", "patches"), "patch"),
    **dict.fromkeys(("unit", "units", "iu"), "unit"),
}
_WORDS: Final = {
    "half": "0.5",
    "one": "1",
    "two": "2",
    "three": "3",
    "four": "4",
    "1/2": "0.5",
    "½": "0.5",
}
_NUMBER: Final = r"(?:\d{1,3}(?:\.\d{1,2})?|1/2|½|half|one|two|three|four)"
_DOSE: Final = re.compile(
    rf"\b({_NUMBER})(?:\s*(?:-|to)\s*({_NUMBER}))?\s*({'|'.join(sorted(_UNITS, reverse=True))})\b"
    r"|(½)\s*(tab(?:let)?s?)\b"
)
_UNSURE: Final = re.compile(
    r"\b(prn|as needed|as required|if needed|then|until|taper|increase|decrease|or|week(?:ly)?|"
    r"month(?:ly)?|other day|alternate|q\.?o\.?d)\b"
)
_TIMES: Final = {
    "once": 1,
    "twice": 2,
    "three times": 3,
    "four times": 4,
    **{str(number): number for number in range(1, 9)},
}
_PER_DAY: Final = (
    (re.compile(r"\b(?:q\.?i\.?d)\b"), 4),
    (re.compile(r"\b(?:t\.?i\.?d)\b"), 3),
    (re.compile(r"\b(?:b\.?i\.?d)\b"), 2),
    (re.compile(r"\b(?:o\.?d|q\.?d|qam|qpm|qhs|hs|daily|every day|each day|once a day)\b"), 1),
    (re.compile(r"\b(?:at bedtime|every (?:morning|evening|night)|in the morning)\b"), 1),
)
_EVERY_HOURS: Final = re.compile(r"\b(?:q\s*(\d{1,2})\s*h|every (\d{1,2}) hours?)\b")
_N_TIMES: Final = re.compile(
    r"\b(once|twice|three times|four times|[1-8]\s*(?:x|times))\s*(?:a|per|every|each)?\s*"
    r"(?:daily|day)\b"
)


class DailyUse(NamedTuple):
    """How much of ``unit`` is used a day: at least, which may be 0, and at most, which isn't."""

    least: Decimal
    most: Decimal
    unit: str


def daily_use(sig: str) -> DailyUse | None:
    """Return what ``sig`` uses up a day, or ``None`` when it doesn't say so plainly."""
    text = " ".join(sig.casefold().split())
    doses = list(_DOSE.finditer(text))
    if len(doses) != 1 or _UNSURE.search(text):
        return None
    times = _times_a_day(text)
    if times is None:
        return None
    first, second, unit, half, _ = doses[0].groups()
    least = _number(half or first)
    most = max(least, _number(second)) if second else least
    if most == 0:
        return None  # nothing is ever used up
    return DailyUse(least * times, most * times, _UNITS[unit or "tab"])


def same_unit(unit: str, quantity_unit: str | None) -> bool:
    """Say whether a quantity is counted in ``unit``; one that names none is taken to be."""
    if quantity_unit is None:
        return True
    return _UNITS.get(quantity_unit.strip().casefold()) == unit


def _number(text: str) -> Decimal:
    return Decimal(_WORDS.get(text, text))


def _times_a_day(text: str) -> int | None:
    found = _N_TIMES.search(text)
    if found:
        word = found[1].removesuffix("x").removesuffix("times").strip() or found[1]
        return _TIMES.get(found[1], _TIMES.get(word))
    hours = _EVERY_HOURS.search(text)
    if hours:
        every = int(hours[1] or hours[2])
        return 24 // every if every in {4, 6, 8, 12, 24} else None
    matched = {times for pattern, times in _PER_DAY if pattern.search(text)}
    return matched.pop() if len(matched) == 1 else None
