"""The client that plugins call other servers with: a checked address, one deadline.

The name is looked up and judged (:mod:`gateway.outbound.ssrf_guard`), and the address that
passed is the one that is dialled (:mod:`gateway.outbound.pinned`).
"""

from collections.abc import Sequence
from types import TracebackType
from typing import Final, NamedTuple, Self

from gateway.clock import Clock
from gateway.errors import InvalidInput, Unavailable
from gateway.outbound.messages import USER_AGENT, OutboundRequest, OutboundResponse
from gateway.outbound.pinned import IPAddress, PinnedClient, Target
from gateway.outbound.ssrf_guard import AddressGuard, Resolver, SystemResolver, check_url, resolve

# How long checked addresses may be dialled before the name is looked up and checked again.
_ADDRESSES_KEPT_SECONDS: Final = 5.0
_MOST_KEPT: Final = 1024


class _Admitted(NamedTuple):
    target: Target
    addresses: Sequence[IPAddress]
    until: float


class OutboundClient:
    """Sends requests to servers that are not ours, and keeps connections for the next one.

    Make one for each plugin; hand it to the hook ``lifespan``, or close it yourself.
    ``extra_root_pem`` holds certificates of authorities to trust beside the machine's own.
    """

    def __init__(
        self,
        clock: Clock,
        guard: AddressGuard,
        resolver: Resolver | None = None,
        extra_root_pem: bytes | None = None,
    ) -> None:
        self._clock = clock
        self._guard = guard
        self._resolver = resolver or SystemResolver()
        self._pinned = PinnedClient(clock, USER_AGENT, extra_root_pem)
        self._admitted: dict[str, _Admitted] = {}

    async def send(self, request: OutboundRequest) -> OutboundResponse:
        """Send ``request`` once; whatever goes wrong is an answer with an ``error``.

        A redirect is an answer like any other and is not followed. A URL that may not be
        called is ``refused_address``.
        """
        began = self._clock.monotonic_seconds()
        try:
            admitted = await self._admit(request.url, request.timeout_seconds)
        except InvalidInput:
            return OutboundResponse(error="refused_address", duration_ms=self._ms_since(began))
        except Unavailable:
            return OutboundResponse(error="dns", duration_ms=self._ms_since(began))
        # A host with several addresses is tried at the next one next time.
        address = admitted.addresses[(request.attempt - 1) % len(admitted.addresses)]
        left = request.timeout_seconds - (self._clock.monotonic_seconds() - began)
        return await self._pinned.send(admitted.target, address, request, left)

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
        known = self._admitted.get(url)
        if known is not None and now < known.until:
            return known
        target = check_url(url, self._guard)
        addresses = await resolve(target, self._guard, self._resolver, timeout_seconds)
        if len(self._admitted) >= _MOST_KEPT:
            self._admitted.clear()
        admitted = _Admitted(target, addresses, now + _ADDRESSES_KEPT_SECONDS)
        self._admitted[url] = admitted
        return admitted

    def _ms_since(self, began: float) -> int:
        return int((self._clock.monotonic_seconds() - began) * 1000)
