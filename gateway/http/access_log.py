"""The outermost ASGI layer: request id, security headers, log line, metrics and span.

The log has the route's template, never the path, the query or the body: those may
contain patient data.
"""

import logging
import os
import traceback
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from gateway.clock import Clock
from gateway.errors import BodyTimeout, StorageError
from gateway.http.auth import caller_of, sent_header
from gateway.model.wire import encode
from gateway.observability import log_context
from gateway.observability.log_context import FIELDS_OF, request_id
from gateway.observability.metrics import Metrics
from gateway.observability.tracing import Tracing, traceparent_of
from gateway.sdk.http import JSON

_log = logging.getLogger(__name__)

# Other methods are counted as one.
_METHODS: Final = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
# Polled by monitors every few seconds; logged only on a bad answer.
_MONITORED: Final = frozenset({"/health/live", "/health/ready", "/metrics"})
CLIENT_CLOSED_REQUEST: Final = 499
"""nginx's status for a client that closed the connection before the response."""
_DISCONNECTED: Final = "gateway_client_disconnected"
SECURITY_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
)
"""For responses without their own: JSON is neither cached, nor sniffed, nor rendered."""
# What all of its records have in common.
_ENTRY: Final = logging.LogRecord(_log.name, logging.INFO, "", 0, "answered", (), None).__dict__

CONNECTION: Final = "gateway_connection"
"""The key of ``scope["state"]`` for the :class:`Connection` of a request, if it is known."""


class Connection(Protocol):
    """The server's view of a request's connection."""

    is_body_late: bool
    """Whether the body has missed its deadline."""

    def answer(self, scope: Scope, status: int, request_id: str, body: bytes) -> bool:
        """Send a whole JSON response with the usual headers; false where it can't be done here."""


WHOLE_ANSWER: Final = "gateway.answer"
"""An extension of ASGI (``scope["extensions"]``), and the type of its message: a ``status`` and a
``body`` in JSON, which are a whole response with the usual headers."""


class AccessLog:
    """Gives each request an id, and counts, logs and traces it at its end.

    The status is 499 when the client closed the connection before the response. An exception that
    no handler turned into a response becomes a 500 here. The log has its traceback without the
    exception's message, which may repeat submitted values.
    """

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        clock: Clock,
        tracing: Callable[[], Tracing | None] = lambda: None,
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._clock = clock
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI request."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        began = self._clock.monotonic_seconds()
        request = _Request(scope, receive, send, os.urandom(8).hex())
        request_id.set(request.id)
        scope["extensions"] = {**(scope.get("extensions") or {}), WHOLE_ANSWER: {}}
        tracing = self._tracing()
        span = None
        if tracing is not None and scope["path"] not in _MONITORED:
            span = tracing.begin(sent_header(scope, b"traceparent"))
            log_context.traceparent.set(traceparent_of(span))
        try:
            await self._app(scope, request.receive, request.send)
        except Exception as error:
            if request.has_begun or not client_disconnected(scope):
                log_unexpected(error)
                if request.has_begun:
                    raise
                await request.fail()
        finally:
            method: str = scope["method"]
            method = method if method in _METHODS else "OTHER"
            # Absent when no route matched: the path itself may contain patient data.
            route = scope.get("path_template") or "unmatched"
            if tracing is not None and span is not None:
                tracing.answered(span, method, route, request.status, {"request_id": request.id})
            seconds = self._clock.monotonic_seconds() - began
            self._record(scope, method, route, request.status, seconds)

    def _record(self, scope: Scope, method: str, route: str, status: int, seconds: float) -> None:
        self._metrics.answered(method, route, status, seconds)
        level = logging.DEBUG if route in _MONITORED and status < 400 else logging.INFO  # noqa: PLR2004
        if _log.isEnabledFor(level):
            caller = caller_of(scope)
            fields = {
                "method": method,
                "route": route,
                "status": status,
                "duration_ms": round(seconds * 1000, 1),
                "request_id": request_id.get(),
                "key_id": None if caller is None else caller.actor,
            }
            _log.handle(_entry(level, self._clock.now().timestamp(), fields))


def _entry(level: int, created: float, fields: dict[str, Any]) -> logging.LogRecord:
    """Return the log record of a request, as ``_log.log`` would make it.

    There is one for each request, and most of what logging looks up for a record is the same.
    """
    record = logging.LogRecord.__new__(logging.LogRecord)
    record.__dict__ = {
        **_ENTRY,
        **fields,
        "levelno": level,
        "levelname": logging.getLevelName(level),
        "created": created,
        "msecs": created % 1 * 1000,
        FIELDS_OF: fields,
    }
    return record


class _Request:
    """One request in progress: its response gets its id and the security headers."""

    __slots__ = ("_connection", "_receive", "_scope", "_send", "has_begun", "id", "status")

    def __init__(self, scope: Scope, receive: Receive, send: Send, identity: str) -> None:
        self.id = identity
        self.status = CLIENT_CLOSED_REQUEST
        self.has_begun = False
        self._scope = scope
        self._receive = receive
        self._send = send
        self._connection: Connection | None = scope.get("state", {}).get(CONNECTION)

    async def send(self, message: Any) -> None:
        """Send a part of the response, or all of it."""
        if message["type"] == WHOLE_ANSWER:
            await self._answer(message["status"], message["body"])
            return
        if message["type"] == "http.response.start":
            self.has_begun = True
            self.status = message["status"]
            headers = list(message["headers"])
            present = {name for name, _ in headers}
            headers += [pair for pair in SECURITY_HEADERS if pair[0] not in present]
            headers.append((b"x-request-id", self.id.encode()))
            message["headers"] = headers
        await self._send(message)

    async def _answer(self, status: int, body: bytes) -> None:
        """Send a whole response in JSON."""
        connection = self._connection
        if connection is not None and connection.answer(self._scope, status, self.id, body):
            self.has_begun = True
            self.status = status
            return
        await send_json(self.send, status, body)

    async def receive(self) -> Any:
        """Return the next part of the body; raises ``BodyTimeout`` when it is late."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self._scope.setdefault("state", {})[_DISCONNECTED] = True
        elif self._connection is not None and self._connection.is_body_late:
            raise BodyTimeout("The request body stopped arriving; send the request again.")
        return message

    async def fail(self) -> None:
        """Answer 500."""
        await self._answer(500, encode(error_body(unexpected_error_sentence(), "internal_error")))


async def send_json(
    send: Any, status: int, body: bytes, own: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    """Send a whole response in JSON, with ``own`` headers, as the two messages of ASGI."""
    headers = [(b"content-type", JSON.encode()), *own, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def client_disconnected(scope: Scope) -> bool:
    """Return whether the client closed the connection before its response."""
    return bool(scope.get("state", {}).get(_DISCONNECTED))


def error_body(sentence: str, code: str, details: Any = ()) -> dict[str, Any]:
    """Return the error shape: ``{"error": …, "code": …, "details": […]}``."""
    return {"error": sentence, "code": code, "details": details}


def log_unexpected(error: Exception) -> None:
    """Log the traceback of an unexpected exception under the request's id."""
    trace = "".join(traceback.format_tb(error.__traceback__))
    _log.error("request %s failed: %s\n%s", request_id.get(), type(error).__name__, trace)


def log_outage(error: StorageError) -> None:
    """Log why the database is unavailable: the gateway's sentence, else a class or SQLite's code.

    Never the message of a driver, which may contain a row.
    """
    cause: BaseException = error
    while reason := cause.__cause__ or getattr(cause, "orig", None):
        cause = reason
    if isinstance(cause, StorageError):
        _log.warning("the database is unavailable: %s", cause.message)
        return
    code = getattr(cause, "sqlite_errorname", type(cause).__name__)
    _log.warning("the database is unavailable", extra={"cause": code})


def unexpected_error_sentence() -> str:
    """Return the error sentence of a 500; it names the request's id."""
    return (
        "The gateway failed unexpectedly; sending the request again is safe. "
        f"The log has it as request {request_id.get()}."
    )
