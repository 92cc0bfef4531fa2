"""Everything a plugin may do, in the order data meets it. Read this first.

::

    source plugin → intake → (package + event + deliveries, ONE transaction)
                    tracking ↗             → dispatch → sink plugin
                    (delivery updates from drivers enter here)

A plugin is a class named by an entry point in the group ``gateway.plugins``. It has

- ``api_version``: the version of this page it speaks, now 1;
- ``Settings``: a frozen ``msgspec.Struct`` with ``forbid_unknown_fields=True``, filled
  from ``[plugins.<name>]`` of gateway.toml;
- ``__init__(self, settings, gateway)``: called once, with nothing open yet;
- methods marked ``@hookimpl``, each named like a hook below. It takes those it needs.

Hooks are few, synchronous, quick, and never wait for anything. What must wait
(sending, polling, writing) is an async callable inside a record that a hook
returns; the core calls that with a deadline.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final

import click
import pluggy
from litestar import Router

from gateway.model.event import Event, EventType
from gateway.model.order import Order, Review
from gateway.sdk.records import HealthCheck, Job, Sink
from gateway.storage.plugin_tables import PluginTables

PROJECT: Final = "gateway"
API_VERSION: Final = 1

hookspec: Final = pluggy.HookspecMarker(PROJECT)
hookimpl: Final = pluggy.HookimplMarker(PROJECT)


class GatewayHooks:
    """The hooks. First what a plugin brings (once, at start), then what it sees (every batch)."""

    @hookspec
    def http_routers(self) -> Sequence[Router]:
        """Bring addresses of your own.

        When: once, when the HTTP application is put together.
        Returns: Litestar routers. A handler that names ``caller`` gets who is calling; every
            route needs an API key unless its ``opt`` says ``{"public": True}``.
        Errors: raising stops the start, with your plugin named.
        Example: ``return [Router("/api/acme", route_handlers=[take_orders])]``
        Since: 1
        """
        raise AssertionError  # a specification: pluggy never runs it

    @hookspec
    def sinks(self) -> Sequence[Sink]:
        """Bring a way to carry events to destinations.

        When: once, at start.
        Returns: sinks, each with a ``kind`` of its own.
        Errors: raising, or a kind that another plugin brought, stops the start.
        Example: ``return [Sink("acme-erp", AcmeDestination, self.deliver)]``
        Since: 1
        """
        raise AssertionError  # a specification: pluggy never runs it

    @hookspec
    def event_types(self) -> Sequence[EventType]:
        """Bring event types that only you publish.

        When: once, at start; the catalog at ``/api/event-types`` and the docs show them.
        Returns: event types with meaning, sample and schema.
        Errors: raising, or a type that another plugin brought, stops the start.
        Example: ``return [EventType(type="acme.synced", meaning="…", sample={}, schema={})]``
        Since: 1
        """
        raise AssertionError  # a specification: pluggy never runs it

    @hookspec
    def jobs(self) -> Sequence[Job]:
        """Bring work that is done again and again.

        When: once, at start; the engine then runs each job as often as it asks.
        Returns: jobs. A job that raises is logged and runs again at its next time.
        Errors: raising here stops the start.
        Example: ``return [Job("acme-poll", self.poll, every_seconds=60)]``
        Since: 1
        """
        raise AssertionError  # a specification: pluggy never runs it

    @hookspec
    def tables(self) -> PluginTables | None:
        """Bring tables of your own.

        When: once, before the schema is brought up to date.
        Returns: the tables' metadata and the folder of their migrations, or ``None``.
        Errors: raising stops the start.
        Example: ``return PluginTables(metadata, Path(__file__).parent / "migrations")``
        Since: 1
        """
        raise AssertionError  # a specification: pluggy never runs it

    @hookspec
    def lifespan(self) -> Sequence[AbstractAsyncContextManager[object]]:
        """Bring what has to be opened and closed: connections, files, work that runs by itself.

        When: each time the gateway is opened, by the server, a worker or a command; so be
            quick, and leave what is done again and again to a job.
        Returns: async context managers. Each is entered once everything is connected, in this
            order, and left before anything is disconnected, in reverse; give new ones each time
            unless yours can be entered again.
        Errors: raising here or on entering stops the start, with what was entered left again;
            raising on leaving is logged and counted, and the others are left all the same.
        Example: ``return [self._client]``
        Since: 1
        """
        raise AssertionError  # a specification: pluggy never runs it

    @hookspec
    def cli_commands(self) -> Sequence[click.Command]:
        """Bring commands for the ``gateway`` command line.

        When: when the command line is read.
        Returns: click commands or groups; a name that the core has is not replaced.
        Errors: raising leaves your commands out, and says so on stderr.
        Example: ``return [acme_group]``
        Since: 1
        """
        raise AssertionError  # a specification: pluggy never runs it

    @hookspec
    def health_checks(self) -> Sequence[HealthCheck]:
        """Bring questions about your own health.

        When: once, at start; the checks run for ``/health/ready`` and ``gateway check``.
        Returns: health checks; each is given 5 seconds.
        Errors: raising here stops the start; a check that raises counts as unhealthy.
        Example: ``return [HealthCheck("acme-erp", self.can_reach_acme)]``
        Since: 1
        """
        raise AssertionError  # a specification: pluggy never runs it

    @hookspec
    def extensions(self, point: str) -> Sequence[object]:
        """Bring records to a place that another plugin left open.

        When: when that plugin asks, with the name of the place: ``"<plugin>.<what>"``. Which
            places there are, and of what type their records are, stands in its documentation.
        Returns: records for ``point``; nothing for a place that is none of yours.
        Errors: raising, or a record of another type, stops whoever asked, with your plugin named.
        Example: ``return [RxRule("acme", self.review)] if point == "rx_queue.rules" else []``
        Since: 1
        """
        raise AssertionError  # a specification: pluggy never runs it

    @hookspec
    def review_orders(self, orders: Sequence[Order]) -> Sequence[Review | None]:
        """Look at orders before anything is stored: enrich, warn or reject.

        When: for each batch that comes in, after the core's own rules passed.
        Returns: one entry an order, in their order: ``None`` for no remark, or a ``Review``
            whose ``order`` (if any) takes the place of the one handed in.
        Errors: raising is logged and counted; the batch goes on without your remarks.
        Example: ``return [Review(errors=(Problem("outside our area"),)) for _ in orders]``
        Since: 1
        """
        raise AssertionError  # a specification: pluggy never runs it

    @hookspec
    def route_events(
        self, events: Sequence[Event], wanted: Mapping[str, Collection[str]]
    ) -> Mapping[str, Collection[str]] | None:
        """Narrow down which destinations get which events, by what the events say.

        When: for each batch of events, inside the transaction that records them. The core has
            matched account, site, mode and pattern: ``wanted`` is destination ids by event id.
        Returns: the destination ids to keep, by event id; an event you leave out stays as it
            is. You can't add a destination that did not match.
        Errors: raising is logged and counted; the events go where the core would send them.
        Example: ``return {event.id: () for event in events if event.data.get("sample")}``
        Since: 1
        """
        raise AssertionError  # a specification: pluggy never runs it

    @hookspec
    def events_recorded(self, events: Sequence[Event]) -> None:
        """Observe what happened, after it was committed.

        When: after each commit that recorded events, in the process that recorded them.
        Returns: nothing.
        Errors: raising is logged and counted, and changes nothing.
        Example: ``self.seen += len(events)``
        Since: 1
        """
        raise AssertionError  # a specification: pluggy never runs it
