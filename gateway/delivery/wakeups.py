"""Wake-ups over Redis: "this destination has work", and who carries it at the moment.

Redis holds hints and nothing else. A wake-up that is lost, with all of Redis if need
be, is made up for by the sweep, which reads the database. A destination has at most
one wake-up waiting, however many events are committed meanwhile.
"""

import asyncio
import logging
from collections.abc import Collection, Iterable
from typing import Any, Final

import redis
from dramatiq import Message
from dramatiq.brokers.redis import RedisBroker

from gateway.observability.redis_client import NAMESPACE, connected, key

QUEUE: Final = "wake"
ACTOR: Final = "carry"
# A wake-up that nobody took for this long is given up for lost, and may be sent again.
_WOKEN_MS: Final = 5_000
# A worker that says nothing for this long no longer carries what it carried.
CARRIER_MS: Final = 15_000

_log = logging.getLogger(__name__)


class WakeUps:
    """Sends wake-ups, each to the worker that carries the destination already, or to any."""

    def __init__(self, url: str) -> None:
        # No middleware: a wake-up is never retried, timed or kept. The sweep is its safety net.
        make: Any = RedisBroker  # dramatiq doesn't type its constructor
        self.client = connected(url)
        self.broker: Any = make(client=self.client, namespace=NAMESPACE, middleware=[])
        self.broker.declare_queue(QUEUE)
        self._waiting: set[str] = set()
        self._sending: asyncio.Task[None] | None = None

    def wake(self, destination_ids: Collection[str]) -> None:
        """Send wake-ups soon; never waits and never fails."""
        self._waiting.update(destination_ids)
        if self._waiting and self._sending is None:
            self._sending = asyncio.create_task(self._send_waiting())

    async def send(self, destination_ids: Collection[str]) -> None:
        """Send wake-ups now; raises ``redis.RedisError`` when Redis is out of reach."""
        if destination_ids:
            await asyncio.to_thread(self._send, sorted(destination_ids))

    async def drained(self) -> None:
        """Wait until everything is sent, or given up."""
        if self._sending is not None:
            await asyncio.shield(self._sending)

    async def close(self) -> None:
        """Disconnect."""
        await self.drained()
        await asyncio.to_thread(self.broker.close)
        await asyncio.to_thread(self.client.close)

    async def _send_waiting(self) -> None:
        try:
            while self._waiting:
                ids, self._waiting = self._waiting, set()
                try:
                    await self.send(ids)
                except (redis.RedisError, OSError) as error:
                    _log.warning(
                        "Redis is out of reach (%s); the sweep finds this work",
                        type(error).__name__,
                    )
        finally:
            self._sending = None

    def _send(self, destination_ids: Iterable[str]) -> None:
        ids = list(destination_ids)
        with self.client.pipeline(transaction=False) as pipe:
            for each in ids:
                pipe.set(key("woken", each), 1, nx=True, px=_WOKEN_MS)
                pipe.get(key("carrier", each))
            said = pipe.execute()
        for each, fresh, carrier in zip(ids, said[::2], said[1::2], strict=True):
            if fresh:
                self.enqueue(each, carrier.decode() if carrier else None)

    def enqueue(self, destination_id: str, worker_id: str | None) -> None:
        """Put one wake-up into a worker's own queue, or into the one that all share."""
        queue = QUEUE if worker_id is None else own_queue(worker_id)
        self.broker.enqueue(
            Message(
                queue_name=queue, actor_name=ACTOR, args=(destination_id,), kwargs={}, options={}
            )
        )


def own_queue(worker_id: str) -> str:
    """Return the queue that only this worker reads."""
    return f"{QUEUE}-{worker_id}"
