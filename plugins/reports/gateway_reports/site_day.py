"""The day and site of a report, and the days that bags may stay undelivered."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import NamedTuple

from gateway.plugin import Caller, Day, Gateway, InvalidInput, Problem, day_at, day_of


class SiteDay(NamedTuple):
    """``site`` is a code, ``None`` for an account without sites, whose days are UTC's."""

    site: str | None
    day: Day


def site_day(gateway: Gateway, caller: Caller, site: str | None, day: date | None) -> SiteDay:
    """Return the day of a site, today if none is named.

    Raises ``InvalidInput`` for a site that the caller doesn't see, and where it has to choose one.
    """
    code, problems = gateway.sites.resolve(caller, site)
    if problems:
        raise InvalidInput("Name the site.", problems)
    zone = gateway.sites.zone(caller.account_id, code)
    today = day_at(zone, gateway.clock.now()).date
    chosen = day or today
    if not today - timedelta(days=3660) <= chosen <= today:
        raise InvalidInput(
            "There is no such day.", [Problem("expected a day of the last ten years", field="day")]
        )
    return SiteDay(code, day_of(zone, chosen))


def currency_of(gateway: Gateway, account_id: str, code: str | None) -> str:
    """Return the ISO 4217 code of a site's money: Canadian dollars in Canada, else US dollars."""
    countries = [
        each.country
        for each in gateway.settings.sites
        if each.account == account_id and code in {None, each.code}
    ]
    return "CAD" if countries and countries[0] == "CA" else "USD"


def due_day(begins: date, days: int, *, business_days: bool) -> date:
    """Return the day ``days`` after ``begins``; ``business_days`` leave out weekends.

    It is the calendar's last day at most: one order with a wrong day must not hide the others.
    """
    if days > (date.max - begins).days // 3:  # at most 3 calendar days for a business day
        return date.max
    if not business_days:
        return begins + timedelta(days=days)
    at, left = begins, days
    while left:
        at += timedelta(days=1)
        left -= at.weekday() < 5  # noqa: PLR2004 - Monday is 0, Saturday 5
    return at


def sites_of(gateway: Gateway, caller: Caller) -> Sequence[str | None]:
    """Return the codes of the account's sites that ``caller`` sees; ``None`` where it has none."""
    codes = [each.code for each in gateway.settings.sites if each.account == caller.account_id]
    return [code for code in codes if caller.sees_site(code)] if codes else [None]
