"""Load the enabled plugins.

A plugin that is not enabled is never imported. A plugin that fails to load is reported with
its distribution and version; the others still load.
"""

import importlib.metadata
import logging
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import msgspec

from gateway.errors import ConfigurationError, PluginError, Problem, SettingsError
from gateway.hooks import Hooks
from gateway.installed_plugins.discovery import ENTRY_POINT_GROUP, entry_points
from gateway.installed_plugins.discovery import installed as installed_record
from gateway.installed_plugins.faults import (
    deprecated_faults,
    foreign_name_faults,
    settings_faults,
    unmarked_faults,
    version_faults,
)
from gateway.sdk.records import InstalledPlugin
from gateway.settings import Settings, read_table

_log = logging.getLogger(__name__)


def load_plugins(settings: Settings, gateway: object, hooks: Hooks) -> list[InstalledPlugin]:
    """Import, construct and register the enabled plugins, in the order of gateway.toml.

    Returns every installed plugin, with its ``problem`` where it has one; a plugin
    that is enabled but not installed is listed with the distribution ``missing``.
    """
    found = list(entry_points())
    installed = {each[0].name: installed_record(each, settings) for each in found}
    provided = defaultdict(list)
    for entry_point, distribution, _ in found:
        provided[entry_point.name].append((entry_point, distribution))
    for name, table in settings.plugins.items():
        if name not in provided:
            problem = (
                f"no installed distribution brings a plugin {name}; {_suggestion(name, provided)}"
            )
            installed[name] = InstalledPlugin(name, "missing", "", enabled=True, problem=problem)
            continue
        try:
            if len(provided[name]) > 1:
                both = " and ".join(sorted(distribution for _, distribution in provided[name]))
                raise PluginError(f"{both} bring a plugin of this name; uninstall all but one")
            plugin = _built(provided[name][0][0], settings, table, gateway)
            hooks.register(plugin, name)
            installed[name] = replace(installed[name], remarks=tuple(_remarks(type(plugin))))
        except ConfigurationError as error:
            details = tuple(_placed(each, settings.file) for each in error.details)
            text = "; ".join(
                f"{'' if each.field is None else f'{each.field}: '}{each.message}"
                for each in details
            )
            file = f"{settings.file}: " if details and details[0].field else ""
            installed[name] = replace(
                installed[name], problem=f"{file}{text}" if text else error.message, details=details
            )
    for plugin in installed.values():
        for remark in plugin.remarks:
            _log.warning("plugin %s (%s): %s", plugin.name, _origin(plugin), remark)
        if plugin.problem:
            _log.error(
                "plugin %s (%s) is left out: %s",
                plugin.name,
                _origin(plugin),
                plugin.problem,
            )
    return list(installed.values())


def plugin_problems(plugins: Iterable[InstalledPlugin]) -> list[Problem]:
    """Return one problem for each plugin that could not be loaded."""
    return [
        Problem(
            f"plugin {plugin.name} ({_origin(plugin)}): {plugin.problem}",
            field=f"[plugins.{plugin.name}]",
        )
        for plugin in plugins
        if plugin.problem
    ]


def _remarks(plugin_class: type) -> Iterator[str]:
    """Yield the faults that don't stop a plugin but change what its author intended."""
    for folder in _folders(plugin_class):
        yield from deprecated_faults(folder)
    yield from settings_faults(plugin_class)
    yield from unmarked_faults(plugin_class)


def foreign_names(name: str) -> Iterator[str]:
    """Yield where a plugin uses another plugin's name; reads every file of its package."""
    for entry_point in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP, name=name):
        for folder in _folders(entry_point.load()):
            yield from foreign_name_faults(folder, name)


def _folders(plugin_class: type) -> list[Path]:
    package = sys.modules[plugin_class.__module__.partition(".")[0]]
    return [Path(each) for each in getattr(package, "__path__", None) or [package.__file__ or ""]]


def _placed(problem: Problem, file: str) -> Problem:
    """Return a problem of the settings, its place separate from its sentence."""
    opening = f"{file}: {problem.field}: "
    if problem.field is None or not problem.message.startswith(opening):
        return problem
    return Problem(problem.message.removeprefix(opening), field=problem.field)


def _suggestion(name: str, provided: Iterable[str]) -> str:
    """Suggest what to do about a plugin that isn't installed."""
    import difflib  # for a wrong name only

    nearest = difflib.get_close_matches(name, list(provided), 1)
    return f"did you mean {nearest[0]}?" if nearest else "pip install it first"


def _origin(plugin: InstalledPlugin) -> str:
    return f"{plugin.distribution} {plugin.version}".strip()


def _built(
    entry_point: EntryPoint, settings: Settings, table: Mapping[str, Any], gateway: object
) -> object:
    try:
        plugin_class = entry_point.load()
    except (Exception, SystemExit) as error:
        raise PluginError(f"can't be imported: {_one_line(error)}") from error
    for fault in version_faults(plugin_class):
        raise PluginError(fault)
    settings_type = getattr(plugin_class, "Settings", None)
    if not (isinstance(settings_type, type) and issubclass(settings_type, msgspec.Struct)):
        raise PluginError(next(settings_faults(plugin_class)))
    # A missing secret is one problem among those of the table, and all are shown.
    problems = list(settings.plugin_problems.get(entry_point.name, ()))
    read = None
    try:
        read = read_table(
            table,
            settings_type,
            where=f"plugins.{entry_point.name}",
            file=settings.file,
            directory=settings.directory,
        )
    except SettingsError as error:
        problems += error.details
    if problems:
        raise SettingsError(f"{settings.file} has problems", problems)
    try:
        return plugin_class(read, gateway)
    except (SettingsError, PluginError):
        raise
    except (Exception, SystemExit) as error:
        raise PluginError(f"can't be started: {_one_line(error)}") from error


def _one_line(error: BaseException) -> str:
    """Return an exception's class and message; safe at the start, before any patient data."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
