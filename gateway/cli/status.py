"""``gateway status``: one screen with the state of every part, and the remedy where one is red.

Read-only, and independent of the server: it also works while the server is down.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

import click
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from gateway.cli.check import check_plugin_health, run_checks
from gateway.cli.findings import Findings
from gateway.cli.opening import DEFAULT_FILE, unlogged
from gateway.cli.running_server import server_lines
from gateway.errors import ConfigurationError
from gateway.health.lines import Line, red
from gateway.health.stored_state import StoredState, disk
from gateway.runtime import Gateway
from gateway.sdk.cli import Session, command
from gateway.storage.database import Database
from gateway.storage.stores.backlog import BacklogReader
from gateway.version import __version__, build_id

_HELP: Final[Mapping[str, str]] = {
    "plugins": "gateway plugins list",
    "master key": "gateway seal status",
    "keys": "gateway keys list",
    "certificate": "gateway tls init NAME",
    "audit trail": "gateway audit verify",
}


@command("status")
async def status(session: Session) -> None:
    """Show the state of every part, and the command that helps where one is red.

    Looks at the server, database, master key, disk, endpoints, queues, backup and clock, and
    runs the plugins' health checks. Changes nothing. Exits with 1 if a part is red.
    """
    with unlogged():
        lines = await collect(session.config)
    faults = sum(not line.ok for line in lines)
    if session.as_json:
        checks = [
            {"name": each.name, "ok": each.ok, "detail": each.detail, "command": each.command}
            for each in lines
        ]
        session.record(
            {"ok": not faults, "version": __version__, "build": build_id(), "checks": checks}
        )
    else:
        _print(lines)
    if faults:
        raise ConfigurationError(f"{faults} of {len(lines)} parts are red")


def _print(lines: Iterable[Line]) -> None:
    for each in lines:
        is_ok = each.ok
        colour = (
            click.style("green", fg="green") if is_ok else click.style("red  ", fg="red", bold=True)
        )
        remedy = f"  [{each.command}]" if each.command else ""
        click.echo(f"{colour}  {each.name}: {each.detail}{remedy}")


async def collect(config: Path | None) -> list[Line]:
    """Look at every part of the gateway that ``config`` describes."""
    path = config or (DEFAULT_FILE if DEFAULT_FILE.exists() else None)
    findings = await run_checks(config, plugin_health=False)
    lines = [Line("version", ok=True, detail=f"rx-gateway {__version__}, build {build_id()}")]
    gateway = findings.gateway
    if gateway is None:  # the settings can't be read
        return [*lines, *_of_findings(findings)]
    server, served = await server_lines(gateway.settings)
    lines += [server, *_of_findings(findings), *served, disk(gateway.settings)]
    if findings.database is not None and findings.database.is_ready:
        lines += await _stored(gateway)
        findings.checks.clear()
        lines += await _plugin_health(findings, gateway, only_advisory=server.ok)
    return [_with_config(line, path) for line in lines]


def _with_config(line: Line, path: Path | None) -> Line:
    """Return the command with the given --config, so that it can be pasted."""
    if line.command is None or path is None or path == DEFAULT_FILE:
        return line
    return line._replace(command=f"{line.command} --config {path}")


def _of_findings(findings: Findings) -> Iterator[Line]:
    for check in findings.checks:
        name, ok = check["name"], check["ok"]
        problems = "; ".join(each.message for each in findings.by_check.get(name, ()))
        help_command = (
            None if ok else findings.commands.get(name) or _HELP.get(name, "gateway check")
        )
        detail = problems or check["detail"]
        if name == "database" and findings.database is not None:
            if findings.database.is_ready:
                detail += _file_size(findings)
            elif ok:
                ok, help_command = False, "gateway migrate"
        yield Line(name, ok, detail, help_command)


def _file_size(findings: Findings) -> str:
    """Return the path and size of a SQLite file, for the detail of its line."""
    if findings.gateway is None:
        return ""
    url = make_url(findings.gateway.settings.database.url)
    path = Path(url.database or "")
    if url.get_backend_name() != "sqlite" or not path.is_file():
        return ""
    return f": {path}, {path.stat().st_size / (1 << 20):.1f} MB"


async def _plugin_health(
    findings: Findings, gateway: Gateway, *, only_advisory: bool
) -> Iterator[Line]:
    database = findings.database
    await check_plugin_health(gateway, database, findings, only_advisory=only_advisory)
    return _of_findings(findings)


async def _stored(gateway: Gateway) -> list[Line]:
    """Look at the database's content; it exists and its schema is up to date."""
    database = Database(gateway.settings.database.url, only_reads=True)
    try:
        reader = BacklogReader(
            database, gateway.clock, gateway.hooks.sinks(), gateway.work_queues()
        )
        backlog = await reader.read()
        async with database.read() as connection:
            return await StoredState(gateway).lines(connection, backlog)
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        text, kind = "the stored state can't be read ({kind})", type(error).__name__
        return [red("deliveries", "gateway check", text, kind=kind)]
    finally:
        await database.close()
