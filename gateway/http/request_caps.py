"""Caps on bodies of unknown callers and on waiting requests.

A route that takes bodies without a key (a webhook with its own signature) reads them before it
knows the sender; one total limits their memory. A route that delays its response (a long poll, a
stream) declares ``waits`` in its ``opt`` and counts here, so that waiting requests never use up the
connections that others need. One that declares ``max_body_bytes`` reads no larger body.
"""

import contextlib
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from litestar.datastructures import Headers
from litestar.types import Receive, Scope

from gateway.errors import RateLimited, TooLarge, Unavailable

# The share of the total that one network, or one key, may hold.
_SHARE: Final = 4
_RETRY_SECONDS: Final = 5
_MAX_DIGITS: Final = 18


class AnonymousBodies:
    """The bytes of request bodies whose sender isn't known yet."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._total = 0
        self._by_network: Counter[str] = Counter()

    @contextlib.contextmanager
    def counted(self, receive: Receive, network: str) -> Iterator[Receive]:
        """Count the bytes of ``receive`` in the block; at the cap it raises ``Unavailable``."""
        held = 0

        async def receive_and_count() -> Any:
            nonlocal held
            message = await receive()
            size = len(message.get("body", b"")) if message["type"] == "http.request" else 0
            held += size
            self._total += size
            self._by_network[network] += size
            is_over = self._total > self._max_bytes
            if size and (is_over or self._by_network[network] > self._max_bytes // _SHARE):
                raise Unavailable("Too many request bodies are being read; send it again.")
            return message

        try:
            yield receive_and_count
        finally:
            self._total -= held
            self._by_network[network] -= held
            if not self._by_network[network]:
                del self._by_network[network]


class WaitingRequests:
    """Requests whose responses are delayed on purpose: long polls and streams."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._by_actor: Counter[str] = Counter()

    @contextlib.contextmanager
    def held(self, actor: str) -> Iterator[None]:
        """Count one until the block ends; raises ``RateLimited`` at a cap."""
        share = max(1, self._limit // _SHARE)
        if self._by_actor.total() >= self._limit or self._by_actor[actor] >= share:
            raise RateLimited(
                "Too many requests of this caller are waiting for news; wait for one to end.",
                policy="waiting",
                limit=share,
                window_seconds=_RETRY_SECONDS,
                retry_after_seconds=_RETRY_SECONDS,
            )
        self._by_actor[actor] += 1
        try:
            yield
        finally:
            self._by_actor[actor] -= 1
            if not self._by_actor[actor]:
                del self._by_actor[actor]


def capped(scope: Scope, receive: Receive, max_bytes: int) -> Receive:
    """Return ``receive`` for bodies of at most so many bytes; it raises ``TooLarge`` beyond."""
    announced = Headers.from_scope(scope).get("content-length", "")
    is_announced = announced.isdigit() and (
        len(announced) > _MAX_DIGITS or int(announced) > max_bytes
    )
    read = 0

    async def receive_capped() -> Any:
        nonlocal read
        message: Any = {} if is_announced else await receive()
        read += len(message.get("body", b""))
        if is_announced or read > max_bytes:
            raise TooLarge(f"This takes at most {max_bytes // 1024} KB.")
        return message

    return receive_capped
