"""SQL of leases: claim due jobs, find jobs whose lease expired."""

from typing import Any, Final, NamedTuple

from sqlalchemy import Select, exists, or_, select, text, tuple_, update

from gateway.plugin import AsyncConnection
from gateway_rx_queue.job import Job
from gateway_rx_queue.store import JobStore, Scope
from gateway_rx_queue.tables import OPEN, QUEUED, WRITING, rx_jobs

_OTHER: Final = rx_jobs.alias("other")
# Any number will do, as long as nothing else in the database uses it.
_CLAIM_LOCK: Final = 0x0A0D18


class Lease(NamedTuple):
    """A lease: the token that reports must carry, and its end."""

    token: str
    until_ms: int


async def claim(
    connection: AsyncConnection,
    scope: Scope,
    limit: int,
    now_ms: int,
    lease: Lease,
    store: JobStore,
) -> list[Job]:
    """Claim up to ``limit`` due jobs, the longest due first, never two of one patient."""
    if connection.dialect.name == "postgresql":
        # Claims of one account run one after the other: each must see the patients of the last.
        await connection.execute(
            text("SELECT pg_advisory_xact_lock(:key, hashtext(:account))"),
            {"key": _CLAIM_LOCK, "account": scope.account_id},
        )
    due = (
        _due(scope, now_ms)
        .order_by(rx_jobs.c.due_at_ms, rx_jobs.c.sequence)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("due")  # a CTE, so that PostgreSQL evaluates (and locks) it exactly once
    )
    taken = await connection.execute(
        update(rx_jobs)
        .where(rx_jobs.c.id.in_(select(due.c.id)))
        .values(
            state="writing",
            state_at_ms=now_ms,
            attempts=rx_jobs.c.attempts + 1,
            version=rx_jobs.c.version + 1,
            lease=lease.token,
            lease_until_ms=lease.until_ms,
        )
        .returning(rx_jobs)
    )
    return sorted((store.job(row) for row in taken), key=lambda job: (job.due_at_ms, job.sequence))


async def any_due(connection: AsyncConnection, scope: Scope, now_ms: int) -> bool:
    """Return whether a claim would find a job."""
    return bool((await connection.execute(_due(scope, now_ms).limit(1))).first())


async def lost(connection: AsyncConnection, now_ms: int, limit: int, store: JobStore) -> list[Job]:
    """Return jobs whose lease expired, locked; the oldest first."""
    rows = await connection.execute(
        select(rx_jobs)
        .where(text(WRITING), rx_jobs.c.lease_until_ms <= now_ms)
        .order_by(rx_jobs.c.lease_until_ms)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return [store.job(row) for row in rows]


async def any_lost(connection: AsyncConnection, now_ms: int) -> bool:
    """Return whether any lease expired."""
    query = select(rx_jobs.c.id).where(text(WRITING), rx_jobs.c.lease_until_ms <= now_ms)
    return bool((await connection.execute(query.limit(1))).first())


def _due(scope: Scope, now_ms: int) -> Select[Any]:
    """Select due jobs whose patient has no earlier open job, and no job being written.

    A later job may be in writing: it was leased while this one was under review.
    """
    held_back = exists().where(
        _OTHER.c.patient_index == rx_jobs.c.patient_index,
        text(f"other.{OPEN}"),
        or_(_OTHER.c.sequence < rx_jobs.c.sequence, text(f"other.{WRITING}")),
    )
    query = select(rx_jobs.c.id).where(
        rx_jobs.c.account_id == scope.account_id,
        rx_jobs.c.mode == scope.mode,
        text(f"rx_jobs.{QUEUED}"),
        rx_jobs.c.due_at_ms <= now_ms,
        ~held_back,
    )
    return query if scope.site is None else query.where(rx_jobs.c.site == scope.site)


async def scopes_with_work(connection: AsyncConnection) -> list[Scope]:
    """Return every account and mode that has queued jobs, one look at the index for each."""
    scopes: list[Scope] = []
    query = (
        select(rx_jobs.c.account_id, rx_jobs.c.mode)
        .where(text(f"rx_jobs.{QUEUED}"))
        .order_by(rx_jobs.c.account_id, rx_jobs.c.mode)
        .limit(1)
    )
    place = tuple_(rx_jobs.c.account_id, rx_jobs.c.mode)
    while True:
        after = query.where(place > tuple_(*scopes[-1][:2])) if scopes else query
        row = (await connection.execute(after)).first()
        if row is None:
            return scopes
        scopes.append(Scope(row.account_id, row.mode))
