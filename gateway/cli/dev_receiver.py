"""The receiver of ``gateway dev``: it accepts every webhook, and keeps each to show it."""

import json
import queue
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, NamedTuple, Self

_WAIT_SECONDS: Final = 0.2
_CALL_SECONDS: Final = 30.0


class Arrived(NamedTuple):
    """A webhook: its event type, and its body in lines for people."""

    event: str
    text: str


class DevReceiver:
    """Listens on 127.0.0.1, and answers 200 to everything."""

    def __init__(self) -> None:
        self._arrived: queue.Queue[Arrived] = queue.Queue()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        """The address to subscribe."""
        return f"http://127.0.0.1:{self._server.server_port}/webhooks"

    def next(self) -> Arrived | None:
        """Return the next webhook; ``None`` if none arrives soon. Blocks: call it in a thread."""
        try:
            return self._arrived.get(timeout=_WAIT_SECONDS)
        except queue.Empty:
            return None

    @staticmethod
    def post(url: str, key: str, body: Any) -> int | None:
        """Post JSON to the served gateway; return the status, ``None`` where there is no route."""
        request = urllib.request.Request(  # noqa: S310 - our own server on 127.0.0.1
            url,
            method="POST",
            data=json.dumps(body).encode(),
            headers={"X-API-Key": key, "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=_CALL_SECONDS) as answer:  # noqa: S310
                status: int = answer.status
                return status
        except urllib.error.HTTPError as error:
            return None if error.code == 404 else error.code  # noqa: PLR2004

    def __enter__(self) -> Self:
        """Start listening."""
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        arrived = self._arrived

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                arrived.put(_read(body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Log nothing: each webhook is printed."""

        return Handler


def _read(body: bytes) -> Arrived:
    try:
        read = json.loads(body)
        event = str(read.get("type") or read.get("event") or "a webhook")
        return Arrived(event, json.dumps(read, ensure_ascii=False))
    except (ValueError, AttributeError):
        return Arrived("a webhook", f"{len(body)} bytes that are no JSON object")
