"""Prescriptions: taken in, judged, reviewed by people, and written into the pharmacy system."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

import click
from litestar import Router

from gateway.plugin import API_VERSION, EventType, Gateway, HealthCheck, Job, PluginTables, hookimpl
from gateway_rx_queue.commands import rx_group
from gateway_rx_queue.events import EVENT_TYPES
from gateway_rx_queue.routes import router
from gateway_rx_queue.service import Queue
from gateway_rx_queue.settings import RxQueueSettings
from gateway_rx_queue.tables import TABLES


class RxQueue:
    """The plugin ``rx_queue``: ``/api/rx``, its writers and its reviewers."""

    api_version = API_VERSION
    Settings = RxQueueSettings

    def __init__(self, settings: RxQueueSettings, gateway: Gateway) -> None:
        self._queue = Queue(gateway, settings)

    @hookimpl
    def http_routers(self) -> Sequence[Router]:
        """Bring the addresses under /api/rx."""
        return [router(self._queue)]

    @hookimpl
    def event_types(self) -> Sequence[EventType]:
        """Bring the five events of a prescription."""
        return EVENT_TYPES

    @hookimpl
    def lifespan(self) -> Sequence[AbstractAsyncContextManager[object]]:
        """Open the queue, and close it."""
        return [self._queue.opened()]

    @hookimpl
    def jobs(self) -> Sequence[Job]:
        """Bring the writing, and the look for jobs whose lease has ended."""
        return self._queue.jobs()

    @hookimpl
    def tables(self) -> PluginTables:
        """Bring jobs, their history, and the drug catalog."""
        return TABLES

    @hookimpl
    def cli_commands(self) -> Sequence[click.Command]:
        """Bring ``gateway rx``."""
        return [rx_group(self._queue.settings)]

    @hookimpl
    def health_checks(self) -> Sequence[HealthCheck]:
        """Bring the question whether there is a drug catalog."""
        return [HealthCheck("rx-catalog", self._queue.catalog_health)]
