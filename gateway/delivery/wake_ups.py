"""Wake-ups through Redis: to the inbox of the worker that owns the destination, or to any worker.

A wake-up says "this destination has due deliveries"; there is none per delivery. One for a
destination that no worker owns is a message over dramatiq, in a queue that all workers read. One
for the owner goes straight into its inbox, which its event loop reads: one round trip to Redis, no
thread.
"""

import asyncio
import logging
import time
from collections.abc import Collection, Iterable
from typing import Any, Final

import redis
from dramatiq import Message
from dramatiq.brokers.redis import RedisBroker, _RedisConsumer
from dramatiq.errors import ConnectionClosed

from gateway.observability.redis_client import NAMESPACE, connected, connected_to_loop, key

QUEUE: Final = "wake"
ACTOR: Final = "carry"
# TTL of a worker's ownership of a destination.
CARRIER_MS: Final = 15_000
# TTL of a sent wake-up: after it an unread wake-up counts as lost and may be sent again.
_WOKEN_MS: Final = 5_000
# A worker that has left a wake-up in its inbox for so long may be dead.
_SILENT_MS: Final = 2_000

# Length of one wait for a wake-up: shorter than the client's timeout for Redis.
LISTEN_SECONDS: Final = 0.5

_BUSY_SECONDS: Final = 0.001

_log = logging.getLogger(__name__)


class _Consumer(_RedisConsumer):
    """Waits in Redis for the bell of its queue, where dramatiq's own consumer polls."""

    def __init__(self, broker: Any, queue_name: str, prefetch: int, _timeout: int) -> None:
        super().__init__(broker, queue_name, prefetch, 0)  # type: ignore[no-untyped-call]  # dramatiq's

    def __next__(self) -> Any:
        """Return the next message, or ``None`` when none came within half a second."""
        message = super().__next__()  # type: ignore[no-untyped-call]  # as above
        if message is None and self.outstanding_message_count:
            # As many as its threads take are being handled: there may be more in the queue.
            time.sleep(_BUSY_SECONDS)
        elif message is None:
            try:
                self.broker.client.blpop([_bell(self.queue_name)], timeout=LISTEN_SECONDS)
            except redis.RedisError as error:
                raise ConnectionClosed(error) from None  # type: ignore[no-untyped-call]  # as above
        return message


class _Broker(RedisBroker):
    @property
    def consumer_class(self) -> Any:
        """Return the class that reads a queue."""
        return _Consumer


def _bell(queue: str) -> str:
    """Return the list that has an item while its queue may hold an unread message."""
    return key("bell", queue)


# Puts destinations into their owners' inboxes. Returns the destinations without an owner that
# nothing woke yet, and the owners that leave an inbox unread. An inbox is a sorted set: a
# destination is in it once, and the longest in it comes first, or busy ones would keep the others
# waiting.
_SENT: Final = """
local namespace, inbox_ms, woken_ms, silent_us = ARGV[1], ARGV[2], ARGV[3], ARGV[4] * 1000
local free, silent = {}, {}
local now = redis.call('TIME')
local now_us = now[1] * 1000000 + now[2]
for place = 5, #ARGV do
  local id = ARGV[place]
  local owner = redis.call('GET', namespace .. ':carrier:' .. id)
  if owner then
    local inbox = namespace .. ':inbox:' .. owner
    redis.call('ZADD', inbox, 'NX', now_us, id)
    redis.call('PEXPIRE', inbox, inbox_ms)
    if redis.call('ZCOUNT', inbox, '-inf', now_us - silent_us) > 0 then
      silent[#silent + 1] = owner
    end
  elseif redis.call('SET', namespace .. ':woken:' .. id, 1, 'NX', 'PX', woken_ms) then
    free[#free + 1] = id
  end
end
return {free, silent}
"""


class WakeUps:
    """Sends wake-ups: to the worker that owns the destination, or to any."""

    def __init__(self, url: str) -> None:
        # No middleware: a wake-up is never retried, timed or kept. The sweep finds lost ones.
        make: Any = _Broker  # dramatiq doesn't type its constructor
        self.client = connected(url)
        self.loop_client = connected_to_loop(url)
        self._sent: Any = self.loop_client.register_script(_SENT)
        self.broker: Any = make(client=self.client, namespace=NAMESPACE, middleware=[])
        self.broker.declare_queue(QUEUE)
        self._waiting: set[str] = set()
        self._sending: asyncio.Task[None] | None = None

    def wake(self, destination_ids: Collection[str]) -> None:
        """Send wake-ups soon; never waits and never fails."""
        self._waiting.update(destination_ids)
        if self._waiting and self._sending is None:
            self._sending = asyncio.create_task(self._send_waiting())

    async def send(self, destination_ids: Collection[str]) -> Collection[str]:
        """Send wake-ups now; returns the owners that have not read their inbox for seconds.

        Raises ``redis.RedisError`` when Redis is unavailable.
        """
        if not destination_ids:
            return ()
        ids = sorted(destination_ids)
        limits = [CARRIER_MS, _WOKEN_MS, _SILENT_MS]
        free, silent = await self._sent(args=[NAMESPACE, *limits, *ids])
        if free:
            await asyncio.to_thread(self._enqueue, [each.decode() for each in free])
        return {each.decode() for each in silent}

    async def drained(self) -> None:
        """Wait until each wake-up is sent or has failed."""
        if self._sending is not None:
            await asyncio.shield(self._sending)

    async def close(self) -> None:
        """Disconnect."""
        await self.drained()
        await self.loop_client.aclose()
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
                        "Redis can't be reached (%s); the sweep finds this work",
                        type(error).__name__,
                    )
        finally:
            self._sending = None

    def _enqueue(self, destination_ids: Iterable[str]) -> None:
        """Put wake-ups into the queue that all workers read."""
        for each in destination_ids:
            self.broker.enqueue(
                Message(queue_name=QUEUE, actor_name=ACTOR, args=(each,), kwargs={}, options={})
            )
        with self.client.pipeline(transaction=False) as pipe:
            pipe.lpush(_bell(QUEUE), 1)
            # one item is enough: the reader reads until the queue is empty
            pipe.ltrim(_bell(QUEUE), 0, 0)
            pipe.pexpire(_bell(QUEUE), CARRIER_MS)
            pipe.execute()
