"""Where many processes serve and carry, each leaves its numbers in Redis for the others.

Whichever process is asked for ``/metrics`` answers for all of them. What a process left
is forgotten soon after it ended, and with Redis gone each still tells its own.
"""

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

import msgspec
import redis

from gateway.observability.metrics import Metrics, Rows
from gateway.observability.redis_client import connected, key
from gateway.settings import RedisTable

Taken = Mapping[str, Rows]
"""All numbers of one process, by family."""

_log = logging.getLogger(__name__)

_EVERY_SECONDS: Final = 5.0
_KEPT_MS: Final = 20_000
_KIND: Final = "metrics"
_DECODER: Final = msgspec.json.Decoder(dict[str, list[tuple[tuple[str, ...], tuple[float, ...]]]])


class SharedMetrics:
    """One process's numbers, and those that the others left."""

    def __init__(self, url: str, metrics: Metrics) -> None:
        self.process = f"{socket.gethostname()}-{os.getpid()}"
        self._metrics = metrics
        self._redis: redis.Redis = connected(url)
        self._leaving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to leave our numbers, again and again."""
        self._leaving = asyncio.create_task(self._leave_on(), name="shared metrics")

    async def stop(self) -> None:
        """Take them away and disconnect."""
        if self._leaving is not None:
            self._leaving.cancel()
            await asyncio.gather(self._leaving, return_exceptions=True)
        await asyncio.to_thread(self._sign_off)

    async def of_everybody(self) -> dict[str, Taken]:
        """Return the numbers of all processes: ours as they are now, others' of late."""
        try:
            others = await asyncio.to_thread(self._look)
        except (redis.RedisError, OSError):
            others = {}
        return {**others, self.process: self._metrics.taken()}

    async def _leave_on(self) -> None:
        while True:
            content = msgspec.json.encode(self._metrics.taken())
            try:
                await asyncio.to_thread(
                    self._redis.set, key(_KIND, self.process), content, px=_KEPT_MS
                )
            except (redis.RedisError, OSError) as error:
                _log.warning("Redis is out of reach: %s", type(error).__name__)
            await asyncio.sleep(_EVERY_SECONDS)

    def _look(self) -> dict[str, Taken]:
        prefix = key(_KIND, "")
        names = [name.decode() for name in self._redis.scan_iter(match=f"{prefix}*", count=1000)]
        found = self._redis.mget(names) if names else []
        return {
            name.removeprefix(prefix): taken
            for name, content in zip(names, found, strict=True)
            if content is not None and (taken := _decoded(content)) is not None
        }

    def _sign_off(self) -> None:
        try:
            self._redis.delete(key(_KIND, self.process))
        except (redis.RedisError, OSError) as error:
            _log.warning("Redis is out of reach: %s", type(error).__name__)
        self._redis.close()


@asynccontextmanager
async def sharing(
    table: RedisTable | None, metrics: Metrics
) -> AsyncIterator[SharedMetrics | None]:
    """Share a process's numbers while the block runs; without Redis there is nobody to."""
    if table is None:
        yield None
        return
    shared = SharedMetrics(table.url, metrics)
    await shared.start()
    try:
        yield shared
    finally:
        await shared.stop()


def _decoded(content: bytes | str) -> Taken | None:
    """Read what a process left; one of another version may tell it differently."""
    try:
        return _DECODER.decode(content)
    except msgspec.MsgspecError:
        return None
