"""Orders without a package: listed with the reason, and released by a person."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import msgspec

from gateway.plugin import (
    AttentionItem,
    AttentionSource,
    AuditEntry,
    Caller,
    Conflict,
    Gateway,
    NotFound,
    masked,
    new_id,
)
from gateway_shopify.inbox import Arrival, Inbox
from gateway_shopify.mapping import REASONS
from gateway_shopify.orders import FLAGS, OrderRecord, OrderStore
from gateway_shopify.schema import RELEASED, Release, Released
from gateway_shopify.settings import ShopSettings

STATES: Final = ("held", "flagged", "skipped", "waiting", "made", "cancelled")
"""States to list orders by; ``flagged`` are those with a package that need a person."""
_RELEASABLE: Final = frozenset({"held", "skipped", "waiting"})
_LIMIT: Final = 200
# Fields of a listed order without patient data; "order" is the shop's number of it.
_OPEN: Final = ("shop", "why", "problems", "flagged", "warnings")
_TIMEOUT_SECONDS: Final = 10.0
_EXPLANATIONS: Final = {**REASONS, **FLAGS}


class HeldOrders:
    """Lists and releases the orders of an account's shops."""

    def __init__(
        self,
        gateway: Gateway,
        shops: Mapping[str, ShopSettings],
        inbox: Inbox,
        orders: OrderStore,
    ) -> None:
        self._gateway = gateway
        self._shops = shops
        self._inbox = inbox
        self._orders = orders

    async def list(self, caller: Caller, states: Sequence[str]) -> list[dict[str, Any]]:
        """Return the orders in one of ``states`` that ``caller`` may see, newest first."""
        shops = self._shops_of(caller)
        return [
            shown(each, caller)
            for each in await self._orders.page(shops, caller.mode, states, _LIMIT)
        ]

    def attention_sources(self) -> Sequence[AttentionSource]:
        """Return the source of held and flagged orders."""
        return [AttentionSource("shopify-held", "packages.read", self.attention)]

    async def attention(self, caller: Caller) -> Sequence[AttentionItem]:
        """Count, by shop, the orders that wait for a person: held ones, and flagged ones."""
        items = []
        for shop in sorted(self._shops_of(caller)):
            waiting = await self._orders.page({shop}, caller.mode, ("held", "flagged"), _LIMIT)
            if not waiting:
                continue
            message = "1 order waits for a person in the shop {shop}."
            if len(waiting) > 1:
                message = "{count} orders wait for a person in the shop {shop}."
            values = {"count": f"{len(waiting)}", "shop": shop}
            items.append(
                AttentionItem(
                    "shop_orders_held",
                    shop,
                    message.format(**values),
                    site=self._shops[shop].site,
                    command="gateway shopify held",
                    count=len(waiting),
                    message=message,
                    values=values,
                )
            )
        return items

    async def release(self, caller: Caller, order_id: str, release: Release) -> dict[str, Any]:
        """Make a package of an order in spite of the reason; return the order after that.

        Raises ``NotFound``, and ``Conflict`` if it has a package or can't be released.
        """
        record = await self._visible(caller, order_id)
        if record.state not in _RELEASABLE or record.facts.sent is None:
            raise Conflict(f"The order is {record.state}; there is nothing to release.")
        body = msgspec.json.encode(Released(record.facts.order_id, release))
        webhook_id = new_id("release", self._gateway.clock.now())
        await self._inbox.put(Arrival(record.shop, webhook_id, RELEASED, body, record.index))
        entry = AuditEntry.by(caller, "change", "shopify.released", record.id)
        await self._gateway.audit.note([entry])
        await self._inbox.worker.drain(_TIMEOUT_SECONDS)
        after = await self._orders.by_id(order_id)
        return shown(after or record, caller)

    async def clear(self, caller: Caller, order_id: str) -> dict[str, Any]:
        """Clear the flag of an order that a person has seen to; return the order.

        Raises ``NotFound``, and ``Conflict`` if it is not flagged.
        """
        record = await self._visible(caller, order_id)
        if not record.is_flagged:
            raise Conflict("The order is not flagged; there is nothing to clear.")
        await self._orders.clear_flag(record)
        entry = AuditEntry.by(caller, "change", "shopify.cleared", record.id)
        await self._gateway.audit.note([entry])
        return shown(await self._visible(caller, order_id), caller)

    async def _visible(self, caller: Caller, order_id: str) -> OrderRecord:
        record = await self._orders.by_id(order_id)
        if (
            record is None
            or record.mode != caller.mode
            or record.shop not in self._shops_of(caller)
        ):
            raise NotFound("There is no such order; see gateway shopify held.")
        return record

    def _shops_of(self, caller: Caller) -> set[str]:
        return {
            domain
            for domain, shop in self._shops.items()
            if shop.account == caller.account_id and caller.sees_site(shop.site)
        }


def shown(record: OrderRecord, caller: Caller) -> dict[str, Any]:
    """Return an order: its state and reason, and its name for a caller who may see it."""
    whole = {
        "id": record.id,
        "shop": record.shop,
        "order": record.facts.name or record.facts.order_id,
        "state": record.state,
        "reason": record.reason,
        "why": _EXPLANATIONS.get(record.reason or ""),
        "problems": list(record.facts.problems),
        "flagged": record.is_flagged,
        "warnings": list(record.facts.warnings),
        "package_id": record.package_id,
    }
    return cast("dict[str, Any]", masked(caller, whole, shown=_OPEN))
