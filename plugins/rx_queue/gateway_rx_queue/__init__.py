"""Prescription queue: intake, rules, review, and writing into the pharmacy system."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

import click
from litestar import Router

from gateway.plugin import (
    API_VERSION,
    ATTENTION,
    SOURCES,
    TOPICS,
    EventType,
    Gateway,
    HealthCheck,
    Job,
    OrderSource,
    Page,
    PluginTables,
    Topic,
    hookimpl,
)
from gateway_rx_queue import agents, changes
from gateway_rx_queue.events import EVENT_TYPES
from gateway_rx_queue.pages import rx_pages
from gateway_rx_queue.reminders import Reminders
from gateway_rx_queue.routes import router
from gateway_rx_queue.service import RxService
from gateway_rx_queue.settings import RxQueueSettings
from gateway_rx_queue.tables import TABLES


class RxQueue:
    """The plugin ``rx_queue``: ``/api/rx``, its writers and its review."""

    api_version = API_VERSION
    Settings = RxQueueSettings

    def __init__(self, settings: RxQueueSettings, gateway: Gateway) -> None:
        self._queue = RxService(gateway, settings)
        self._reminders = Reminders(gateway, settings, self._queue.store)

    @hookimpl
    def http_routers(self) -> Sequence[Router]:
        """Return the routes under /api/rx."""
        return [router(self._queue)]

    @hookimpl
    def pages(self) -> Sequence[Page]:
        """Return the pages Review and Queue."""
        return rx_pages(self._queue)

    @hookimpl
    def event_types(self) -> Sequence[EventType]:
        """Return the event types ``rx.*``."""
        return EVENT_TYPES

    @hookimpl
    def lifespan(self) -> Sequence[AbstractAsyncContextManager[object]]:
        """Return the context that opens and closes the queue."""
        return [self._queue.opened()]

    @hookimpl
    def jobs(self) -> Sequence[Job]:
        """Return the recurring jobs: push writing, expired leases, retention."""
        return self._queue.jobs()

    @hookimpl
    def tables(self) -> PluginTables:
        """Return the tables of jobs, history and the drug catalog."""
        return TABLES

    @hookimpl
    def cli_commands(self) -> Sequence[click.Command]:
        """Return the group ``gateway rx``."""
        from gateway_rx_queue.commands import rx_group  # no server needs it

        return [rx_group(self._queue.settings)]

    @hookimpl
    def extensions(self, point: str) -> Sequence[object]:
        """Return the sources that count prescriptions for a person, and the topic of the pages."""
        if point == TOPICS:
            return [Topic(each, "rx.read") for each in (changes.TOPIC, agents.TOPIC)]
        if point == SOURCES:
            return [OrderSource("rx_queue", "Prescriptions")]
        return self._reminders.sources() if point == ATTENTION else []

    @hookimpl
    def health_checks(self) -> Sequence[HealthCheck]:
        """Return the checks of the drug catalog and of the agents."""
        catalog = HealthCheck("rx-catalog", self._queue.catalog_health)
        return [catalog, *self._reminders.checks()]
