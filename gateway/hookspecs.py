"""Everything a plugin may do, in the order data meets it. Read this first.

::

    source plugin → intake → (package + event + deliveries, ONE transaction)
                    tracking ↗             → dispatch → sink plugin
                    (delivery updates from drivers enter here)

A plugin is a class named by an entry point in the group ``gateway.plugins``. It has

- ``api_version``: the version of this API it implements, now 1; a gateway speaks a range;
- ``Settings``: a frozen ``msgspec.Struct`` with ``forbid_unknown_fields=True``, filled
  from ``[plugins.<name>]`` of gateway.toml;
- ``__init__(self, settings, gateway)``: called once, before anything is open;
- methods marked ``@hookimpl``, each named after a hook below. All are optional.

Hooks are few, synchronous and quick; they never do I/O. I/O (sending, polling, writing)
belongs into an async callable inside a record that a hook returns; the core calls it with
a deadline.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final

import click
import pluggy
from litestar import Router

from gateway.model.delivery import RoutedDestination
from gateway.model.event import Event, EventType
from gateway.model.order import Order, Review
from gateway.model.permission import Permission
from gateway.sdk.pages import Page, Panel, PanelPlace
from gateway.sdk.records import HealthCheck, Job, Sink
from gateway.storage.plugin_tables import PluginTables

PROJECT: Final = "gateway"
API_VERSION: Final = 1
OLDEST_API_VERSION: Final = 1
"""The oldest version that is still spoken; docs/explanation/stability.md says for how long."""

hookspec: Final = pluggy.HookspecMarker(PROJECT)
hookimpl: Final = pluggy.HookimplMarker(PROJECT)


class GatewayHooks:
    """The hooks: first those called once at start, then those called for every batch."""

    @hookspec
    def http_routers(self) -> Sequence[Router]:
        """Provide HTTP routes.

        When: once, when the HTTP application is put together.
        Returns: Litestar routers. A handler parameter named ``caller`` receives the
            authenticated caller. Each route's ``opt`` names the ``permission`` it needs (a
            tuple for several), ``ANY_CALLER`` where the answer holds nothing of an account, or
            says ``{"public": True}`` where no API key is needed.
        Errors: raising stops the start; the message names your plugin.
        Example: ``return [Router("/api/acme", route_handlers=[take_orders])]``
        Since: 1
        """
        raise AssertionError  # a specification: pluggy never runs it

    @hookspec
    def pages(self) -> Sequence[Page]:
        """Provide pages of the dashboard.

        When: once, when the HTTP application is put together; not where the dashboard is off.
        Returns: pages, each with the ``permission`` that it needs (``ANY_CALLER`` for any
            signed-in person) and a path of its own. Templates, texts and static files lie in
            your package's folders ``templates``, ``locales`` and ``static``, and are named
            after your plugin: ``acme_erp/stock.html``.
        Errors: raising, or a path that is taken, stops the start. A page that raises, or takes
            over 300 ms to be made, fails alone; the message names your plugin.
        Example: ``return [Page(path="stock", title="Stock", permission="acme_erp.sync",
            section="orders", handler=self.show)]``
        Since: 1
        """
        raise AssertionError  # a specification: pluggy never runs it

    @hookspec
    def panels(self, place: PanelPlace) -> Sequence[Panel]:
        """Provide parts of another's page.

        When: once for each place (``today``, ``package``, ``prescription``, ``endpoint``), with
            the pages.
        Returns: panels for ``place``; nothing for places that you don't add to.
        Errors: raising stops the start. A panel that raises, or takes over 300 ms, fails alone.
        Example: ``return [Panel(name="stock", permission="acme_erp.sync", handler=self.beside)]
            if place == "package" else []``
        Since: 1
        """
        raise AssertionError  # a specification: pluggy never runs it

    @hookspec
    def permissions(self) -> Sequence[Permission]:
        """Provide permissions of your own, where the core's don't fit a route.

        When: once, at start.
        Returns: permissions. Each name begins with your plugin's: ``acme_erp.sync``. People of
            the ``roles`` have it; keys that exist never do. While your plugin isn't enabled,
            keys keep it without effect.
        Errors: raising, or a name that doesn't begin with your plugin's, stops the start.
        Example: ``return [Permission("acme_erp.sync", "Start a sync.", ("manager",))]``
        Since: 1
        """
        raise AssertionError  # a specification: pluggy never runs it

    @hookspec
    def sinks(self) -> Sequence[Sink]:
        """Provide transports that deliver events to destinations.

        When: once, at start.
        Returns: sinks, each with a ``kind`` of its own.
        Errors: raising, or a kind that another plugin provides, stops the start.
        Example: ``return [Sink("acme-erp", AcmeDestination, self.deliver)]``
        Since: 1
        """
        raise AssertionError  # a specification: pluggy never runs it

    @hookspec
    def event_types(self) -> Sequence[EventType]:
        """Provide event types that your plugin publishes.

        When: once, at start; the catalog at ``/api/event-types`` and the docs show them.
        Returns: event types with meaning, sample and schema; ``shown`` names data without patient
            data, which every caller sees.
        Errors: raising, or a type that another plugin provides, stops the start.
        Example: ``return [EventType(type="acme.synced", meaning="…", sample={}, schema={})]``
        Since: 1
        """
        raise AssertionError  # a specification: pluggy never runs it

    @hookspec
    def jobs(self) -> Sequence[Job]:
        """Provide periodic work.

        When: once, at start; the engine then runs each job at its interval.
        Returns: jobs. A job that raises is logged and runs again at the next interval.
        Errors: raising here stops the start.
        Example: ``return [Job("acme-poll", self.poll, every_seconds=60)]``
        Since: 1
        """
        raise AssertionError  # a specification: pluggy never runs it

    @hookspec
    def tables(self) -> PluginTables | None:
        """Provide database tables.

        When: once, before the schema is brought up to date.
        Returns: the tables' metadata and the folder of their migrations, or ``None``.
        Errors: raising stops the start.
        Example: ``return PluginTables(metadata, Path(__file__).parent / "migrations")``
        Since: 1
        """
        raise AssertionError  # a specification: pluggy never runs it

    @hookspec
    def lifespan(self) -> Sequence[AbstractAsyncContextManager[object]]:
        """Provide resources that are opened and closed: connections, files, background tasks.

        When: each time the gateway is opened, by the server, a worker or a command; so be
            quick, and leave periodic work to a job.
        Returns: async context managers. They are entered in this order once everything is
            connected, and exited in reverse before anything is disconnected; return new ones
            each time unless yours are reentrant.
        Errors: raising here or on entering stops the start, after what was entered is exited;
            raising on exit is logged and counted, and the others are still exited.
        Example: ``return [self._client]``
        Since: 1
        """
        raise AssertionError  # a specification: pluggy never runs it

    @hookspec
    def cli_commands(self) -> Sequence[click.Command]:
        """Provide commands for the ``gateway`` command line.

        When: when the command line is read.
        Returns: click commands or groups; they can't replace a command of the core.
        Errors: raising leaves your commands out, with a message on stderr.
        Example: ``return [acme_group]``
        Since: 1
        """
        raise AssertionError  # a specification: pluggy never runs it

    @hookspec
    def health_checks(self) -> Sequence[HealthCheck]:
        """Provide health checks.

        When: once, at start; the checks run for ``/health/ready``, ``gateway check`` and
            ``gateway status``.
        Returns: health checks; each has 5 seconds.
        Errors: raising here stops the start; a check that raises counts as unhealthy.
        Example: ``return [HealthCheck("acme-erp", self.can_reach_acme)]``
        Since: 1
        """
        raise AssertionError  # a specification: pluggy never runs it

    @hookspec
    def extensions(self, point: str) -> Sequence[object]:
        """Provide records for an extension point of another plugin, or of the core.

        When: when the owner collects them, with the point's name, ``"<plugin>.<name>"``. Its
            documentation lists its extension points and the type of their records. The core
            has four. ``ATTENTION``: an ``AttentionSource`` finds what needs a person. ``PLACES``:
            ``PlaceRules`` judge what happened at the door of a site that names them. ``TOPICS``: a
            ``Topic`` is a kind of thing that open pages refresh themselves by. ``SOURCES``: an
            ``OrderSource`` is the words for a source of orders.
        Returns: records for ``point``; nothing for points you don't extend.
        Errors: raising, or a record of another type, fails that plugin's call; the message
            names your plugin.
        Example: ``return [RxRule("acme", self.review)] if point == "rx_queue.rules" else []``
        Since: 1
        """
        raise AssertionError  # a specification: pluggy never runs it

    @hookspec
    def review_orders(self, orders: Sequence[Order]) -> Sequence[Review | None]:
        """Enrich, warn about or reject orders before anything is stored.

        When: for each incoming batch, after the core's own rules passed.
        Returns: one entry per order, in the same sequence: ``None`` for no remark, or a
            ``Review`` whose ``order`` (if any) replaces the one passed in.
        Errors: raising is logged and counted; the batch continues without your remarks.
        Example: ``return [Review(errors=(Problem("outside our area"),)) for _ in orders]``
        Since: 1
        """
        raise AssertionError  # a specification: pluggy never runs it

    @hookspec
    def route_events(
        self,
        events: Sequence[Event],
        wanted: Mapping[str, Collection[str]],
        destinations: Mapping[str, RoutedDestination],
    ) -> Mapping[str, Collection[str]] | None:
        """Narrow down the destinations of events, by the events' content.

        When: for each batch of events, inside the transaction that records them. The core has
            matched account, site, mode and pattern: ``wanted`` is destination ids by event id,
            ``destinations`` has their names, sinks and public settings by id. Beside its data an
            event has ``routing``: metadata of the order, flags of the prescription.
        Returns: the destination ids to keep, by event id; an event you leave out is unchanged.
            You can't add a destination that did not match: an id that isn't in ``wanted`` is
            refused and logged. An event that is left with none is stored with your plugin's name.
        Errors: raising is logged and counted; the core's own routing applies.
        Example: ``return {event.id: () for event in events if event.data.get("sample")}``
        Since: 1
        """
        raise AssertionError  # a specification: pluggy never runs it

    @hookspec
    def events_recorded(self, events: Sequence[Event]) -> None:
        """Observe events after they were committed.

        When: after each commit that recorded events, in the process that recorded them.
        Returns: nothing.
        Errors: raising is logged and counted, and changes nothing.
        Example: ``self.seen += len(events)``
        Since: 1
        """
        raise AssertionError  # a specification: pluggy never runs it
