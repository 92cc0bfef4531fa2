"""``gateway status``: one screen that shows what works, what doesn't, and the command that helps.

Read-only, and independent of the server: it also works while the server is down.
"""

import asyncio
import http.client
import json
import ssl
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Final

import click
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from gateway.cli.check import check_plugin_health, run_checks
from gateway.cli.findings import Findings
from gateway.cli.opening import DEFAULT_FILE, unlogged
from gateway.errors import ConfigurationError
from gateway.health.lines import Line, red
from gateway.health.stored_state import StoredState, disk, reason_of
from gateway.runtime import Gateway
from gateway.sdk.cli import Session, command
from gateway.settings import Settings
from gateway.storage.database import Database
from gateway.storage.stores.backlog import BacklogReader
from gateway.version import __version__, build_id

_SERVER_SECONDS: Final = 6.0  # a second more than /health/ready gives its checks
_HELP: Final[Mapping[str, str]] = {
    "plugins": "gateway plugins list",
    "master key": "gateway seal status",
    "keys": "gateway keys list",
    "certificate": "gateway tls init NAME",
    "audit trail": "gateway audit verify",
}
_SERVED_HELP: Final[Mapping[str, str]] = {
    "engine": "gateway deliveries list --state pending",
    "key file": "gateway seal write-back",
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
    server, served = await _server(gateway.settings)
    lines += [server, *_of_findings(findings), *served, disk(gateway.settings)]
    if findings.database is not None and findings.database.is_ready:
        lines += await _stored(gateway)
        findings.checks.clear()
        lines += await _plugin_health(findings, gateway, only_advisory=server.ok)
    return [_with_config(line, path) for line in lines]


def _with_config(line: Line, path: Path | None) -> Line:
    """Let the command be one that can be pasted: with the --config that was given."""
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


async def _server(settings: Settings) -> tuple[Line, list[Line]]:
    """Ask the server on this machine whether it is ready; its own checks are lines, too."""
    if settings.gateway.port == 0:
        detail = "[gateway] port is 0, so its address is not known"
        return Line("server", ok=False, detail=detail, command="gateway serve --port 8080"), []
    try:
        answered, body = await asyncio.to_thread(_ready, settings)
        checks = json.loads(body)["checks"]
        served = [
            Line(name, ok=each["ok"], detail=each["detail"], command=_served_help(name, each["ok"]))
            for name, each in checks.items()
            if name not in {"database", "plugins"}  # looked at already
        ]
    except (OSError, http.client.HTTPException) as error:
        detail = f"nothing answers at {_address(settings)} ({reason_of(error)})"
        return Line("server", ok=False, detail=detail, command="gateway serve"), []
    except (ValueError, TypeError, KeyError, AttributeError):
        detail = f"another program answers at {_address(settings)}; see [gateway] port"
        return Line("server", ok=False, detail=detail, command="gateway check"), []
    failed = [name for name, each in checks.items() if not each["ok"]]
    if answered == http.client.OK:
        return Line("server", ok=True, detail=f"ready at {_address(settings)}"), served
    detail = f"running at {_address(settings)}, but not ready: {', '.join(failed)}"
    return Line("server", ok=False, detail=detail, command="gateway check"), served


def _served_help(name: str, ok: bool) -> str | None:
    return None if ok else _SERVED_HELP.get(name, "gateway check")


def _local_host(settings: Settings) -> str:
    """Return the host to ask: a wildcard address is reached through the loopback one."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(  # noqa: S104 - compared, not listened on
        settings.gateway.host, settings.gateway.host
    )


def _tls(settings: Settings) -> bool:
    return settings.http.tls_cert is not None


def _address(settings: Settings) -> str:
    host = _local_host(settings)
    shown = f"[{host}]" if ":" in host else host
    return f"{'https' if _tls(settings) else 'http'}://{shown}:{settings.gateway.port}"


def _ready(settings: Settings) -> tuple[int, bytes]:
    host, port = _local_host(settings), settings.gateway.port
    connection: http.client.HTTPConnection
    if _tls(settings):
        # On this machine, to ask for health: the certificate may be for another name.
        context = ssl._create_unverified_context()  # noqa: S323, SLF001
        connection = http.client.HTTPSConnection(
            host, port, timeout=_SERVER_SECONDS, context=context
        )
    else:
        connection = http.client.HTTPConnection(host, port, timeout=_SERVER_SECONDS)
    with closing(connection):
        connection.request("GET", "/health/ready")
        response = connection.getresponse()
        return response.status, response.read(1 << 20)


async def _stored(gateway: Gateway) -> list[Line]:
    """Look at what the database holds; it exists and its schema is up to date."""
    database = Database(gateway.settings.database.url)
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
