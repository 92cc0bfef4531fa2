"""The plugin's parts, put together over one gateway."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final, Self

import msgspec

from gateway.plugin import AddressGuard, Event, Gateway, Job, OutboundClient, Sink
from gateway_shopify.admin_api.client import ShopCalls
from gateway_shopify.admin_api.tokens import Tokens
from gateway_shopify.compliance import Compliance
from gateway_shopify.errors import Unreadable
from gateway_shopify.held_orders import HeldOrders
from gateway_shopify.inbox import Inbox, Message
from gateway_shopify.inbox_worker import Worker
from gateway_shopify.order_sync import Processor
from gateway_shopify.orders import OrderBook
from gateway_shopify.reconcile import Reconciler
from gateway_shopify.schema import COMPLIANCE_TOPICS, UNINSTALLED, GoneShop
from gateway_shopify.sender import Sender
from gateway_shopify.settings import ShopDestination, ShopifySettings, ShopSettings
from gateway_shopify.shops import SINK, ShopDirectory

_ORDERS: Final = "gid://shopify/Order/"


class Desk:
    """Built before anything is connected; used once the gateway is open."""

    def __init__(self, settings: ShopifySettings, gateway: Gateway) -> None:
        delivery = gateway.settings.delivery
        guard = AddressGuard.of(delivery.allow_http, delivery.allow_networks)
        self.gateway = gateway
        self.settings = settings
        self.client = OutboundClient(gateway.clock, guard)
        self.directory = ShopDirectory(gateway, settings.shops)
        self.inbox = Inbox(gateway)
        self.book = OrderBook(gateway)
        self.calls = ShopCalls(self.client, Tokens(gateway, self.client), gateway.clock)
        self.compliance = Compliance(gateway, self.inbox, self.book)
        shops = self.directory.configured
        others = {
            **dict.fromkeys(COMPLIANCE_TOPICS, self.compliance.answer),
            UNINSTALLED: self._uninstalled,
        }
        processor = Processor(gateway, shops, self.inbox, self.book, self.calls, others)
        self.worker = Worker(self.inbox, processor)
        self.sender = Sender(shops, self.book, self.calls, gateway.clock)
        self.reconciler = Reconciler(
            gateway, self.directory, self.inbox, self.book, self.calls, self.worker
        )
        self.held = HeldOrders(gateway, shops, self.inbox, self.book, self.worker)

    async def __aenter__(self) -> Self:
        """Have destinations for the shops; everything else waits until it is needed."""
        await self.directory.open()
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Finish what was begun, and let go of the connections."""
        await self.worker.stop()
        await self.inbox.drained()
        await self.book.drained()
        await self.client.close()

    def sinks(self) -> list[Sink]:
        """Return the way back to the shops."""
        return [Sink(SINK, ShopDestination, self.sender.deliver)]

    def jobs(self) -> list[Job]:
        """Return what works the inbox off when nobody wakes it, what asks shops, what forgets."""
        return [
            Job("shopify-inbox", self.worker.work, every_seconds=2.0),
            Job("shopify-reconcile", self.reconciler.run, self.settings.reconcile_seconds),
            Job("shopify-tidy", self.tidy, every_seconds=3600.0),
        ]

    def route(
        self, events: Sequence[Event], wanted: Mapping[str, Collection[str]]
    ) -> dict[str, Collection[str]] | None:
        """Keep what is about no order of Shopify's from the destinations that are shops."""
        ours = self.directory.destination_ids
        if not ours:
            return None
        return {
            event.id: [each for each in wanted[event.id] if each not in ours]
            for event in events
            if not str(event.data.get("external_order_id") or "").startswith(_ORDERS)
            and not ours.isdisjoint(wanted[event.id])
        }

    async def tidy(self) -> None:
        """Forget what is over, and empty what somebody asked to have emptied."""
        await self.inbox.tidy()
        await self.compliance.follow_up(self.settings.shops)

    async def _uninstalled(self, shop: ShopSettings, message: Message) -> str:
        # The topic isn't part of what is signed: an order's body must not pass for this.
        if not msgspec.json.decode(message.body, type=GoneShop).is_of(shop.domain):
            raise Unreadable("the body is not this shop")
        await self.directory.uninstalled(shop, self.gateway.clock.now())
        return "uninstalled"
