"""The inbox: a webhook is stored here before it is answered, and processed afterwards.

A :class:`~gateway.plugin.WorkQueue`: webhooks that arrive together share one transaction; a
message is leased while it is processed, so a killed process's messages become due again; two
messages about one order are never processed at the same time, in any process.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.plugin import (
    Batcher,
    Claimed,
    Gateway,
    QueueWorker,
    Settlement,
    WorkQueue,
    new_id,
    to_epoch_ms,
)
from gateway_shopify.tables import INBOX, LEASE_SECONDS, messages

# A message is cancelled this long before its lease ends, so that its retry is recorded in time.
_MARGIN_SECONDS: Final = 1.0
_MAX_IN_FLIGHT: Final = 20
# Responses to webhooks go first, but not for longer than this: Shopify allows five seconds.
_IDLE_WAIT_SECONDS: Final = 0.5
# How long a processed message is kept; Shopify repeats one for four hours.
KEPT: Final = timedelta(days=7)

_log = logging.getLogger(__name__)


class Arrival(NamedTuple):
    """A message to be stored; ``order_index`` is set if it is about an order.

    ``triggered_at_ms`` is the time of the change at Shopify, in milliseconds since 1970.
    """

    shop: str
    webhook_id: str
    topic: str
    body: bytes
    order_index: bytes | None = None
    triggered_at_ms: int | None = None


class Message(NamedTuple):
    """A claimed message; ``item`` settles it."""

    item: Claimed
    id: str
    shop: str
    topic: str
    body: bytes
    order_index: bytes | None
    received_at_ms: int
    triggered_at_ms: int | None


Process = Callable[[Message], Awaitable[Settlement]]
"""Processes a message; returns how it is settled."""


class Inbox:
    """Stores messages, and has each processed once, again after a failure or a crash."""

    def __init__(self, gateway: Gateway, process: Process) -> None:
        self._gateway = gateway
        self._process = process
        self._arrivals: Batcher[Arrival, bool] = Batcher(self._store)
        self.queue = WorkQueue(INBOX, gateway, wake=lambda _name: self.worker.wake())
        self.worker = QueueWorker(self._claim, self._work, self.queue.sweep, _MAX_IN_FLIGHT)
        self._responding = 0
        self._is_idle = asyncio.Event()
        self._is_idle.set()

    async def put(self, arrival: Arrival) -> bool:
        """Store a message; return after the commit whether it is new."""
        self._responding += 1
        self._is_idle.clear()
        try:
            is_new = await self._arrivals.submit(arrival)
        finally:
            self._responding -= 1
            if self._responding == 0:
                self._is_idle.set()
        if is_new:
            self.queue.wake()
        return is_new

    async def drained(self) -> None:
        """Wait until all messages and settlements are stored."""
        await self._arrivals.drained()
        await self.queue.drained()

    async def _store(self, arrivals: Sequence[Arrival]) -> Sequence[bool]:
        now = self._gateway.clock.now()
        rows = {(each.shop, each.webhook_id): self._row(each, now) for each in arrivals}
        async with self._gateway.database.begin() as connection:
            # Sorted, so that two processes don't deadlock.
            ids = await self.queue.put(connection, [row for _, row in sorted(rows.items())])
        fresh = {key for key, row in rows.items() if row["id"] in ids}
        answers = []
        for each in arrivals:
            key = (each.shop, each.webhook_id)
            answers.append(key in fresh)
            fresh.discard(key)  # twice in one batch: the second is a duplicate
        return answers

    def _row(self, arrival: Arrival, now: datetime) -> dict[str, Any]:
        message_id = new_id("shm", now)
        sealed = self._gateway.sealer.seal(arrival.body, table=messages.name, row_id=message_id)
        return {
            "id": message_id,
            "shop": arrival.shop,
            "webhook_id": arrival.webhook_id,
            "topic": arrival.topic,
            "order_index": arrival.order_index,
            "received_at_ms": to_epoch_ms(now),
            "triggered_at_ms": arrival.triggered_at_ms,
            "body": sealed,
        }

    async def _claim(self, limit: int) -> Sequence[Claimed]:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_IDLE_WAIT_SECONDS):
                await self._is_idle.wait()
        return await self.queue.claim(limit, LEASE_SECONDS)

    async def _work(self, item: Claimed) -> None:
        row = item.row
        body = self._gateway.sealer.unseal(bytes(row.body), table=messages.name, row_id=row.id)
        message = Message(
            item=item,
            id=row.id,
            shop=row.shop,
            topic=row.topic,
            body=body,
            order_index=None if row.order_index is None else bytes(row.order_index),
            received_at_ms=row.received_at_ms,
            triggered_at_ms=row.triggered_at_ms,
        )
        try:
            async with asyncio.timeout(LEASE_SECONDS - _MARGIN_SECONDS):
                settlement = await self._process(message)
        except Exception as error:  # noqa: BLE001 - one message must not stop the others
            _log.error(
                "a webhook was not processed: %s",
                type(error).__name__,
                extra={"shop": row.shop, "topic": row.topic, "message_id": row.id},
            )
            settlement = item.retry("failed")
        await self.queue.finish(settlement)

    async def retry_failed(self, shop: str) -> int:
        """Make all failed messages of a shop due again; return their number."""
        async with self._gateway.database.begin() as connection:
            count = await self.queue.requeue(connection, where=[messages.c.shop == shop])
        self.queue.wake()
        return count

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
