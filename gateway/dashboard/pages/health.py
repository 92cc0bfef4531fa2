"""The page Plugins and health: each part green or red with the remedy, and every plugin."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from sqlalchemy.exc import SQLAlchemyError

from gateway.dashboard.health_words import detail_of, part_of
from gateway.errors import NotFound
from gateway.health.installed import InstalledParts
from gateway.health.lines import Line, green, red
from gateway.health.readiness import Readiness, slow_plugins
from gateway.health.stored_keys import key_lines
from gateway.health.stored_state import StoredState, disk
from gateway.model.account import DEFAULT_ACCOUNT, Caller
from gateway.model.permission import ANY_CALLER
from gateway.runtime import Gateway
from gateway.sdk.page_request import PageRequest
from gateway.sdk.pages import Badge, Page, Template
from gateway.sdk.records import InstalledPlugin
from gateway.settings.effective import Shown, effective_of_plugin
from gateway.storage.stores.destinations import DestinationName, DestinationStore
from gateway.version import __version__

_PERMISSION: Final = "settings.read"
_SECONDS: Final = 1.0  # a check that takes longer is reported as late
_KEPT_SECONDS: Final = 2.0
_HELP: Final[Mapping[str, str]] = {"engine": "gateway deliveries list --state pending"}


class Row(NamedTuple):
    """A part as the page shows it; ``page`` is where a person can do something about it."""

    name: str
    words: str
    ok: bool
    detail: str
    command: str | None
    page: str | None


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts and needs of a plugin, from its records."""

    hooks: Sequence[str] = ()
    pages: Sequence[tuple[str, str]] = ()
    brings: Sequence[str] = ()
    needs: Sequence[str] = ()
    jobs: Sequence[tuple[str, float]] = ()
    checks: Sequence[str] = ()


def health_pages(gateway: Gateway) -> list[Page]:
    """Return the page, and that of one plugin."""
    health = HealthPages(gateway)
    return [
        Page(
            path="plugins",
            title="Plugins and health",
            permission=_PERMISSION,
            handler=health.show,
            section="administration",
            order=60,
            icon="i-plugin",
            badge=health.badge,
        ),
        Page(
            path="plugins/{name}",
            title="Plugin",
            permission=_PERMISSION,
            handler=health.plugin,
            parent="plugins",
        ),
    ]


class HealthPages:
    """Makes both pages. Checks run at most once in two seconds, for any number of readers."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._readiness = Readiness(gateway, deadline_seconds=_SECONDS, advisory=True)
        self._state = StoredState(gateway)
        self._installed = InstalledParts(gateway, deadline_seconds=_SECONDS)
        self._since = gateway.clock.now()
        self._turn = asyncio.Lock()
        self._kept: list[Line] = []
        self._kept_until = 0.0

    async def badge(self, _caller: Caller) -> Badge | None:
        """Count the plugins that could not be loaded."""
        count = sum(each.problem is not None for each in self._gateway.plugins)
        return Badge(count, "failed to load", "bad") if count else None

    async def show(self, request: PageRequest) -> Template:
        """Show every part and every plugin."""
        rows = _rows(request, await self._lines(request.caller))
        gateway = self._gateway
        plugins = [self._listed(request, each) for each in gateway.plugins]
        return Template(
            "health.html",
            {
                "rows": rows,
                "faults": sum(not each.ok for each in rows),
                "plugins": sorted(plugins, key=lambda each: (each["rank"], each["name"])),
            },
        )

    async def plugin(self, request: PageRequest) -> Template:
        """Show one plugin: its parts and needs, its settings, its errors."""
        name = request.path["name"]
        found = next((each for each in self._gateway.plugins if each.name == name), None)
        if found is None:
            raise NotFound("There is no such plugin here.")
        settings: Sequence[Shown] = ()
        is_operator = request.caller.account_id == DEFAULT_ACCOUNT
        if is_operator:
            settings = effective_of_plugin(self._gateway.settings, name)
        lines = {each.name: each for each in await self._lines(request.caller)}
        parts = self._parts(found)
        return Template(
            "plugin.html",
            {
                "plugin": found,
                "listed": self._listed(request, found),
                "parts": parts,
                "checks": [_row(request, lines[each]) for each in parts.checks if each in lines],
                "settings": settings,
                "is_operator": is_operator,
                "errors": self._errors(name),
                "reasons": _reasons(found),
                "file": self._gateway.settings.file,
            },
            title=name,
        )

    async def _lines(self, caller: Caller) -> list[Line]:
        gateway = self._gateway
        async with self._turn:
            if gateway.clock.monotonic_seconds() >= self._kept_until:
                self._kept = await self._served()
                self._kept_until = gateway.clock.monotonic_seconds() + _KEPT_SECONDS
            served = self._kept
        lines = [*served, disk(gateway.settings), *await self._stored(caller)]
        if caller.account_id == DEFAULT_ACCOUNT:  # of the machine, which is the operator's
            lines += await self._installed.lines()
        return lines

    async def _served(self) -> list[Line]:
        reports = await self._readiness.reports()
        text = "version {version} runs since {since}"
        lines = [green("server", text, version=__version__, since=self._since)]
        for name, report in reports.items():
            help_command = None
            if not report.healthy:
                help_command = report.command or _HELP.get(name, "gateway check")
            lines.append(
                Line(
                    name,
                    report.healthy,
                    report.detail,
                    help_command,
                    report.message,
                    report.values,
                )
            )
        return [*lines, *slow_plugins(self._gateway)]

    async def _stored(self, caller: Caller) -> list[Line]:
        gateway = self._gateway
        try:
            backlog = await gateway.backlog.read()
            async with gateway.database.read() as connection:
                names = await _own_endpoints(connection, gateway.destinations, caller)
                lines = await self._state.lines(connection, backlog, names)
            keys = await gateway.keys.list(caller.account_id)
            return [*lines, *key_lines(keys, gateway.keys.state)]
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            text, kind = "the stored state can't be read ({kind})", type(error).__name__
            return [red("deliveries", "gateway check", text, kind=kind)]

    def _listed(self, request: PageRequest, plugin: InstalledPlugin) -> dict[str, Any]:
        state, words, glyph, rank = "", request.text("Not enabled"), "s-off", 3
        if plugin.problem:
            state, words, glyph, rank = "bad", request.text("Failed to load"), "s-fail", 0
        elif plugin.name in self._gateway.settings.disabled_plugins:
            words = request.text("Turned off")
        elif plugin.enabled:
            words, glyph, rank = request.text("Enabled"), "s-done", 2
        errors = sum(count for _, count, _ in self._errors(plugin.name))
        if errors or (plugin.remarks and not plugin.problem):
            state, rank = state or "warn", min(rank, 1)
        settings = request.text("None")
        if plugin.problem:
            settings = request.text("See the reasons")
        elif plugin.enabled:
            count = len(effective_of_plugin(self._gateway.settings, plugin.name))
            settings = request.ntext("{n} set, accepted", "{n} set, accepted", count)
            if not count:
                settings = request.text("Defaults")
        return {
            "name": plugin.name,
            "version": plugin.version,
            "distribution": plugin.distribution,
            "state": state,
            "words": words,
            "glyph": glyph,
            "rank": rank,
            "errors": errors,
            "settings": settings,
            "hooks": self._gateway.hooks.implemented(plugin.name),
        }

    def _errors(self, plugin: str) -> list[tuple[str, int, str]]:
        """Return each hook that failed, its number of failures, and the place of the last."""
        hooks = self._gateway.hooks
        return [
            (hook, count, hooks.faults.get((plugin, hook), ""))
            for (name, hook), count in sorted(hooks.failures.items())
            if name == plugin and count
        ]

    def _parts(self, plugin: InstalledPlugin) -> Parts:
        hooks, name = self._gateway.hooks, plugin.name
        if plugin.problem or not plugin.enabled:
            return Parts()
        pages = [page for owner, found in hooks.pages() if owner == name for page in found]
        routers = [router for owner, router in hooks.routers_by_plugin() if owner == name]
        named = [page.permission for page in pages]
        named += [action.permission for page in pages for action in page.actions]
        for router in routers:
            for route in router.routes:
                handlers = getattr(route, "route_handlers", ())
                named += [each.opt.get("permission", ()) for each in handlers]
        own = {each.name for each in hooks.permissions() if each.name.startswith(f"{name}.")}
        return Parts(
            hooks=hooks.implemented(name),
            pages=[(page.title, page.path) for page in pages if page.section is not None],
            brings=sorted(own),
            needs=sorted(_flat(named) - own - {ANY_CALLER}),
            jobs=[(job.name, job.every_seconds) for job in hooks.jobs() if job.plugin == name],
            checks=[each.name for each in hooks.health_checks_of(name)],
        )


async def _own_endpoints(
    connection: Any, destinations: DestinationStore, caller: Caller
) -> dict[str, DestinationName]:
    """Return the endpoints that a caller may see, by id, none of another account."""
    found = await destinations.list(connection, caller)
    return {each.id: DestinationName(each.name, each.sink) for each in found}


def _rows(request: PageRequest, lines: Sequence[Line]) -> list[Row]:
    """Return a row for each part, the red ones first; lines of one part share its row."""
    by_name: dict[str, list[Row]] = {}
    for each in sorted(lines, key=lambda line: line.ok):
        by_name.setdefault(each.name, []).append(_row(request, each))
    return [
        rows[0]._replace(detail="; ".join(each.detail for each in rows))
        for rows in by_name.values()
    ]


def _row(request: PageRequest, line: Line) -> Row:
    page = line.page if request.caller.may("webhooks.read") else None
    if line.name.startswith("plugin "):
        page = f"plugins/{line.name.removeprefix('plugin ')}"
    words, detail = part_of(request, line.name), detail_of(request, line)
    return Row(line.name, words, line.ok, detail, line.command, page)


def _reasons(plugin: InstalledPlugin) -> list[tuple[str, str]]:
    """Return why a plugin was not loaded, and its remarks: a place in gateway.toml, a sentence."""
    found = [(each.field or "", each.message) for each in plugin.details]
    if plugin.problem and not found:
        found = [("", plugin.problem)]
    return [*found, *(("", each) for each in plugin.remarks)]


def _flat(named: Sequence[str | Sequence[str]]) -> set[str]:
    return {
        each
        for permission in named
        for each in ([permission] if isinstance(permission, str) else permission)
        if each
    }
