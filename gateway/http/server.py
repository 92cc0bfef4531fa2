"""The embedded HTTP server: uvicorn with guarded connections and TLS that reloads.

::

    server = HttpServer(app, settings.http, metrics, clock)
    await server.serve(sockets=[listener])        # until server.stop()
"""

import asyncio
import contextlib
import logging
import socket
import ssl
import sys
from collections.abc import Callable, Coroutine, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, cast

from litestar.types import ASGIApp
from uvicorn.config import Config
from uvicorn.server import Server

from gateway.clock import Clock
from gateway.errors import ConfigurationError
from gateway.http.connections import ConnectionGuard, GuardedProtocol
from gateway.http.https_hint import HintingContext
from gateway.observability.metrics import Metrics
from gateway.settings import HttpTable

_log = logging.getLogger(__name__)

# The time for requests in flight when the server stops.
_GRACE_SECONDS: Final = 20
BACKLOG: Final = 2048
_RESERVED_DESCRIPTORS: Final = 256
"""File descriptors kept for the database, deliveries, files and connections to refuse."""
_WANTED_DESCRIPTORS: Final = 16_384
_TICK_SECONDS: Final = 1.0
_RENEWAL_SECONDS: Final = 3600.0


class HttpServer(Server):
    """Serves an ASGI application on sockets that listen already.

    ``on_ready`` is called when it accepts connections, ``on_stop`` before it waits for
    the requests in flight. Signals are left to the caller.
    """

    def __init__(
        self,
        app: ASGIApp,
        table: HttpTable,
        metrics: Metrics,
        clock: Clock,
        *,
        on_ready: Callable[[], None] = lambda: None,
        on_stop: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(_config(app, table))
        self._table = table
        self._on_ready = on_ready
        self._on_stop = on_stop
        cap, self._backlog = connection_cap(table.max_connections)
        self._guard = ConnectionGuard(table, metrics, cap)
        self._tls = None if table.tls_cert is None else CertificateFiles.of(table, clock)
        self._sweeper: asyncio.Task[None] | None = None
        self._handshakes: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()

    async def startup(self, sockets: Sequence[socket.socket] | None = None) -> None:
        """Accept connections on ``sockets``."""
        await self.lifespan.startup()
        loop = asyncio.get_running_loop()
        self.servers = [
            await loop.create_server(self._protocol, sock=each, backlog=self._backlog)
            for each in sockets or ()
        ]
        self._sweeper = asyncio.create_task(self._guard.sweep(), name="connection deadlines")
        self.started = True
        self._on_ready()

    async def main_loop(self) -> None:
        """Tick once a second until it stops; uvicorn would wake the loop ten times for that."""
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TICK_SECONDS):
                    await self._stopping.wait()

    async def on_tick(self, counter: int) -> bool:
        """Read the certificate again when its files have changed."""
        if self._tls is not None:
            self._tls.renew_if_due()
            self._tls.reload_if_changed()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Refuse new connections, finish the requests in flight, close."""
        self._on_stop()
        for handshake in self._handshakes:
            handshake.cancel()
        await super().shutdown(sockets)
        for connection in self._guard.connections():
            connection.abort()
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture no signals: uvicorn would raise them again before outcomes are stored."""
        yield

    def stop(self) -> None:
        """Accept no more requests, finish those in flight, and end."""
        self.should_exit = True
        self._stopping.set()

    def _protocol(self) -> asyncio.Protocol:
        connection = GuardedProtocol(
            self.config, self.server_state, self.lifespan.state, guard=self._guard
        )
        if self._tls is None:
            return connection
        return _TlsAcceptor(connection, self._tls, self._handshake)

    def _handshake(self, handshake: Any) -> None:
        task = asyncio.create_task(handshake)
        self._handshakes.add(task)
        task.add_done_callback(self._handshakes.discard)


class CertificateFiles:
    """A certificate and its key in PEM files, as a server's TLS context."""

    def __init__(self, cert: Path, key: Path, handshake_seconds: float, clock: Clock) -> None:
        self._clock = clock
        self.handshake_seconds = handshake_seconds
        self._cert = cert
        self._key = key
        self._look_again_at = 0.0
        self.renew_if_due()
        self._versions = self._read_versions()
        self.context = self._load()

    @classmethod
    def of(cls, table: HttpTable, clock: Clock) -> "CertificateFiles":
        """Read the files of ``[http]``; raises ``ConfigurationError``."""
        if table.tls_cert is None or table.tls_key is None:
            raise ConfigurationError("[http] needs both tls_cert and tls_key.")
        try:
            return cls(table.tls_cert, table.tls_key, table.header_timeout_seconds, clock)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            raise ConfigurationError(
                f"[http] tls_cert and tls_key can't be used ({_reason(error)}): both are PEM "
                "files, and the key belongs to the certificate (gateway tls init makes both)."
            ) from error

    def renew_if_due(self) -> None:
        """Renew a certificate of the local CA; checks it once an hour."""
        now = self._clock.monotonic_seconds()
        if now < self._look_again_at:
            return
        self._look_again_at = now + _RENEWAL_SECONDS
        from gateway.http.local_ca import renew_if_due  # of a server with HTTPS

        try:
            if renew_if_due(self._cert, self._clock.now()):
                _log.info("the TLS certificate was renewed by the local CA")
        except (OSError, ValueError, ConfigurationError) as error:
            _log.error(
                "the TLS certificate can't be renewed (%s); run gateway tls init again",
                _reason(error),
            )

    def reload_if_changed(self) -> None:
        """Use changed files for new connections; broken ones are logged and not used."""
        versions = self._read_versions()
        if versions == self._versions:
            return
        self._versions = versions
        try:
            self.context = self._load()
        except (OSError, ValueError) as error:
            _log.error(
                "the changed TLS certificate can't be used (%s); the one before stays in use",
                _reason(error),
            )
        else:
            _log.info("the TLS certificate was read again")

    def _load(self) -> ssl.SSLContext:
        context = HintingContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION
        context.set_alpn_protocols(["http/1.1"])
        context.load_cert_chain(self._cert, self._key, password=_no_password)
        return context

    def _read_versions(self) -> tuple[tuple[int, int, int], ...] | None:
        try:
            stats = [path.stat() for path in (self._cert, self._key)]
        except OSError:
            return None
        return tuple((each.st_mtime_ns, each.st_size, each.st_ino) for each in stats)


class _TlsAcceptor(asyncio.Protocol):
    """Counts a connection before its TLS handshake, then hands it to HTTP."""

    def __init__(
        self,
        connection: GuardedProtocol,
        tls: CertificateFiles,
        run: Callable[[Any], None],
    ) -> None:
        self._connection = connection
        self._tls = tls
        self._run = run

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake."""
        stream = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        if not self._connection.begin(stream):
            return
        # At once: uvloop reads even while paused here, and bytes that arrive before a task begins
        # would be lost.
        handshake = _Begun(
            asyncio.get_running_loop().start_tls(
                stream,
                self._connection,
                self._tls.context,
                server_side=True,
                ssl_handshake_timeout=self._tls.handshake_seconds,
                ssl_shutdown_timeout=self._tls.handshake_seconds,
            )
        )
        self._run(self._finish(stream, handshake))

    def connection_lost(self, exc: Exception | None) -> None:
        """Release a connection that ended before its handshake began."""
        self._connection.connection_lost(exc)

    async def _finish(self, transport: asyncio.Transport, handshake: "_Begun") -> None:
        try:
            secure = await handshake
        except (OSError, asyncio.CancelledError):  # ssl.SSLError is an OSError
            secure = None
        if secure is None:
            transport.abort()
            self._connection.connection_lost(None)
        else:
            self._connection.connection_made(secure)


class _Begun:
    """A coroutine whose first step ran at once; awaiting it continues it."""

    def __init__(self, coroutine: Coroutine[Any, Any, asyncio.Transport | None]) -> None:
        self._coroutine = coroutine
        self._waits_for = coroutine.send(None)

    def __await__(self) -> Generator[Any, Any, asyncio.Transport | None]:
        waits_for = self._waits_for
        while True:
            try:
                try:
                    result = yield waits_for
                except BaseException as error:  # noqa: BLE001 - the coroutine's to handle
                    waits_for = self._coroutine.throw(error)
                else:
                    waits_for = self._coroutine.send(result)
            except StopIteration as end:
                return cast("asyncio.Transport | None", end.value)


def connection_cap(wanted: int) -> tuple[int, int]:
    """Return how many connections fit, and the backlog, after raising the descriptor limit.

    The soft limit of open files is often 1,024 while the hard one is much higher.
    """
    if sys.platform == "win32":  # sockets are handles there, without such a limit
        return wanted, BACKLOG
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = max(_WANTED_DESCRIPTORS, wanted + BACKLOG + _RESERVED_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < needed:
        raised = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        with contextlib.suppress(OSError, ValueError):  # macOS has limits below the hard one
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
            soft = raised
    if soft == resource.RLIM_INFINITY:
        return wanted, BACKLOG
    cap = max(1, min(wanted, soft - _RESERVED_DESCRIPTORS))
    if cap < wanted:
        _log.warning(
            "only %d connections fit into the limit of %d open files (max_connections is %d)",
            cap,
            soft,
            wanted,
        )
    # Connections are accepted in bursts of the backlog before the cap is checked.
    return cap, max(16, min(BACKLOG, (soft - cap) // 2))


def _config(app: ASGIApp, table: HttpTable) -> Config:
    return Config(
        app,
        lifespan="off",
        ws="none",
        log_config=None,
        log_level=logging.ERROR,
        access_log=False,
        server_header=False,
        proxy_headers=bool(table.trusted_proxies),
        forwarded_allow_ips=list(table.trusted_proxies),
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )


def _no_password() -> str:
    raise ValueError("the key has a password")


def _reason(error: Exception) -> str:
    return getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
