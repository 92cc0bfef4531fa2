"""How much of their plans accounts have used, counted in the transaction that uses it.

The row of an account and a limit is locked before it is read, so that transactions of several
processes count one after the other; a transaction that fails counts nothing.
"""

from collections.abc import Collection
from typing import Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.storage.schema import plan_usage
from gateway.storage.statements import USAGE_LOCKED, USAGE_STORED
from gateway.storage.transaction import fetch, fetch_each

NO_PERIOD: Final = ""
"""The period of a limit that doesn't reset."""


async def lock_usage(
    connection: AsyncConnection, accounts: Collection[str], limit_name: str, period: str
) -> dict[str, int]:
    """Return how much each account has used; the rows are locked until the transaction ends."""
    rows = await fetch_each(
        connection,
        USAGE_LOCKED,
        "account_id",
        sorted(accounts),
        limit_name=limit_name,
        period=period,
    )
    return {account_id: int(used) for account_id, used in rows}


async def store_usage(
    connection: AsyncConnection, account_id: str, limit_name: str, period: str, used: int
) -> None:
    """Store how much an account has used, after :func:`lock_usage` in the same transaction."""
    await fetch(
        connection,
        USAGE_STORED,
        account_id=account_id,
        limit_name=limit_name,
        period=period,
        used=used,
    )


async def read_usage(connection: AsyncConnection, limit_name: str, period: str) -> dict[str, int]:
    """Return how much each account has used in a period."""
    rows = await connection.execute(
        select(plan_usage.c.account_id, plan_usage.c.used).where(
            plan_usage.c.limit_name == limit_name, plan_usage.c.period == period
        )
    )
    return {row[0]: int(row[1]) for row in rows}
