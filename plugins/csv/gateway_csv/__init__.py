"""Orders from spreadsheets: over HTTP, from the command line, and out of a watched folder."""

from collections.abc import Sequence
from pathlib import Path

import click
from litestar import Router

from gateway.plugin import API_VERSION, Gateway, Job, PluginTables, hookimpl
from gateway_csv.commands import import_command
from gateway_csv.desk import Desk
from gateway_csv.routes import router
from gateway_csv.settings import CsvSettings
from gateway_csv.tables import metadata


class Csv:
    """The plugin ``csv``: ``POST /api/packages/import`` and ``gateway csv``."""

    api_version = API_VERSION
    Settings = CsvSettings

    def __init__(self, settings: CsvSettings, gateway: Gateway) -> None:
        self._settings = settings
        self._gateway = gateway
        self._desk = Desk(gateway, settings)

    @hookimpl
    def http_routers(self) -> Sequence[Router]:
        """Bring the addresses under /api/packages."""
        return [router(self._desk, self._settings)]

    @hookimpl
    def cli_commands(self) -> Sequence[click.Command]:
        """Bring ``gateway csv``."""
        group = click.Group("csv", help="Orders from spreadsheets, and packages into them.")
        group.add_command(import_command(self._settings))
        return [group]

    @hookimpl
    def tables(self) -> PluginTables:
        """Bring what imports leave behind."""
        return PluginTables(metadata, Path(__file__).parent / "migrations")

    @hookimpl
    def jobs(self) -> Sequence[Job]:
        """Bring the tidying up."""
        return [Job("csv-tidy", self._desk.tidy, every_seconds=3600)]
