"""OutcomeBuffer: the dispatcher's batcher, which lingers under load and bridges outages.

Claims and urgent outcomes are flushed at once. Other outcomes linger up to 50 ms while there is
much to do: fewer flushes take more of them. Successes, which nothing waits for, always linger, and
after a moment ride in the next commit: at 50 deliveries a second they need none of their own. An
outcome exists in memory only (lost, its delivery would be sent again), so a flush that carries any
is repeated while the database is unavailable.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

from gateway.storage.batcher import Batcher, Flush
from gateway.storage.database import is_outage

Item = TypeVar("Item")
Answer = TypeVar("Answer")

# Outcomes linger for this multiple of the last flush's duration, so that flushes take a fifth of
# the time, but no longer than the maximum.
LINGER_FACTOR: Final = 4.0
MAX_LINGER_SECONDS: Final = 0.05
CALM_SECONDS: Final = 0.045
"""How long what nothing waits for lingers at most, however little there is to do."""
RIDE_SECONDS: Final = 0.02
"""How long it lingers before it shares the commit of something else: several ride together."""
# Lanes limit their deliveries, so this buffer needs no limit.
_MAX_WAITING: Final = 1_000_000


class OutcomeBuffer(Generic[Item, Answer]):
    """Flushes claims and outcomes through one batcher.

    ``is_outcome`` selects the items that must survive an outage of up to ``patience_seconds``
    (while :attr:`patient`), ``is_calm`` those whose caller doesn't wait. ``observe`` is called with
    the number of items of each batch.
    """

    def __init__(  # noqa: PLR0913 - what it flushes, and its times
        self,
        flush: Flush[Item, Answer],
        is_outcome: Callable[[Item], bool],
        *,
        is_calm: Callable[[Item], bool] = lambda _: False,
        max_weight: int = 2048,
        observe: Callable[[int], None] = lambda _: None,
        linger_factor: float = LINGER_FACTOR,
        max_linger_seconds: float = MAX_LINGER_SECONDS,
        retry_seconds: float = 0.25,
        patience_seconds: float = 3600.0,
    ) -> None:
        self._flush = flush
        self._is_outcome = is_outcome
        self._is_calm = is_calm
        self._max_weight = max_weight
        self._linger_factor = linger_factor
        self._max_linger_seconds = max_linger_seconds
        self._retry_seconds = retry_seconds
        self._patience_seconds = patience_seconds
        self._batcher: Batcher[Item, Answer] = Batcher(
            self._flushed, max_weight=max_weight, max_waiting=_MAX_WAITING, observe=observe
        )
        self._impatient = asyncio.Event()
        self._out_since: float | None = None
        self._lingering: list[tuple[Item, asyncio.Future[Answer]]] = []
        self._flushing = False
        self._linger_until = 0.0
        self._calm_until = self._rides_from = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._draining = 0

    @property
    def patient(self) -> bool:
        """Whether flushes with outcomes are repeated while the database is unavailable."""
        return not self._impatient.is_set()

    @patient.setter
    def patient(self, value: bool) -> None:
        if value:
            self._impatient.clear()
        else:
            self._impatient.set()

    def submit(self, item: Item, *, urgent: bool = True) -> asyncio.Future[Answer]:
        """Submit ``item``; returns the future of its reply. It lingers unless ``urgent``."""
        if urgent or not self._may_linger(item):
            self._submit_lingering()
            return self._batcher.submit_nowait(item)
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._lingering.append((item, answer))
        if len(self._lingering) >= self._max_weight:
            self._submit_lingering()
        elif not self._flushing:
            self._start_timer()
        return answer

    def ride(self) -> None:
        """Flush what has lingered for a moment: something else is about to be committed."""
        now = asyncio.get_running_loop().time()
        if self._lingering and not self._flushing and now >= self._rides_from:
            self._submit_lingering()

    async def drained(self) -> None:
        """Wait until every submitted item has its reply; meanwhile no item lingers."""
        self._draining += 1
        self._submit_lingering()
        try:
            await self._batcher.drained()
        finally:
            self._draining -= 1

    def _may_linger(self, item: Item) -> bool:
        """Return whether ``item`` is calm or a flush just ended, and no flush is about to start.

        Sets until when calm items linger at most, and from when they may ride.
        """
        if self._draining or self._batcher.waiting:
            return False
        now = asyncio.get_running_loop().time()
        if not self._is_calm(item):
            self._calm_until = 0.0
            return self._flushing or now < self._linger_until
        if not self._lingering:
            self._calm_until, self._rides_from = now + CALM_SECONDS, now + RIDE_SECONDS
        return True

    def _start_timer(self) -> None:
        """Have what lingers flushed in time: sooner than before, where something waits for it."""
        until = max(self._linger_until, self._calm_until)
        if self._timer is not None and self._timer.when() > until:
            self._stop_timer()
        if self._lingering and self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(until, self._submit_lingering)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _submit_lingering(self) -> None:
        self._stop_timer()
        lingering, self._lingering = self._lingering, []
        self._batcher.submit_all(lingering)

    async def _flushed(self, items: Sequence[Item]) -> Sequence[Answer | Exception]:
        loop = asyncio.get_running_loop()
        began = loop.time()
        self._flushing = True
        try:
            return await self._through_outages(items)
        finally:
            ended = loop.time()
            linger_seconds = min((ended - began) * self._linger_factor, self._max_linger_seconds)
            self._linger_until = ended + linger_seconds
            self._flushing = False
            self._start_timer()

    async def _through_outages(self, items: Sequence[Item]) -> Sequence[Answer | Exception]:
        """Flush; with outcomes, repeat while the database is unavailable."""
        while True:
            try:
                answers = await self._flush(items)
            except Exception as error:
                if not is_outage(error) or not self._waits_out(items):
                    raise
            else:
                self._out_since = None
                return answers
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._impatient.wait(), self._retry_seconds)

    def _waits_out(self, items: Sequence[Item]) -> bool:
        now = asyncio.get_running_loop().time()
        if self._out_since is None:
            self._out_since = now
        in_time = now - self._out_since < self._patience_seconds
        return self.patient and in_time and any(map(self._is_outcome, items))
