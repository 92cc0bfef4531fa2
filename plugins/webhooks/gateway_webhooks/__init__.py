"""Signed webhooks in the ScriptRun, AutoRx and Standard Webhooks formats."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager

import click
from litestar import Router

from gateway.plugin import (
    API_VERSION,
    AddressGuard,
    Event,
    EventType,
    Gateway,
    Job,
    Page,
    Panel,
    PanelPlace,
    RoutedDestination,
    Sink,
    hookimpl,
)
from gateway_webhooks.deliveries import Deliveries
from gateway_webhooks.endpoints import Endpoints
from gateway_webhooks.filtering import fitting
from gateway_webhooks.mapping import TEST_EVENT_TYPE
from gateway_webhooks.pages import today_panels, webhook_pages
from gateway_webhooks.routes import router
from gateway_webhooks.sender import Sender
from gateway_webhooks.settings import WebhooksSettings


class Webhooks:
    """The plugin ``webhooks``: endpoints, and the sink that delivers to them."""

    api_version = API_VERSION
    Settings = WebhooksSettings

    def __init__(self, settings: WebhooksSettings, gateway: Gateway) -> None:
        delivery = gateway.settings.delivery
        self._guard = AddressGuard.of(delivery.allow_http, delivery.allow_networks)
        self._gateway = gateway
        self._endpoints = Endpoints(gateway, self._guard)
        accounts = delivery.trusted_accounts
        self._sender = Sender(
            settings, self._guard, gateway.clock, egress=delivery, trusted_accounts=accounts
        )
        self._deliveries = Deliveries(gateway, settings, self._endpoints)

    @hookimpl
    def lifespan(self) -> Sequence[AbstractAsyncContextManager[object]]:
        """Close the connections to endpoints when the gateway stops."""
        return [self._sender.client]

    @hookimpl
    def http_routers(self) -> Sequence[Router]:
        """Register the routes under /api/webhooks."""
        return [router(self._gateway, self._endpoints, self._deliveries)]

    @hookimpl
    def pages(self) -> Sequence[Page]:
        """Register the pages Endpoints, Endpoint and Deliveries."""
        return webhook_pages(self._gateway, self._endpoints, self._deliveries)

    @hookimpl
    def panels(self, place: PanelPlace) -> Sequence[Panel]:
        """Bring the webhooks of each hour to Today."""
        return today_panels(self._gateway, self._endpoints) if place == "today" else []

    @hookimpl
    def sinks(self) -> Sequence[Sink]:
        """Register the sink that POSTs events to endpoints."""
        return [self._sender.sink]

    @hookimpl
    def route_events(
        self,
        events: Sequence[Event],
        wanted: Mapping[str, Collection[str]],
        destinations: Mapping[str, RoutedDestination],
    ) -> Mapping[str, Collection[str]]:
        """Keep events back that don't fit an endpoint's filters."""
        return fitting(events, wanted, destinations)

    @hookimpl
    def event_types(self) -> Sequence[EventType]:
        """Register the ``webhook.test`` event."""
        return [TEST_EVENT_TYPE]

    @hookimpl
    def jobs(self) -> Sequence[Job]:
        """Register the job that ends secret rotations."""
        return [Job("webhooks-rotations", self._endpoints.end_rotations, every_seconds=60)]

    @hookimpl
    def cli_commands(self) -> Sequence[click.Command]:
        """Register ``gateway endpoints``."""
        from gateway_webhooks.commands import endpoints_group  # no server needs it

        return [endpoints_group(self._guard)]
