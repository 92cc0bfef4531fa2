"""Long polls of agents: woken by commits of this process, and by one poll of the database.

For any number of waiting agents, an idle gateway polls the database once a second for each account,
mode and site with a waiting agent. That poll finds the commits of other processes.
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from contextvars import Context
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from gateway.plugin import Gateway, WorkQueue
from gateway_rx_queue import claims
from gateway_rx_queue.store import Scope
from gateway_rx_queue.tables import JOBS

LOOK_EVERY_SECONDS: Final = 1.0


class LongPoll:
    """The waiting agents, the longest waiting first."""

    def __init__(self, gateway: Gateway, look_every_seconds: float = LOOK_EVERY_SECONDS) -> None:
        self._gateway = gateway
        self._queue = WorkQueue(JOBS, gateway)
        self._look_every_seconds = look_every_seconds
        self._waiting: deque[tuple[Scope, asyncio.Future[None]]] = deque()
        self._looking: asyncio.Task[None] | None = None
        self._closed = True
        self.looks = 0
        """The number of polls of the database."""

    async def wait(self, scope: Scope, timeout_seconds: float) -> bool:
        """Wait until there may be work; ``False`` after a timeout."""
        if self._closed:
            return False
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (scope, woken)
        self._waiting.append(entry)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look(), context=Context())
        try:
            async with asyncio.timeout(timeout_seconds):
                await woken
        except TimeoutError:
            return False
        finally:
            with suppress(ValueError):
                self._waiting.remove(entry)
        return not self._closed

    def wake(self, places: Iterable[Scope]) -> None:
        """Wake one waiting agent for each of these scopes."""
        for place in places:
            for scope, woken in self._waiting:
                if not woken.done() and _covers(scope, place):
                    woken.set_result(None)
                    break
            else:
                if not self._waiting:
                    return

    def open(self) -> None:
        """Accept waiting agents."""
        self._closed = False

    def close(self) -> None:
        """Release all waiting agents and accept no more."""
        self._closed = True
        for _, woken in self._waiting:
            if not woken.done():
                woken.set_result(None)
        if self._looking is not None:
            self._looking.cancel()

    async def _look(self) -> None:
        """Poll for due jobs while an agent waits."""
        while self._waiting:
            await asyncio.sleep(self._look_every_seconds)
            scopes = {scope for scope, woken in self._waiting if not woken.done()}
            if not scopes:
                continue
            with suppress(SQLAlchemyError, OSError):  # unreachable: polled again
                self.wake(await self._found(scopes))

    async def _found(self, scopes: Iterable[Scope]) -> list[Scope]:
        self.looks += 1
        async with self._gateway.database.read() as connection:
            return [
                scope
                for scope in sorted(scopes, key=str)
                if await self._queue.has_due(
                    connection, partition=scope.account_id, where=claims.within(scope)
                )
            ]


def _covers(scope: Scope, place: Scope) -> bool:
    return scope[:2] == place[:2] and (scope.site is None or scope.site == place.site)
