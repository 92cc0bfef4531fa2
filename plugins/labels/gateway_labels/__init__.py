"""Orders from printed labels: a photo is read, a person confirms it, and it becomes an order."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

import click
from litestar import Router

from gateway.plugin import (
    API_VERSION,
    Gateway,
    HealthCheck,
    Job,
    Page,
    PluginTables,
    hookimpl,
)
from gateway_labels.attention import extensions_of
from gateway_labels.commands import labels_group
from gateway_labels.label_reader import can_read
from gateway_labels.pages import ScanPages
from gateway_labels.routes import router
from gateway_labels.service import LabelService
from gateway_labels.settings import LabelsSettings
from gateway_labels.tables import TABLES
from gateway_labels.work import ReadingWork


class Labels:
    """The plugin ``labels``: ``/api/labels``, ``gateway labels``, the page Scan."""

    api_version = API_VERSION
    Settings = LabelsSettings

    def __init__(self, settings: LabelsSettings, gateway: Gateway) -> None:
        self._settings = settings
        self._gateway = gateway
        self._work = ReadingWork(gateway, settings)
        self._service = LabelService(gateway, settings, self._work)

    @hookimpl
    def http_routers(self) -> Sequence[Router]:
        """Register the routes under /api/labels."""
        return [router(self._gateway, self._service)]

    @hookimpl
    def pages(self) -> Sequence[Page]:
        """Register the pages Scan."""
        return ScanPages(self._gateway, self._service, self._settings).pages()

    @hookimpl
    def jobs(self) -> Sequence[Job]:
        """Register the queue's sweep, the end of an idle reader, and the clean-up."""
        return [
            Job("labels-reading", self._work.worker.run, every_seconds=2),
            Job("labels-idle", self._work.end_idle, every_seconds=30),
            Job("labels-tidy", self._work.tidy, every_seconds=300),
        ]

    @hookimpl
    def lifespan(self) -> Sequence[AbstractAsyncContextManager[object]]:
        """Register the process that reads, and the worker of the queue, which ends first."""
        return [self._work.ended(), self._work.worker]

    @hookimpl
    def tables(self) -> PluginTables:
        """Register scans, pictures, and the queue."""
        return TABLES

    @hookimpl
    def extensions(self, point: str) -> Sequence[object]:
        """Register the attention source, and the topic that pages watch."""
        return extensions_of(self._service.store, point)

    @hookimpl
    def health_checks(self) -> Sequence[HealthCheck]:
        """Register the health line with the libraries to install."""
        return [HealthCheck("labels-reader", can_read, decides_readiness=False)]

    @hookimpl
    def cli_commands(self) -> Sequence[click.Command]:
        """Register ``gateway labels``."""
        return [labels_group(self._settings)]
