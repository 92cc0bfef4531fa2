"""Values of FHIR: names, identifiers, periods, dates, quantities, codes. Pure."""

from calendar import monthrange
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any, Final, NamedTuple

from gateway_rx_queue.fhir.validation import Resource, unread

_DAYS: Final[Mapping[str, Decimal]] = {
    **dict.fromkeys(("d", "day", "days", "jour", "jours"), Decimal(1)),
    **dict.fromkeys(("wk", "week", "weeks", "semaine", "semaines"), Decimal(7)),
    **dict.fromkeys(("mo", "month", "months", "mois"), Decimal(30)),
    **dict.fromkeys(("a", "yr", "year", "years", "an", "ans"), Decimal(365)),
    **dict.fromkeys(("h", "hr", "hour", "hours", "heure", "heures"), Decimal(1) / 24),
}
_YEAR, _MONTH, _DAY = 4, 7, 10


class Days(NamedTuple):
    """A duration in whole days, and a remark if it isn't exact."""

    days: int | None
    remark: str | None = None


def texts(value: Any) -> list[str]:
    """Return the texts of a list, without empty ones."""
    return [each for each in value or [] if isinstance(each, str) and each]


def is_current(element: Resource, today: date) -> bool:
    """Return whether an identifier, name or contact is in use: not old, and within its period."""
    if element.get("use") in {"old", "temp"}:
        return False
    period = element.get("period") or {}
    end, start = latest_day(period.get("end")), earliest_day(period.get("start"))
    return not (end is not None and end < today) and not (start is not None and start > today)


def earliest_day(moment: Any) -> date | None:
    """Return the first day of a FHIR date, dateTime, or part of one: 2026 is 2026-01-01."""
    if not isinstance(moment, str) or len(moment) < _YEAR:
        return None
    day = moment[:_DAY]
    padded = day + {_YEAR: "-01-01", _MONTH: "-01"}.get(len(day), "")
    try:
        return date.fromisoformat(padded)
    except ValueError:
        return None


def latest_day(moment: Any) -> date | None:
    """Return the last day of a FHIR date, dateTime, or part of one: 2026-06 is 2026-06-30."""
    first = earliest_day(moment)
    if first is None or len(moment) >= _DAY:
        return first
    if len(moment) == _YEAR:
        return date(first.year, 12, 31)
    return first.replace(day=monthrange(first.year, first.month)[1])


def local_day(moment: Any, zone: tzinfo, field: str) -> date | None:
    """Return the day of a dateTime: in the site's zone when it is in UTC, else as it is written.

    ``None`` for a part of a date, which has no day.
    """
    if not isinstance(moment, str | None):
        raise unread(field, "a text: 2026-04-19, or more exact")
    if moment is None or len(moment) < _DAY:
        return None
    if len(moment) == _DAY:
        return earliest_day(moment)
    try:
        at = datetime.fromisoformat(moment)
        is_utc = at.utcoffset() == timedelta(0)
        return at.replace(tzinfo=UTC).astimezone(zone).date() if is_utc else at.date()
    except (ValueError, OverflowError):  # OverflowError: the calendar's first or last day
        return earliest_day(moment)


def number(quantity: Resource | None, field: str) -> Decimal | None:
    """Return a quantity's value."""
    value = (quantity or {}).get("value")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise unread(f"{field}.value", "a number")
    return Decimal(str(value))


def days_of(duration: Resource | None, field: str) -> Days:
    """Return a Duration in days; a month counts as 30 with a remark, parts of a day are refused."""
    value = number(duration, field)
    if value is None or duration is None:
        return Days(None)
    unit = str(duration.get("code") or duration.get("unit") or "").lower()
    factor = _DAYS.get(unit) or _DAYS.get(str(duration.get("unit") or "").lower())
    if factor is None or duration.get("comparator") or value > 1_000_000:  # noqa: PLR2004 - no span
        whole = int(value) if value == value.to_integral_value() else None
        return Days(whole if value > 1_000_000 else None)  # noqa: PLR2004 - refused by its bound
    days = round(value * factor, 6)
    if days != days.to_integral_value():
        return Days(None)
    remark = None
    if factor in {Decimal(30), Decimal(365)}:
        remark = f"{shown(duration)} was read as {int(days)} days"
    return Days(int(days), remark)


def shown(quantity: Resource | None) -> str:
    """Return a quantity as text: ``<= 30 tab``."""
    if not quantity:
        return ""
    value = quantity.get("value")
    parts = (
        quantity.get("comparator"),
        None if value is None else f"{Decimal(str(value)).normalize():f}",
        quantity.get("unit") or quantity.get("code"),
    )
    return " ".join(str(part) for part in parts if part)


def concept_text(concept: Resource | None) -> str | None:
    """Return the text of a CodeableConcept, else a display, else a code."""
    concept = concept or {}
    codings = concept.get("coding") or []
    found = (
        concept.get("text"),
        *(each.get("display") for each in codings),
        *(each.get("code") for each in codings),
    )
    return next((str(each) for each in found if each), None)


def codes(concept: Resource | None) -> set[str]:
    """Return the codes of a CodeableConcept."""
    return {str(each["code"]) for each in (concept or {}).get("coding") or [] if each.get("code")}


def preferred(elements: Sequence[Resource], today: date) -> list[Resource]:
    """Return the current names or contacts, the official ones alone if there are any."""
    current = [each for each in elements if is_current(each, today)]
    official = [each for each in current if each.get("use") == "official"]
    return official or [each for each in current if each.get("use") == "usual"] or current
