"""A stand-in for the courier: a real HTTP server with tokens that expire and jobs that it keeps."""

import json
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Thread
from typing import Any, Self
from urllib.parse import parse_qs

PATIENCE_SECONDS = 60.0


class CourierApi:
    """Listens on 127.0.0.1. ``statuses`` are its next answers to what is said of a job.

    A status may come with headers: ``(429, {"Retry-After": "1"})``. A token lives for
    ``token_seconds``; ``revoke()`` ends all there are.
    """

    def __init__(self) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}
        self.seen: list[tuple[str, str, str]] = []
        self.keys: dict[str, tuple[int, Any]] = {}
        self.grants: list[Mapping[str, str]] = []
        self.statuses: list[int | tuple[int, Mapping[str, str]]] = []
        self.refuses_tokens = False
        self.loses_answers = 0
        self.token_seconds = 3600
        self._valid: set[str] = set()
        self._changed = Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/api"

    def wait_until(self, came: Any) -> None:
        """Wait until ``came()`` is true; returns as soon as it is."""
        with self._changed:
            assert self._changed.wait_for(came, PATIENCE_SECONDS), "the courier heard nothing"

    def revoke(self) -> None:
        """End every token before its time."""
        with self._changed:
            self._valid.clear()

    def __enter__(self) -> Self:
        """Start to listen."""
        Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Any:
        """Return status, headers and JSON; ``None`` hangs up without an answer."""
        with self._changed:
            self._changed.notify_all()
            if path == "/api/oauth/token":
                return self._granted({k: v[0] for k, v in parse_qs(body.decode()).items()})
            bearer, key = headers["Authorization"], headers["Idempotency-Key"]
            self.seen.append((method, path, key))
            if bearer.removeprefix("Bearer ") not in self._valid:
                return 401, {}, {"error": "invalid_token"}
            if self.statuses:
                status = self.statuses.pop(0)
                status, more = status if isinstance(status, tuple) else (status, {})
                return status, more, {"error": "not now"}
            if key not in self.keys:
                self.keys[key] = self._did(method, path, json.loads(body) if body else None)
            if self.loses_answers:
                self.loses_answers -= 1
                return None
            status, said = self.keys[key]
            return status, {}, said

    def _granted(self, form: Mapping[str, str]) -> Any:
        self.grants.append(form)
        if self.refuses_tokens or form.get("client_secret") != "s3cret":
            return 401, {}, {"error": "invalid_client"}
        token = f"token-{len(self.grants)}"
        self._valid.add(token)
        return 200, {}, {"access_token": token, "expires_in": self.token_seconds}

    def _did(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        if method == "POST":
            self.jobs[body["reference"]] = body
            return 201, {"reference": body["reference"]}
        reference = path.rpartition("/")[2]
        if reference not in self.jobs:
            return 404, {"error": "no such job"}
        if method == "PUT":
            self.jobs[reference] = body
        else:
            del self.jobs[reference]
        return 200, {"reference": reference}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self._handle()

            def do_PUT(self) -> None:
                self._handle()

            def do_DELETE(self) -> None:
                self._handle()

            def _handle(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                answer = api.answer(self.command, self.path, self.headers, body)
                if answer is None:
                    self.close_connection = True
                    return
                status, more, said = answer
                content = json.dumps(said).encode()
                self.send_response(status)
                for name, value in {**more, "Content-Length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        return Handler
