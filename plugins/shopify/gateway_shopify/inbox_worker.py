"""The one task of a process that works the inbox off, many messages at a time.

A shop whose API hangs keeps its own messages waiting and nobody else's.
"""

import asyncio
import contextlib
import logging
from collections.abc import Iterable
from typing import Any, Final

from gateway_shopify.inbox import Inbox
from gateway_shopify.order_sync import Processor

# Below this many in work, the next are taken.
_FEW: Final = 10
_PATIENCE_SECONDS: Final = 0.5
_GRACE_SECONDS: Final = 5.0

_log = logging.getLogger(__name__)


class Worker:
    """Runs while there is something to do; woken by whoever puts something into the inbox."""

    def __init__(self, inbox: Inbox, processor: Processor) -> None:
        self._inbox = inbox
        self._processor = processor
        self._running: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._took_back = False
        self._in_work: set[asyncio.Task[None]] = set()
        self._stopping = False

    def wake(self) -> None:
        """Begin to work off what is there, without waiting for it."""
        self._news.set()
        if self._running is None:
            self._running = asyncio.create_task(self._run())

    async def drain(self, patience_seconds: float | None = None) -> None:
        """Work off everything that is due in this process, or as much as there is time for."""
        self.wake()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_seconds):
                await self.ended()

    async def work(self) -> None:
        """Work off what nobody woke us for; the first time, what a killed process had as well."""
        if not self._took_back:
            await self._inbox.take_back()
            self._took_back = True
        self.wake()

    async def ended(self) -> None:
        """Wait until everything that was begun here is worked off."""
        while self._running is not None:
            await asyncio.wait([self._running])

    async def stop(self) -> None:
        """Finish what is in work, within reason; what isn't finished is taken up another time."""
        self._stopping = True
        if self._running is not None:
            await asyncio.wait([self._running], timeout=_GRACE_SECONDS)
            for each in self._in_work:
                each.cancel()
            await self.ended()
        self._stopping = False

    async def _run(self) -> None:
        in_work = self._in_work
        try:
            while True:
                self._news.clear()
                may_take = len(in_work) <= _FEW and not self._stopping
                if may_take:  # answering comes first: Shopify gives us a few seconds
                    await self._inbox.quiet(_PATIENCE_SECONDS)
                claimed = await self._inbox.claim() if may_take else []
                in_work |= {asyncio.create_task(self._processor.work_off(each)) for each in claimed}
                if in_work:
                    await self._wait(in_work)
                elif not self._news.is_set():
                    return  # nothing is awaited from here on: whoever wakes us starts anew
        except Exception as error:  # noqa: BLE001 - the job begins anew, whatever it was
            _log.error("working off the inbox stopped: %s", type(error).__name__)
            await asyncio.gather(*in_work, return_exceptions=True)
            in_work.clear()
        finally:
            self._running = None

    async def _wait(self, in_work: set[asyncio.Task[None]]) -> None:
        """Wait until one is over, or there is something new."""
        news: asyncio.Task[Any] = asyncio.create_task(self._news.wait())
        try:
            over, _ = await asyncio.wait({*in_work, news}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            news.cancel()
        in_work -= over
        over.discard(news)
        _look_at(over)


def _look_at(over: Iterable[asyncio.Task[Any]]) -> None:
    """Log what not even be written down with its message: the database was away, say."""
    for each in over:
        if not each.cancelled() and (error := each.exception()) is not None:
            _log.error("a webhook is left for later: %s", type(error).__name__)
