"""A stand-in for the ERP's bridge: a real HTTP server that remembers the events it received."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Thread
from typing import Any, Self

PATIENCE_SECONDS = 20.0


class Erp:
    """Listens on 127.0.0.1. ``statuses`` are its next answers to what is posted; then 200."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.tokens: set[str | None] = set()
        self.statuses: list[int] = []
        self.waiting: list[dict[str, str]] = []
        self.results: dict[str, str] = {}
        self.is_well = True
        self._changed = Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/bridge"

    def wait_until(self, came: Any) -> None:
        """Wait until ``came()`` is true, 20 seconds at most."""
        with self._changed:
            assert self._changed.wait_for(came, PATIENCE_SECONDS), "nothing came in time"

    def call_off(self, cancellation_id: str, order: str) -> None:
        """Have somebody at the ERP cancel an order."""
        with self._changed:
            self.waiting.append({"id": cancellation_id, "order": order})

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Answer nobody until the block ends."""
        with self._changed:
            yield

    def __enter__(self) -> Self:
        """Start to listen."""
        Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        with self._changed:
            self._changed.notify_all()
            if (method, path) == ("GET", "/bridge/ping"):
                return (200 if self.is_well else 503), "pong"
            if (method, path) == ("GET", "/bridge/cancellations"):
                return 200, {"waiting": self.waiting}
            status = self.statuses.pop(0) if self.statuses else 200
            if path == "/bridge/events":
                self.sent.append(body)
            elif status == HTTPStatus.OK:
                self.waiting = [each for each in self.waiting if each["id"] != body["id"]]
                self.results[body["id"]] = body["result"]
            return status, "noted"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        erp = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._say("GET", None)

            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                self._say("POST", json.loads(self.rfile.read(length)))

            def _say(self, method: str, body: Any) -> None:
                erp.tokens.add(self.headers["Authorization"])
                status, said = erp._answer(method, self.path, body)
                content = json.dumps(said).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        return Handler
