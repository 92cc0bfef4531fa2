"""The sink: a delivery update becomes an event of the order's fulfillment in the shop.

Every call is idempotent. The sender first reads the fulfillment that carries the package's id
as its tracking number, and its events, so a crash between two calls duplicates nothing. No
patient data is sent: no message, no address, no position.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

import msgspec

from gateway.plugin import Batch, ClaimedDelivery, Clock, Event, Outcome, timestamp
from gateway_shopify.admin_api import queries
from gateway_shopify.admin_api.client import AdminApi
from gateway_shopify.errors import ShopUnreachable
from gateway_shopify.orders import OrderRecord, OrderStore
from gateway_shopify.settings import ShopSettings

STATUS_OF: Final[Mapping[str, str]] = {
    "delivery.picked_up": "CARRIER_PICKED_UP",
    "delivery.out_for_delivery": "OUT_FOR_DELIVERY",
    "delivery.attempted": "ATTEMPTED_DELIVERY",
    "delivery.rescheduled": "DELAYED",
    "delivery.completed": "DELIVERED",
    "delivery.failed": "FAILURE",
    "delivery.returned": "FAILURE",
}
"""The FulfillmentEventStatus of each event type."""

COMPANY: Final = "Local delivery"
NOTHING_TO_REPORT: Final = "nothing_to_tell"
_OPEN: Final = frozenset({"OPEN", "IN_PROGRESS"})
_DELAYED: Final = frozenset({"SCHEDULED", "ON_HOLD"})
_GONE: Final = frozenset({"CANCELLED", "ERROR", "FAILURE"})


class _Result(msgspec.Struct, frozen=True):
    """The status and error word of a successful attempt."""

    status: int | None = 200
    error: str | None = None


class Sender:
    """Reports deliveries to shops."""

    def __init__(
        self,
        shops: Mapping[str, ShopSettings],
        orders: OrderStore,
        admin_api: AdminApi,
        clock: Clock,
    ) -> None:
        self._shops = shops
        self._orders = orders
        self._admin_api = admin_api
        self._clock = clock

    async def deliver(self, batch: Batch) -> Sequence[Outcome]:
        """Attempt each delivery of the batch once, one after the other."""
        return [await self._attempt(each, batch) for each in batch.deliveries]

    async def _attempt(self, delivery: ClaimedDelivery, batch: Batch) -> Outcome:
        started_at, began = self._clock.now(), self._clock.monotonic_seconds()
        result, failure = _Result(), None
        try:
            async with asyncio.timeout(batch.timeout_seconds):
                result = await self._report(delivery.event, batch)
        except TimeoutError:
            failure = ShopUnreachable("timeout")
        except ShopUnreachable as error:
            failure = error
        elapsed_ms = int((self._clock.monotonic_seconds() - began) * 1000)
        if failure is None:
            return Outcome(
                delivery_id=delivery.id,
                delivered=True,
                started_at=started_at,
                duration_ms=elapsed_ms,
                status=result.status,
                error=result.error,
            )
        return Outcome(
            delivery_id=delivery.id,
            delivered=False,
            started_at=started_at,
            duration_ms=elapsed_ms,
            status=failure.status,
            error=failure.word,
            excerpt=failure.excerpt,
            retry_after_seconds=failure.retry_after_seconds,
            busy=failure.word == "throttled",
        )

    async def _report(self, event: Event, batch: Batch) -> _Result:
        record = await self._orders.of_package(event.subject)
        if record is None or record.shop != batch.settings.shop or not record.facts.order_id:
            return _Result(None, NOTHING_TO_REPORT)
        shop = self._shops.get(record.shop)
        if shop is None:
            raise ShopUnreachable("shop_not_configured")
        deadline = self._clock.monotonic_seconds() + batch.timeout_seconds
        result = _Result(None, NOTHING_TO_REPORT)
        if status := STATUS_OF.get(event.type):
            await self._fulfil(shop, record, event, status, deadline)
            result = _Result()
        if event.type in shop.refund_on and event.actor != f"shopify:{shop.domain}":
            return await self._refund(shop, record, deadline)
        return result

    async def _fulfil(
        self, shop: ShopSettings, record: OrderRecord, event: Event, status: str, deadline: float
    ) -> None:
        order = await self._read(shop, record, deadline)
        fulfillment = _own_fulfillment(order["fulfillments"], record, event.subject)
        if fulfillment is None:
            fulfillment = await self._create(shop, order, event.subject, deadline)
        if fulfillment["id"] != record.fulfillment_id:
            await self._orders.set_fulfillment(record, fulfillment["id"])
        happened_at = timestamp(event.occurred_at)
        if any(_is_reported(each, status, event.occurred_at) for each in fulfillment["events"]):
            return
        wanted = {
            "event": {
                "fulfillmentId": fulfillment["id"],
                "status": status,
                "happenedAt": happened_at,
            }
        }
        await self._admin_api.mutate(shop, queries.CREATE_EVENT, wanted, self._remaining(deadline))

    async def _read(
        self, shop: ShopSettings, record: OrderRecord, deadline: float
    ) -> dict[str, Any]:
        wanted = {"id": record.facts.order_id}
        data = await self._admin_api.ask(
            shop, queries.FULFILLMENTS, wanted, self._remaining(deadline)
        )
        order: dict[str, Any] | None = data["order"]
        if order is None:
            raise ShopUnreachable("no_such_order", status=200)
        order["fulfillments"] = [
            {**each, "events": each["events"]["nodes"]} for each in order["fulfillments"]
        ]
        return order

    async def _create(
        self, shop: ShopSettings, order: Mapping[str, Any], package_id: str, deadline: float
    ) -> dict[str, Any]:
        """Fulfil the open fulfillment orders; use the shop's own fulfillment if it has one."""
        nodes = order["fulfillmentOrders"]["nodes"]
        states = {each["status"] for each in nodes}
        ready = [each for each in nodes if each["status"] in _OPEN]
        if not ready:
            done = [each for each in order["fulfillments"] if each["status"] not in _GONE]
            if done:
                found: dict[str, Any] = done[-1]
                return found
            raise ShopUnreachable(
                "on_hold" if states & _DELAYED else "nothing_to_fulfill", status=200
            )
        # One fulfillment is of one location (https://shopify.dev/docs/api/admin-graphql/2026-10/
        # mutations/fulfillmentCreate): items of other locations go into another parcel.
        location = _location(ready[0])
        wanted = {
            "fulfillment": {
                "lineItemsByFulfillmentOrder": [
                    {"fulfillmentOrderId": each["id"]}
                    for each in ready
                    if _location(each) == location
                ],
                "notifyCustomer": shop.notify_customer,
                "trackingInfo": {"company": COMPANY, "number": package_id},
            }
        }
        made = await self._admin_api.mutate(
            shop, queries.CREATE_FULFILLMENT, wanted, self._remaining(deadline)
        )
        return {**made["fulfillment"], "events": []}

    async def _refund(self, shop: ShopSettings, record: OrderRecord, deadline: float) -> _Result:
        """Refund the amount that Shopify suggests; a repeated key is one refund."""
        wanted = {"id": record.facts.order_id}
        data = await self._admin_api.ask(
            shop, queries.REFUNDABLE, wanted, self._remaining(deadline)
        )
        suggested = (data["order"] or {}).get("suggestedRefund")
        if suggested is None or not suggested["suggestedTransactions"]:
            return _Result(200, "nothing_to_refund")
        key = str(uuid5(NAMESPACE_URL, f"{record.facts.order_id}/{record.package_id}/refund"))
        variables = {"input": _refund_input(record.facts.order_id, suggested), "key": key}
        await self._admin_api.mutate(
            shop, queries.CREATE_REFUND, variables, self._remaining(deadline)
        )
        return _Result()

    def _remaining(self, deadline: float) -> float:
        return deadline - self._clock.monotonic_seconds()


def _own_fulfillment(
    fulfillments: Sequence[Mapping[str, Any]], record: OrderRecord, package_id: str
) -> dict[str, Any] | None:
    """Find the gateway's fulfillment by its stored id or its tracking number."""
    for each in fulfillments:
        numbers = {tracking["number"] for tracking in each["trackingInfo"]}
        is_own = each["id"] == record.fulfillment_id or package_id in numbers
        if is_own and each["status"] not in _GONE:
            return dict(each)
    return None


def _is_reported(reported: Mapping[str, Any], status: str, occurred_at: datetime) -> bool:
    """Return whether the shop has this event; its times are whole seconds."""
    happened_at = datetime.fromisoformat(reported["happenedAt"])
    return (
        bool(reported["status"] == status)
        and abs((happened_at - occurred_at).total_seconds()) < 1.0
    )


def _location(fulfillment_order: Mapping[str, Any]) -> str | None:
    location = (fulfillment_order.get("assignedLocation") or {}).get("location")
    return None if location is None else str(location["id"])


def _refund_input(order_id: str, suggested: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "orderId": order_id,
        "notify": False,
        "shipping": {"fullRefund": True},
        "refundLineItems": [
            # Medication that left the pharmacy is never restocked automatically.
            {
                "lineItemId": each["lineItem"]["id"],
                "quantity": each["quantity"],
                "restockType": "NO_RESTOCK",
            }
            for each in suggested["refundLineItems"]
        ],
        "transactions": [
            {
                "orderId": order_id,
                "parentId": each["parentTransaction"]["id"],
                "gateway": each["gateway"],
                "kind": "REFUND",
                "amount": each["amountSet"]["shopMoney"]["amount"],
            }
            for each in suggested["suggestedTransactions"]
            if each["parentTransaction"] is not None
        ],
    }
