"""Distributions that are not installed but found: a folder on sys.path with a dist-info in it.

Nothing here knows pytest.
"""

import textwrap
from dataclasses import dataclass
from pathlib import Path

from gateway.hooks import Hooks
from gateway.plugin_loader import load_plugins
from gateway.sdk.records import InstalledPlugin
from gateway.settings import Settings, parse_settings

PLUGIN = """
import msgspec

from gateway.plugin import API_VERSION, hookimpl


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    postcodes: tuple[str, ...] = ()
    limit: int = 10


class Plugin:
    api_version = API_VERSION
    Settings = Settings

    def __init__(self, settings, gateway):
        self.settings = settings
        self.gateway = gateway

    @hookimpl
    def events_recorded(self, events):
        pass
"""


@dataclass(frozen=True)
class Site:
    """A folder like site-packages; it is for the caller to put it on sys.path."""

    folder: Path

    def distribute(
        self, name: str, version: str, plugins: dict[str, str], *, modules: dict[str, str]
    ) -> None:
        """Write a distribution: ``plugins`` are entry points, ``modules`` their code by path."""
        info = self.folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        lines = "".join(f"{key} = {value}\n" for key, value in plugins.items())
        (info / "entry_points.txt").write_text(f"[gateway.plugins]\n{lines}")
        for path, code in modules.items():
            file = self.folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(textwrap.dedent(code))

    def plugin(self, name: str, code: str = PLUGIN, *, version: str = "1.2.3") -> None:
        """Write the distribution ``gateway-NAME`` with one module and one plugin in it."""
        self.distribute(
            f"gateway-{name.replace('_', '-')}",
            version,
            {name: f"found_{name}:Plugin"},
            modules={f"found_{name}/__init__.py": code},
        )


def changed(old: str, new: str, code: str = PLUGIN) -> str:
    """Return the code of a plugin with something else in it."""
    assert old in code
    return code.replace(old, new)


def configured(directory: Path, toml: str) -> Settings:
    file = directory / "gateway.toml"
    return parse_settings(toml, source=file, directory=directory, environ={})


def loaded(directory: Path, toml: str) -> tuple[Hooks, dict[str, InstalledPlugin]]:
    hooks = Hooks()
    found = load_plugins(configured(directory, toml), "the gateway", hooks)
    return hooks, {plugin.name: plugin for plugin in found}


def registered(hooks: Hooks) -> dict[str, object]:
    return dict(hooks._manager.list_name_plugin())
