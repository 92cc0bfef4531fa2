"""WorkQueue: work that survives a crash, in a table of your own, on SQLite and PostgreSQL.

An item is put in the transaction that brings it about, claimed on a lease, and settled: done,
retried after a pause, or a dead letter. A killed process's items come back when their leases
end. Items of one subject are never in work at the same time. Work is at least once: between
what a handler did and :meth:`WorkQueue.settle` a process may be killed, so a handler has to
be repeatable.

A worked example, a plugin that prints labels::

    metadata = MetaData()
    labels = Table(
        "acme_labels",
        metadata,
        *queue_columns("acme_labels"),          # id, subject, state, due_at_ms, lease, …
        Column("payload", LargeBinary),
    )
    LABELS = QueueTable(
        name="acme-labels", table=labels, subject="subject", lease="lease", outcome="outcome",
        erase=("payload",),                     # erased when an item is done
    )

    class Labels:
        def __init__(self, settings, gateway):
            self.gateway = gateway
            self.queue = WorkQueue(LABELS, gateway, wake=lambda _name: self.worker.wake())
            self.worker = QueueWorker.of(self.queue, self.print, lease_seconds=60)

        async def order(self, package_id, payload):
            label_id = new_id("lbl", self.gateway.clock.now())
            sealed = self.gateway.sealer.seal(payload, table="acme_labels", row_id=label_id)
            async with self.gateway.database.begin() as connection:   # beside your own change
                await self.queue.put(
                    connection, [{"id": label_id, "subject": package_id, "payload": sealed}]
                )
            self.queue.wake()                       # after the commit; without it, in 2 seconds

        async def print(self, item):
            row = item.row
            payload = self.gateway.sealer.unseal(row.payload, table="acme_labels", row_id=row.id)
            if not await self.printer.take(payload):
                return item.retry("printer_busy")   # by the backoff schedule, then a dead letter
            return "printed"                        # done, with this outcome

        @hookimpl
        def tables(self):
            return PluginTables(metadata, MIGRATIONS, queues=[LABELS])  # metrics, health, clock

        @hookimpl
        def jobs(self):
            return [Job("acme-labels", self.worker.run, every_seconds=2)]  # retries, lost leases

        @hookimpl
        def lifespan(self):
            return [self.worker]                    # at the end, finishes what is in work

The migration says ``op.create_table("acme_labels", *queue_columns("acme_labels"), …)``: the same
columns and indexes.
"""

import logging
import secrets
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any, Final, Literal, NamedTuple, Protocol

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    Row,
    Text,
    bindparam,
    case,
    delete,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import ReturningUpdate

from gateway.clock import Clock, to_epoch_ms
from gateway.storage.batcher import Batcher
from gateway.storage.database import Database, insert_into
from gateway.storage.maintenance.locks import WORK_QUEUE_LOCK
from gateway.storage.queue_table import MAX_ATTEMPTS, QueueTable, open_items
from gateway.storage.transaction import Statement, fetch

_log = logging.getLogger(__name__)

_SWEEP_LIMIT: Final = 500
LEASE_ENDED: Final = "lease_ended"
_LOCK: Final = Statement(
    "", "SELECT pg_advisory_xact_lock(:queue, hashtext(:partition))", locks=True
)

Ending = Literal["done", "waiting", "dead", "held", "lost"]
"""An item's state after a settlement; ``lost``: the lease ended, and the item was taken again."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """An item in work, until ``lease_until``. ``attempts`` counts this one; ``row`` is all of it.

    Its methods make settlements, for :meth:`WorkQueue.settle` or :meth:`WorkQueue.finish`;
    ``values`` are further columns to set. ``reason`` and ``outcome`` are words, never patient
    data.
    """

    queue: str
    id: str
    attempts: int
    lease: str | None
    lease_until: datetime
    row: Row[Any]

    def done(self, outcome: str | None = None, **values: Any) -> "Settlement":
        """Settle it as done."""
        return Settlement(self, "done", outcome, None, values)

    def retry(self, reason: str, after_seconds: float | None = None, **values: Any) -> "Settlement":
        """Settle it for another attempt, after the schedule's pause or a longer ``after_seconds``.

        After the last attempt it becomes a dead letter instead.
        """
        return Settlement(self, "retry", reason, after_seconds, values)

    def bury(self, reason: str, **values: Any) -> "Settlement":
        """Settle it as a dead letter: no further attempt can succeed."""
        return Settlement(self, "dead", reason, None, values)

    def hold(self, reason: str, **values: Any) -> "Settlement":
        """Settle it as held until a person releases it, in a queue with that state."""
        return Settlement(self, "hold", reason, None, values)

    def release(self) -> "Settlement":
        """Settle it as not attempted: due at once, and this attempt doesn't count."""
        return Settlement(self, "release", None, None, {})


class Settlement(NamedTuple):
    """How an attempt ended, to be written."""

    item: Claimed
    kind: Literal["done", "retry", "dead", "hold", "release"]
    outcome: str | None
    after_seconds: float | None
    values: Mapping[str, Any]


class _Gateway(Protocol):
    """The parts of a gateway that a queue needs, once it is open."""

    @property
    def database(self) -> Database: ...
    @property
    def clock(self) -> Clock: ...


class _Claim(NamedTuple):
    limit: int
    lease_seconds: float
    partition: str | None
    where: Sequence[ColumnElement[bool]]


class WorkQueue:
    """A durable queue in the table that ``queue`` describes.

    ``gateway`` may be closed still: it is used once the queue is. ``wake(name)`` is called by
    :meth:`wake`, after a commit that put items.
    """

    def __init__(
        self,
        queue: QueueTable,
        gateway: _Gateway,
        *,
        wake: Callable[[str], None] = lambda _name: None,
    ) -> None:
        self.table = queue
        self._gateway = gateway
        self._wake = wake
        self._batcher: Batcher[_Claim | Settlement, Any] = Batcher(self._flush)
        position = queue.table.c.keys().index
        self._place = itemgetter(position(queue.due_at), position(queue.order))
        self._identity = itemgetter(position(queue.id), position(queue.attempts))
        self._open, self._open_or_dead = open_items(queue), open_items(queue, or_dead=True)

    async def put(
        self,
        connection: AsyncConnection,
        rows: Sequence[Mapping[str, Any]],
        *,
        due_at: datetime | None = None,
    ) -> set[str]:
        """Add items in the caller's transaction, due now or at ``due_at``; then :meth:`wake`.

        Each row holds the table's own columns, the id among them. A row that violates a unique
        index is left out; returns the ids of those that were added.
        """
        if not rows:
            return set()
        queue, now_ms = self.table, to_epoch_ms(self._gateway.clock.now())
        common = {
            queue.state: queue.waiting,
            queue.due_at: now_ms if due_at is None else to_epoch_ms(due_at),
            queue.lease_until: queue.no_lease,
            queue.attempts: 0,
        }
        if "created_at_ms" in queue.table.c:
            common["created_at_ms"] = now_ms
        new = insert_into(connection, queue.table).on_conflict_do_nothing()
        added = await connection.execute(
            new.returning(queue.table.c[queue.id]), [{**common, **row} for row in rows]
        )
        return set(added.scalars())

    def wake(self) -> None:
        """Say that items were committed; never waits and never fails."""
        self._wake(self.table.name)

    async def claim(
        self,
        limit: int,
        lease_seconds: float,
        *,
        partition: str | None = None,
        where: Sequence[ColumnElement[bool]] = (),
    ) -> list[Claimed]:
        """Take up to ``limit`` due items, the longest due first; returns after the commit.

        Claims and settlements that come together share one transaction, settlements first.
        """
        claimed: list[Claimed] = await self._batcher.submit(
            _Claim(limit, lease_seconds, partition, where)
        )
        return claimed

    async def finish(self, settlement: Settlement) -> Ending:
        """Write how an attempt ended; returns after the commit."""
        ending: Ending = await self._batcher.submit(settlement)
        return ending

    async def renew(self, item: Claimed, lease_seconds: float) -> bool:
        """Let the lease of an item in work end ``lease_seconds`` from now.

        For work that takes long: a short lease that is renewed comes back soon when a process is
        killed. Returns whether the item is still this claim's; when it isn't, leave it.
        """
        queue, columns = self.table, self.table.table.c
        if lease_seconds > queue.max_lease_seconds:
            raise ValueError(f"queue {queue.name}: a lease may last {queue.max_lease_seconds:g} s")
        until = self._gateway.clock.now() + timedelta(seconds=lease_seconds)
        async with self._gateway.database.begin() as connection:
            if item.id not in await self._held(connection, [item]):
                return False
            await connection.execute(
                update(queue.table)
                .where(columns[queue.id] == item.id)
                .values({columns[queue.lease_until]: to_epoch_ms(until)})
            )
        return True

    async def drained(self) -> None:
        """Wait until every claim and settlement that was begun here is committed."""
        await self._batcher.drained()

    def taking(
        self,
        *,
        in_partition: bool = False,
        where: Sequence[ColumnElement[bool]] = (),
        values: Mapping[str, Any] | None = None,
    ) -> ReturningUpdate[Any]:
        """Return the statement of :meth:`take`; building it costs more than running it.

        ``where`` and ``values`` may have bindparams of your own, not named as a column is.
        """
        queue, columns = self.table, self.table.table.c
        partition = bindparam("of_partition", type_=Text) if in_partition else None
        due = (
            queue.claimable(partition, where)
            .order_by(columns[queue.due_at], columns[queue.order])
            .limit(bindparam("most", type_=Integer))
            .with_for_update(skip_locked=True)
            .cte("due")  # a CTE, so that PostgreSQL evaluates (and locks) it exactly once
        )
        changes: dict[str, Any] = {
            **(values or {}),
            queue.lease_until: bindparam("until_ms", type_=BigInteger),
            queue.attempts: columns[queue.attempts] + 1,
        }
        if queue.leased is not None:
            changes[queue.state] = queue.leased
        if queue.lease is not None:
            changes[queue.lease] = bindparam("token", type_=Text)
        return (
            update(queue.table)
            .where(columns[queue.id].in_(select(due.c[0])))
            .values({columns[name]: value for name, value in changes.items()})
            .returning(queue.table)
        )

    async def take(  # noqa: PLR0913 - the two ways to say which
        self,
        connection: AsyncConnection,
        limit: int,
        lease_seconds: float,
        *,
        partition: str | None = None,
        where: Sequence[ColumnElement[bool]] = (),
        values: Mapping[str, Any] | None = None,
        statement: ReturningUpdate[Any] | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> list[Claimed]:
        """Claim in the caller's transaction; sets ``values`` of the claimed rows as well.

        One statement: that of ``where`` and ``values``, or one that :meth:`taking` made, with the
        ``parameters`` of your own. On PostgreSQL a queue with subjects takes a lock of its
        partition before it, until the transaction ends: what another claim holds has to be seen.
        """
        queue = self.table
        await self._lock(connection, partition)
        now = self._gateway.clock.now()  # not before: the lock may have been waited for
        if lease_seconds > queue.max_lease_seconds:
            raise ValueError(f"queue {queue.name}: a lease may last {queue.max_lease_seconds:g} s")
        until = now + timedelta(seconds=lease_seconds)
        if statement is None:
            statement = self.taking(in_partition=partition is not None, where=where, values=values)
        given: dict[str, Any] = {
            **(parameters or {}),
            "now_ms": to_epoch_ms(now),
            "until_ms": to_epoch_ms(until),
            "most": limit,
        }
        if partition is not None:
            given["of_partition"] = partition
        token = None
        if queue.lease is not None:
            given["token"] = token = secrets.token_urlsafe(18)
        rows = (await connection.execute(statement, given)).all()
        claimed = []
        for row in sorted(rows, key=self._place):
            item_id, attempts = self._identity(row)
            claimed.append(Claimed(queue.name, item_id, attempts, token, until, row))
        return claimed

    async def has_due(
        self,
        connection: AsyncConnection,
        *,
        partition: str | None = None,
        where: Sequence[ColumnElement[bool]] = (),
    ) -> bool:
        """Return whether a claim would find an item."""
        query = self.table.claimable(partition, where).limit(1)
        now_ms = to_epoch_ms(self._gateway.clock.now())
        return (await connection.execute(query, {"now_ms": now_ms})).first() is not None

    async def has_open(self, *, or_dead: bool = False) -> bool:
        """Return whether an item is neither done nor a dead letter; with ``or_dead`` not done."""
        statement = self._open_or_dead if or_dead else self._open
        return bool(await self._gateway.database.look(statement))

    async def settle(
        self, connection: AsyncConnection, settlements: Sequence[Settlement]
    ) -> list[Ending]:
        """Write how attempts ended in the caller's transaction, beside what they brought about.

        An item that was claimed again meanwhile, or that is settled already, stays as it is:
        ``lost``. One whose lease has merely ended counts.
        """
        held = await self._held(connection, [each.item for each in settlements])
        now = self._gateway.clock.now()
        endings: list[Ending] = []
        changes: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
        gone: list[str] = []
        for each in settlements:
            if each.item.id not in held:
                endings.append("lost")
                continue
            held.discard(each.item.id)  # twice in one batch: the first counts
            ending, new = self._after(each, now)
            endings.append(ending)
            if ending == "done" and self.table.done is None:
                gone.append(each.item.id)
            else:
                changes[tuple(sorted(new))].append({"of_item": each.item.id, **_new(new)})
        table, key = self.table.table, self.table.table.c[self.table.id]
        for names, rows in changes.items():
            values: dict[Any, Any] = {table.c[name]: bindparam(f"new_{name}") for name in names}
            await connection.execute(
                update(table).where(key == bindparam("of_item")).values(values), rows
            )
        if gone:
            await connection.execute(delete(table).where(key.in_(gone)))
        return endings

    async def lost(self, connection: AsyncConnection, limit: int) -> Sequence[Row[Any]]:
        """Return items whose lease has ended, locked, the longest lost first."""
        queue = self.table
        now_ms = to_epoch_ms(self._gateway.clock.now())
        ends = queue.table.c[queue.lease_until]
        query = (
            select(queue.table)
            .where(queue.is_lost(now_ms))
            .order_by(ends)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        return (await connection.execute(query)).all()

    async def sweep(self) -> int:
        """Make dead letters of items whose last attempt ended with its lease; wake for the others.

        An item that kills its process each time ends here. Returns how many leases had ended.
        """
        queue, columns = self.table, self.table.table.c
        async with self._gateway.database.read() as connection:
            if not await self._any_lost(connection):
                return 0
        async with self._gateway.database.begin() as connection:
            rows = await self.lost(connection, _SWEEP_LIMIT)
            ids = [_of(row, queue.id) for row in rows]
            exhausted = columns[queue.attempts] >= (queue.max_attempts or MAX_ATTEMPTS)
            changes: dict[Any, Any] = {
                columns[queue.state]: case((exhausted, queue.dead), else_=queue.waiting),
                columns[queue.lease_until]: queue.no_lease,
            }
            if queue.lease is not None:
                changes[columns[queue.lease]] = None
            if queue.outcome is not None:
                changes[columns[queue.outcome]] = LEASE_ENDED
            ended = await connection.execute(
                update(queue.table)
                .where(columns[queue.id].in_(ids))
                .values(changes)
                .returning(columns[queue.state])
            )
            dead = sum(state == queue.dead for state in ended.scalars())
        if dead:
            _log.error("queue %s: %s items are dead letters: %s", queue.name, dead, LEASE_ENDED)
        if len(ids) > dead:
            self.wake()
        return len(ids)

    async def dead_letters(
        self,
        connection: AsyncConnection,
        *,
        limit: int,
        before: int | str | None = None,
        where: Sequence[ColumnElement[bool]] = (),
    ) -> Sequence[Row[Any]]:
        """Return dead letters, the newest first.

        ``before`` is the ``order`` of the last one on the page before.
        """
        queue, order = self.table, self.table.table.c[self.table.order]
        query = select(queue.table).where(queue.is_state(queue.dead), *where)
        if before is not None:
            query = query.where(order < before)
        return (await connection.execute(query.order_by(order.desc()).limit(limit))).all()

    async def requeue(
        self,
        connection: AsyncConnection,
        *,
        ids: Collection[str] | None = None,
        partition: str | None = None,
        where: Sequence[ColumnElement[bool]] = (),
        state: str | None = None,
        values: Mapping[str, Any] | None = None,
    ) -> int:
        """Make dead letters due again, with all their attempts; returns how many.

        Those of ``ids``, or all; of one ``partition`` where the queue has any; held items where
        ``state`` is theirs. ``values`` are further columns to set. Then :meth:`wake`.
        """
        queue, columns = self.table, self.table.table.c
        await self._lock(connection, partition)
        conditions = [queue.is_state(state or queue.dead), *queue.within(partition), *where]
        if ids is not None:
            conditions.append(columns[queue.id].in_(sorted(ids)))
        again = await connection.execute(
            update(queue.table)
            .where(*conditions)
            .values(
                {
                    **{columns[name]: value for name, value in (values or {}).items()},
                    columns[queue.state]: queue.waiting,
                    columns[queue.due_at]: to_epoch_ms(self._gateway.clock.now()),
                    columns[queue.attempts]: 0,
                }
            )
        )
        return int(again.rowcount)

    async def _flush(self, asks: Sequence[_Claim | Settlement]) -> Sequence[Any]:
        settlements = [each for each in asks if isinstance(each, Settlement)]
        claims = [each for each in asks if isinstance(each, _Claim)]
        # Partitions in one order, so that no two processes wait for each other's lock.
        claims.sort(key=lambda each: each.partition or "")
        async with self._gateway.database.begin() as connection:
            endings = iter(await self.settle(connection, settlements) if settlements else ())
            claimed = {
                id(each): await self.take(
                    connection,
                    each.limit,
                    each.lease_seconds,
                    partition=each.partition,
                    where=each.where,
                )
                for each in claims
            }
        return [claimed[id(each)] if isinstance(each, _Claim) else next(endings) for each in asks]

    async def _lock(self, connection: AsyncConnection, partition: str | None) -> None:
        """Let one claim of a partition follow the other; SQLite's writers do so anyway."""
        if self.table.subject is not None and connection.dialect.name == "postgresql":
            of_partition = f"{self.table.name}:{partition or ''}"
            await fetch(connection, _LOCK, queue=WORK_QUEUE_LOCK, partition=of_partition)

    async def _held(self, connection: AsyncConnection, items: Sequence[Claimed]) -> set[str]:
        """Return the ids of those items that are still as they were claimed, locked."""
        queue, columns = self.table, self.table.table.c
        by_id = {item.id: item for item in items}
        proof = columns[queue.attempts if queue.lease is None else queue.lease]
        rows = await connection.execute(
            select(columns[queue.id], columns[queue.attempts], proof)
            .where(columns[queue.id].in_(sorted(by_id)), queue.is_open())
            .order_by(columns[queue.id])
            .with_for_update()
        )
        return {
            item_id
            for item_id, attempts, proven in rows
            if attempts == by_id[item_id].attempts
            and (queue.lease is None or proven == by_id[item_id].lease)
        }

    def _after(self, settlement: Settlement, now: datetime) -> tuple[Ending, dict[str, Any]]:
        """Return the state that follows, and the columns to set."""
        queue, item, kind = self.table, settlement.item, settlement.kind
        values: dict[str, Any] = {**settlement.values, queue.lease_until: queue.no_lease}
        if queue.lease is not None:
            values[queue.lease] = None
        if kind == "release":
            return "waiting", {
                **values,
                queue.state: queue.waiting,
                queue.due_at: to_epoch_ms(now),
                queue.attempts: item.attempts - 1,
            }
        if queue.outcome is not None:
            values[queue.outcome] = settlement.outcome
        if kind == "done":
            return "done", {**values, queue.state: queue.done, **dict.fromkeys(queue.erase)}
        if kind == "hold":
            if queue.held is None:
                raise ValueError(f"queue {queue.name} has no state for held items")
            return "held", {**values, queue.state: queue.held}
        if kind == "dead" or item.attempts >= (queue.max_attempts or item.attempts + 1):
            return "dead", {**values, queue.state: queue.dead}
        pause = settlement.after_seconds or 0.0
        if queue.backoff_seconds is not None:
            pause = max(pause, queue.backoff_seconds[item.attempts - 1])
        due_at_ms = to_epoch_ms(now + timedelta(seconds=pause))
        return "waiting", {**values, queue.state: queue.waiting, queue.due_at: due_at_ms}

    async def _any_lost(self, connection: AsyncConnection) -> bool:
        queue = self.table
        now_ms = to_epoch_ms(self._gateway.clock.now())
        query = select(queue.table.c[queue.id]).where(queue.is_lost(now_ms))
        return (await connection.execute(query.limit(1))).first() is not None


def _new(values: Mapping[str, Any]) -> dict[str, Any]:
    return {f"new_{name}": value for name, value in values.items()}


def _of(row: Row[Any], name: str) -> Any:
    return row._mapping[name]  # noqa: SLF001 - SQLAlchemy's public name for it
