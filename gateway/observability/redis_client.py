"""The Redis client, key names and time-out that wake-ups and metrics share."""

from typing import Final

import redis
from redis.asyncio import Redis as AsyncRedis

NAMESPACE: Final = "rx-gateway"
# A Redis that doesn't answer within this time counts as unreachable.
_ANSWER_SECONDS: Final = 1.0


def connected(url: str) -> redis.Redis:
    """Return a client with short time-outs, because no data in Redis is essential."""
    client: redis.Redis = redis.Redis.from_url(
        url, socket_timeout=_ANSWER_SECONDS, socket_connect_timeout=_ANSWER_SECONDS
    )
    return client


def connected_to_loop(url: str) -> AsyncRedis:
    """Return such a client for the event loop; it connects with its first command."""
    client: AsyncRedis = AsyncRedis.from_url(
        url, socket_timeout=_ANSWER_SECONDS, socket_connect_timeout=_ANSWER_SECONDS
    )
    return client


def key(kind: str, name: str) -> str:
    """Return the name of a key in the gateway's namespace."""
    return f"{NAMESPACE}:{kind}:{name}"
