"""The engine across machines: dramatiq over Redis carries wake-ups to worker processes.

A serving process only sends wake-ups (:class:`WakingEngine`). A worker process
(:class:`WorkerEngine`) is the embedded engine, woken through Redis instead of by its own commits.

One worker at a time owns a destination, so that ``max_in_flight`` and ``max_per_second`` hold for
the whole cluster: it writes its id into Redis with a TTL. The worker that gets the first wake-up
becomes the owner. What a dead worker owned is free as soon as the sweep finds its inbox unread and
its lock in PostgreSQL gone. Without Redis the sweeper delivers what it finds; the database's row
locks keep two processes from claiming the same delivery.
"""

import asyncio
import logging
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final

import dramatiq
import redis

from gateway.clock import Clock
from gateway.delivery.dispatcher import Dispatcher
from gateway.delivery.engine import SWEEP_SECONDS, LocalEngine
from gateway.delivery.wake_ups import ACTOR, CARRIER_MS, LISTEN_SECONDS, QUEUE, WakeUps
from gateway.observability.metrics import Metrics
from gateway.observability.redis_client import NAMESPACE, key
from gateway.sdk.records import HealthReport, Job

# How long a worker acts as the owner without asking Redis: clocks and networks take their time.
_SURELY_SECONDS: Final = CARRIER_MS / 1000 - 3.0

_UNREACHABLE: Final = "Redis can't be reached: %s"

_log = logging.getLogger(__name__)

# Makes a worker the owner of the destinations that no other worker owns, for some time from now;
# returns these.
_OWNED: Final = """
local namespace, worker, owned_ms = ARGV[1], ARGV[2], ARGV[3]
local own = {}
for place = 4, #ARGV do
  local key = namespace .. ':carrier:' .. ARGV[place]
  local owner = redis.call('GET', key)
  if not owner or owner == worker then
    redis.call('SET', key, worker, 'PX', owned_ms)
    own[#own + 1] = ARGV[place]
  end
end
return own
"""

# Ends what a worker owns and its inbox, atomically, so that no wake-up comes into it afterwards;
# returns those that it didn't read.
_LEFT: Final = """
local worker = ARGV[1]
for place = 3, #KEYS do
  if redis.call('GET', KEYS[place]) == worker then
    redis.call('DEL', KEYS[place])
  end
end
local unread = redis.call('ZRANGE', KEYS[1], 0, -1)
redis.call('DEL', KEYS[1], KEYS[2])
return unread
"""


# How long dramatiq's threads wait before they check whether they have to end.
_IDLE_MS: Final = 500
_HEARTBEAT_SECONDS: Final = 5.0
_HEARTBEAT_MS: Final = 20_000
# TTL of the sweeper's leader lease: two sweeps, of which one may be late.
_SWEEPER_MS: Final = 2_000
_HEARTBEATS: Final = "workers"


class WakingEngine:
    """For a serving process: wakes the workers and delivers nothing itself."""

    def __init__(self, url: str) -> None:
        self._wakeups = WakeUps(url)

    async def start(self) -> None:
        """Do nothing: the connection to Redis is made with the first wake-up."""

    async def stop(self) -> None:
        """Send the remaining wake-ups, then disconnect."""
        await self._wakeups.close()

    def wake(self, destination_ids: Collection[str]) -> None:
        """Wake a worker for these destinations."""
        self._wakeups.wake(destination_ids)

    async def health(self, _now: datetime) -> HealthReport:
        """Report whether a worker is running."""
        try:
            workers = await asyncio.to_thread(self._count_workers)
        except (redis.RedisError, OSError) as error:
            return HealthReport(
                healthy=False, detail=f"Redis can't be reached ({type(error).__name__})"
            )
        if workers == 0:
            return HealthReport(
                healthy=False, detail="no worker is running; start one with gateway worker"
            )
        return HealthReport(healthy=True, detail=f"{workers} workers are running")

    def _count_workers(self) -> int:
        found = self._wakeups.client.scan_iter(match=key(_HEARTBEATS, "*"), count=1000)
        return sum(1 for _ in found)


class WorkerEngine(LocalEngine):
    """For a worker process: the embedded engine, woken through Redis."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        jobs: Sequence[Job],
        clock: Clock,
        url: str,
        threads: int,
        *,
        metrics: Metrics | None = None,
        sweep_seconds: float = SWEEP_SECONDS,
    ) -> None:
        super().__init__(dispatcher, jobs, clock, metrics=metrics, sweep_seconds=sweep_seconds)
        self._sweeping = False
        self.id = dispatcher.process
        self._wakeups = WakeUps(url)
        self._threads = threads
        self._worker: Any = None
        self._is_listening = False
        self._listeners: list[asyncio.Task[None]] = []
        self._taking: set[asyncio.Task[None]] = set()
        self._take_ownership: Any = self._wakeups.loop_client.register_script(_OWNED)
        self._leave: Any = self._wakeups.loop_client.register_script(_LEFT)
        # Until when, in monotonic seconds, no other worker can be the owner.
        self._owned_until: dict[str, float] = {}
        self._woken: set[str] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def start(self) -> None:
        """Start delivering and listening for wake-ups."""
        self._loop = asyncio.get_running_loop()
        await super().start()
        self._is_listening = True
        self._listeners = [
            asyncio.create_task(self._beat(), name="heartbeat"),
            asyncio.create_task(self._read_inbox(), name="inbox"),
        ]
        await asyncio.to_thread(self._listen)

    async def stop(self) -> None:
        """Stop listening, finish the attempts in flight, leave the rest to other workers."""
        if self._worker is not None:
            await asyncio.to_thread(self._worker.stop)
        self._is_listening = False  # the client may keep a cancellation to itself, as an error
        for each in self._listeners:
            each.cancel()
        await asyncio.gather(*self._listeners, *self._taking, return_exceptions=True)
        self._end_lanes()
        in_flight = {each.destination_id for each in self.lanes.values() if each.in_flight}
        signing_off = asyncio.create_task(self._sign_off(in_flight))
        await super().stop()
        await signing_off
        if in_flight:
            await self._sign_off()
        await self._wakeups.close()

    def _listen(self) -> None:
        broker = self._wakeups.broker
        dramatiq.Actor(
            self._on_wake_up,
            broker=broker,
            actor_name=ACTOR,
            queue_name=QUEUE,
            priority=0,
            options={},
        )
        self._worker = dramatiq.Worker(
            broker, worker_threads=self._threads, worker_timeout=_IDLE_MS
        )
        self._worker.start()

    def _on_wake_up(self, destination_id: str) -> None:
        """Pass a wake-up of the shared queue to the event loop; runs in a dramatiq thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._find_out, {destination_id})

    async def _read_inbox(self) -> None:
        name = key("inbox", self.id)
        while self._is_listening:
            try:
                found: Any = await self._wakeups.loop_client.bzpopmin([name], LISTEN_SECONDS)
            except (redis.RedisError, OSError):  # the heartbeat logs it
                await asyncio.sleep(LISTEN_SECONDS)
                continue
            if found is not None:
                self._received([found[1].decode()])

    def _received(self, destination_ids: Collection[str]) -> None:
        """Deliver for destinations that this worker surely owns, and find out about the others."""
        now = self._clock.monotonic_seconds()
        own = {each for each in destination_ids if self._owned_until.get(each, 0.0) > now}
        self._woken |= own
        self.wake(own)
        if others := set(destination_ids) - own:
            self._find_out(others)

    def _find_out(self, destination_ids: Collection[str]) -> None:
        task = asyncio.create_task(self._take_or_forward(destination_ids))
        self._taking.add(task)
        task.add_done_callback(self._taking.discard)

    async def _take_or_forward(self, destination_ids: Collection[str]) -> None:
        """Become the owner of destinations and deliver, or pass the wake-up to their owner."""
        try:
            await self._wakeups.loop_client.delete(*(key("woken", e) for e in destination_ids))
            own = await self._take(destination_ids)
            self._woken |= own
            self.wake(own)
            await self._wakeups.send(set(destination_ids) - own)
        except (redis.RedisError, OSError) as error:
            _log.warning(_UNREACHABLE, type(error).__name__)  # the sweep finds this work

    async def _take(self, destination_ids: Collection[str]) -> set[str]:
        """Become, or stay, the owner of destinations; returns those that this worker now owns."""
        if not destination_ids:
            return set()
        surely_until = self._clock.monotonic_seconds() + _SURELY_SECONDS
        found = await self._take_ownership(
            args=[NAMESPACE, self.id, CARRIER_MS, *sorted(destination_ids)]
        )
        own = {each.decode() for each in found}
        for each in destination_ids:
            self._owned_until.pop(each, None)
        self._owned_until |= dict.fromkeys(own, surely_until)
        return own

    async def _is_sweeper(self) -> bool:
        try:
            return await asyncio.to_thread(self._take_leader_lease)
        except (redis.RedisError, OSError):
            return True  # without Redis there is no leader: two sweeps are better than none

    def _take_leader_lease(self) -> bool:
        client, name = self._wakeups.client, key("sweeper", "now")
        if client.set(name, self.id, nx=True, px=_SWEEPER_MS):
            return True
        holder = client.get(name)
        if isinstance(holder, bytes) and holder.decode() == self.id:
            client.pexpire(name, _SWEEPER_MS)
            return True
        return False

    async def _spread(self, destination_ids: Collection[str]) -> None:
        """Send the sweep's destinations to all workers; without Redis, deliver them here."""
        try:
            silent = await self._wakeups.send(destination_ids)
            for dead in await self._dispatcher.gone(silent):
                await self._retire(dead)
        except (redis.RedisError, OSError):
            self.wake(destination_ids)

    async def _owners_died(self, destination_ids: Collection[str]) -> None:
        """End the ownership of a dead worker, so that wake-ups don't go to its queue."""
        names = [key(kind, each) for each in destination_ids for kind in ("carrier", "woken")]
        try:
            await asyncio.to_thread(self._wakeups.client.delete, *names)
        except (redis.RedisError, OSError) as error:
            _log.warning(_UNREACHABLE, type(error).__name__)

    async def _beat(self) -> None:
        """Show that this worker is alive, and keep what it delivered for since the last time."""
        while self._is_listening:
            try:
                await self._wakeups.loop_client.set(key(_HEARTBEATS, self.id), 1, px=_HEARTBEAT_MS)
                served, self._woken = self._woken | set(self.lanes), set()
                await self._take(served)
                self._forget_what_ended()
            except (redis.RedisError, OSError) as error:
                _log.warning(_UNREACHABLE, type(error).__name__)
            await asyncio.sleep(_HEARTBEAT_SECONDS)

    def _forget_what_ended(self) -> None:
        now = self._clock.monotonic_seconds()
        self._owned_until = {each: to for each, to in self._owned_until.items() if to > now}

    async def _sign_off(self, but: Collection[str] = ()) -> None:
        """Give up what this worker owns ``but`` these, and pass on what its inbox still has."""
        try:
            await self._retire(self.id, but)
        except (redis.RedisError, OSError) as error:
            _log.warning(_UNREACHABLE, type(error).__name__)

    async def _retire(self, worker: str, but: Collection[str] = ()) -> None:
        """Free what a worker owns ``but`` these, and pass on what its inbox still has."""
        kept = {key("carrier", each).encode() for each in but}
        found = self._wakeups.loop_client.scan_iter(match=key("carrier", "*"), count=1000)
        given_up = {each async for each in found} - kept
        names = [key("inbox", worker), key(_HEARTBEATS, worker), key("sweeper", "now")]
        unread = await self._leave(keys=[*names, *given_up], args=[worker])
        await self._wakeups.send([each.decode() for each in unread])
