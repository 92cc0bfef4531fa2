"""Connects an ACME ERP: its orders in, what became of them out."""

from collections.abc import Sequence

import click
from litestar import Router

from gateway.plugin import (
    API_VERSION,
    Gateway,
    HealthCheck,
    Job,
    Order,
    Page,
    Panel,
    PanelPlace,
    Permission,
    Review,
    Sink,
    hookimpl,
)
from gateway_acme_erp import commands, mapping, routes
from gateway_acme_erp.cancellations import CancellationPoll
from gateway_acme_erp.pages import STORES, StorePages
from gateway_acme_erp.sender import MAX_BATCH, SINK, Bridge
from gateway_acme_erp.settings import AcmeErpSettings, ErpStore


class AcmeErp:
    """The plugin ``acme_erp``."""

    api_version = API_VERSION
    Settings = AcmeErpSettings

    def __init__(self, settings: AcmeErpSettings, gateway: Gateway) -> None:
        self._settings = settings
        self._gateway = gateway
        self._bridge = Bridge(settings, gateway.clock)
        self._pages = StorePages(gateway)

    @hookimpl
    def http_routers(self) -> Sequence[Router]:
        """Bring ``POST /api/acme/orders``."""
        return [routes.router(self._gateway)]

    @hookimpl
    def sinks(self) -> Sequence[Sink]:
        """Bring the way to the ERP."""
        return [Sink(SINK, ErpStore, self._bridge.deliver, MAX_BATCH)]

    @hookimpl
    def jobs(self) -> Sequence[Job]:
        """Bring the look for cancellations."""
        poll = CancellationPoll(self._gateway, self._bridge)
        return [Job("acme-erp-cancellations", poll.run, self._settings.poll_seconds)]

    @hookimpl
    def lifespan(self) -> Sequence[Bridge]:
        """Keep connections to the ERP while the gateway is open."""
        return [self._bridge]

    @hookimpl
    def health_checks(self) -> Sequence[HealthCheck]:
        """Bring the question whether the ERP can be reached."""
        return [HealthCheck("acme-erp", self._bridge.health)]

    @hookimpl
    def cli_commands(self) -> Sequence[click.Command]:
        """Bring ``gateway acme-erp``."""
        return [commands.commands()]

    @hookimpl
    def permissions(self) -> Sequence[Permission]:
        """Bring the permission that the page needs."""
        return [STORES]

    @hookimpl
    def pages(self) -> Sequence[Page]:
        """Bring the page ERP stores."""
        return self._pages.pages()

    @hookimpl
    def panels(self, place: PanelPlace) -> Sequence[Panel]:
        """Bring the events sent to the ERP to the page of a package."""
        return [self._pages.panel()] if place == "package" else []

    @hookimpl
    def review_orders(self, orders: Sequence[Order]) -> Sequence[Review | None]:
        """Refuse what can't be delivered, whichever way it came in."""
        return [mapping.review(order, self._settings.postcodes) for order in orders]
