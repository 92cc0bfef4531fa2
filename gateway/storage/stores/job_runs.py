"""Runs of jobs of the whole installation: when each is due, and which process has it.

A process takes a job by a conditional UPDATE, so one of several gets it. A lease that isn't
renewed ends: the job of a killed process is run by another.
"""

import secrets

from sqlalchemy import and_, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.storage.database import Database, insert_into
from gateway.storage.schema import job_runs


async def take(
    database: Database, name: str, now_ms: int, *, every_ms: int, lease_ms: int
) -> str | None:
    """Take a due job that no process has; returns the lease, or ``None``."""
    due = job_runs.c.due_at_ms, every_ms
    lease = job_runs.c.lease_until_ms, lease_ms
    # What lies further ahead than it can have been set was set before the clock went back.
    is_free = and_(
        *(or_(column <= now_ms, column > now_ms + longest) for column, longest in (due, lease))
    )
    async with database.read() as reader:
        query = select(is_free).where(job_runs.c.name == name)
        found = (await reader.execute(query)).scalar()
    if found is not None and not found:
        return None
    token = secrets.token_urlsafe(12)
    async with database.begin() as connection:
        if found is None:
            await _add(connection, name, now_ms)
        taken = await connection.execute(
            update(job_runs)
            .where(job_runs.c.name == name, is_free)
            .values(lease=token, lease_until_ms=now_ms + lease_ms)
        )
    return token if taken.rowcount else None


async def renew(database: Database, name: str, token: str, until_ms: int) -> bool:
    """Let a lease end at ``until_ms``; returns whether it is still this process's."""
    async with database.begin() as connection:
        renewed = await connection.execute(
            update(job_runs)
            .where(job_runs.c.name == name, job_runs.c.lease == token)
            .values(lease_until_ms=until_ms)
        )
    return bool(renewed.rowcount)


async def finish(database: Database, name: str, token: str, due_at_ms: int) -> None:
    """End a lease, and set the time of the next run; nothing if another process has the job."""
    async with database.begin() as connection:
        await connection.execute(
            update(job_runs)
            .where(job_runs.c.name == name, job_runs.c.lease == token)
            .values(lease=None, lease_until_ms=0, due_at_ms=due_at_ms)
        )


async def take_back(database: Database) -> None:
    """End the leases of a killed process, at the start of the one that serves a SQLite file."""
    if database.dialect != "sqlite":
        return
    async with database.begin() as connection:
        await connection.execute(update(job_runs).values(lease=None, lease_until_ms=0))


async def _add(connection: AsyncConnection, name: str, now_ms: int) -> None:
    row = insert_into(connection, job_runs).values(
        name=name, due_at_ms=now_ms, lease=None, lease_until_ms=0
    )
    await connection.execute(row.on_conflict_do_nothing())
