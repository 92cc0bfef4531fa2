"""Servers that misbehave, on 127.0.0.1, and certificates for them.

``async with serving(dripping_body()) as server:`` answers each request on
``server.port`` in that way until the block ends. What the server saw is counted
in ``server.connections``, ``server.requests`` and so on.
"""

import asyncio
import contextlib
import gzip
import ipaddress
import itertools
import ssl
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from waiting import PATIENCE_SECONDS

PIECE = b"a" * 8192
OK_HEAD = b"HTTP/1.1 200 OK\r\n"


@dataclass(frozen=True, slots=True)
class Request:
    """What a client sent: first line, headers by lower-case name (repeated ones joined), body."""

    line: str
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class Server:
    """What a server saw so far. ``gone`` counts connections that the client ended."""

    port: int = 0
    connections: int = 0
    gone: int = 0
    sent_bytes: int = 0
    requests: list[Request] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def until(
        self, condition: Callable[["Server"], bool], seconds: float = PATIENCE_SECONDS
    ) -> None:
        """Wait until what was seen fulfils ``condition``; TimeoutError after ``seconds``."""
        async with asyncio.timeout(seconds):
            while not condition(self):
                self.changed.clear()
                await self.changed.wait()


class HangUp(Exception):
    """An answer ends with its connection: politely, or with a reset."""

    def __init__(self, *, reset: bool = False) -> None:
        super().__init__()
        self.reset = reset


Send = Callable[[bytes], Awaitable[None]]
Answer = Callable[[Send, Request], Awaitable[None]]


@contextlib.asynccontextmanager
async def serving(
    answer: Answer, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[Server]:
    """Answer every request with ``answer``, keeping connections alive between them."""
    server = Server()
    running: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        server.changed.set()
        task = asyncio.ensure_future(_converse(server, answer, reader, writer, tls))
        running.add(task)
        task.add_done_callback(running.discard)

    listener = await asyncio.start_server(accept, host, port)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _converse(
    server: Server,
    answer: Answer,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    tls: ssl.SSLContext | None,
) -> None:
    async def send(data: bytes) -> None:
        writer.write(data)
        await writer.drain()
        server.sent_bytes += len(data)

    try:
        if tls is not None:
            await writer.start_tls(tls)
        while True:
            request = await _read_request(reader)
            server.requests.append(request)
            server.changed.set()
            await answer(send, request)
    except HangUp as ending:
        if ending.reset:
            writer.transport.abort()
    except (asyncio.IncompleteReadError, OSError):
        server.gone += 1
        server.changed.set()
    except asyncio.CancelledError:
        writer.transport.abort()  # nobody reads what may still be buffered
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _read_request(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    line, *rows = head.strip().split("\r\n")
    headers: dict[str, str] = {}
    for name, value in (row.split(":", 1) for row in rows):
        known = headers.get(name.lower())
        headers[name.lower()] = value.strip() if known is None else f"{known}, {value.strip()}"
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(line, headers, body)


def answering(status: str = "200 OK", body: bytes = b"", headers: bytes = b"") -> Answer:
    """Answer properly; ``headers`` are whole lines, each with its line break."""

    async def answer(send: Send, _: Request) -> None:
        length = b"Content-Length: %d\r\n\r\n" % len(body)
        await send(b"HTTP/1.1 " + status.encode("latin-1") + b"\r\n" + headers + length + body)

    return answer


def gzip_bomb(unpacked_bytes: int) -> Answer:
    """Answer with zeros, packed to a thousandth of their size."""
    return answering(
        body=gzip.compress(bytes(unpacked_bytes)), headers=b"Content-Encoding: gzip\r\n"
    )


def saying(data: bytes, *, reset: bool = False) -> Answer:
    """Send ``data`` as it is, then hang up."""

    async def answer(send: Send, _: Request) -> None:
        await send(data)
        raise HangUp(reset=reset)

    return answer


def big_body(body_bytes: int) -> Answer:
    """Announce and send a body of ``body_bytes``."""

    async def answer(send: Send, _: Request) -> None:
        await send(OK_HEAD + b"Content-Length: %d\r\n\r\n" % body_bytes)
        for _ in range(body_bytes // len(PIECE)):
            await send(PIECE)
        await send(PIECE[: body_bytes % len(PIECE)])

    return answer


def endlessly(head: bytes, piece: bytes) -> Answer:
    """Send ``head``, then ``piece`` again and again as fast as the client takes it."""

    async def answer(send: Send, _: Request) -> None:
        await send(head)
        while True:
            await send(piece)

    return answer


def endless_fields() -> Answer:
    """Begin an answer whose head is one header after the other, without end."""

    async def answer(send: Send, _: Request) -> None:
        await send(OK_HEAD)
        for number in itertools.count():
            await send(b"X-%d: %b\r\n" % (number, PIECE))

    return answer


def dripping(head: bytes, drop: bytes) -> Answer:
    """Send ``head``, then ``drop`` every 20 ms: always alive, never done."""

    async def answer(send: Send, _: Request) -> None:
        await send(head)
        while True:
            await send(drop)
            await asyncio.sleep(0.02)

    return answer


def silent() -> Answer:
    """Take the request and never answer it."""

    async def answer(_send: Send, _: Request) -> None:
        await asyncio.Event().wait()

    return answer


class Authority:
    """A certificate authority of our own; ``pem`` is what a client has to trust."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Hostile Test CA")])
        certificate = (
            self._begin(self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )
        self.pem = certificate.public_bytes(serialization.Encoding.PEM)

    def serve_as(self, *names: str, days_left: int = 1) -> ssl.SSLContext:
        """Make a server's context with a certificate for these host names and addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Hostile Test Server")])
        certificate = (
            self._begin(subject, key.public_key(), days_left)
            .add_extension(x509.SubjectAlternativeName([_san(n) for n in names]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )
        return _serving(certificate, key)

    def serve_as_itself(self, *names: str) -> ssl.SSLContext:
        """Make a server's context with a certificate that vouches for itself."""
        certificate = (
            self._begin(self._name, self._key.public_key())
            .add_extension(x509.SubjectAlternativeName([_san(n) for n in names]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return _serving(certificate, self._key)

    def _begin(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, days_left: int = 1
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=2))
            .not_valid_after(now + timedelta(days=days_left))
        )


def _serving(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:  # ssl reads keys from files only
        path = Path(folder) / "server.pem"
        path.write_bytes(
            certificate.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        context.load_cert_chain(path)
    return context


def _san(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
