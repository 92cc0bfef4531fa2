"""A destination's lane: claim due deliveries ahead, attempt them in parallel, settle the outcomes.

Each destination has a lane of its own, so that a hanging endpoint delays no other
destination. One lane at a time runs:

* a claim loop (:meth:`Lane.run`), which keeps a queue of leased deliveries filled from a
  :class:`DeliverySource`;
* up to ``max_in_flight`` workers, which take deliveries from that queue, hand them to the sink and
  settle the outcomes;
* a :class:`Pace`, which spaces the requests of a destination with ``max_per_second``.

A lane ends when no delivery is due; the engine opens a new one for the next.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator
from contextvars import Context
from typing import Final, NamedTuple, Protocol, TypeAlias

from gateway.clock import Clock
from gateway.delivery.attempt import GRACE_SECONDS, attempt
from gateway.delivery.claim_latency import FRESH_SECONDS, valid_seconds
from gateway.delivery.endpoint_health import LaneSignal
from gateway.delivery.hand_over import ClaimedBatch
from gateway.model.delivery import ClaimedDelivery, Outcome
from gateway.observability import log_context
from gateway.outbound.deadlines import Deadlines
from gateway.sdk.records import Batch

_log = logging.getLogger(__name__)

# The claim size adapts between these bounds: as many deliveries as the lane sends in a tenth of a
# second.
_FIRST_CLAIM: Final = 32
_MAX_CLAIM: Final = 4096
_QUICK_SECONDS: Final = 0.1
_SLOW_SECONDS: Final = 0.4
_GROWTH: Final = 8
# Each claim reads the destination again, before what an earlier one read is no longer valid.
_REFRESH_SECONDS: Final = 0.04


Settlement: TypeAlias = "asyncio.Future[LaneSignal | None]"
"""Done when the change is committed; a signal when it changed whether the endpoint is called."""


class DeliverySource(Protocol):
    """Where a lane claims deliveries and settles their outcomes: the dispatcher."""

    async def claim(self, destination_id: str, limit: int) -> ClaimedBatch | None:
        """Lease up to ``limit`` due deliveries; ``None`` when the destination takes none now.

        With ``limit`` 0 only the destination is read; the answer then says that more may be due.
        """
        ...

    def settle(self, delivery: ClaimedDelivery, outcome: Outcome, *, urgent: bool) -> Settlement:
        """Store an outcome: at once if ``urgent``, else within 50 ms together with others."""
        ...

    def release(self, delivery: ClaimedDelivery) -> Settlement:
        """End the lease of a delivery that was not attempted; it is due again at once."""
        ...


class Pace:
    """Spaces requests to ``max_per_second``: workers pass one at a time, each in its time slot."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._next_slot = 0.0
        self._turnstile = asyncio.Lock()
        self._ended = asyncio.Event()

    @property
    def is_free(self) -> bool:
        """Return whether a worker passes without waiting: no slot is taken and no worker queues."""
        return self._next_slot == 0.0 and not self._turnstile.locked()

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for the next slot and hold the turnstile inside the block.

        Take deliveries inside the block, not before: a lease may expire during the wait.
        """
        async with self._turnstile:
            pause = self.pause_seconds()
            if pause > 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._ended.wait()
            yield

    def took(self, count: int, max_per_second: float | None) -> None:
        """Record that ``count`` requests are sent now; the next slot follows after their share."""
        if max_per_second:
            began = max(self._next_slot, self._clock.monotonic_seconds())
            self._next_slot = began + count / max_per_second

    def pause_seconds(self) -> float:
        """Return the time until the next slot; 0 when it is free now."""
        if self._ended.is_set():
            return 0.0
        return max(0.0, self._next_slot - self._clock.monotonic_seconds())

    def end(self) -> None:
        """Let all waiting workers pass: no delivery is left."""
        self._ended.set()


class _Queued(NamedTuple):
    delivery: ClaimedDelivery
    usable_until: float


class Lane:
    """Delivers what is due for one destination.

    ``timeout_seconds`` is the deadline of one attempt, ``grace_seconds`` how much later a
    sink that ignores it is cut off, ``max_claim`` the largest number leased ahead.
    """

    def __init__(
        self,
        destination_id: str,
        source: DeliverySource,
        clock: Clock,
        timeout_seconds: float,
        *,
        grace_seconds: float = GRACE_SECONDS,
        max_claim: int = _MAX_CLAIM,
        more_due: bool = True,
    ) -> None:
        self.destination_id = destination_id
        self._source = source
        self._clock = clock
        self._timeout_seconds = timeout_seconds
        self._longest_attempt_seconds = timeout_seconds + grace_seconds
        self._max_claim = max_claim
        self._queue: deque[_Queued] = deque()
        self._workers: set[asyncio.Task[None]] = set()
        self._active_workers = 0
        self._unsettled = 0
        self._claimed: ClaimedBatch | None = None
        self._claimed_at = self._read_at = self._valid_until = 0.0
        self._claim_size = _FIRST_CLAIM
        self._pace = Pace(clock)
        self._deadlines = Deadlines()
        self._more_due = more_due
        self._held = False
        self._stopping = False
        self._changed = asyncio.Event()
        self.in_flight = 0
        # An empty context: deliveries are handed over in the context of a request.
        self._context = Context()
        self._context.run(log_context.destination_id.set, destination_id)

    def nudge(self) -> None:
        """Notify the lane of further due deliveries."""
        self._more_due = True
        self._changed.set()

    def room(self, max_in_flight: int) -> int:
        """Return how many more deliveries the lane would send at once."""
        if self._more_due or self._held or self._stopping or not self._pace.is_free:
            return 0
        return max(0, max_in_flight - self._active_workers - len(self._queue))

    def take_over(self, claimed: ClaimedBatch) -> None:
        """Send deliveries of this lane that were stored already leased."""
        self._queue_up(claimed)
        if self._held or self._stopping:
            self._release_queue()
        else:
            self._start_workers(claimed.destination.max_in_flight)

    def stop(self) -> None:
        """Finish the attempts in flight, claim no more, release the queued deliveries."""
        self._stopping = True
        self._release_queue()
        self._pace.end()
        self._changed.set()

    async def run(self) -> None:
        """Deliver until no delivery is due; all outcomes are settled when this returns."""
        log_context.destination_id.set(self.destination_id)
        try:
            await self._loop()
        except Exception:  # a claim failed, for instance because the database is unavailable
            self.stop()
            await self._loop()  # finishes what is in flight
            raise
        finally:
            for worker in self._workers:  # no worker is left, unless the lane is being cancelled
                worker.cancel()
            self._deadlines.end()

    # -- claims ---------------------------------------------------------------------------

    async def _loop(self) -> None:
        """Claim whenever there is room, until no delivery is due or in flight.

        Between the last check and the return nothing is awaited, so that a nudge is either
        seen here or finds the lane gone and opens another.
        """
        while True:
            self._changed.clear()
            wants_more = self._more_due and not self._stopping
            if wants_more and (self._room() > 0 or self._is_old()):
                await self._claim()
            elif wants_more or self._workers or self._unsettled:
                await self._changed.wait()
            elif (pause := self._pace.pause_seconds()) > 0:
                # A new lane would not know this one's pace, and would send too soon.
                timer = asyncio.get_running_loop().call_later(pause, self._changed.set)
                await self._changed.wait()
                timer.cancel()
            else:
                return

    def _room(self) -> int:
        """Return how many to claim now: none while more than half of the last claim is queued."""
        queued = len(self._queue)
        if queued > self._claim_size // 2 or self._unsettled > 2 * self._max_claim:
            return 0
        return self._claim_size - queued

    async def _claim(self) -> None:
        """Claim as many as there is room for; without room, only read the destination again."""
        self._more_due = self._held = False
        if self._room() > 0:
            now = self._clock.monotonic_seconds()
            if self._claimed is not None and self._claimed.more:
                self._adapt(now - self._claimed_at, self._claimed.destination.max_in_flight)
            self._claimed_at = now
        claimed = await self._source.claim(self.destination_id, self._room())
        if claimed is None:
            self._claimed, self._valid_until = None, 0.0
        else:
            self._more_due = self._more_due or claimed.more
            latency = self._clock.monotonic_seconds() - claimed.read_at
            self._queue_up(claimed, valid_seconds(latency))
        if claimed is None or self._held or self._stopping:
            self._release_queue()
        else:
            self._start_workers(claimed.destination.max_in_flight)

    def _queue_up(self, claimed: ClaimedBatch, seconds_valid: float = FRESH_SECONDS) -> None:
        # A claim's state is valid for a while from its reply on, however long that took. What is
        # handed over too late is read again by a claim.
        self._valid_until = max(self._valid_until, claimed.read_at + seconds_valid)
        if claimed.read_at >= self._read_at:  # a handed-over destination may have been read earlier
            self._claimed, self._read_at = claimed, claimed.read_at
        usable_until = claimed.read_at + claimed.lease_seconds - self._longest_attempt_seconds
        self._queue.extend(_Queued(each, usable_until) for each in claimed.deliveries)

    def _is_old(self) -> bool:
        """Return whether the destination should be read again, before what was read is stale."""
        age = self._clock.monotonic_seconds() - self._read_at
        return bool(self._queue) and age > _REFRESH_SECONDS

    def _is_stale(self) -> bool:
        """Return whether the destination must be read again before the next attempt."""
        if not self._queue or self._clock.monotonic_seconds() < self._valid_until:
            return False
        self._more_due = True
        self._changed.set()
        return True

    def _adapt(self, took_seconds: float, max_in_flight: int) -> None:
        if took_seconds < _QUICK_SECONDS:
            self._claim_size = min(self._claim_size * _GROWTH, self._max_claim)
        elif took_seconds > _SLOW_SECONDS:
            self._claim_size = max(self._claim_size // 2, min(max_in_flight, _FIRST_CLAIM))

    # -- workers --------------------------------------------------------------------------

    def _start_workers(self, max_in_flight: int) -> None:
        wanted = min(max(max_in_flight, 1), self._active_workers + len(self._queue))
        for _ in range(wanted - self._active_workers):
            self._active_workers += 1
            worker = asyncio.create_task(self._work(), context=self._context.copy())
            self._workers.add(worker)
            worker.add_done_callback(self._worker_ended)

    def _worker_ended(self, worker: asyncio.Task[None]) -> None:
        self._workers.discard(worker)
        self._changed.set()
        if not worker.cancelled() and worker.exception() is not None:
            self._release_queue()  # the other workers may have ended already
            _log.error(
                "unhandled error in delivery worker for %s",
                self.destination_id,
                exc_info=worker.exception(),
            )

    async def _work(self) -> None:
        try:
            while self._queue and not self._has_too_many_workers() and not self._is_stale():
                await self._deliver_next()
        finally:
            # Here, not in the task's callback: a claim may return in between.
            self._active_workers -= 1

    def _has_too_many_workers(self) -> bool:
        """Return whether ``max_in_flight`` was lowered since the workers started."""
        return self._active_workers > 1 and (
            self._claimed is None or self._active_workers > self._claimed.destination.max_in_flight
        )

    async def _deliver_next(self) -> None:
        taken = await self._take_paced()
        claimed = self._claimed
        if claimed is None or not taken:
            return
        batch = Batch(claimed.destination, claimed.settings, taken, self._timeout_seconds)
        self.in_flight += len(taken)
        try:
            outcomes = await attempt(
                claimed.sink, batch, self._clock, self._deadlines, self._longest_attempt_seconds
            )
        finally:
            self.in_flight -= len(taken)
        failed = []
        for delivery, outcome in zip(taken, outcomes, strict=True):
            if outcome.gone or outcome.busy:
                self._hold()
            settlement = self._settle(delivery, outcome)
            if not outcome.delivered:
                failed.append(settlement)
        self._more_due = self._more_due or self._is_old()
        if self._more_due and (self._room() > 0 or self._is_old()):
            self._changed.set()
        if failed:  # the commit decides whether the circuit breaker opens
            await asyncio.wait(failed)

    async def _take_paced(self) -> list[ClaimedDelivery]:
        """Take the next deliveries from the queue, in the destination's pace."""
        claimed = self._claimed
        if (
            claimed is not None
            and claimed.destination.max_per_second is None
            and self._pace.is_free
        ):
            return self._take(claimed.sink.max_batch)
        async with self._pace.turn():
            claimed = self._claimed  # may have been read again during the wait
            if claimed is None or self._is_stale():
                return []
            taken = self._take(claimed.sink.max_batch)
            if taken:
                self._pace.took(len(taken), claimed.destination.max_per_second)
            return taken

    def _take(self, count: int) -> list[ClaimedDelivery]:
        """Take up to ``count`` from the queue; release those whose lease ends too soon."""
        now = self._clock.monotonic_seconds()
        taken: list[ClaimedDelivery] = []
        while self._queue and len(taken) < count:
            delivery, usable_until = self._queue.popleft()
            if now < usable_until:
                taken.append(delivery)
            else:
                self._release(delivery)
                self._more_due = True
        return taken

    # -- settlement -----------------------------------------------------------------------

    def _settle(self, delivery: ClaimedDelivery, outcome: Outcome) -> Settlement:
        is_ordered = self._claimed is not None and self._claimed.destination.ordered
        settlement = self._source.settle(delivery, outcome, urgent=is_ordered)
        self._unsettled += 1
        settlement.add_done_callback(self._settled_in_order if is_ordered else self._settled)
        return settlement

    def _release(self, delivery: ClaimedDelivery) -> None:
        settlement = self._source.release(delivery)
        self._unsettled += 1
        settlement.add_done_callback(self._settled)

    def _settled_in_order(self, settlement: Settlement) -> None:
        self._settled(settlement)
        self.nudge()  # the next delivery of the same subject may be sent

    def _settled(self, settlement: Settlement) -> None:
        self._unsettled -= 1
        self._changed.set()
        if settlement.cancelled():
            return
        error = settlement.exception()
        if error is not None:
            # The lease expires and the delivery is attempted again: at least once.
            _log.error(
                "an outcome for %s could not be stored: %s",
                self.destination_id,
                type(error).__name__,
            )
        elif settlement.result() is LaneSignal.HOLD:
            self._hold()
        elif settlement.result() is LaneSignal.RESUME:
            self.nudge()

    def _hold(self) -> None:
        """Release the queued deliveries, and those that a running claim returns."""
        self._held = True
        self._release_queue()

    def _release_queue(self) -> None:
        while self._queue:
            self._release(self._queue.popleft().delivery)
