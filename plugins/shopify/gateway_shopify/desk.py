"""The plugin's parts, put together over one gateway."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.plugin import AddressGuard, Gateway, OutboundClient
from gateway_shopify.compliance import Compliance
from gateway_shopify.graph import ShopCalls
from gateway_shopify.held import HeldOrders
from gateway_shopify.inbox import Inbox, Message
from gateway_shopify.orders import OrderBook
from gateway_shopify.processing import Processor
from gateway_shopify.schema import COMPLIANCE_TOPICS, UNINSTALLED
from gateway_shopify.settings import ShopifySettings, ShopSettings
from gateway_shopify.shops import ShopDirectory
from gateway_shopify.tokens import Tokens


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
        self.processor = Processor(gateway, shops, self.inbox, self.book, self.calls, others)
        self.held = HeldOrders(gateway, shops, self.inbox, self.book, self.processor)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Be at work as long as the gateway is open; what was begun is finished at the end."""
        async with self.client, self.directory.opened():
            yield
            await self.inbox.drained()
            await self.processor.ended()

    async def tidy(self) -> None:
        """Forget what is over, and empty what somebody asked to have emptied."""
        await self.inbox.tidy()
        await self.compliance.follow_up(self.settings.shops)

    async def _uninstalled(self, shop: ShopSettings, _message: Message) -> str:
        await self.directory.uninstalled(shop, self.gateway.clock.now())
        return "uninstalled"
