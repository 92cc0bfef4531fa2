"""The inbox: a webhook is stored here before it is answered, and processed afterwards.

The gateway's own :class:`~gateway.plugin.Inbox`, in Shopify's words: a message's source is its
shop, its subject the blind index of its order.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import timedelta
from typing import Final, NamedTuple

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.plugin import (
    DEFAULT_ACCOUNT,
    Caller,
    Gateway,
    InboxItem,
    InboxMessage,
    Job,
    Mode,
    Settled,
    Settlement,
    from_epoch_ms,
    to_epoch_ms,
)
from gateway.plugin import Arrival as Incoming
from gateway.plugin import Inbox as GatewayInbox
from gateway_shopify.schema import HELD
from gateway_shopify.settings import ShopSettings

PLUGIN: Final = "shopify"
# Longer than a message takes; one that takes longer is processed twice.
LEASE_SECONDS: Final = 30.0
# How long a processed message is remembered; Shopify repeats one for four hours.
KEPT: Final = timedelta(days=7)
SUPERSEDED: Final = "superseded"
"""The outcome of a held order that a newer state replaced."""
_TRIGGERED_AT: Final = "triggered_at_ms"


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


class HeldOrder(NamedTuple):
    """A held order: the reason, and the order as it was read."""

    order_index: bytes
    mode: Mode
    reason: str
    body: bytes


class Message(NamedTuple):
    """A message being processed; ``item`` settles it."""

    item: InboxMessage
    id: str
    shop: str
    topic: str
    body: bytes
    order_index: bytes | None
    received_at_ms: int
    triggered_at_ms: int | None


Process = Callable[[Message], Awaitable[Settlement | Settled]]
"""Processes a message; returns how it is settled."""


class Inbox:
    """Stores messages; each is processed once, and again after a failure or a crash."""

    def __init__(
        self, gateway: Gateway, process: Process, shops: Mapping[str, ShopSettings] | None = None
    ) -> None:
        self._gateway = gateway
        self._process = process
        self._shops = shops or {}
        self._inbox = GatewayInbox(
            PLUGIN, gateway, self._handle, lease_seconds=LEASE_SECONDS, kept=KEPT
        )
        self.items = self._inbox.items
        self.queue = self._inbox.queue
        self.worker = self._inbox.worker

    async def put(self, arrival: Arrival) -> bool:
        """Store a message; return after the commit whether it is new."""
        return await self._inbox.put(self._incoming(arrival))

    async def adopt(
        self,
        connection: AsyncConnection,
        arrival: Arrival,
        state: str,
        reason: str | None,
        received_at_ms: int,
    ) -> None:
        """Store a message of the plugin's earlier inbox, in the caller's transaction."""
        incoming = self._incoming(arrival, received_at_ms)
        match state:
            case "waiting":
                await self._inbox.add(connection, [incoming])
            case "done":
                await self._inbox.add(connection, [incoming], state="done", reason=reason)
            case _:
                await self._inbox.add(connection, [incoming], state="dead", reason=reason)

    def jobs(self) -> list[Job]:
        """Return the jobs that find retries and lost leases, and delete old processed messages."""
        return self._inbox.jobs()

    async def hold(
        self,
        connection: AsyncConnection,
        message: Message,
        order: HeldOrder,
    ) -> Settled:
        """Settle a message as held with the order that was read, in the caller's transaction.

        It replaces an earlier held state of the order.
        """
        subject = order.order_index.hex()
        await self.items.end_held(connection, message.shop, subject, SUPERSEDED)
        settlement = message.item.hold(
            order.reason, body=order.body, kind=HELD, subject=subject, mode=order.mode
        )
        return await self._inbox.settle(connection, settlement)

    async def adopt_held(
        self, connection: AsyncConnection, shop: str, key: str, order: HeldOrder
    ) -> None:
        """Store an order that an earlier version held elsewhere, in the caller's transaction."""
        arrival = self._incoming(Arrival(shop, key, HELD, order.body, order.order_index))
        arrival = msgspec.structs.replace(arrival, mode=order.mode)
        await self._inbox.add(connection, [arrival], state="held", reason=order.reason)

    async def held(
        self, connection: AsyncConnection, shop: str, indexes: Collection[bytes]
    ) -> dict[bytes, tuple[InboxItem, bytes]]:
        """Return the held orders of a shop, released or not, by index."""
        found = await self.items.of_subjects(
            connection,
            shop,
            [each.hex() for each in indexes],
            states=("held", "waiting", "dead"),
            kind=HELD,
        )
        return {  # the newest message of an order comes first and is kept
            bytes.fromhex(item.subject): (item, content.body)
            for item, content in reversed(found)
            if item.subject is not None
        }

    async def release(self, shop: str, index: bytes, note: bytes) -> bool:
        """Process a held order, with the details that a person added; false if it isn't held."""
        async with self._gateway.database.begin() as connection:
            found = (await self.held(connection, shop, [index])).get(index)
            if found is None:
                return False
            item, _ = found
            if item.state != "waiting":  # otherwise it is released already
                owner = Caller(item.account_id, item.mode, f"{PLUGIN}:{shop}")
                await self.items.release(connection, owner, item.id, note)
        self.queue.wake()
        return True

    async def end_held(
        self, connection: AsyncConnection, shop: str, index: bytes, outcome: str
    ) -> None:
        """End the held state of an order, in the caller's transaction."""
        await self.items.end_held(connection, shop, index.hex(), outcome)

    async def drained(self) -> None:
        """Wait until all messages and settlements are stored."""
        await self._inbox.drained()

    async def retry_failed(self, shop: str) -> int:
        """Make all failed messages of a shop due again; return their number."""
        return await self._inbox.retry_dead(shop)

    async def erase(self, connection: AsyncConnection, shop: str, indexes: set[bytes]) -> int:
        """Erase all messages about these orders; return their number."""
        return await self.items.erase(connection, shop, [each.hex() for each in indexes])

    async def delete_old(self) -> None:
        """Delete processed messages that are past their age."""
        await self._inbox.delete_old()

    async def counts(self, shop: str) -> dict[str, int]:
        """Return the number of messages in each state; ``failed`` are dead letters."""
        async with self._gateway.database.read() as connection:
            found = await self.items.counts(connection, shop)
        return {"failed" if state == "dead" else state: count for state, count in found.items()}

    async def last_received_at_ms(self, shop: str) -> int | None:
        """Return when the shop's newest message arrived, in milliseconds since 1970."""
        async with self._gateway.database.read() as connection:
            at = await self.items.last_received_at(connection, shop)
        return None if at is None else to_epoch_ms(at)

    def _incoming(self, arrival: Arrival, received_at_ms: int | None = None) -> Incoming:
        shop = self._shops.get(arrival.shop)
        triggered = arrival.triggered_at_ms
        index = arrival.order_index
        return Incoming(
            key=arrival.webhook_id,
            body=arrival.body,
            source=arrival.shop,
            kind=arrival.topic,
            subject=None if index is None else index.hex(),
            details={} if triggered is None else {_TRIGGERED_AT: str(triggered)},
            account_id=DEFAULT_ACCOUNT if shop is None else shop.account,
            site=None if shop is None else shop.site,
            received_at=None if received_at_ms is None else from_epoch_ms(received_at_ms),
        )

    async def _handle(self, message: InboxMessage) -> Settlement | Settled:
        triggered = message.details.get(_TRIGGERED_AT)
        return await self._process(
            Message(
                item=message,
                id=message.id,
                shop=message.source,
                topic=message.kind,
                body=message.body,
                order_index=None if message.subject is None else bytes.fromhex(message.subject),
                received_at_ms=to_epoch_ms(message.received_at),
                triggered_at_ms=None if triggered is None else int(triggered),
            )
        )
