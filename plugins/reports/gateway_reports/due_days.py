"""The first day of a bag and the day of its return, read from each order once and cached.

An order is sealed, so a list of all undelivered bags would have to unseal each of them every time.
These days change only with ``package.updated``, whose events are checked before the cache is used;
those of the last minute are always checked, because a transaction of another process may have ended
late.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Final, NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.plugin import Caller, Gateway, Mode, Package, day_at
from gateway_reports.settings import ReportsSettings
from gateway_reports.site_day import due_day

_AT_ONCE: Final = 200
_MOST_KEPT: Final = 50_000
_MOST_ACCOUNTS: Final = 50
_MOST_CHANGES: Final = 500
_LATE: Final = timedelta(minutes=1)
_CHANGED: Final = "package.updated"


class Due(NamedTuple):
    """Days of the site: the earliest fill, and the day of the return."""

    filled_on: date
    due_on: date


class DueDays:
    """The cache by account and package, about 200 bytes each."""

    def __init__(self, gateway: Gateway, settings: ReportsSettings, actor: str) -> None:
        self._gateway = gateway
        self._settings = settings
        self._actor = actor
        self._kept: OrderedDict[str, dict[str, Due]] = OrderedDict()
        self._looked_at: dict[tuple[str, Mode], datetime] = {}

    async def of(
        self, connection: AsyncConnection, caller: Caller, ids: Sequence[str]
    ) -> Mapping[str, Due]:
        """Return the days of those packages that ``caller`` may see, by id."""
        kept = self._kept.setdefault(caller.account_id, {})
        self._kept.move_to_end(caller.account_id)
        await self._forget_changed(connection, caller, kept)
        found = {each: kept[each] for each in ids if each in kept}
        unknown = [each for each in ids if each not in found]
        for start in range(0, len(unknown), _AT_ONCE):
            some = unknown[start : start + _AT_ONCE]
            for package in await self._gateway.packages.of_ids(connection, caller, some):
                kept[package.id] = found[package.id] = self._due(package)
        if len(kept) > _MOST_KEPT:
            kept.clear()
        if len(self._kept) > _MOST_ACCOUNTS:
            self._kept.popitem(last=False)
        return found

    async def _forget_changed(
        self, connection: AsyncConnection, caller: Caller, kept: dict[str, Due]
    ) -> None:
        """Drop the packages whose orders changed since the last check."""
        account, mode = caller.account_id, caller.mode
        now = self._gateway.clock.now()
        since = self._looked_at.get((account, mode))
        self._looked_at[account, mode] = now
        if since is None:  # no package of the account is cached yet
            return
        changes = await self._gateway.events.page(
            connection,
            Caller(account, mode, self._actor),
            limit=_MOST_CHANGES,
            event_type=_CHANGED,
            since=min(since, now) - _LATE,
        )
        if len(changes) == _MOST_CHANGES:
            kept.clear()
        for each in changes:
            kept.pop(each.subject, None)

    def _due(self, package: Package) -> Due:
        order = package.order
        zone = self._gateway.sites.zone(package.account_id, package.site)
        filled = [each.filled_on for each in order.prescriptions if each.filled_on is not None]
        begins = min(filled, default=day_at(zone, package.created_at).date)
        days = self._settings.days_of(order.metadata.get(self._settings.payer_metadata))
        return Due(begins, due_day(begins, days, business_days=self._settings.business_days))
