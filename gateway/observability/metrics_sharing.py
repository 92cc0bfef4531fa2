"""Metrics of several processes, shared through Redis.

Each process writes its numbers to a key that expires soon after the process ended; any
process can then answer ``/metrics`` for all. Without Redis, each reports its own numbers.
"""

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import msgspec
import redis

from gateway.observability.metrics import Metrics, Snapshot
from gateway.observability.redis_client import connected, key
from gateway.settings import RedisTable

_log = logging.getLogger(__name__)

_INTERVAL_SECONDS: Final = 5.0
_TTL_MS: Final = 20_000
_KIND: Final = "metrics"
_DECODER: Final = msgspec.json.Decoder(dict[str, list[tuple[tuple[str, ...], tuple[float, ...]]]])


class SharedMetrics:
    """Publishes the metrics of this process, and reads those of the others."""

    def __init__(self, url: str, metrics: Metrics) -> None:
        self.process = f"{socket.gethostname()}-{os.getpid()}"
        self._metrics = metrics
        self._redis: redis.Redis = connected(url)
        self._publishing: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start publishing periodically."""
        self._publishing = asyncio.create_task(self._publish(), name="shared metrics")

    async def stop(self) -> None:
        """Remove the published numbers and disconnect."""
        if self._publishing is not None:
            self._publishing.cancel()
            await asyncio.gather(self._publishing, return_exceptions=True)
        await asyncio.to_thread(self._withdraw)

    async def all_processes(self) -> dict[str, Snapshot]:
        """Return the numbers by process: this one's now, others' as last published."""
        try:
            others = await asyncio.to_thread(self._read_others)
        except (redis.RedisError, OSError):
            others = {}
        return {**others, self.process: self._metrics.snapshot()}

    async def _publish(self) -> None:
        while True:
            content = msgspec.json.encode(self._metrics.snapshot())
            try:
                await asyncio.to_thread(
                    self._redis.set, key(_KIND, self.process), content, px=_TTL_MS
                )
            except (redis.RedisError, OSError) as error:
                _log.warning("Redis can't be reached: %s", type(error).__name__)
            await asyncio.sleep(_INTERVAL_SECONDS)

    def _read_others(self) -> dict[str, Snapshot]:
        prefix = key(_KIND, "")
        names = [name.decode() for name in self._redis.scan_iter(match=f"{prefix}*", count=1000)]
        found = self._redis.mget(names) if names else []
        return {
            name.removeprefix(prefix): snapshot
            for name, content in zip(names, found, strict=True)
            if content is not None and (snapshot := _decoded(content)) is not None
        }

    def _withdraw(self) -> None:
        try:
            self._redis.delete(key(_KIND, self.process))
        except (redis.RedisError, OSError) as error:
            _log.warning("Redis can't be reached: %s", type(error).__name__)
        self._redis.close()


@asynccontextmanager
async def sharing(table: RedisTable, metrics: Metrics) -> AsyncIterator[SharedMetrics]:
    """Share this process's metrics while the block runs."""
    shared = SharedMetrics(table.url, metrics)
    await shared.start()
    try:
        yield shared
    finally:
        await shared.stop()


def _decoded(content: bytes | str) -> Snapshot | None:
    """Decode a snapshot; ``None`` if another version wrote it in another form."""
    try:
        return _DECODER.decode(content)
    except msgspec.MsgspecError:
        return None
