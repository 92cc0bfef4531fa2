"""The Batcher: many callers, one transaction.

An awaited statement costs a thread hop or a network round trip whatever it does,
and a durable commit costs a disk flush. So callers hand in items one at a time;
while one flush runs the rest queue up, and the next flush takes them all.
An idle batcher flushes at once. Nobody waits for a timer, except who says that there is
no haste: such items let a busy batcher rest, so that fewer flushes take more of them.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from functools import partial
from typing import Final, Generic, NamedTuple, TypeVar

from gateway.errors import StorageError, Unavailable
from gateway.storage.database import is_outage

Item = TypeVar("Item")
Answer = TypeVar("Answer")

# Between two tries to store what is kept through an outage, and for how long it is kept.
_PAUSE_SECONDS: Final = 0.25
_PATIENCE_SECONDS: Final = 3600.0

# How long a batcher rests after a flush while nobody is in haste: as many times as long as the
# flush took, so that it works a fifth of the time, but no longer than a moment.
_REST: Final = 4.0
_LONGEST_REST_SECONDS: Final = 0.05

Flush = Callable[[Sequence[Item]], Awaitable[Sequence[Answer | Exception]]]
"""Takes items, answers for each in the same order; an exception in the answer is that item's."""

Told = Callable[[Answer | Exception], None]
"""Called with an item's answer, or with what went wrong; it may not raise."""


class _Waiting(NamedTuple, Generic[Item, Answer]):
    item: Item
    told: Told[Answer]
    at_once: bool


class Batcher(Generic[Item, Answer]):
    """Collects items while a flush runs and hands them over together.

    ``max_weight`` bounds one flush (``weigh`` says how heavy an item is; one heavier than
    that goes alone), ``max_waiting`` how many may queue up; past that :meth:`submit` raises
    ``Unavailable`` instead of taking more than can be kept. ``observe`` is told how many
    items each batch has.

    A flush that raises has stored nothing (it is one transaction). If the database
    itself is out of reach every item gets a ``StorageError``; otherwise one of the items is
    at fault, and each is tried alone so that it fails alone.

    ``keeps`` names items that nobody else remembers: through an outage they wait here and
    are tried again and again, before all others, as long as the batcher is ``patient``.
    """

    def __init__(
        self,
        flush: Flush[Item, Answer],
        *,
        max_weight: int = 256,
        weigh: Callable[[Item], int] = lambda _: 1,
        max_waiting: int = 20_000,
        observe: Callable[[int], None] = lambda _: None,
        keeps: Callable[[Item], bool] = lambda _: False,
    ) -> None:
        self._flush = flush
        self._max_weight = max_weight
        self._weigh = weigh
        self._max_waiting = max_waiting
        self._observe = observe
        self._keeps = keeps
        self.patient = True
        self._away_since: float | None = None
        self._waiting: deque[_Waiting[Item, Answer]] = deque()
        self._in_haste = 0
        self._haste = asyncio.Event()
        self._rests_until = 0.0
        self._draining = 0
        self._running: asyncio.Task[None] | None = None

    async def submit(self, item: Item) -> Answer:
        """Hand in ``item``; returns its answer once the flush that took it has committed."""
        return await self.submit_nowait(item)

    def submit_nowait(self, item: Item, *, urgent: bool = True) -> asyncio.Future[Answer]:
        """Hand in ``item`` without waiting; the future is its answer.

        An item that is not ``urgent`` may wait for up to 50 ms while there is much to do.
        """
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.hand_in(item, partial(_settle, answer), at_once=urgent)
        return answer

    def hand_in(self, item: Item, told: Told[Answer], *, at_once: bool = True) -> None:
        """Hand in ``item``; ``told`` is called with its answer as soon as there is one.

        Not ``at_once``, it may lie for up to 50 ms while there is much to do.
        """
        if len(self._waiting) >= self._max_waiting:
            raise Unavailable("The gateway is taking in more than it can store; try again shortly.")
        self._waiting.append(_Waiting(item, told, at_once))
        if at_once:
            self._in_haste += 1
        if self._running is None:
            # A batch is many callers' work: what it logs must not go under the first one's name.
            self._running = asyncio.create_task(self._run(), context=Context())
        elif at_once or len(self._waiting) >= self._max_weight:
            self._haste.set()

    async def drained(self) -> None:
        """Wait until nothing is queued or running: what was submitted has been answered."""
        self._draining += 1
        self._haste.set()
        try:
            while self._running is not None:
                await asyncio.shield(self._running)
        finally:
            self._draining -= 1

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                await self._rest(loop)
                batch = self._next_batch()
                self._observe(len(batch))
                began = loop.time()
                kept = await self._answer(batch)
                ended = loop.time()
                self._rests_until = ended + min((ended - began) * _REST, _LONGEST_REST_SECONDS)
                if kept:
                    self._waiting.extendleft(reversed(kept))
                    self._in_haste += sum(each.at_once for each in kept)
                    await asyncio.sleep(_PAUSE_SECONDS)
        finally:
            self._running = None

    async def _rest(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let more come in, while the last flush was just now and nobody is in haste."""
        if self._in_haste or self._draining or len(self._waiting) >= self._max_weight:
            return
        if loop.time() >= self._rests_until:
            return
        self._haste.clear()
        timer = loop.call_at(self._rests_until, self._haste.set)
        await self._haste.wait()
        timer.cancel()

    def _next_batch(self) -> list[_Waiting[Item, Answer]]:
        batch: list[_Waiting[Item, Answer]] = []
        weight = 0
        while self._waiting:
            weight += self._weigh(self._waiting[0].item)
            if weight > self._max_weight and batch:
                break
            taken = self._waiting.popleft()
            self._in_haste -= taken.at_once
            batch.append(taken)
        return batch

    async def _answer(
        self, batch: Sequence[_Waiting[Item, Answer]]
    ) -> list[_Waiting[Item, Answer]]:
        """Flush and answer; returns what is to be tried again."""
        kept: list[_Waiting[Item, Answer]] = []
        try:
            answers = await self._flush([each.item for each in batch])
        except Exception as error:  # noqa: BLE001 - what one item brings about stays with that item
            if is_outage(error):
                patient = self._is_patient()
                for each in batch:
                    if patient and self._keeps(each.item):
                        kept.append(each)
                    else:
                        each.told(_out_of_reach(error))
            elif len(batch) == 1:
                batch[0].told(error)
            else:
                for each in batch:
                    kept += await self._answer([each])
        else:
            self._away_since = None
            if len(answers) != len(batch):  # whose is whose can't be told: nobody may wait for ever
                answers = [_mismatch(len(batch), len(answers)) for _ in batch]
            for each, answer in zip(batch, answers, strict=True):
                each.told(answer)
        return kept

    def _is_patient(self) -> bool:
        """Say whether the database may stay away a little longer."""
        now = asyncio.get_running_loop().time()
        if self._away_since is None:
            self._away_since = now
        return self.patient and now - self._away_since < _PATIENCE_SECONDS


def _out_of_reach(cause: Exception) -> StorageError:
    error = StorageError("The database can't be reached right now; try again shortly.")
    error.__cause__ = cause
    return error


def _mismatch(items: int, answers: int) -> Exception:
    return RuntimeError(f"a flush of {items} items gave {answers} answers")


def _settle(future: asyncio.Future[Answer], answer: Answer | Exception) -> None:
    if future.done():  # the caller went away; what it sent is stored all the same
        return
    if isinstance(answer, Exception):
        future.set_exception(answer)
    else:
        future.set_result(answer)
