"""Take due deliveries in one statement, safe against any number of processes."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Text, bindparam, exists, func, not_, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import ReturningUpdate

from gateway.storage.bulk import insert_rows
from gateway.storage.delivery_rows import NEW_ATTEMPT
from gateway.storage.schema import MS, attempts, deliveries, destinations, events

# Word by word what the index ix_deliveries_in_order says of itself: otherwise SQLite would not
# use it and compare each row with each (https://www.sqlite.org/partialindex.html).
_ONE_IN_ORDER: Final = text("earlier.state = 'pending' AND earlier.in_order")


class Lease(NamedTuple):
    """A claim's hold on what it took: ``token`` proves it, from ``now_ms`` until ``ends_ms``."""

    token: str
    now_ms: int
    ends_ms: int


class Taken(NamedTuple):
    """A delivery's row as a claim returns it."""

    id: str
    account_id: str
    event_id: str
    event_type: str
    attempts: int
    retry_index: int
    created_at_ms: int
    first_attempt_at_ms: int


def _take() -> ReturningUpdate[Any]:
    """Write the statement; its parts are many, so it is written once and not for each claim."""
    # By sequence and not by id: ids of one millisecond, or of a clock set back, tell nothing.
    earlier, before, this = deliveries.alias("earlier"), events.alias("before"), events.alias()
    own = select(this.c.sequence).where(this.c.id == deliveries.c.event_id)
    destination_id, now_ms = bindparam("of_destination", type_=Text), bindparam("now_ms", type_=MS)
    held_back = exists().where(
        earlier.c.destination_id == destination_id,
        earlier.c.subject == deliveries.c.subject,
        _ONE_IN_ORDER,
        before.c.id == earlier.c.event_id,
        before.c.sequence < own.correlate(deliveries).scalar_subquery(),
    )
    due = (
        select(deliveries.c.id)
        .where(
            deliveries.c.destination_id == destination_id,
            deliveries.c.state == "pending",
            deliveries.c.due_at_ms <= now_ms,
            or_(not_(deliveries.c.in_order), not_(held_back)),
        )
        .order_by(deliveries.c.due_at_ms, deliveries.c.id)
        .limit(bindparam("most"))
        .with_for_update(skip_locked=True)
        .cte("due")  # a CTE, so that PostgreSQL evaluates (and locks) it exactly once
    )
    account = select(destinations.c.account_id).where(destinations.c.id == destination_id)
    return (
        update(deliveries)
        .where(
            deliveries.c.account_id == account.scalar_subquery(),
            deliveries.c.id.in_(select(due.c.id)),
        )
        .values(
            due_at_ms=bindparam("until_ms"),
            lease=bindparam("token"),
            first_attempt_at_ms=func.coalesce(deliveries.c.first_attempt_at_ms, now_ms),
        )
        .returning(*(deliveries.c[name] for name in Taken._fields))
    )


_TAKE: Final = _take()


async def taken(
    connection: AsyncConnection, destination_id: str, limit: int, lease: Lease
) -> list[Taken]:
    """Take up to ``limit`` due deliveries of one destination, the longest due first.

    Returned in the order they were made, which their ids tell.
    """
    rows = await connection.execute(
        _TAKE,
        {
            "of_destination": destination_id,
            "now_ms": lease.now_ms,
            "until_ms": lease.ends_ms,
            "token": lease.token,
            "most": limit,
        },
    )
    # Plain tuples: a Row's attributes cost more than all the rest of a claim.
    return sorted(map(Taken._make, rows))


async def set_aside(
    connection: AsyncConnection, destination_id: str, rows: Sequence[Taken], now_ms: int
) -> None:
    """Give up what can't be read, so that it shows and holds up nothing behind it."""
    await connection.execute(
        update(deliveries)
        .where(
            deliveries.c.account_id.in_({row.account_id for row in rows}),
            deliveries.c.id.in_([row.id for row in rows]),
        )
        .values(
            state="exhausted",
            attempts=deliveries.c.attempts + 1,
            lease=None,
            finished_at_ms=now_ms,
        )
    )
    outcome = (now_ms, 0, False, None, "unreadable", None)
    tries = [
        (
            *(row.account_id, destination_id, row.id, row.event_id, row.event_type),
            row.attempts + 1,
            *outcome,
        )
        for row in rows
    ]
    await insert_rows(connection, attempts, NEW_ATTEMPT, tries)
