"""The receiver zoo: servers as public reports describe them, each in a few lines.

A receiver is an async context manager that yields a :class:`Place`. To add one, write what it
does with a connection (or take one of ``hostile``'s answers), and give it a row in
``test_situations.py``.

Nothing here knows pytest.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from threading import Thread
from typing import Any

import hostile

GOOD = "127.0.0.1"
REFUSING = "127.0.0.2"
HANGING = "127.0.0.3"
HOST = "receiver.invalid"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass(slots=True)
class Place:
    """Where a receiver is: what its name resolves to, and what arrived there."""

    port: int
    bodies: list[bytes] = field(default_factory=list)
    heads: list[bytes] = field(default_factory=list)
    addresses: tuple[str, ...] = (GOOD,)
    scheme: str = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{HOST}:{self.port}/in"

    async def resolve(self, host: str) -> list[str]:
        """Look the receiver's name up: a resolver for the client."""
        assert host == HOST
        return list(self.addresses)


Converse = Callable[[Callable[[], Awaitable[bytes]], asyncio.StreamWriter], Awaitable[Any]]


@contextlib.asynccontextmanager
async def receiver(
    converse: Converse, *, tls: ssl.SSLContext | None = None, **place: Any
) -> AsyncIterator[Place]:
    """Serve each connection with ``converse(read, writer)``; ``read()`` returns the next body."""
    seen = Place(0, scheme="http" if tls is None else "https", **place)
    running: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        running.add(asyncio.current_task())

        async def read() -> bytes:
            head = await reader.readuntil(b"\r\n\r\n")
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            body = await reader.readexactly(int(length or 0))
            seen.heads.append(head)
            seen.bodies.append(body)
            return body

        try:
            with contextlib.suppress(OSError, EOFError):
                await converse(read, writer)
        except asyncio.CancelledError:
            writer.transport.abort()
            raise
        writer.close()

    listener = await asyncio.start_server(serve, GOOD, 0, ssl=tls, backlog=512)
    seen.port = listener.sockets[0].getsockname()[1]
    try:
        yield seen
    finally:
        listener.close()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def saying(data: bytes) -> Converse:
    """Answer each request with these bytes, and keep the connection open."""

    async def converse(read: Any, writer: asyncio.StreamWriter) -> None:
        while await read() is not None:
            writer.write(data)

    return converse


def saying_once(data: bytes, *, after_seconds: float = 0.0) -> Converse:
    """Answer one request with these bytes, then close without having announced it."""

    async def converse(read: Any, writer: asyncio.StreamWriter) -> None:
        await read()
        writer.write(data)
        await writer.drain()
        await asyncio.sleep(after_seconds)

    return converse


def well() -> contextlib.AbstractAsyncContextManager[Place]:
    return receiver(saying(OK))


def closes_after_each_answer(
    after_seconds: float = 0.02,
) -> contextlib.AbstractAsyncContextManager[Place]:
    """Close the connection a moment after the answer, without ``Connection: close``."""
    return receiver(saying_once(OK, after_seconds=after_seconds))


def one_address_refuses() -> contextlib.AbstractAsyncContextManager[Place]:
    return receiver(saying(OK), addresses=(REFUSING, GOOD))


@contextlib.asynccontextmanager
async def one_address_hangs() -> AsyncIterator[Place]:
    """Have one address whose connections never stand: its backlog is full."""
    async with receiver(saying(OK), addresses=(HANGING, GOOD)) as place:
        with socket.socket() as deaf, contextlib.ExitStack() as held:
            deaf.bind((HANGING, place.port))
            deaf.listen(0)
            for _ in range(3):
                filler = held.enter_context(socket.socket())
                filler.setblocking(False)  # noqa: FBT003 - the socket API
                filler.connect_ex((HANGING, place.port))
            yield place


@contextlib.asynccontextmanager
async def nothing_listens() -> AsyncIterator[Place]:
    with socket.create_server((GOOD, 0)) as closing:
        port = closing.getsockname()[1]
    yield Place(port)


@contextlib.asynccontextmanager
async def speaks_tls(context: ssl.SSLContext) -> AsyncIterator[Place]:
    """Serve with OpenSSL in threads: unlike asyncio's, such a server sends its alerts."""
    with socket.create_server((GOOD, 0)) as listener:
        place = Place(listener.getsockname()[1], scheme="https")
        Thread(target=_accept_tls, args=(listener, context, place), daemon=True).start()
        yield place
        listener.shutdown(socket.SHUT_RDWR)


def _accept_tls(listener: socket.socket, context: ssl.SSLContext, place: Place) -> None:
    with contextlib.suppress(OSError):
        while True:
            connection, _ = listener.accept()
            Thread(target=_serve_tls, args=(connection, context, place), daemon=True).start()


def _serve_tls(connection: socket.socket, context: ssl.SSLContext, place: Place) -> None:
    connection.settimeout(30)
    with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as tls:
        while head := tls.recv(65536):
            place.bodies.append(head.partition(b"\r\n\r\n")[2])
            tls.sendall(OK)


def speaks_no_tls() -> contextlib.AbstractAsyncContextManager[Place]:
    """Answer a TLS greeting in plain HTTP."""

    @contextlib.asynccontextmanager
    async def serve() -> AsyncIterator[Place]:
        async def converse(_: Any, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            await asyncio.sleep(1)

        async with receiver(converse) as place:
            place.scheme = "https"
            yield place

    return serve()


def wants_a_client_certificate(authority: hostile.Authority) -> ssl.SSLContext:
    context = authority.serve_as(HOST)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=authority.pem.decode("ascii"))
    return context


def speaks_old_tls(authority: hostile.Authority) -> ssl.SSLContext:
    context = authority.serve_as(HOST)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context
