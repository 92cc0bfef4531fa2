"""How much of their plans accounts have used, counted in the transaction that uses it.

The row of an account and a limit is locked before it is read, so that transactions of several
processes count one after the other; a transaction that fails counts nothing.
"""

from collections.abc import Collection
from typing import Final

from sqlalchemy import select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.storage.schema import plan_usage

NO_PERIOD: Final = ""
"""The period of a limit that doesn't reset."""


async def lock_usage(
    connection: AsyncConnection, accounts: Collection[str], limit_name: str, period: str
) -> dict[str, int]:
    """Return how much each account has used; the rows are locked until the transaction ends."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    ordered = sorted(accounts)
    new = dialect.insert(plan_usage).values(
        [
            {"account_id": each, "limit_name": limit_name, "period": period, "used": 0}
            for each in ordered
        ]
    )
    await connection.execute(new.on_conflict_do_nothing())
    rows = await connection.execute(
        select(plan_usage.c.account_id, plan_usage.c.used)
        .where(
            plan_usage.c.account_id.in_(ordered),
            plan_usage.c.limit_name == limit_name,
            plan_usage.c.period == period,
        )
        .order_by(plan_usage.c.account_id)
        .with_for_update()
    )
    return {row[0]: int(row[1]) for row in rows}


async def store_usage(
    connection: AsyncConnection, account_id: str, limit_name: str, period: str, used: int
) -> None:
    """Store how much an account has used, after :func:`lock_usage` in the same transaction."""
    await connection.execute(
        update(plan_usage)
        .where(
            plan_usage.c.account_id == account_id,
            plan_usage.c.limit_name == limit_name,
            plan_usage.c.period == period,
        )
        .values(used=used)
    )


async def read_usage(connection: AsyncConnection, limit_name: str, period: str) -> dict[str, int]:
    """Return how much each account has used in a period."""
    rows = await connection.execute(
        select(plan_usage.c.account_id, plan_usage.c.used).where(
            plan_usage.c.limit_name == limit_name, plan_usage.c.period == period
        )
    )
    return {row[0]: int(row[1]) for row in rows}
