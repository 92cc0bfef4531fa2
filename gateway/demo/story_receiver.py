"""The subscriber's server of the demo: it verifies every webhook it receives.

It shares no code with the signing side: a receiver writes this, following
docs/how-to/verify-a-webhook.md.
"""

import hashlib
import hmac
import json
import queue
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self

_FAIL_FIRST = "delivery.completed"


class Arrival(NamedTuple):
    """A received webhook: path, event, whether its signature is valid, the status answered."""

    path: str
    event: str
    event_id: str
    attempt: int | None
    verified: bool
    answered: int


class DemoReceiver:
    """Listens on 127.0.0.1. ``/board`` accepts all; ``/ledger`` fails once, to show a retry."""

    def __init__(self) -> None:
        self.secrets: dict[str, str] = {}
        self.arrivals: queue.Queue[Arrival] = queue.Queue()
        self._failed_once = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True

    def url(self, path: str) -> str:
        """Return the URL of one of its endpoints."""
        return f"http://127.0.0.1:{self._server.server_port}{path}"

    def __enter__(self) -> Self:
        """Start listening."""
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    def take(self, path: str, headers: dict[str, str], body: bytes) -> int:
        """Verify one webhook as a receiver does, and return the status to answer with."""
        secret = self.secrets[path]
        if path == "/board":
            verified = _is_scriptrun_valid(headers.get("x-scriptrun-signature", ""), body, secret)
        else:
            given = headers.get("x-autorx-signature", "")
            expected = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
            verified = hmac.compare_digest(given, expected)
        read: dict[str, Any] = json.loads(body)
        answer = 200 if verified else 401
        if path == "/ledger" and read["event"] == _FAIL_FIRST and not self._failed_once.is_set():
            self._failed_once.set()
            answer = 500
        self.arrivals.put(
            Arrival(path, read["event"], read["id"], read.get("attempt"), verified, answer)
        )
        return answer

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                self.send_response(receiver.take(self.path, headers, body))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Log nothing: the demo prints each arrival."""

        return Handler


def _is_scriptrun_valid(header: str, body: bytes, secret: str) -> bool:
    parts = dict(part.partition("=")[::2] for part in header.split(","))
    signed = f"{parts.get('t', '')}.".encode() + body
    expected = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    return hmac.compare_digest(parts.get("v1", ""), expected)
