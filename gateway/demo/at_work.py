"""Activity of the kept demo: a driver moves, orders arrive, the agent writes.

A failing server works again after some minutes. Each task runs until it is cancelled.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from gateway.demo.morning import DRIVER, PORTAL, Morning
from gateway.demo.prescriptions import Agent
from gateway.demo.rounds import Dispatch
from gateway.demo.subscribers import Subscribers
from gateway.errors import GatewayError

RECOVERS_SECONDS: Final = 150.0
_STEP_SECONDS: Final = (9.0, 16.0)
_ORDER_SECONDS: Final = (35.0, 60.0)
_ROUND: Final = 5
_AGAIN_SECONDS: Final = 5.0

_log = logging.getLogger(__name__)


class AtWork:
    """The tasks of the kept demo. ``hurry`` divides their pauses, for tests."""

    def __init__(
        self,
        morning: Morning,
        dispatch: Dispatch,
        subscribers: Subscribers,
        agent: Agent | None,
        hurry: float = 1.0,
    ) -> None:
        self._road = list(morning.on_the_road)
        self._waiting = list(morning.waiting)
        self._dispatch = dispatch
        self._subscribers = subscribers
        self._agent = agent
        self._hurry = hurry

    @contextlib.asynccontextmanager
    async def going_on(self) -> Any:
        """Run the tasks until the block ends."""
        steps: list[Callable[[], Awaitable[Any]]] = [self._drive, self._order]
        if self._agent is not None:
            steps.append(self._write)
        tasks = [asyncio.create_task(self._again(each)) for each in steps]
        tasks.append(asyncio.create_task(self._recover()))
        try:
            yield
        finally:
            for each in tasks:
                each.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _again(self, step: Callable[[], Awaitable[Any]]) -> None:
        while True:
            try:
                await step()
            except GatewayError as error:  # a visitor may have changed the package
                _log.info("%s", error)
                await self._pause(_AGAIN_SECONDS, _AGAIN_SECONDS)

    async def _drive(self) -> None:
        """Report one delivery, or begin the next round."""
        await self._pause(*_STEP_SECONDS)
        if not self._road:
            await self._load()
            return
        package, dispatch = self._road[0], self._dispatch
        await dispatch.report("delivery.arrived", [package], driver_id=DRIVER)
        await self._pause(*_STEP_SECONDS)
        self._road.pop(0)
        if dispatch.inventor.is_one_in(9):
            why = {"failure_reason": "recipient_not_home", "notes": "No one opens; left a card."}
            await dispatch.report("delivery.attempted", [package], driver_id=DRIVER, **why)
        else:
            await dispatch.complete(package, DRIVER)
        await self._pause(*_STEP_SECONDS)
        if self._road:
            await dispatch.report("delivery.out_for_delivery", self._road[:1], driver_id=DRIVER)

    async def _load(self) -> None:
        self._road, self._waiting = self._waiting[:_ROUND], self._waiting[_ROUND:]
        if self._road:
            await self._dispatch.leave(self._road, DRIVER)
            await self._dispatch.report(
                "delivery.out_for_delivery", self._road[:1], driver_id=DRIVER
            )

    async def _order(self) -> None:
        await self._pause(*_ORDER_SECONDS)
        inventor = self._dispatch.inventor
        taken = await self._dispatch.take([inventor.order("lakeside")])
        if inventor.is_one_in(3):
            taken += await self._dispatch.take([inventor.order("queen")])
        await self._dispatch.report("package.ready", taken)
        self._waiting += [each for each in taken if each.order["site"] == "lakeside"]

    async def _write(self) -> None:
        if self._agent is not None and not await self._agent.work_once(patient=True):
            await self._pause(1, 1)

    async def _recover(self) -> None:
        await self._pause(RECOVERS_SECONDS, RECOVERS_SECONDS)
        self._subscribers.recover(PORTAL)

    async def _pause(self, least: float, most: float) -> None:
        seconds = self._dispatch.inventor.pause(least, most)
        await asyncio.sleep(seconds / self._hurry)
