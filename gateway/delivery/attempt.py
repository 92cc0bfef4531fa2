"""One attempt: hand deliveries to a sink, with a deadline, and get an outcome for each."""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

from gateway.clock import Clock
from gateway.model.delivery import Outcome
from gateway.observability import log_context
from gateway.observability.fault_places import with_place
from gateway.sdk.records import Batch, Sink

_log = logging.getLogger(__name__)

# A sink that ignores the deadline is cancelled this many seconds after it.
GRACE_SECONDS: Final = 5.0


class _Running:
    """An attempt in flight; it ends before ``deadline`` or is cancelled."""

    __slots__ = ("cut_off", "deadline", "task")

    def __init__(self, deadline: float, task: asyncio.Task[Any]) -> None:
        self.deadline = deadline
        self.task: asyncio.Task[Any] | None = task
        self.cut_off = False


class Deadlines:
    """Cancels attempts that take longer than ``seconds``; one timer for all of a lane's.

    ``asyncio.timeout`` sets and cancels a timer for each attempt, which is a tenth of what a
    delivery costs. All attempts of a lane have the same limit, so the oldest ends first.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._running: deque[_Running] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> _Running:
        """Start the deadline of an attempt that runs in the current task."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - only tasks deliver
        loop = asyncio.get_running_loop()
        started = _Running(loop.time() + self._seconds, task)
        running = self._running
        while running and running[0].task is None:
            running.popleft()
        running.append(started)
        if self._timer is None:
            self._timer = loop.call_at(started.deadline, self._cut_off_late)
        return started

    @staticmethod
    def finish(this: _Running) -> None:
        """End an attempt's deadline; a cancellation by this class isn't raised further."""
        if this.cut_off and this.task is not None:
            this.task.uncancel()
        this.task = None

    def end(self) -> None:
        """Cancel the timer; call it when no attempt is in flight any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _cut_off_late(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._timer = None
        running = self._running
        while running and (running[0].task is None or running[0].deadline <= now):
            late = running.popleft()
            if late.task is not None:
                late.cut_off = True
                late.task.cancel()
        if running:
            self._timer = loop.call_at(running[0].deadline, self._cut_off_late)


async def attempt(
    sink: Sink, batch: Batch, clock: Clock, deadlines: Deadlines
) -> Sequence[Outcome]:
    """Attempt the deliveries of ``batch``; returns an outcome for each, in their order.

    When a sink raises, overruns its deadline or returns no outcome for a delivery, the attempt
    failed (``sink_failed``, ``timeout``, ``no_outcome``); only a cancellation of the caller is
    raised.
    """
    started_at = clock.now()
    began = clock.monotonic_seconds()
    taken = batch.deliveries
    error = "no_outcome"
    returned: dict[str, Outcome] = {}
    log_context.delivery_id.set(taken[0].id if len(taken) == 1 else None)
    this = deadlines.begin()
    try:
        outcomes = await sink.deliver(batch)
        returned = {outcome.delivery_id: outcome for outcome in outcomes}
    except TimeoutError:
        error = "timeout"
    except asyncio.CancelledError:
        if this.cut_off and this.task is not None and this.task.cancelling() == 1:
            error = "timeout"  # the only cancellation came from this class
        elif _is_being_cancelled():
            raise
        else:
            error = "sink_failed"  # the sink awaited something that was cancelled
    except Exception as failure:  # noqa: BLE001 - a sink's fault is this attempt's failure
        error = "sink_failed"
        place = with_place(type(failure).__name__, failure, sink.deliver)
        _log.error("sink %s failed: %s", sink.kind, place)
    finally:
        deadlines.finish(this)
    elapsed_ms = int((clock.monotonic_seconds() - began) * 1000)
    return [
        returned.get(delivery.id)
        or Outcome(
            delivery_id=delivery.id,
            delivered=False,
            started_at=started_at,
            duration_ms=elapsed_ms,
            error=error,
        )
        for delivery in taken
    ]


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
