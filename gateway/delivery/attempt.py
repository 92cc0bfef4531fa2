"""One attempt: hand deliveries to a sink, with a deadline, and get an outcome for each."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from gateway.clock import Clock
from gateway.model.delivery import Outcome
from gateway.observability import log_context
from gateway.observability.fault_places import with_place
from gateway.outbound.deadlines import Deadlines
from gateway.sdk.records import Batch, Sink

_log = logging.getLogger(__name__)

# A sink that ignores the deadline is cancelled this many seconds after it.
GRACE_SECONDS: Final = 5.0


async def attempt(
    sink: Sink, batch: Batch, clock: Clock, deadlines: Deadlines, most_seconds: float
) -> Sequence[Outcome]:
    """Attempt the deliveries of ``batch``; returns an outcome for each, in their order.

    A sink that takes longer than ``most_seconds`` is cancelled. When a sink raises, overruns its
    deadline or returns no outcome for a delivery, the attempt failed (``sink_failed``, ``timeout``,
    ``no_outcome``); only a cancellation of the caller is raised.
    """
    began = clock.monotonic_seconds()
    taken = batch.deliveries
    error = "no_outcome"
    returned: dict[str, Outcome] = {}
    log_context.delivery_id.set(taken[0].id if len(taken) == 1 else None)
    this = deadlines.begin(most_seconds)
    try:
        outcomes = await sink.deliver(batch)
        returned = {outcome.delivery_id: outcome for outcome in outcomes}
    except TimeoutError:
        error = "timeout"
    except asyncio.CancelledError:
        if this.cut_off and this.task.cancelling() == 1:
            error = "timeout"  # the only cancellation came from the deadline
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
    return [
        returned.get(delivery.id) or _failed(delivery.id, error, began, clock) for delivery in taken
    ]


def _failed(delivery_id: str, error: str, began: float, clock: Clock) -> Outcome:
    seconds = clock.monotonic_seconds() - began
    return Outcome(
        delivery_id=delivery_id,
        delivered=False,
        started_at=clock.now() - timedelta(seconds=seconds),
        duration_ms=int(seconds * 1000),
        error=error,
    )


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
