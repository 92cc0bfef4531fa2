"""The task of a process that processes the inbox, several messages concurrently.

A shop whose API hangs delays only its own messages.
"""

import asyncio
import contextlib
import logging
from collections.abc import Iterable
from typing import Any, Final

from gateway_shopify.inbox import Inbox
from gateway_shopify.order_sync import OrderSync

# Up to this many running, more messages are claimed.
_CLAIM_BELOW: Final = 10
_IDLE_WAIT_SECONDS: Final = 0.5
_STOP_TIMEOUT_SECONDS: Final = 5.0

_log = logging.getLogger(__name__)


class InboxWorker:
    """Runs while messages are due; woken after a message was stored."""

    def __init__(self, inbox: Inbox, order_sync: OrderSync) -> None:
        self._inbox = inbox
        self._order_sync = order_sync
        self._running: asyncio.Task[None] | None = None
        self._woken = asyncio.Event()
        self._leases_released = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False

    def wake(self) -> None:
        """Start processing due messages; returns at once."""
        self._woken.set()
        if self._running is None:
            self._running = asyncio.create_task(self._run())

    async def drain(self, timeout_seconds: float | None = None) -> None:
        """Process all due messages, or as many as the timeout allows."""
        self.wake()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self.ended()

    async def poll(self) -> None:
        """Process messages that became due; the first call releases a killed process's leases."""
        if not self._leases_released:
            await self._inbox.take_back()
            self._leases_released = True
        self.wake()

    async def ended(self) -> None:
        """Wait until the running messages are processed."""
        while self._running is not None:
            await asyncio.wait([self._running])

    async def stop(self) -> None:
        """Finish running messages within five seconds; cancelled ones are processed later."""
        self._stopping = True
        if self._running is not None:
            await asyncio.wait([self._running], timeout=_STOP_TIMEOUT_SECONDS)
            for each in self._tasks:
                each.cancel()
            await self.ended()
        self._stopping = False

    async def _run(self) -> None:
        tasks = self._tasks
        try:
            while True:
                self._woken.clear()
                may_claim = len(tasks) <= _CLAIM_BELOW and not self._stopping
                if may_claim:  # responses go first: Shopify allows five seconds
                    await self._inbox.idle(_IDLE_WAIT_SECONDS)
                claimed = await self._inbox.claim() if may_claim else []
                tasks |= {asyncio.create_task(self._order_sync.process(each)) for each in claimed}
                if tasks:
                    await self._wait(tasks)
                elif not self._woken.is_set():
                    return  # no await from here on: the next wake starts a new task
        except Exception as error:  # noqa: BLE001 - the next poll starts again
            _log.error("processing the inbox stopped: %s", type(error).__name__)
            await asyncio.gather(*tasks, return_exceptions=True)
            tasks.clear()
        finally:
            self._running = None

    async def _wait(self, tasks: set[asyncio.Task[None]]) -> None:
        """Wait until a message is processed or another one arrives."""
        woken: asyncio.Task[Any] = asyncio.create_task(self._woken.wait())
        try:
            done, _ = await asyncio.wait({*tasks, woken}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            woken.cancel()
        tasks -= done
        done.discard(woken)
        _log_failures(done)


def _log_failures(done: Iterable[asyncio.Task[Any]]) -> None:
    """Log errors that could not be recorded with their message, such as a lost database."""
    for each in done:
        if not each.cancelled() and (error := each.exception()) is not None:
            _log.error("a webhook stays in the inbox: %s", type(error).__name__)
