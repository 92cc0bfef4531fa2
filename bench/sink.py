"""The sink: answers 200 to every POST at once and remembers when it came. A process of its own.

It prints its ports and then listens on 127.0.0.1 until its standard input ends; each port
passes for another server. What is POSTed to ``/keep`` is remembered by the id of the package it is
about, and so is what is POSTed to ``/seen/NAME``, for each name apart; what a peer POSTs to
``/peer``, by the order that it carries. Everything else is only counted. ``GET /report`` gives the
counts, ``GET /seen`` what was seen, ``GET /reset`` forgets.
"""

import asyncio
import base64
import json
import sys
import time
from dataclasses import dataclass, field
from typing import Any, Final

from loops import run

_ANSWER: Final = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
_PACKAGE: Final = b'"package_id":"'
_ID_LENGTH: Final = 36
ORDER: Final = b"bench_"
ORDER_LENGTH: Final = 30
_HEAD_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"content-length:"


@dataclass(slots=True)
class Seen:
    """The packages that one name was told of, how often again, and when last of a new one."""

    packages: set[str] = field(default_factory=set)
    again: int = 0
    last_at: float = 0.0

    def take(self, package: str, now: float) -> bool:
        """Note one; returns whether it is new."""
        if package in self.packages:
            self.again += 1
            return False
        self.packages.add(package)
        self.last_at = now
        return True

    def report(self) -> dict[str, Any]:
        """Tell everything."""
        return {
            "packages": sorted(self.packages),
            "again": self.again,
            "last_at": self.last_at,
        }


class Tally:
    """What came in since the last reset. Times are seconds of the machine's monotonic clock.

    ``different`` counts what was seen without what was seen before under the same name.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.count = 0
        self.first_at = 0.0
        self.last_at = 0.0
        self.sample = b""
        self.arrived_at: dict[str, float] = {}
        self.different = 0
        self.seen: dict[str, Seen] = {}

    def take(self, request: bytes) -> None:
        """Note one whole request."""
        now = time.monotonic()
        if not self.count:
            self.first_at = now
            self.sample = request
        self.count += 1
        self.last_at = now
        if request.startswith(b"POST /keep"):
            self.arrived_at.setdefault(_package(request), now)
        elif request.startswith(b"POST /peer"):
            at = request.index(ORDER)
            self.arrived_at.setdefault(request[at : at + ORDER_LENGTH].decode(), now)
        elif request.startswith(b"POST /seen/"):
            name = request[len(b"POST /seen/") :].partition(b" ")[0].decode()
            seen = self.seen.setdefault(name, Seen())
            self.different += seen.take(_package(request), now)

    def report(self) -> dict[str, Any]:
        """Tell everything; ``cpu_seconds`` is what this process used since it began."""
        return {
            "count": self.count,
            "different": self.different,
            "first_at": self.first_at,
            "last_at": self.last_at,
            "sample": base64.b64encode(self.sample).decode(),
            "arrived_at": self.arrived_at,
            "cpu_seconds": time.process_time(),
        }


class SinkProtocol(asyncio.Protocol):
    """One connection."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        """Answer every request that is complete."""
        rest = self._rest + data if self._rest else data
        while (end := rest.find(_HEAD_END)) >= 0:
            length = end + len(_HEAD_END) + body_length(rest[:end])
            if len(rest) < length:
                break
            self._answer(rest[:length])
            rest = rest[length:]
        self._rest = rest

    def _answer(self, request: bytes) -> None:
        if request.startswith(b"POST "):
            self._tally.take(request)
            self._transport.write(_ANSWER)
            return
        if request.startswith(b"GET /reset"):
            self._tally.reset()
        told: dict[str, Any] = self._tally.report()
        if request.startswith(b"GET /seen"):
            told = {name: seen.report() for name, seen in self._tally.seen.items()}
        body = json.dumps(told).encode()
        self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)


def _package(request: bytes) -> str:
    at = request.index(_PACKAGE) + len(_PACKAGE)
    return request[at : at + _ID_LENGTH].decode()


def body_length(head: bytes) -> int:
    """Read ``Content-Length`` from a head; none is 0."""
    lowered = head.lower()
    at = lowered.find(_LENGTH)
    if at < 0:
        return 0
    return int(lowered[at + len(_LENGTH) :].partition(b"\r\n")[0])


async def serve() -> None:
    """Listen until standard input ends."""
    loop = asyncio.get_running_loop()
    tally = Tally()
    servers = [
        await loop.create_server(lambda: SinkProtocol(tally), "127.0.0.1", 0, backlog=1024)
        for _ in range(int(sys.argv[1]))
    ]
    print(json.dumps([each.sockets[0].getsockname()[1] for each in servers]), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    for each in servers:
        each.close()


if __name__ == "__main__":
    run(serve())
