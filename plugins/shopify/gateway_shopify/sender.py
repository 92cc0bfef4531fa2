"""The sink: a step of a delivery becomes an event of one fulfillment in the shop.

Every call may be repeated. What is there is looked at first: the fulfillment that bears the
package's id as its tracking number, and the events that it has. So a process that is killed
between two calls, or before an answer is written down, makes nothing twice. Nothing of a
patient's is ever said: no message, no address, no position.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

import msgspec

from gateway.plugin import Batch, ClaimedDelivery, Clock, Event, Outcome, timestamp
from gateway_shopify.admin_api import queries
from gateway_shopify.admin_api.client import ShopCalls
from gateway_shopify.errors import ShopUnreachable
from gateway_shopify.orders import Known, OrderBook
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
"""Which FulfillmentEventStatus tells of which event."""

COMPANY: Final = "Local delivery"
NOTHING_TO_TELL: Final = "nothing_to_tell"
_OPEN: Final = frozenset({"OPEN", "IN_PROGRESS"})
_LATER: Final = frozenset({"SCHEDULED", "ON_HOLD"})
_GONE: Final = frozenset({"CANCELLED", "ERROR", "FAILURE"})


class _Told(msgspec.Struct, frozen=True):
    """What an outcome says besides whether it went well."""

    status: int | None = 200
    error: str | None = None


class Sender:
    """Tells shops what became of their orders."""

    def __init__(
        self,
        shops: Mapping[str, ShopSettings],
        book: OrderBook,
        calls: ShopCalls,
        clock: Clock,
    ) -> None:
        self._shops = shops
        self._book = book
        self._calls = calls
        self._clock = clock

    async def deliver(self, batch: Batch) -> Sequence[Outcome]:
        """Try each delivery of the batch once, one after the other."""
        return [await self._try(each, batch) for each in batch.deliveries]

    async def _try(self, delivery: ClaimedDelivery, batch: Batch) -> Outcome:
        started_at, began = self._clock.now(), self._clock.monotonic_seconds()
        told, failure = _Told(), None
        try:
            async with asyncio.timeout(batch.timeout_seconds):
                told = await self._tell(delivery.event, batch)
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
                status=told.status,
                error=told.error,
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

    async def _tell(self, event: Event, batch: Batch) -> _Told:
        known = await self._book.of_package(event.subject)
        if known is None or known.shop != batch.settings.shop or not known.facts.order_id:
            return _Told(None, NOTHING_TO_TELL)
        shop = self._shops.get(known.shop)
        if shop is None:
            raise ShopUnreachable("shop_not_configured")
        deadline = self._clock.monotonic_seconds() + batch.timeout_seconds
        told = _Told(None, NOTHING_TO_TELL)
        if status := STATUS_OF.get(event.type):
            await self._fulfil(shop, known, event, status, deadline)
            told = _Told()
        if event.type in shop.refund_on and event.actor != f"shopify:{shop.domain}":
            return await self._refund(shop, known, deadline)
        return told

    async def _fulfil(
        self, shop: ShopSettings, known: Known, event: Event, status: str, deadline: float
    ) -> None:
        order = await self._look(shop, known, deadline)
        fulfillment = _ours(order["fulfillments"], known, event.subject)
        if fulfillment is None:
            fulfillment = await self._create(shop, order, event.subject, deadline)
        if fulfillment["id"] != known.fulfillment_id:
            await self._book.fulfilled(known, fulfillment["id"])
        happened_at = timestamp(event.occurred_at)
        if any(_is_told(each, status, event.occurred_at) for each in fulfillment["events"]):
            return
        wanted = {
            "event": {
                "fulfillmentId": fulfillment["id"],
                "status": status,
                "happenedAt": happened_at,
            }
        }
        await self._calls.change(shop, queries.CREATE_EVENT, wanted, self._left(deadline))

    async def _look(self, shop: ShopSettings, known: Known, deadline: float) -> dict[str, Any]:
        wanted = {"id": known.facts.order_id}
        data = await self._calls.ask(shop, queries.FULFILLMENTS, wanted, self._left(deadline))
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
        """Fulfil what is open; what the shop itself has fulfilled already is told of as it is."""
        nodes = order["fulfillmentOrders"]["nodes"]
        states = {each["status"] for each in nodes}
        ready = [each for each in nodes if each["status"] in _OPEN]
        if not ready:
            done = [each for each in order["fulfillments"] if each["status"] not in _GONE]
            if done:
                found: dict[str, Any] = done[-1]
                return found
            raise ShopUnreachable(
                "on_hold" if states & _LATER else "nothing_to_fulfill", status=200
            )
        # One fulfillment is of one location (https://shopify.dev/docs/api/admin-graphql/2026-10/
        # mutations/fulfillmentCreate): what else there is, is for another parcel.
        place = _location(ready[0])
        wanted = {
            "fulfillment": {
                "lineItemsByFulfillmentOrder": [
                    {"fulfillmentOrderId": each["id"]} for each in ready if _location(each) == place
                ],
                "notifyCustomer": shop.notify_customer,
                "trackingInfo": {"company": COMPANY, "number": package_id},
            }
        }
        made = await self._calls.change(
            shop, queries.CREATE_FULFILLMENT, wanted, self._left(deadline)
        )
        return {**made["fulfillment"], "events": []}

    async def _refund(self, shop: ShopSettings, known: Known, deadline: float) -> _Told:
        """Give back whatever Shopify says can be given back; the same key twice is one refund."""
        wanted = {"id": known.facts.order_id}
        data = await self._calls.ask(shop, queries.REFUNDABLE, wanted, self._left(deadline))
        suggested = (data["order"] or {}).get("suggestedRefund")
        if suggested is None or not suggested["suggestedTransactions"]:
            return _Told(200, "nothing_to_refund")
        key = str(uuid5(NAMESPACE_URL, f"{known.facts.order_id}/{known.package_id}/refund"))
        variables = {"input": _refund_of(known.facts.order_id, suggested), "key": key}
        await self._calls.change(shop, queries.CREATE_REFUND, variables, self._left(deadline))
        return _Told()

    def _left(self, deadline: float) -> float:
        return deadline - self._clock.monotonic_seconds()


def _ours(
    fulfillments: Sequence[Mapping[str, Any]], known: Known, package_id: str
) -> dict[str, Any] | None:
    """Find the fulfillment that we made, by what we remember or by the tracking number."""
    for each in fulfillments:
        numbers = {tracking["number"] for tracking in each["trackingInfo"]}
        is_ours = each["id"] == known.fulfillment_id or package_id in numbers
        if is_ours and each["status"] not in _GONE:
            return dict(each)
    return None


def _is_told(told: Mapping[str, Any], status: str, occurred_at: datetime) -> bool:
    """Say whether the shop has this step already; it counts in seconds."""
    happened_at = datetime.fromisoformat(told["happenedAt"])
    return bool(told["status"] == status) and abs((happened_at - occurred_at).total_seconds()) < 1.0


def _location(fulfillment_order: Mapping[str, Any]) -> str | None:
    location = (fulfillment_order.get("assignedLocation") or {}).get("location")
    return None if location is None else str(location["id"])


def _refund_of(order_id: str, suggested: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "orderId": order_id,
        "notify": False,
        "shipping": {"fullRefund": True},
        "refundLineItems": [
            # What was with a patient or a driver never goes back on the shelf by itself.
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
