"""Plans: the features of an account's plan (:meth:`Plans.need`) and its remaining limits.

An account without a plan has no limit and is not counted. A limit is checked and counted in the
transaction that stores the limited rows: two requests can't both take the last place, and no row is
stored uncounted. Test data and duplicates never count.
"""

import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import Clock, isoformat
from gateway.errors import NotOnPlan
from gateway.model.event import Event, EventDraft
from gateway.model.ids import new_id
from gateway.model.plan import (
    ENDPOINTS,
    PACKAGES,
    LimitName,
    LimitUsage,
    PlanRefusal,
    PlanUsage,
    crossed,
    next_period,
    period_of,
)
from gateway.settings import AccountTable, PlanTable
from gateway.storage.stores.destinations import count_destinations
from gateway.storage.stores.plan_usage import NO_PERIOD, lock_usage, read_usage, store_usage

_log = logging.getLogger(__name__)

ALL_FEATURES: Final = "*"
_USAGE: Final = "plan.usage"
Counter = Callable[[AsyncConnection, str], Awaitable[int]]
"""Counts an account's rows under a limit."""


@dataclass(slots=True)
class Allowance:
    """An account's packages of this month, locked in a transaction: take one after the other."""

    account_id: str
    plan: str
    limit: int
    used: int
    before: int
    may_exceed: bool
    notify_at: tuple[int, ...]
    resets_at: str

    def take(self) -> bool:
        """Count one more package; false when the plan has no room for it."""
        if self.used >= self.limit and not self.may_exceed:
            return False
        self.used += 1
        return True

    def refusal(self) -> PlanRefusal:
        """Return why there is no room."""
        return PlanRefusal(PACKAGES, self.limit, self.used, self.resets_at)


class Plans:
    """The plans of the settings, and which account has which."""

    def __init__(
        self,
        plans: Mapping[str, PlanTable],
        accounts: Mapping[str, AccountTable],
        clock: Clock,
    ) -> None:
        self._clock = clock
        self.counters: dict[LimitName, Counter] = {ENDPOINTS: count_destinations}
        self._of = {
            account: (each.plan, plans[each.plan])
            for account, each in accounts.items()
            if each.plan is not None
        }

    def need(self, account_id: str, feature: str) -> None:
        """Raise ``NotOnPlan`` (403) when the account's plan doesn't include ``feature``."""
        name, plan = self._of.get(account_id, ("", None))
        if plan is None or ALL_FEATURES in plan.features or feature in plan.features:
            return
        raise NotOnPlan(name, feature)

    async def take(
        self,
        connection: AsyncConnection,
        account_id: str,
        limit_name: LimitName,
    ) -> None:
        """Take one place of a limit on existing rows, in the caller's transaction.

        Raises ``PlanLimitReached`` (402) when there is no place left. Existing rows stay, also
        under a smaller plan.
        """
        _, plan = self._of.get(account_id, ("", None))
        limit: int | None = None if plan is None else getattr(plan, limit_name)
        if plan is None or limit is None:
            return
        await lock_usage(connection, [account_id], limit_name, NO_PERIOD)
        used = await self.counters[limit_name](connection, account_id)
        if used >= limit and plan.overage == "block":
            raise PlanRefusal(limit_name, limit, used).error()

    def counts(self, account_id: str) -> bool:
        """Return whether the account's packages are counted."""
        _, plan = self._of.get(account_id, ("", None))
        return plan is not None and plan.packages_per_month is not None

    async def allowances(
        self, connection: AsyncConnection, accounts: Collection[str], now: datetime
    ) -> dict[str, Allowance]:
        """Lock the usage of those accounts whose packages are counted."""
        counted = {each for each in accounts if self.counts(each)}
        if not counted:
            return {}
        used = await lock_usage(connection, counted, PACKAGES, period_of(now))
        found: dict[str, Allowance] = {}
        for account_id in counted:
            name, plan = self._of[account_id]
            found[account_id] = Allowance(
                account_id,
                name,
                plan.packages_per_month or 0,
                used[account_id],
                used[account_id],
                plan.overage == "allow",
                plan.notify_at,
                isoformat(next_period(now)),
            )
        return found

    async def count(
        self, connection: AsyncConnection, allowances: Iterable[Allowance], now: datetime
    ) -> list[EventDraft]:
        """Store the usage; returns the events about plans that are nearly or fully used."""
        drafts = []
        for each in allowances:
            if each.used == each.before:
                continue
            await store_usage(connection, each.account_id, PACKAGES, period_of(now), each.used)
            reached = crossed(each.notify_at, each.limit, each.before, each.used)
            drafts += [_usage_event(each, percent, now) for percent in reached]
        return drafts

    async def usage(
        self, connection: AsyncConnection, account_id: str, month: str | None = None
    ) -> PlanUsage:
        """Return the plan of an account and how much of it is used, in this month or ``month``."""
        name, plan = self._of.get(account_id, ("", None))
        if plan is None:
            return PlanUsage(account_id, None)
        now = self._clock.now()
        period = month or period_of(now)
        limits = []
        if plan.packages_per_month is not None:
            used = (await read_usage(connection, PACKAGES, period)).get(account_id, 0)
            resets_at = isoformat(next_period(now)) if period == period_of(now) else None
            limits.append(LimitUsage(PACKAGES, plan.packages_per_month, used, resets_at))
        for limit_name, count in self.counters.items():
            limit: int | None = getattr(plan, limit_name)
            if limit is not None:
                limits.append(LimitUsage(limit_name, limit, await count(connection, account_id)))
        return PlanUsage(account_id, name, plan.features, plan.overage, tuple(limits))

    @property
    def accounts(self) -> list[str]:
        """The accounts that have a plan, sorted."""
        return sorted(self._of)


def log_usage(recorded: Iterable[Event]) -> None:
    """Log, after the commit, the events about plans that are nearly or fully used."""
    for event in recorded:
        if event.type == _USAGE:
            _log.warning(
                "an account has used %d per cent of its plan",
                event.data["percent"],
                extra={"account": event.account_id, "plan": event.data["plan"]},
            )


def _usage_event(of: Allowance, percent: int, now: datetime) -> EventDraft:
    return EventDraft(
        id=new_id("evt", now),
        type=_USAGE,
        account_id=of.account_id,
        mode="live",
        subject=of.account_id,
        data={
            "plan": of.plan,
            "limit_name": PACKAGES,
            "percent": percent,
            "limit": of.limit,
            "used": of.used,
            "resets_at": of.resets_at,
        },
        occurred_at=now,
        actor="gateway",
    )
