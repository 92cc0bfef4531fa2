"""Orders from Shopify shops, and what became of them back."""

from collections.abc import Collection, Mapping, Sequence

import click
from litestar import Router

from gateway.plugin import API_VERSION, Event, Gateway, Job, PluginTables, Sink, hookimpl
from gateway_shopify.commands import shopify_group
from gateway_shopify.routes import router
from gateway_shopify.service import Desk
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
    def sinks(self) -> Sequence[Sink]:
        """Bring the way back to the shops."""
        return self._desk.sinks()

    @hookimpl
    def jobs(self) -> Sequence[Job]:
        """Bring what is done again and again."""
        return self._desk.jobs()

    @hookimpl
    def tables(self) -> PluginTables:
        """Bring the plugin's tables."""
        return TABLES

    @hookimpl
    def lifespan(self) -> Sequence[Desk]:
        """Have destinations for the shops, and finish what is in work at the end."""
        return [self._desk]

    @hookimpl
    def cli_commands(self) -> Sequence[click.Command]:
        """Bring ``gateway shopify``."""
        return [shopify_group(self._desk.settings)]

    @hookimpl
    def route_events(
        self, events: Sequence[Event], wanted: Mapping[str, Collection[str]]
    ) -> object:
        """Keep what is no order of Shopify's from the shops."""
        return self._desk.route(events, wanted)
