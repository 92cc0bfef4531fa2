"""The sliding window of rate limits that all processes share, in Redis.

A module of its own, because a gateway without Redis doesn't import its client.
"""

from typing import Final

from redis import RedisError
from redis.asyncio import BlockingConnectionPool, Redis

from gateway.observability.redis_client import key

# The longest that a request waits for Redis.
_TIMEOUT_SECONDS: Final = 1.0
_CONNECTIONS: Final = 32
_KIND: Final = "limit"

# Counts as LocalWindow does, by Redis's clock, which is one for all processes. The reset time is
# returned as text, because a number would lose its fraction.
_TAKE: Final = """
local cost, limit, seconds = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local window = math.floor(now / seconds)
local was = redis.call('HMGET', KEYS[1], 'window', 'taken', 'before')
local taken, before = 0, 0
if tonumber(was[1]) == window then
  taken, before = tonumber(was[2]), tonumber(was[3])
elseif tonumber(was[1]) == window - 1 then
  before = tonumber(was[2])
end
local left = (window + 1) * seconds - now
if math.floor(before * left / seconds) + taken + cost > limit then
  if before > 0 then
    left = left % (seconds / before)
  end
  return string.format('%.6f', now + left)
end
redis.call('HSET', KEYS[1], 'window', window, 'taken', taken + cost, 'before', before)
redis.call('EXPIRE', KEYS[1], 2 * seconds)
return false
"""


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
        self._take = Redis(connection_pool=self._connections).register_script(_TAKE)

    async def take(
        self, name: tuple[str, str], cost: int, *, limit: int, seconds: int
    ) -> float | None:
        """Count ``cost``; past ``limit``, count nothing and return when it resets."""
        reset_at = await self._take(keys=[key(_KIND, ":".join(name))], args=[cost, limit, seconds])
        return None if reset_at is None else float(reset_at)

    async def close(self) -> None:
        """Disconnect."""
        await self._connections.disconnect()
