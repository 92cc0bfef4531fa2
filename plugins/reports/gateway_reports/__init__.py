"""The evening of a pharmacy: signature log, the day's money, returns, manifest."""

from collections.abc import Sequence

import click
from litestar import Router

from gateway.plugin import (
    API_VERSION,
    ATTENTION,
    AttentionSource,
    EventType,
    Gateway,
    Job,
    Page,
    PluginTables,
    hookimpl,
)
from gateway_reports import routes
from gateway_reports.closing import CLOSED_EVENT, Closing
from gateway_reports.pages import ReportPages
from gateway_reports.returns import EVERY_SECONDS, RETURN_EVENT, Returns
from gateway_reports.settings import ReportsSettings
from gateway_reports.tables import TABLES


class Reports:
    """The plugin ``reports``."""

    api_version = API_VERSION
    Settings = ReportsSettings

    def __init__(self, settings: ReportsSettings, gateway: Gateway) -> None:
        self._settings = settings
        self._gateway = gateway
        self._closing = Closing(gateway)
        self._returns = Returns(gateway, settings)

    @hookimpl
    def http_routers(self) -> Sequence[Router]:
        """Register the routes under /api/reports."""
        return [routes.router(self._gateway, self._closing, self._returns)]

    @hookimpl
    def pages(self) -> Sequence[Page]:
        """Register the pages Reports."""
        return ReportPages(self._gateway, self._closing, self._returns).pages()

    @hookimpl
    def event_types(self) -> Sequence[EventType]:
        """Register the events of a closed day and of a return that is due."""
        return [CLOSED_EVENT, RETURN_EVENT]

    @hookimpl
    def jobs(self) -> Sequence[Job]:
        """Register the hourly job that announces returns."""
        return [Job("reports-returns", self._returns.announce, EVERY_SECONDS)]

    @hookimpl
    def extensions(self, point: str) -> Sequence[object]:
        """Register due returns as an attention source."""
        if point != ATTENTION:
            return ()
        return [AttentionSource("returns", "packages.read", self._returns.attention)]

    @hookimpl
    def tables(self) -> PluginTables:
        """Register closed days and announced returns."""
        return TABLES

    @hookimpl
    def cli_commands(self) -> Sequence[click.Command]:
        """Register ``gateway reports``."""
        from gateway_reports import commands  # no server needs it

        return [commands.reports_group(self._settings)]
