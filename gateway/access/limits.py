"""How much a key may: so many requests a minute, so many orders an hour.

The ``limits`` library counts, in this process or, where Redis is configured, for
all processes together. A sliding window spreads the limit evenly instead of letting
twice of it through around the turn of a minute.
"""

import math
from typing import Final, Literal

from limits import RateLimitItem, RateLimitItemPerHour, RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from gateway.clock import Clock
from gateway.errors import RateLimited
from gateway.settings import LimitsTable, RedisTable

Policy = Literal["orders", "orders_per_hour", "updates", "reads"]

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
        storage = (
            MemoryStorage()
            if redis is None
            else RedisStorage(f"async+{redis.url}", implementation="redispy")
        )
        self._limiter = SlidingWindowCounterRateLimiter(storage)

    async def take(self, policy: Policy, actor: str, cost: int = 1) -> None:
        """Count ``cost`` against ``actor``'s ``policy``; raises ``RateLimited`` past the limit."""
        item = self._items[policy]
        if await self._limiter.hit(item, policy, actor, cost=cost):
            return
        window = await self._limiter.get_window_stats(item, policy, actor)
        raise RateLimited(
            f"This key may send {item.amount} {_WHAT[policy]}; wait, then try again.",
            policy=policy,
            limit=item.amount,
            window_seconds=item.get_expiry(),
            retry_after_seconds=max(
                1, math.ceil(window.reset_time - self._clock.now().timestamp())
            ),
        )
