"""``gateway plugins …``: list and check installed plugins, and begin one."""

import asyncio
import importlib.metadata
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from gateway.cli.check import ask_plugins, loading_problems, start_problems
from gateway.cli.opening import read_settings, unlogged
from gateway.cli.plugin_migration import write_migration
from gateway.cli.plugin_replay import read_recorded, refuse_foreign, schemes_of, send, signed_again
from gateway.cli.plugin_score import score_of, score_option, shown
from gateway.cli.scaffold import kinds, names_of, write_plugin
from gateway.errors import ConfigurationError, InvalidInput, NotFound, PluginError, Problem
from gateway.health.preflight import look_at_database
from gateway.http.routers import addresses_of
from gateway.installed_plugins.discovery import ENTRY_POINT_GROUP
from gateway.installed_plugins.faults import implemented_hooks
from gateway.runtime import Gateway
from gateway.sdk.cli import Session, command
from gateway.sdk.records import InstalledPlugin
from gateway.settings import Settings
from gateway.storage.plugin_tables import PluginTables

_COLUMNS: Final = ("name", "enabled", "version", "distribution", "health")


@command("list")
async def list_plugins(session: Session) -> None:
    """List the installed plugins, enabled or not."""
    with unlogged():
        gateway = Gateway(read_settings(session.config))
    rows = [
        {
            "name": plugin.name,
            "enabled": plugin.enabled,
            "version": plugin.version or None,
            "distribution": plugin.distribution,
            "health": _health(plugin),
        }
        for plugin in gateway.plugins
    ]
    session.table(_COLUMNS, rows)


@command("check")
@click.argument("name")
@score_option
async def check_plugin(session: Session, *, name: str, with_score: bool) -> None:
    """Load an enabled plugin, call its start-up hooks and run its health checks.

    Health checks need a database that is up to date. Nothing is changed. --score rates the plugin,
    with advice for each rule that isn't met.
    """
    with unlogged():
        gateway = Gateway(read_settings(session.config))
        plugin = _enabled(gateway, name)
        problems = list(loading_problems(plugin))
        health: list[dict[str, Any]] = []
        if not plugin.problem:
            alone = _with_one_plugin(gateway.settings, name)
            problems += start_problems(alone)
            problems += _clashes(gateway, name, problems)
            if not problems:
                health = await _health_reports(gateway, alone)
                slow = gateway.hooks.slow_lifespans()
                problems += [Problem(each, field=f"[plugins.{name}]") for each in slow]
    problems += [
        Problem(f"health check {each['name']}: {each['detail']}", field=f"[plugins.{name}]")
        for each in health
        if not each["ok"]
    ]
    scored: dict[str, object] = {}
    if with_score:
        alone = _with_one_plugin(gateway.settings, name)
        plugin_class = None if plugin.problem else _class_of(name)
        scored = shown(score_of(alone, plugin, plugin_class, problems))
    session.record(
        {
            "name": name,
            "distribution": plugin.distribution,
            "version": plugin.version or None,
            "ok": not problems,
            "settings": None if plugin.problem else "accepted",
            "hooks": [] if plugin.problem else _hooks(name),
            "health": health,
            "problems": [{"field": each.field, "message": each.message} for each in problems],
            **scored,
        }
    )
    if problems:
        raise PluginError(f"Plugin {name} would not work as it is; its problems are above.")


@command("new")
@click.argument("name")
@click.option(
    "--kind", required=True, help="source, sink, rules, page, or one that a plugin brings."
)
@click.option(
    "--dir",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where to write it.  [default: ./gateway-NAME]",
)
@click.option("--tables", is_flag=True, help="With a table and its first migration.")
async def new_plugin(
    session: Session, *, name: str, kind: str, folder: Path | None, tables: bool
) -> None:
    """Write the package of a new plugin: settings, code, tests, all green at once.

    Nothing is overwritten. Install it with pip install -e, and run its tests with pytest.
    """
    names, known = names_of(name), kinds()
    if kind not in known:
        import difflib  # for a wrong name only

        nearest = difflib.get_close_matches(kind, known, 1)
        hint = f"did you mean {nearest[0]}?" if nearest else f"there are {', '.join(known)}."
        raise NotFound(f"There is no such kind of plugin; {hint}")
    target = folder or Path(names.distribution)
    written = write_plugin(names, known[kind], target, tables=tables)
    if session.as_json:
        files = [path.relative_to(target).as_posix() for path in written]
        session.record({"name": names.name, "dir": str(target), "files": files})
        return
    for path in written:
        session.say(f"wrote {path}")
    session.say(f"Next: cd {target}; pip install -e '.[test]'; pytest")


@command("migration")
@click.argument("name")
@click.argument("what")
async def new_migration(session: Session, *, name: str, what: str) -> None:
    """Write a plugin's next migration, from the changes of its tables.

    WHAT describes it in a few words. Read the written file: it treats a renamed column as a dropped
    one and a new one.
    """
    [tables] = await _tables_of(session, name)
    file = await asyncio.to_thread(write_migration, name, tables, what)
    session.record({"revision": file.stem, "file": str(file)})


async def _tables_of(session: Session, name: str) -> Sequence[PluginTables]:
    with unlogged():
        gateway = Gateway(read_settings(session.config))
        plugin = _enabled(gateway, name)
        if plugin.problem:
            raise PluginError(f"Plugin {name} can't be loaded: {plugin.problem}.")
        tables = _with_one_plugin(gateway.settings, name).hooks.tables()
    if not tables:
        raise NotFound(f"Plugin {name} brings no tables: return PluginTables from the hook tables.")
    return tables


@command("replay")
@click.argument("name")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--to", help="The gateway's address.  [default: that of gateway.toml]")
@click.option("--key", help="An API key, where the route needs one.")
@click.option(
    "--sign",
    "secret",
    metavar="SECRET",
    help="Sign it as of now, by the SignatureScheme that the plugin checks; @FILE reads a file.",
)
async def replay(
    session: Session, *, name: str, file: Path, to: str | None, key: str | None, secret: str | None
) -> None:
    """Post a recorded request to one of a plugin's routes again.

    FILE is a request in the form of HTTP: POST /path, the headers, a blank line, the exact body.
    """
    with unlogged():
        gateway = Gateway(read_settings(session.config))
        _enabled(gateway, name)
        routes = addresses_of(gateway, name)
    recorded = read_recorded(file)
    refuse_foreign(recorded, name, routes)
    if secret is not None:
        found = importlib.metadata.entry_points(group=ENTRY_POINT_GROUP, name=name)
        packages = {each.module.partition(".")[0] for each in found}
        schemes = [scheme for each in packages for scheme in schemes_of(each)]
        recorded = signed_again(recorded, schemes, _read_secret(secret))
    table = gateway.settings.gateway
    address = to or f"http://{table.host}:{table.port}"
    answer = await asyncio.to_thread(send, recorded, address, key)
    session.record({"status": answer.status, "answer": answer.text})


def _read_secret(given: str) -> str:
    """Return a secret, or the content of its file, because other users can see arguments."""
    if not given.startswith("@"):
        return given
    try:
        return Path(given[1:]).read_text("utf-8").strip()
    except (OSError, ValueError) as error:
        raise InvalidInput(f"The file of --sign can't be read ({type(error).__name__}).") from error


def _health(plugin: InstalledPlugin) -> str | None:
    return plugin.problem or ("ok" if plugin.enabled else None)


def _enabled(gateway: Gateway, name: str) -> InstalledPlugin:
    installed = {plugin.name: plugin for plugin in gateway.plugins}
    if name not in installed:
        raise NotFound(
            f"No such plugin is installed; there are {', '.join(installed)}. "
            "pip install the distribution that brings it."
        )
    if name in gateway.settings.disabled_plugins:
        raise ConfigurationError(
            f"Plugin {name} is turned off: take enabled = false out of [plugins.{name}]."
        )
    if not installed[name].enabled:
        raise ConfigurationError(
            f"Plugin {name} is not enabled: add the table [plugins.{name}] to gateway.toml."
        )
    return installed[name]


def _with_one_plugin(settings: Settings, name: str) -> Gateway:
    """Return a gateway with this plugin only."""
    return Gateway(msgspec.structs.replace(settings, plugins={name: settings.plugins[name]}))


def _clashes(gateway: Gateway, name: str, alone: Sequence[Problem]) -> list[Problem]:
    """Return the faults of this plugin that occur only together with the other plugins."""
    seen = {each.message for each in alone}
    return [
        each
        for each in start_problems(gateway)
        if f"plugin {name}" in each.message and each.message not in seen
    ]


def _hooks(name: str) -> Sequence[str]:
    """Return the hooks that a plugin implements, in the order of hookspecs.py."""
    return implemented_hooks(_class_of(name))


def _class_of(name: str) -> type:
    [entry_point] = importlib.metadata.entry_points(group=ENTRY_POINT_GROUP, name=name)
    found: type = entry_point.load()
    return found


async def _health_reports(gateway: Gateway, alone: Gateway) -> list[dict[str, Any]]:
    """Return the results of health checks; without any, the gateway is opened nevertheless.

    Only opening it shows how long the plugin takes.
    """
    names = {check.name for check in alone.hooks.health_checks()}
    state = await look_at_database(gateway)
    if not names:
        if state.is_ready and state.is_sealed:
            async with gateway:
                return []
        return []
    reports = await ask_plugins(gateway, state, names)
    return [
        {"name": name, "ok": report.healthy, "detail": report.detail}
        for name, report in reports.items()
    ]


plugins: Final = click.Group(
    "plugins",
    commands=[list_plugins, check_plugin, new_plugin, new_migration, replay],
    help="List and check installed plugins, and begin one.",
)
