"""The client that plugins call foreign servers with: checked addresses, one deadline.

The name is looked up and judged (:mod:`gateway.outbound.ssrf_guard`), and only addresses that
passed are dialled (:mod:`gateway.outbound.pinned`).
"""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Protocol, Self

from gateway.clock import Clock
from gateway.errors import InvalidInput, Unavailable
from gateway.outbound.messages import USER_AGENT, OutboundRequest, OutboundResponse
from gateway.outbound.pinned import IPAddress, PinnedClient, Proxy, Target, read_proxy
from gateway.outbound.ssrf_guard import AddressGuard, Resolver, SystemResolver, check_url, resolve
from gateway.outbound.tls import read_ca_file

# How long checked addresses are used before the name is looked up and checked again.
_ADDRESSES_KEPT_SECONDS: Final = 5.0
_MAX_ADDRESSES_KEPT: Final = 1024


class EgressSettings(Protocol):
    """What ``[delivery]`` says of outgoing calls."""

    @property
    def allow_http(self) -> bool:
        """Whether plain http may be called."""
        ...

    @property
    def allow_networks(self) -> Sequence[str]:
        """Networks that may be called although they are not public."""
        ...

    @property
    def proxy(self) -> str | None:
        """The URL of an HTTP proxy that all calls go through."""
        ...

    @property
    def ca_file(self) -> Path | None:
        """A PEM file of further certificate authorities."""
        ...


class _Admitted(NamedTuple):
    target: Target
    addresses: Sequence[IPAddress]
    until: float


class OutboundClient:
    """Sends requests to foreign servers, and keeps connections for the next one.

    Make one per plugin with :meth:`of`; return it from the hook ``lifespan``, or close it
    yourself. ``extra_root_pem`` holds certificates of authorities to trust beside the machine's
    own.
    """

    def __init__(
        self,
        clock: Clock,
        guard: AddressGuard,
        resolver: Resolver | None = None,
        extra_root_pem: bytes | None = None,
        proxy: Proxy | None = None,
    ) -> None:
        self._clock = clock
        self._guard = guard
        self._resolver = resolver or SystemResolver()
        self._pinned = PinnedClient(clock, USER_AGENT, extra_root_pem, proxy=proxy)
        self._admitted: dict[str, _Admitted] = {}

    @classmethod
    def of(cls, delivery: EgressSettings, clock: Clock, resolver: Resolver | None = None) -> Self:
        """Make a client that follows ``[delivery]``: allowed networks, proxy and ca_file.

        Raises ``InvalidInput`` for a setting that can't be used.
        """
        guard = AddressGuard.of(delivery.allow_http, delivery.allow_networks)
        return cls(clock, guard, resolver, read_ca_file(delivery.ca_file), proxy_of(delivery))

    async def send(self, request: OutboundRequest) -> OutboundResponse:
        """Send ``request``; a failure is a response with an ``error``.

        A redirect is a response like any other and is not followed. A URL that may not be
        called is ``refused_address``.
        """
        began = self._clock.monotonic_seconds()
        try:
            admitted = await self._admit(request.url, request.timeout_seconds)
        except InvalidInput:
            return OutboundResponse(error="refused_address", duration_ms=self._ms_since(began))
        except Unavailable:
            return OutboundResponse(error="dns", duration_ms=self._ms_since(began))
        left = request.timeout_seconds - (self._clock.monotonic_seconds() - began)
        return await self._pinned.send(admitted.target, admitted.addresses, request, left)

    async def close(self) -> None:
        """Close all connections; a request that is still waiting is answered with ``stopped``."""
        await self._pinned.close()

    async def __aenter__(self) -> Self:
        """Do nothing: connections are made when they are needed."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close all connections."""
        await self.close()

    async def _admit(self, url: str, timeout_seconds: float) -> _Admitted:
        now = self._clock.monotonic_seconds()
        kept = self._admitted.get(url)
        if kept is not None and now < kept.until:
            return kept
        target = check_url(url, self._guard)
        addresses = await resolve(target, self._guard, self._resolver, timeout_seconds)
        if len(self._admitted) >= _MAX_ADDRESSES_KEPT:
            self._admitted.clear()
        admitted = _Admitted(target, addresses, now + _ADDRESSES_KEPT_SECONDS)
        self._admitted[url] = admitted
        return admitted

    def _ms_since(self, began: float) -> int:
        return int((self._clock.monotonic_seconds() - began) * 1000)


def proxy_of(delivery: EgressSettings) -> Proxy | None:
    """Read ``[delivery] proxy``; raises ``InvalidInput`` when it is no usable proxy URL."""
    if delivery.proxy is None:
        return None
    proxy = read_proxy(delivery.proxy)
    if proxy is None:
        raise InvalidInput(
            "[delivery] proxy can't be used: write it as http://proxy.example:3128, or "
            "http://user:password@proxy.example:3128."
        )
    return proxy
