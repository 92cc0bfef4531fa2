"""Which jobs a caller's claim may take, and who has queued jobs."""

from sqlalchemy import ColumnElement, select, text, tuple_

from gateway.plugin import AsyncConnection
from gateway_rx_queue.store import Scope
from gateway_rx_queue.tables import QUEUED, rx_jobs


def within(scope: Scope) -> list[ColumnElement[bool]]:
    """Return the conditions of a scope inside its account, the queue's partition."""
    found = [rx_jobs.c.mode == scope.mode]
    if scope.site is not None:
        found.append(rx_jobs.c.site == scope.site)
    return found


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
