"""Bags that go back to stock: the due ones, each announced once, counted for attention."""

from bisect import bisect_right
from collections.abc import Collection, Sequence
from datetime import date, datetime, timedelta
from typing import Final, NamedTuple

import msgspec
from sqlalchemy import ColumnElement, Row, Subquery, delete, func, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.plugin import (
    AttentionItem,
    Caller,
    ClearFilter,
    EventDraft,
    EventType,
    Gateway,
    Mode,
    PackageFilter,
    Status,
    day_at,
    new_id,
    to_epoch_ms,
)
from gateway_reports.due_days import DueDays
from gateway_reports.settings import ReportsSettings
from gateway_reports.site_day import sites_of
from gateway_reports.tables import announced_returns

RETURN_DUE: Final = "package.return_due"
EVERY_SECONDS: Final = 3600.0
# Not delivered and not back. A failed one counts until a person has handled it.
_UNDELIVERED: Final[tuple[Status, ...]] = (
    "created",
    "ready",
    "assigned",
    "unassigned",
    "picked_up",
    "out_for_delivery",
    "arrived",
    "attempted",
    "rescheduled",
    "returning",
)
_MOST: Final = 50_000
_WAITING: Final = (
    PackageFilter(_MOST, statuses=_UNDELIVERED),
    PackageFilter(_MOST, clear=ClearFilter(flag="needs_person")),
)
_KEPT: Final = timedelta(days=365)
_ACTOR: Final = "reports-returns"


def _(text: str) -> str:
    """Mark a text for the catalogs; it is translated where it is shown."""
    return text


ONE_DUE: Final = _("1 undelivered bag is due to go back to stock, the oldest since {day}.")
MANY_DUE: Final = _("{count} undelivered bags are due to go back to stock, the oldest since {day}.")
RETURN_EVENT: Final = EventType(
    type=RETURN_DUE,
    meaning="An undelivered package is due to go back to stock.",
    headline="Goes back to stock",
    icon="s-back",
    state="warn",
    sample={"package_id": "pkg_0198", "status": "attempted", "due_on": "2026-04-29"},
    schema={
        "type": "object",
        "properties": {
            "package_id": {"type": "string"},
            "status": {"type": "string"},
            "due_on": {"type": "string", "format": "date"},
        },
        "required": ["package_id", "status", "due_on"],
    },
)


class ReturnDue(msgspec.Struct, frozen=True, kw_only=True):
    """A bag that is to go back; days are the site's."""

    package_id: str
    site: str | None
    status: Status
    filled_on: date
    due_on: date
    days_late: int
    driver_id: str | None = None


class _Bag(NamedTuple):
    """A due bag; ``today`` is the day of its site."""

    site: str | None
    status: Status
    driver_id: str | None
    filled_on: date
    today: date


class _Place(NamedTuple):
    """A due bag in the list: the oldest first, and then as they came in."""

    due_on: date
    package_id: str
    bag: _Bag

    def order(self) -> tuple[date, str]:
        return self[:2]

    def text(self) -> str:
        return f"{self.due_on.isoformat()}.{self.package_id}"

    def shown(self) -> ReturnDue:
        bag = self.bag
        return ReturnDue(
            package_id=self.package_id,
            site=bag.site,
            status=bag.status,
            filled_on=bag.filled_on,
            due_on=self.due_on,
            days_late=(bag.today - self.due_on).days,
            driver_id=bag.driver_id,
        )


class Returns:
    """The returns of one gateway."""

    def __init__(self, gateway: Gateway, settings: ReportsSettings) -> None:
        self._gateway = gateway
        self._days = DueDays(gateway, settings, _ACTOR)

    async def due(
        self, caller: Caller, site: str | None = None, *, within_days: int = 0
    ) -> list[ReturnDue]:
        """Return the bags that are due today or within so many days, the oldest first."""
        return [each.shown() for each in await self._due(caller, site, within_days)]

    async def page(
        self, caller: Caller, site: str | None, *, within_days: int, after: str, limit: int
    ) -> tuple[list[ReturnDue], str]:
        """Return up to ``limit`` of the same after a place, and the place after them, if any.

        ``after`` is a place that was returned, or empty.
        """
        found = await self._due(caller, site, within_days)
        start = bisect_right(found, after, key=_Place.text) if after else 0
        shown = found[start : start + limit]
        more = shown[-1].text() if start + limit < len(found) else ""
        return [each.shown() for each in shown], more

    async def _due(self, caller: Caller, site: str | None, within_days: int) -> list["_Place"]:
        gateway = self._gateway
        now = gateway.clock.now()
        codes = [site] if site is not None else sites_of(gateway, caller)
        today = {
            code: day_at(gateway.sites.zone(caller.account_id, code), now).date for code in codes
        }
        last = {code: day + timedelta(days=within_days) for code, day in today.items()}
        async with gateway.database.read() as connection:
            bags = await self._undelivered(connection, caller, site)
            days = await self._days.of(connection, caller, [each[0] for each in bags])
        found: list[_Place] = []
        for package_id, own_site, status, driver_id in bags:
            code = None if None in last else own_site
            due = days.get(package_id)
            if due is not None and code in last and due.due_on <= last[code]:
                bag = _Bag(own_site, status, driver_id, due.filled_on, today[code])
                found.append(_Place(due.due_on, package_id, bag))
        found.sort(key=_Place.order)
        return found

    async def announce(self) -> None:
        """Publish ``package.return_due`` for the bags that are due and weren't announced yet."""
        modes: Sequence[Mode] = ("live", "test")
        async with self._gateway.database.read() as connection:
            accounts = await self._gateway.accounts.ids(connection)
        for account in accounts:
            for mode in modes:
                await self._announce(Caller(account, mode, _ACTOR))

    async def attention(self, caller: Caller) -> Sequence[AttentionItem]:
        """Count the announced returns that are still to be made, site by site.

        Pages call this often, so the job reads the packages, once an hour.
        """
        async with self._gateway.database.read() as connection:
            counted = await self._announced(connection, caller)
        items = []
        for site, number, first in counted:
            message = ONE_DUE if number == 1 else MANY_DUE
            values = {"count": f"{number}", "day": first}
            items.append(
                AttentionItem(
                    "returns_due",
                    site or "all",
                    message.format(**values),
                    site=site,
                    command="gateway reports returns" + (f" --site {site}" if site else ""),
                    page="reports/returns" + (f"?site={site}" if site else ""),
                    button="Show it" if number == 1 else "Show them",
                    count=number,
                    message=message,
                    values=values,
                )
            )
        return items

    async def _announced(
        self, connection: AsyncConnection, caller: Caller
    ) -> list[tuple[str | None, int, str]]:
        """Return the sites that announced bags wait at, how many, and the first day of each."""
        bags = self._gateway.packages.keys(caller, _WAITING, named_in=announced_returns)
        found = await connection.execute(
            select(bags.c.site, func.count(), func.min(announced_returns.c.due_day))
            .join_from(bags, announced_returns, announced_returns.c.package_id == bags.c.id)
            .where(
                announced_returns.c.account_id == caller.account_id,
                _is_waiting(bags),
            )
            .group_by(bags.c.site)
        )
        return sorted(
            ((site, int(number), str(first)) for site, number, first in found),
            key=lambda each: each[0] or "",
        )

    async def _undelivered(
        self, connection: AsyncConnection, caller: Caller, site: str | None
    ) -> Sequence[Row[str, str | None, Status, str | None]]:
        """Return every undelivered package: a fill date may lie before the order."""
        lists = [each._replace(site=site) for each in _WAITING]
        bags = self._gateway.packages.keys(caller, lists)
        found = await connection.execute(
            select(bags.c.id, bags.c.site, bags.c.status, bags.c.driver_id).where(
                _is_waiting(bags), bags.c.purged.is_(False)
            )
        )
        return found.all()

    async def _announce(self, caller: Caller) -> None:
        gateway = self._gateway
        due = await self.due(caller)
        now = gateway.clock.now()
        async with gateway.database.begin() as connection:
            await connection.execute(
                delete(announced_returns).where(
                    announced_returns.c.account_id == caller.account_id,
                    announced_returns.c.announced_at_ms < to_epoch_ms(now - _KEPT),
                )
            )
            known = await _known(connection, caller.account_id, [each.package_id for each in due])
            new = [each for each in due if each.package_id not in known]
            if not new:
                return
            await connection.execute(
                insert(announced_returns),
                [
                    {
                        "account_id": caller.account_id,
                        "package_id": each.package_id,
                        "due_day": each.due_on.isoformat(),
                        "announced_at_ms": to_epoch_ms(now),
                    }
                    for each in new
                ],
            )
            drafts = [_draft(caller, each, now) for each in new]
            published = await gateway.publisher.record(connection, drafts, now)
        gateway.publisher.announce(published)


def _is_waiting(bags: Subquery) -> ColumnElement[bool]:
    """Match undelivered packages, and failed ones that need a person; each bag once."""
    return or_(bags.c.list == 0, bags.c.status == "failed")


async def _known(
    connection: AsyncConnection, account_id: str, ids: Collection[str]
) -> frozenset[str]:
    rows = await connection.execute(
        select(announced_returns.c.package_id).where(
            announced_returns.c.account_id == account_id,
            announced_returns.c.package_id.in_(list(ids)),
        )
    )
    return frozenset(rows.scalars())


def _draft(caller: Caller, due: ReturnDue, now: datetime) -> EventDraft:
    return EventDraft(
        id=new_id("evt", now),
        type=RETURN_DUE,
        account_id=caller.account_id,
        mode=caller.mode,
        site=due.site,
        subject=due.package_id,
        data={
            "package_id": due.package_id,
            "status": due.status,
            "due_on": due.due_on.isoformat(),
        },
        occurred_at=now,
        actor=_ACTOR,
    )
