"""What a plugin's tests need: a whole gateway in a temporary folder, and a server that listens.

Installed as a pytest plugin, so a test asks for ``harness`` and gets a factory:

.. code-block:: python

    async def test_an_order_reaches_the_erp(harness):
        async with Receiver() as receiver, harness("[plugins.acme_erp]") as gateway:
            key = await gateway.issue_key()
            answer = await gateway.post("/api/webhook/orders", key, {"orders": [...]})
            assert answer.status_code == 200

Everything is real: SQLite in a file, HTTP on 127.0.0.1, the embedded engine.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import httpx
import msgspec
import pytest
import uvicorn

from gateway.clock import Clock, SteppingClock
from gateway.http.app import create_app
from gateway.model.account import DEFAULT_ACCOUNT, Caller, Mode
from gateway.model.wire import encode
from gateway.runtime import Gateway
from gateway.settings import Settings, parse_settings

__all__ = ["GatewayHarness", "Received", "Receiver", "SteppingClock", "harness"]

_PATIENCE_SECONDS: Final = 10.0
_LOOPBACK: Final = """
[delivery]
allow_http = true
allow_networks = ["127.0.0.0/8"]
"""


class Received(NamedTuple):
    """One request as a :class:`Receiver` got it; header names are lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Read the body as JSON."""
        return msgspec.json.decode(self.body)


class Receiver:
    """A server on 127.0.0.1 that keeps what it is sent, and answers as it is told.

    ``answers`` are the statuses of the next answers; after them it answers 200.
    """

    def __init__(self, answers: Sequence[int] = ()) -> None:
        self.answers = list(answers)
        self.received: list[Received] = []
        self.headers: dict[str, str] = {}
        self._arrived = asyncio.Condition()
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}

    @property
    def url(self) -> str:
        """Where it listens."""
        if self._server is None:
            raise RuntimeError("use the receiver with `async with`")
        return "http://{}:{}".format(*self._server.sockets[0].getsockname())

    async def wait_for(self, count: int) -> list[Received]:
        """Wait until ``count`` requests have come in, 10 seconds at most; returns them all."""
        async with asyncio.timeout(_PATIENCE_SECONDS), self._arrived:
            await self._arrived.wait_for(lambda: len(self.received) >= count)
        return list(self.received)

    async def __aenter__(self) -> Self:
        """Start to listen on a free port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop, and drop whoever is connected."""
        if self._server is not None:
            self._server.close()
            open_ones = dict(self._connections)
            for writer in open_ones:
                writer.close()
            serving = [task for task in open_ones.values() if task is not None]
            await asyncio.gather(*serving, return_exceptions=True)
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections[writer] = asyncio.current_task()
        try:
            while True:
                received = await _read_request(reader)
                self.received.append(received)
                status = self.answers.pop(0) if self.answers else 200
                extra = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
                head = f"HTTP/1.1 {status} Said\r\n{extra}Content-Length: 2\r\n\r\nok"
                writer.write(head.encode())
                await writer.drain()
                async with self._arrived:
                    self._arrived.notify_all()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the other side is done
        finally:
            del self._connections[writer]
            writer.close()


async def _read_request(reader: asyncio.StreamReader) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip("\r\n").split("\r\n")
    method, path, _ = first.split(" ", 2)
    pairs = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Received(method, path, headers, body)


class GatewayHarness:
    """A whole gateway: open, serving HTTP on a free port of 127.0.0.1, carrying deliveries.

    ``gateway`` is the thing itself, for what HTTP can't reach.
    """

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self.gateway = Gateway(settings, clock)
        self.url = ""
        self._open = AsyncExitStack()
        self._client = httpx.AsyncClient()

    async def issue_key(
        self,
        *,
        mode: Mode = "live",
        site: str | None = None,
        account_id: str = DEFAULT_ACCOUNT,
    ) -> str:
        """Make an API key and return it."""
        issued = await self.gateway.keys.issue(
            "test", account_id=account_id, actor="test", mode=mode, site=site
        )
        return issued.key

    def caller(self, *, mode: Mode = "live", site: str | None = None) -> Caller:
        """Return a caller of the default account, for calls that don't go through HTTP."""
        return Caller(DEFAULT_ACCOUNT, mode, "test", site)

    async def request(
        self,
        method: str,
        path: str,
        key: str | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Send a request; ``body`` is sent as JSON, or as it is when it is bytes."""
        sent = dict(headers or {})
        if key is not None:
            sent["X-API-Key"] = key
        content = body if body is None or isinstance(body, bytes) else encode(body)
        if content is not None:
            sent.setdefault("Content-Type", "application/json")
        return await self._client.request(method, self.url + path, content=content, headers=sent)

    async def get(self, path: str, key: str | None = None) -> httpx.Response:
        """Send a GET request."""
        return await self.request("GET", path, key)

    async def post(
        self,
        path: str,
        key: str | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Send a POST request with a JSON body."""
        return await self.request("POST", path, key, body, headers)

    async def __aenter__(self) -> Self:
        """Open the gateway, carry deliveries, serve HTTP."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._client)
            await stack.enter_async_context(self.gateway)
            await stack.enter_async_context(self.gateway.running())
            self.url = await stack.enter_async_context(_serving(self.gateway))
            self._open = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop serving, finish what is in flight, close."""
        await self._open.aclose()


@asynccontextmanager
async def _serving(gateway: Gateway) -> AsyncIterator[str]:
    config = uvicorn.Config(
        create_app(gateway), lifespan="off", ws="none", log_config=None, access_log=False
    )
    server = _Quiet(config)
    listener = socket.create_server(("127.0.0.1", 0))
    # Accepted connections inherit it; asyncio sets it itself only where it made the listener.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not server.started:
            if task.done():
                await task
            await asyncio.sleep(0.001)
        yield "http://{}:{}".format(*listener.getsockname())
    finally:
        server.should_exit = True
        await task


class _Quiet(uvicorn.Server):
    """A server that leaves the process's signals alone."""

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        """Capture nothing."""
        yield


MakeHarness = Callable[..., GatewayHarness]


@pytest.fixture
def harness(tmp_path: Path) -> MakeHarness:
    """Make gateways in this test's folder: ``harness("[plugins.mine]", clock=…)``.

    The text is a gateway.toml; without a ``[delivery]`` table of its own, webhooks may go
    to 127.0.0.1.
    """

    def make(toml: str, clock: Clock | None = None) -> GatewayHarness:
        text = toml if "[delivery]" in toml else toml + _LOOPBACK
        settings = parse_settings(text, source=None, directory=tmp_path, environ={})
        return GatewayHarness(settings, clock)

    return make
