"""The connection to Redis, shared by wake-ups and metrics: the client, key names, time-out."""

from typing import Final

import redis

NAMESPACE: Final = "rx-gateway"


# A Redis that hasn't answered by then is taken for gone.
_ANSWER_SECONDS: Final = 1.0


def connected(url: str) -> redis.Redis:
    """Make a client that soon gives a Redis up that hangs; what it holds is worth no wait."""
    client: redis.Redis = redis.Redis.from_url(
        url, socket_timeout=_ANSWER_SECONDS, socket_connect_timeout=_ANSWER_SECONDS
    )
    return client


def key(kind: str, name: str) -> str:
    """Return a key of ours in Redis."""
    return f"{NAMESPACE}:{kind}:{name}"
