"""The load generator, a process of its own: reads a job from stdin, prints what came of it.

It speaks HTTP/1.1 over plain sockets with bytes made beforehand, so that it costs far less
than what it measures. Two ways to press:

- ``closed``: every connection sends its next request when the last was answered;
- ``open``: requests begin at a steady rate, answered or not, as callers do who know
  nothing of each other.
"""

import asyncio
import json
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, Final

from loops import run
from orders import Calls, Requests
from sink import ORDER, ORDER_LENGTH

_HEAD_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"content-length:"
_LAST_CHUNK: Final = b"0\r\n\r\n"
_CREATED: Final = b'{"created":'
_PACKAGE: Final = b'"package_id":"'
_ID_LENGTH: Final = 36
_PATIENCE_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What to do. ``rate`` is requests a second of an open load; 0 makes it a closed one.

    ``call`` is a peer's create call instead of the gateway's own: ``path``, ``headers``, ``body``.
    """

    port: int
    keys: list[str]
    seconds: float
    connections: int = 64
    orders_per_request: int = 1
    first_order: int = 0
    most_requests: int = 1_000_000
    rate: float = 0.0
    sites: list[str] = field(default_factory=list)
    call: dict[str, Any] | None = None


@dataclass(slots=True, kw_only=True)
class Load:
    """What came of it. ``seconds`` are from the first byte sent to the last answer.

    ``begun`` and ``answered`` hold, for each package (or peer's order) that an open load created,
    when its request came up and when its answer was there, in seconds of the monotonic clock.
    """

    answers: int = 0
    created: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    statuses: dict[str, int] = field(default_factory=dict)
    begun: dict[str, float] = field(default_factory=dict)
    answered: dict[str, float] = field(default_factory=dict)
    late_seconds: float = 0.0


class Connection(asyncio.Protocol):
    """One connection, with at most one request under way."""

    def __init__(self, pressure: "Pressure", number: int) -> None:
        self.number = number
        self.begun_at = 0.0
        self.order = ""
        self._pressure = pressure
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport: Any = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the measurement: it is not the server's turn to hang up."""
        self._pressure.lost(exc)

    def send(self, request: bytes, begun_at: float) -> None:
        """Send a request that came up at ``begun_at``."""
        self.begun_at = begun_at
        at = request.find(ORDER)
        if at >= 0:
            self.order = request[at : at + ORDER_LENGTH].decode()
        self._transport.write(request)

    def close(self) -> None:
        """Hang up."""
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Hand over the answer once it is complete."""
        rest = self._rest + data if self._rest else data
        end = rest.find(_HEAD_END)
        if end >= 0:
            body = end + len(_HEAD_END)
            if _is_whole(rest[:end], rest[body:]):
                self._rest = b""
                self._pressure.answered(self, rest[9:12], rest[body:])
                return
        self._rest = rest


class Pressure:
    """Keeps the connections busy and counts."""

    def __init__(self, job: Job) -> None:
        self.load = Load()
        self._job = job
        host, size = f"127.0.0.1:{job.port}", job.orders_per_request
        self._requests: Requests | Calls = (
            Requests(host, job.keys, size, job.first_order, job.sites)
            if job.call is None
            else Calls(host, job.call, job.first_order)
        )
        self._connections: list[Connection] = []
        self._idle: deque[Connection] = deque()
        self._held_up: deque[float] = deque()
        self._begun = 0
        self._until = 0.0
        self._all_begun = False
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> Load:
        """Do the job."""
        loop = asyncio.get_running_loop()
        for number in range(self._job.connections):
            _, connection = await loop.create_connection(
                partial(Connection, self, number), "127.0.0.1", self._job.port
            )
            self._connections.append(connection)
        cpu, start = time.process_time(), time.monotonic()
        self._until = start + self._job.seconds
        if self._job.rate:
            self._idle.extend(self._connections)
            await self._begin_steadily(start)
        else:
            for connection in self._connections:
                self._next(connection)
        async with asyncio.timeout(self._job.seconds + _PATIENCE_SECONDS):
            await self._done
        self.load.seconds = time.monotonic() - start
        self.load.cpu_seconds = time.process_time() - cpu
        for connection in self._connections:
            connection.close()
        return self.load

    def answered(self, connection: Connection, status: bytes, body: bytes) -> None:
        """Count an answer, then go on."""
        load = self.load
        load.answers += 1
        if not status.startswith(b"2"):
            load.statuses[status.decode()] = load.statuses.get(status.decode(), 0) + 1
        elif body.startswith(_CREATED):
            load.created += int(body[len(_CREATED) : body.index(b",")])
        if not self._job.rate:
            self._next(connection)
            return
        at = body.find(_PACKAGE) + len(_PACKAGE)
        known_by = connection.order or body[at : at + _ID_LENGTH].decode()
        load.begun[known_by] = connection.begun_at
        load.answered[known_by] = time.monotonic()
        if self._held_up:
            connection.send(self._requests.make(connection.number), self._held_up.popleft())
        else:
            self._idle.append(connection)
        self._end_if_over()

    def lost(self, error: Exception | None) -> None:
        """Give up: a connection ended that we didn't end."""
        if not self._done.done():
            self._done.set_exception(ConnectionError(f"the server hung up ({error})"))

    def _next(self, connection: Connection) -> None:
        if time.monotonic() < self._until and self._begun < self._job.most_requests:
            self._begun += 1
            connection.send(self._requests.make(connection.number), 0.0)
        else:
            self._all_begun = True
            self._end_if_over()

    async def _begin_steadily(self, start: float) -> None:
        while self._begun < round(self._job.rate * self._job.seconds):
            due = start + self._begun / self._job.rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            now = time.monotonic()
            self.load.late_seconds = max(self.load.late_seconds, now - due)
            self._begun += 1
            if self._idle:
                connection = self._idle.popleft()
                connection.send(self._requests.make(connection.number), now)
            else:
                self._held_up.append(now)
        self._all_begun = True
        self._end_if_over()

    def _end_if_over(self) -> None:
        over = self._all_begun and self.load.answers == self._begun
        if over and not self._done.done():
            self._done.set_result(None)


def _is_whole(head: bytes, body: bytes) -> bool:
    lowered = head.lower()
    at = lowered.find(_LENGTH)
    if at < 0:  # in chunks, as some peers answer
        return body.endswith(_LAST_CHUNK) or b"transfer-encoding" not in lowered
    return len(body) >= int(lowered[at + len(_LENGTH) :].partition(b"\r\n")[0])


async def _work() -> Load:
    return await Pressure(Job(**json.loads(sys.stdin.readline()))).run()


if __name__ == "__main__":
    print(json.dumps(asdict(run(_work()))))
