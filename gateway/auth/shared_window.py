"""The sliding window of rate limits that all processes share: it lives in Redis.

A module of its own, because a gateway without Redis doesn't import its client.
"""

from typing import Final

from limits.aio.storage import RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from redis import RedisError
from redis.asyncio import BlockingConnectionPool

# The longest that a request waits for Redis.
_TIMEOUT_SECONDS: Final = 1.0
_CONNECTIONS: Final = 32


class SharedWindow:
    """A limiter that counts in Redis at ``url``.

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
        self.limiter = SlidingWindowCounterRateLimiter(storage)

    async def close(self) -> None:
        """Disconnect."""
        await self._connections.disconnect()
