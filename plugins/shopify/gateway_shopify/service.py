"""The composition of the plugin's parts over one gateway."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final, Self

import msgspec

from gateway.plugin import (
    AddressGuard,
    Event,
    Gateway,
    Job,
    OutboundClient,
    Settled,
    Settlement,
    Sink,
)
from gateway_shopify.admin_api.client import AdminApi
from gateway_shopify.admin_api.tokens import Tokens
from gateway_shopify.carry_over import CarryOver
from gateway_shopify.compliance import Compliance
from gateway_shopify.errors import Unreadable
from gateway_shopify.held_orders import HeldOrders
from gateway_shopify.inbox import Inbox, Message
from gateway_shopify.order_sync import OrderSync
from gateway_shopify.orders import OrderStore
from gateway_shopify.reconcile import Reconciler
from gateway_shopify.schema import COMPLIANCE_TOPICS, UNINSTALLED, UninstalledShop
from gateway_shopify.sender import Sender
from gateway_shopify.settings import ShopDestination, ShopifySettings, ShopSettings
from gateway_shopify.shop_states import ShopStates
from gateway_shopify.shops import SINK, ShopDirectory

_ORDERS: Final = "gid://shopify/Order/"


class ShopifyService:
    """Created before the gateway is open; used afterwards."""

    def __init__(self, settings: ShopifySettings, gateway: Gateway) -> None:
        delivery = gateway.settings.delivery
        guard = AddressGuard.of(delivery.allow_http, delivery.allow_networks)
        self.gateway = gateway
        self.settings = settings
        self.client = OutboundClient(gateway.clock, guard, egress=delivery)
        self.directory = ShopDirectory(gateway, settings.shops)
        self.inbox = Inbox(gateway, self._process, self.directory.configured)
        self.orders = OrderStore(gateway, self.directory.configured, self.inbox)
        self.tokens = Tokens(gateway, self.client)
        self.admin_api = AdminApi(self.client, self.tokens, gateway.clock)
        self.carry_over = CarryOver(gateway, self.directory, self.inbox, self.orders, self.tokens)
        self.compliance = Compliance(gateway, self.inbox, self.orders)
        shops = self.directory.configured
        handlers = {
            **dict.fromkeys(COMPLIANCE_TOPICS, self.compliance.answer),
            UNINSTALLED: self._uninstalled,
        }
        self.order_sync = OrderSync(
            gateway, self.directory, self.inbox, self.orders, self.admin_api, handlers
        )
        self.sender = Sender(shops, self.orders, self.admin_api, gateway.clock)
        self.reconciler = Reconciler(
            gateway, self.directory, self.inbox, self.orders, self.admin_api
        )
        self.held = HeldOrders(gateway, self.directory, self.inbox, self.orders)
        self.states = ShopStates(gateway, self.directory, self.inbox, self.orders, self.tokens)

    async def __aenter__(self) -> Self:
        """Create the shops' destinations; move the rows of earlier versions."""
        await self.directory.open()
        await self.carry_over.run()
        await self.inbox.worker.__aenter__()
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Finish running messages and close the connections."""
        await self.inbox.worker.__aexit__()
        await self.inbox.drained()
        await self.orders.drained()
        await self.client.close()

    def sinks(self) -> list[Sink]:
        """Return the sink that reports deliveries to shops."""
        return [Sink(SINK, ShopDestination, self.sender.deliver)]

    def jobs(self) -> list[Job]:
        """Return the jobs: the inbox, the reconciliation, the cleanup, earlier versions' rows."""
        return [
            *self.inbox.jobs(),
            Job(
                "shopify-reconcile",
                self.reconciler.run,
                self.settings.reconcile_seconds,
                once_per_cluster=True,
            ),
            Job("shopify-tidy", self.clean_up, every_seconds=3600.0, once_per_cluster=True),
            Job("shopify-carry-over", self.carry_over.run, 60.0, once_per_cluster=True),
        ]

    def route(
        self, events: Sequence[Event], wanted: Mapping[str, Collection[str]]
    ) -> dict[str, Collection[str]] | None:
        """Remove the shops from the routes of events that are not about a Shopify order."""
        ours = self.directory.destination_ids
        if not ours:
            return None
        return {
            event.id: [each for each in wanted[event.id] if each not in ours]
            for event in events
            if not str(event.data.get("external_order_id") or "").startswith(_ORDERS)
            and not ours.isdisjoint(wanted[event.id])
        }

    async def _process(self, message: Message) -> Settlement | Settled:
        return await self.order_sync.process(message)

    async def clean_up(self) -> None:
        """Erase orders whose erasure was requested while they were being delivered."""
        await self.compliance.follow_up(self.settings.shops)

    async def _uninstalled(self, shop: ShopSettings, message: Message) -> str:
        # The signature doesn't cover the topic: the body of an order must not be accepted here.
        if not msgspec.json.decode(message.body, type=UninstalledShop).is_of(shop.domain):
            raise Unreadable("the body is not this shop")
        await self.directory.uninstalled(shop, self.gateway.clock.now())
        await self.tokens.forget(shop)
        return "uninstalled"
