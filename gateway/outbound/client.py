"""The client with which plugins call other servers: checked addresses, one deadline.

The name is looked up and checked (:mod:`gateway.outbound.ssrf_guard`), and only addresses that
passed are dialled (:mod:`gateway.outbound.pinned`).
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Protocol, Self

import msgspec

from gateway.clock import Clock
from gateway.errors import InvalidInput, Unavailable
from gateway.outbound.messages import USER_AGENT, OutboundRequest, OutboundResponse
from gateway.outbound.pinned import IPAddress, PinnedClient, Target, read_proxy
from gateway.outbound.ssrf_guard import AddressGuard, Resolver, SystemResolver, check_url, resolve
from gateway.outbound.tls import read_ca_file

# How long checked addresses are used before the name is looked up and checked again.
_ADDRESSES_KEPT_SECONDS: Final = 5.0
_MAX_ADDRESSES_KEPT: Final = 1024
# Failures that reveal nothing about the other server.
_OUR_OWN: Final = frozenset({"stopped", "bad_request"})


class EgressSettings(Protocol):
    """The part of ``[delivery]`` about outgoing requests."""

    @property
    def proxy(self) -> str | None:
        """The URL of an HTTP proxy for all requests."""
        ...

    @property
    def ca_file(self) -> Path | None:
        """A PEM file of certificate authorities to trust in addition to the machine's own."""
        ...


class _Admitted(NamedTuple):
    target: Target
    addresses: Sequence[IPAddress]
    is_trusted: bool
    """Whether an address is in one of ``allow_networks``."""
    until: float


class OutboundClient:
    """Sends requests to other servers, and keeps connections for later ones.

    Make one per plugin; return it from the hook ``lifespan``, or close it yourself. ``egress``
    is ``gateway.settings.delivery``: its proxy and its certificate authorities. Raises
    ``InvalidInput`` for one that can't be used.
    """

    def __init__(
        self,
        clock: Clock,
        guard: AddressGuard,
        resolver: Resolver | None = None,
        egress: EgressSettings | None = None,
    ) -> None:
        self._clock = clock
        self._guard = guard
        self._resolver = resolver or SystemResolver()
        self._pinned = PinnedClient(
            clock,
            USER_AGENT,
            read_ca_file(None if egress is None else egress.ca_file),
            proxy=None if egress is None or egress.proxy is None else read_proxy(egress.proxy),
        )
        self._admitted: dict[str, _Admitted] = {}
        self._held: set[asyncio.Future[None]] = set()

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
        answer = await self._pinned.send(admitted.target, admitted.addresses, request, left)
        if not (request.unprivileged and admitted.is_trusted):
            return answer
        concealed = _concealed(answer)
        if concealed.error == "unreachable":
            await self._hold(request.timeout_seconds - (self._clock.monotonic_seconds() - began))
        return concealed

    async def close(self) -> None:
        """Close all connections; a request that is still waiting is answered with ``stopped``."""
        for each in self._held:
            if not each.done():
                each.set_result(None)
        await self._pinned.close()

    async def _hold(self, seconds: float) -> None:
        """Wait as long as for a silent server, because a closed port answers sooner."""
        if seconds <= 0:
            return
        held = asyncio.get_running_loop().create_future()
        self._held.add(held)
        try:
            await asyncio.wait({held}, timeout=seconds)
        finally:
            self._held.discard(held)

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
        is_trusted = any(self._guard.trusts(address) for address in addresses)
        admitted = _Admitted(target, addresses, is_trusted, now + _ADDRESSES_KEPT_SECONDS)
        self._admitted[url] = admitted
        return admitted

    def _ms_since(self, began: float) -> int:
        return int((self._clock.monotonic_seconds() - began) * 1000)


def _concealed(answer: OutboundResponse) -> OutboundResponse:
    """Return the part of a response that an unprivileged caller may see of a private network.

    The kind and the duration of a failure would reveal open ports.
    """
    if answer.status is not None:
        return msgspec.structs.replace(
            answer, error=None, body=b"", cut=False, location=None, headers={}
        )
    if answer.error in _OUR_OWN:
        return answer
    return OutboundResponse(error="unreachable", duration_ms=0)
