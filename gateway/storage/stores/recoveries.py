"""Recoveries in the database: started, carried on after a restart, finished."""

from typing import Any

from sqlalchemy import Row, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import from_epoch_ms, to_epoch_ms
from gateway.model.recovery import Recovery
from gateway.storage.database import Database
from gateway.storage.schema import recoveries
from gateway.storage.statements import RUNNING_RECOVERIES


async def add(connection: AsyncConnection, recovery: Recovery) -> None:
    """Write a new recovery."""
    await connection.execute(
        insert(recoveries).values(
            id=recovery.id,
            account_id=recovery.account_id,
            destination_id=recovery.destination_id,
            since_ms=to_epoch_ms(recovery.since),
            until_ms=to_epoch_ms(recovery.until),
            cursor=recovery.cursor,
            looked_at=recovery.looked_at,
            queued=recovery.queued,
            state=recovery.state,
            created_at_ms=to_epoch_ms(recovery.created_at),
        )
    )


async def any_running(database: Database) -> bool:
    """Return whether one is unfinished; asked every second."""
    return bool(await database.look(RUNNING_RECOVERIES))


async def running(connection: AsyncConnection) -> list[Recovery]:
    """Return the unfinished ones, oldest first; locked where the database can."""
    rows = await connection.execute(
        select(recoveries)
        .where(recoveries.c.state == "running")
        .order_by(recoveries.c.id)
        .with_for_update(skip_locked=True)
    )
    return [_recovery(row) for row in rows]


async def get(connection: AsyncConnection, account_id: str, recovery_id: str) -> Recovery | None:
    """Return one, or ``None`` when the account has none of this id."""
    found = await connection.execute(
        select(recoveries).where(
            recoveries.c.id == recovery_id, recoveries.c.account_id == account_id
        )
    )
    row = found.first()
    return None if row is None else _recovery(row)


async def note(connection: AsyncConnection, recovery: Recovery) -> None:
    """Write a recovery's progress."""
    finished = recovery.finished_at
    await connection.execute(
        update(recoveries)
        .where(recoveries.c.id == recovery.id)
        .values(
            cursor=recovery.cursor,
            looked_at=recovery.looked_at,
            queued=recovery.queued,
            state=recovery.state,
            finished_at_ms=None if finished is None else to_epoch_ms(finished),
        )
    )


def _recovery(row: Row[Any]) -> Recovery:
    return Recovery(
        id=row.id,
        account_id=row.account_id,
        destination_id=row.destination_id,
        since=from_epoch_ms(row.since_ms),
        until=from_epoch_ms(row.until_ms),
        cursor=row.cursor,
        looked_at=row.looked_at,
        queued=row.queued,
        state=row.state,
        created_at=from_epoch_ms(row.created_at_ms),
        finished_at=None if row.finished_at_ms is None else from_epoch_ms(row.finished_at_ms),
    )
