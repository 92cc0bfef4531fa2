"""The overview of the queue: counts by state, waiting times, holders of leases.

Counts stop at a thousand, so that a backlog of any length costs the same.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple, get_args

from sqlalchemy import func, select, text

from gateway.plugin import AsyncConnection, Caller, Gateway, from_epoch_ms, to_epoch_ms, visible_to
from gateway_rx_queue.job import Job
from gateway_rx_queue.schema import State
from gateway_rx_queue.store import JobStore
from gateway_rx_queue.tables import APPROVED, rx_history, rx_jobs

MOST_COUNTED: Final = 1000
OPEN_STATES: Final[tuple[State, ...]] = ("queued", "writing", "excepted")
# Reviews of prescriptions that arrived earlier than this are not counted as today's.
_LOOKED_BACK_MS: Final = 7 * 86_400_000
_ID_SHIFT: Final = 80
_ID: Final = "rxq"


class StateCount(NamedTuple):
    """The number of jobs in a state: all unfinished ones, finished ones since ``since``.

    ``has_more``: there are more than were counted. ``oldest_at`` is when the first unfinished one
    arrived.
    """

    state: State
    number: int
    has_more: bool
    oldest_at: datetime | None


class Overview:
    """Counts and lists jobs for people."""

    def __init__(self, gateway: Gateway, store: JobStore) -> None:
        self._gateway = gateway
        self._store = store

    async def counts(self, caller: Caller, since: datetime) -> Sequence[StateCount]:
        """Return the count of every state."""
        async with self._gateway.database.read() as connection:
            return [
                await self._count(connection, caller, state, since) for state in get_args(State)
            ]

    async def waiting(self, caller: Caller) -> int:
        """Count the prescriptions that wait for review, up to a thousand."""
        async with self._gateway.database.read() as connection:
            found = await self._count(connection, caller, "excepted", from_epoch_ms(0))
        return found.number

    async def _count(
        self, connection: AsyncConnection, caller: Caller, state: State, since: datetime
    ) -> StateCount:
        of_state = [*visible_to(caller, rx_jobs), rx_jobs.c.state == state]
        if state not in OPEN_STATES:
            of_state.append(rx_jobs.c.id >= _first_id(to_epoch_ms(since)))
        some = select(rx_jobs.c.created_at_ms).where(*of_state).order_by(rx_jobs.c.id)
        rows = list((await connection.execute(some.limit(MOST_COUNTED + 1))).scalars())
        oldest = from_epoch_ms(rows[0]) if rows and state in OPEN_STATES else None
        return StateCount(state, min(len(rows), MOST_COUNTED), len(rows) > MOST_COUNTED, oldest)

    async def decided(self, caller: Caller, since: datetime, limit: int) -> tuple[list[Job], int]:
        """Return jobs that were approved or rejected since then, latest first, and their number.

        Rejected ones only if they arrived during the last week.
        """
        since_ms = to_epoch_ms(since)
        columns = rx_jobs.c
        approved = [
            *visible_to(caller, rx_jobs),
            text(f"rx_jobs.{APPROVED}"),
            columns.approved_at_ms >= since_ms,
        ]
        rejected = [
            *visible_to(caller, rx_jobs),
            columns.state == "rejected",
            columns.id >= _first_id(since_ms - _LOOKED_BACK_MS),
            columns.state_at_ms >= since_ms,
        ]
        jobs: list[tuple[int, Job]] = []
        count = 0
        async with self._gateway.database.read() as connection:
            for wanted, at in ((approved, columns.approved_at_ms), (rejected, columns.state_at_ms)):
                query = select(rx_jobs).where(*wanted).order_by(at.desc()).limit(limit)
                found = [self._store.job(row) for row in await connection.execute(query)]
                is_approved = at is columns.approved_at_ms
                jobs += [
                    ((each.approved_at_ms or 0) if is_approved else each.state_at_ms, each)
                    for each in found
                ]
                count += len(found)
                if len(found) == limit:
                    counted = select(func.count()).select_from(rx_jobs).where(*wanted)
                    count += int((await connection.execute(counted)).scalar_one()) - limit
        jobs.sort(key=lambda each: each[0], reverse=True)
        return [each for _at, each in jobs[:limit]], count

    async def holders(self, jobs: Sequence[Job]) -> dict[str, str]:
        """Return, for jobs that are being written, the actor that leased each last."""
        ids = [each.id for each in jobs if each.state == "writing"]
        if not ids:
            return {}
        query: Any = (
            select(rx_history.c.job_id, rx_history.c.actor)
            .where(rx_history.c.job_id.in_(ids), rx_history.c.to_state == "writing")
            .order_by(rx_history.c.sequence)
        )
        async with self._gateway.database.read() as connection:
            return {row.job_id: row.actor for row in await connection.execute(query)}


def _first_id(at_ms: int) -> str:
    """Return the smallest id of a job of this time."""
    return f"{_ID}_{max(0, at_ms) << _ID_SHIFT:032x}"
