"""The outbox: due deliveries, their leases, and the outcome of each attempt.

The hot statements are here. Taking deliveries is one statement, safe against any
number of processes; recording is a handful for a whole batch, however many
destinations it touches.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    and_,
    bindparam,
    func,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import SMALLEST_STEP_SECONDS, Clock, to_epoch_ms
from gateway.errors import Conflict
from gateway.model.change import Change
from gateway.model.delivery import ClaimedDelivery, Outcome
from gateway.model.ids import new_ids
from gateway.storage.crypto.encryption import Sealer
from gateway.storage.database import Database, among, insert_rows
from gateway.storage.schema import attempts, deliveries, destinations, events
from gateway.storage.statements import (
    DELIVERED,
    DELIVERED_TO_HEALTHY,
    PENDING,
    WITH_WORK,
)
from gateway.storage.stores.changes import change_arrays, delivery_changes, note_changes
from gateway.storage.stores.claimed_rows import (
    ClaimedRow,
    Lease,
    Taken,
    as_deliveries,
    claim_rows,
)
from gateway.storage.stores.destinations import release_probes
from gateway.storage.stores.events import EventStore
from gateway.storage.transaction import Transaction, fetch, fetch_each


async def bury_unreadable(
    connection: AsyncConnection, destination_id: str, rows: Sequence[ClaimedRow], now_ms: int
) -> None:
    """Exhaust unreadable deliveries, so that they show and hold nothing up."""
    await connection.execute(
        update(deliveries)
        .where(
            deliveries.c.account_id.in_({row.account_id for row in rows}),
            deliveries.c.id.in_([row.id for row in rows]),
        )
        .values(
            state="exhausted",
            attempts=deliveries.c.attempts + 1,
            lease=None,
            finished_at_ms=now_ms,
        )
    )
    outcome = (now_ms, 0, False, None, "unreadable", None)
    rows_of_attempts = [
        (
            row.account_id,
            destination_id,
            row.id,
            row.event_id,
            row.event_type,
            row.attempts + 1,
            *outcome,
        )
        for row in rows
    ]
    await insert_rows(connection, attempts, NEW_ATTEMPT, rows_of_attempts)


class NewDelivery(NamedTuple):
    """One event for one destination, about to be queued."""

    account_id: str
    destination_id: str
    event_id: str
    event_type: str
    subject: str
    in_order: bool


NEW_DELIVERY: Final = (
    "id",
    *NewDelivery._fields,
    "state",
    "attempts",
    "retry_index",
    "due_at_ms",
    "created_at_ms",
    "lease",
    "first_attempt_at_ms",
)


class Claim(NamedTuple):
    """Which of some new deliveries are claimed from the start, by their places."""

    lease: str
    until_ms: int
    places: Collection[int]


NO_CLAIM: Final = Claim("", 0, ())

NEW_ATTEMPT: Final = (
    "account_id",
    "destination_id",
    "delivery_id",
    "event_id",
    "event_type",
    "number",
    "started_at_ms",
    "duration_ms",
    "delivered",
    "status",
    "error",
    "excerpt",
)


# NEW_ATTEMPT as the statement DELIVERED_TO_HEALTHY names its arrays.
_ATTEMPT_ARRAYS: Final = (
    "account_ids",
    "destinations",
    "ids",
    "event_ids",
    "event_types",
    "numbers",
    "started_at_ms",
    "durations_ms",
    "delivered",
    "statuses",
    "errors",
    "excerpts",
)


class Settled(NamedTuple):
    """A finished attempt: its delivery, its outcome, and when the next is due.

    ``next_due_ms`` is ``None`` when there is no next one: it was delivered, or is exhausted.
    ``noted_at`` is the wall-clock time, and the monotonic seconds, that it was reckoned from.
    """

    delivery: ClaimedDelivery
    outcome: Outcome
    next_due_ms: int | None
    noted_at: tuple[datetime, float] | None = None

    def by_present_clock(self, clock: Clock) -> "Settled":
        """Return it with its next time brought forward, if the clock was set back since then.

        An outcome waits in memory before it is stored, for an hour while the database is away;
        what is stored already was brought forward when the step was noticed.
        """
        if self.next_due_ms is None or self.noted_at is None:
            return self
        was_at, was_seconds = self.noted_at
        passed = clock.monotonic_seconds() - was_seconds
        back = passed - (clock.now() - was_at).total_seconds()
        if back <= SMALLEST_STEP_SECONDS:
            return self
        return self._replace(next_due_ms=self.next_due_ms - int(back * 1000))


_STILL_OURS: Final = (
    deliveries.c.account_id == bindparam("account"),
    deliveries.c.id == bindparam("key"),
    deliveries.c.lease == bindparam("held"),
    deliveries.c.state == "pending",
)


def _held(
    account_id: str, delivery_id: str, lease: str, retry_index: int, first_attempt_at_ms: int
) -> dict[str, Any]:
    first = first_attempt_at_ms if retry_index else None
    return {"account": account_id, "key": delivery_id, "held": lease, "first": first}


async def _release(
    connection: AsyncConnection, held: Sequence[Mapping[str, Any]], now: datetime
) -> None:
    await connection.execute(
        update(deliveries)
        .where(*_STILL_OURS)
        .values(due_at_ms=to_epoch_ms(now), lease=None, first_attempt_at_ms=bindparam("first")),
        held,
    )


class Outbox:
    """Queues, claims and settles deliveries."""

    def __init__(self, sealer: Sealer, events: EventStore) -> None:
        self._sealer = sealer
        self._events = events
        self.lease_prefix = ""
        """What the leases taken here begin with: the number of this process, if it has one."""

    def new_lease(self) -> str:
        """Return the token of a new lease."""
        return self.lease_prefix + os.urandom(8).hex()

    def lease_from(self, now: datetime, seconds: float) -> Lease:
        """Return a new lease from ``now`` on."""
        ends_at = now + timedelta(seconds=seconds)
        return Lease(self.new_lease(), to_epoch_ms(now), to_epoch_ms(ends_at))

    async def queue(
        self,
        connection: AsyncConnection,
        new: Sequence[NewDelivery],
        due_at: datetime,
        claimed: Claim = NO_CLAIM,
    ) -> list[str]:
        """Write ``new`` deliveries, due at ``due_at`` or claimed already; returns their ids."""
        if not new:
            return []
        due_at_ms, until_ms = to_epoch_ms(due_at), claimed.until_ms
        ids = sorted(new_ids("dlv", due_at_ms, len(new)))
        free = (due_at_ms, due_at_ms, None, None)
        leased = (until_ms, due_at_ms, claimed.lease, due_at_ms)
        rows = [
            (delivery_id, *item, "pending", 0, 0, *(leased if place in claimed.places else free))
            for place, (delivery_id, item) in enumerate(zip(ids, new, strict=True))
        ]
        await insert_rows(connection, deliveries, NEW_DELIVERY, rows)
        return ids

    async def claim(
        self,
        connection: AsyncConnection,
        destination_id: str,
        *,
        limit: int,
        now: datetime,
        lease_seconds: float,
    ) -> list[ClaimedDelivery]:
        """Claim up to ``limit`` due deliveries of one destination, the longest due first.

        They are due again when the lease ends, unless settled before. Unreadable ones are
        exhausted instead.
        """
        lease = self.lease_from(now, lease_seconds)
        rows = await claim_rows(connection, destination_id, limit, lease)
        if not rows:
            return []
        happened = await self._events.by_id(connection, {row.event_id for row in rows})
        unreadable = [row for row in rows if row.event_id not in happened]
        if unreadable:
            await bury_unreadable(connection, destination_id, unreadable, lease.now_ms)
        return as_deliveries(destination_id, lease, rows, happened)

    def read(self, taken: Taken) -> tuple[list[ClaimedDelivery], list[ClaimedRow]]:
        """Return the deliveries in the order of their ids, and those whose event is unreadable."""
        happened = self._events.read(row for row in taken.happened if row[0] is not None)
        rows = sorted(taken.rows)
        unreadable = [row for row in rows if row.event_id not in happened]
        return as_deliveries(taken.destination[0], taken.lease, rows, happened), unreadable

    async def give_back(self, connection: AsyncConnection, taken: Taken, now: datetime) -> None:
        """Release deliveries that this process can't read; they are due at once."""
        held = [
            _held(
                row.account_id, row.id, taken.lease.token, row.retry_index, row.first_attempt_at_ms
            )
            for row in taken.rows
        ]
        await _release(connection, held, now)

    async def settle(
        self, connection: AsyncConnection, settled: Sequence[Settled], now: datetime
    ) -> None:
        """Record attempts and the state that follows from each.

        A success counts even when the lease was lost and another process exhausted the delivery:
        it did arrive. A failure counts only while the lease is held, so that it can't undo a
        success.
        """
        now_ms = to_epoch_ms(now)
        arrived: dict[str, list[str]] = defaultdict(list)
        again = []
        for item in settled:
            if item.outcome.delivered:
                arrived[item.delivery.account_id].append(item.delivery.id)
            else:
                again.append(self._afterwards(item, now_ms))
        for account_id, ids in arrived.items():
            await fetch_each(connection, DELIVERED, "id", ids, account_id=account_id, now_ms=now_ms)
        if again:
            await connection.execute(
                update(deliveries)
                .where(*_STILL_OURS)
                .values(
                    state=bindparam("new_state"),
                    attempts=deliveries.c.attempts + 1,
                    retry_index=deliveries.c.retry_index + 1,
                    due_at_ms=bindparam("new_due"),
                    lease=None,
                    finished_at_ms=bindparam("finished"),
                ),
                again,
            )
        rows = [self._attempt(item) for item in settled]
        await insert_rows(connection, attempts, NEW_ATTEMPT, rows)

    async def settle_delivered(
        self, transaction: Transaction, settled: Sequence[Settled], now: datetime
    ) -> bool:
        """Record successes, and those of their destinations, in one round trip (PostgreSQL).

        ``False``, and nothing is written, where the health of a destination has to be changed.
        """
        columns = list(zip(*(self._attempt(item) for item in settled), strict=True))
        [found] = await transaction.finish(
            DELIVERED_TO_HEALTHY,
            now_ms=to_epoch_ms(now),
            destination_ids=sorted(set(columns[1])),
            **change_arrays(delivery_changes(item.delivery for item in settled)),
            **{name: list(each) for name, each in zip(_ATTEMPT_ARRAYS, columns, strict=True)},
        )
        return bool(found[0])

    @staticmethod
    def _afterwards(item: Settled, now_ms: int) -> dict[str, Any]:
        exhausted = item.next_due_ms is None
        return {
            "account": item.delivery.account_id,
            "key": item.delivery.id,
            "held": item.delivery.lease,
            "new_state": "exhausted" if exhausted else "pending",
            "new_due": now_ms if exhausted else item.next_due_ms,
            "finished": now_ms if exhausted else None,
        }

    def _attempt(self, item: Settled) -> tuple[Any, ...]:
        delivery, outcome = item.delivery, item.outcome
        excerpt = None
        if outcome.excerpt:
            excerpt = self._sealer.seal(
                outcome.excerpt, table="attempts", row_id=f"{delivery.id}:{delivery.attempt}"
            )
        return (
            delivery.account_id,
            delivery.destination_id,
            delivery.id,
            delivery.event.id,
            delivery.event.type,
            delivery.attempt,
            to_epoch_ms(outcome.started_at),
            outcome.duration_ms,
            outcome.delivered,
            outcome.status,
            outcome.error,
            excerpt,
        )

    async def release(
        self, connection: AsyncConnection, claimed: Collection[ClaimedDelivery], now: datetime
    ) -> None:
        """Release deliveries that were claimed and not attempted; they are due at once."""
        await release_probes(connection, now, sorted({item.lease for item in claimed}))
        held = [
            _held(
                item.account_id,
                item.id,
                item.lease,
                item.retry_index,
                to_epoch_ms(item.first_attempt_at),
            )
            for item in claimed
        ]
        await _release(connection, held, now)

    async def end_leases(
        self, connection: AsyncConnection, leases: Mapping[str, Collection[str]], now: datetime
    ) -> list[str]:
        """End leases, by their destinations; returns the destinations that had any."""
        ended = await connection.execute(
            update(deliveries)
            .where(
                deliveries.c.destination_id.in_(sorted(set().union(*leases.values()))),
                text("deliveries.state = 'pending'"),
                deliveries.c.due_at_ms > to_epoch_ms(now),
                deliveries.c.lease.in_(sorted(leases)),
            )
            .values(due_at_ms=to_epoch_ms(now), lease=None, first_attempt_at_ms=None)
            .returning(deliveries.c.destination_id)
        )
        return sorted(set(ended.scalars()))

    async def take_back(self, connection: AsyncConnection, now: datetime) -> None:
        """End every lease: deliveries that a killed process had claimed are due at once."""
        await release_probes(connection, now)
        await connection.execute(
            update(deliveries)
            .where(
                # So that SQLite uses the index of due deliveries.
                deliveries.c.destination_id.in_(select(destinations.c.id)),
                text("deliveries.state = 'pending'"),
                deliveries.c.due_at_ms > to_epoch_ms(now),
                deliveries.c.lease.is_not(None),
            )
            .values(due_at_ms=to_epoch_ms(now), lease=None)
        )

    async def any_pending(self, database: Database) -> bool:
        """Return whether a delivery is neither delivered nor given up; asked every second."""
        return bool(await database.look(PENDING))

    async def destinations_with_work(self, connection: AsyncConnection, now: datetime) -> list[str]:
        """Return the active destinations with due deliveries, but those held back."""
        found = await fetch(connection, WITH_WORK, now_ms=to_epoch_ms(now))
        return [destination_id for (destination_id,) in found]

    async def count_due(
        self, connection: AsyncConnection, destination_id: str, now: datetime, *, limit: int
    ) -> int:
        """Count the due deliveries of a destination, up to ``limit``."""
        due = (
            select(deliveries.c.id)
            .where(
                deliveries.c.destination_id == destination_id,
                deliveries.c.state == "pending",
                deliveries.c.due_at_ms <= to_epoch_ms(now),
            )
            .limit(limit)
            .subquery()
        )
        return int((await connection.execute(select(func.count()).select_from(due))).scalar_one())

    async def resend(
        self, connection: AsyncConnection, account_id: str, delivery_id: str, now: datetime
    ) -> None:
        """Restart a delivery's retry schedule, due at once.

        Raises ``Conflict`` when its content was erased.
        """
        await self.resend_all(connection, account_id, [delivery_id], now)

    async def resend_all(
        self,
        connection: AsyncConnection,
        account_id: str,
        delivery_ids: Collection[str],
        now: datetime,
    ) -> None:
        """Restart the retry schedules of some hundred deliveries, all due at once.

        Raises ``Conflict`` when the content of one of them was erased; then none is changed.
        """
        if not delivery_ids:
            return
        ids = sorted(delivery_ids)
        await refuse_erased(connection, account_id, ids)
        await connection.execute(
            update(deliveries)
            .where(deliveries.c.account_id == account_id, among(connection, deliveries.c.id, ids))
            .values(
                state="pending",
                retry_index=0,
                due_at_ms=to_epoch_ms(now),
                lease=None,
                first_attempt_at_ms=None,
                finished_at_ms=None,
            )
        )


async def expire(
    connection: AsyncConnection,
    *,
    older_than: datetime,
    now: datetime,
    limit: int,
    sinks: Collection[str],
) -> dict[str, int]:
    """Exhaust up to ``limit`` deliveries first attempted, or due, before ``older_than``.

    Only those of destinations that are not called: disabled, failing all that time behind an
    open breaker, or of a sink that is none of ``sinks``. The others get a last attempt, and a
    paused destination keeps its deliveries. Leased ones are left alone. Returns how many, by
    destination.
    """
    # Not from its creation: a delivery that is sent again starts over, however old it is.
    began_ms = func.coalesce(deliveries.c.first_attempt_at_ms, deliveries.c.due_at_ms)
    not_called = and_(
        destinations.c.state == "active",
        or_(
            destinations.c.sink.not_in(sorted(sinks)),
            and_(
                destinations.c.opened_at_ms.is_not(None),
                destinations.c.failing_since_ms < to_epoch_ms(older_than),
            ),
        ),
    )
    overdue = (
        select(deliveries.c.account_id, deliveries.c.id)
        .join(destinations, destinations.c.id == deliveries.c.destination_id)
        .where(
            or_(destinations.c.state == "disabled", not_called),
            deliveries.c.state == "pending",
            deliveries.c.due_at_ms <= to_epoch_ms(now),
            began_ms < to_epoch_ms(older_than),
        )
        .limit(limit)
        .with_for_update(of=deliveries, skip_locked=True)
        .cte("overdue")
    )
    rows = await connection.execute(
        update(deliveries)
        .where(
            deliveries.c.account_id.in_(select(overdue.c.account_id)),
            deliveries.c.id.in_(select(overdue.c.id)),
            deliveries.c.state == "pending",
        )
        .values(state="exhausted", lease=None, finished_at_ms=to_epoch_ms(now))
        .returning(deliveries.c.destination_id)
    )
    counted = Counter(rows.scalars())
    await note_changes(connection, await _endpoint_changes(connection, counted), now)
    return dict(counted)


async def _endpoint_changes(
    connection: AsyncConnection, counted: Mapping[str, int]
) -> list[Change]:
    """Return destinations whose deliveries changed, with the number of these."""
    if not counted:
        return []
    rows = await connection.execute(
        select(
            destinations.c.id, destinations.c.account_id, destinations.c.mode, destinations.c.site
        ).where(destinations.c.id.in_(sorted(counted)))
    )
    return [
        Change("deliveries", row.account_id, row.mode, row.site, [row.id], counted[row.id])
        for row in rows
    ]


async def refuse_erased(
    connection: AsyncConnection, account_id: str, delivery_ids: Sequence[str]
) -> None:
    """Raise ``Conflict`` if the content of one was erased; locks the others until the end."""
    found = await connection.execute(
        select(events.c.purged)
        .join(deliveries, deliveries.c.event_id == events.c.id)
        .where(
            deliveries.c.account_id == account_id,
            among(connection, deliveries.c.id, delivery_ids),
        )
        .order_by(events.c.sequence)  # as retention locks them
        .with_for_update(read=True, of=events)
    )
    if any(found.scalars()):
        raise Conflict(
            "The content of this delivery was erased at its age ([retention] payload_days): "
            "there is nothing left to send."
        )
