"""Servers that fail, each in its own way. A process of its own.

It prints their ports by how they fail and then listens on 127.0.0.1 until its standard input
ends: ``refuses`` takes no connection, ``answers 500`` and ``answers 429`` do so at once,
``hangs`` never answers, ``drips`` sends one byte of its answer a second and never ends.
"""

import asyncio
import json
import socket
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from loops import run
from sink import body_length

_HEAD_END: Final = b"\r\n\r\n"
_ERROR: Final = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 4\r\n\r\noops"
_SLOW_DOWN: Final = (
    b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 30\r\ncontent-length: 4\r\n\r\nlate"
)
_DRIPPED: Final = b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n"
_DRIP_SECONDS: Final = 1.0


class Failing(asyncio.Protocol):
    """One connection; every request gets the same ``answer``, none if it is empty."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        """Answer every request that is complete."""
        rest = self._rest + data
        while (end := rest.find(_HEAD_END)) >= 0:
            length = end + len(_HEAD_END) + body_length(rest[:end])
            if len(rest) < length:
                break
            rest = rest[length:]
            self.answer()
        self._rest = rest

    def answer(self) -> None:
        """Answer one request."""
        if self._answer:
            self._transport.write(self._answer)


class Dripping(Failing):
    """One connection, whose answer never ends."""

    def answer(self) -> None:
        """Send the next byte, and the one after it later."""
        if not self._transport.is_closing():
            self._transport.write(self._answer[:1] or b".")
            self._answer = self._answer[1:]
            asyncio.get_running_loop().call_later(_DRIP_SECONDS, self.answer)


async def serve() -> None:
    """Listen until standard input ends."""
    loop = asyncio.get_running_loop()
    kinds: dict[str, Callable[[], Failing]] = {
        "answers 500": partial(Failing, _ERROR),
        "answers 429": partial(Failing, _SLOW_DOWN),
        "hangs": partial(Failing, b""),
        "drips": partial(Dripping, _DRIPPED),
    }
    # Bound, so that nobody else gets the port; not listening, so that nobody is let in.
    refusing = socket.socket()
    refusing.bind(("127.0.0.1", 0))
    ports = {"refuses": refusing.getsockname()[1]}
    servers = []
    for name, protocol in kinds.items():
        server = await loop.create_server(protocol, "127.0.0.1", 0, backlog=1024)
        ports[name] = server.sockets[0].getsockname()[1]
        servers.append(server)
    print(json.dumps(ports), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    for each in servers:
        each.close()
    refusing.close()


if __name__ == "__main__":
    run(serve())
