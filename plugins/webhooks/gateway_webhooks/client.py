"""POST to somebody else's server: one address, one deadline, a few KB of the answer.

The only module that knows pyreqwest (https://github.com/MarkusSintonen/pyreqwest),
which wraps the Rust crates reqwest, hyper and url. The server at the other end is
taken for hostile:

* The address dialled is the one that was checked: each client is pinned to it,
  looks nothing up and uses no proxy. TLS still checks the certificate against
  the host name of the URL.
* Redirects are answers like any other. Nothing is decompressed, no cookie is kept.
* One deadline spans everything from connecting to the last byte that is read.
* At most 16 KB of an answer's body are taken in before the connection is
  dropped, and 2 KB kept. hyper ends an answer whose head has more than about
  400 KB or 100 fields.

Clients are made on first use: a runtime that was started before a fork is dead
in the child.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, Literal, TypeAlias

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
from pyreqwest.response import Response

from gateway.plugin import Clock, InvalidInput

EXCERPT_BYTES: Final = 2048
"""How much of an answer is kept."""

_READ_BYTES: Final = 16 * 1024

# Node closes an idle connection after 5 s (https://nodejs.org/api/http.html#serverkeepalivetimeout);
# a POST that crosses that close would fail for nothing, so we let go first.
_IDLE_SECONDS: Final = 4.0
_IDLE_PER_CLIENT: Final = 64

IPAddress: TypeAlias = IPv4Address | IPv6Address

Failure = Literal[
    "timeout",  # the deadline passed, whatever was going on
    "connect",  # nobody took the connection
    "dns",  # the host name has no address, or nobody could say (for the caller to report)
    "tls",  # the certificate or the handshake is no good, or this machine trusts no authority
    "closed_early",  # the connection ended before the answer did
    "bad_answer",  # what came back is no HTTP, or its head is far too large
    "bad_request",  # a header of ours can't be sent
    "refused_address",  # not an address that may be dialled for this URL
    "stopped",  # this client was closed meanwhile
]
"""Why there is no answer; these words stand in the delivery log."""


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


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """How a POST ended: either ``status`` is set, or ``error`` says why there is none.

    ``excerpt`` is the start of the answer's body as it came over the wire, at most
    2 KB; ``retry_after`` that header's text, unread.
    """

    duration_ms: int
    status: int | None = None
    error: Failure | None = None
    excerpt: bytes = b""
    retry_after: str | None = None


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

    async def post(
        self,
        target: Target,
        address: IPAddress,
        headers: Sequence[tuple[str, str]] | Mapping[str, str],
        body: bytes,
        timeout_seconds: float,
    ) -> Reply:
        """POST ``body`` to ``address`` for ``target``; whatever the other side does is a Reply.

        Cancelling stops the wait at once, but not the request: pyreqwest 0.15 lets
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
                request = (
                    self._client_for(target, address)
                    .post(target.url)
                    .headers(headers)
                    .body_bytes(body)
                    .timeout(timedelta(seconds=timeout_seconds))
                    .streamed_read_buffer_limit(_READ_BYTES)
                    .build_streamed()
                )
                async with request as response:
                    excerpt = await response.body_reader.read(EXCERPT_BYTES)
                    return Reply(
                        status=response.status,
                        excerpt=b"" if excerpt is None else excerpt.to_bytes(),
                        retry_after=_retry_after(response),
                        duration_ms=self._ms_since(started),
                    )
            except PyreqwestError as failure:
                error = _classify(failure)
            except ValueError:
                error = "bad_request"
        return Reply(error=error, duration_ms=self._ms_since(started))

    async def close(self) -> None:
        """Close all connections; a POST that is still waiting is answered with ``stopped``."""
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
        return builder.build()

    def _ms_since(self, started: float) -> int:
        return round((self._clock.monotonic_seconds() - started) * 1000)


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


def _retry_after(response: Response) -> str | None:
    try:
        return response.get_header("retry-after")
    except (PyreqwestError, ValueError):  # bytes that are no ASCII text
        return None


def _classify(failure: PyreqwestError) -> Failure:
    """Name what went wrong; reqwest tells some cases apart only by the words of their causes."""
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
