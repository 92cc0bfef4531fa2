"""Orders from spreadsheets: over HTTP, from the command line, and out of a watched folder."""

from collections.abc import Sequence
from pathlib import Path

import click
from litestar import Router

from gateway.plugin import API_VERSION, Gateway, HealthCheck, Job, PluginTables, hookimpl
from gateway_csv.commands import csv_group
from gateway_csv.folder import WatchedFolder
from gateway_csv.routes import router
from gateway_csv.service import ImportService
from gateway_csv.settings import CsvSettings
from gateway_csv.tables import metadata


class Csv:
    """The plugin ``csv``: ``POST /api/packages/import``, ``gateway csv``, a watched folder."""

    api_version = API_VERSION
    Settings = CsvSettings

    def __init__(self, settings: CsvSettings, gateway: Gateway) -> None:
        self._settings = settings
        self._service = ImportService(gateway, settings)
        folder = settings.folder
        self._watched = None if folder is None else WatchedFolder(folder, gateway, settings)

    @hookimpl
    def http_routers(self) -> Sequence[Router]:
        """Bring the routes under /api/packages."""
        return [router(self._service, self._settings)]

    @hookimpl
    def cli_commands(self) -> Sequence[click.Command]:
        """Bring ``gateway csv``."""
        return [csv_group(self._settings)]

    @hookimpl
    def tables(self) -> PluginTables:
        """Bring the tables of imports."""
        return PluginTables(metadata, Path(__file__).parent / "migrations")

    @hookimpl
    def jobs(self) -> Sequence[Job]:
        """Bring the clean-up, and the watch over the folder."""
        jobs = [Job("csv-tidy", self._service.tidy, every_seconds=3600)]
        if self._watched is not None:
            jobs.append(Job("csv-folder", self._watched.look, self._settings.folder_seconds))
        return jobs

    @hookimpl
    def health_checks(self) -> Sequence[HealthCheck]:
        """Bring the line of the last upload, and the checks of the folder."""
        uploads = HealthCheck("csv-uploads", self._service.last_upload, decides_readiness=False)
        return [uploads, *([] if self._watched is None else self._watched.checks())]
