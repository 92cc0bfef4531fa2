"""Find installed plugins and what their packages declare, without importing any.

A package declares its part of gateway.toml in ``gateway.sample.toml`` and the rows of
``gateway --help`` in ``gateway.commands.toml``.
"""

import importlib.metadata
import importlib.util
import tomllib
from collections.abc import Iterator, Mapping
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, Final

from gateway.sdk.records import InstalledPlugin
from gateway.settings import Settings

ENTRY_POINT_GROUP: Final = "gateway.plugins"
SETTINGS_SAMPLE: Final = "gateway.sample.toml"
COMMAND_ROWS: Final = "gateway.commands.toml"


def installed_plugins(settings: Settings) -> list[InstalledPlugin]:
    """Return every installed plugin, enabled or not."""
    return [installed(each, settings) for each in entry_points()]


def default_configuration() -> str:
    """Return gateway.toml as ``gateway init`` writes it: the core's sample, then each plugin's.

    It is also the configuration where no gateway.toml exists.
    """
    samples = [plugin.settings_file for plugin in installed_plugins(Settings())]
    parts = [(Path(__file__).parents[1] / SETTINGS_SAMPLE).read_text(encoding="utf-8")]
    parts.extend(sample.read_text(encoding="utf-8") for sample in samples if sample)
    return "\n".join(part.strip() + "\n" for part in parts)


def declared_rows(settings: Settings) -> Mapping[str, str] | None:
    """Return the help of each command of the enabled plugins, by its name.

    ``None`` if an enabled plugin declares no rows or is not installed exactly once: then the
    plugins have to be loaded.
    """
    found = [each for each, _, _ in entry_points() if each.name in settings.plugins]
    if sorted(each.name for each in found) != sorted(settings.plugins):
        return None
    rows: dict[str, str] = {}
    for each in found:
        own = _rows_of(_declared(each, COMMAND_ROWS))
        if own is None:
            return None
        rows |= own
    return rows


def entry_points() -> Iterator[tuple[EntryPoint, str, str]]:
    """Read every installed distribution's entry points, which takes longer than all the rest."""
    found = importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)
    described: dict[int, tuple[str, str]] = {}
    for entry_point in sorted(found, key=lambda each: each.name):
        if (dist := entry_point.dist) is None:
            yield entry_point, "unknown", ""
            continue
        # Several plugins of one distribution share it, and each reading parses its whole page.
        if id(dist) not in described:
            metadata = dist.metadata
            described[id(dist)] = metadata["Name"], metadata["Version"]
        yield entry_point, *described[id(dist)]


def installed(found: tuple[EntryPoint, str, str], settings: Settings) -> InstalledPlugin:
    """Return the record of an entry point, its distribution and version."""
    entry_point, distribution, version = found
    return InstalledPlugin(
        name=entry_point.name,
        distribution=distribution,
        version=version,
        enabled=entry_point.name in settings.plugins,
        settings_file=_declared(entry_point, SETTINGS_SAMPLE),
    )


def _declared(entry_point: EntryPoint, name: str) -> Path | None:
    """Find a file in the plugin's package."""
    spec = importlib.util.find_spec(entry_point.module.partition(".")[0])
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(spec.submodule_search_locations[0]) / name
    return path if path.is_file() else None


def _rows_of(file: Path | None) -> Mapping[str, str] | None:
    if file is None:
        return None
    try:
        rows: Any = tomllib.loads(file.read_text("utf-8"))
    except ValueError:  # not TOML, or not UTF-8
        return None
    return rows if all(isinstance(each, str) for each in rows.values()) else None
