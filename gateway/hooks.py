"""The typed facade over the hooks; the only module that touches pluggy's ``pm.hook``.

Implementations are called one at a time, in the order the plugins were loaded, so
that one that raises is named and the others still run.
"""

import logging
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import click
import pluggy
from litestar import Router

from gateway.errors import PluginError
from gateway.hookspecs import PROJECT, GatewayHooks
from gateway.model.event import Event, EventType
from gateway.model.order import Order, Review
from gateway.records import HealthCheck, Job, PluginTables, Sink

_log = logging.getLogger(__name__)


class Hooks:
    """Calls the hooks of the registered plugins. ``failures`` counts by (plugin, hook)."""

    def __init__(self) -> None:
        self._manager = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(GatewayHooks)
        self.failures: Counter[tuple[str, str]] = Counter()

    def register(self, plugin: object, name: str) -> None:
        """Add a plugin; raises :class:`PluginError` when it implements hooks wrongly."""
        try:
            self._manager.register(plugin, name)
            self._manager.check_pending()
        except pluggy.PluginValidationError as error:
            self._manager.unregister(name=name)
            raise PluginError(
                f"plugin {name} implements a hook that doesn't fit: {error}"
            ) from error

    def http_routers(self) -> list[Router]:
        """Return every plugin's routers."""
        return [router for _, found in self._at_start("http_routers") for router in found or ()]

    def sinks(self) -> dict[str, Sink]:
        """Return the sinks by kind."""
        sinks: dict[str, Sink] = {}
        for name, found in self._at_start("sinks"):
            for sink in found or ():
                if sink.kind in sinks:
                    raise PluginError(f"plugin {name} brings the sink {sink.kind} a second time")
                sinks[sink.kind] = sink
        return sinks

    def event_types(self) -> list[EventType]:
        """Return the event types that plugins publish."""
        return [entry for _, found in self._at_start("event_types") for entry in found or ()]

    def jobs(self) -> list[Job]:
        """Return every plugin's jobs."""
        return [job for _, found in self._at_start("jobs") for job in found or ()]

    def tables(self) -> list[PluginTables]:
        """Return every plugin's tables."""
        return [found for _, found in self._at_start("tables") if found is not None]

    def cli_commands(self) -> list[click.Command]:
        """Return every plugin's commands; a plugin that raises is left out and logged."""
        return [
            command
            for implementation in self._implementations("cli_commands")
            for command in self._ask(implementation) or ()
        ]

    def health_checks(self) -> list[HealthCheck]:
        """Return every plugin's health checks."""
        return [check for _, found in self._at_start("health_checks") for check in found or ()]

    def review_orders(self, orders: Sequence[Order]) -> list[Review]:
        """Return for each order what all plugins together say; each sees what the last one kept."""
        reviews = [Review(order) for order in orders]
        for implementation in self._implementations("review_orders"):
            current = [review.order or order for review, order in zip(reviews, orders, strict=True)]
            found = self._ask(implementation, orders=current)
            if found is None:
                continue
            if len(found) != len(reviews):
                self._failed(implementation, "it answered for a different number of orders")
                continue
            reviews = [_merged(old, new) for old, new in zip(reviews, found, strict=True)]
        return reviews

    def route_events(
        self, events: Sequence[Event], wanted: Mapping[str, Collection[str]]
    ) -> dict[str, Collection[str]]:
        """Return ``wanted``, narrowed down by every plugin that has something to say."""
        kept: dict[str, Collection[str]] = dict(wanted)
        for implementation in self._implementations("route_events"):
            found = self._ask(implementation, events=events, wanted=kept)
            for event_id, destinations in (found or {}).items():
                if event_id in kept:
                    kept[event_id] = [each for each in kept[event_id] if each in destinations]
        return kept

    def events_recorded(self, events: Sequence[Event]) -> None:
        """Tell every plugin what was committed."""
        for implementation in self._implementations("events_recorded"):
            self._ask(implementation, events=events)

    def _implementations(self, hook: str) -> list[pluggy.HookImpl]:
        caller: pluggy.HookCaller = getattr(self._manager.hook, hook)
        return caller.get_hookimpls()

    def _at_start(self, hook: str) -> Iterator[tuple[str, Any]]:
        for implementation in self._implementations(hook):
            name = implementation.plugin_name
            try:
                yield name, implementation.function()
            except PluginError:
                raise
            except Exception as error:
                raise PluginError(f"plugin {name} failed in {hook}: {error}") from error

    def _ask(self, implementation: pluggy.HookImpl, **arguments: Any) -> Any:
        try:
            return implementation.function(
                **{name: arguments[name] for name in implementation.argnames}
            )
        except Exception as error:  # noqa: BLE001 - a plugin's fault must not become the batch's
            self._failed(implementation, type(error).__name__)
            return None

    def _failed(self, implementation: pluggy.HookImpl, why: str) -> None:
        name, hook = implementation.plugin_name, implementation.function.__name__
        self.failures[name, hook] += 1
        _log.error("plugin %s failed in %s and was passed over: %s", name, hook, why)


def _merged(old: Review, new: Review | None) -> Review:
    if new is None:
        return old
    return Review(new.order or old.order, old.errors + new.errors, old.warnings + new.warnings)
