"""QueueWorker: processes a queue's due items in this process."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Final, Generic, Self, TypeVar

from gateway.storage.outage import failure_of
from gateway.storage.work_queue import Claimed, Settlement, WorkQueue

_log = logging.getLogger(__name__)

# A handler is cancelled this long before its lease ends, so that the retry is written in time.
_MARGIN_SECONDS: Final = 1.0
TIMED_OUT: Final = "timed_out"


Handler = Callable[[Claimed], Awaitable[Settlement | str | None]]
"""Processes one item; returns its outcome, or ``item.retry(…)`` or ``item.bury(…)``.

An exception is a retry with the exception's type as its reason.
"""

Unit = TypeVar("Unit")


class QueueWorker(Generic[Unit]):
    """Processes a queue's due items in this process; idle when no item is due.

    ``claim(limit)`` claims units, ``work(unit)`` processes one and settles it, up to
    ``max_in_flight`` at a time; ``sweep()`` runs with the job, unless ``has_open()`` returns that
    no item is open. :meth:`of` makes the usual worker, with a handler for each item; make your own
    where a unit is a batch.
    """

    def __init__(
        self,
        claim: Callable[[int], Awaitable[Sequence[Unit]]],
        work: Callable[[Unit], Awaitable[None]],
        sweep: Callable[[], Awaitable[object]],
        max_in_flight: int,
        *,
        grace_seconds: float = 5.0,
        has_open: Callable[[], Awaitable[bool]] | None = None,
    ) -> None:
        self._claim = claim
        self._work = work
        self._sweep = sweep
        self._max_in_flight = max_in_flight
        self._grace_seconds = grace_seconds
        self._has_open = has_open
        self._in_work: set[asyncio.Task[None]] = set()
        self._running: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._stopping = False

    @classmethod
    def of(
        cls,
        queue: WorkQueue,
        handle: Handler,
        *,
        max_in_flight: int = 20,
        lease_seconds: float = 30.0,
        grace_seconds: float = 5.0,
    ) -> "QueueWorker[Claimed]":
        """Make the worker that calls ``handle`` with one item at a time and settles it.

        A handler that takes longer than its lease is cancelled just before that ends.
        """
        deadline_seconds = max(lease_seconds - _MARGIN_SECONDS, lease_seconds / 2)

        async def claim(limit: int) -> Sequence[Claimed]:
            return await queue.claim(limit, lease_seconds)

        async def work(item: Claimed) -> None:
            await queue.finish(await _attempted(handle, item, deadline_seconds))

        return QueueWorker(
            claim,
            work,
            queue.sweep,
            max_in_flight,
            grace_seconds=grace_seconds,
            has_open=queue.has_open,
        )

    async def __aenter__(self) -> Self:
        """Begin to accept wake-ups."""
        self._stopping = False
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Finish the current items within the grace time; the leases of the others expire."""
        self._stopping = True
        self._news.set()
        if self._running is not None:
            await asyncio.wait([self._running], timeout=self._grace_seconds)
            for task in self._in_work:
                task.cancel()
            await self.idle()

    def wake(self) -> None:
        """Start to process due items; doesn't wait."""
        self._news.set()
        if self._running is None and not self._stopping:
            # Without the caller's context: its log lines are about other callers' items, too.
            self._running = asyncio.create_task(self._run(), context=Context())

    async def run(self) -> None:
        """Sweep, then wake: a job that finds retries, lost leases, other processes' items."""
        if self._has_open is None or await self._has_open():
            await self._sweep()
            self.wake()

    async def drain(self, timeout_seconds: float | None = None) -> None:
        """Process all due items, or as many as there is time for."""
        self.wake()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self.idle()

    async def idle(self) -> None:
        """Wait until no item is in process and a claim found none."""
        while self._running is not None:
            await asyncio.wait([self._running])

    async def _run(self) -> None:
        try:
            while True:
                self._news.clear()
                await self._fill()
                if self._in_work:
                    await self._next()
                elif not self._news.is_set() or self._stopping:
                    return  # no await from here on: the next wake-up starts a new task
        except Exception as error:  # noqa: BLE001 - the job starts it again
            _log.error("queue worker stopped for now: %s", failure_of(error))
            await asyncio.gather(*self._in_work, return_exceptions=True)
            self._in_work.clear()
        finally:
            self._running = None

    async def _fill(self) -> None:
        free = self._max_in_flight - len(self._in_work)
        # Claim for half of the places: a claim after each item would be a transaction per item.
        if self._stopping or free * 2 < self._max_in_flight:
            return
        for unit in await self._claim(free):
            self._in_work.add(asyncio.create_task(self._done(unit)))

    async def _done(self, unit: Unit) -> None:
        try:
            await self._work(unit)
        except Exception as error:  # noqa: BLE001 - its lease ends, and it is attempted again
            _log.error("a queue item could not be settled: %s", failure_of(error))

    async def _next(self) -> None:
        """Wait until an item ends or a wake-up comes."""
        news = asyncio.create_task(self._news.wait())
        try:
            ended, _ = await asyncio.wait(
                {*self._in_work, news}, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            news.cancel()
        self._in_work -= ended


async def _attempted(handle: Handler, item: Claimed, deadline_seconds: float) -> Settlement:
    """Call ``handle`` with an item; returns the settlement, also after an exception."""
    try:
        async with asyncio.timeout(deadline_seconds):
            ending = await handle(item)
        return ending if isinstance(ending, Settlement) else item.done(ending)
    except TimeoutError:
        reason = TIMED_OUT
    except Exception as error:  # noqa: BLE001 - one item's fault must not stop the others
        reason = type(error).__name__
    _log.error(
        "queue %s: attempt %s failed: %s",
        item.queue,
        item.attempts,
        reason,
        extra={"queue_item": item.id},
    )
    return item.retry(reason)
