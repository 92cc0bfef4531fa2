"""Contract tests that every plugin must pass; plugin authors can run them, too.

.. code-block:: python

    from gateway.testing import PluginContract


    class TestAcmeErp(PluginContract):
        name = "acme_erp"
        configuration = "[plugins.acme_erp]"

``configuration`` is a gateway.toml with which the plugin starts. It may be omitted if the
plugin starts with its own ``gateway.sample.toml``.
"""

import asyncio
import importlib.util
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, ClassVar, cast

import click
import pytest
from click.testing import CliRunner
from sqlalchemy import Connection, inspect

from gateway.auth.roles import Permissions
from gateway.http import routers
from gateway.http.app import core_routers
from gateway.installed_plugins.discovery import (
    ENTRY_POINT_GROUP,
    SETTINGS_SAMPLE,
    declared_rows,
    installed_plugins,
)
from gateway.model.catalog import core_event_types
from gateway.plugin_loader import foreign_names
from gateway.runtime import Gateway
from gateway.sdk.records import HealthReport, Sink
from gateway.settings import Settings, parse_settings
from gateway.storage.plugin_tables import PluginTables
from gateway.storage.schema import metadata as core_tables
from gateway.testing import inspection, pages, routes, sinks
from gateway.testing.harness import GatewayHarness, MakeHarness

_HEALTH_SECONDS = 5.0
# Testing routes takes more requests than the default limits allow.
_WIDE_LIMITS = """
[limits]
orders_requests_per_minute = 100000
orders_per_hour = 1000000
reads_per_minute = 100000
updates_requests_per_minute = 100000
"""


class PluginContract:
    """Subclass it as ``Test…`` and set ``name`` to the name of the plugin's entry point."""

    name: ClassVar[str] = ""
    configuration: ClassVar[str | None] = None

    def destination_settings(self, sink: Sink, port: int) -> Mapping[str, Any]:
        """Return settings of a destination at a closed ``port`` of 127.0.0.1.

        Override it if the values can't be derived from the settings' names.
        """
        return sinks.example_settings(sink.settings, port)

    @pytest.fixture
    def plugin(self) -> str:
        """Return the name of the plugin under test."""
        return self.name

    @pytest.fixture
    def plugin_class(self, plugin: str) -> type:
        """Return the plugin class of the entry point."""
        [entry_point] = _entry_points(plugin)
        found: type = entry_point.load()
        return found

    @pytest.fixture
    def gateway(self, plugin: str, harness: MakeHarness) -> GatewayHarness:
        """Return a gateway with this plugin only; open it with ``async with``."""
        toml = self._configuration_of(plugin)
        return harness(toml if "[limits]" in toml else toml + _WIDE_LIMITS)

    def test_it_speaks_this_version_of_the_hooks(self, plugin_class: type) -> None:
        """``api_version`` is the one of :mod:`gateway.hookspecs`."""
        assert not list(inspection.version_faults(plugin_class))

    def test_its_settings_are_frozen_and_refuse_unknown_keys(self, plugin_class: type) -> None:
        """A typo in gateway.toml is reported, not ignored."""
        assert not list(inspection.settings_faults(plugin_class))

    def _configuration_of(self, plugin: str) -> str:
        if self.configuration is not None:
            return self.configuration
        return _read_sample(plugin)

    def test_its_sample_of_gateway_toml_is_shipped_and_valid(
        self, plugin: str, tmp_path: Path
    ) -> None:
        """``gateway init`` includes it; the plugin starts with it, or is disabled in it."""
        text = _read_sample(plugin)
        settings = parse_settings(text, source=None, directory=tmp_path, environ={})
        assert {plugin} == {*settings.plugins, *settings.disabled_plugins}
        assert _problem(Gateway(settings), plugin) is None

    def test_it_starts(self, plugin: str, gateway: GatewayHarness) -> None:
        """With ``configuration``, which the following tests use."""
        switched_on = plugin in gateway.gateway.settings.plugins
        where = "its sample" if self.configuration is None else "configuration"
        assert switched_on, f"{where} switches it off: give the test class a configuration with it"
        assert _problem(gateway.gateway, plugin) is None

    def test_its_hooks_have_the_right_arguments_and_are_not_async(self, plugin_class: type) -> None:
        """Each is a plain function with the hook's argument names, and has ``@hookimpl``."""
        assert not list(inspection.hook_faults(plugin_class))
        assert not list(inspection.unmarked_faults(plugin_class))

    def test_it_imports_only_the_plugin_api(self, plugin: str) -> None:
        """From the gateway, its package imports only :mod:`gateway.plugin`."""
        assert not list(inspection.import_faults(_package(plugin)))

    def test_its_stored_data_is_under_its_own_name(self, plugin: str) -> None:
        """State, tokens and messages; another plugin's name would mix them with its own."""
        assert not list(foreign_names(plugin))

    def test_its_event_types_are_described_and_fit_their_samples(
        self, gateway: GatewayHarness
    ) -> None:
        """The catalog and the docs show them to authors of receivers."""
        assert not list(inspection.event_type_faults(gateway.gateway.hooks.event_types()))

    def test_its_names_are_unique(self, plugin: str, tmp_path: Path) -> None:
        """With every installed plugin enabled, event types, sinks, jobs and addresses are unique.

        Migrations and tables begin with the plugin's name.
        """
        own = self._configuration_of(plugin)
        read = parse_settings(own, source=None, directory=tmp_path, environ={})
        named = {*read.plugins, *read.disabled_plugins}  # a writer also configures its queue
        others = [each for each in installed_plugins(Settings()) if each.name not in named]
        samples = [each.settings_file for each in others if each.settings_file]
        parts = [each.read_text(encoding="utf-8") for each in samples]
        text = "\n".join([own, *parts])
        together = Gateway(parse_settings(text, source=None, directory=tmp_path, environ={}))
        types = [entry.type for entry in together.catalog()]
        assert len(types) == len(set(types))
        assert together.hooks.sinks() is not None
        assert together.hooks.jobs() is not None
        assert together.hooks.tables() is not None
        core = core_routers(cast("Gateway", routers.Unopened(together)))
        assert not list(routers.router_faults(together, core))

    @pytest.mark.asyncio
    async def test_its_sinks_answer_for_every_delivery(self, gateway: GatewayHarness) -> None:
        """Also when the port is closed: in time, and with a reason."""
        hooks = gateway.gateway.hooks
        event_types = [*core_event_types(), *hooks.event_types()]
        async with gateway:
            with sinks.closed_port() as port:
                for sink in hooks.sinks().values():
                    settings = self.destination_settings(sink, port)
                    clock = gateway.gateway.clock
                    async with asyncio.timeout(60):
                        assert not await sinks.sink_faults(sink, settings, event_types, clock)

    def test_its_routes_are_documented(self, gateway: GatewayHarness) -> None:
        """A summary and a docstring, from which the API documentation is generated."""
        found = routes.routes_of(gateway.gateway.hooks.http_routers())
        assert not list(routes.documentation_faults(found))

    def test_its_routes_name_the_permission_they_need(self, gateway: GatewayHarness) -> None:
        """In their ``opt``: an existing one, ``ANY_CALLER``, or ``"public": True``."""
        hooks = gateway.gateway.hooks
        found = routes.routes_of(hooks.http_routers())
        assert not list(routes.permission_faults(found, Permissions(hooks.permissions())))

    @pytest.mark.asyncio
    async def test_its_routes_require_a_key(self, gateway: GatewayHarness) -> None:
        """Unless they are declared public."""
        async with gateway:
            found = routes.routes_of(gateway.gateway.hooks.http_routers())
            assert not await routes.access_faults(gateway, found)

    @pytest.mark.asyncio
    async def test_its_routes_refuse_garbage(self, gateway: GatewayHarness) -> None:
        """With 4xx and a sentence, never with 5xx, and without echoing the input."""
        async with gateway:
            found = routes.routes_of(gateway.gateway.hooks.http_routers())
            assert not await routes.garbage_faults(gateway, found)

    def test_its_pages_and_panels_name_the_permission_they_need(
        self, gateway: GatewayHarness
    ) -> None:
        """Each page, each action, each panel: an existing one, or ``ANY_CALLER``."""
        hooks = gateway.gateway.hooks
        assert not list(pages.permission_faults(hooks, Permissions(hooks.permissions())))

    def test_its_templates_have_no_inline_code_and_can_be_translated(
        self, gateway: GatewayHarness
    ) -> None:
        """The browser would refuse inline code; a text outside the catalogs stays English.

        A plugin without pages and panels may have templates of another kind.
        """
        hooks = gateway.gateway.hooks
        if {"pages", "panels"}.intersection(hooks.implemented(self.name)):
            assert not list(pages.template_faults(hooks.packages()[self.name]))

    @pytest.mark.asyncio
    async def test_its_pages_are_shown_in_both_languages_and_modes(
        self, gateway: GatewayHarness
    ) -> None:
        """To an owner, with every name of their templates defined."""
        found = [page for _, own in gateway.gateway.hooks.pages() for page in own]
        if found:
            async with gateway:
                assert not await pages.shown_faults(gateway, found)

    def test_its_commands_have_help_and_the_common_options(self, gateway: GatewayHarness) -> None:
        """``--config`` and ``--json``; asking for help works."""
        for command in gateway.gateway.hooks.cli_commands():
            assert not list(inspection.command_faults(command))
            for words in _every_path(command):
                answer = CliRunner().invoke(command, [*words, "--help"])
                assert answer.exit_code == 0, answer.output

    def test_the_help_that_it_declares_agrees_with_its_commands(
        self, gateway: GatewayHarness
    ) -> None:
        """Where it has a ``gateway.commands.toml``: each command's name and first sentence."""
        declared = declared_rows(gateway.gateway.settings)
        if declared is not None:
            assert declared == {
                each.name: each.get_short_help_str(1_000)
                for each in gateway.gateway.hooks.cli_commands()
                if not each.hidden
            }, "gateway.commands.toml is what gateway --help shows: put these commands into it"

    @pytest.mark.asyncio
    async def test_its_health_checks_answer(self, gateway: GatewayHarness) -> None:
        """Within five seconds, with a sentence."""
        async with gateway:
            for check in gateway.gateway.hooks.health_checks():
                async with asyncio.timeout(_HEALTH_SECONDS):
                    report = await check.check()
                assert isinstance(report, HealthReport), check.name
                assert report.detail.strip(), check.name

    @pytest.mark.asyncio
    async def test_its_lifespan_closes_and_can_open_again(self, gateway: GatewayHarness) -> None:
        """The command line and the server each open the gateway and close it again."""
        opened = gateway.gateway
        for _ in range(2):
            async with opened:
                pass
        assert not [each for each in opened.hooks.failures if each[1] == "lifespan"]
        assert not opened.hooks.slow_lifespans()

    def test_its_jobs_have_names_and_intervals(self, gateway: GatewayHarness) -> None:
        """Each has a unique name and a positive interval; ``hooks.jobs`` refuses others."""
        assert all(job.name.strip() for job in gateway.gateway.hooks.jobs())

    def test_its_inboxes_have_their_jobs(self, gateway: GatewayHarness) -> None:
        """An inbox in its lifespan has its jobs: without them, no message is retried."""
        assert not list(inspection.inbox_faults(gateway.gateway.hooks))

    def test_its_jobs_of_the_installation_pause_a_second(self, gateway: GatewayHarness) -> None:
        """Each process queries the database at each interval: at least a second."""
        jobs = [each for each in gateway.gateway.hooks.jobs() if each.once_per_cluster]
        assert all(each.every_seconds >= 1 for each in jobs)

    @pytest.mark.asyncio
    async def test_its_tables_are_what_its_migrations_make(self, gateway: GatewayHarness) -> None:
        """And none of them belongs to the core."""
        async with gateway:
            tables = gateway.gateway.hooks.tables()
            async with gateway.gateway.database.read() as connection:
                faults = await connection.run_sync(_table_faults, tables)
        assert not faults


def _entry_points(name: str) -> Sequence[EntryPoint]:
    return list(entry_points(group=ENTRY_POINT_GROUP, name=name))


def _package(name: str) -> Path:
    """Return the folder of a plugin's package, or its only file."""
    [entry_point] = _entry_points(name)
    spec = importlib.util.find_spec(entry_point.module.partition(".")[0])
    assert spec is not None, f"{entry_point.module} is not there"
    folders = spec.submodule_search_locations
    return Path(folders[0] if folders else spec.origin or "")


def _read_sample(name: str) -> str:
    sample = _package(name) / SETTINGS_SAMPLE
    if not sample.is_file():
        pytest.fail(f"{sample} is missing: gateway init writes it, so put [plugins.{name}] into it")
    return sample.read_text(encoding="utf-8")


def _problem(gateway: Gateway, name: str) -> str | None:
    [problem] = [each.problem for each in gateway.plugins if each.name == name]
    return problem


def _every_path(command: click.Command) -> Iterable[list[str]]:
    yield []
    if isinstance(command, click.Group):
        for name, each in command.commands.items():
            yield from ([name, *words] for words in _every_path(each))


def _table_faults(connection: Connection, plugins: Iterable[PluginTables]) -> list[str]:
    found = inspect(connection)
    faults = []
    for table in (table for each in plugins for table in each.metadata.tables.values()):
        if table.name in core_tables.tables:
            faults.append(f"{table.name} is one of the core's tables")
        elif not found.has_table(table.name):
            faults.append(f"{table.name} is made by no migration")
        else:
            made = {column["name"] for column in found.get_columns(table.name)}
            if made != {column.name for column in table.columns}:
                faults.append(f"{table.name} has other columns than its migrations make")
    return faults
