"""Orders from spreadsheets: over HTTP, from the command line, and from a watched folder."""

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
from gateway_csv.attention import extensions_of
from gateway_csv.pages import ImportPages
from gateway_csv.routes import router
from gateway_csv.service import ImportService, watched_folder
from gateway_csv.settings import CsvSettings
from gateway_csv.steps import ImportSteps
from gateway_csv.tables import TABLES
from gateway_csv.work import ImportWork


class Csv:
    """The plugin ``csv``: ``/api/packages/imports``, ``gateway csv``, a watched folder."""

    api_version = API_VERSION
    Settings = CsvSettings

    def __init__(self, settings: CsvSettings, gateway: Gateway) -> None:
        self._settings = settings
        self._service = ImportService(gateway, settings)
        self._work = ImportWork(self._service)
        self._steps = ImportSteps(self._service, self._work)
        self._watched = watched_folder(self._service, settings)

    @hookimpl
    def http_routers(self) -> Sequence[Router]:
        """Register the routes under /api/packages."""
        return [router(self._service, self._steps, self._settings)]

    @hookimpl
    def pages(self) -> Sequence[Page]:
        """Register the Import page."""
        return ImportPages(self._service, self._steps, self._settings).pages()

    @hookimpl
    def cli_commands(self) -> Sequence[click.Command]:
        """Register ``gateway csv``."""
        from gateway_csv.commands import csv_group  # no server needs it

        return [csv_group(self._settings)]

    @hookimpl
    def tables(self) -> PluginTables:
        """Register the tables of imports, and their queue."""
        return TABLES

    @hookimpl
    def jobs(self) -> Sequence[Job]:
        """Register the clean-up, the queue's sweep, and the watched folder."""
        jobs = [
            Job("csv-tidy", self._service.tidy, every_seconds=3600),
            Job("csv-imports", self._work.worker.run, every_seconds=2),
        ]
        if self._watched is not None:
            jobs.append(Job("csv-folder", self._watched.look, self._settings.folder_seconds))
        return jobs

    @hookimpl
    def lifespan(self) -> Sequence[AbstractAsyncContextManager[object]]:
        """Register the worker of the queue, and the threads that read files, which end first."""
        return [self._work.worker, self._service.threads]

    @hookimpl
    def extensions(self, point: str) -> Sequence[object]:
        """Register the attention source, and the topic that pages watch."""
        return extensions_of(self._service, point)

    @hookimpl
    def health_checks(self) -> Sequence[HealthCheck]:
        """Register the line of the last upload, and the checks of the folder."""
        uploads = HealthCheck("csv-uploads", self._service.last_upload, decides_readiness=False)
        return [uploads, *([] if self._watched is None else self._watched.checks())]
