"""Orders from Shopify shops, and delivery updates back to them."""

from collections.abc import Collection, Mapping, Sequence

import click
from litestar import Router

from gateway.plugin import (
    API_VERSION,
    ATTENTION,
    TOPICS,
    Event,
    Gateway,
    Job,
    Page,
    PluginTables,
    Sink,
    Topic,
    hookimpl,
)
from gateway_shopify.orders import TOPIC
from gateway_shopify.pages import shop_pages
from gateway_shopify.routes import router
from gateway_shopify.service import ShopifyService
from gateway_shopify.settings import ShopifySettings
from gateway_shopify.tables import TABLES


class Shopify:
    """The plugin ``shopify``."""

    api_version = API_VERSION
    Settings = ShopifySettings

    def __init__(self, settings: ShopifySettings, gateway: Gateway) -> None:
        self._service = ShopifyService(settings, gateway)

    @hookimpl
    def http_routers(self) -> Sequence[Router]:
        """Register the routes under /api/shopify."""
        return [router(self._service)]

    @hookimpl
    def sinks(self) -> Sequence[Sink]:
        """Register the sink that reports deliveries to shops."""
        return self._service.sinks()

    @hookimpl
    def extensions(self, point: str) -> Sequence[object]:
        """Register the source of orders that wait for a person, and the topic of their changes."""
        if point == TOPICS:
            return [Topic(TOPIC, "packages.read")]
        return self._service.held.attention_sources() if point == ATTENTION else []

    @hookimpl
    def pages(self) -> Sequence[Page]:
        """Register the page Shops."""
        return shop_pages(self._service)

    @hookimpl
    def jobs(self) -> Sequence[Job]:
        """Register the periodic jobs."""
        return self._service.jobs()

    @hookimpl
    def tables(self) -> PluginTables:
        """Register the plugin's tables."""
        return TABLES

    @hookimpl
    def lifespan(self) -> Sequence[ShopifyService]:
        """Create the shops' destinations at start; finish running work at the end."""
        return [self._service]

    @hookimpl
    def cli_commands(self) -> Sequence[click.Command]:
        """Register ``gateway shopify``."""
        from gateway_shopify.commands import shopify_group  # no server needs it

        return [shopify_group(self._service.settings)]

    @hookimpl
    def route_events(
        self, events: Sequence[Event], wanted: Mapping[str, Collection[str]]
    ) -> object:
        """Drop deliveries to shops for packages that are not from Shopify."""
        return self._service.route(events, wanted)
