"""The HTTP client: one pinned address, one deadline, a few KB of the response.

The only module that knows pyreqwest (https://github.com/MarkusSintonen/pyreqwest),
which wraps the Rust crates reqwest, hyper and url. The server at the other end is
assumed hostile:

* The address dialled is the one that was checked: each client is pinned to it,
  looks nothing up and uses no proxy. TLS still checks the certificate against
  the host name of the URL.
* Redirects are answers like any other. Nothing is decompressed, no cookie is kept.
* One deadline spans everything from connecting to the last byte that is read.
* At most 16 KB more of an answer's body are taken in than are asked for before
  the connection is dropped. hyper ends an answer whose head has more than about
  400 KB or 100 fields.

Clients are made on first use: a runtime that was started before a fork is dead
in the child.

The runtime's thread lets go of a request's Python objects a moment after the answer
is there. Where Python has begun to end by then the process is aborted, up to 3.13
(https://github.com/python/cpython/issues/87135), so its end is put off a little.
"""

import atexit
import time
from collections import OrderedDict
from datetime import timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, TypeAlias

import msgspec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificates
from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import (
    BuilderError,
    ClientClosedError,
    ConnectError,
    DetailedPyreqwestError,
    NetworkError,
    PyreqwestError,
    RequestTimeoutError,
)
from pyreqwest.http import Url
from pyreqwest.request import StreamRequest
from pyreqwest.response import Response

from gateway.clock import Clock
from gateway.errors import InvalidInput
from gateway.outbound.messages import Failure, OutboundRequest, OutboundResponse

_READ_BYTES: Final = 16 * 1024

# Node closes an idle connection after 5 s (https://nodejs.org/api/http.html#serverkeepalivetimeout);
# a request that crosses that close would fail for nothing, so we let go first.
_IDLE_SECONDS: Final = 4.0
_IDLE_PER_CLIENT: Final = 64

_LETS_GO_SECONDS: Final = 0.1

IPAddress: TypeAlias = IPv4Address | IPv6Address


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Where a URL leads, read as the client reads it.

    ``host`` is lower case and without brackets; ``address`` is set when the URL
    names an address and no name, and nothing else can be dialled then.
    """

    url: str
    scheme: str
    host: str
    port: int
    address: IPAddress | None = None


def read_url(url: str) -> Target | None:
    """Read ``url`` with the client's own parser (WHATWG rules); None when it can't be dialled."""
    try:
        seen = Url(url)
    except ValueError:
        return None
    if not seen.host_str or seen.port_or_known_default is None:
        return None
    host = seen.host_str.removeprefix("[").removesuffix("]")
    return Target(
        url=url,
        scheme=seen.scheme,
        host=host,
        port=seen.port_or_known_default,
        address=None if seen.domain else ip_address(host),
    )


class PinnedClient:
    """Keeps connections alive, each to the one address it was opened for.

    ``extra_root_pem`` holds certificates of authorities to trust beside the
    machine's own; InvalidInput if there is none in it. At most ``max_clients``
    pairs of host and address keep idle connections; the least recently used one
    gives them up first, and what it has in flight ends in peace.
    """

    def __init__(
        self,
        clock: Clock,
        user_agent: str,
        extra_root_pem: bytes | None = None,
        max_clients: int = 256,
    ) -> None:
        self._clock = clock
        self._user_agent = user_agent
        self._extra_roots = _read_roots(extra_root_pem)
        self._max_clients = max_clients
        self._clients: OrderedDict[tuple[str, int, IPAddress], Client] = OrderedDict()

    async def send(
        self,
        target: Target,
        address: IPAddress,
        request: OutboundRequest,
        timeout_seconds: float,
    ) -> OutboundResponse:
        """Send to ``address`` for ``target``; whatever the other side does is an answer.

        ``target`` is where the request's URL leads, ``timeout_seconds`` what is left of its
        deadline. Cancelling stops the wait at once, but not the request: pyreqwest 0.15 lets
        it run in its own thread, at the longest until the deadline.
        """
        started = self._clock.monotonic_seconds()
        error: Failure
        if target.address is not None and target.address != address:
            error = "refused_address"  # the client would dial what the URL names
        elif timeout_seconds <= 0:
            error = "timeout"
        else:
            try:
                async with self._built(target, address, request, timeout_seconds) as response:
                    body, cut = await _start_of(response, request.keep_bytes)
                    return OutboundResponse(
                        status=response.status,
                        body=body,
                        cut=cut,
                        retry_after=_retry_after(response),
                        duration_ms=self._ms_since(started),
                    )
            except PyreqwestError as failure:
                error = _classify(failure)
            except ValueError:
                error = "bad_request"
        return OutboundResponse(error=error, duration_ms=self._ms_since(started))

    def _built(
        self, target: Target, address: IPAddress, request: OutboundRequest, timeout_seconds: float
    ) -> StreamRequest:
        return (
            self._client_for(target, address)
            .request(request.method, target.url)
            .headers(request.headers)
            .body_bytes(request.body)
            .timeout(timedelta(seconds=timeout_seconds))
            .streamed_read_buffer_limit(_READ_BYTES)
            .build_streamed()
        )

    async def close(self) -> None:
        """Close all connections; a request that is still waiting is answered with ``stopped``."""
        while self._clients:
            _, client = self._clients.popitem()
            await client.close()

    def _client_for(self, target: Target, address: IPAddress) -> Client:
        key = (target.host, target.port, address)
        client = self._clients.get(key)
        if client is None:
            client = self._clients[key] = self._build(target, address)
            if len(self._clients) > self._max_clients:
                # Letting go of it, rather than closing it, spares what it has in flight.
                self._clients.popitem(last=False)
        else:
            self._clients.move_to_end(key)
        return client

    def _build(self, target: Target, address: IPAddress) -> Client:
        builder = (
            ClientBuilder()
            .resolve(target.host, str(address), target.port)
            .user_agent(self._user_agent)
            .no_proxy()
            .follow_redirects(enable=False)
            .default_cookie_store(enable=False)
            .gzip(enable=False)
            .brotli(enable=False)
            .zstd(enable=False)
            .deflate(enable=False)
            .http1_only()
            .pool_idle_timeout(timedelta(seconds=_IDLE_SECONDS))
            .pool_max_idle_per_host(_IDLE_PER_CLIENT)
        )
        for root in self._extra_roots:
            builder = builder.add_root_certificate_der(root)
        atexit.unregister(_let_it_rest)
        atexit.register(_let_it_rest)  # once, whatever the number of clients
        return builder.build()

    def _ms_since(self, started: float) -> int:
        return round((self._clock.monotonic_seconds() - started) * 1000)


def _let_it_rest() -> None:
    """Give the runtime's thread the time to let go of what was Python's."""
    time.sleep(_LETS_GO_SECONDS)


def _read_roots(pem: bytes | None) -> tuple[bytes, ...]:
    """Return the certificates in ``pem`` as DER."""
    if pem is None:
        return ()
    try:
        return tuple(
            certificate.public_bytes(Encoding.DER)
            for certificate in load_pem_x509_certificates(pem)
        )
    except ValueError:
        sentence = "The extra root certificates can't be read; give one or more in PEM form."
        raise InvalidInput(sentence) from None


async def _start_of(response: Response, keep_bytes: int) -> tuple[bytes, bool]:
    """Read at most ``keep_bytes`` of the body, and say whether there may be more."""
    pieces: list[bytes] = []
    missing = keep_bytes
    while missing > 0:
        piece = await response.body_reader.read(missing)
        if piece is None:
            return b"".join(pieces), False
        pieces.append(piece.to_bytes())
        missing -= len(piece)
    return b"".join(pieces), True


def _retry_after(response: Response) -> str | None:
    try:
        return response.get_header("retry-after")
    except (PyreqwestError, ValueError):  # bytes that are no ASCII text
        return None


def _classify(failure: PyreqwestError) -> Failure:
    """Classify an error; reqwest distinguishes some cases only by the text of their causes."""
    if isinstance(failure, RequestTimeoutError):
        return "timeout"
    if isinstance(failure, ClientClosedError):
        return "stopped"
    if isinstance(failure, BuilderError):
        return "tls"  # all that can fail here is loading the machine's trusted certificates
    causes = failure.details["causes"] if isinstance(failure, DetailedPyreqwestError) else None
    words = [cause["message"] for cause in causes or ()]
    if isinstance(failure, ConnectError) and "client error (Connect)" in words:
        return "connect" if "tcp connect error" in words else "tls"
    if isinstance(failure, NetworkError) or "end of file before message length reached" in words:
        return "closed_early"
    return "bad_answer"
