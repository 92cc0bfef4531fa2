"""``gateway status``: one screen that shows what works, what doesn't, and the command that helps.

Read-only, and independent of the server: it also works while the server is down.
"""

import asyncio
import http.client
import json
import shutil
import ssl
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

import click
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.cli.backup import own_backups
from gateway.cli.check import Findings, check_plugin_health, run_checks
from gateway.cli.opening import DEFAULT_FILE, unlogged
from gateway.clock import from_epoch_ms
from gateway.errors import ConfigurationError
from gateway.model.wire import timestamp
from gateway.runtime import Gateway
from gateway.sdk.cli import Session, command
from gateway.settings import Settings
from gateway.storage.database import Database
from gateway.storage.files.store import size_of_files
from gateway.storage.maintenance.clock_skew import CLOCK_FACT, server_time
from gateway.storage.stores.backlog import Backlog, BacklogReader, DestinationBacklog
from gateway.storage.stores.destinations import destination_names
from gateway.storage.stores.installation import (
    BACKUP_FAILED,
    KEY_COPIED,
    LAST_BACKUP,
    read_fact,
)
from gateway.version import __version__, build_id

_SERVER_SECONDS: Final = 6.0  # a second more than /health/ready gives its checks
_LEAST_FREE_BYTES: Final = 1 << 30
_OLDEST_QUEUE: Final = timedelta(minutes=5)
_OLDEST_BACKUP: Final = timedelta(hours=36)  # a nightly one that was missed
_CLOCK_TOLERANCE: Final = timedelta(minutes=1)
_MAX_ENDPOINTS: Final = 10
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


class Line(NamedTuple):
    """One part of the gateway: green or red, and if red the command that helps."""

    name: str
    ok: bool
    detail: str
    command: str | None = None


@command("status")
async def status(session: Session) -> None:
    """Show the state of every part, and the command that helps where one is red.

    Looks at the server, database, master key, disk, endpoints, queues, backup and clock, and
    runs the plugins' health checks. Changes nothing. Exits with 1 if a part is red.
    """
    with unlogged():
        lines = await collect(session.config)
    red = [line for line in lines if not line.ok]
    if session.as_json:
        checks = [line._asdict() for line in lines]
        session.record(
            {"ok": not red, "version": __version__, "build": build_id(), "checks": checks}
        )
    else:
        _print(lines)
    if red:
        raise ConfigurationError(f"{len(red)} of {len(lines)} parts are red")


def _print(lines: Iterable[Line]) -> None:
    for name, ok, detail, help_command in lines:
        colour = (
            click.style("green", fg="green") if ok else click.style("red  ", fg="red", bold=True)
        )
        remedy = f"  [{help_command}]" if help_command else ""
        click.echo(f"{colour}  {name}: {detail}{remedy}")


async def collect(config: Path | None) -> list[Line]:
    """Look at every part of the gateway that ``config`` describes."""
    path = config or (DEFAULT_FILE if DEFAULT_FILE.exists() else None)
    findings = await run_checks(config, plugin_health=False)
    lines = [Line("version", ok=True, detail=f"rx-gateway {__version__}, build {build_id()}")]
    gateway = findings.gateway
    if gateway is None:  # the settings can't be read
        return [*lines, *_of_findings(findings)]
    server, served = await _server(gateway.settings)
    lines += [server, *_of_findings(findings), *served, _disk(gateway.settings)]
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
        detail = f"nothing answers at {_address(settings)} ({_reason(error)})"
        return Line("server", ok=False, detail=detail, command="gateway serve"), []
    except (ValueError, TypeError, KeyError, AttributeError):
        detail = f"another program answers at {_address(settings)}; see [gateway] port"
        return Line("server", ok=False, detail=detail, command="gateway check"), []
    red = [name for name, each in checks.items() if not each["ok"]]
    if answered == http.client.OK:
        return Line("server", ok=True, detail=f"ready at {_address(settings)}"), served
    detail = f"running at {_address(settings)}, but not ready: {', '.join(red)}"
    return Line("server", ok=False, detail=detail, command="gateway check"), served


def _served_help(name: str, ok: bool) -> str | None:
    return None if ok else _SERVED_HELP.get(name, "gateway check")


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or type(error).__name__).lower()


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


def _disk(settings: Settings) -> Line:
    directory = settings.gateway.data_dir
    nearest = next(each for each in (directory, *directory.parents) if each.exists())
    try:
        free_bytes = shutil.disk_usage(nearest).free
    except OSError as error:
        return Line(
            "disk", ok=False, detail=f"{nearest}: {_reason(error)}", command="gateway check"
        )
    detail = f"{free_bytes / (1 << 30):.1f} GB free at {nearest}"
    if free_bytes < _LEAST_FREE_BYTES:
        return Line("disk", ok=False, detail=f"only {detail}: make room", command="gateway storage")
    return Line("disk", ok=True, detail=detail)


async def _stored(gateway: Gateway) -> list[Line]:
    """Look at what the database holds; it exists and its schema is up to date."""
    database = Database(gateway.settings.database.url)
    now = gateway.clock.now()
    try:
        reader = BacklogReader(
            database, gateway.clock, gateway.hooks.sinks(), gateway.work_queues()
        )
        backlog = await reader.read()
        async with database.read() as connection:
            names = await destination_names(connection)
            return [
                *_endpoints(backlog, names),
                *_queues(backlog),
                await _files(connection),
                await _key_copy(connection, gateway),
                await _backup(connection, gateway, now),
                await _clock(connection, now),
            ]
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        detail = f"the stored state can't be read ({type(error).__name__})"
        return [Line("deliveries", ok=False, detail=detail, command="gateway check")]
    finally:
        await database.close()


async def _files(connection: AsyncConnection) -> Line:
    count, size_bytes = await size_of_files(connection)
    detail = f"{count} kept, {size_bytes / (1 << 20):.1f} MB"
    return Line("stored files", ok=True, detail=detail)


def _endpoints(backlog: Backlog, names: Mapping[str, str]) -> Iterator[Line]:
    broken = {
        name: queue
        for name, queue in backlog.queues.items()
        if queue.state == "disabled" or (queue.state == "active" and queue.failing_since)
    }
    well = len(backlog.queues) - len(broken)
    if not broken:
        yield Line("endpoints", ok=True, detail=f"{well} without failures")
    for destination_id in list(broken)[:_MAX_ENDPOINTS]:
        queue = broken[destination_id]
        label = f"endpoint {names.get(destination_id) or destination_id}"
        verb = "enable" if queue.state == "disabled" else "show"
        command_line = f"gateway endpoints {verb} {destination_id}"
        yield Line(label, ok=False, detail=_failing(queue), command=command_line)
    if len(broken) > _MAX_ENDPOINTS:
        detail = f"{len(broken) - _MAX_ENDPOINTS} more fail"
        yield Line("endpoints", ok=False, detail=detail, command="gateway endpoints list")


def _failing(queue: DestinationBacklog) -> str:
    since = f" since {timestamp(queue.failing_since)}" if queue.failing_since else ""
    if queue.state == "disabled":
        return f"disabled; it failed{since}" if since else "disabled"
    paused = "; its circuit breaker is open" if queue.breaker == "open" else ""
    return f"fails{since}{paused}"


def _queues(backlog: Backlog) -> Iterator[Line]:
    due = sum(queue.due for queue in backlog.queues.values())
    age = backlog.oldest_age
    detail = f"{due} due" + (f", the oldest for {_rounded(age)}" if due and age else "")
    is_late = age > _OLDEST_QUEUE
    help_command = "gateway deliveries list --state pending" if is_late else None
    yield Line("deliveries", ok=not is_late, detail=detail, command=help_command)


async def _key_copy(connection: AsyncConnection, gateway: Gateway) -> Line:
    if gateway.settings.security.master_key is not None:
        return Line("key copy", ok=True, detail="the settings hold the master key")
    copied_at = await read_fact(connection, KEY_COPIED)
    path = gateway.master_key_path
    try:
        changed_at_ms = path.stat().st_mtime_ns // 1_000_000
    except OSError as error:
        detail = f"{path} can't be read ({_reason(error)})"
        return Line("key copy", ok=False, detail=detail, command="gateway seal status")
    if copied_at is None:
        detail = f"no copy of {path} is known; without it no backup can be read"
    elif int(copied_at) < changed_at_ms:
        detail = f"{path} changed since it was copied"
    else:
        return Line("key copy", ok=True, detail=f"made {timestamp(from_epoch_ms(int(copied_at)))}")
    return Line("key copy", ok=False, detail=detail, command="gateway seal copy FILE")


async def _backup(connection: AsyncConnection, gateway: Gateway, now: datetime) -> Line:
    folder = gateway.settings.gateway.data_dir / "backups"
    noted = await read_fact(connection, LAST_BACKUP)
    failed = await read_fact(connection, BACKUP_FAILED)
    if failed is not None:
        detail = f"the last attempt failed {timestamp(from_epoch_ms(int(failed)))}"
        return Line("backup", ok=False, detail=detail, command="gateway backup --keep 7")
    times = [] if noted is None else [int(noted)]
    times += [each.stat().st_mtime_ns // 1_000_000 for each in own_backups(folder)[-1:]]
    if not times:
        detail = "none was made yet"
        if connection.dialect.name == "postgresql":
            detail = "none by gateway backup; PostgreSQL's own are not visible from here"
            return Line("backup", ok=True, detail=detail)
        return Line("backup", ok=False, detail=detail, command="gateway backup --keep 7")
    made_at = from_epoch_ms(max(times))
    detail = f"the last one was made {timestamp(made_at)}"
    if now - made_at > _OLDEST_BACKUP and connection.dialect.name == "sqlite":
        return Line("backup", ok=False, detail=detail, command="gateway backup --keep 7")
    return Line("backup", ok=True, detail=detail)


async def _clock(connection: AsyncConnection, now: datetime) -> Line:
    noted = await read_fact(connection, CLOCK_FACT)
    behind = timedelta() if noted is None else from_epoch_ms(int(noted)) - now
    if behind > _CLOCK_TOLERANCE:
        detail = f"{_rounded(behind)} behind the time of the last run; set the clock"
        return Line("clock", ok=False, detail=detail, command="date -u")
    if connection.dialect.name == "postgresql":
        theirs = await server_time(connection)
        if abs(theirs - now) > _CLOCK_TOLERANCE:
            detail = f"{_rounded(abs(theirs - now))} apart from PostgreSQL's; synchronise both"
            return Line("clock", ok=False, detail=detail, command="date -u")
    return Line("clock", ok=True, detail=f"{timestamp(now)}")


def _rounded(age: timedelta) -> str:
    seconds = int(age.total_seconds())
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
