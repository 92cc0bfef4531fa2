"""Hand deliveries to a sink, with a deadline: whatever it does, there is an outcome for each."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from gateway import log_context
from gateway.clock import Clock
from gateway.model.delivery import Outcome
from gateway.records import Batch, Sink

_log = logging.getLogger(__name__)

# A sink that doesn't keep to the deadline itself is cut off this much after it.
GRACE_SECONDS: Final = 5.0


async def tried(sink: Sink, batch: Batch, clock: Clock) -> Sequence[Outcome]:
    """Try the deliveries of ``batch``; returns an outcome for each, in their order."""
    started_at = clock.now()
    began = clock.monotonic_seconds()
    taken = batch.deliveries
    error = "no_outcome"
    known: dict[str, Outcome] = {}
    log_context.delivery_id.set(taken[0].id if len(taken) == 1 else None)
    try:
        async with asyncio.timeout(batch.timeout_seconds + GRACE_SECONDS):
            outcomes = await sink.deliver(batch)
        known = {outcome.delivery_id: outcome for outcome in outcomes}
    except TimeoutError:
        error = "timeout"
    except asyncio.CancelledError:
        if _is_being_cancelled():
            raise
        error = "sink_failed"  # it awaited something that was cancelled: its own affair
    except Exception as failure:  # noqa: BLE001 - a sink's fault is this try's failure
        error = "sink_failed"
        _log.error("sink %s failed: %s", sink.kind, type(failure).__name__)
    elapsed_ms = int((clock.monotonic_seconds() - began) * 1000)
    return [
        known.get(delivery.id)
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
