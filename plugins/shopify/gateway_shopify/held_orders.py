"""Orders that made no package: looked up with the reason, and released by a person."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from gateway.plugin import AuditEntry, Caller, Conflict, Gateway, NotFound, new_id
from gateway_shopify.inbox import Arrival, Inbox
from gateway_shopify.inbox_worker import Worker
from gateway_shopify.mapping import REASONS
from gateway_shopify.orders import Known, OrderBook
from gateway_shopify.schema import RELEASED, Release, Released
from gateway_shopify.settings import ShopSettings

STATES: Final = ("held", "skipped", "waiting", "made", "cancelled")
_RELEASABLE: Final = frozenset({"held", "skipped", "waiting"})
_LIMIT: Final = 200
_PATIENCE_SECONDS: Final = 10.0
_MORE_REASONS: Final = {
    **REASONS,
    "too_late": "it changed after the package had left the pharmacy: see to it by hand",
    "change_rejected": "a change of it doesn't pass the gateway's rules: see to it by hand",
    "package_gone": "its package is not there any more",
}


class HeldOrders:
    """What a person may see and do about the orders of one account's shops."""

    def __init__(
        self,
        gateway: Gateway,
        shops: Mapping[str, ShopSettings],
        inbox: Inbox,
        book: OrderBook,
        worker: Worker,
    ) -> None:
        self._gateway = gateway
        self._shops = shops
        self._inbox = inbox
        self._book = book
        self._worker = worker

    async def list(self, caller: Caller, states: Sequence[str]) -> list[dict[str, Any]]:
        """Return the orders in one of ``states`` that ``caller`` may see, the newest first."""
        found = await self._book.page(self._shops_of(caller), states, _LIMIT)
        return [shown(each) for each in found if each.mode == caller.mode]

    async def release(self, caller: Caller, order_id: str, release: Release) -> dict[str, Any]:
        """Make a package of an order all the same; returns the order as it is after that.

        Raises ``NotFound``, and ``Conflict`` where there is a package, or nothing to make one of.
        """
        known = await self._book.by_id(order_id)
        if known is None or known.mode != caller.mode or known.shop not in self._shops_of(caller):
            raise NotFound("There is no such order; gateway shopify held lists them.")
        if known.state not in _RELEASABLE or known.facts.sent is None:
            raise Conflict(f"The order is {known.state}; there is nothing to release.")
        body = msgspec.json.encode(Released(known.facts.order_id, release))
        webhook_id = new_id("release", self._gateway.clock.now())
        await self._inbox.put(Arrival(known.shop, webhook_id, RELEASED, body, known.index))
        entry = AuditEntry(caller.account_id, caller.actor, "shopify.released", known.id)
        await self._gateway.audit.note([entry])
        await self._worker.drain(_PATIENCE_SECONDS)
        after = await self._book.by_id(order_id)
        return shown(after or known)

    def _shops_of(self, caller: Caller) -> set[str]:
        return {
            domain
            for domain, shop in self._shops.items()
            if shop.account == caller.account_id and caller.sees_site(shop.site)
        }


def shown(known: Known) -> dict[str, Any]:
    """Show an order without anybody's data: what it is called, where it stands, and why."""
    return {
        "id": known.id,
        "shop": known.shop,
        "order": known.facts.name or known.facts.order_id,
        "state": known.state,
        "reason": known.reason,
        "why": _MORE_REASONS.get(known.reason or ""),
        "problems": list(known.facts.problems),
        "package_id": known.package_id,
    }
