"""Agents that wait for work: woken by commits, and by one look at the database for all of them.

However many agents wait, an idle gateway asks the database once a second: for each
account, mode and site that somebody waits for, whether there is anything. What another
process committed is found by that look.
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from contextvars import Context
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from gateway.plugin import Gateway, to_epoch_ms
from gateway_rx_queue import claims
from gateway_rx_queue.store import Scope

LOOK_EVERY_SECONDS: Final = 1.0


class Waiters:
    """Those who wait, the longest waiting first."""

    def __init__(self, gateway: Gateway, look_every_seconds: float = LOOK_EVERY_SECONDS) -> None:
        self._gateway = gateway
        self._look_every_seconds = look_every_seconds
        self._waiting: deque[tuple[Scope, asyncio.Future[None]]] = deque()
        self._looking: asyncio.Task[None] | None = None
        self._closed = True
        self.looks = 0
        """How often the database was asked."""

    async def wait(self, scope: Scope, timeout_seconds: float) -> bool:
        """Wait until there may be work; ``False`` when the time was up first."""
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
        """Wake one who waits for each of these jobs' places; the others go on waiting."""
        for place in places:
            for scope, woken in self._waiting:
                if not woken.done() and _covers(scope, place):
                    woken.set_result(None)
                    break
            else:
                if not self._waiting:
                    return

    def open(self) -> None:
        """Let agents wait (again)."""
        self._closed = False

    def close(self) -> None:
        """Let everybody go, and nobody wait any more."""
        self._closed = True
        for _, woken in self._waiting:
            if not woken.done():
                woken.set_result(None)
        if self._looking is not None:
            self._looking.cancel()

    async def _look(self) -> None:
        """Look for work as long as anybody waits."""
        while self._waiting:
            await asyncio.sleep(self._look_every_seconds)
            scopes = {scope for scope, woken in self._waiting if not woken.done()}
            if not scopes:
                continue
            with suppress(SQLAlchemyError, OSError):  # out of reach: looked at again soon
                self.wake(await self._found(scopes))

    async def _found(self, scopes: Iterable[Scope]) -> list[Scope]:
        self.looks += 1
        now_ms = to_epoch_ms(self._gateway.clock.now())
        async with self._gateway.database.read() as connection:
            return [
                scope
                for scope in sorted(scopes, key=str)
                if await claims.any_due(connection, scope, now_ms)
            ]


def _covers(scope: Scope, place: Scope) -> bool:
    return scope[:2] == place[:2] and (scope.site is None or scope.site == place.site)
