"""Give up what waited too long for a destination that isn't being called."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import and_, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import to_epoch_ms
from gateway.storage.schema import deliveries, destinations


async def give_up(
    connection: AsyncConnection,
    *,
    older_than: datetime,
    now: datetime,
    limit: int,
    sinks: Collection[str],
) -> dict[str, int]:
    """Exhaust up to ``limit`` deliveries that began, or came due untried, before ``older_than``.

    Only those of destinations that nobody calls: disabled, failing all that time behind an
    open breaker, or of a sink that is none of ``sinks``. The others try theirs a last time,
    and a paused one keeps them. What is on its way at this moment is left alone. Returns how
    many, by destination.
    """
    # Not from when it was made: one that is sent again begins anew, however old it is.
    began_ms = func.coalesce(deliveries.c.first_attempt_at_ms, deliveries.c.due_at_ms)
    not_called = and_(
        destinations.c.state == "active",
        or_(
            destinations.c.sink.not_in(sorted(sinks)),
            and_(
                destinations.c.opened_at_ms.is_not(None),
                destinations.c.failing_since_ms < to_epoch_ms(older_than),
            ),
        ),
    )
    overdue = (
        select(deliveries.c.account_id, deliveries.c.id)
        .join(destinations, destinations.c.id == deliveries.c.destination_id)
        .where(
            or_(destinations.c.state == "disabled", not_called),
            deliveries.c.state == "pending",
            deliveries.c.due_at_ms <= to_epoch_ms(now),
            began_ms < to_epoch_ms(older_than),
        )
        .limit(limit)
        .with_for_update(of=deliveries, skip_locked=True)
        .cte("overdue")
    )
    rows = await connection.execute(
        update(deliveries)
        .where(
            deliveries.c.account_id.in_(select(overdue.c.account_id)),
            deliveries.c.id.in_(select(overdue.c.id)),
            deliveries.c.state == "pending",
        )
        .values(state="exhausted", lease=None, finished_at_ms=to_epoch_ms(now))
        .returning(deliveries.c.destination_id)
    )
    counted: dict[str, int] = {}
    for (destination_id,) in rows:
        counted[destination_id] = counted.get(destination_id, 0) + 1
    return counted
