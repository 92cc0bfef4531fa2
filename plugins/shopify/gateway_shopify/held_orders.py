"""Orders without a package: listed with the reason, and released by a person."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, cast

import msgspec

from gateway.plugin import (
    AttentionDetail,
    AttentionItem,
    AttentionSource,
    AuditEntry,
    Caller,
    Conflict,
    Gateway,
    NotFound,
    from_epoch_ms,
    masked,
    new_id,
    timestamp,
)
from gateway_shopify.inbox import Arrival, Inbox
from gateway_shopify.mapping import REASONS, decide, digest_of, name_of
from gateway_shopify.orders import FLAGS, OrderRecord, OrderStore
from gateway_shopify.package_sync import rehearsed
from gateway_shopify.schema import RELEASED, Release, Released, ShopifyOrder
from gateway_shopify.settings import ShopSettings
from gateway_shopify.shops import ShopDirectory

STATES: Final = ("held", "flagged", "skipped", "waiting", "made", "cancelled")
"""States to list orders by; ``flagged`` are those with a package that need a person."""
RELEASABLE: Final = frozenset({"held", "skipped", "waiting"})
"""States of orders that a person may release."""
_LIMIT: Final = 200
# Fields of a listed order without patient data; "order" is the shop's number of it.
_OPEN: Final = ("shop", "why", "problems", "flagged", "warnings", "outcome", "makes", "digest")
_TIMEOUT_SECONDS: Final = 10.0
EXPLANATIONS: Final = {**REASONS, **FLAGS}
"""Every reason in words."""
# The fields of a preview, in the order of the page.
_MADE: Final = (
    *("patient_name", "patient_address", "patient_phone", "rx_number", "delivery_date", "site"),
    *("priority", "requires_signature", "copay_amount", "notes"),
)


def _(text: str) -> str:
    """Mark a text for the catalogs; it is translated where it is shown."""
    return text


_ONE_HELD: Final = _("1 order waits for a person in the shop {shop}.")
_SEVERAL_HELD: Final = _("{count} orders wait for a person in the shop {shop}.")


_WAITS: Final = {
    "held": _("held: no package yet"),
    "flagged": _("with a package that the shop changed"),
}


class HeldOrders:
    """Lists and releases the orders of an account's shops."""

    def __init__(
        self,
        gateway: Gateway,
        directory: ShopDirectory,
        inbox: Inbox,
        orders: OrderStore,
    ) -> None:
        self._gateway = gateway
        self._directory = directory
        self._shops: Mapping[str, ShopSettings] = directory.configured
        self._inbox = inbox
        self._orders = orders

    async def list(self, caller: Caller, states: Sequence[str]) -> list[dict[str, Any]]:
        """Return the orders in one of ``states`` that ``caller`` may see, newest first."""
        shops = self._shops_of(caller)
        found = await self._orders.page(shops, caller.mode, states, _LIMIT)
        sents = await self._orders.sents_of(found)
        return [shown(each, caller, sents.get(each.id)) for each in found]

    async def get(self, caller: Caller, order_id: str) -> dict[str, Any]:
        """Return one order; raises ``NotFound``."""
        record = await self._visible(caller, order_id)
        return shown(record, caller, await self._orders.sent_of(record))

    async def preview(self, caller: Caller, order_id: str, release: Release) -> dict[str, Any]:
        """Return the result of a release without storing anything.

        ``outcome`` is ``make``, ``hold`` or ``skip`` with the reason; ``makes`` has the package's
        order as far as ``caller`` may see it, ``digest`` identifies the preview. Raises
        ``NotFound``, and ``Conflict`` if there is nothing to release.
        """
        return await self._preview(caller, await self._releasable(caller, order_id), release)

    async def reveal(
        self, caller: Caller, order_id: str, release: Release
    ) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """Return an order and its preview as far as ``caller`` may see them, and audit that."""
        record = await self._visible(caller, order_id)
        entry = AuditEntry.by(caller, "reveal", "shopify.revealed", record.id)
        await self._gateway.audit.note([entry])
        sent = await self._orders.sent_of(record)
        makes = None
        if sent is not None and record.state in RELEASABLE:
            makes = await self._preview(caller, record, release)
        return shown(record, caller, sent), makes

    async def _preview(
        self, caller: Caller, record: OrderRecord, release: Release
    ) -> dict[str, Any]:
        shop, sent = self._shops[record.shop], await self._orders.sent_of(record)
        if sent is None:
            raise Conflict("The order's data is gone; there is nothing to release.")
        decision = decide(sent, shop, release, self._directory.country(shop))
        errors, warnings = await rehearsed(self._gateway, shop, record.mode, decision)
        outcome, reason = decision.outcome, decision.reason
        if errors:
            outcome, reason = "hold", "rejected"
        made = None if decision.order is None else msgspec.structs.asdict(decision.order)
        whole = {
            "id": record.id,
            "outcome": outcome,
            "reason": reason,
            "why": EXPLANATIONS.get(reason or ""),
            "problems": errors,
            "warnings": warnings,
            "digest": digest_of(decision),
            "makes": None if made is None else {name: made[name] for name in _MADE},
        }
        return cast("dict[str, Any]", masked(caller, whole, shown=_OPEN))

    def attention_sources(self) -> Sequence[AttentionSource]:
        """Return the source of held and flagged orders."""
        return [AttentionSource("shopify-held", "packages.read", self.attention)]

    async def attention(self, caller: Caller) -> Sequence[AttentionItem]:
        """Count, by shop, the orders that wait for a person: held ones, and flagged ones."""
        items = []
        for shop in sorted(self._shops_of(caller)):
            found = await self._orders.needing(shop, caller.mode)
            count = found["held"] + found["flagged"]
            if not count:
                continue
            message = _ONE_HELD if count == 1 else _SEVERAL_HELD
            values = {"count": f"{count}", "shop": shop}
            items.append(
                AttentionItem(
                    "shop_orders_held",
                    shop,
                    message.format(**values),
                    site=self._shops[shop].site,
                    command="gateway shopify held",
                    page="shops",
                    button="See why",
                    count=count,
                    message=message,
                    values=values,
                    details=[
                        AttentionDetail(words, count=found[state])
                        for state, words in _WAITS.items()
                        if found[state]
                    ],
                )
            )
        return items

    async def release(self, caller: Caller, order_id: str, release: Release) -> dict[str, Any]:
        """Make a package of an order in spite of the reason; return the order after that.

        Raises ``NotFound``, and ``Conflict`` if it has a package or can't be released.
        """
        record = await self._releasable(caller, order_id)
        note = msgspec.json.encode(release)
        is_held = record.state == "held"
        if not (is_held and await self._inbox.release(record.shop, record.index, note)):
            body = msgspec.json.encode(Released(record.facts.order_id, release))
            webhook_id = new_id("release", self._gateway.clock.now())
            await self._inbox.put(Arrival(record.shop, webhook_id, RELEASED, body, record.index))
        entry = AuditEntry.by(caller, "change", "shopify.released", record.id)
        await self._gateway.audit.note([entry])
        await self._inbox.worker.drain(_TIMEOUT_SECONDS)
        after = await self._orders.by_id(order_id) or record
        return shown(after, caller, await self._orders.sent_of(after))

    async def dismiss(self, caller: Caller, order_id: str) -> dict[str, Any]:
        """Dismiss a held order, which then needs no person; return the order.

        It stays as it is until the shop changes something that is read from it, and can still be
        released. Raises ``NotFound``, and ``Conflict`` if it is not held.
        """
        record = await self._visible(caller, order_id)
        if record.state != "held" or not await self._orders.dismiss(record):
            raise Conflict(f"The order is {record.state}, not held; there is nothing to dismiss.")
        entry = AuditEntry.by(caller, "change", "shopify.dismissed", record.id)
        await self._gateway.audit.note([entry])
        return await self.get(caller, order_id)

    async def clear(self, caller: Caller, order_id: str) -> dict[str, Any]:
        """Clear the flag of an order that a person has handled; return the order.

        Raises ``NotFound``, and ``Conflict`` if it is not flagged.
        """
        record = await self._visible(caller, order_id)
        if not record.is_flagged:
            raise Conflict("The order is not flagged; there is nothing to clear.")
        await self._orders.clear_flag(record)
        entry = AuditEntry.by(caller, "change", "shopify.cleared", record.id)
        await self._gateway.audit.note([entry])
        return await self.get(caller, order_id)

    async def _releasable(self, caller: Caller, order_id: str) -> OrderRecord:
        record = await self._visible(caller, order_id)
        if record.state not in RELEASABLE or await self._orders.sent_of(record) is None:
            raise Conflict(f"The order is {record.state}; there is nothing to release.")
        return record

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


def shown(record: OrderRecord, caller: Caller, sent: ShopifyOrder | None = None) -> dict[str, Any]:
    """Return an order: its state and reason, and its name for a caller who may see it."""
    updated_ms = record.updated_at_ms
    updated_at: datetime | None = from_epoch_ms(updated_ms) if updated_ms else None
    whole = {
        "id": record.id,
        "shop": record.shop,
        "order": record.facts.name or record.facts.order_id,
        "state": record.state,
        "reason": record.reason,
        "why": EXPLANATIONS.get(record.reason or ""),
        "problems": list(record.facts.problems),
        "flagged": record.is_flagged,
        "warnings": list(record.facts.warnings),
        "package_id": record.package_id,
        "updated_at": None if updated_at is None else timestamp(updated_at),
        "patient_name": None if sent is None else name_of(sent) or None,
    }
    return cast("dict[str, Any]", masked(caller, whole, shown=_OPEN))
