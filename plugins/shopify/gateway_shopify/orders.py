"""What is known of each order: how new our news of it is, and what became of it here."""

from collections.abc import Collection, Sequence
from typing import Any, Final, Literal

import msgspec
from sqlalchemy import Row, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.plugin import Batcher, Gateway, Mode, new_id, to_epoch_ms
from gateway_shopify.schema import Release, ShopifyOrder
from gateway_shopify.tables import orders

_CHANGES: Final = (
    *("id", "mode", "state", "reason"),
    *("updated_at_ms", "seen_at_ms", "package_id", "facts"),
)
State = Literal["made", "waiting", "held", "skipped", "cancelled"]


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """The sealed part: the order's id and name; ``sent`` is kept while no package is made of it.

    ``problems`` are the gateway's own sentences on why it refused the order.
    """

    order_id: str
    name: str | None = None
    paid: bool = False
    problems: tuple[str, ...] = ()
    sent: ShopifyOrder | None = None
    release: Release | None = None


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """An order as it stands."""

    id: str
    shop: str
    index: bytes
    mode: Mode
    state: State
    updated_at_ms: int
    facts: Facts
    reason: str | None = None
    package_id: str | None = None
    fulfillment_id: str | None = None


class OrderBook:
    """Reads and writes what is known of orders."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._encoder = msgspec.json.Encoder()
        self._decoder = msgspec.json.Decoder(Facts)
        self._batcher: Batcher[Known, None] = Batcher(self._write)

    def index(self, shop: str, order_id: str) -> bytes:
        """Return the blind index of an order's id."""
        return self._gateway.sealer.blind_index("shopify_order", shop, order_id)

    def fresh_id(self) -> str:
        """Make an id for an order that was not known before."""
        return new_id("sho", self._gateway.clock.now())

    async def find(self, shop: str, order_id: str) -> Known | None:
        """Return what is known of an order."""
        found = await self._select(
            orders.c.shop == shop, orders.c.order_index == self.index(shop, order_id)
        )
        return found[0] if found else None

    async def of_package(self, package_id: str) -> Known | None:
        """Return the order that a package was made of."""
        found = await self._select(orders.c.package_id == package_id)
        return found[0] if found else None

    async def by_id(self, order_row_id: str) -> Known | None:
        """Return an order by our own id of it."""
        found = await self._select(orders.c.id == order_row_id)
        return found[0] if found else None

    async def page(
        self, shops: Collection[str], states: Collection[str], limit: int
    ) -> Sequence[Known]:
        """Return the orders in one of ``states``, the newest first."""
        return await self._select(
            orders.c.shop.in_(sorted(shops)), orders.c.state.in_(sorted(states)), limit=limit
        )

    async def of_shop(self, shop: str, order_ids: Collection[str] | None) -> Sequence[Known]:
        """Return these orders of a shop, or all of them."""
        if order_ids is None:
            return await self._select(orders.c.shop == shop)
        indexes = [self.index(shop, each) for each in order_ids]
        return await self._select(orders.c.shop == shop, orders.c.order_index.in_(indexes))

    async def counts(self, shop: str) -> dict[str, int]:
        """Return how many orders there are of each state."""
        query = select(orders.c.state, func.count()).where(orders.c.shop == shop)
        async with self._gateway.database.read() as connection:
            rows = await connection.execute(query.group_by(orders.c.state))
            return {row[0]: row[1] for row in rows}

    async def save(self, known: Known) -> None:
        """Write an order as it stands now; returns after the commit."""
        await self._batcher.submit(known)

    async def drained(self) -> None:
        """Wait until everything that was saved is stored."""
        await self._batcher.drained()

    async def _write(self, batch: Sequence[Known]) -> Sequence[None]:
        async with self._gateway.database.begin() as connection:
            dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
            new = dialect.insert(orders)
            await connection.execute(
                new.on_conflict_do_update(
                    index_elements=["shop", "order_index"],
                    set_={name: new.excluded[name] for name in _CHANGES},
                ),
                [self._row(known) for known in sorted(batch, key=lambda each: each.index)],
            )
        return [None] * len(batch)

    def _row(self, known: Known) -> dict[str, Any]:
        sealed = self._gateway.sealer.seal(
            self._encoder.encode(known.facts), table=orders.name, row_id=known.id
        )
        return {
            "shop": known.shop,
            "order_index": known.index,
            "id": known.id,
            "mode": known.mode,
            "state": known.state,
            "reason": known.reason,
            "updated_at_ms": known.updated_at_ms,
            "seen_at_ms": to_epoch_ms(self._gateway.clock.now()),
            "package_id": known.package_id,
            "facts": sealed,
        }

    async def fulfilled(self, known: Known, fulfillment_id: str) -> None:
        """Remember the fulfillment that stands for the package in the shop."""
        async with self._gateway.database.begin() as connection:
            await connection.execute(
                update(orders)
                .where(orders.c.shop == known.shop, orders.c.order_index == known.index)
                .values(fulfillment_id=fulfillment_id)
            )

    async def forget(self, connection: AsyncConnection, found: Sequence[Known]) -> None:
        """Keep of these orders no more than that there was one."""
        for known in found:
            bare = Facts(order_id="")
            sealed = self._gateway.sealer.seal(
                self._encoder.encode(bare), table=orders.name, row_id=known.id
            )
            await connection.execute(
                update(orders)
                .where(orders.c.shop == known.shop, orders.c.order_index == known.index)
                .values(facts=sealed)
            )

    async def _select(self, *where: Any, limit: int | None = None) -> Sequence[Known]:
        query = select(orders).where(*where).order_by(orders.c.id.desc()).limit(limit)
        async with self._gateway.database.read() as connection:
            return [self._known(row) for row in await connection.execute(query)]

    def _known(self, row: Row[Any]) -> Known:
        plain = self._gateway.sealer.unseal(bytes(row.facts), table=orders.name, row_id=row.id)
        return Known(
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
