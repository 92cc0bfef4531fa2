"""Request and response bodies."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

import msgspec

from gateway.plugin import ManifestRow
from gateway_reports.closing import ClosedDay
from gateway_reports.money import DayMoney, Difference
from gateway_reports.returns import ReturnDue
from gateway_reports.signatures import SignatureLine
from gateway_reports.site_day import SiteDay


class SignaturesIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Rx numbers, and the days of delivery that count, both included."""

    rx_numbers: tuple[str, ...]
    since: date | None = None
    until: date | None = None


class SignaturesOut(msgspec.Struct, frozen=True, kw_only=True):
    """A signature log; ``digest`` is the SHA-256 of its CSV."""

    lines: tuple[SignatureLine, ...]
    not_found: tuple[str, ...]
    unsigned: int
    digest: str


class DayIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A day of a site to close or to open again."""

    day: date
    site: str | None = None
    note: str = ""


class DayOut(msgspec.Struct, frozen=True, kw_only=True):
    """A day's money.

    ``money`` has the present figures; ``closed`` those from when the day was closed, and
    ``changed_since`` is true when they differ.
    """

    site: str | None
    day: date
    time_zone: str
    begins: str
    ends: str
    hours: int
    money: DayMoney
    closed: ClosedDay | None = None
    changed_since: bool = False


class ReturnsOut(msgspec.Struct, frozen=True, kw_only=True):
    """The bags that are to go back to stock, the oldest first."""

    returns: tuple[ReturnDue, ...]


class ManifestOut(msgspec.Struct, frozen=True, kw_only=True):
    """The packages that drivers have; ``copay_due`` is their sum."""

    stops: Sequence[ManifestRow]
    copay_due: Decimal


DIFFERENCE_COLUMNS = Difference.__struct_fields__


def day_out(day: SiteDay, money: DayMoney, closed: ClosedDay | None) -> DayOut:
    """Return a day as an answer shows it."""
    kept = None if closed is None else msgspec.structs.replace(closed.money, still_out=0)
    return DayOut(
        site=day.site,
        day=day.day.date,
        time_zone=day.day.zone.key,
        begins=day.day.starts_at.astimezone(day.day.zone).isoformat(),
        ends=day.day.ends_at.astimezone(day.day.zone).isoformat(),
        hours=len(list(day.day.hours())),
        money=money,
        closed=closed,
        changed_since=kept is not None and kept != msgspec.structs.replace(money, still_out=0),
    )
