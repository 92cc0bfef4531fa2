"""``gateway check``: report every problem that would stop or impair the gateway.

Read-only: creates, migrates and changes nothing.
"""

import json
import socket
from collections.abc import Collection, Iterator, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Final, cast

from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from gateway.auth.identity import company_provider
from gateway.cli.findings import Findings
from gateway.cli.opening import DEFAULT_FILE, read_settings, unlogged
from gateway.cli.running_server import server_lines
from gateway.cli.serve import listen_problem
from gateway.errors import (
    ConfigurationError,
    GatewayError,
    InvalidInput,
    PluginError,
    Problem,
    SettingsError,
    Unavailable,
)
from gateway.health import installation
from gateway.health.preflight import (
    DatabaseState,
    look_at_audit,
    look_at_database,
    look_at_master_key,
)
from gateway.health.readiness import readiness, slow_plugins
from gateway.health.stored_keys import look_at_keys
from gateway.http.app import core_routers
from gateway.http.routers import Unopened, router_faults
from gateway.installed_plugins.discovery import ENTRY_POINT_GROUP
from gateway.plugin_loader import foreign_names
from gateway.runtime import Gateway
from gateway.sdk.cli import Session, command
from gateway.sdk.records import HealthReport, InstalledPlugin
from gateway.settings import Settings, read_table, site_codes
from gateway.storage.database import Database
from gateway.storage.maintenance.locks import is_served
from gateway.storage.outage import cause_of

_AUDIT_ROWS: Final = 20_000  # the newest ones; gateway audit verify takes all


@command("check")
async def check(session: Session) -> None:
    """Check configuration, plugins, database, Redis and master key.

    Prints every problem and changes nothing. Reads every page of a SQLite file, which takes a
    second for each GB or so. Exits with 1 if there is a problem.
    """
    with unlogged():
        findings = await run_checks(session.config, every_page=True)
    findings.show(session)
    if findings.problems:
        count = len(findings.problems)
        raise ConfigurationError(f"{'1 problem' if count == 1 else f'{count} problems'} found")


async def run_checks(
    config: Path | None, *, plugin_health: bool = True, every_page: bool = False
) -> Findings:
    """Run every check for the gateway that ``config`` describes."""
    path = config or (DEFAULT_FILE if DEFAULT_FILE.exists() else None)
    findings = Findings(None if path is None else path.absolute())
    try:
        settings = read_settings(config)
    except SettingsError as error:
        found = [_without_place(problem) for problem in error.details]
        findings.failed("settings", *(found or [Problem(error.message)]))
        return findings
    defaults = "the built-in defaults; gateway init writes a gateway.toml"
    findings.passed("settings", defaults if findings.file is None else str(findings.file))
    gateway = findings.gateway = Gateway(settings)
    _check_plugins(gateway, findings)
    _check_listening(settings, findings)
    findings.found(installation.data_dir(settings))
    findings.found(installation.certificate(settings, gateway.clock.now()))
    state = findings.database = await _check_database(gateway, findings, every_page=every_page)
    await _check_sinks(gateway, state, findings)
    findings.found(
        installation.data_files(settings),
        await installation.redis(settings),
        installation.files(settings),
        installation.tracing(settings),
    )
    if every_page:
        await _check_company_sign_in(gateway, findings)
        await _check_server(settings, findings)
    await _check_master_key(gateway, state, findings)
    await _check_keys(gateway, state, findings)
    await _check_audit(gateway, state, findings, newest=0 if every_page else _AUDIT_ROWS)
    if plugin_health:
        await check_plugin_health(gateway, state, findings)
    return findings


async def _check_server(settings: Settings, findings: Findings) -> None:
    """Ask the server that has this SQLite file open; it may know of a fault that the file hides.

    An example is a replaced file: the one on the disk is intact, and not the one in use.
    """
    url = make_url(settings.database.url)
    if url.get_backend_name() != "sqlite" or not is_served(Path(url.database or "")):
        return
    server, _ = await server_lines(settings)
    if server.ok:
        findings.passed("server", server.detail)
        return
    findings.failed("server", Problem(server.detail))


async def _check_company_sign_in(gateway: Gateway, findings: Findings) -> None:
    """Read the discovery document of ``[people.oidc]``."""
    where = "[people.oidc] issuer"
    try:
        provider = company_provider(gateway.settings, gateway.clock)
        if provider is None:
            return
        try:
            await provider.metadata()
        except Unavailable:
            findings.failed("company's sign-in", Problem(str(provider.fault), field=where))
        else:
            findings.passed("company's sign-in", "the provider answers")
        finally:
            await provider.close()
    except InvalidInput as error:
        findings.failed("company's sign-in", Problem(error.message, field=where))


def start_problems(gateway: Gateway) -> list[Problem]:
    """Call every start-up hook, and return the problems."""
    hooks = gateway.hooks
    problems: list[Problem] = []

    def routers() -> None:
        faults = router_faults(gateway, core_routers(cast("Gateway", Unopened(gateway))))
        problems.extend(Problem(fault, field="[plugins]") for fault in faults)

    for ask in (
        hooks.permissions,
        routers,
        hooks.sinks,
        hooks.event_types,
        hooks.jobs,
        hooks.tables,
        hooks.health_checks,
    ):
        try:
            ask()
        except PluginError as error:
            problems.append(Problem(error.message, field="[plugins]"))
    hooks.cli_commands()
    problems += [
        Problem(f"plugin {plugin} failed in {hook}: {fault}", field=f"[plugins.{plugin}]")
        for (plugin, hook), fault in hooks.faults.items()
    ]
    return problems


def loading_problems(plugin: InstalledPlugin) -> Iterator[Problem]:
    """Yield why plugins could not be loaded, and the faults of loaded ones."""
    where, origin = f"[plugins.{plugin.name}]", f"{plugin.distribution} {plugin.version}".strip()
    reasons = plugin.details or [Problem(plugin.problem)] if plugin.problem else []
    foreign = foreign_names(plugin.name) if plugin.enabled and not plugin.problem else ()
    for reason in (*reasons, *map(Problem, plugin.remarks), *map(Problem, foreign)):
        if reason.field is None:
            yield Problem(f"plugin {plugin.name} ({origin}): {reason.message}", field=where)
        else:
            yield reason


async def ask_plugins(
    gateway: Gateway, state: DatabaseState | None, names: Collection[str]
) -> Mapping[str, HealthReport]:
    """Open the gateway and run the plugins' health checks of these ``names``.

    Runs none while the database is not ready: opening the gateway would create it.
    """
    if not names or state is None or not (state.is_ready and state.is_sealed):
        return {}
    async with gateway:
        reports = await readiness(gateway)
    return {name: reports[name] for name in sorted(names)}


def _without_place(problem: Problem) -> Problem:
    _, found, message = problem.message.partition(f": {problem.field}: ")
    return Problem(message, field=problem.field) if found else problem


def _check_plugins(gateway: Gateway, findings: Findings) -> None:
    problems = [each for plugin in gateway.plugins for each in loading_problems(plugin)]
    problems += start_problems(gateway)
    if problems:
        findings.failed("plugins", *problems)
    else:
        _check_sites(gateway.settings, findings)
        enabled = [
            f"{plugin.name} ({plugin.distribution} {plugin.version})"
            for plugin in gateway.plugins
            if plugin.enabled
        ]
        if enabled:
            findings.passed("plugins", ", ".join(enabled))
        else:
            text = (
                "none is enabled: add a table such as [plugins.json_api], or nothing takes orders"
            )
            findings.failed("plugins", Problem(text, field="[plugins]"))


def _check_sites(settings: Settings, findings: Findings) -> None:
    """Check the site codes in the settings of plugins that could be loaded."""
    known = {site.code for site in settings.sites}
    unknown = [
        (at, code)
        for name, table in settings.plugins.items()
        for entry_point in entry_points(group=ENTRY_POINT_GROUP, name=name)
        for at, code in site_codes(
            read_table(
                table,
                entry_point.load().Settings,
                where=f"plugins.{name}",
                file=settings.file,
                directory=settings.directory,
            ),
            f"[plugins.{name}]",
        )
        if code not in known
    ]
    there = f"there are {', '.join(sorted(known))}" if known else "there are none"
    for at, code in unknown:
        text = f"{json.dumps(code)} is not the code of one of [[sites]]; {there}"
        findings.failed("sites", Problem(text, field=at))


def _check_listening(settings: Settings, findings: Findings) -> None:
    """Check that this machine has the address; on any port, because a server may be running."""
    host = settings.gateway.host
    try:
        family = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0][0]
        socket.create_server((host, 0), family=family).close()
    except OSError as error:
        text = f"{host} can't be listened on: {listen_problem(error)}"
        findings.failed("host", Problem(text, field="[gateway] host"))


async def _check_database(
    gateway: Gateway, findings: Findings, *, every_page: bool
) -> DatabaseState | None:
    try:
        state = await look_at_database(gateway, every_page=every_page)
    except GatewayError as error:
        findings.failed("database", Problem(error.message, field="[database] url"))
        return None
    findings.passed("database", state.detail)
    return state


async def _check_sinks(gateway: Gateway, state: DatabaseState | None, findings: Findings) -> None:
    """Check that a plugin brings the sink of each destination."""
    if state is None or not state.is_ready or "plugins" in findings.by_check:
        return
    database = Database(gateway.settings.database.url, only_reads=True)
    try:
        async with database.read() as connection:
            findings.found(*await installation.unserved(connection, gateway.hooks))
    except SQLAlchemyError as error:
        findings.failed("destinations", Problem(f"they can't be read: {cause_of(error)}"))
        return
    finally:
        await database.close()


async def _check_master_key(
    gateway: Gateway, state: DatabaseState | None, findings: Findings
) -> None:
    try:
        findings.passed("master key", await look_at_master_key(gateway, state))
    except GatewayError as error:
        is_set = gateway.settings.security.master_key is not None
        place = "[security] master_key" if is_set else "[gateway] data_dir"
        findings.failed("master key", Problem(error.message, field=place))


async def _check_keys(gateway: Gateway, state: DatabaseState | None, findings: Findings) -> None:
    if state is None or "master key" in findings.by_check:
        return
    lines = await look_at_keys(gateway, state)
    faults = "; ".join(each.detail for each in lines if not each.ok)
    if faults:
        findings.failed("keys", Problem(faults))
    elif lines:
        findings.passed("keys", "; ".join(each.detail for each in lines))


async def _check_audit(
    gateway: Gateway, state: DatabaseState | None, findings: Findings, *, newest: int
) -> None:
    """Verify the chain of the audit trail, and its head in the data directory."""
    if "master key" in findings.by_check:
        return
    try:
        found = await look_at_audit(gateway, state, newest=newest)
    except GatewayError as error:
        findings.failed("audit trail", Problem(error.message, field="[database] url"))
        return
    findings.found(found)


async def check_plugin_health(
    gateway: Gateway,
    state: DatabaseState | None,
    findings: Findings,
    *,
    only_advisory: bool = False,
) -> None:
    """Run the plugins' health checks, unless there is a problem already.

    ``only_advisory``: only those that ``/health/ready`` leaves out.
    """
    names = {
        each.name
        for each in gateway.hooks.health_checks()
        if not findings.problems and not (only_advisory and each.decides_readiness)
    }
    try:
        reports = await ask_plugins(gateway, state, names)
    except PluginError as error:  # one that can't be opened with these settings
        findings.failed("plugins", Problem(error.message, field="[plugins]"))
        return
    for line in slow_plugins(gateway):
        findings.failed(line.name, Problem(f"{line.name} {line.detail}", field="[plugins]"))
        findings.commands[line.name] = line.command or ""
    for name, report in reports.items():
        if report.healthy:
            findings.passed(name, report.detail)
        else:
            text = f"health check {name}: {report.detail}"
            findings.failed(name, Problem(text, field="[plugins]"), sentence=report.detail)
            if report.command is not None:
                findings.commands[name] = report.command
