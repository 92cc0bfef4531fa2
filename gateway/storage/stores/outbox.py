"""The outbox: deliveries that are due, taken on a lease, and how each try went.

The hot statements are here. Taking deliveries is one statement, safe against any
number of processes; recording is a handful for a whole batch, however many
destinations it touches.
"""

import secrets
from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import bindparam, exists, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import from_epoch_ms, to_epoch_ms
from gateway.model.delivery import ClaimedDelivery
from gateway.model.ids import new_ids
from gateway.storage.bulk import among, insert_rows
from gateway.storage.claiming import Lease, set_aside, taken
from gateway.storage.crypto.encryption import Sealer
from gateway.storage.delivery_rows import NEW_ATTEMPT, NEW_DELIVERY, NewDelivery, Settled
from gateway.storage.destination_health import give_probes_back, not_held
from gateway.storage.retention.erasure import refuse_purged
from gateway.storage.schema import attempts, deliveries, destinations
from gateway.storage.stores.events import EventStore

_STILL_OURS: Final = (
    deliveries.c.account_id == bindparam("account"),
    deliveries.c.id == bindparam("key"),
    deliveries.c.lease == bindparam("held"),
    deliveries.c.state == "pending",
)


class Outbox:
    """Queues, takes and settles deliveries."""

    def __init__(self, sealer: Sealer, events: EventStore) -> None:
        self._sealer = sealer
        self._events = events

    async def queue(
        self, connection: AsyncConnection, new: Sequence[NewDelivery], due_at: datetime
    ) -> list[str]:
        """Write ``new`` deliveries, due at ``due_at``; returns their ids."""
        if not new:
            return []
        due_at_ms = to_epoch_ms(due_at)
        ids = sorted(new_ids("dlv", due_at_ms, len(new)))
        rows = [
            (delivery_id, *item, "pending", 0, 0, due_at_ms, due_at_ms)
            for delivery_id, item in zip(ids, new, strict=True)
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
        """Take up to ``limit`` due deliveries of one destination, the longest due first.

        They come due again by themselves when the lease ends, unless settled before. What
        can't be read any more is given up instead.
        """
        now_ms, ends_ms = to_epoch_ms(now), to_epoch_ms(now + timedelta(seconds=lease_seconds))
        lease = Lease(secrets.token_hex(8), now_ms, ends_ms)
        rows = await taken(connection, destination_id, limit, lease)
        if not rows:
            return []
        happened = await self._events.by_id(connection, {row.event_id for row in rows})
        unreadable = [row for row in rows if row.event_id not in happened]
        if unreadable:
            await set_aside(connection, destination_id, unreadable, lease.now_ms)
        return [
            ClaimedDelivery(
                id=row.id,
                account_id=row.account_id,
                destination_id=destination_id,
                event=happened[row.event_id],
                attempt=row.attempts + 1,
                retry_index=row.retry_index,
                lease=lease.token,
                created_at=from_epoch_ms(row.created_at_ms),
                first_attempt_at=from_epoch_ms(row.first_attempt_at_ms),
            )
            for row in rows
            if row.event_id in happened
        ]

    async def settle(
        self, connection: AsyncConnection, settled: Sequence[Settled], now: datetime
    ) -> None:
        """Record tries and what follows from each, in one go.

        A success counts even when the lease was lost meanwhile, and whoever took it over
        gave up: it did arrive. A failure counts only while the lease is ours, so that it
        can't undo a success.
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
            await connection.execute(
                update(deliveries)
                .where(
                    deliveries.c.account_id == account_id,
                    among(connection, deliveries.c.id, ids),
                    deliveries.c.state != "delivered",
                )
                .values(
                    state="delivered",
                    attempts=deliveries.c.attempts + 1,
                    lease=None,
                    finished_at_ms=now_ms,
                )
            )
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

    @staticmethod
    def _afterwards(item: Settled, now_ms: int) -> dict[str, Any]:
        given_up = item.next_due_ms is None
        return {
            "account": item.delivery.account_id,
            "key": item.delivery.id,
            "held": item.delivery.lease,
            "new_state": "exhausted" if given_up else "pending",
            "new_due": now_ms if given_up else item.next_due_ms,
            "finished": now_ms if given_up else None,
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
        """Give back what was taken and not tried: due at once, its first try not begun."""
        await give_probes_back(connection, now, sorted({item.lease for item in claimed}))
        await connection.execute(
            update(deliveries)
            .where(*_STILL_OURS)
            .values(due_at_ms=to_epoch_ms(now), lease=None, first_attempt_at_ms=bindparam("first")),
            [
                {
                    "account": item.account_id,
                    "key": item.id,
                    "held": item.lease,
                    "first": to_epoch_ms(item.first_attempt_at) if item.retry_index else None,
                }
                for item in claimed
            ],
        )

    async def take_back(self, connection: AsyncConnection, now: datetime) -> None:
        """End every lease: what was taken by a process that is gone is due again at once."""
        await give_probes_back(connection, now)
        await connection.execute(
            update(deliveries)
            .where(
                # So that SQLite finds them by the index of what is due, among very many others.
                deliveries.c.destination_id.in_(select(destinations.c.id)),
                text("deliveries.state = 'pending'"),
                deliveries.c.due_at_ms > to_epoch_ms(now),
                deliveries.c.lease.is_not(None),
            )
            .values(due_at_ms=to_epoch_ms(now), lease=None)
        )

    async def destinations_with_work(self, connection: AsyncConnection, now: datetime) -> list[str]:
        """Return the active destinations that have something due, and aren't held back."""
        due = exists().where(
            deliveries.c.destination_id == destinations.c.id,
            deliveries.c.state == "pending",
            deliveries.c.due_at_ms <= to_epoch_ms(now),
        )
        active = select(destinations.c.id).where(
            destinations.c.state == "active", not_held(now), due
        )
        return list((await connection.execute(active)).scalars())

    async def send_again(
        self, connection: AsyncConnection, account_id: str, delivery_id: str, now: datetime
    ) -> None:
        """Start a delivery's retry schedule anew, due at once.

        Raises ``Conflict`` when what it said was emptied meanwhile.
        """
        await self.send_all_again(connection, account_id, [delivery_id], now)

    async def send_all_again(
        self,
        connection: AsyncConnection,
        account_id: str,
        delivery_ids: Collection[str],
        now: datetime,
    ) -> None:
        """Start the retry schedules of some hundred deliveries anew, all due at once.

        Raises ``Conflict`` when what one of them said was emptied meanwhile; then none is changed.
        """
        if not delivery_ids:
            return
        ids = sorted(delivery_ids)
        await refuse_purged(connection, account_id, ids)
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
