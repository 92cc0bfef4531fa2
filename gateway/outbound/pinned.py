"""Call another server: checked addresses, one deadline, a few KB of the response.

* Only the given addresses are dialled: this module makes no look-up, and uses no proxy of the
  environment. TLS checks the certificate against the host name of the URL.
* Of several addresses the next one is dialled 250 ms after the one before, or at once when
  that failed; the first established connection is used (RFC 8305) and its address remembered. No
  bytes were sent on the others, so no request is sent twice.
* When the server has closed an idle connection, the next request on it gets no byte back: if it is
  repeatable, it is sent once more on a new connection.
* Redirects are responses like any other. Bodies aren't decompressed, cookies aren't kept.
* One deadline spans everything from connecting to the last byte that is read.

Why not a library: docs/decisions/0029-our-own-outgoing-http.md.
"""

import asyncio
import base64
import re
import socket
import ssl
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, Final, NamedTuple, TypeAlias, cast

import msgspec

from gateway.clock import Clock
from gateway.errors import CallFailed, InvalidInput
from gateway.outbound.connection import Answer, HttpConnection
from gateway.outbound.deadlines import Deadlines
from gateway.outbound.failures import Failure, connect_failure, tls_failure
from gateway.outbound.messages import OutboundRequest, OutboundResponse
from gateway.outbound.tls import client_context, read_authorities

IPAddress: TypeAlias = IPv4Address | IPv6Address

# Node closes an idle connection after 5 s
# (https://nodejs.org/api/http.html#serverkeepalivetimeout); a request that crosses that close would
# have to be sent again, so the gateway closes its connections earlier.
_IDLE_SECONDS: Final = 4.0
_MAX_IDLE_PER_HOST: Final = 64
_NEXT_ADDRESS_SECONDS: Final = 0.25  # RFC 8305, section 5: Connection Attempt Delay
_MAX_REMEMBERED: Final = 1024
_MAX_PROXY_HEAD_BYTES: Final = 16 * 1024

_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUES: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_REQUEST_TARGET: Final = re.compile(r"/[\x21-\x7e]*")
_PROXY_ANSWER: Final = re.compile(rb"HTTP/1\.[01] +2[0-9]{2}[ \r]")
_IDEMPOTENT: Final = frozenset({"GET", "PUT", "DELETE"})  # RFC 9110, section 9.2.2
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Where a URL leads.

    ``host`` is lower case and without brackets; ``address`` is set when the URL has an address
    instead of a name; then only this one can be dialled.
    """

    url: str
    scheme: str
    host: str
    port: int
    address: IPAddress | None = None


class Proxy(msgspec.Struct, frozen=True):
    """An HTTP proxy: host, port, and the value of Proxy-Authorization if it needs one."""

    host: str
    port: int
    authorization: str | None = None


class _Host(NamedTuple):
    scheme: str
    name: str
    port: int


class _Connection(HttpConnection):
    """A connection with its target."""

    host: _Host
    address: IPAddress


class PinnedClient:
    """Keeps connections alive, each to the address it was opened for.

    ``extra_root_pem`` holds certificates of authorities to trust beside the machine's own;
    InvalidInput if there is none in it. At most ``max_hosts`` hosts keep idle connections; those of
    the least recently used one are closed first.
    """

    def __init__(
        self,
        clock: Clock,
        user_agent: str,
        extra_root_pem: bytes | None = None,
        max_hosts: int = 256,
        proxy: Proxy | None = None,
    ) -> None:
        self._clock = clock
        self._user_agent = user_agent
        self._authorities = read_authorities(extra_root_pem)
        self._max_hosts = max_hosts
        self._proxy = proxy
        self._context: ssl.SSLContext | None = None
        self._idle: OrderedDict[_Host, list[_Connection]] = OrderedDict()
        self._busy: set[_Connection] = set()
        self._opening: set[asyncio.Task[_Connection]] = set()
        self._good_addresses: dict[_Host, IPAddress] = {}
        self._sweeper: asyncio.TimerHandle | None = None
        self._deadlines = Deadlines()

    async def send(
        self,
        target: Target,
        addresses: Sequence[IPAddress],
        request: OutboundRequest,
        timeout_seconds: float,
    ) -> OutboundResponse:
        """Send to one of ``addresses``; every failure is a response, too.

        ``target`` is the target of the request's URL, ``timeout_seconds`` the rest of its deadline.
        Cancelling drops the connection.
        """
        started = self._clock.monotonic_seconds()
        error: Failure
        partial: list[Answer] = []
        if target.address is not None and list(addresses) != [target.address]:
            error = "refused_address"  # a URL with an address names the only one to dial
        elif timeout_seconds <= 0:
            error = "timeout"
        else:
            try:
                data = self._written(target, request)
                this = self._deadlines.begin(timeout_seconds)
                try:
                    answer = await self._exchange(target, addresses, data, request, partial)
                finally:
                    if self._deadlines.finish(this):
                        raise TimeoutError
                return self._response(answer, request, started)
            except TimeoutError:
                if partial:
                    return self._response(partial[0], request, started)
                error = "timeout"
            except CallFailed as failed:
                error = cast("Failure", failed.failure)
            except ValueError:
                error = "bad_request"
        return OutboundResponse(error=error, duration_ms=self._ms_since(started))

    async def close(self) -> None:
        """Close all connections; a request that is still waiting is answered with ``stopped``."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for task in tuple(self._opening):
            task.cancel()
        for connection in tuple(self._busy):
            connection.fail(CallFailed("stopped"))
        for connections in tuple(self._idle.values()):
            for connection in tuple(connections):
                connection.close()
        self._idle.clear()
        self._deadlines.end()
        await asyncio.sleep(0)  # the transports close in the loop's next turn

    # -- one request ----------------------------------------------------------------------

    async def _exchange(
        self,
        target: Target,
        addresses: Sequence[IPAddress],
        data: bytes,
        request: OutboundRequest,
        partial: list[Answer],
    ) -> Answer:
        host = _Host(target.scheme, target.host, target.port)
        idle = self._take_idle(host, addresses)
        if idle is not None:
            try:
                return await self._ask(idle, data, request, partial)
            except CallFailed as failed:
                may_repeat = request.repeatable or request.method in _IDEMPOTENT
                if not (failed.unanswered and may_repeat):
                    raise
        connection = await self._connect(host, self._ordered(host, addresses))
        try:
            answer = await self._ask(connection, data, request, partial)
        except (
            BaseException
        ):  # also cancelled at the deadline: the address didn't answer; raised again
            self._note_failure(host, connection.address, addresses)
            raise
        if len(addresses) > 1:
            self._note_success(host, connection.address)
        return answer

    async def _ask(
        self,
        connection: _Connection,
        data: bytes,
        request: OutboundRequest,
        partial: list[Answer],
    ) -> Answer:
        self._busy.add(connection)
        try:
            return await connection.send(data, request.keep_bytes)
        except asyncio.CancelledError:
            if (so_far := connection.answer_so_far()) is not None:
                partial.append(so_far)
            connection.close()
            raise

    def _written(self, target: Target, request: OutboundRequest) -> bytes:
        """Write a request's bytes; raises ValueError for what can't be sent."""
        given = request.headers.items() if isinstance(request.headers, Mapping) else request.headers
        headers = "".join([f"{name}: {value}\r\n" for name, value in given])
        known = _known(tuple([name for name, _ in given]))
        if known is None or not _are_values(headers.replace("\r\n", "", len(request.headers))):
            raise ValueError("a header that no request may have")
        start = _start(target.url, target.scheme, target.host, target.port)
        if "user-agent" not in known:
            headers = f"{headers}User-Agent: {self._user_agent}\r\n"
        if "accept" not in known:
            headers = f"{headers}Accept: */*\r\n"
        sized = request.body or request.method != "GET"
        length = f"Content-Length: {len(request.body)}\r\n" if sized else ""
        head = f"{request.method} {start}{headers}{length}\r\n"
        return head.encode("latin-1") + request.body

    def _response(
        self, answer: Answer, request: OutboundRequest, started: float
    ) -> OutboundResponse:
        head = answer.head
        kept: dict[str, str] = {}
        for name in request.keep_headers:
            value = _text(head.headers.get(name.lower().encode()))
            if value is not None:
                kept[name.lower()] = value
        return OutboundResponse(
            status=head.status,
            error=answer.fault,
            body=answer.body,
            cut=answer.cut,
            retry_after=_text(head.headers.get(b"retry-after")),
            location=_text(head.headers.get(b"location")),
            headers=kept,
            duration_ms=self._ms_since(started),
        )

    # -- idle connections -----------------------------------------------------------------

    def _take_idle(self, host: _Host, addresses: Sequence[IPAddress]) -> _Connection | None:
        connections = self._idle.get(host)
        if connections is None:
            return None
        self._idle.move_to_end(host)
        oldest = asyncio.get_running_loop().time() - _IDLE_SECONDS
        while connections:
            connection = connections.pop()
            if connection.idle_since > oldest and connection.address in addresses:
                return connection
            connection.close()
        return None

    def _on_idle(self, connection: HttpConnection) -> None:
        assert isinstance(connection, _Connection)  # noqa: S101 - made here
        self._busy.discard(connection)
        loop = asyncio.get_running_loop()
        connections = self._idle.setdefault(connection.host, [])
        if len(connections) >= _MAX_IDLE_PER_HOST:
            connection.close()
            return
        connection.idle_since = loop.time()
        connections.append(connection)
        if len(self._idle) > self._max_hosts:
            _, dropped = self._idle.popitem(last=False)
            for each in tuple(dropped):
                each.close()
        if self._sweeper is None:
            self._sweeper = loop.call_later(_IDLE_SECONDS, self._sweep, loop)

    def _on_closed(self, connection: HttpConnection) -> None:
        assert isinstance(connection, _Connection)  # noqa: S101 - made here
        self._busy.discard(connection)
        connections = self._idle.get(connection.host)
        if connections and connection in connections:
            connections.remove(connection)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """Close connections that have been idle for too long."""
        oldest = loop.time() - _IDLE_SECONDS
        for host, connections in tuple(self._idle.items()):
            for connection in tuple(connections):
                if connection.idle_since <= oldest:
                    connection.close()
            if not connections:
                del self._idle[host]
        pending = bool(self._idle)
        self._sweeper = loop.call_later(_IDLE_SECONDS, self._sweep, loop) if pending else None

    # -- new connections ------------------------------------------------------------------

    def _ordered(self, host: _Host, addresses: Sequence[IPAddress]) -> list[IPAddress]:
        """Return the addresses to dial: the last working one, then the families in turn."""
        ordered = _interleaved(addresses)
        good = self._good_addresses.get(host)
        if good in ordered:
            ordered.remove(good)
            ordered.insert(0, good)
        return ordered

    def _note_success(self, host: _Host, address: IPAddress) -> None:
        if len(self._good_addresses) >= _MAX_REMEMBERED:
            self._good_addresses.clear()
        self._good_addresses[host] = address

    def _note_failure(
        self, host: _Host, address: IPAddress, addresses: Sequence[IPAddress]
    ) -> None:
        """Begin with another address next time: this one didn't answer."""
        others = [each for each in addresses if each != address]
        if others:
            self._note_success(host, others[0])

    async def _connect(self, host: _Host, ordered: Sequence[IPAddress]) -> _Connection:
        """Return the first established connection; raises the clearest failure if none is."""
        if host.scheme == "https" and self._context is None:
            self._context = await asyncio.to_thread(client_context, self._authorities)
            if self._context is None:
                raise CallFailed("tls_no_authorities")
        if len(ordered) == 1:
            return await self._opened(asyncio.create_task(self._open(host, ordered[0])))
        waiting = deque(ordered)
        running: set[asyncio.Task[_Connection]] = set()
        failures: list[BaseException] = []
        try:
            while waiting or running:
                if waiting:
                    task = asyncio.create_task(self._open(host, waiting.popleft()))
                    self._opening.add(task)
                    task.add_done_callback(self._opening.discard)
                    running.add(task)
                done, running = await asyncio.wait(
                    running,
                    timeout=_NEXT_ADDRESS_SECONDS if waiting else None,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                for task in sorted(done, key=_has_failed):
                    if task.cancelled():
                        raise CallFailed("stopped")
                    if (failure := task.exception()) is None:
                        running |= done - {task}
                        return task.result()
                    failures.append(failure)
        finally:
            for task in running:
                task.add_done_callback(_drop)
                task.cancel()
        raise max(failures, key=_informative)

    async def _opened(self, task: "asyncio.Task[_Connection]") -> _Connection:
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)
        try:
            return await task
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if current is not None and current.cancelling():
                task.add_done_callback(_drop)
                task.cancel()
                raise
            raise CallFailed("stopped") from None

    async def _open(self, host: _Host, address: IPAddress) -> _Connection:
        loop = asyncio.get_running_loop()
        through = self._proxy
        sock = await _dialled(
            loop,
            *((str(address), host.port) if through is None else (through.host, through.port)),
            failure="connect" if through is None else "proxy",
        )
        context = self._context if host.scheme == "https" else None
        try:
            if through is not None:
                await _tunnelled(loop, sock, address, host.port, through)
            _, connection = await loop.create_connection(
                lambda: _Connection(self._on_idle, self._on_closed),
                sock=sock,
                ssl=context,
                server_hostname=None if context is None else host.name,
            )
        except OSError as error:
            sock.close()
            raise CallFailed("connect" if context is None else tls_failure(error)) from error
        except BaseException:  # cancelled: no socket is left behind; raised again
            sock.close()
            raise
        connection.host, connection.address = host, address
        return connection

    def _ms_since(self, started: float) -> int:
        return round((self._clock.monotonic_seconds() - started) * 1000)


@lru_cache(maxsize=1024)
def _known(names: tuple[str, ...]) -> frozenset[str] | None:
    """Return the names of headers in lower case; ``None`` if one of them is no name."""
    if all(map(_HEADER_NAME.fullmatch, names)):
        return frozenset(name.lower() for name in names)
    return None


def _are_values(headers: str) -> bool:
    """Return whether headers, without the end of each line, have values that a request may have."""
    # Most have ASCII only, which Python checks faster than a pattern does.
    is_usual = headers.isascii() and headers.isprintable()
    return is_usual or _HEADER_VALUES.fullmatch(headers) is not None


@lru_cache(maxsize=1024)
def _start(url: str, scheme: str, host: str, port: int) -> str:
    """Return the rest of the request line and the Host line; ValueError for an unfit path."""
    path = url.split("://", 1)[-1]
    slash = min((path.find(each) for each in "/?" if each in path), default=len(path))
    path = path[slash:].split("#", 1)[0]
    if not path.startswith("/"):
        path = f"/{path}"
    if not _REQUEST_TARGET.fullmatch(path):
        raise ValueError("a URL with characters that no request may have")
    name = f"[{host}]" if ":" in host else host
    if port != _DEFAULT_PORTS.get(scheme):
        name = f"{name}:{port}"
    return f"{path} HTTP/1.1\r\nHost: {name}\r\n"


def _interleaved(addresses: Sequence[IPAddress]) -> list[IPAddress]:
    """Take the families in turn, beginning with the resolver's first (RFC 8305, section 4)."""
    first = [each for each in addresses if each.version == addresses[0].version]
    second = [each for each in addresses if each.version != addresses[0].version]
    pairs = zip(first, second, strict=False)
    ordered = [address for pair in pairs for address in pair]
    shorter = min(len(first), len(second))
    return [*ordered, *first[shorter:], *second[shorter:]]


async def _dialled(
    loop: asyncio.AbstractEventLoop, host: str, port: int, *, failure: Failure
) -> socket.socket:
    """Open a TCP connection; ``host`` is an address, or the name of the operator's own proxy."""
    try:
        family, place = await _socket_address(loop, host, port)
        sock = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise CallFailed(failure) from error
    sock.setblocking(False)  # noqa: FBT003 - the socket API
    try:
        await loop.sock_connect(sock, place)
    except OSError as error:
        sock.close()
        found = connect_failure(error)
        raise CallFailed(found if failure == "connect" else failure) from error
    except BaseException:  # cancelled: no socket is left behind; raised again
        sock.close()
        raise
    return sock


async def _socket_address(
    loop: asyncio.AbstractEventLoop, host: str, port: int
) -> tuple[socket.AddressFamily, tuple[Any, ...]]:
    try:
        address = ip_address(host)
    except ValueError:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return found[0][0], found[0][4]
    if address.version == 6:  # noqa: PLR2004
        return socket.AF_INET6, (host, port, 0, 0)
    return socket.AF_INET, (host, port)


async def _tunnelled(
    loop: asyncio.AbstractEventLoop,
    sock: socket.socket,
    address: IPAddress,
    port: int,
    proxy: Proxy,
) -> None:
    """Make the proxy connect to the checked address (RFC 9110, section 9.3.6)."""
    place = f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"  # noqa: PLR2004
    lines = [f"CONNECT {place} HTTP/1.1", f"Host: {place}"]
    if proxy.authorization is not None:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    try:
        await loop.sock_sendall(sock, ("\r\n".join(lines) + "\r\n\r\n").encode("ascii"))
        answer = bytearray()
        while b"\r\n\r\n" not in answer and len(answer) < _MAX_PROXY_HEAD_BYTES:
            piece = await loop.sock_recv(sock, 1024)
            if not piece:
                break
            answer += piece
    except OSError as error:
        raise CallFailed("proxy") from error
    if b"\r\n\r\n" not in answer or not _PROXY_ANSWER.match(answer):
        raise CallFailed("proxy")


def read_proxy(url: str) -> Proxy:
    """Read ``http://[user:password@]host:port``; raises ``InvalidInput`` for anything else."""
    match = re.fullmatch(
        r"http://(?:(?P<user>[^/@]+)@)?(?P<host>\[[0-9A-Fa-f:.]+\]|[^/:@\[\]]+):(?P<port>[0-9]{1,5})/?",
        url,
    )
    if match is None or not 0 < int(match["port"]) < 65536:  # noqa: PLR2004
        raise InvalidInput(
            "[delivery] proxy can't be used: write it as http://proxy.example:3128 or "
            "http://user:password@proxy.example:3128."
        )
    authorization = None
    if match["user"]:
        authorization = "Basic " + base64.b64encode(match["user"].encode()).decode("ascii")
    return Proxy(match["host"].strip("[]"), int(match["port"]), authorization)


def _text(value: bytes | None) -> str | None:
    return value.decode("ascii") if value is not None and value.isascii() else None


def _has_failed(task: "asyncio.Task[Any]") -> bool:
    return task.cancelled() or task.exception() is not None


def _informative(failure: BaseException) -> bool:
    """Return whether a failure says more than a refused connection."""
    return not isinstance(failure, CallFailed) or failure.failure not in {"connect", "timeout"}


def _drop(task: "asyncio.Task[_Connection]") -> None:
    """Close a connection that was established after another one was chosen."""
    if not task.cancelled() and task.exception() is None:
        task.result().close()
