"""The stored state of each order: its version, and its package."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec
from sqlalchemy import ColumnElement, Row, func, select, update
from sqlalchemy.dialects import sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.plugin import Batcher, Change, Gateway, Mode, new_id, note_changes, to_epoch_ms
from gateway_shopify.inbox import Inbox
from gateway_shopify.schema import Release, ShopifyOrder
from gateway_shopify.settings import ShopSettings
from gateway_shopify.tables import orders

TOPIC: Final = "shop_orders"
"""The topic of the feed of changes: orders whose state or reason changed."""
DISMISSED: Final = "dismissed"
"""The reason of an order that a person set aside."""
_UPDATED_COLUMNS: Final = (
    "id",
    "mode",
    "state",
    "reason",
    "updated_at_ms",
    "seen_at_ms",
    "package_id",
    "facts",
)
State = Literal["made", "waiting", "held", "skipped", "cancelled"]
FLAGS: Final = {
    "too_late": "it changed after the package left the pharmacy; call the driver",
    "change_rejected": "a change doesn't pass the gateway's rules; correct it in Shopify",
    "package_gone": "its package no longer exists",
    "address_removed": "it has no name or address any more; correct it in Shopify, or cancel it",
    "fulfilled_elsewhere": (
        "it was fulfilled in Shopify while its package is here; cancel the package, or cancel the "
        "fulfillment in Shopify"
    ),
    "on_hold": "its fulfillment was put on hold in Shopify; don't deliver before that ends",
    "now_pickup": "it was changed to pick-up; cancel the package, or correct it in Shopify",
    "reopened": "it is to be delivered again, but its package was cancelled; order it again",
    "warnings": "its package was made without a part of it; see the warnings",
}
"""Reasons why an order with a package needs a person, with their explanation."""


class OrderFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The sealed part: the order's id and name; ``sent`` is kept until a package is made.

    For a held order the inbox keeps it instead.

    ``problems`` are the gateway's reasons for rejecting the order, ``warnings`` its remarks on one
    that was made. ``cancelled`` and ``done`` (fulfilled, refunded or deleted) are never undone by a
    message of the same second. ``triggered_at_ms`` is the time of the message in milliseconds;
    ``digest`` identifies the data that was read from it.
    """

    order_id: str
    name: str | None = None
    paid: bool = False
    problems: tuple[str, ...] = ()
    sent: ShopifyOrder | None = None
    release: Release | None = None
    warnings: tuple[str, ...] = ()
    cancelled: bool = False
    done: bool = False
    deleted: bool = False
    triggered_at_ms: int | None = None
    digest: str | None = None


class OrderRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The stored state of one order."""

    id: str
    shop: str
    index: bytes
    mode: Mode
    state: State
    updated_at_ms: int
    facts: OrderFacts
    reason: str | None = None
    package_id: str | None = None
    fulfillment_id: str | None = None

    @property
    def is_flagged(self) -> bool:
        """Whether the order has a package and needs a person."""
        return self.package_id is not None and self.reason in FLAGS


class OrderStore:
    """Reads and writes order records."""

    def __init__(self, gateway: Gateway, shops: Mapping[str, ShopSettings], inbox: Inbox) -> None:
        self._gateway = gateway
        self._shops = shops
        self._inbox = inbox
        self._encoder = msgspec.json.Encoder()
        self._decoder = msgspec.json.Decoder(OrderFacts)
        self._batcher: Batcher[OrderRecord, None] = Batcher(self._write)

    def index(self, shop: str, order_id: str) -> bytes:
        """Return the blind index of an order's id."""
        return self._gateway.sealer.blind_index("shopify_order", shop, order_id)

    def new_id(self) -> str:
        """Return an id for a new record."""
        return new_id("sho", self._gateway.clock.now())

    async def find(self, shop: str, order_id: str) -> OrderRecord | None:
        """Return the record of an order."""
        found = await self._select(
            orders.c.shop == shop, orders.c.order_index == self.index(shop, order_id)
        )
        return found[0] if found else None

    async def of_package(self, package_id: str) -> OrderRecord | None:
        """Return the record of the order that a package was made from."""
        found = await self._select(orders.c.package_id == package_id)
        return found[0] if found else None

    async def by_id(self, order_row_id: str) -> OrderRecord | None:
        """Return a record by its id."""
        found = await self._select(orders.c.id == order_row_id)
        return found[0] if found else None

    async def sent_of(self, record: OrderRecord) -> ShopifyOrder | None:
        """Return the order as the shop sent it last; kept until a package is made."""
        return (await self.sents_of([record])).get(record.id)

    async def sents_of(self, records: Sequence[OrderRecord]) -> dict[str, ShopifyOrder]:
        """Return orders as the shop sent them last, by the ids of their records."""
        found = {each.id: each.facts.sent for each in records if each.facts.sent is not None}
        held = [each for each in records if each.state == "held" and each.id not in found]
        if not held:
            return found
        async with self._gateway.database.read() as connection:
            for shop in sorted({each.shop for each in held}):
                of_shop = {each.index: each.id for each in held if each.shop == shop}
                kept = await self._inbox.held(connection, shop, of_shop)
                found |= {of_shop[index]: read_sent(body) for index, (_, body) in kept.items()}
        return found

    async def page(
        self, shops: Collection[str], mode: Mode, states: Collection[str], limit: int
    ) -> Sequence[OrderRecord]:
        """Return the records in one of ``states``, or ``flagged``; the newest first."""
        wanted: ColumnElement[bool] = orders.c.state.in_(sorted(set(states) - {"flagged"}))
        if "flagged" in states:
            wanted |= orders.c.reason.in_(sorted(FLAGS)) & orders.c.package_id.is_not(None)
        return await self._select(
            orders.c.shop.in_(sorted(shops)), orders.c.mode == mode, wanted, limit=limit
        )

    async def of_shop(self, shop: str, order_ids: Collection[str] | None) -> Sequence[OrderRecord]:
        """Return the records of these orders of a shop, or of all."""
        if order_ids is None:
            return await self._select(orders.c.shop == shop)
        indexes = [self.index(shop, each) for each in order_ids]
        return await self._select(orders.c.shop == shop, orders.c.order_index.in_(indexes))

    async def counts(self, shop: str) -> dict[str, int]:
        """Return the number of orders in each state, and of those that are ``flagged``."""
        query = select(orders.c.state, func.count()).where(orders.c.shop == shop)
        flagged = select(func.count()).where(
            orders.c.shop == shop,
            orders.c.reason.in_(sorted(FLAGS)),
            orders.c.package_id.is_not(None),
        )
        async with self._gateway.database.read() as connection:
            rows = await connection.execute(query.group_by(orders.c.state))
            counts = {row[0]: row[1] for row in rows}
            return {**counts, "flagged": (await connection.execute(flagged)).scalar_one()}

    async def needing(self, shop: str, mode: Mode) -> dict[str, int]:
        """Return how many orders of a mode are ``held``, ``waiting`` and ``flagged``."""
        of_shop = [orders.c.shop == shop, orders.c.mode == mode]
        states = select(orders.c.state, func.count()).where(
            *of_shop, orders.c.state.in_(("held", "waiting"))
        )
        flagged = select(func.count()).where(
            *of_shop, orders.c.reason.in_(sorted(FLAGS)), orders.c.package_id.is_not(None)
        )
        async with self._gateway.database.read() as connection:
            rows = await connection.execute(states.group_by(orders.c.state))
            found = {row[0]: row[1] for row in rows}
            count = (await connection.execute(flagged)).scalar_one()
        return {"held": 0, "waiting": 0, **found, "flagged": count}

    async def newest_at_ms(self, shop: str) -> int | None:
        """Return when the shop's newest order was stored."""
        query = select(orders.c.seen_at_ms).where(orders.c.shop == shop)
        async with self._gateway.database.read() as connection:
            found = await connection.execute(query.order_by(orders.c.id.desc()).limit(1))
            return found.scalar()

    async def clear_flag(self, record: OrderRecord) -> None:
        """Clear the reason of a flagged order that a person has handled."""
        async with self._gateway.database.begin() as connection:
            await connection.execute(
                update(orders)
                .where(orders.c.id == record.id, orders.c.reason == record.reason)
                .values(reason=None)
            )
            await self._note(connection, [record])

    async def dismiss(self, record: OrderRecord) -> bool:
        """Dismiss a held order; return false if it is no longer held."""
        async with self._gateway.database.begin() as connection:
            query = select(orders).where(orders.c.id == record.id, orders.c.state == "held")
            row = (await connection.execute(query.with_for_update())).first()
            if row is None:
                return False
            record = self._record(row)
            kept = (await self._inbox.held(connection, record.shop, [record.index])).values()
            sent = next((read_sent(body) for _, body in kept), record.facts.sent)
            facts = msgspec.structs.replace(record.facts, sent=sent)
            await self._inbox.end_held(connection, record.shop, record.index, DISMISSED)
            after = msgspec.structs.replace(record, state="skipped", reason=DISMISSED, facts=facts)
            await self.write(connection, [after])
        return True

    async def save(self, record: OrderRecord) -> None:
        """Write a record; returns after the commit."""
        await self._batcher.submit(record)

    async def drained(self) -> None:
        """Wait until all submitted records are stored."""
        await self._batcher.drained()

    async def _write(self, batch: Sequence[OrderRecord]) -> Sequence[None]:
        async with self._gateway.database.begin() as connection:
            await self.write(connection, batch)
        return [None] * len(batch)

    async def write(self, connection: AsyncConnection, batch: Sequence[OrderRecord]) -> None:
        """Write records as the last thing of the caller's transaction."""
        dialect: Any = sqlite
        if connection.dialect.name == "postgresql":
            from sqlalchemy.dialects import postgresql as dialect  # where there is PostgreSQL
        new = dialect.insert(orders)
        await connection.execute(
            new.on_conflict_do_update(
                index_elements=["shop", "order_index"],
                set_={name: new.excluded[name] for name in _UPDATED_COLUMNS},
            ),
            [self._row(record) for record in sorted(batch, key=lambda each: each.index)],
        )
        await self._note(connection, batch)

    async def held_page(
        self, connection: AsyncConnection, after_id: str, limit: int
    ) -> Sequence[OrderRecord]:
        """Return held orders of every shop by their ids, locked for the caller's transaction."""
        query = select(orders).where(orders.c.state == "held", orders.c.id > after_id)
        query = query.order_by(orders.c.id).limit(limit).with_for_update()
        return [self._record(row) for row in await connection.execute(query)]

    async def _note(self, connection: AsyncConnection, batch: Sequence[OrderRecord]) -> None:
        """Note the change for open pages. Call it last in the transaction."""
        changes = []
        for record in batch:
            shop = self._shops.get(record.shop)
            if shop is not None:
                changes.append(Change(TOPIC, shop.account, record.mode, shop.site, [record.id]))
        await note_changes(connection, changes, self._gateway.clock.now())

    def _row(self, record: OrderRecord) -> dict[str, Any]:
        sealed = self._gateway.sealer.seal(
            self._encoder.encode(record.facts), table=orders.name, row_id=record.id
        )
        return {
            "shop": record.shop,
            "order_index": record.index,
            "id": record.id,
            "mode": record.mode,
            "state": record.state,
            "reason": record.reason,
            "updated_at_ms": record.updated_at_ms,
            "seen_at_ms": to_epoch_ms(self._gateway.clock.now()),
            "package_id": record.package_id,
            "facts": sealed,
        }

    async def set_fulfillment(self, record: OrderRecord, fulfillment_id: str) -> None:
        """Store the id of the shop's fulfillment for the package."""
        async with self._gateway.database.begin() as connection:
            await connection.execute(
                update(orders)
                .where(orders.c.shop == record.shop, orders.c.order_index == record.index)
                .values(fulfillment_id=fulfillment_id)
            )

    async def erase(self, connection: AsyncConnection, found: Sequence[OrderRecord]) -> None:
        """Erase all data of these orders except their state."""
        for record in found:
            bare = OrderFacts(
                order_id="",
                paid=record.facts.paid,
                cancelled=record.facts.cancelled,
                done=record.facts.done,
                deleted=record.facts.deleted,
            )
            sealed = self._gateway.sealer.seal(
                self._encoder.encode(bare), table=orders.name, row_id=record.id
            )
            await connection.execute(
                update(orders)
                .where(orders.c.shop == record.shop, orders.c.order_index == record.index)
                .values(facts=sealed)
            )

    async def _select(self, *where: Any, limit: int | None = None) -> Sequence[OrderRecord]:
        query = select(orders).where(*where).order_by(orders.c.id.desc()).limit(limit)
        async with self._gateway.database.read() as connection:
            return [self._record(row) for row in await connection.execute(query)]

    def _record(self, row: Row[Any]) -> OrderRecord:
        plain = self._gateway.sealer.unseal(bytes(row.facts), table=orders.name, row_id=row.id)
        return OrderRecord(
            id=row.id,
            shop=row.shop,
            index=bytes(row.order_index),
            mode=row.mode,
            state=row.state,
            updated_at_ms=row.updated_at_ms,
            facts=self._decoder.decode(plain),
            reason=row.reason,
            package_id=row.package_id,
            fulfillment_id=row.fulfillment_id,
        )


def read_sent(body: bytes) -> ShopifyOrder:
    """Read an order as the inbox keeps it."""
    return msgspec.json.decode(body, type=ShopifyOrder)
