"""A day's money: the due and the collected amounts of a site, to the cent.

A package counts on the day it was delivered, by the driver's clock. Money that was reported with
another event of that day (such as an attempt) counts, too.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, Literal

import msgspec

from gateway.plugin import Caller, Event, Gateway, Package, Status
from gateway_reports.site_day import SiteDay

ZERO: Final = Decimal("0.00")
WITH_DRIVERS: Final[frozenset[Status]] = frozenset(
    {"picked_up", "out_for_delivery", "arrived", "attempted", "rescheduled", "returning"}
)
NO_DRIVER: Final = ""
DELIVERED: Final = "delivery.completed"
_MAY_BRING_MONEY: Final = (
    DELIVERED,
    "delivery.attempted",
    "delivery.failed",
    "delivery.arrived",
)
NOT_SAID: Final = "not said"
"""The method of money that was collected without one."""


class DriverMoney(msgspec.Struct, frozen=True, kw_only=True):
    """What one driver collected. ``driver_id`` is empty where none was reported."""

    driver_id: str
    delivered: int
    due: Decimal
    collected: Decimal
    methods: dict[str, Decimal]


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A package whose collected amount differs; ``collected`` is ``None`` if not reported."""

    package_id: str
    driver_id: str
    due: Decimal
    collected: Decimal | None
    kind: Literal["short", "over", "not_reported"]


class DayMoney(msgspec.Struct, frozen=True, kw_only=True):
    """The money of one day and site; ``still_out`` are packages that drivers have now."""

    delivered: int
    due: Decimal
    collected: Decimal
    methods: dict[str, Decimal]
    drivers: tuple[DriverMoney, ...]
    differences: tuple[Difference, ...]
    still_out: int = 0


async def day_money(gateway: Gateway, caller: Caller, day: SiteDay) -> DayMoney:
    """Add a day up."""
    async with gateway.database.read() as connection:
        events = await gateway.events.occurred(
            connection,
            caller,
            since=day.day.starts_at,
            until=day.day.ends_at,
            types=_MAY_BRING_MONEY,
        )
        of_site = [each for each in events if each.site == day.site]
        ids = {each.subject for each in of_site}
        packages = {
            each.id: each for each in await gateway.packages.of_ids(connection, caller, ids)
        }
        out = await gateway.packages.count(connection, caller, WITH_DRIVERS, day.site)
    return added_up(of_site, packages, still_out=out)


def added_up(
    events: Sequence[Event], packages: Mapping[str, Package], *, still_out: int = 0
) -> DayMoney:
    """Add up the money of a day's events. Pure."""
    due: dict[str, Decimal] = {}
    collected: dict[str, Decimal] = {}
    driver: dict[str, str] = {}
    methods: dict[str, dict[str, Decimal]] = {}
    for event in events:
        package = packages.get(event.subject)
        if package is None:
            continue
        who = driver_of(event.data, package)
        if event.type == DELIVERED:
            due[package.id] = package.order.copay_amount or ZERO
            driver[package.id] = who
        amount = event.data.get("copay_collected")
        if amount is None:
            continue
        driver.setdefault(package.id, who)
        collected[package.id] = collected.get(package.id, ZERO) + _money(amount)
        method = event.data.get("copay_method") or NOT_SAID
        of_driver = methods.setdefault(driver[package.id], {})
        of_driver[method] = of_driver.get(method, ZERO) + _money(amount)
    drivers = tuple(
        DriverMoney(
            driver_id=who,
            delivered=sum(driver[each] == who for each in due),
            due=sum((due[each] for each in due if driver[each] == who), ZERO),
            collected=sum((each for each in methods.get(who, {}).values()), ZERO),
            methods=dict(sorted(methods.get(who, {}).items())),
        )
        for who in sorted(set(driver.values()))
    )
    total: dict[str, Decimal] = {}
    for each in drivers:
        for method, amount in each.methods.items():
            total[method] = total.get(method, ZERO) + amount
    return DayMoney(
        delivered=len(due),
        due=sum(due.values(), ZERO),
        collected=sum(collected.values(), ZERO),
        methods=dict(sorted(total.items())),
        drivers=drivers,
        differences=tuple(_differences(due, collected, driver)),
        still_out=still_out,
    )


def _differences(
    due: Mapping[str, Decimal], collected: Mapping[str, Decimal], driver: Mapping[str, str]
) -> Sequence[Difference]:
    found = []
    for package_id in sorted({*due, *collected}):
        wanted, got = due.get(package_id, ZERO), collected.get(package_id)
        if got == wanted or (got is None and not wanted):
            continue
        kind: Literal["short", "over", "not_reported"]
        kind = "not_reported" if got is None else "short" if got < wanted else "over"
        found.append(
            Difference(
                package_id=package_id,
                driver_id=driver[package_id],
                due=wanted,
                collected=got,
                kind=kind,
            )
        )
    return found


def driver_of(data: Mapping[str, Any], package: Package) -> str:
    """Return the driver of an event, else the package's last one."""
    return data.get("driver_id") or package.driver_id or NO_DRIVER


def _money(value: Any) -> Decimal:
    return Decimal(value).quantize(ZERO)
