"""One destination's deliveries on their way: taken ahead, tried side by side, settled.

Each destination has a lane of its own, so that one that hangs holds back nobody
else. A lane ends when nothing is due any more; the engine opens a new one when
there is.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Any, Final, NamedTuple, Protocol

from gateway.clock import Clock
from gateway.delivery.attempt import GRACE_SECONDS, Deadlines, tried
from gateway.delivery.endpoint_health import LaneSignal
from gateway.model.delivery import ClaimedDelivery, Destination, Outcome
from gateway.observability import log_context
from gateway.sdk.records import Batch, Sink


class Pace:
    """A turnstile: whoever wants to send passes it one by one, each when its time has come."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._next_slot = 0.0
        self._turnstile = asyncio.Lock()
        self._ended = asyncio.Event()

    @property
    def is_free(self) -> bool:
        """Say whether nobody has to wait: no slot is taken, and nobody queues."""
        return self._next_slot == 0.0 and not self._turnstile.locked()

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for one's turn, and be alone meanwhile; take what is to be sent inside, not before.

        What is taken while one waits may be somebody else's by the time one sends.
        """
        async with self._turnstile:
            pause = self.pause_seconds()
            if pause > 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._ended.wait()
            yield

    def took(self, count: int, max_per_second: float | None) -> None:
        """Note that ``count`` are going out now; the next may go when their time is over."""
        if max_per_second:
            began = max(self._next_slot, self._clock.monotonic_seconds())
            self._next_slot = began + count / max_per_second

    def pause_seconds(self) -> float:
        """Return how long until the next may go; 0 when it may go now."""
        if self._ended.is_set():
            return 0.0
        return max(0.0, self._next_slot - self._clock.monotonic_seconds())

    def end(self) -> None:
        """Let everybody who waits through: there is nothing left to be sent."""
        self._ended.set()


class ClaimedBatch(NamedTuple):
    """Deliveries taken for one destination, with all that is needed to try them.

    ``more`` says that there may be further ones; ``lease_seconds`` how long they are ours.
    """

    destination: Destination
    settings: Any
    sink: Sink
    deliveries: Sequence[ClaimedDelivery]
    lease_seconds: float
    more: bool


Stored = Callable[[Any], None]
"""Told when something handed in is stored: a standing or ``None``, or the exception."""


class DeliverySource(Protocol):
    """Where a lane takes deliveries from and hands outcomes in."""

    async def claim(self, destination_id: str, limit: int) -> ClaimedBatch | None:
        """Take up to ``limit`` due deliveries; ``None`` when the destination takes none now."""
        ...

    def settle(
        self, delivery: ClaimedDelivery, outcome: Outcome, stored: Stored, *, at_once: bool
    ) -> None:
        """Hand an outcome in, to be stored ``at_once`` or together with others."""
        ...

    def release(self, delivery: ClaimedDelivery, stored: Stored) -> None:
        """Give a delivery back untried."""
        ...


_log = logging.getLogger(__name__)

# How many deliveries are taken ahead adapts between these: as many as go out in half a second.
_FIRST_CLAIM: Final = 32
_LARGEST_CLAIM: Final = 4096
_QUICK_SECONDS: Final = 0.5
_SLOW_SECONDS: Final = 2.0
_GROWTH: Final = 8
# A destination that is disabled, or gets another address, hears nothing more after this.
_KNOWN_SECONDS: Final = 2.0


class _Waiting(NamedTuple):
    delivery: ClaimedDelivery
    usable_until: float


class Lane:
    """Carries what is due for one destination."""

    def __init__(
        self, destination_id: str, desk: DeliverySource, clock: Clock, timeout_seconds: float
    ) -> None:
        self.destination_id = destination_id
        self._desk = desk
        self._clock = clock
        self._timeout_seconds = timeout_seconds
        self._waiting: deque[_Waiting] = deque()
        self._workers: set[asyncio.Task[None]] = set()
        self._unsettled = 0
        self._grant: ClaimedBatch | None = None
        self._claim_size = _FIRST_CLAIM
        self._claimed_at = 0.0
        self._at_work = 0
        self._pace = Pace(clock)
        self._deadlines = Deadlines(timeout_seconds + GRACE_SECONDS)
        self._more = True
        self._shut = False
        self._stopping = False
        self._changed = asyncio.Event()
        self.in_flight = 0

    def nudge(self) -> None:
        """Say that something more is due."""
        self._more = True
        self._changed.set()

    def stop(self) -> None:
        """Finish what is in flight, take nothing more, give back what waits."""
        self._stopping = True
        self._give_back()
        self._pace.end()
        self._changed.set()

    async def run(self) -> None:
        """Carry deliveries until nothing is due; what went out is settled when this returns."""
        log_context.destination_id.set(self.destination_id)
        try:
            await self._carry()
        except Exception:  # whatever kept a claim from being made; it is raised again
            # The database is away, say. What is in flight is finished.
            self.stop()
            await self._carry()
            raise
        finally:
            for worker in self._workers:  # none is left, unless we are being cancelled
                worker.cancel()
            self._deadlines.end()

    async def _carry(self) -> None:
        """Claim whenever there is room, until there is no work and none can come of what runs.

        Between the last look and the end nothing is awaited, so that a nudge is either
        seen here or finds the lane gone and opens another.
        """
        while True:
            self._changed.clear()
            wants_more = self._more and not self._stopping
            if wants_more and self._room() > 0:
                await self._claim()
            elif wants_more or self._workers or self._unsettled:
                await self._changed.wait()
            elif (pause := self._pace.pause_seconds()) > 0:
                # The next lane would know nothing of this one's pace and send too soon.
                timer = asyncio.get_running_loop().call_later(pause, self._changed.set)
                await self._changed.wait()
                timer.cancel()
            else:
                return

    def _room(self) -> int:
        """How many to take now: none while more than half of the last claim still waits.

        But now and then at least one, to hear whether the destination was changed meanwhile.
        """
        waiting = len(self._waiting)
        if self._is_stale():
            return max(self._claim_size - waiting, 1)
        if waiting > self._claim_size // 2 or self._unsettled > 2 * _LARGEST_CLAIM:
            return 0
        return self._claim_size - waiting

    async def _claim(self) -> None:
        self._more = self._shut = False
        now = self._clock.monotonic_seconds()
        if self._grant is not None and self._grant.more:
            self._adapt(now - self._claimed_at, self._grant.destination.max_in_flight)
        self._claimed_at = now
        grant = await self._desk.claim(self.destination_id, max(self._room(), 1))
        self._grant = grant
        if grant is not None:
            self._more = self._more or grant.more
            usable_until = now + grant.lease_seconds - self._timeout_seconds - GRACE_SECONDS
            self._waiting.extend(_Waiting(each, usable_until) for each in grant.deliveries)
        if grant is None or self._shut or self._stopping:
            self._give_back()
        else:
            self._staff(grant.destination.max_in_flight)

    def _is_stale(self) -> bool:
        """Say whether what is known of the destination is old, and there is more to send."""
        age = self._clock.monotonic_seconds() - self._claimed_at
        return bool(self._waiting) and age > _KNOWN_SECONDS

    def _adapt(self, took_seconds: float, max_in_flight: int) -> None:
        if took_seconds < _QUICK_SECONDS:
            self._claim_size = min(self._claim_size * _GROWTH, _LARGEST_CLAIM)
        elif took_seconds > _SLOW_SECONDS:
            self._claim_size = max(self._claim_size // 2, min(max_in_flight, _FIRST_CLAIM))

    def _staff(self, max_in_flight: int) -> None:
        wanted = min(max(max_in_flight, 1), self._at_work + len(self._waiting))
        for _ in range(wanted - self._at_work):
            self._at_work += 1
            worker = asyncio.create_task(self._work())
            self._workers.add(worker)
            worker.add_done_callback(self._left)

    def _left(self, worker: asyncio.Task[None]) -> None:
        self._workers.discard(worker)
        self._changed.set()
        if not worker.cancelled() and worker.exception() is not None:
            self._give_back()  # the others may have left already
            _log.error(
                "a delivery to %s failed oddly", self.destination_id, exc_info=worker.exception()
            )

    async def _work(self) -> None:
        try:
            while self._waiting and not self._overstaffed():
                await self._carry_next()
        finally:
            # At once, not when the task is seen to be done: a claim may come back in between.
            self._at_work -= 1

    def _overstaffed(self) -> bool:
        """Say whether ``max_in_flight`` was lowered meanwhile."""
        return self._at_work > 1 and (
            self._grant is None or self._at_work > self._grant.destination.max_in_flight
        )

    async def _carry_next(self) -> None:
        taken = await self._in_turn()
        grant = self._grant
        if grant is None or not taken:
            return
        batch = Batch(grant.destination, grant.settings, taken, self._timeout_seconds)
        self.in_flight += len(taken)
        try:
            outcomes = await tried(grant.sink, batch, self._clock, self._deadlines)
        finally:
            self.in_flight -= len(taken)
        failed = []
        for delivery, outcome in zip(taken, outcomes, strict=True):
            if outcome.gone or outcome.busy:
                self._shut_out()
            if outcome.delivered:
                self._settle(delivery, outcome, self._over)
            else:
                known: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._settle(delivery, outcome, partial(self._failed, known))
                failed.append(known)
        self._more = self._more or self._is_stale()
        if self._more and self._room() > 0:
            self._changed.set()
        if failed:  # whether the breaker opened is known when they are stored
            await asyncio.wait(failed)

    async def _in_turn(self) -> list[ClaimedDelivery]:
        """Take what goes out next, when its time has come."""
        grant = self._grant
        if grant is not None and grant.destination.max_per_second is None and self._pace.is_free:
            return self._next(grant.sink.max_batch)
        async with self._pace.turn():
            grant = self._grant  # it may be another one by now
            taken = [] if grant is None else self._next(grant.sink.max_batch)
            if grant is not None and taken:
                self._pace.took(len(taken), grant.destination.max_per_second)
            return taken

    def _next(self, count: int) -> list[ClaimedDelivery]:
        """Take the next ones that are still ours; those whose lease runs out go back."""
        now = self._clock.monotonic_seconds()
        taken: list[ClaimedDelivery] = []
        while self._waiting and len(taken) < count:
            delivery, usable_until = self._waiting.popleft()
            if now < usable_until:
                taken.append(delivery)
            else:
                self._release(delivery)
                self._more = True
        return taken

    def _settle(self, delivery: ClaimedDelivery, outcome: Outcome, stored: Stored) -> None:
        self._desk.settle(delivery, outcome, stored, at_once=self._is_ordered())
        self._unsettled += 1

    def _release(self, delivery: ClaimedDelivery) -> None:
        self._desk.release(delivery, self._stored)
        self._unsettled += 1

    def _over(self, answer: Any) -> None:
        self._stored(answer)
        if self._is_ordered():
            self.nudge()  # the next one of the same subject may go

    def _failed(self, known: asyncio.Future[None], answer: Any) -> None:
        self._over(answer)
        if not known.done():
            known.set_result(None)

    def _stored(self, answer: Any) -> None:
        self._unsettled -= 1
        self._changed.set()
        if not isinstance(answer, Exception):
            self._obey(answer)
            return
        # The lease ends by itself and the delivery is tried again: at least once.
        _log.error(
            "an outcome for %s could not be stored: %s",
            self.destination_id,
            type(answer).__name__,
        )

    def _is_ordered(self) -> bool:
        return self._grant is not None and self._grant.destination.ordered

    def _obey(self, standing: Any) -> None:
        if standing is LaneSignal.HELD:
            self._shut_out()
        elif standing is LaneSignal.RESUMED:
            self.nudge()

    def _shut_out(self) -> None:
        """Give back what waits, and what a claim that is on its way brings."""
        self._shut = True
        self._give_back()

    def _give_back(self) -> None:
        while self._waiting:
            self._release(self._waiting.popleft().delivery)
