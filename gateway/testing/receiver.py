"""An HTTP server that records requests, as the destination of a test."""

import asyncio
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import msgspec

_TIMEOUT_SECONDS: Final = 120.0


class Received(NamedTuple):
    """A recorded request; header names are lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Decode the body as JSON."""
        return msgspec.json.decode(self.body)


class Receiver:
    """A server on 127.0.0.1 that records requests and answers with given statuses.

    ``answers`` are the statuses of the next responses; after them it answers 200. ``headers`` and
    ``body`` are those of each response. ``timeout_seconds`` limits each wait generously, because a
    busy machine isn't a failure.
    """

    def __init__(
        self, answers: Sequence[int] = (), *, timeout_seconds: float = _TIMEOUT_SECONDS
    ) -> None:
        self.answers = list(answers)
        self.timeout_seconds = timeout_seconds
        self.received: list[Received] = []
        self.headers: dict[str, str] = {}
        self.body = b"ok"
        self._arrived = asyncio.Condition()
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}

    @property
    def url(self) -> str:
        """The server's URL."""
        if self._server is None:
            raise RuntimeError("use the receiver with `async with`")
        return "http://{}:{}".format(*self._server.sockets[0].getsockname())

    async def wait_for(self, count: int) -> list[Received]:
        """Wait until ``count`` requests have arrived; return them all, or raise TimeoutError."""
        async with asyncio.timeout(self.timeout_seconds), self._arrived:
            await self._arrived.wait_for(lambda: len(self.received) >= count)
        return list(self.received)

    async def __aenter__(self) -> Self:
        """Start listening on a free port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop, and close open connections."""
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
                head = f"HTTP/1.1 {status} Said\r\n{extra}Content-Length: {len(self.body)}\r\n\r\n"
                writer.write(head.encode() + self.body)
                await writer.drain()
                async with self._arrived:
                    self._arrived.notify_all()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client closed the connection
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
