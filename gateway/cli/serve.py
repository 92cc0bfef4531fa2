"""``gateway serve``: the HTTP server and the delivery engine."""

import contextlib
import errno
import logging
import socket
import sys
from collections.abc import Sequence

import click

from gateway.cli.logs import log_to_stderr
from gateway.cli.opening import open_gateway, read_settings, warn_of_new_database
from gateway.cli.owner_code import announce_owner_code
from gateway.cli.process import (
    calm_garbage_collection,
    ending_with,
    supervise,
    supervised,
    supervisor_option,
)
from gateway.errors import ConfigurationError
from gateway.http.app import create_app
from gateway.http.server import BACKLOG, HttpServer
from gateway.observability.loop_watchdog import watched_loop
from gateway.sdk.cli import Session, command
from gateway.sdk.records import InstalledPlugin
from gateway.sdk.signals import on_termination
from gateway.settings import Settings
from gateway.storage.maintenance.locks import server_lock
from gateway.storage.maintenance.migrate import Migrated

_log = logging.getLogger(__name__)


@command("serve")
@click.option("--host", help="Address to listen on.  [default: [gateway] host]")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Port to listen on; 0 for any free one."
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="HTTP processes; more than one needs [redis] and PostgreSQL.",
)
@click.option("--socket-fd", type=int, hidden=True, help="A listening socket to inherit.")
@supervisor_option
async def serve(
    session: Session,
    *,
    host: str | None,
    port: int | None,
    workers: int,
    socket_fd: int | None,
    supervisor: int | None,
) -> None:
    """Serve HTTP and deliver events until SIGTERM or Ctrl-C.

    Requests and deliveries in flight are finished first.
    """
    settings = read_settings(session.config)
    log_to_stderr(settings.logging)
    if supervisor is None:
        warn_of_new_database(session.config, settings)
    if workers > 1:
        _refuse_many(settings)
        with _listener(settings, host, port) as listener:
            await supervise([_child(session, listener)] * workers, [listener.fileno()])
        return
    async with open_gateway(session.config, may_begin=True) as gateway:
        calm_garbage_collection()
        listener = (
            _listener(settings, host, port)
            if socket_fd is None
            else socket.socket(fileno=socket_fd)
        )
        _log_migration(gateway.migrated)
        _warn_without_plugins(gateway.plugins)
        scheme = "http" if settings.http.tls_cert is None else "https"
        address = f"{scheme}://{_host_and_port(listener)}"
        ready = f"Ready at {address} (API documentation: {address}/docs)"
        server = HttpServer(
            create_app(gateway),
            settings.http,
            gateway.metrics,
            gateway.clock,
            on_ready=lambda: session.line({"address": address}, ready),
            on_stop=gateway.stopping.set,
        )
        path = gateway.database.path
        with (
            contextlib.nullcontext() if path is None else server_lock(path),
            watched_loop(gateway.metrics, gateway.clock),
            on_termination(server.stop),
        ):
            # Inside the lock: a refused server must not replace the owner code of the running one.
            await announce_owner_code(gateway, address, is_supervised=supervisor is not None)
            async with gateway.running(), ending_with(supervisor, server.stop):
                await server.serve(sockets=[listener])


def _log_migration(migrated: Migrated) -> None:
    if migrated.revisions:
        copy = "" if migrated.backup is None else f"; the database before is in {migrated.backup}"
        _log.info("updated the database schema to %s%s", ", ".join(migrated.revisions), copy)


def _warn_without_plugins(plugins: Sequence[InstalledPlugin]) -> None:
    if not any(each.enabled for each in plugins):
        _log.warning(
            "no plugin is enabled, so nothing takes orders: add a table such as "
            "[plugins.json_api] to gateway.toml"
        )


def _refuse_many(settings: Settings) -> None:
    if sys.platform == "win32":
        raise ConfigurationError(
            "Windows can't share a listening socket between processes: start with --workers 1."
        )
    if settings.redis is None:
        raise ConfigurationError(
            "Each process counts limits in its own memory, so --workers would let through a "
            "multiple of them: set [redis] url, or start with --workers 1."
        )
    if settings.database.url.startswith("sqlite"):
        raise ConfigurationError(
            "A SQLite file is served by one process: set [database] url to PostgreSQL, or start "
            "with --workers 1."
        )


def _child(session: Session, listener: socket.socket) -> list[str]:
    words = supervised(["serve", "--socket-fd", str(listener.fileno())])
    if session.as_json:
        words.append("--json")
    return words if session.config is None else [*words, "--config", str(session.config)]


def listen_problem(error: OSError) -> str:
    """Return a reason and a remedy for an address that can't be listened on."""
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return (
            "this machine has no such address; [gateway] host is 127.0.0.1 for this machine alone, "
            "0.0.0.0 for all of its addresses"
        )
    if error.errno == errno.EADDRINUSE:
        return (
            "another program has it, perhaps a gateway that runs already; end that one, or choose "
            "a port with --port or [gateway] port"
        )
    if isinstance(error, PermissionError) and sys.platform == "win32":
        return "Windows or another program keeps it; choose another with --port or [gateway] port"
    if isinstance(error, PermissionError):
        return "this user may not; choose a port above 1023 with --port or [gateway] port"
    return f"{error.strerror}; choose another with --host and --port"


def _listener(settings: Settings, host: str | None, port: int | None) -> socket.socket:
    place = (host or settings.gateway.host, settings.gateway.port if port is None else port)
    # As bytes: a text loads the codec of international names, a quarter of a megabyte.
    name = place[0].encode() if place[0].isascii() else place[0]
    try:
        family = socket.getaddrinfo(name, place[1], type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server(place, family=family, backlog=BACKLOG)
    except OSError as error:
        raise ConfigurationError(
            f"Can't listen on {place[0]} port {place[1]}: {listen_problem(error)}."
        ) from error
    # Accepted connections inherit it. uvloop sets it anyway; asyncio only on listeners that it
    # created. Without it, every response but a connection's first takes 40 ms longer.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setblocking(False)  # noqa: FBT003 - the socket module's own signature
    return listener


def _host_and_port(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
