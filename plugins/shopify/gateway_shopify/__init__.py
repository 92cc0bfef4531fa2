"""Orders from Shopify shops, and what became of them back."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

from litestar import Router

from gateway.plugin import API_VERSION, Gateway, Job, PluginTables, hookimpl
from gateway_shopify.desk import Desk
from gateway_shopify.routes import router
from gateway_shopify.settings import ShopifySettings
from gateway_shopify.tables import TABLES


class Shopify:
    """The plugin ``shopify``."""

    api_version = API_VERSION
    Settings = ShopifySettings

    def __init__(self, settings: ShopifySettings, gateway: Gateway) -> None:
        self._desk = Desk(settings, gateway)

    @hookimpl
    def http_routers(self) -> Sequence[Router]:
        """Bring the addresses under /api/shopify."""
        return [router(self._desk)]

    @hookimpl
    def jobs(self) -> Sequence[Job]:
        """Bring what works the inbox off when nobody wakes it, and what forgets."""
        return [
            Job("shopify-inbox", self._desk.processor.drain, every_seconds=2.0),
            Job("shopify-tidy", self._desk.tidy, every_seconds=3600.0),
        ]

    @hookimpl
    def tables(self) -> PluginTables:
        """Bring the plugin's tables."""
        return TABLES

    @hookimpl
    def lifespan(self) -> Sequence[AbstractAsyncContextManager[object]]:
        """Have destinations for the shops, and finish what is in work at the end."""
        return [self._desk.opened()]
