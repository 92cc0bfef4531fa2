"""The day so far at two pharmacies: since yesterday afternoon, simulated in seconds.

Each step sets the clock, does one thing, and waits until its webhooks are sent.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Any, Final

from gateway.demo.clock import PlayedClock, minutes_before
from gateway.demo.rounds import Carried, Dispatch
from gateway.demo.subscribers import Subscribers
from gateway.runtime import Gateway

PORTAL: Final = "/patient-portal"
LEDGER: Final = "/ledger"
DRIVER: Final = "maya"
_LOOK_SECONDS: Final = 0.02
_LOOKS: Final = 500
_YESTERDAY: Final = 22 * 60
BEGINS_MINUTES_AGO: Final = _YESTERDAY + 30
_LATE_RETURN_DAYS: Final = 11

Act = Callable[[], Awaitable[Any]]


class Morning:
    """Plays the events of the day, and returns the packages that the driver still has."""

    def __init__(
        self, gateway: Gateway, clock: PlayedClock, dispatch: Dispatch, subscribers: Subscribers
    ) -> None:
        self._gateway = gateway
        self._clock = clock
        self._dispatch = dispatch
        self._subscribers = subscribers
        self._steps: list[tuple[float, Act]] = []
        self._now = gateway.clock.now()
        self.on_the_road: list[Carried] = []
        self.waiting: list[Carried] = []

    def at(self, minutes_ago: float, act: Act) -> None:
        """Schedule a step at this many minutes ago."""
        self._steps.append((minutes_ago, act))

    async def play(self, now: datetime) -> None:
        """Play all scheduled steps, the oldest first."""
        for minutes_ago, act in sorted(self._steps, key=lambda step: -step[0]):
            self._clock.go_to(minutes_before(now, minutes_ago))
            self._gateway.clock.follow()
            await act()
            await self._settled()
        self._clock.arrive()
        self._gateway.clock.follow()

    def note_everything(self, today: datetime) -> None:
        """Schedule the day: orders and rounds at both sites, and a server that fails."""
        self._yesterday(today)
        self._lakeside()
        self._queen()
        self.at(232, self._failing(LEDGER))
        self.at(201, self._working(LEDGER))
        self.at(34, self._failing(PORTAL))
        for minutes_ago in (224, 216, 208, 200, 28, 22, 16, 10, 5, 2):
            self.at(minutes_ago, _nothing)  # attempts that are due

    def _yesterday(self, today: datetime) -> None:
        take, new = self._dispatch.take, self._dispatch.inventor.orders

        async def delivered() -> None:
            packages = await take([*new("lakeside", 5), *new("queen", 4)])
            await self._dispatch.leave(packages, DRIVER)
            for each in packages:
                await self._dispatch.complete(each, DRIVER)

        async def left_over() -> None:
            filled_on = minutes_before(today, _LATE_RETURN_DAYS * 24 * 60).date().isoformat()
            order = self._dispatch.inventor.order("queen")
            parts = [{**each, "filled_on": filled_on} for each in order["prescriptions"]]
            [kept] = await take([{**order, "prescriptions": parts}])
            await self._dispatch.report("package.ready", [kept])

        self.at(_YESTERDAY, delivered)
        self.at(_YESTERDAY - 30, left_over)

    def _lakeside(self) -> None:
        self._round("lakeside", 8, 330, DRIVER, goes_wrong=True)
        self._round("lakeside", 6, 190, DRIVER)
        self.at(96, self._on_its_way)
        self.at(44, self._leaves_again)
        self.at(31, self._next_door)
        self.at(17, self._next_door)
        self.at(55, self._still_here)
        self.at(14, self._just_in)

    def _queen(self) -> None:
        self._round("queen", 6, 290, "omar")
        self._round("queen", 5, 170, "omar", is_short=True)

    def _round(
        self,
        site: str,
        count: int,
        minutes_ago: float,
        driver: str,
        *,
        goes_wrong: bool = False,
        is_short: bool = False,
    ) -> None:
        """Schedule a round: orders, ready, out, then one delivery after the other."""
        packages: list[Carried] = []

        async def orders() -> None:
            packages.extend(await self._dispatch.take(self._dispatch.inventor.orders(site, count)))

        async def leaves() -> None:
            await self._dispatch.leave(packages, driver)

        async def door(number: int) -> None:
            package = packages[number]
            await self._dispatch.report("delivery.out_for_delivery", [package], driver_id=driver)
            if goes_wrong and number == 2:  # noqa: PLR2004
                await self._no_one_there(package, driver)
            elif goes_wrong and number == 5:  # noqa: PLR2004
                await self._refused(package, driver)
            elif is_short and number == 1:
                owed = {"copay_collected": 2.0, "notes": "2.00 paid, the rest next week."}
                await self._dispatch.complete(package, driver, **owed)
            else:
                await self._dispatch.complete(package, driver)

        self.at(minutes_ago, orders)
        self.at(minutes_ago - 21, lambda: self._dispatch.report("package.ready", packages))
        self.at(minutes_ago - 48, leaves)
        for number in range(count):
            self.at(minutes_ago - 60 - 9.5 * number, partial(door, number))

    async def _no_one_there(self, package: Carried, driver: str) -> None:
        why = {"failure_reason": "no_answer", "notes": "Rang twice, left a card."}
        await self._dispatch.report("delivery.arrived", [package], driver_id=driver)
        await self._dispatch.report("delivery.attempted", [package], driver_id=driver, **why)

    async def _refused(self, package: Carried, driver: str) -> None:
        why = {"failure_reason": "refused", "notes": "Wants to speak to the pharmacist first."}
        await self._dispatch.report("delivery.failed", [package], driver_id=driver, **why)

    async def _on_its_way(self) -> None:
        new = self._dispatch.inventor.orders
        packages = await self._dispatch.take(new("lakeside", 7))
        await self._dispatch.report("package.ready", packages)
        self.on_the_road = packages

    async def _leaves_again(self) -> None:
        """Begin the round that is still out at the end."""
        await self._dispatch.leave(self.on_the_road, DRIVER)
        await self._to_the_next_door()

    async def _next_door(self) -> None:
        await self._dispatch.complete(self.on_the_road.pop(0), DRIVER)
        await self._to_the_next_door()

    async def _to_the_next_door(self) -> None:
        following = self.on_the_road[:1]
        await self._dispatch.report("delivery.out_for_delivery", following, driver_id=DRIVER)

    async def _still_here(self) -> None:
        new = self._dispatch.inventor.orders
        packages = await self._dispatch.take([*new("lakeside", 4), *new("queen", 2)])
        await self._dispatch.report("package.ready", packages[:3])
        await self._dispatch.report("package.cancelled", packages[5:])
        self.waiting = packages[:4]

    async def _just_in(self) -> None:
        new = self._dispatch.inventor.orders
        stat = {"priority": "stat", "requires_signature": True}
        taken = await self._dispatch.take([*new("lakeside", 1, **stat), *new("lakeside", 2)])
        self.waiting.extend(taken)

    def _failing(self, path: str) -> Act:
        async def fail() -> None:
            self._subscribers.fail(path)

        return fail

    def _working(self, path: str) -> Act:
        async def work() -> None:
            self._subscribers.recover(path)

        return work

    async def _settled(self) -> None:
        """Wait until all due deliveries are sent; those of a failing server aren't due."""
        for _ in range(_LOOKS):
            due = await self._gateway.dispatcher.destinations_with_work()
            engine = self._gateway.engine
            lanes = getattr(engine, "lanes", None)
            if not due and not lanes:
                return
            if engine is not None:
                engine.wake(due)
            await asyncio.sleep(_LOOK_SECONDS)


async def _nothing() -> None:
    """Do nothing: due deliveries are attempted when the clock moves."""
