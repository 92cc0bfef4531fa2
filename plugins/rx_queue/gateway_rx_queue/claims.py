"""The claims of a caller's scope, and the scopes with queued jobs."""

from typing import Any

from sqlalchemy import ColumnElement, bindparam, select, text, tuple_

from gateway.plugin import AsyncConnection, Claimed, WorkQueue
from gateway_rx_queue.store import Scope
from gateway_rx_queue.tables import QUEUED, rx_jobs


def within(scope: Scope) -> list[ColumnElement[bool]]:
    """Return the conditions of a scope inside its account, the queue's partition."""
    found = [rx_jobs.c.mode == scope.mode]
    if scope.site is not None:
        found.append(rx_jobs.c.site == scope.site)
    return found


class Claims:
    """Claims jobs for writers, of an account or of one site, by statements that are built once."""

    def __init__(self, queue: WorkQueue) -> None:
        self._queue = queue
        values = {
            "state_at_ms": bindparam("at_ms"),
            "version": rx_jobs.c.version + 1,
        }
        of_mode = [rx_jobs.c.mode == bindparam("in_mode")]
        of_site = [*of_mode, rx_jobs.c.site == bindparam("at_site")]
        self._of_account, self._of_site = (
            queue.taking(in_partition=True, where=each, values=values)
            for each in (of_mode, of_site)
        )

    async def take(
        self,
        connection: AsyncConnection,
        scope: Scope,
        limit: int,
        lease_seconds: float,
        now_ms: int,
    ) -> list[Claimed]:
        """Claim up to ``limit`` due jobs of a scope, the longest due first."""
        parameters: dict[str, Any] = {"at_ms": now_ms, "in_mode": scope.mode}
        if scope.site is not None:
            parameters["at_site"] = scope.site
        return await self._queue.take(
            connection,
            limit,
            lease_seconds,
            partition=scope.account_id,
            statement=self._of_account if scope.site is None else self._of_site,
            parameters=parameters,
        )


async def scopes_with_work(connection: AsyncConnection) -> list[Scope]:
    """Return every account and mode with queued jobs, by one index look-up for each."""
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
