"""Batcher: group commit. Many callers, one transaction.

An awaited statement costs a thread hop or a network round trip, and a durable commit costs a
disk flush. So callers submit items one at a time; while one flush runs the others queue up, and
the next flush takes them all. An idle batcher flushes at once: no item waits for a timer.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Generic, TypeVar

from gateway.errors import Unavailable
from gateway.storage.database import is_outage
from gateway.storage.outage import out_of_reach

Item = TypeVar("Item")
Answer = TypeVar("Answer")

Flush = Callable[[Sequence[Item]], Awaitable[Sequence[Answer | Exception]]]
"""Stores items and returns their answers in the same order; an exception is an item's answer."""


class Batcher(Generic[Item, Answer]):
    """Collects items while a flush runs, and flushes them together.

    ``max_weight`` limits a flush (``weigh`` returns an item's weight, 1 without it; a heavier item
    is flushed alone), ``max_waiting`` bounds the queue: beyond it :meth:`submit` raises
    ``Unavailable``. ``observe`` is called with the number of items of each batch.

    A flush that raises has stored nothing (it is one transaction). If the database is unavailable,
    every item gets a ``StorageError``; otherwise one item caused the error, and each is flushed
    alone, so that only that one fails.
    """

    def __init__(
        self,
        flush: Flush[Item, Answer],
        *,
        max_weight: int = 256,
        weigh: Callable[[Item], int] | None = None,
        max_waiting: int = 20_000,
        observe: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._flush = flush
        self._max_weight = max_weight
        self._weigh = weigh
        self._max_waiting = max_waiting
        self._observe = observe
        self._waiting: deque[tuple[Item, asyncio.Future[Answer]]] = deque()
        self._running: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """The number of items queued for the next flush."""
        return len(self._waiting)

    async def submit(self, item: Item) -> Answer:
        """Submit ``item``; returns its answer after the commit."""
        return await self.submit_nowait(item)

    def submit_nowait(self, item: Item) -> asyncio.Future[Answer]:
        """Submit ``item`` without waiting; returns the future of its answer."""
        if len(self._waiting) >= self._max_waiting:
            raise Unavailable("The gateway is taking in more than it can store; try again shortly.")
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.submit_all([(item, answer)])
        return answer

    def submit_all(self, items: Sequence[tuple[Item, asyncio.Future[Answer]]]) -> None:
        """Submit items, each with the future of its answer, however many wait already."""
        self._waiting.extend(items)
        if self._running is None and self._waiting:
            # Without a context: the log lines of a batch must not carry one caller's ids.
            self._running = asyncio.create_task(self._run(), context=Context())

    async def drained(self) -> None:
        """Wait until every submitted item has its answer."""
        while self._running is not None:
            await asyncio.shield(self._running)

    async def _run(self) -> None:
        try:
            while self._waiting:
                batch = self._next_batch()
                self._observe(len(batch))
                await self._answer(batch)
        finally:
            self._running = None

    def _next_batch(self) -> list[tuple[Item, asyncio.Future[Answer]]]:
        batch: list[tuple[Item, asyncio.Future[Answer]]] = []
        weight = 0
        while self._waiting:
            weight += 1 if self._weigh is None else self._weigh(self._waiting[0][0])
            if weight > self._max_weight and batch:
                break
            batch.append(self._waiting.popleft())
        return batch

    async def _answer(self, batch: Sequence[tuple[Item, asyncio.Future[Answer]]]) -> None:
        answers: Sequence[Answer | Exception]
        try:
            answers = await self._flush([item for item, _ in batch])
        except Exception as error:  # noqa: BLE001 - becomes the answer of the item at fault
            if is_outage(error):
                answers = [out_of_reach(error) for _ in batch]
            elif len(batch) > 1:
                for each in batch:
                    await self._answer([each])
                return
            else:
                answers = [error]
        # answers can't be matched to items, and no caller may wait for ever
        if len(answers) != len(batch):
            fault = f"a flush of {len(batch)} items gave {len(answers)} answers"
            answers = [RuntimeError(fault) for _ in batch]
        for (_, future), answer in zip(batch, answers, strict=True):
            if future.done():  # the caller was cancelled; its item is stored all the same
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)
