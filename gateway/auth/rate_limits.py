"""Rate limits by API key: requests per minute, orders per hour.

Counted in this process or, with Redis, by the ``limits`` library across all processes. A sliding
window spreads the limit evenly; a fixed one allows twice the limit around a full minute. While
Redis is unavailable each process counts alone, so that no order is refused.
"""

import ipaddress
import logging
import math
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import msgspec

from gateway.clock import Clock
from gateway.errors import RateLimited
from gateway.settings import LimitsTable, RedisTable

if TYPE_CHECKING:  # imported only with Redis: most gateways have none
    from gateway.auth.shared_window import SharedWindow

Policy = Literal[
    "orders", "orders_per_hour", "updates", "reads", "people_reads", "reveals", "labels"
]

_log = logging.getLogger(__name__)

_MOST_KEPT: Final = 10_000
"""Above this number of counters in this process, expired ones are dropped."""
_REDIS_PAUSE_SECONDS: Final = 5.0
_MINUTE: Final = 60
_HOUR: Final = 3600
_UNITS: Final = {
    "orders": "order requests per minute",
    "orders_per_hour": "orders per hour",
    "updates": "updating requests per minute",
    "reads": "reading requests per minute",
    "people_reads": "reading requests per minute",
    "reveals": "revealed records per hour",
    "labels": "scanned labels per minute",
}


class _Limit(NamedTuple):
    amount: int
    seconds: int


class Limits:
    """Counts the requests of each key against its limits."""

    def __init__(self, table: LimitsTable, redis: RedisTable | None, clock: Clock) -> None:
        self._clock = clock
        self._limits: dict[Policy, _Limit] = {
            "orders": _Limit(table.orders_requests_per_minute, _MINUTE),
            "orders_per_hour": _Limit(table.orders_per_hour, _HOUR),
            "updates": _Limit(table.updates_requests_per_minute, _MINUTE),
            "reads": _Limit(table.reads_per_minute, _MINUTE),
            "people_reads": _Limit(table.people_reads_per_minute, _MINUTE),
            "reveals": _Limit(table.reveals_per_hour, _HOUR),
            "labels": _Limit(table.labels_per_minute, _MINUTE),
        }
        self._local = LocalWindow()
        self._is_local = False
        self._local_until = 0.0
        self._shared = None if redis is None else _shared_window(redis)

    async def take(self, policy: Policy, actor: str, cost: int = 1) -> None:
        """Count ``cost`` against ``actor``'s ``policy``; raises ``RateLimited`` past the limit."""
        limit, seconds = self._limits[policy]
        name, now = (policy, actor), self._clock.now().timestamp()
        # A hanging Redis costs a timeout, which not every request should wait for.
        if self._shared is None or self._clock.monotonic_seconds() < self._local_until:
            reset_at = self._local.take(name, cost, limit=limit, seconds=seconds, now=now)
        else:
            try:
                reset_at = await self._shared.take(name, cost, limit=limit, seconds=seconds)
                self._is_local = False
            except self._shared.errors as error:
                if not self._is_local:  # logged once, not for every request
                    _log.warning(
                        "Redis is unavailable (%s): this process counts rate limits alone",
                        type(error).__name__,
                    )
                self._is_local = True
                self._local_until = self._clock.monotonic_seconds() + _REDIS_PAUSE_SECONDS
                reset_at = self._local.take(name, cost, limit=limit, seconds=seconds, now=now)
        if reset_at is None:
            return
        raise RateLimited(
            f"The limit of {limit} {_UNITS[policy]} is reached; wait, then send it again.",
            policy=policy,
            limit=limit,
            window_seconds=seconds,
            # Within the window, even when the clocks of two machines differ.
            retry_after_seconds=min(max(1, math.ceil(reset_at - now)), seconds),
        )

    async def close(self) -> None:
        """Disconnect from Redis."""
        if self._shared is not None:
            await self._shared.close()


def _shared_window(redis: RedisTable) -> "SharedWindow":
    from gateway.auth.shared_window import SharedWindow

    return SharedWindow(redis.url)


@lru_cache(maxsize=4096)
def client_network(host: str) -> str:
    """Return the network that counts as one client: an IPv4 address, an IPv6 /64."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host[:64]
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))


class _Counter(msgspec.Struct, gc=False):
    window: int
    """The number of the current window since 1970."""
    taken: int
    before: int
    """The count of the previous window."""
    seconds: int
    """The length of a window."""


class LocalWindow:
    """Counts by name in this process, each within a limit in a sliding window of its own length.

    The count of the previous window is weighted by its overlap with the last ``seconds``, as in
    the ``limits`` library. That library's memory storage starts a task for each request, which
    looks at every counter.
    """

    def __init__(self) -> None:
        self._counters: dict[tuple[str, str], _Counter] = {}
        self._most_kept = _MOST_KEPT

    def __len__(self) -> int:
        """Return how many counters are kept."""
        return len(self._counters)

    def take(
        self, name: tuple[str, str], cost: int, *, limit: int, seconds: int, now: float
    ) -> float | None:
        """Count ``cost``; past ``limit``, count nothing and return when it resets.

        ``now`` and what is returned are seconds since 1970.
        """
        window = int(now // seconds)
        counter = self._counters.get(name)
        if counter is None or counter.window != window:
            follows = counter is not None and counter.window == window - 1
            before = counter.taken if counter is not None and follows else 0
            counter = _Counter(window, 0, before, seconds)
        before = counter.before
        left = (window + 1) * seconds - now
        if math.floor(before * left / seconds) + counter.taken + cost > limit:
            # After this time the previous window weighs one less, or the next window begins.
            return now + (left % (seconds / before) if before else left)
        if not counter.taken:
            self._counters[name] = counter
            if len(self._counters) > self._most_kept:
                self._drop_old(now)
        counter.taken += cost
        return None

    def _drop_old(self, now: float) -> None:
        self._counters = {
            name: each
            for name, each in self._counters.items()
            if each.window >= int(now // each.seconds) - 1
        }
        # With many counters in use, not every new one causes a scan.
        self._most_kept = max(_MOST_KEPT, 2 * len(self._counters))
