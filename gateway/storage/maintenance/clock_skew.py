"""Shift due times after the system clock was set back.

Due times from before the step are too far in the future by the new clock. The time is recorded once
a minute, so that a step that happens while no process runs is noticed as well.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, case, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import from_epoch_ms, to_epoch_ms
from gateway.storage.database import insert_into
from gateway.storage.plugin_tables import DueColumn
from gateway.storage.schema import deliveries, destinations, facts

CLOCK_FACT: Final = "clock"
"""The fact that holds the recorded time, in ms since 1970."""


async def last_recorded_time(connection: AsyncConnection) -> datetime | None:
    """Return the last recorded time, locked until the transaction ends."""
    noted = select(facts.c.value).where(facts.c.name == CLOCK_FACT).with_for_update()
    value = (await connection.execute(noted)).scalar()
    return None if value is None else from_epoch_ms(int(value))


async def record_time(connection: AsyncConnection, now: datetime) -> None:
    """Record the time."""
    noted = insert_into(connection, facts).values(name=CLOCK_FACT, value=str(to_epoch_ms(now)))
    await connection.execute(
        noted.on_conflict_do_update(index_elements=["name"], set_={"value": noted.excluded.value})
    )


async def server_time(connection: AsyncConnection) -> datetime:
    """Return the time by PostgreSQL's clock."""
    now: datetime = (await connection.execute(select(func.clock_timestamp()))).scalar_one()
    return now


async def shift_due_times(
    connection: AsyncConnection,
    now: datetime,
    *,
    seconds: float,
    lease_seconds: float,
    waits: Iterable[DueColumn] = (),
) -> None:
    """Move due times, and past times that are after ``now``, back by ``seconds``.

    A lease is shortened no further than to the end of one that starts now: it may have started just
    now, and a delivery in flight must not be sent twice. ``waits`` are plugins' columns.
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
    # A past time in the future would keep deliveries from expiring and breakers from closing.
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
    for wait in waits:
        # The latest end of a lease that starts now: earlier ends stay.
        since_ms = now_ms + int(wait.lease_seconds * 1000)
        await connection.execute(
            update(wait.column.table)
            .where(wait.column > since_ms)
            .values({wait.column: _earlier(wait.column, by_ms, now_ms)})
        )


async def extend_leases(
    connection: AsyncConnection,
    before: datetime,
    *,
    seconds: float,
    lease_seconds: float,
    waits: Iterable[DueColumn] = (),
) -> None:
    """Extend the leases held at ``before``, when the clock went forward by ``seconds``.

    Several processes may call it after the same step: each lease is extended once, because
    afterwards it ends later than any lease at ``before``.
    """
    before_ms, by_ms = to_epoch_ms(before), int(seconds * 1000)
    due_at_ms = deliveries.c.due_at_ms
    await connection.execute(
        update(deliveries)
        .where(
            deliveries.c.state == "pending",
            deliveries.c.lease.is_not(None),
            due_at_ms.between(before_ms, before_ms + int(lease_seconds * 1000)),
        )
        .values(due_at_ms=due_at_ms + by_ms)
    )
    for wait in waits:
        if wait.lease_seconds:
            last_ms = before_ms + int(wait.lease_seconds * 1000)
            await connection.execute(
                update(wait.column.table)
                .where(wait.column.between(before_ms, last_ms))
                .values({wait.column: wait.column + by_ms})
            )


def _earlier(column: ColumnElement[int], by_ms: int, now_ms: int) -> ColumnElement[int]:
    return case((column - by_ms < now_ms, now_ms), else_=column - by_ms)
