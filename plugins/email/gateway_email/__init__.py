"""Mails when a problem needs a person, and when it ends."""

from collections.abc import Sequence

import click
from litestar import Router

from gateway.plugin import (
    API_VERSION,
    EventType,
    Gateway,
    HealthCheck,
    Job,
    PluginTables,
    Sink,
    hookimpl,
)
from gateway_email import commands, routes
from gateway_email.letter import Letters
from gateway_email.schema import EVENT_TYPES
from gateway_email.sender import MAX_BATCH, SINK, Sender
from gateway_email.settings import EmailSettings, Recipient
from gateway_email.tables import TABLES
from gateway_email.watch import Watch


class Email:
    """The plugin ``email``."""

    api_version = API_VERSION
    Settings = EmailSettings

    def __init__(self, settings: EmailSettings, gateway: Gateway) -> None:
        self._settings = settings
        self._gateway = gateway
        self._sender = Sender(settings, Letters(gateway, settings.sender), gateway.clock)

    @hookimpl
    def http_routers(self) -> Sequence[Router]:
        """Register the routes under /api/email."""
        return [routes.router(self._gateway)]

    @hookimpl
    def sinks(self) -> Sequence[Sink]:
        """Register the sink that sends mails."""
        return [Sink(SINK, Recipient, self._sender.deliver, MAX_BATCH)]

    @hookimpl
    def event_types(self) -> Sequence[EventType]:
        """Register the events that are mailed."""
        return EVENT_TYPES

    @hookimpl
    def health_checks(self) -> Sequence[HealthCheck]:
        """Register the check of the mail server, which sends no mail."""
        return [HealthCheck("mail server", self._sender.health, decides_readiness=False)]

    @hookimpl
    def jobs(self) -> Sequence[Job]:
        """Register the job that watches what needs a person."""
        watch = Watch(self._settings, self._gateway)
        return [Job("email-watch", watch.run, self._settings.watch_seconds)]

    @hookimpl
    def tables(self) -> PluginTables:
        """Register the plugin's table."""
        return TABLES

    @hookimpl
    def cli_commands(self) -> Sequence[click.Command]:
        """Register ``gateway email``."""
        return [commands.commands()]
