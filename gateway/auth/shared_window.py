"""The sliding window of rate limits that all processes share, in Redis.

A module of its own, because a gateway without Redis doesn't import its client.
"""

from functools import lru_cache
from typing import Final

from limits import RateLimitItem, RateLimitItemPerHour, RateLimitItemPerMinute
from limits.aio.storage import RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from redis import RedisError
from redis.asyncio import BlockingConnectionPool

# The longest that a request waits for Redis.
_TIMEOUT_SECONDS: Final = 1.0
_CONNECTIONS: Final = 32
_MINUTE_SECONDS: Final = 60


class SharedWindow:
    """Counts by name in Redis at ``url``, as :class:`~gateway.auth.rate_limits.LocalWindow` does.

    ``errors`` are what it raises while Redis can't be reached or doesn't answer in a second.
    """

    errors: Final = (RedisError, OSError)

    def __init__(self, url: str) -> None:
        self._connections = BlockingConnectionPool.from_url(
            url,
            max_connections=_CONNECTIONS,
            timeout=_TIMEOUT_SECONDS,
            socket_timeout=_TIMEOUT_SECONDS,
            socket_connect_timeout=_TIMEOUT_SECONDS,
        )
        storage = RedisStorage(
            "async+redis://",  # the pool knows the real address, which may be unix://
            implementation="redispy",
            connection_pool=self._connections,  # type: ignore[arg-type]  # documented, not typed
        )
        self._limiter = SlidingWindowCounterRateLimiter(storage)

    async def take(
        self, name: tuple[str, str], cost: int, *, limit: int, seconds: int
    ) -> float | None:
        """Count ``cost``; past ``limit``, count nothing and return when it resets."""
        item = _item(limit, seconds)
        if await self._limiter.hit(item, *name, cost=cost):
            return None
        return (await self._limiter.get_window_stats(item, *name)).reset_time

    async def close(self) -> None:
        """Disconnect."""
        await self._connections.disconnect()


@lru_cache(maxsize=64)
def _item(limit: int, seconds: int) -> RateLimitItem:
    kind = RateLimitItemPerMinute if seconds == _MINUTE_SECONDS else RateLimitItemPerHour
    return kind(limit)
