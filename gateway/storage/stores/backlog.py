"""Due deliveries and queue items: how many, for how long, and when the last attempt ended.

For metrics and health checks. It is read from indexes, over a bounded number of rows, and at
most once a second.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    ScalarSelect,
    Subquery,
    exists,
    func,
    literal_column,
    not_,
    or_,
    select,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import Clock, from_epoch_ms, to_epoch_ms
from gateway.model.circuit_breaker import BreakerState
from gateway.model.delivery import FAILURES, DestinationState
from gateway.storage.database import Database
from gateway.storage.queue_table import Depth, QueueTable, depth
from gateway.storage.schema import attempts, deliveries, destinations
from gateway.storage.stores.destinations import HEALTH_COLUMNS, health_of, optional_time

_CACHE_SECONDS: Final = 1.0
_DEADLINE_SECONDS: Final = 5.0
# Rows read for all destinations together, and at least for each.
_MAX_ROWS: Final = 100_000
_MIN_ROWS: Final = 100


@dataclass(frozen=True, slots=True)
class DestinationBacklog:
    """The due deliveries of one destination.

    ``due`` counts deliveries that may be attempted now, up to a limit; ``oldest_due_at`` is the
    due time of the oldest that could be sent at once: not of one held back by an earlier one of
    its subject, and never before ``held_until``, the end of a pause. Without an active
    destination they are 0 and ``None``. ``state_reason`` says why it isn't active.
    """

    state: DestinationState
    failing_since: datetime | None
    due: int = 0
    oldest_due_at: datetime | None = None
    breaker: BreakerState = "closed"
    held_until: datetime | None = None
    state_reason: str | None = None

    @property
    def is_off_by_choice(self) -> bool:
        """Whether a person or its plugin disabled it, and no failures did."""
        return self.state == "disabled" and self.state_reason not in FAILURES


@dataclass(frozen=True, slots=True)
class Backlog:
    """All backlogs at ``read_at``, by destination; and when the last attempt ended.

    ``work_queues`` holds the depths of the plugins' queues, by name.
    """

    read_at: datetime
    queues: Mapping[str, DestinationBacklog]
    last_attempt_at: datetime | None
    work_queues: Mapping[str, Depth] = field(default_factory=dict)

    @property
    def oldest_age(self) -> timedelta:
        """How long the oldest delivery that could go out has been due."""
        due = (each.oldest_due_at for each in self.queues.values())
        return max((self.read_at - at for at in due if at is not None), default=timedelta())


class BacklogReader:
    """Reads the backlog. ``sinks`` are the kinds that this gateway delivers to.

    Up to ``max_rows`` are counted for all destinations together, at least ``min_rows`` each.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        sinks: Collection[str],
        work_queues: Sequence[QueueTable] = (),
        *,
        max_rows: int = _MAX_ROWS,
        min_rows: int = _MIN_ROWS,
    ) -> None:
        self._max_rows = max_rows
        self._min_rows = min_rows
        self._database = database
        self._clock = clock
        self._sinks = sorted(sinks)
        self._work_queues = work_queues
        self._turn = asyncio.Lock()
        self._cached: Backlog | None = None
        self._cached_until = 0.0

    async def read(self) -> Backlog:
        """Return the backlog, at most a second old.

        Raises what the database raises, or ``TimeoutError`` after five seconds.
        """
        async with self._turn:
            if self._cached is None or self._clock.monotonic_seconds() >= self._cached_until:
                async with asyncio.timeout(_DEADLINE_SECONDS), self._database.read() as connection:
                    self._cached = await self._read(connection)
                self._cached_until = self._clock.monotonic_seconds() + _CACHE_SECONDS
            return self._cached

    async def _read(self, connection: AsyncConnection) -> Backlog:
        now = self._clock.now()
        known = (
            await connection.execute(
                select(destinations.c.state, destinations.c.state_reason, *HEALTH_COLUMNS).where(
                    destinations.c.removed_at_ms.is_(None)
                )
            )
        ).all()
        most = max(self._min_rows, self._max_rows // max(1, len(known)))
        counted = {
            row.id: row
            for row in await connection.execute(_counting(to_epoch_ms(now), most, self._sinks))
        }
        queues = {row.id: _backlog_of(row, counted.get(row.id), now) for row in known}
        last = (await connection.execute(_LAST_ATTEMPT)).first()
        last_attempt_at = None if last is None else from_epoch_ms(last[0] + last[1])
        depths = {each.name: await depth(connection, each, now) for each in self._work_queues}
        return Backlog(now, queues, last_attempt_at, depths)


# Written as in the indexes' conditions: SQLite uses a partial index only where it finds those
# word by word (https://www.sqlite.org/partialindex.html).
_PENDING: Final[ColumnElement[str]] = literal_column("'pending'")
_LAST_ATTEMPT: Final = (
    select(attempts.c.started_at_ms, attempts.c.duration_ms)
    .order_by(attempts.c.sequence.desc())
    .limit(1)
)


def _counting(now_ms: int, most: int, sinks: Collection[str]) -> Any:
    """Count due deliveries by active destination, and find the oldest that could be sent."""
    first = _first_due(now_ms, most, "first_due")
    due: ScalarSelect[int] = select(func.count()).select_from(first).scalar_subquery()
    rows = _first_due(now_ms, most, "could_go")
    other = deliveries.alias("other")
    held_back = exists().where(
        other.c.destination_id == rows.c.destination_id,
        other.c.subject == rows.c.subject,
        other.c.state == _PENDING,
        literal_column("other.in_order"),
        # + 0: or SQLite would rather go through all that is due later, by the index of that.
        other.c.due_at_ms + 0 > now_ms,
    )
    oldest = (
        select(func.min(rows.c.due_at_ms))
        .where(or_(not_(rows.c.in_order), not_(held_back)))
        .scalar_subquery()
    )
    return select(
        destinations.c.id,
        due.correlate(destinations).label("due"),
        oldest.correlate(destinations).label("oldest_due_at_ms"),
    ).where(
        destinations.c.removed_at_ms.is_(None),
        destinations.c.state == "active",
        destinations.c.sink.in_(sinks),
    )


def _first_due(now_ms: int, most: int, name: str) -> Subquery:
    """Select the first ``most`` due deliveries of the destination of the outer statement."""
    return (
        select(
            deliveries.c.destination_id,
            deliveries.c.subject,
            deliveries.c.in_order,
            deliveries.c.due_at_ms,
        )
        .where(
            deliveries.c.destination_id == destinations.c.id,
            deliveries.c.state == _PENDING,
            deliveries.c.due_at_ms <= now_ms,
        )
        .order_by(deliveries.c.due_at_ms)
        .limit(most)
        .correlate(destinations)
        .subquery(name)
    )


def _backlog_of(row: Any, counted: Any, now: datetime) -> DestinationBacklog:
    breaker, failing_since = health_of(row)
    held_until = breaker.held_until
    is_held = held_until is not None and held_until > now
    queue = DestinationBacklog(
        row.state,
        failing_since,
        breaker=breaker.state,
        held_until=held_until if is_held else None,
        state_reason=row.state_reason,
    )
    if counted is None:
        return queue
    oldest = optional_time(counted.oldest_due_at_ms)
    if oldest is not None and held_until is not None:
        oldest = None if is_held else max(oldest, held_until)
    return replace(queue, due=counted.due, oldest_due_at=oldest)
