"""Hostile HTTP clients for tests: raw sockets, one for each kind of misbehaviour."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple, Self
from urllib.parse import urlsplit


class Answer(NamedTuple):
    """An answer as it came: its head in lower case, and its body."""

    status: int
    head: str
    body: bytes


class RawClient:
    """One connection to a gateway, with nothing between the test and the wire."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, url: str, source: str = "127.0.0.1") -> Self:
        """Connect from ``source``, an address of this machine."""
        parts = urlsplit(url)
        return cls(
            *await asyncio.open_connection(parts.hostname, parts.port, local_addr=(source, 0))
        )

    async def send(self, data: bytes | str) -> None:
        """Send bytes as they are."""
        self._writer.write(data.encode() if isinstance(data, str) else data)
        await self._writer.drain()

    async def answer(self, seconds: float = 20) -> Answer:
        """Read one answer with a Content-Length."""
        async with asyncio.timeout(seconds):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = next(
                (int(row[15:]) for row in head.split("\r\n") if row.startswith("content-length:")),
                0,
            )
            body = await self._reader.readexactly(length)
        return Answer(int(head.split(" ", 2)[1]), head, body)

    async def is_closed(self, seconds: float = 20) -> bool:
        """Return whether the gateway closes the connection within ``seconds``."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                try:
                    while await self._reader.read(65_536):
                        pass
                except OSError:
                    pass
                return True
        return False

    async def close(self) -> None:
        """Hang up."""
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    def reset(self) -> None:
        """Hang up without a goodbye."""
        self._writer.transport.abort()


@contextlib.asynccontextmanager
async def raw_client(url: str, source: str = "127.0.0.1") -> AsyncIterator[RawClient]:
    """Yield one connection."""
    client = await RawClient.open(url, source)
    try:
        yield client
    finally:
        await client.close()


async def until(condition: Callable[[], object], seconds: float = 20) -> None:
    """Wait until ``condition`` holds."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - a gateway sets no event for its tests
            await asyncio.sleep(0.02)
