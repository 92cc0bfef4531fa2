"""The typed facade over the hooks; the only module that touches pluggy's ``pm.hook``.

Implementations are called one at a time, in loading order, so that an error names its plugin and
the others still run.
"""

import dataclasses
import logging
import re
import sys
from collections.abc import (
    AsyncIterator,
    Callable,
    Collection,
    Iterator,
    Mapping,
    MutableMapping,
    Sequence,
)
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
)
from types import MappingProxyType
from typing import Any, Final, TypeVar

import click
import pluggy
from litestar import Router

from gateway.clock import Clock, SystemClock
from gateway.errors import PluginError
from gateway.hook_calls import START_SECONDS, HookCalls
from gateway.hookspecs import PROJECT, GatewayHooks
from gateway.installed_plugins.faults import hook_faults, implemented_hooks
from gateway.model.catalog import core_event_types
from gateway.model.change import CORE_TOPICS, Topic
from gateway.model.delivery import RoutedDestination
from gateway.model.event import Event, EventType
from gateway.model.order import Order, Review
from gateway.model.permission import Permission
from gateway.model.place_rules import PlaceRules
from gateway.observability.fault_places import place_of
from gateway.sdk.pages import Page, Panel, PanelPlace
from gateway.sdk.records import (
    ATTENTION,
    PLACES,
    SOURCES,
    TOPICS,
    AttentionSource,
    HealthCheck,
    Job,
    OrderSource,
    Sink,
)
from gateway.storage.plugin_migrations import refuse_clashes, refuse_unprefixed
from gateway.storage.plugin_tables import PluginTables

_log = logging.getLogger(__name__)

# Hooks whose records are shown on pages, with the templates and texts of their plugin.
_ON_PAGES: Final = ("pages", "panels", "event_types", "extensions", "health_checks")

SLOW_TO_OPEN: Final = (
    "took {seconds} s to open: each command of the command line waits for it; open connections "
    "when they are needed, and leave periodic work to a job"
)
"""The sentence on a plugin that was slow to open, after its name."""

Record = TypeVar("Record")

_WORD: Final = re.compile(r"[a-z][a-z0-9_]*")
_EVERY_BATCH: Final = ("review_orders", "route_events", "events_recorded")


class Hooks:
    """Calls the hooks of registered plugins.

    ``failures`` counts errors by (plugin, hook); ``faults`` has the last one's class and place.
    ``opening_seconds`` has how long the lifespan of each plugin took to open. ``clock`` times the
    calls; ``trace`` is given a line for each.
    """

    def __init__(
        self, clock: Clock | None = None, trace: Callable[[str], None] | None = None
    ) -> None:
        self._manager = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(GatewayHooks)
        self._clock = clock or SystemClock()
        self._calls = HookCalls(self._clock, _EVERY_BATCH, trace)
        self.failures = self._calls.failures
        self.faults = self._calls.faults
        self.opening_seconds: dict[str, float] = {}

    def register(self, plugin: object, name: str) -> None:
        """Add a plugin; raises :class:`PluginError` when it implements hooks wrongly."""
        # Found here and not by pluggy, whose messages show objects by their address in memory.
        faults = list(hook_faults(type(plugin)))
        if faults:
            raise PluginError(
                f"plugin {name} implements a hook that doesn't fit: {'; '.join(faults)}"
            )
        self._manager.register(plugin, name)

    def http_routers(self) -> list[Router]:
        """Return every plugin's routers."""
        return [router for _, router in self.routers_by_plugin()]

    def routers_by_plugin(self) -> list[tuple[str, Router]]:
        """Return every plugin's routers, each with the name of its plugin."""
        routers = []
        for plugin, found in self._at_start("http_routers", Router):
            for router in found:
                router.opt.setdefault("feature", plugin)  # of plans
                routers.append((plugin, router))
        return routers

    def pages(self) -> list[tuple[str, list[Page]]]:
        """Return every plugin's name and pages."""
        return list(self._at_start("pages", Page))

    def panels(self, place: PanelPlace) -> list[tuple[str, list[Panel]]]:
        """Return every plugin's name and panels for ``place``."""
        return list(self._at_start("panels", Panel, place=place))

    def packages(self) -> dict[str, str]:
        """Return the package of each plugin that pages mention, by the plugin's name."""
        found = {
            each.plugin_name: sys.modules[type(each.plugin).__module__].__package__
            for hook in _ON_PAGES
            for each in self._implementations(hook)
        }
        return {name: package for name, package in found.items() if package}

    def implemented(self, plugin: str) -> list[str]:
        """Return the hooks that a registered plugin implements, in the order of hookspecs.py."""
        found = self._manager.get_plugin(plugin)
        return [] if found is None else implemented_hooks(type(found))

    def page_failed(self, plugin: str, hook: str, reason: str) -> None:
        """Count and log that a plugin's page or panel could not be shown."""
        self.failures[plugin, hook] += 1
        _log.error("plugin %s failed in %s and was passed over: %s", plugin, hook, reason)

    def permissions(self) -> list[Permission]:
        """Return the permissions that plugins bring."""
        found: dict[str, Permission] = {}
        for plugin, records in self._at_start("permissions", Permission):
            for each in records:
                owner, _, word = each.name.partition(".")
                if owner != plugin or not _WORD.fullmatch(word):
                    raise PluginError(
                        f"plugin {plugin} brings a permission whose name isn't {plugin}.<word>"
                    )
                if each.name in found:
                    raise PluginError(f"plugin {plugin} brings {each.name} a second time")
                found[each.name] = each
        return list(found.values())

    def sinks(self) -> dict[str, Sink]:
        """Return the sinks by kind."""
        sinks: dict[str, Sink] = {}
        owners: dict[str, str] = {}
        for name, found in self._at_start("sinks", Sink):
            for sink in found:
                if sink.kind in sinks:
                    raise PluginError(_clash("sink", sink.kind, owners[sink.kind], name))
                sinks[sink.kind] = sink
                owners[sink.kind] = name
        return sinks

    def event_types(self) -> list[EventType]:
        """Return the event types that plugins publish."""
        types: dict[str, EventType] = {}
        owners = {entry.type: "" for entry in core_event_types()}
        for name, found in self._at_start("event_types", EventType):
            for entry in found:
                if entry.type in owners:
                    raise PluginError(_clash("event type", entry.type, owners[entry.type], name))
                types[entry.type] = entry
                owners[entry.type] = name
        return list(types.values())

    def jobs(self) -> list[Job]:
        """Return every plugin's jobs, each with the name of its plugin."""
        jobs: dict[str, Job] = {}
        for name, found in self._at_start("jobs", Job):
            for job in found:
                if not job.every_seconds > 0:
                    raise PluginError(
                        f"plugin {name} has the job {job.name} with every_seconds = "
                        f"{job.every_seconds:g}: it would never pause; give a number above 0"
                    )
                if job.name in jobs:
                    raise PluginError(_clash("job", job.name, jobs[job.name].plugin, name))
                jobs[job.name] = dataclasses.replace(job, plugin=name)
        return list(jobs.values())

    def tables(self) -> list[PluginTables]:
        """Return every plugin's tables.

        Raises ``PluginError`` for revisions or tables that don't begin with the plugin's name,
        or that two plugins bring.
        """
        found = [
            (name, tables)
            for name, brought in self._at_start("tables", PluginTables)
            for tables in brought
        ]
        refuse_clashes(found)
        refuse_unprefixed(found)
        return [tables for _, tables in found]

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Enter the plugins' context managers, and exit them in reverse when the block ends."""
        async with AsyncExitStack() as stack:
            for implementation in self._implementations("lifespan"):
                began = self._clock.monotonic_seconds()
                for each in self._records(implementation, AbstractAsyncContextManager):
                    try:
                        await each.__aenter__()
                    except PluginError:
                        raise
                    except Exception as error:
                        name = implementation.plugin_name
                        raise PluginError(
                            f"plugin {name} failed to open: "
                            f"{_described(error, type(each).__aenter__)}"
                        ) from error
                    stack.push_async_callback(self._leave, implementation, each)
                took_seconds = self._clock.monotonic_seconds() - began
                self.opening_seconds[implementation.plugin_name] = took_seconds
            for sentence in self.slow_lifespans():
                _log.warning("%s", sentence)
            yield

    def lifespan_records(self) -> list[object]:
        """Return the plugins' lifespans without opening them."""
        return [
            each
            for implementation in self._implementations("lifespan")
            for each in self._records(implementation, AbstractAsyncContextManager)
        ]

    def slow_to_open(self) -> dict[str, str]:
        """Return the seconds, in words, of each plugin that was slow at the last opening."""
        return {
            name: f"{seconds:.1f}"
            for name, seconds in self.opening_seconds.items()
            if seconds > START_SECONDS
        }

    def slow_lifespans(self) -> list[str]:
        """Return a sentence for each plugin that was slow at the last opening."""
        return [
            f"plugin {name} {SLOW_TO_OPEN.format(seconds=seconds)}"
            for name, seconds in self.slow_to_open().items()
        ]

    async def _leave(
        self, implementation: pluggy.HookImpl, opened: AbstractAsyncContextManager[object]
    ) -> None:
        with self._calls.isolated(implementation, type(opened).__aexit__):
            await opened.__aexit__(None, None, None)

    def cli_commands(self) -> list[click.Command]:
        """Return every plugin's commands; a plugin that raises is left out and logged."""
        commands: list[click.Command] = []
        for implementation in self._implementations("cli_commands"):
            with self._calls.isolated(implementation):
                commands.extend(self._calls.call(implementation) or ())
        return commands

    def attention(self) -> list[AttentionSource]:
        """Return every plugin's sources of what needs a person."""
        return [
            each
            for _, found in self._at_start("extensions", AttentionSource, point=ATTENTION)
            for each in found
        ]

    def places(self) -> list[PlaceRules]:
        """Return every plugin's rules of places."""
        return [
            each
            for _, found in self._at_start("extensions", PlaceRules, point=PLACES)
            for each in found
        ]

    def order_sources(self) -> dict[str, str]:
        """Return the words of every plugin's sources of orders, by the source's name."""
        return {
            each.name: each.words
            for _, found in self._at_start("extensions", OrderSource, point=SOURCES)
            for each in found
        }

    def topics(self) -> dict[str, Topic]:
        """Return the topics of the feed of changes, the core's and the plugins', by name."""
        topics = {each.name: each for each in CORE_TOPICS}
        for name, found in self._at_start("extensions", Topic, point=TOPICS):
            for each in found:
                if each.name in topics:
                    raise PluginError(f"plugin {name} brings the topic {each.name} a second time")
                topics[each.name] = each
        return topics

    def health_checks(self) -> list[HealthCheck]:
        """Return every plugin's health checks."""
        return [
            check for _, found in self._at_start("health_checks", HealthCheck) for check in found
        ]

    def health_checks_of(self, plugin: str) -> list[HealthCheck]:
        """Return one plugin's health checks."""
        found = self._at_start("health_checks", HealthCheck)
        return [check for name, checks in found if name == plugin for check in checks]

    def extensions(self, point: str) -> list[object]:
        """Return every plugin's records for the extension point ``point``."""
        return [
            each for _, found in self._at_start("extensions", object, point=point) for each in found
        ]

    def review_orders(self, orders: Sequence[Order]) -> list[Review]:
        """Return a merged review for each order; each plugin sees the previous one's changes."""
        reviews = [Review(order) for order in orders]
        for implementation in self._implementations("review_orders") if orders else ():
            current = tuple(
                review.order or order for review, order in zip(reviews, orders, strict=True)
            )
            with self._calls.isolated(implementation):
                found = self._calls.call(implementation, orders=current)
                if found is not None and len(found) != len(current):
                    raise PluginError("it answered for a different number of orders")
                reviews = [
                    _merged(old, new)
                    for old, new in zip(reviews, found or (None,) * len(current), strict=True)
                ]
        return reviews

    @property
    def review_orders_wanted(self) -> bool:
        """Whether any plugin implements ``review_orders``."""
        return bool(self._implementations("review_orders"))

    def route_events(
        self,
        events: Sequence[Event],
        wanted: Mapping[str, Collection[str]],
        destinations: Mapping[str, RoutedDestination] | None = None,
        emptied: MutableMapping[str, str] | None = None,
    ) -> dict[str, Collection[str]]:
        """Return ``wanted``, narrowed down by every plugin that implements the hook.

        An id that wasn't in ``wanted`` is refused, counted and logged. Where an event would be left
        without a destination for it, the answer about that event is refused. ``emptied`` receives
        the plugin that left an event without a destination, by event id.
        """
        kept: dict[str, Collection[str]] = {
            event_id: tuple(destinations) for event_id, destinations in wanted.items()
        }
        for implementation in self._implementations("route_events"):
            with self._calls.isolated(implementation):
                # Read-only: a plugin must not add destinations.
                found = self._calls.call(
                    implementation,
                    events=events,
                    wanted=MappingProxyType(kept),
                    destinations=destinations or {},
                )
                narrowed, unknown = _narrowed(found or {}, kept)
                if emptied is not None:
                    for event_id in narrowed:
                        if kept[event_id] and not narrowed[event_id]:
                            emptied[event_id] = implementation.plugin_name
                kept |= narrowed
                if unknown:
                    raise PluginError(
                        f"it answered with {unknown} {'id' if unknown == 1 else 'ids'} that it "
                        "wasn't given, which are refused: return ids of wanted"
                    )
        return {**kept}

    def events_recorded(self, events: Sequence[Event]) -> None:
        """Notify every plugin of committed events."""
        for implementation in self._implementations("events_recorded"):
            with self._calls.isolated(implementation):
                self._calls.call(implementation, events=events)

    def failure_counts(self) -> Collection[tuple[tuple[str, str], int]]:
        """Return the failures by plugin and hook, including 0 for the hooks of each batch."""
        called = {
            (each.plugin_name, hook): 0
            for hook in _EVERY_BATCH
            for each in self._implementations(hook)
        }
        return {**called, **self.failures}.items()

    def _implementations(self, hook: str) -> list[pluggy.HookImpl]:
        caller: pluggy.HookCaller = getattr(self._manager.hook, hook)
        return caller.get_hookimpls()

    def _at_start(
        self, hook: str, kind: type[Record], **arguments: Any
    ) -> Iterator[tuple[str, list[Record]]]:
        """Yield each plugin's name and records; a single record counts as a list of one."""
        for implementation in self._implementations(hook):
            yield implementation.plugin_name, self._records(implementation, kind, **arguments)

    def _records(
        self, implementation: pluggy.HookImpl, kind: type[Any], **arguments: Any
    ) -> list[Any]:
        name, hook = implementation.plugin_name, implementation.function.__name__
        try:
            found = self._calls.call(implementation, **arguments)
            alone = kind is not object and isinstance(found, kind)
            records = [found] if alone else list(found or ())
        except PluginError:
            raise
        except Exception as error:
            raise PluginError(
                f"plugin {name} failed in {hook}: {_described(error, implementation.function)}"
            ) from error
        if not all(isinstance(each, kind) for each in records):
            raise PluginError(
                f"plugin {name} brings something in {hook} that is no {kind.__name__}"
            )
        return records


def _described(error: Exception, function: Callable[..., Any]) -> str:
    """Return an exception of the start, before any patient data: its message, class and place."""
    place = place_of(error, function)
    return f"{error} ({type(error).__name__}{f' at {place}' if place else ''})"


def _clash(noun: str, name: str, first: str, second: str) -> str:
    if first == second:
        return f"plugin {second} brings the {noun} {name} twice: take one of them out"
    owner = f"plugin {first} and plugin {second}" if first else f"the core and plugin {second}"
    return (
        f"{owner} both bring the {noun} {name}: rename one, "
        f"or turn off one of the plugins (enabled = false)"
    )


def _narrowed(
    answer: Mapping[str, Collection[str]], wanted: Mapping[str, Collection[str]]
) -> tuple[dict[str, Collection[str]], int]:
    """Return the kept destinations of each event, and the number of unknown ids."""
    narrowed: dict[str, Collection[str]] = {}
    unknown = 0
    for event_id, destinations in answer.items():
        given = wanted.get(event_id)
        if given is None:
            unknown += 1
            continue
        known = tuple(each for each in given if each in destinations)
        unknown += sum(each not in given for each in destinations)
        if known or not destinations:
            narrowed[event_id] = known
    return narrowed, unknown


def _merged(old: Review, new: Review | None) -> Review:
    if new is None:
        return old
    return Review(new.order or old.order, old.errors + new.errors, old.warnings + new.warnings)
