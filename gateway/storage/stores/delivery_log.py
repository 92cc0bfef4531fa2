"""The delivery log: deliveries and their attempts, for lists and look-ups."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import ColumnElement, Row, Select, and_, exists, func, or_, select, text, true
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import from_epoch_ms, to_epoch_ms
from gateway.model.account import Caller
from gateway.model.delivery import Attempt, Delivery
from gateway.storage.crypto.encryption import Sealer
from gateway.storage.database import among
from gateway.storage.schema import EXHAUSTED, FAILED, attempts, deliveries, destinations, events
from gateway.storage.stores.attempt_counts import (
    AttemptCount,
    attempts_between,
    attempts_of_each,
)
from gateway.storage.stores.delivery_counts import DeliveryCounts, delivery_counts
from gateway.storage.tenancy import of_account, of_sites, visible_to

# SQLite uses a partial index only where a query repeats its condition word by word
# (https://www.sqlite.org/partialindex.html); and it prefers it to the full index, which has the
# same order, because the column itself is compared as well.
_EXHAUSTED: Final = text(f"deliveries.{EXHAUSTED}")
_FAILED: Final = text(FAILED)
_PENDING: Final = text("deliveries.state = 'pending'")
# So many deliveries are looked through for one page of a search.
_WALKED: Final = 10_000
MAX_BY_INDEX: Final = 1000
"""Pending deliveries up to this number are listed by the index of pending ones."""


class AttemptFilter(NamedTuple):
    """Which attempts to return; ``before_sequence`` is where the last page ended."""

    limit: int
    before_sequence: int | None = None
    destination_id: str | None = None
    event_type: str | None = None
    delivered: bool | None = None
    since: datetime | None = None


class DeliveryFilter(NamedTuple):
    """Which deliveries to return; ``before_id`` is the cursor of an earlier page.

    ``state`` is ``failed`` for those whose last attempt failed, whether another follows or not.
    ``status`` and ``error`` are of any of their attempts; ``status`` is a range such as
    ``(500, 599)``.
    """

    limit: int
    before_id: str | None = None
    state: Literal["pending", "delivered", "exhausted", "failed"] | None = None
    destination_id: str | None = None
    event_type: str | None = None
    subject: str | None = None
    status: tuple[int, int] | None = None
    error: str | None = None


class Timing(NamedTuple):
    """When an attempt began, how long it took, and whether it delivered."""

    started_at_ms: int
    duration_ms: int
    delivered: bool


class Backlog(NamedTuple):
    """The backlog of a destination; ``has_more`` where only so many were counted."""

    total: int
    has_more: bool
    oldest_at: datetime | None
    next_due_at: datetime | None


class DeliveryLog:
    """Reads deliveries and attempts, visible to callers who see their destination and their event.

    A destination may have belonged to every site, or to another, when an event was sent to it.
    Up to ``max_by_index`` pending deliveries are listed by the index of each destination.
    """

    def __init__(self, sealer: Sealer, *, max_by_index: int = MAX_BY_INDEX) -> None:
        self._sealer = sealer
        self._max_by_index = max_by_index

    async def get(
        self, connection: AsyncConnection, caller: Caller, delivery_id: str
    ) -> Delivery | None:
        """Return the delivery, or ``None`` when there is none that ``caller`` may see."""
        query = self._visible(caller).where(deliveries.c.id == delivery_id)
        row = (await connection.execute(query)).first()
        return None if row is None else self._delivery(row)

    async def page(
        self,
        connection: AsyncConnection,
        caller: Caller,
        *,
        limit: int,
        before_id: str | None = None,
        state: str | None = None,
    ) -> list[Delivery]:
        """Return up to ``limit`` deliveries, newest first."""
        query = self._visible(caller).order_by(deliveries.c.id.desc()).limit(limit)
        if before_id is not None:
            query = query.where(deliveries.c.id < before_id)
        if state is not None:
            query = query.where(deliveries.c.state == state)
        if state == "exhausted":
            query = query.where(_EXHAUSTED)
        if state == "pending" and (few := await self._pending_ids(connection, caller)) is not None:
            query = query.where(deliveries.c.id.in_(few))
        return [self._delivery(row) for row in await connection.execute(query)]

    async def search(
        self, connection: AsyncConnection, caller: Caller, wanted: DeliveryFilter
    ) -> tuple[list[Delivery], str | None]:
        """Return deliveries, newest first, and the cursor of the next page, if there is one.

        A page looks through a bounded number of deliveries, so it may have fewer than
        ``wanted.limit``, or none, and a next page all the same.
        """
        walked = [deliveries.c.account_id == caller.account_id]
        if wanted.before_id is not None:
            walked.append(deliveries.c.id < wanted.before_id)
        if wanted.subject is not None:  # a package has a few events
            own = select(events.c.id).where(
                events.c.subject == wanted.subject, events.c.account_id == caller.account_id
            )
            walked.append(deliveries.c.id.in_(ids_of_events(deliveries.c.event_id.in_(own))))
        walked += await self._of_state(connection, caller, wanted)
        last = None
        if wanted.subject is None:
            newest = select(deliveries.c.id).where(*walked).order_by(deliveries.c.id.desc())
            last = (await connection.execute(newest.offset(_WALKED - 1).limit(1))).scalar()
        query = self._visible(caller).where(*walked, *_chosen(wanted, last))
        if last is not None:
            query = query.where(deliveries.c.id >= last)
        rows = await connection.execute(
            query.order_by(deliveries.c.id.desc()).limit(wanted.limit + 1)
        )
        found = [self._delivery(row) for row in rows]
        if len(found) > wanted.limit:
            found = found[: wanted.limit]
            last = found[-1].id
        return found, last

    async def _of_state(
        self, connection: AsyncConnection, caller: Caller, wanted: DeliveryFilter
    ) -> list[ColumnElement[bool]]:
        """Return the conditions of a state, so that an index has its rows."""
        state = wanted.state
        if state is None:
            return []
        if state == "exhausted":
            return [and_(_EXHAUSTED, deliveries.c.state == "exhausted")]
        if state == "delivered":
            return [deliveries.c.state == "delivered"]
        few = None if wanted.subject else await self._pending_ids(connection, caller)
        if state == "pending":
            is_pending = [deliveries.c.state == "pending"]
            return is_pending if few is None else [*is_pending, deliveries.c.id.in_(few)]
        failed = and_(deliveries.c.state != "delivered", deliveries.c.attempts > 0)
        if few is None:
            return [failed]
        exhausted = select(deliveries.c.id).where(
            deliveries.c.account_id == caller.account_id,
            _EXHAUSTED,
            deliveries.c.state == "exhausted",
        )
        if wanted.before_id is not None:
            exhausted = exhausted.where(deliveries.c.id < wanted.before_id)
        # As many as a page looks through; by id, as SQLite would walk through all for an OR.
        newest = exhausted.order_by(deliveries.c.id.desc()).limit(_WALKED).subquery()
        ids: Any = select(newest.c.id)
        if few:
            waiting = select(deliveries.c.id).where(
                deliveries.c.account_id == caller.account_id, deliveries.c.id.in_(few)
            )
            ids = ids.union_all(waiting.correlate(None))
        return [failed, deliveries.c.id.in_(ids)]

    async def counts(self, connection: AsyncConnection, caller: Caller) -> DeliveryCounts:
        """Count the deliveries that failed, wait and are exhausted, each up to a limit."""
        return await delivery_counts(connection, caller)

    async def timings(
        self,
        connection: AsyncConnection,
        caller: Caller,
        destination_id: str,
        *,
        since: datetime,
        most: int,
    ) -> tuple[list[Timing], bool]:
        """Return the attempts at one destination since then, and whether these are all.

        The newest ``most`` of them are looked at.
        """
        own = select(destinations.c.id).where(
            destinations.c.id == destination_id, *of_account(caller, destinations)
        )
        newest = select(
            attempts.c.started_at_ms, attempts.c.duration_ms, attempts.c.delivered
        ).where(attempts.c.destination_id == own.scalar_subquery())
        if caller.sites is not None:
            newest = newest.where(_is_of_sites(attempts.c.event_id, caller.sites))
        each = newest.order_by(attempts.c.sequence.desc()).limit(most).subquery()
        rows = (await connection.execute(select(each))).all()
        since_ms = to_epoch_ms(since)
        found = [Timing._make(row) for row in rows if row[0] >= since_ms]
        return found, len(rows) < most or len(found) < len(rows)

    async def counts_between(
        self,
        connection: AsyncConnection,
        caller: Caller,
        destination_ids: Collection[str],
        moments: Sequence[datetime],
    ) -> tuple[list[AttemptCount], bool]:
        """Count the attempts at destinations from each moment to the next, and say if all are.

        ``moments`` rise. Of the whole log its newest rows are counted among, so the first counts
        may lack some. Attempts for every site that a destination serves count.
        """
        own = await self._own(connection, caller, destination_ids)
        return await attempts_between(connection, own, moments)

    async def counts_of_each(
        self,
        connection: AsyncConnection,
        caller: Caller,
        destination_ids: Collection[str],
        since: datetime,
    ) -> dict[str, AttemptCount]:
        """Count the newest attempts since then at each destination that had one."""
        own = await self._own(connection, caller, destination_ids)
        return await attempts_of_each(connection, own, since)

    @staticmethod
    async def _own(
        connection: AsyncConnection, caller: Caller, destination_ids: Collection[str]
    ) -> Sequence[str]:
        ids = among(connection, destinations.c.id, destination_ids)
        found = await connection.execute(_destinations_of(caller).where(ids))
        return [row.id for row in found]

    async def backlog(
        self, connection: AsyncConnection, destination_id: str, *, most: int
    ) -> Backlog:
        """Count the pending deliveries of one destination, up to ``most``."""
        waiting = (
            select(deliveries.c.created_at_ms, deliveries.c.due_at_ms)
            .where(deliveries.c.destination_id == destination_id, _PENDING)
            .order_by(deliveries.c.due_at_ms)
            .limit(most + 1)
            .subquery()
        )
        [row] = await connection.execute(
            select(
                func.count(), func.min(waiting.c.created_at_ms), func.min(waiting.c.due_at_ms)
            ).select_from(waiting)
        )
        return Backlog(min(row[0], most), row[0] > most, _moment(row[1]), _moment(row[2]))

    async def _pending_ids(
        self, connection: AsyncConnection, caller: Caller
    ) -> Sequence[str] | None:
        """Return the ids of pending deliveries, in no order; ``None`` when there are many.

        Their index is by destination. Many of them are found soon among all deliveries.
        """
        found = await connection.execute(
            select(deliveries.c.id)
            .where(deliveries.c.destination_id.in_(_destinations_of(caller)), _PENDING)
            .limit(self._max_by_index + 1)
        )
        ids = found.scalars().all()
        return ids if len(ids) <= self._max_by_index else None

    async def attempts_of(
        self, connection: AsyncConnection, delivery: Delivery
    ) -> Sequence[Attempt]:
        """Return the attempts of one delivery, first to last."""
        rows = await connection.execute(
            select(attempts)
            .where(attempts.c.delivery_id == delivery.id)
            .order_by(attempts.c.sequence)
        )
        return [self._attempt(row) for row in rows]

    async def attempts_page(
        self, connection: AsyncConnection, caller: Caller, wanted: AttemptFilter
    ) -> list[tuple[int, Attempt]]:
        """Return up to ``wanted.limit`` attempts with their sequence, newest first.

        One statement reads the newest of each destination (the index that serves this is by
        destination), and the newest of them all are returned.
        """
        own = select(attempts).where(attempts.c.destination_id == destinations.c.id)
        if caller.sites is not None:
            own = own.where(_is_of_sites(attempts.c.event_id, caller.sites))
        own = _narrowed(own, wanted).order_by(attempts.c.sequence.desc()).limit(wanted.limit)
        newest = _newest_by_destination(connection, own)
        query = newest.where(*visible_to(caller, destinations)).limit(wanted.limit)
        if wanted.destination_id is not None:
            query = query.where(destinations.c.id == wanted.destination_id)
        rows = await connection.execute(query)
        return [(row.sequence, self._attempt(row)) for row in rows]

    async def states(
        self,
        connection: AsyncConnection,
        destination_id: str,
        event_ids: Collection[str],
        now: datetime,
    ) -> dict[str, tuple[str, bool]]:
        """Return delivery id, and whether it rests, for events that have a delivery.

        A delivery rests when it is exhausted, or failed and waits for an attempt not due yet.
        """
        waits = and_(
            deliveries.c.state == "pending",
            deliveries.c.lease.is_(None),
            deliveries.c.first_attempt_at_ms.is_not(None),
            deliveries.c.due_at_ms > to_epoch_ms(now),
        )
        rests = or_(deliveries.c.state == "exhausted", waits).label("rests")
        rows = await connection.execute(
            select(deliveries.c.event_id, deliveries.c.id, rests).where(
                among(connection, deliveries.c.event_id, event_ids),
                deliveries.c.destination_id == destination_id,
            )
        )
        return {row.event_id: (row.id, bool(row.rests)) for row in rows}

    @staticmethod
    def _visible(caller: Caller) -> Select[Any]:
        query = (
            select(
                deliveries,
                destinations.c.state.label("destination_state"),
                destinations.c.removed_at_ms,
                destinations.c.opened_at_ms,
            )
            .join(destinations, destinations.c.id == deliveries.c.destination_id)
            .where(deliveries.c.account_id == caller.account_id, *visible_to(caller, destinations))
        )
        if caller.sites is None:
            return query
        return query.where(_is_of_sites(deliveries.c.event_id, caller.sites))

    @staticmethod
    def _delivery(row: Row[Any]) -> Delivery:
        return Delivery(
            id=row.id,
            account_id=row.account_id,
            destination_id=row.destination_id,
            event_id=row.event_id,
            event_type=row.event_type,
            subject=row.subject,
            state=row.state,
            attempts=row.attempts,
            due_at=from_epoch_ms(row.due_at_ms) if row.state == "pending" else None,
            created_at=from_epoch_ms(row.created_at_ms),
            first_attempt_at=_moment(row.first_attempt_at_ms),
            finished_at=_moment(row.finished_at_ms),
            reason=_reason(row),
        )

    def _attempt(self, row: Row[Any]) -> Attempt:
        excerpt = b""
        if row.excerpt:
            excerpt = self._sealer.unseal(
                bytes(row.excerpt), table="attempts", row_id=f"{row.delivery_id}:{row.number}"
            )
        return Attempt(
            delivery_id=row.delivery_id,
            destination_id=row.destination_id,
            event_id=row.event_id,
            event_type=row.event_type,
            number=row.number,
            started_at=from_epoch_ms(row.started_at_ms),
            duration_ms=row.duration_ms,
            delivered=bool(row.delivered),
            status=row.status,
            error=row.error,
            excerpt=excerpt.decode("utf-8", errors="replace"),
        )


def ids_of_events(is_of_them: ColumnElement[bool]) -> Select[tuple[str]]:
    """Return the query of the ids of deliveries by a condition on their ``event_id``.

    Beside the account, SQLite would walk through all deliveries of the account instead.
    """
    return select(deliveries.c.id).where(is_of_them).correlate(None)


def _chosen(wanted: DeliveryFilter, last: str | None) -> list[ColumnElement[bool]]:
    """Return the conditions that no index serves, of deliveries down to ``last``.

    The attempts are said to lie between the same ids: PostgreSQL would rather read the whole log
    than look up those of each delivery.
    """
    chosen = []
    if wanted.destination_id is not None:
        chosen.append(deliveries.c.destination_id == wanted.destination_id)
    if wanted.event_type is not None:
        chosen.append(deliveries.c.event_type == wanted.event_type)
    if wanted.status is not None or wanted.error is not None:
        answered = [attempts.c.delivery_id == deliveries.c.id]
        if last is not None:
            answered.append(attempts.c.delivery_id >= last)
        if wanted.before_id is not None:
            answered.append(attempts.c.delivery_id < wanted.before_id)
        if wanted.status is not None:
            answered.append(attempts.c.status.between(*wanted.status))
        if wanted.error is not None:
            answered.append(attempts.c.error == wanted.error)
        chosen.append(exists().where(*answered))
    return chosen


def _newest_by_destination(connection: AsyncConnection, own: Select[Any]) -> Select[Any]:
    """Join each destination with its ``own`` attempts, the newest first."""
    if connection.dialect.name == "postgresql":
        newest = own.lateral("newest")
        return (
            select(newest)
            .select_from(destinations.join(newest, true()))
            .order_by(newest.c.sequence.desc())
        )
    # SQLite has no LATERAL; it looks up by primary key what a correlated list has.
    each = attempts.alias("newest")
    listed = own.with_only_columns(attempts.c.sequence).correlate(destinations)
    return (
        select(each)
        .select_from(destinations.join(each, each.c.sequence.in_(listed)))
        .order_by(each.c.sequence.desc())
    )


def _destinations_of(caller: Caller) -> Select[tuple[str]]:
    return select(destinations.c.id).where(*visible_to(caller, destinations))


def _is_of_sites(event_id: ColumnElement[str], sites: Collection[str]) -> ColumnElement[bool]:
    """Match rows about an event of these sites."""
    return exists().where(events.c.id == event_id, of_sites(sites, events.c.site))


def _narrowed(query: Select[Any], wanted: AttemptFilter) -> Select[Any]:
    if wanted.before_sequence is not None:
        query = query.where(attempts.c.sequence < wanted.before_sequence)
    if wanted.event_type is not None:
        query = query.where(attempts.c.event_type == wanted.event_type)
    if wanted.delivered is not None:
        query = query.where(attempts.c.delivered == wanted.delivered)
    if wanted.delivered is False:
        query = query.where(_FAILED)
    if wanted.since is not None:
        query = query.where(attempts.c.started_at_ms >= to_epoch_ms(wanted.since))
    return query


def _reason(row: Row[Any]) -> str | None:
    """Say why a delivery is not attempted, or why it ended early."""
    if row.state == "delivered":
        return None
    if row.removed_at_ms is not None:
        return "removed"
    if row.state == "exhausted":
        return None
    if row.destination_state != "active":
        return str(row.destination_state)
    return None if row.opened_at_ms is None else "breaker_open"


def _moment(epoch_ms: int | None) -> datetime | None:
    return None if epoch_ms is None else from_epoch_ms(epoch_ms)
