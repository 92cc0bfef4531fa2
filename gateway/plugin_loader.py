"""Discover plugins by entry point and load the enabled ones.

A plugin that is not enabled is never imported. A plugin that fails to load is reported with
its distribution and version; the others still load.
"""

import difflib
import importlib.metadata
import importlib.util
import logging
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, Final

import msgspec

from gateway.errors import ConfigurationError, PluginError, Problem, SettingsError
from gateway.hooks import Hooks
from gateway.plugin_faults import (
    deprecated_faults,
    foreign_name_faults,
    settings_faults,
    unmarked_faults,
    version_faults,
)
from gateway.sdk.records import InstalledPlugin
from gateway.settings import Settings, read_table

ENTRY_POINT_GROUP: Final = "gateway.plugins"
SETTINGS_SAMPLE: Final = "gateway.sample.toml"

_log = logging.getLogger(__name__)


def installed_plugins(settings: Settings) -> list[InstalledPlugin]:
    """Return every installed plugin, enabled or not, without importing any."""
    return [_installed(each, settings) for each in _entry_points()]


def load_plugins(settings: Settings, gateway: object, hooks: Hooks) -> list[InstalledPlugin]:
    """Import, construct and register the enabled plugins, in the order of gateway.toml.

    Returns every installed plugin, with its ``problem`` where it has one; a plugin
    that is enabled but not installed is listed with the distribution ``missing``.
    """
    found = list(_entry_points())
    installed = {each[0].name: _installed(each, settings) for each in found}
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


def default_configuration() -> str:
    """Return gateway.toml as ``gateway init`` writes it: the core's sample, then each plugin's.

    It is also the configuration where no gateway.toml exists.
    """
    samples = [plugin.settings_file for plugin in installed_plugins(Settings())]
    parts = [(Path(__file__).parent / SETTINGS_SAMPLE).read_text(encoding="utf-8")]
    parts.extend(sample.read_text(encoding="utf-8") for sample in samples if sample)
    return "\n".join(part.strip() + "\n" for part in parts)


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
    """Yield the faults with which a plugin works, though not as its author meant it."""
    for folder in _folders(plugin_class):
        yield from deprecated_faults(folder)
    yield from settings_faults(plugin_class)
    yield from unmarked_faults(plugin_class)


def foreign_names(name: str) -> Iterator[str]:
    """Yield what a plugin keeps under the name of another one; reads every file of its package."""
    for entry_point in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP, name=name):
        for folder in _folders(entry_point.load()):
            yield from foreign_name_faults(folder, name)


def _folders(plugin_class: type) -> list[Path]:
    package = sys.modules[plugin_class.__module__.partition(".")[0]]
    return [Path(each) for each in getattr(package, "__path__", None) or [package.__file__ or ""]]


def _placed(problem: Problem, file: str) -> Problem:
    """Return a problem of the settings with its place apart from its sentence."""
    opening = f"{file}: {problem.field}: "
    if problem.field is None or not problem.message.startswith(opening):
        return problem
    return Problem(problem.message.removeprefix(opening), field=problem.field)


def _suggestion(name: str, provided: Iterable[str]) -> str:
    """Suggest what to do about a plugin that isn't installed."""
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
    # A missing secret is one of the problems, and shown beside all others of the table.
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
    """Return an exception's class and message: of the start, before any patient data."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _entry_points() -> Iterator[tuple[EntryPoint, str, str]]:
    """Read every installed distribution's entry points, which takes longer than all the rest."""
    found = importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)
    for entry_point in sorted(found, key=lambda each: each.name):
        if entry_point.dist is None:
            yield entry_point, "unknown", ""
        else:
            yield entry_point, entry_point.dist.name, entry_point.dist.version


def _installed(found: tuple[EntryPoint, str, str], settings: Settings) -> InstalledPlugin:
    entry_point, distribution, version = found
    return InstalledPlugin(
        name=entry_point.name,
        distribution=distribution,
        version=version,
        enabled=entry_point.name in settings.plugins,
        settings_file=_settings_file(entry_point),
    )


def _settings_file(entry_point: EntryPoint) -> Path | None:
    """Find the sample in the plugin's package, without importing it."""
    spec = importlib.util.find_spec(entry_point.module.partition(".")[0])
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(spec.submodule_search_locations[0]) / SETTINGS_SAMPLE
    return path if path.is_file() else None
