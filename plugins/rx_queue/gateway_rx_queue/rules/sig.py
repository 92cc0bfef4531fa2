"""A grammar of directions: English, French and Latin abbreviations. Pure.

``read_sig("1 co bid x 10 jours")`` reads a dose, its frequency and its duration. The grammar has to
know every word; otherwise the reading names the first unknown word, and the rules report "not
checked". It makes no guesses: "od" alone is once daily, with drops it is an eye, and "ou" between
numbers is the French "or".

The text is read once from left to right, so that the cost grows with its length alone. The
abbreviations follow https://ismpcanada.ca/resource/do-not-use-list/ where that lists them as risky:
they are read, because prescribers still write them.
"""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Final, NamedTuple

from gateway_rx_queue.drugs.words import fold
from gateway_rx_queue.rules.sig_words import (
    AIM,
    ASKED,
    BOTH,
    DAILY,
    DAY,
    DURATION,
    EYES,
    FILLERS,
    HOUR,
    MAX,
    MEALS,
    MG,
    MONTH,
    MONTH_DAYS,
    NEED,
    NOT_AN_AIM,
    NUMBERS,
    OFTEN,
    PER,
    SEPARATORS,
    SPOONS,
    TIMES,
    TIMES_OF_DAY,
    UNITS,
    WEEK,
    WEEKDAYS,
)

_TOKEN: Final = re.compile(
    r"\d{1,6}(?:[.,]\d{1,4})?|\.\d{1,4}|[a-z](?:\.?[a-z])*|[^\sa-z\d]", re.ASCII
)
_MAX_TOKENS: Final = 120
_FRACTIONS: Final[Mapping[int, str]] = {
    ord("½"): " 1/2 ",
    ord("¼"): " 1/4 ",
    ord("¾"): " 3/4 ",
    ord("⅓"): " 1/3 ",
    ord("⅔"): " 2/3 ",
    ord("\u2044"): "/",
    ord("\u2013"): "-",
    ord("\u2014"): "-",
    ord("\u2019"): " ",
    ord("'"): " ",
    0xD7: " x ",
}


_TEXTS: Final = 1024
"""The size of the cache: several rules read the same directions."""


class SigReading(NamedTuple):
    """Directions as read: the least and most of ``unit`` a day (``""`` without a unit).

    ``days`` is a duration in the text, ``stopped_at`` the first unknown word: then the other fields
    don't count. ``as_needed`` means that the least is zero.
    """

    least: Decimal = Decimal(0)
    most: Decimal = Decimal(0)
    unit: str = ""
    days: int | None = None
    as_needed: bool = False
    single: bool = False
    days_a_week: Decimal = Decimal(0)
    times_a_day: Decimal = Decimal(0)
    stopped_at: str | None = None

    @property
    def is_whole(self) -> bool:
        """Whether dose and frequency were understood."""
        return self.stopped_at is None and self.most > 0

    def __str__(self) -> str:
        """Return the reading in words, for the reviewer."""
        if self.stopped_at is not None:
            return f"can't read {self.stopped_at!r}"
        if self.most <= 0:
            return "no dose a day is named"
        amount = _shown(self.most)
        if self.as_needed:
            amount = f"up to {amount}"
        elif self.least != self.most:
            amount = f"{_shown(self.least)} to {amount}"
        text = f"read as {amount} {self.unit or 'doses'} a day"
        return text if self.days is None else f"{text} for {self.days} days"


class DailyUse(NamedTuple):
    """The use of ``unit`` a day: the least, which may be 0, and the most, which isn't."""

    least: Decimal
    most: Decimal
    unit: str


def daily_use(sig: str) -> DailyUse | None:
    """Return the use a day, or ``None`` when ``sig`` gives none, or only as needed."""
    reading = read_sig(sig)
    if not reading.is_whole or reading.as_needed:
        return None
    return DailyUse(reading.least, reading.most, reading.unit)


@lru_cache(maxsize=_TEXTS)
def read_sig(sig: str) -> SigReading:
    """Return the reading of directions; ``stopped_at`` names the first unknown word."""
    tokens = _TOKEN.findall(fold(sig.translate(_FRACTIONS)).replace("\u2044", "/"))
    if len(tokens) > _MAX_TOKENS:
        return SigReading(stopped_at="so long a text")
    return _Reader(
        [token.replace(".", "") if token[0].isalpha() else token for token in tokens]
    ).read()


def _shown(number: Decimal) -> str:
    return f"{round(number, 3).normalize():f}"


class _Group:
    """One dose with its times: ``2 tablets in the morning``."""

    def __init__(self, least: Decimal, most: Decimal, unit: str) -> None:
        self.least = least
        self.most = most
        self.unit = unit
        self.rates: list[tuple[Decimal, Decimal, Decimal]] = []  # least, most, days a week
        self.times: set[str] = set()
        self.weekdays: set[int] = set()
        self.meals = False
        self.sites = 1

    @property
    def is_timed(self) -> bool:
        return bool(self.rates or self.times or self.weekdays or self.meals)

    def a_day(self) -> tuple[Decimal, Decimal, Decimal] | None:
        """Return times a day at least and most, and days a week; ``None`` when they disagree."""
        if len(self.rates) > 1:
            return None
        named = Decimal(len(self.times))
        week = Decimal(len(self.weekdays) or 7)
        if self.rates:
            least, most, days = self.rates[0]
            if self.times and named != most and (named != 1 or most > 1):
                return None
            if self.weekdays:
                if days == 7:  # noqa: PLR2004 - each day of those named
                    return least * week / 7, most * week / 7, week
                return (least, most, days) if days == week else None
            return least, most, days
        each = named or (Decimal(3) if self.meals else Decimal(1) if self.weekdays else None)
        return None if each is None else (each * week / 7, each * week / 7, week)


class _Reader:
    def __init__(self, tokens: Sequence[str]) -> None:
        self._tokens = tokens
        self._groups: list[_Group] = []
        self._days: int | None = None
        self._as_needed = False
        self._single = False
        self._early: list[tuple[Decimal, Decimal, Decimal]] = []

    def read(self) -> SigReading:
        at = 0
        while at < len(self._tokens):
            following = (
                self._maximum(at)
                or self._duration(at)
                or self._needed(at)
                or self._frequency(at)
                or self._dose(at)
                or self._site(at)
                or self._time(at)
                or self._aim(at)
                or self._filler(at)
            )
            if following is None:
                return SigReading(stopped_at=self._tokens[at])
            at = following
        return self._whole()

    def _whole(self) -> SigReading:
        if not self._groups:
            return SigReading(days=self._days)
        units = {group.unit for group in self._groups if group.unit}
        if len(units) > 1:
            return SigReading(stopped_at="two units")
        if self._early:
            if len(self._groups) > 1 or self._groups[0].rates:
                return SigReading(stopped_at="two frequencies")
            self._groups[0].rates = self._early
        least = most = week = often = Decimal(0)
        for group in self._groups:
            times = group.a_day()
            if times is None:
                text = "two frequencies" if group.is_timed else None
                return SigReading(days=self._days, stopped_at=text, single=self._single)
            least += group.least * times[0] * group.sites
            most += group.most * times[1] * group.sites
            week = max(week, times[2])
            often += times[1]
        unit = units.pop() if units else ""
        if unit in SPOONS:
            least, most, unit = least * SPOONS[unit], most * SPOONS[unit], "ml"
        if self._as_needed:
            least = Decimal(0)
        return SigReading(least, most, unit, self._days, self._as_needed, self._single, week, often)

    def _word(self, at: int) -> str:
        return self._tokens[at] if 0 <= at < len(self._tokens) else ""

    def _number(self, at: int) -> tuple[Decimal, int] | None:
        """Read 2, 2.5, 1/2, 1 1/2, one, half, one and a half."""
        word = self._word(at)
        if word in NUMBERS:
            value, following = NUMBERS[word], at + 1
        elif word[:1].isdigit() or (word[:1] == "." and len(word) > 1):
            value, following = Decimal(word.replace(",", ".")), at + 1
            if self._word(following) == "/" and self._word(following + 1) in {"2", "3", "4"}:
                below = Decimal(self._word(following + 1))
                return (value / below, following + 2) if value < below else None
        else:
            return None
        tail = following
        while self._word(tail) in {"and", "et", "a", "une", "un", "&"}:
            tail += 1
        is_half = self._word(tail) in {"half", "demi", "demie"}
        if tail > following and not is_half and not self._fraction(tail):
            return value, following
        if self._word(tail) in {"half", "demi", "demie"} and tail > following:
            return value + Decimal("0.5"), tail + 1
        fraction = self._fraction(tail)
        if fraction and value == int(value):
            return value + fraction, tail + 3
        return value, following

    def _fraction(self, at: int) -> Decimal | None:
        over, below = self._word(at), self._word(at + 2)
        if self._word(at + 1) == "/" and over.isdigit() and below in {"2", "3", "4"}:
            return Decimal(over) / Decimal(below) if Decimal(over) < Decimal(below) else None
        return None

    def _range(self, at: int) -> tuple[Decimal, Decimal, int] | None:
        first = self._number(at)
        if first is None:
            return None
        least, following = first
        if self._word(following) in {"-", "to", "or", "a", "ou"}:
            second = self._number(following + 1)
            if second is not None:
                return least, max(least, second[0]), second[1]
        return least, least, following

    def _dose(self, at: int) -> int | None:
        if self._word(at) in UNITS and self._word(at) not in MG:
            roman = self._word(at + 1)
            if roman in {"i", "ii", "iii"}:  # Latin: tab ii
                number = NUMBERS[roman]
                return self._begin(number, number, UNITS[self._word(at)], at + 2)
        if self._word(at) in {"apply", "appliquer"} and self._range(at + 1) is None:
            return self._begin(Decimal(1), Decimal(1), "application", at + 1)
        found = self._range(at)
        if found is None:
            return None
        least, most, following = found
        while (
            self._word(following) in {"a", "d", "de", "of"} and self._word(following + 1) in UNITS
        ):
            following += 1
        word = self._word(following)
        if word not in UNITS:
            unit = self._groups[-1].unit if self._groups else ""
            return self._begin(least, most, unit, following)
        if word in MG:
            least, most = least * MG[word], most * MG[word]
        return self._begin(least, most, UNITS[word], following + 1)

    def _begin(self, least: Decimal, most: Decimal, unit: str, following: int) -> int | None:
        if self._groups and not self._groups[-1].is_timed:
            return None  # two doses, without a time for the first
        self._groups.append(_Group(least, most, unit))
        return following

    def _frequency(self, at: int) -> int | None:
        found = self._n_times(at) or self._every(at) or self._named_rate(at) or self._a_day_each(at)
        if found is None:
            return None
        least, most, days, following = found
        if self._groups:
            self._groups[-1].rates.append((least, most, days))
        else:
            self._early.append((least, most, days))
        return following

    def _period(self, at: int) -> tuple[Decimal, Decimal, int] | None:
        """Return the days of a period and the days a week of one taking each time."""
        word = self._word(at)
        if word == "24" and self._word(at + 1) in HOUR:
            return Decimal(1), Decimal(7), at + 2
        if word in DAY:
            return Decimal(1), Decimal(7), at + 1
        if word in WEEK:
            return Decimal(7), Decimal(1), at + 1
        if word in MONTH:
            return Decimal(MONTH_DAYS), Decimal(7) / MONTH_DAYS, at + 1
        return None

    def _n_times(self, at: int) -> tuple[Decimal, Decimal, Decimal, int] | None:
        """Read: twice daily, 3 times a day, 2-3 fois par jour, 3x/j, 3/j."""
        if self._word(at) in OFTEN:
            least = most = Decimal(OFTEN[self._word(at)])
            following = at + 1
            if self._word(at) == "once" and not self._is_period_ahead(following):
                return None
        else:
            found = self._range(at)
            if found is None:
                return None
            least, most, following = found
            if self._word(following) in TIMES:
                following += 1
            elif self._word(following) != "/":
                return None
            if self._word(following) == "x":
                return None
        while self._word(following) in PER:
            following += 1
        period = self._period(following)
        if period is None:
            return None
        days, week, following = period
        return least / days, most / days, min(Decimal(7), week * most), following

    def _is_period_ahead(self, at: int) -> bool:
        while self._word(at) in PER:
            at += 1
        return self._period(at) is not None

    def _every(self, at: int) -> tuple[Decimal, Decimal, Decimal, int] | None:
        """Read: q6h, q4-6h, every 8 hours, every other day, toutes les 8 heures, aux 12 heures."""
        fixed = self._fixed_interval(at)
        if fixed is not None:
            return fixed
        word, following = self._word(at), at + 1
        if word not in {"q", "every", "each", "tous", "toutes", "aux", "chaque"}:
            return None
        if self._word(following) in {"les", "the"}:
            following += 1
        found = self._range(following)
        least, most, following = found or (Decimal(1), Decimal(1), following)
        if least <= 0 or (found is None and word == "aux"):
            return None
        if self._word(following) in HOUR:
            return self._by_hours(least, most, following + 1)
        period = self._period(following)
        if period is None:
            return None
        long, short = period[0] * most, period[0] * least
        return 1 / long, 1 / short, Decimal(7) / short, period[2]

    def _fixed_interval(self, at: int) -> tuple[Decimal, Decimal, Decimal, int] | None:
        """Read: every other day, qod, un jour sur deux, qweek."""
        words = [self._word(each) for each in range(at, at + 4)]
        every = words[0] in {"every", "each", "q"} and words[1] in {"other", "second"}
        half, rare = Decimal("0.5"), Decimal(1) / 14
        if words == ["un", "jour", "sur", "deux"]:
            return half, half, Decimal("3.5"), at + 4
        if words[0] in {"qod", "eod", "alternate"}:
            return half, half, Decimal("3.5"), at + 1 + (words[1] in DAY)
        if every and words[2] in DAY:
            return half, half, Decimal("3.5"), at + 3
        if every and words[2] in WEEK:
            return rare, rare, half, at + 3
        if words[0] in {"qw", "qwk", "qweek"}:
            return Decimal(1) / 7, Decimal(1) / 7, Decimal(1), at + 1
        return None

    def _by_hours(
        self, least: Decimal, most: Decimal, following: int
    ) -> tuple[Decimal, Decimal, Decimal, int] | None:
        """Return the times a day for an interval in hours; q5h has no whole number."""
        day = Decimal(24)
        if any(day % each and each % day for each in (least, most)):
            return None
        return day / most, day / least, min(Decimal(7), 7 * day / least), following

    def _named_rate(self, at: int) -> tuple[Decimal, Decimal, Decimal, int] | None:
        word = self._word(at)
        if word == "od" and self._groups and self._groups[-1].unit == "drop":
            return None  # the right eye
        if word in DAILY:
            number = Decimal(DAILY[word])
            if self._word(at + 1) in {"-", "to", "or", "a"} and self._word(at + 2) in DAILY:
                other = Decimal(DAILY[self._word(at + 2)])
                return min(number, other), max(number, other), Decimal(7), at + 3
            return number, number, Decimal(7), at + 1
        if word == "weekly":
            return Decimal(1) / 7, Decimal(1) / 7, Decimal(1), at + 1
        if word == "monthly":
            rate = Decimal(1) / MONTH_DAYS
            return rate, rate, Decimal(7) / MONTH_DAYS, at + 1
        return None

    def _a_day_each(self, at: int) -> tuple[Decimal, Decimal, Decimal, int] | None:
        """Read the rate after a dose: 1 co par jour, 5 mL/day, 2 a week."""
        if self._word(at) not in {"per", "par", "/", "a"}:
            return None
        period = self._period(at + 1)
        if period is None:
            return None
        return 1 / period[0], 1 / period[0], period[1], period[2]

    def _time(self, at: int) -> int | None:
        word = self._word(at)
        if self._groups and not self._early:
            group = self._groups[-1]
            if word in TIMES_OF_DAY:
                group.times.add(TIMES_OF_DAY[word])
                return at + 1
            if word in WEEKDAYS:
                group.weekdays.add(WEEKDAYS[word])
                return at + 1
            if word in MEALS:
                group.meals = group.meals or self._word(at - 1) in {
                    "each",
                    "every",
                    "chaque",
                    "meals",
                }
                group.meals = group.meals or word in {"meals", "repas"}
                return at + 1
        return at + 1 if word in TIMES_OF_DAY or word in MEALS or word in WEEKDAYS else None

    def _site(self, at: int) -> int | None:
        """Read which eye: both double the drops."""
        word = self._word(at)
        group = self._groups[-1] if self._groups else None
        drops = group is not None and group.unit in {"drop", "spray", ""}
        if word in BOTH and self._word(at + 1) in EYES:
            if group is not None:
                group.sites = 2
            return at + 2
        if group is not None and drops and word in {"ou", "au"} and group.unit == "drop":
            if word == "ou":
                group.sites = 2
            return at + 1
        if drops and word in {"od", "os", "as", "ad"} and group is not None:
            return at + 1
        return at + 1 if word in EYES else None

    def _duration(self, at: int) -> int | None:
        if self._word(at) not in DURATION:
            return None
        found = self._number(at + 1)
        if found is None:
            return None
        number, following = found
        word = self._word(following)
        factor = 1 if word in DAY else 7 if word in WEEK else 30 if word in MONTH else 0
        if not factor or number != int(number) or self._days is not None:
            return None
        self._days = int(number) * factor
        return following + 1

    def _needed(self, at: int) -> int | None:
        word = self._word(at)
        following = None
        if word in ASKED:
            following = at + 1
        elif word in {"as", "if", "when", "au", "si"} and self._word(at + 1) in NEED:
            following = at + 2
        if following is None:
            return None
        self._as_needed = True
        return following

    def _maximum(self, at: int) -> int | None:
        """Read a limit of the use: max 4 tablets a day. It doesn't change the reading."""
        if self._word(at) not in MAX:
            return None
        following = at + 1
        while self._word(following) in {"of", "de", "-", ":"}:
            following += 1
        found = self._number(following)
        if found is None:
            return None
        following = found[1]
        following += self._word(following) in UNITS or self._word(following) in {"doses", "dose"}
        while self._word(following) in PER or self._word(following) == "in":
            following += 1
        period = self._period(following)
        return None if period is None else period[2]

    def _aim(self, at: int) -> int | None:
        """Skip the indication, up to the next comma, if it contains no number."""
        if self._word(at) not in AIM or not self._word(at + 1).isalpha():
            return None
        following = at + 1
        while following < len(self._tokens) and self._tokens[following] not in {",", ";", ".", "("}:
            word = self._tokens[following]
            if word[0].isdigit() or word in DAILY or word in NUMBERS or word in NOT_AN_AIM:
                return None
            following += 1
        return following

    def _filler(self, at: int) -> int | None:
        word = self._word(at)
        if word == "once" and not self._is_period_ahead(at + 1):
            self._single = True
            return at + 1
        if word in {"every", "each", "chaque", "tous", "toutes"}:
            following = at + 1
            while self._word(following) in {"les", "the"}:
                following += 1
            named = self._word(following)
            if named in TIMES_OF_DAY or named in MEALS or named in WEEKDAYS:
                return at + 1
        return at + 1 if word in FILLERS or word in SEPARATORS else None


def same_unit(unit: str, quantity_unit: str | None) -> bool:
    """Return whether a quantity is counted in ``unit``; one without a unit counts as such."""
    if quantity_unit is None:
        return unit in {"", "tablet", "capsule", "ml", "patch", "suppository", "sachet", "lozenge"}
    counted = UNITS.get(fold(quantity_unit).strip())
    pieces = {"tablet", "capsule"}
    if counted in pieces and unit in {*pieces, ""}:
        return True
    return counted is not None and counted == unit
