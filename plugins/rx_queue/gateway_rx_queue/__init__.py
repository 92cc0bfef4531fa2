"""Prescriptions: taken in, judged, reviewed by people, and written into the pharmacy system."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from litestar import Router

from gateway.plugin import API_VERSION, EventType, Gateway, Job, PluginTables, hookimpl
from gateway_rx_queue.events import EVENT_TYPES
from gateway_rx_queue.queue import Queue
from gateway_rx_queue.routes import router
from gateway_rx_queue.settings import RxQueueSettings
from gateway_rx_queue.tables import metadata


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
        """Bring the look for jobs whose lease has ended."""
        return [Job("rx-leases", self._queue.desk.recover_lost, every_seconds=1.0)]

    @hookimpl
    def tables(self) -> PluginTables:
        """Bring jobs, their history, and the drug catalog."""
        return PluginTables(metadata, Path(__file__).parent / "migrations")
