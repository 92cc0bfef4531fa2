"""How destinations are, in the database: their breakers, and how long they have been failing."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, bindparam, exists, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import from_epoch_ms, to_epoch_ms
from gateway.model.circuit_breaker import Breaker, Condition
from gateway.storage.schema import deliveries, destinations

CONDITION: Final = (
    destinations.c.id,
    destinations.c.failing_since_ms,
    destinations.c.failures,
    destinations.c.openings,
    destinations.c.opened_at_ms,
    destinations.c.held_until_ms,
    destinations.c.warned_at_ms,
)
"""What :func:`condition_of` reads, and whose it is."""


def not_held(now: datetime) -> ColumnElement[bool]:
    """Match the destinations that are not being left alone at the moment."""
    held_until_ms = destinations.c.held_until_ms
    return or_(held_until_ms.is_(None), held_until_ms <= to_epoch_ms(now))


def condition_of(row: Any) -> Condition:
    """Read how a destination is from its row."""
    breaker = Breaker(
        failures=row.failures,
        openings=row.openings,
        opened_at=moment(row.opened_at_ms),
        held_until=moment(row.held_until_ms),
        warned_at=moment(row.warned_at_ms),
    )
    return Condition(breaker, moment(row.failing_since_ms))


def condition_columns(condition: Condition) -> dict[str, Any]:
    """Write how a destination is, by column."""
    breaker, failing_since = condition
    return {
        "failing_since_ms": ms_or_none(failing_since),
        "failures": breaker.failures,
        "openings": breaker.openings,
        "opened_at_ms": ms_or_none(breaker.opened_at),
        "held_until_ms": ms_or_none(breaker.held_until),
        "warned_at_ms": ms_or_none(breaker.warned_at),
    }


async def succeeded(
    connection: AsyncConnection, ids: Collection[str], at: datetime
) -> dict[str, Condition]:
    """Note that a delivery to each of ``ids`` went through; returns how they were before."""
    if not ids:
        return {}
    rows = await connection.execute(
        update(destinations)
        .where(destinations.c.id.in_(sorted(ids)))
        .values(last_success_at_ms=to_epoch_ms(at))
        .returning(*CONDITION)
    )
    return {row.id: condition_of(row) for row in rows}


async def conditions(connection: AsyncConnection, ids: Collection[str]) -> dict[str, Condition]:
    """Return how ``ids`` are, locked until the transaction ends."""
    if not ids:
        return {}
    rows = await connection.execute(
        select(*CONDITION)
        .where(destinations.c.id.in_(sorted(ids)))
        .order_by(destinations.c.id)
        .with_for_update()
    )
    return {row.id: condition_of(row) for row in rows}


async def write(connection: AsyncConnection, found: Mapping[str, Condition]) -> None:
    """Write down how destinations are now."""
    if found:
        await connection.execute(
            update(destinations)
            .where(destinations.c.id == bindparam("key"))
            .values({name: bindparam(f"new_{name}") for name in condition_columns(Condition())}),
            [
                {
                    "key": destination_id,
                    **{f"new_{k}": v for k, v in condition_columns(condition).items()},
                }
                for destination_id, condition in sorted(found.items())
            ],
        )


async def hold(connection: AsyncConnection, destination_id: str, until: datetime) -> None:
    """Leave a destination alone until then."""
    await connection.execute(
        update(destinations)
        .where(destinations.c.id == destination_id)
        .values(held_until_ms=to_epoch_ms(until))
    )


async def give_probes_back(
    connection: AsyncConnection, now: datetime, leases: Collection[str] | None = None
) -> None:
    """Let destinations be tried again whose one try behind an open breaker comes to nothing.

    Asked for before the deliveries are given back: those taken under ``leases``, or all. Such a
    try holds its destination for exactly as long as it has its delivery. A pause that the
    breaker makes, or that the other side asked for, ends at another moment and goes on.
    """
    probe = exists().where(
        deliveries.c.destination_id == destinations.c.id,
        text("deliveries.state = 'pending'"),  # as the index says it, or SQLite won't use that
        deliveries.c.due_at_ms == destinations.c.held_until_ms,
        deliveries.c.lease.is_not(None) if leases is None else deliveries.c.lease.in_(leases),
    )
    await connection.execute(
        update(destinations)
        .where(
            destinations.c.opened_at_ms.is_not(None),
            destinations.c.held_until_ms > to_epoch_ms(now),
            probe,
        )
        .values(held_until_ms=to_epoch_ms(now))
    )


def moment(epoch_ms: int | None) -> datetime | None:
    """Read a column of milliseconds."""
    return None if epoch_ms is None else from_epoch_ms(epoch_ms)


def ms_or_none(at: datetime | None) -> int | None:
    """Write a column of milliseconds."""
    return None if at is None else to_epoch_ms(at)
