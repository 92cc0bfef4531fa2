"""The inbox: a webhook is stored here before it is answered, and processed afterwards.

Webhooks that arrive together share one transaction. A message is leased while it is
processed, so a killed process's messages become due again. Two messages about one order are
never processed at the same time, in any process.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from sqlalchemy import Row, bindparam, delete, func, select, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.plugin import Batcher, Gateway, new_id, to_epoch_ms
from gateway_shopify.tables import LEASE_SECONDS, WAITING, messages

# An arbitrary number that is unique among the gateway's advisory locks.
_CLAIM_LOCK: Final = 0x0A0D5401
_LEASE: Final = timedelta(seconds=LEASE_SECONDS)
_MAX_CLAIMED: Final = 20
# After the last delay a message is set aside for the operator.
_BACKOFF_SECONDS: Final = (5, 30, 120, 600, 1800, 3600, 7200, 14400, 28800)
# How long a processed message is kept; Shopify repeats one for four hours.
KEPT: Final = timedelta(days=7)


class Arrival(NamedTuple):
    """A message to be stored; ``order_index`` is set if it is about an order."""

    shop: str
    webhook_id: str
    topic: str
    body: bytes
    order_index: bytes | None = None


class Message(NamedTuple):
    """A claimed message; ``attempts`` includes this one."""

    id: str
    shop: str
    topic: str
    body: bytes
    order_index: bytes | None
    received_at_ms: int
    attempts: int


class _Result(NamedTuple):
    """The columns to be updated after a message was processed."""

    id: str
    values: dict[str, Any]


class Inbox:
    """Stores messages, leases them out, and records their results."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._batcher: Batcher[Arrival, bool] = Batcher(self._store)
        self._settler: Batcher[_Result, None] = Batcher(self._write)
        self._in_work: set[str] = set()
        self._arriving = 0
        self._is_idle = asyncio.Event()
        self._is_idle.set()

    async def put(self, arrival: Arrival) -> bool:
        """Store a message; return after the commit whether it is new."""
        self._arriving += 1
        self._is_idle.clear()
        try:
            return await self._batcher.submit(arrival)
        finally:
            self._arriving -= 1
            if self._arriving == 0:
                self._is_idle.set()

    async def idle(self, timeout_seconds: float) -> None:
        """Wait until no webhook waits for its response, at most ``timeout_seconds``."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self._is_idle.wait()

    async def drained(self) -> None:
        """Wait until all messages and results are stored."""
        await self._batcher.drained()
        await self._settler.drained()

    async def _store(self, arrivals: Sequence[Arrival]) -> Sequence[bool]:
        now = self._gateway.clock.now()
        rows = {(each.shop, each.webhook_id): self._row(each, now) for each in arrivals}
        async with self._gateway.database.begin() as connection:
            dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
            # Sorted, so that two processes don't deadlock.
            values = [row for _, row in sorted(rows.items())]
            new = dialect.insert(messages).values(values).on_conflict_do_nothing()
            stored = await connection.execute(new.returning(messages.c.id))
            ids = set(stored.scalars())
        fresh = {key for key, row in rows.items() if row["id"] in ids}
        answers = []
        for each in arrivals:
            key = (each.shop, each.webhook_id)
            answers.append(key in fresh)
            fresh.discard(key)  # twice in one batch: the second is a duplicate
        return answers

    def _row(self, arrival: Arrival, now: datetime) -> dict[str, Any]:
        message_id, now_ms = new_id("shm", now), to_epoch_ms(now)
        sealed = self._gateway.sealer.seal(arrival.body, table=messages.name, row_id=message_id)
        return {
            "id": message_id,
            "shop": arrival.shop,
            "webhook_id": arrival.webhook_id,
            "topic": arrival.topic,
            "order_index": arrival.order_index,
            "received_at_ms": now_ms,
            "state": "waiting",
            "due_at_ms": now_ms,
            "lease_until_ms": 0,
            "attempts": 0,
            "body": sealed,
        }

    async def take_back(self) -> None:
        """Release the leases of an earlier process, on SQLite only.

        A SQLite file is served by one process at a time, so any lease that this process does
        not hold belongs to a killed one. On PostgreSQL leases expire.
        """
        if self._gateway.database.dialect != "sqlite":
            return
        async with self._gateway.database.begin() as connection:
            await connection.execute(
                update(messages)
                .where(
                    messages.c.state == "waiting",
                    messages.c.lease_until_ms > 0,
                    messages.c.id.not_in(sorted(self._in_work)),
                )
                .values(lease_until_ms=0)
            )

    async def claim(self) -> list[Message]:
        """Lease due messages, the oldest first, at most one per order."""
        now = self._gateway.clock.now()
        now_ms, until_ms = to_epoch_ms(now), to_epoch_ms(now + _LEASE)
        async with self._gateway.database.begin() as connection:
            if connection.dialect.name == "postgresql":  # on SQLite, writers take turns anyway
                await connection.execute(
                    text("SELECT pg_advisory_xact_lock(:key)"), {"key": _CLAIM_LOCK}
                )
            rows = await self._free(connection, now_ms)
            if rows:
                await connection.execute(
                    update(messages)
                    .where(messages.c.id.in_([row.id for row in rows]))
                    .values(lease_until_ms=until_ms, attempts=messages.c.attempts + 1)
                )
        self._in_work |= {row.id for row in rows}
        return [self._message(row) for row in rows]

    @staticmethod
    async def _free(connection: AsyncConnection, now_ms: int) -> list[Row[Any]]:
        waiting = text(WAITING)
        leased = select(messages.c.order_index).where(
            waiting, messages.c.lease_until_ms > now_ms, messages.c.order_index.is_not(None)
        )
        busy = {bytes(index) for index in (await connection.execute(leased)).scalars()}
        due = (
            select(messages)
            .where(waiting, messages.c.due_at_ms <= now_ms, messages.c.lease_until_ms <= now_ms)
            .order_by(messages.c.id)
            .limit(_MAX_CLAIMED * 4)
        )
        free: list[Row[Any]] = []
        for row in await connection.execute(due):
            index = None if row.order_index is None else bytes(row.order_index)
            if index is not None and index in busy:
                continue
            if index is not None:
                busy.add(index)
            free.append(row)
        return free[:_MAX_CLAIMED]

    def _message(self, row: Row[Any]) -> Message:
        body = self._gateway.sealer.unseal(bytes(row.body), table=messages.name, row_id=row.id)
        index = None if row.order_index is None else bytes(row.order_index)
        return Message(
            row.id, row.shop, row.topic, body, index, row.received_at_ms, row.attempts + 1
        )

    async def finish(self, message: Message, outcome: str) -> None:
        """Record a message's outcome and delete its body."""
        await self._settle(message, state="done", outcome=outcome)

    async def retry_later(
        self, message: Message, error: str, pause_seconds: float | None = None
    ) -> bool:
        """Schedule another attempt; return ``False`` if there are none left."""
        if message.attempts > len(_BACKOFF_SECONDS):
            await self._settle(message, state="failed", outcome=error)
            return False
        pause = max(_BACKOFF_SECONDS[message.attempts - 1], pause_seconds or 0)
        due_at = self._gateway.clock.now() + timedelta(seconds=pause)
        await self._settle(message, outcome=error, due_at_ms=to_epoch_ms(due_at))
        return True

    async def fail(self, message: Message, error: str) -> None:
        """Set a message aside that no retry can help."""
        await self._settle(message, state="failed", outcome=error)

    async def _settle(self, message: Message, **values: Any) -> None:
        self._in_work.discard(message.id)
        await self._settler.submit(_Result(message.id, values))

    async def _write(self, settled: Sequence[_Result]) -> Sequence[None]:
        """Record many results in one transaction, those that are done in one statement."""
        done = [each for each in settled if each.values.get("state") == "done"]
        async with self._gateway.database.begin() as connection:
            if done:
                await connection.execute(
                    update(messages)
                    .where(messages.c.id == bindparam("key"))
                    .values(state="done", lease_until_ms=0, body=None, outcome=bindparam("became")),
                    [{"key": each.id, "became": each.values["outcome"]} for each in done],
                )
            for each in settled:
                if each.values.get("state") != "done":
                    await connection.execute(
                        update(messages)
                        .where(messages.c.id == each.id)
                        .values(lease_until_ms=0, **each.values)
                    )
        return [None] * len(settled)

    async def retry_failed(self, shop: str) -> int:
        """Make all failed messages of a shop due again; return their number."""
        now_ms = to_epoch_ms(self._gateway.clock.now())
        async with self._gateway.database.begin() as connection:
            done = await connection.execute(
                update(messages)
                .where(messages.c.shop == shop, messages.c.state == "failed")
                .values(state="waiting", due_at_ms=now_ms, attempts=0)
            )
        return int(done.rowcount)

    async def erase(self, connection: AsyncConnection, shop: str, indexes: set[bytes]) -> int:
        """Erase all messages about these orders; return their number."""
        done = await connection.execute(
            update(messages)
            .where(
                messages.c.shop == shop,
                messages.c.order_index.in_(sorted(indexes)),
                messages.c.body.is_not(None),
            )
            .values(state="done", outcome="redacted", body=None)
        )
        return int(done.rowcount)

    async def delete_old(self) -> None:
        """Delete processed messages that are past their age."""
        before_ms = to_epoch_ms(self._gateway.clock.now() - KEPT)
        async with self._gateway.database.begin() as connection:
            await connection.execute(
                delete(messages).where(
                    messages.c.state == "done", messages.c.received_at_ms < before_ms
                )
            )

    async def counts(self, shop: str) -> dict[str, int]:
        """Return the number of messages in each state."""
        query = select(messages.c.state, func.count()).where(messages.c.shop == shop)
        async with self._gateway.database.read() as connection:
            rows = await connection.execute(query.group_by(messages.c.state))
            return {row[0]: row[1] for row in rows}
