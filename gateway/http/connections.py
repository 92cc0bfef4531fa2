"""Deadlines and caps of HTTP connections, below the ASGI application.

uvicorn's httptools protocol has an idle timeout and no other limit: a head or a body that stops
arriving keeps its connection for ever, and a header may have any size. :class:`GuardedProtocol`
adds the missing limits; :class:`ConnectionGuard` holds the caps of all connections of a server and
checks their deadlines twice a second.

- The head of a request arrives within ``header_timeout_seconds`` (RFC 9110, 15.5.9: 408).
- Its body arrives within ``body_timeout_seconds`` plus one second for each
  ``body_min_bytes_per_second`` received, not counting the time that the application
  doesn't read. Otherwise :attr:`GuardedProtocol.is_body_late` is set and the application
  answers 408.
- A head above 32 KB or 100 fields is refused before it is kept (RFC 6585: 431).
- At a cap of connections, the one that has been idle longest is closed for a new one, so that an
  address that opens too many loses its own. A connection that never made a request is closed a
  second later, so that a client that only reconnects does so once a second.
- The rest of a body is read, after the response, at a limited rate for all connections together.
- A client that doesn't read its answer is disconnected.
- A connection is closed ``keep_alive_seconds`` after its last response. uvicorn sets a timer for
  that after each one, and cancels it.
"""

import asyncio
import ipaddress
from collections.abc import Sequence
from typing import Any, Final, cast

import httptools
import msgspec
from litestar.types import Scope
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)
from uvicorn.server import ServerState

from gateway.auth.rate_limits import client_network
from gateway.http.access_log import CONNECTION, SECURITY_HEADERS
from gateway.http.auth import caller_of
from gateway.http.one_write import OneWrite
from gateway.observability.metrics import Metrics
from gateway.sdk.http import JSON
from gateway.settings import HttpTable

MAX_HEAD_BYTES: Final = 32 * 1024
MAX_HEADERS: Final = 100

_SWEEP_SECONDS: Final = 0.5
# Pipelined requests that wait for earlier responses. In practice clients send none.
_MAX_PIPELINED: Final = 8
_MAX_LINGER_SECONDS: Final = 5.0
_DISMISSED_SECONDS: Final = 1.0
_DISCARDED_BYTES_PER_SECOND: Final = 40_000_000
# Chunk sizes, extensions and trailers may outweigh the data by this much.
_CHUNK_OVERHEAD_BYTES: Final = 64 * 1024
_CHUNK_OVERHEAD_FACTOR: Final = 16
_WITHOUT_BODY: Final = frozenset({204, 304})
_JSON_LINES: Final = b"".join(
    b"%b: %b\r\n" % each for each in ((b"content-type", JSON.encode()), *SECURITY_HEADERS)
)
_REFUSALS: Final = {
    400: ("The request is not valid HTTP/1.1.", "malformed_request"),
    408: ("The head of the request didn't arrive in time.", "head_timeout"),
    431: (
        f"The request has more than {MAX_HEAD_BYTES // 1024} KB or {MAX_HEADERS} of headers.",
        "head_too_large",
    ),
}


class ConnectionGuard:
    """The connections of one server: their number, their addresses and their deadlines."""

    def __init__(self, table: HttpTable, metrics: Metrics, max_connections: int) -> None:
        self.table = table
        # How long the rest of a body is read after its response, and how long a closing connection
        # may take to send its buffer.
        self.linger_seconds = min(_MAX_LINGER_SECONDS, table.body_timeout_seconds)
        self._metrics = metrics
        self._max_connections = max_connections
        self._proxies = [ipaddress.ip_network(each) for each in table.trusted_proxies]
        self._by_network: dict[str, dict[GuardedProtocol, None]] = {}
        self._count = 0
        self._dismissed: dict[GuardedProtocol, float] = {}  # since when, oldest first
        self._discarding_until = 0.0
        metrics.connections.read = lambda: [((), float(self._count))]

    def admit(self, connection: "GuardedProtocol", transport: asyncio.Transport) -> bool:
        """Add a connection, closing an idle one at a cap; false when it is refused."""
        host = _peer(transport)
        network = client_network(host)
        own = self._by_network.get(network, {})
        exempt = self._is_proxy(host)
        admitted = True
        if not exempt and len(own) >= self.table.max_connections_per_address:
            self.refused("address_cap")
            admitted = self._make_room(own)
        elif self._count >= self._max_connections:
            self.refused("total_cap")
            by_size = sorted(self._by_network.values(), key=len, reverse=True)
            admitted = any(self._make_room(each) for each in by_size)
        if not admitted:
            transport.abort()
            return False
        connection.network = network
        self._by_network.setdefault(network, {})[connection] = None
        self._count += 1
        if self._dismissed and self._count + len(self._dismissed) > self._max_connections:
            self._close_dismissed()
        return True

    def release(self, connection: "GuardedProtocol") -> None:
        """Remove a connection that has ended."""
        self._dismissed.pop(connection, None)
        own = self._by_network.get(connection.network)
        if own is None or connection not in own:
            return
        del own[connection]
        self._count -= 1
        if not own:
            del self._by_network[connection.network]

    def discard_seconds(self, size: int, now: float) -> float:
        """Return how long to wait before reading more of a body after its response."""
        began = max(now, self._discarding_until)
        self._discarding_until = began + size / _DISCARDED_BYTES_PER_SECOND
        return self._discarding_until - now

    def refused(self, reason: str) -> None:
        """Count a connection that was refused or closed because of a limit."""
        self._metrics.connections_refused.inc((reason,))

    async def sweep(self) -> None:
        """Check the deadlines of all connections, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            now = loop.time()
            self._check(now)
            while self._dismissed and now - self._dismissed_first() >= _DISMISSED_SECONDS:
                self._close_dismissed()

    def _check(self, now: float) -> None:
        # A function of its own: a variable of ``sweep`` would keep the last connection alive.
        for connection in self.connections():
            connection.check(now)

    def connections(self) -> Sequence["GuardedProtocol"]:
        """Return the open connections."""
        return [*(each for own in self._by_network.values() for each in own), *self._dismissed]

    def _dismissed_first(self) -> float:
        return next(iter(self._dismissed.values()))

    def _close_dismissed(self) -> None:
        oldest = next(iter(self._dismissed))
        self.release(oldest)
        oldest.abort()

    def _make_room(self, connections: dict["GuardedProtocol", None]) -> bool:
        # Close the oldest connection without a request first, so that clients' pools survive a
        # flood. They are in the order of their arrival, so that not every new connection has to
        # look at all.
        oldest = next(
            (each for each in connections if not each.has_answered and each.is_expendable), None
        ) or min(
            (each for each in connections if each.is_expendable),
            key=lambda each: each.since,
            default=None,
        )
        if oldest is None:
            return False
        self.release(oldest)
        if oldest.dismiss():
            self._dismissed[oldest] = oldest.loop.time()
        else:
            oldest.abort()
        return True

    def _is_proxy(self, host: str) -> bool:
        if not self._proxies:
            return False
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        return any(address in network for network in self._proxies)


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 protocol with deadlines, caps and the gateway's error shape."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        guard: ConnectionGuard,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.network = ""
        self.is_body_late = False
        self.has_answered = False
        self.since = self.loop.time()
        self._guard = guard
        self._raw: asyncio.Transport | None = None
        self._is_in_head = True  # until the blank line after the headers
        self._is_message_open = False  # from there to the end of the body
        self._is_refused = False
        self._is_dismissed = False
        self._has_too_many_headers = False
        self._head_bytes = 0
        self._body_bytes = 0
        self._chunk_bytes = 0
        self._checked_at = self.since
        self._unsent_bytes = 0

    def begin(self, transport: asyncio.Transport) -> bool:
        """Count the connection, before TLS if there is any; false when it is refused."""
        self._raw = transport
        self._is_refused = not self._guard.admit(self, transport)
        return not self._is_refused

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start with HTTP."""
        if self._raw is None and not self.begin(transport):
            return
        self._raw = transport
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Release the connection's resources."""
        self._guard.release(self)
        transport: Any = self.transport
        if transport is not None:
            super().connection_lost(exc)
        if self.is_idle:  # both refer to this protocol: it would wait for the garbage collector
            self.cycle = self.scope = None  # type: ignore[assignment]

    def abort(self) -> None:
        """Close at once; the buffer is lost."""
        if self._raw is not None:
            self._raw.abort()

    def dismiss(self) -> bool:
        """Accept no more requests; false for a connection in use, to be closed at once."""
        if self.has_answered or not self.is_idle:
            return False
        self._is_refused = self._is_dismissed = True
        return True

    def answer(self, scope: Scope, status: int, request_id: str, body: bytes) -> bool:
        """Send a whole JSON response, its head made of ready lines and in one write with the body.

        False where it has to go through ASGI: for a pipelined request, whose turn may not have
        come, to a client that doesn't read, and for a response without a body.
        """
        cycle: Any = self.cycle
        if cycle is None or cycle.scope is not scope or cycle.response_started:
            return False
        if cycle.disconnected or self.flow.write_paused or status in _WITHOUT_BODY:
            return False
        if scope["method"] == "HEAD":
            return False
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        self.transport.write(
            b"%b%b%bcontent-length: %d\r\nx-request-id: %b\r\n%b\r\n%b"
            % (
                STATUS_LINE[status],
                b"".join([b"%b: %b\r\n" % each for each in cycle.default_headers]),
                _JSON_LINES,
                len(body),
                request_id.encode(),
                b"" if cycle.keep_alive else b"connection: close\r\n",
                body,
            )
        )
        cycle.message_event.set()
        if not cycle.keep_alive:
            self.transport.close()
        cycle.on_response()
        return True

    @property
    def is_idle(self) -> bool:
        """Whether no request is being answered."""
        cycle: Any = self.cycle  # None before the first request
        return cycle is None or cycle.response_complete

    @property
    def is_expendable(self) -> bool:
        """Whether it may be closed at a cap: idle, or waiting for the body of an unknown caller."""
        if self.is_idle:
            return True
        return self._is_message_open and caller_of(cast("Scope", self.scope)) is None

    def check(self, now: float) -> None:
        """Act on the deadline that has passed, if any."""
        since_check, self._checked_at = now - self._checked_at, now
        transport: Any = self.transport
        if transport is None:  # in the TLS handshake, which has its own deadline
            return
        if self.transport.is_closing():
            self._check_progress(now, self._guard.linger_seconds)
        elif self.is_idle:
            self._check_idle(now)
        elif self._is_message_open:
            self._check_body(now, since_check)
        elif self.flow.write_paused:
            self._check_progress(now, self._guard.table.body_timeout_seconds)

    def _check_idle(self, now: float) -> None:
        table = self._guard.table
        if self._is_message_open:  # the rest of a body after an early response
            if now - self.since > self._guard.linger_seconds:
                self.abort()
        elif self._head_bytes or not self.has_answered:
            if now - self.since > table.header_timeout_seconds:
                self._guard.refused("head_timeout")
                if self._head_bytes:
                    self._refuse(408)
                else:
                    self.transport.close()
        elif now - self.since > table.keep_alive_seconds:
            self.transport.close()

    def _check_body(self, now: float, since_check: float) -> None:
        if self.flow.read_paused:  # the application is slow, not the client
            self.since += since_check
            return
        table = self._guard.table
        allowed = table.body_timeout_seconds + self._body_bytes / table.body_min_bytes_per_second
        if now - self.since <= allowed:
            return
        if self.is_body_late:  # the application didn't react within another deadline
            self.abort()
            return
        self._guard.refused("body_timeout")
        self.is_body_late = True
        self.since = now
        self.cycle.keep_alive = False
        self.cycle.message_event.set()

    def _check_progress(self, now: float, allowed_seconds: float) -> None:
        """Abort when no byte of the response was sent within ``allowed_seconds``."""
        unsent = self.transport.get_write_buffer_size()
        if unsent != self._unsent_bytes:
            self._unsent_bytes = unsent
            self.since = now
        elif now - self.since > allowed_seconds:
            self._guard.refused("unread_answer")
            self.abort()

    def data_received(self, data: bytes) -> None:
        """Take bytes from the client."""
        if self._is_refused:
            if self._is_dismissed:  # it belongs to a real client, which connects again
                self.abort()
            return
        was_in_head = self._is_in_head
        if was_in_head:
            if self._head_bytes == 0 and self.has_answered:
                self.since = self.loop.time()
            room = MAX_HEAD_BYTES - self._head_bytes
            self._head_bytes += len(data)
            if len(data) > room:
                if not self._feed(data[:room]):
                    return
                if self._is_in_head:
                    self._refuse(431)
                    return
                data = data[room:]
        if not self._is_in_head:
            self._chunk_bytes += len(data)
        if self._feed(data) and self._is_message_open:
            self._after_body_bytes(len(data), is_first=was_in_head)

    def _feed(self, data: bytes) -> bool:
        """Parse ``data``; false when the connection was refused for it."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.cycle.keep_alive = False  # no upgrade is supported: the response is plain HTTP
        except httptools.HttpParserError:
            self._guard.refused("malformed")
            self._refuse(400)
        if self._has_too_many_headers:
            self._refuse(431)
        return not self._is_refused

    def _after_body_bytes(self, size: int, *, is_first: bool) -> None:
        allowed = _CHUNK_OVERHEAD_BYTES + self._body_bytes * _CHUNK_OVERHEAD_FACTOR
        if self._chunk_bytes - self._body_bytes > allowed:
            self._guard.refused("malformed")
            self.abort()
        elif self.is_idle:
            self._pace_discarded(size)
        elif is_first and not self._body_bytes:
            # Until the application asks for the body, so that a refused caller's body isn't
            # buffered.
            self.flow.pause_reading()

    def _pace_discarded(self, size: int) -> None:
        """Continue to read later: reading a refused body takes CPU time from other requests."""
        self.flow.pause_reading()
        self.loop.call_later(self._guard.discard_seconds(size, self.loop.time()), self._read_on)

    def _read_on(self) -> None:
        if not self.transport.is_closing():
            self.flow.resume_reading()

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self.scope["state"][CONNECTION] = self

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; a trailer, which would come after authentication, is dropped."""
        if not self._is_in_head:
            return
        headers = self.headers
        if len(headers) >= MAX_HEADERS:
            self._has_too_many_headers = True
            return
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Hand the request to the application."""
        self._is_in_head = False
        self._head_bytes = 0
        if self._has_too_many_headers or self._is_refused:
            return
        if len(self.pipeline) >= _MAX_PIPELINED:
            self._guard.refused("pipelined")
            self._is_refused = True
            self.abort()
            return
        super().on_headers_complete()
        self._is_message_open = True
        self.is_body_late = False
        self._body_bytes = self._chunk_bytes = 0
        self.since = self.loop.time()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        cycle.transport = cast("asyncio.Transport", OneWrite(self.transport, self.loop))
        super()._start_asgi_task(cycle, app)

    def on_body(self, body: bytes) -> None:
        """Buffer a part of the body for the application."""
        if self._is_message_open:
            self._body_bytes += len(body)
            super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request."""
        self._is_in_head = True
        if self._is_message_open:
            self._is_message_open = False
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """Wait for the next request, or read the rest of this one."""
        self.since = self.loop.time()
        self._unsent_bytes = 0
        self.has_answered = True
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())

    def send_400_response(self, msg: str) -> None:
        """Refuse malformed HTTP in the gateway's error shape (uvicorn's hook)."""
        del msg
        self._refuse(400)

    def _refuse(self, status: int) -> None:
        """Answer with an error below the application, and close."""
        if self._is_refused:
            return
        self._is_refused = True
        if not self.is_idle:  # a response is being written: another one would corrupt it
            self.abort()
            return
        sentence, code = _REFUSALS[status]
        if status == 431:  # noqa: PLR2004
            self._guard.refused("head_too_large")
        self.transport.write(refusal(status, sentence, code))
        self.transport.close()


def refusal(status: int, sentence: str, code: str) -> bytes:
    """Return a response from below the application, in the gateway's error shape."""
    body = msgspec.json.encode({"error": sentence, "code": code, "details": []})
    return (
        STATUS_LINE[status]
        + b"content-type: application/json; charset=utf-8\r\ncontent-length: %d\r\n" % len(body)
        + b"x-content-type-options: nosniff\r\ncache-control: no-store\r\n"
        + b"connection: close\r\n\r\n"
        + body
    )


def _peer(transport: asyncio.BaseTransport) -> str:
    peer = transport.get_extra_info("peername")
    return str(peer[0]) if isinstance(peer, tuple) else ""
