"""How much a key may: so many requests a minute, so many orders an hour.

The ``limits`` library counts, in this process or, where Redis is configured, for
all processes together. A sliding window spreads the limit evenly instead of letting
twice of it through around the turn of a minute. While Redis is out of reach each
process counts for itself: that is no reason to turn orders away.
"""

import logging
import math
from typing import Final, Literal

from limits import RateLimitItem, RateLimitItemPerHour, RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from redis import RedisError
from redis.asyncio import BlockingConnectionPool

from gateway.clock import Clock
from gateway.errors import RateLimited
from gateway.settings import LimitsTable, RedisTable

Policy = Literal["orders", "orders_per_hour", "updates", "reads"]

_log = logging.getLogger(__name__)

# A request waits for a count no longer than this.
_REDIS_TIMEOUT_SECONDS: Final = 1.0
_ALONE_SECONDS: Final = 5.0
_REDIS_CONNECTIONS: Final = 32
_WHAT: Final = {
    "orders": "order requests a minute",
    "orders_per_hour": "orders an hour",
    "updates": "updating requests a minute",
    "reads": "reading requests a minute",
}


class Limits:
    """Counts what each key does against what it may."""

    def __init__(self, table: LimitsTable, redis: RedisTable | None, clock: Clock) -> None:
        self._clock = clock
        self._items: dict[Policy, RateLimitItem] = {
            "orders": RateLimitItemPerMinute(table.orders_requests_per_minute),
            "orders_per_hour": RateLimitItemPerHour(table.orders_per_hour),
            "updates": RateLimitItemPerMinute(table.updates_requests_per_minute),
            "reads": RateLimitItemPerMinute(table.reads_per_minute),
        }
        self._own = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._alone = False
        self._alone_until = 0.0
        self._shared: SlidingWindowCounterRateLimiter | None = None
        self._redis: BlockingConnectionPool | None = None
        if redis is not None:
            self._redis = BlockingConnectionPool.from_url(
                redis.url,
                max_connections=_REDIS_CONNECTIONS,
                timeout=_REDIS_TIMEOUT_SECONDS,
                socket_timeout=_REDIS_TIMEOUT_SECONDS,
                socket_connect_timeout=_REDIS_TIMEOUT_SECONDS,
            )
            storage = RedisStorage(
                "async+redis://",  # the pool knows the real address, which may be unix://
                implementation="redispy",
                connection_pool=self._redis,  # type: ignore[arg-type]  # documented, not typed
            )
            self._shared = SlidingWindowCounterRateLimiter(storage)

    async def take(self, policy: Policy, actor: str, cost: int = 1) -> None:
        """Count ``cost`` against ``actor``'s ``policy``; raises ``RateLimited`` past the limit."""
        item = self._items[policy]
        # Asking a Redis that hangs takes a while; not every request should.
        if self._shared is None or self._clock.monotonic_seconds() < self._alone_until:
            reset_at = await _count(self._own, item, policy, actor, cost)
        else:
            try:
                reset_at = await _count(self._shared, item, policy, actor, cost)
                self._alone = False
            except (RedisError, OSError) as error:
                if not self._alone:  # once, not for every request
                    _log.warning(
                        "Redis is out of reach (%s): limits are counted by this process alone",
                        type(error).__name__,
                    )
                self._alone = True
                self._alone_until = self._clock.monotonic_seconds() + _ALONE_SECONDS
                reset_at = await _count(self._own, item, policy, actor, cost)
        if reset_at is None:
            return
        wait_seconds = math.ceil(reset_at - self._clock.now().timestamp())
        raise RateLimited(
            f"This key may send {item.amount} {_WHAT[policy]}; wait, then try again.",
            policy=policy,
            limit=item.amount,
            window_seconds=item.get_expiry(),
            # Within the window, whatever the clocks of two machines make of it.
            retry_after_seconds=min(max(1, wait_seconds), item.get_expiry()),
        )

    async def close(self) -> None:
        """Let go of Redis."""
        if self._redis is not None:
            await self._redis.disconnect()


async def _count(
    limiter: SlidingWindowCounterRateLimiter,
    item: RateLimitItem,
    policy: str,
    actor: str,
    cost: int,
) -> float | None:
    """Count ``cost``, or return the epoch seconds at which there is room again."""
    if await limiter.hit(item, policy, actor, cost=cost):
        return None
    window = await limiter.get_window_stats(item, policy, actor)
    return window.reset_time
