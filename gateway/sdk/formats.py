"""Times, numbers and money in the reader's language and the site's time zone. Pure.

Times are in 24 hours: today ``10:14``, this week ``Mon 17:31``, older ``12 Aug 2026``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import ROUND_HALF_UP, Decimal
from typing import Final, TypeAlias, TypeVar
from zoneinfo import ZoneInfo

from markupsafe import Markup, escape

from gateway.clock import isoformat

T = TypeVar("T")
Day: TypeAlias = date

_THIN: Final = "\u202f"
_SPACE: Final = "\u00a0"
_SEPARATORS: Final = {"en": (",", "."), "fr": (_THIN, ","), "es": (",", ".")}
_MONEY: Final = {"en": "{sign}{amount}", "fr": "{amount}\u00a0{sign}", "es": "{sign}{amount}"}
_SIGNS: Final = {"USD": "$", "CAD": "$", "EUR": "€", "GBP": "£"}
# fmt: off
_MONTHS: Final = {
    "en": ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
    "fr": ("janv.", "févr.", "mars", "avr.", "mai", "juin", "juill.", "août", "sept.", "oct.",
           "nov.", "déc."),
    "es": ("ene", "feb", "mar", "abr", "may", "jun", "jul", "ago", "sep", "oct", "nov", "dic"),
}
_LONG_MONTHS: Final = {
    "en": ("January", "February", "March", "April", "May", "June", "July", "August", "September",
           "October", "November", "December"),
    "fr": ("janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août", "septembre",
           "octobre", "novembre", "décembre"),
    "es": ("enero", "febrero", "marzo", "abril", "mayo", "junio", "julio", "agosto", "septiembre",
           "octubre", "noviembre", "diciembre"),
}
_DAYS: Final = {
    "en": ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"),
    "fr": ("lun.", "mar.", "mer.", "jeu.", "ven.", "sam.", "dim."),
    "es": ("lun", "mar", "mié", "jue", "vie", "sáb", "dom"),
}
_LONG_DAYS: Final = {
    "en": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "fr": ("lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi", "dimanche"),
    "es": ("lunes", "martes", "miércoles", "jueves", "viernes", "sábado", "domingo"),
}
# fmt: on
_UNITS: Final = {
    "en": ("{n} s", "{n} min", "{h} h {m} min", "{n} h", "{n} days", "1 day"),
    "fr": ("{n} s", "{n} min", "{h} h {m} min", "{n} h", "{n} jours", "1 jour"),
    "es": ("{n} s", "{n} min", "{h} h {m} min", "{n} h", "{n} días", "1 día"),
}
_LONG_DATE: Final = {"en": "{name} {day} {month}", "es": "{name} {day} de {month}"}
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_WEEK: Final = timedelta(days=6)


@dataclass(frozen=True, slots=True)
class Formats:
    """Formats for one reader. ``zone`` is the IANA name of the time zone."""

    language: str
    zone: str
    now: Callable[[], datetime]

    @property
    def tz(self) -> tzinfo:
        """The time zone."""
        return UTC if self.zone == "UTC" else ZoneInfo(self.zone)

    def local(self, moment: datetime) -> datetime:
        """Return a time in the site's time zone."""
        return moment.astimezone(self.tz)

    @property
    def today(self) -> Day:
        """Today's date at the site."""
        return self.local(self.now()).date()

    def clock(self, moment: datetime) -> str:
        """Return the time of day: ``10:14``."""
        return f"{self.local(moment):%H:%M}"

    def date(self, day: Day) -> str:
        """Return a day: ``12 Aug 2026``."""
        at = self.local(day) if isinstance(day, datetime) else day
        return f"{at.day} {_of(_MONTHS, self.language)[at.month - 1]} {at.year}"

    def long_date(self, day: Day) -> str:
        """Return a day with its name: ``Tuesday 24 November``."""
        at = self.local(day) if isinstance(day, datetime) else day
        name = self.weekday(at)
        month = _of(_LONG_MONTHS, self.language)[at.month - 1]
        return _of(_LONG_DATE, self.language).format(name=name, day=at.day, month=month)

    def weekday(self, day: Day) -> str:
        """Return the name of a day of the week: ``Tuesday``."""
        at = self.local(day) if isinstance(day, datetime) else day
        return _of(_LONG_DAYS, self.language)[at.weekday()]

    def time(self, moment: datetime) -> str:
        """Return a time in its shortest clear form: ``10:14``, ``Mon 17:31``, ``12 Aug 2026``."""
        at, today = self.local(moment), self.today
        if at.date() == today:
            return f"{at:%H:%M}"
        if today - _WEEK <= at.date() < today:
            return f"{_of(_DAYS, self.language)[at.weekday()]} {at:%H:%M}"
        return self.date(moment)

    def moment(self, moment: datetime) -> str:
        """Return a time in full, with its time zone: ``12 Aug 2026, 10:14:07 (UTC)``."""
        return f"{self.date(moment)}, {self.local(moment):%H:%M:%S} ({self.zone})"

    def duration(self, seconds: float) -> str:
        """Return a length of time: ``14 min``, ``3 h 10 min``, ``2 days``."""
        few, minutes, both, hours, days, one_day = _of(_UNITS, self.language)
        whole = max(0, int(seconds))
        if whole < _MINUTE:
            return few.format(n=whole)
        if whole < _HOUR:
            return minutes.format(n=whole // _MINUTE)
        if whole < _DAY:
            hour, minute = divmod(whole // _MINUTE, 60)
            return both.format(h=hour, m=f"{minute:02}") if minute else hours.format(n=hour)
        n = whole // _DAY
        return one_day if n == 1 else days.format(n=n)

    def age(self, moment: datetime) -> str:
        """Return how long ago a time was."""
        return self.duration((self.now() - moment).total_seconds())

    def number(self, value: float | Decimal, places: int = 0) -> str:
        """Return a number: ``1,482``, in French ``1 482``."""
        group, point = _of(_SEPARATORS, self.language)
        text = f"{value:,.{places}f}"
        return text.translate({ord(","): group, ord("."): point})

    def money(self, amount: Decimal, currency: str = "") -> str:
        """Return an amount of money: ``$12.50``, in French ``12,50 $``."""
        rounded = amount.quantize(Decimal("0.01"), ROUND_HALF_UP)
        sign = _SIGNS.get(currency or "USD", currency)
        return _of(_MONEY, self.language).format(sign=sign, amount=self.number(rounded, 2))

    def percent(self, share: float, places: int = 0) -> str:
        """Return a share of 1 in per cent: ``48%``, in French ``48 %``."""
        sign = f"{_SPACE}%" if self.language == "fr" else "%"
        return f"{self.number(share * 100, places)}{sign}"

    def time_tag(self, moment: datetime) -> Markup:
        """Return ``<time>`` with the time in its shortest clear form, and in full as its title."""
        return self._tag(moment, self.time(moment))

    def clock_tag(self, moment: datetime) -> Markup:
        """Return ``<time>`` with the time of day."""
        return self._tag(moment, self.clock(moment))

    def age_tag(self, moment: datetime) -> Markup:
        """Return ``<time>`` with the age, which the script updates."""
        return self._tag(moment, self.age(moment), " data-age")

    def _tag(self, moment: datetime, shown: str, more: str = "") -> Markup:
        title = escape(self.moment(moment))
        return Markup(  # noqa: S704 - escaped, and a page has many
            f'<time datetime="{isoformat(moment)}" title="{title}"{more}>{escape(shown)}</time>'
        )


def _of(table: dict[str, T], language: str) -> T:
    return table.get(language, table["en"])
