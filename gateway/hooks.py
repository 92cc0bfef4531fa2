"""The typed facade over the hooks; the only module that touches pluggy's ``pm.hook``.

Implementations are called one at a time, in loading order, so that one that raises is
named and the others still run.
"""

import inspect
import logging
import re
import sys
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from types import MappingProxyType
from typing import Any, Final, TypeVar

import click
import pluggy
from litestar import Router

from gateway.errors import PluginError
from gateway.hookspecs import PROJECT, GatewayHooks
from gateway.model.catalog import core_event_types
from gateway.model.change import CORE_TOPICS, Topic
from gateway.model.event import Event, EventType
from gateway.model.order import Order, Review
from gateway.model.permission import Permission
from gateway.model.place_rules import PlaceRules
from gateway.sdk.pages import Page, Panel, PanelPlace
from gateway.sdk.records import (
    ATTENTION,
    PLACES,
    TOPICS,
    AttentionSource,
    HealthCheck,
    Job,
    Sink,
)
from gateway.storage.plugin_tables import PluginTables

_log = logging.getLogger(__name__)

Record = TypeVar("Record")

_WORD: Final = re.compile(r"[a-z][a-z0-9_]*")
_EVERY_BATCH: Final = ("review_orders", "route_events", "events_recorded")


class Hooks:
    """Calls the hooks of registered plugins. ``failures`` counts errors by (plugin, hook)."""

    def __init__(self) -> None:
        self._manager = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(GatewayHooks)
        self.failures: Counter[tuple[str, str]] = Counter()

    def register(self, plugin: object, name: str) -> None:
        """Add a plugin; raises :class:`PluginError` when it implements hooks wrongly."""
        try:
            self._manager.register(plugin, name)
            self._manager.check_pending()
            self._refuse_coroutines(plugin)
        except (pluggy.PluginValidationError, PluginError) as error:
            self._manager.unregister(name=name)
            raise PluginError(
                f"plugin {name} implements a hook that doesn't fit: {error}"
            ) from error

    def http_routers(self) -> list[Router]:
        """Return every plugin's routers."""
        routers = []
        for plugin, found in self._at_start("http_routers", Router):
            for router in found:
                router.opt.setdefault("feature", plugin)  # of plans
                routers.append(router)
        return routers

    def pages(self) -> list[tuple[str, list[Page]]]:
        """Return every plugin's name and pages."""
        return list(self._at_start("pages", Page))

    def panels(self, place: PanelPlace) -> list[tuple[str, list[Panel]]]:
        """Return every plugin's name and panels for ``place``."""
        return list(self._at_start("panels", Panel, place=place))

    def packages(self) -> dict[str, str]:
        """Return the package of each plugin that has pages or panels, by the plugin's name."""
        found = {
            each.plugin_name: sys.modules[type(each.plugin).__module__].__package__
            for hook in ("pages", "panels")
            for each in self._implementations(hook)
        }
        return {name: package for name, package in found.items() if package}

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
        for name, found in self._at_start("sinks", Sink):
            for sink in found:
                if sink.kind in sinks:
                    raise PluginError(f"plugin {name} brings the sink {sink.kind} a second time")
                sinks[sink.kind] = sink
        return sinks

    def event_types(self) -> list[EventType]:
        """Return the event types that plugins publish."""
        types: dict[str, EventType] = {}
        core = {entry.type for entry in core_event_types()}
        for name, found in self._at_start("event_types", EventType):
            for entry in found:
                if entry.type in core or entry.type in types:
                    raise PluginError(
                        f"plugin {name} brings the event type {entry.type} a second time"
                    )
                types[entry.type] = entry
        return list(types.values())

    def jobs(self) -> list[Job]:
        """Return every plugin's jobs."""
        return [job for _, found in self._at_start("jobs", Job) for job in found]

    def tables(self) -> list[PluginTables]:
        """Return every plugin's tables."""
        return [tables for _, found in self._at_start("tables", PluginTables) for tables in found]

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Enter the plugins' context managers, and exit them in reverse when the block ends."""
        async with AsyncExitStack() as stack:
            for implementation in self._implementations("lifespan"):
                for each in self._records(implementation, AbstractAsyncContextManager):
                    try:
                        await each.__aenter__()
                    except PluginError:
                        raise
                    except Exception as error:
                        name = implementation.plugin_name
                        raise PluginError(f"plugin {name} failed to open: {error}") from error
                    stack.push_async_callback(self._leave, implementation, each)
            yield

    async def _leave(
        self, implementation: pluggy.HookImpl, opened: AbstractAsyncContextManager[object]
    ) -> None:
        with self._isolated(implementation):
            await opened.__aexit__(None, None, None)

    def cli_commands(self) -> list[click.Command]:
        """Return every plugin's commands; a plugin that raises is left out and logged."""
        commands: list[click.Command] = []
        for implementation in self._implementations("cli_commands"):
            with self._isolated(implementation):
                commands.extend(_called(implementation) or ())
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
            with self._isolated(implementation):
                found = _called(implementation, orders=current)
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
        self, events: Sequence[Event], wanted: Mapping[str, Collection[str]]
    ) -> dict[str, Collection[str]]:
        """Return ``wanted``, narrowed down by every plugin that implements the hook."""
        kept = {event_id: tuple(destinations) for event_id, destinations in wanted.items()}
        for implementation in self._implementations("route_events"):
            with self._isolated(implementation):
                # Read-only: a plugin must not add destinations.
                found = _called(implementation, events=events, wanted=MappingProxyType(kept))
                kept |= {
                    event_id: tuple(each for each in kept[event_id] if each in destinations)
                    for event_id, destinations in (found or {}).items()
                    if event_id in kept
                }
        return {**kept}

    def events_recorded(self, events: Sequence[Event]) -> None:
        """Notify every plugin of committed events."""
        for implementation in self._implementations("events_recorded"):
            with self._isolated(implementation):
                _called(implementation, events=events)

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

    def _refuse_coroutines(self, plugin: object) -> None:
        for caller in self._manager.get_hookcallers(plugin) or ():
            for implementation in caller.get_hookimpls():
                if inspect.iscoroutinefunction(implementation.function):
                    raise PluginError(f"{caller.name} must be a plain function: hooks never wait")

    def _at_start(
        self, hook: str, kind: type[Record], **arguments: Any
    ) -> Iterator[tuple[str, list[Record]]]:
        """Yield each plugin's name and records; a single record counts as a list of one."""
        for implementation in self._implementations(hook):
            yield implementation.plugin_name, self._records(implementation, kind, **arguments)

    @staticmethod
    def _records(implementation: pluggy.HookImpl, kind: type[Any], **arguments: Any) -> list[Any]:
        name, hook = implementation.plugin_name, implementation.function.__name__
        try:
            found = _called(implementation, **arguments)
            alone = kind is not object and isinstance(found, kind)
            records = [found] if alone else list(found or ())
        except PluginError:
            raise
        except Exception as error:
            raise PluginError(f"plugin {name} failed in {hook}: {error}") from error
        if not all(isinstance(each, kind) for each in records):
            raise PluginError(
                f"plugin {name} brings something in {hook} that is no {kind.__name__}"
            )
        return records

    @contextmanager
    def _isolated(self, implementation: pluggy.HookImpl) -> Iterator[None]:
        """Count and log an error of one plugin; the results of the others still count."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - a plugin's fault must not become the batch's
            name, hook = implementation.plugin_name, implementation.function.__name__
            why = error.message if isinstance(error, PluginError) else type(error).__name__
            self.failures[name, hook] += 1
            _log.error("plugin %s failed in %s and was passed over: %s", name, hook, why)


def _called(implementation: pluggy.HookImpl, **arguments: Any) -> Any:
    """Call one implementation with the arguments it accepts."""
    return implementation.function(**{name: arguments[name] for name in implementation.argnames})


def _merged(old: Review, new: Review | None) -> Review:
    if new is None:
        return old
    return Review(new.order or old.order, old.errors + new.errors, old.warnings + new.warnings)
