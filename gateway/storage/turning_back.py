"""Moving along what is due, when the clock that said when was set back.

Everything that waits for a moment was written down by the clock as it was before. By the
clock as it is now those moments lie too far off: an hour too far, say.
"""

from datetime import datetime

from sqlalchemy import ColumnElement, case, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import to_epoch_ms
from gateway.storage.tables import deliveries, destinations


async def turn_back(
    connection: AsyncConnection, now: datetime, *, seconds: float, lease_seconds: float
) -> None:
    """Bring forward, by ``seconds``, what was to be done, or had happened, later than ``now``.

    A lease is only ever brought to where one that began this moment would end: it may be one
    that did, and what is on its way must not be sent a second time.
    """
    now_ms, by_ms = to_epoch_ms(now), int(seconds * 1000)
    due_at_ms, held_until_ms = deliveries.c.due_at_ms, destinations.c.held_until_ms
    lease_ends_ms = now_ms + int(lease_seconds * 1000)
    pending = update(deliveries).where(deliveries.c.state == "pending")
    await connection.execute(
        pending.where(deliveries.c.lease.is_(None), due_at_ms > now_ms).values(
            due_at_ms=_earlier(due_at_ms, by_ms, now_ms)
        )
    )
    await connection.execute(
        pending.where(deliveries.c.lease.is_not(None), due_at_ms > lease_ends_ms).values(
            due_at_ms=lease_ends_ms
        )
    )
    await connection.execute(
        update(destinations)
        .where(held_until_ms > now_ms)
        .values(held_until_ms=_earlier(held_until_ms, by_ms, now_ms))
    )
    # What happened can't lie ahead: from there on, nothing would ever be given up or closed.
    first_ms = deliveries.c.first_attempt_at_ms
    await connection.execute(pending.where(first_ms > now_ms).values({first_ms: first_ms - by_ms}))
    for happened_ms in (
        destinations.c.opened_at_ms,
        destinations.c.failing_since_ms,
        destinations.c.warned_at_ms,
        destinations.c.disabled_at_ms,
    ):
        await connection.execute(
            update(destinations)
            .where(happened_ms > now_ms)
            .values({happened_ms: happened_ms - by_ms})
        )


def _earlier(column: ColumnElement[int], by_ms: int, now_ms: int) -> ColumnElement[int]:
    return case((column - by_ms < now_ms, now_ms), else_=column - by_ms)
