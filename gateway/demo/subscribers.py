"""The servers that the demo's gateway sends webhooks to: one of them fails for a while."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final, Self

_LATENCIES_SECONDS: Final = (0.012, 0.018, 0.009, 0.031, 0.014, 0.022)


class Subscribers:
    """Listens on 127.0.0.1. Each path is a server of its own; some are down."""

    def __init__(self) -> None:
        self._down: set[str] = set()
        self._answered = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True

    def url(self, path: str) -> str:
        """Return the address of one of them."""
        return f"http://127.0.0.1:{self._server.server_port}{path}"

    def fail(self, path: str) -> None:
        """Make a server answer 503 from now on."""
        self._down.add(path)

    def recover(self, path: str) -> None:
        """Make it work again."""
        self._down.discard(path)

    def __enter__(self) -> Self:
        """Start listening."""
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        here = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                here._answered += 1
                time.sleep(_LATENCIES_SECONDS[here._answered % len(_LATENCIES_SECONDS)])
                body = b""
                if self.path in here._down:
                    body = b"upstream connect error: no healthy server"
                self.send_response(503 if body else 200)
                self.send_header("Content-Type", "text/plain")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        return Handler
