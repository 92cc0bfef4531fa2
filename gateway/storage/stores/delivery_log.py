"""The delivery log: deliveries and their attempts, for lists and look-ups."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Row, Select, and_, exists, or_, select, text, true
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import from_epoch_ms, to_epoch_ms
from gateway.model.account import Caller
from gateway.model.delivery import Attempt, Delivery
from gateway.storage.crypto.encryption import Sealer
from gateway.storage.database import among
from gateway.storage.schema import EXHAUSTED, FAILED, attempts, deliveries, destinations, events
from gateway.storage.tenancy import of_sites, visible_to

# SQLite uses a partial index only where a query repeats its condition word by word
# (https://www.sqlite.org/partialindex.html); and it prefers it to the full index, which has the
# same order, because the column itself is compared as well.
_EXHAUSTED: Final = text(f"deliveries.{EXHAUSTED}")
_FAILED: Final = text(FAILED)
_PENDING: Final = text("deliveries.state = 'pending'")
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
