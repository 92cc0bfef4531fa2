"""Detect a pooler in transaction mode, which loses prepared statements between transactions.

With it each transaction may run on another connection of PostgreSQL: a statement that was prepared
on one is unknown on the next, at random and under load only. So the gateway refuses to start
(https://www.pgbouncer.org/features.html).
"""

from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.errors import StorageError
from gateway.storage.database import Database
from gateway.storage.outage import UNPREPARED


async def refuse_lost_statements(database: Database) -> None:
    """Raise ``StorageError`` when transactions of one connection run on several of the server's."""
    if database.path is not None or not database.prepares:
        return
    async with database.read() as first:
        driver: Any = (await first.get_raw_connection()).driver_connection
        server = await _backend(first)
        await first.rollback()
        if driver.get_server_pid() == server:
            return  # no pooler is between
        async with database.read() as second:
            await _backend(second)  # holds the server's connection, if the first released it
            if await _backend(first) == server:
                return  # a pooler in session mode
    raise StorageError(f"The database can't be used as it is: {UNPREPARED}.")


async def _backend(connection: AsyncConnection) -> int:
    found: int = (await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one()
    return found
