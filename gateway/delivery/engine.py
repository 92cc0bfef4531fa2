"""The embedded engine: asyncio tasks in the serving process, one lane per destination.

It is woken right after a commit, so the first attempt starts within milliseconds. A sweep finds the
other due deliveries: retries, deliveries of a dead process, deliveries that another process (the
command line) added.
"""

import asyncio
import contextlib
import logging
from collections.abc import Collection, Sequence
from contextvars import Context
from datetime import datetime, timedelta
from typing import Final

from gateway.clock import Clock, HeldClock, StepWatch
from gateway.delivery.claim_latency import SLOW_CLAIM_SECONDS
from gateway.delivery.dispatcher import Dispatcher
from gateway.delivery.hand_over import ClaimedBatch
from gateway.delivery.lane import Lane
from gateway.observability.fault_places import with_place
from gateway.observability.metrics import Metrics, Samples
from gateway.sdk.records import HealthReport, Job
from gateway.storage.outage import failure_of

_log = logging.getLogger(__name__)

SWEEP_SECONDS: Final = 1.0
# Between the first runs of two jobs: at the same moment each would open a connection of its own.
JOBS_APART_SECONDS: Final = 0.02
# How long a running job may still take when the engine is asked to stop.
_JOB_GRACE_SECONDS: Final = 5.0
_SILENCE: Final = timedelta(seconds=30)
_REPORT_AGAIN_SECONDS: Final = 60.0
# The sweep finds retries that are due later than this.
_TIMER_HORIZON_SECONDS: Final = 60.0


class LocalEngine:
    """Runs lanes, the sweep and the plugins' jobs in this process."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        jobs: Sequence[Job],
        clock: Clock,
        *,
        metrics: Metrics | None = None,
        sweep_seconds: float = SWEEP_SECONDS,
    ) -> None:
        self._sweep_seconds = sweep_seconds
        self._dispatcher = dispatcher
        self._jobs = jobs
        self._clock = clock
        self._step_watch = StepWatch(clock)
        self._seconds_back = 0.0
        self._reported: dict[str, tuple[str, float]] = {}
        self._metrics = metrics or Metrics()
        self.lanes: dict[str, Lane] = {}  # by destination; empty when no delivery is in flight
        self._lane_tasks: set[asyncio.Task[None]] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self.background: list[asyncio.Task[None]] = []
        self._ending = asyncio.Event()
        self._running = False
        self._sweeping = True
        self._started_at: datetime | None = None
        self.last_sweep_at: datetime | None = None

    async def start(self) -> None:
        """Start delivering and running jobs."""
        self._dispatcher.keep_through_outages(keep=True)
        await self._dispatcher.take_back()
        await self._dispatcher.stay_alive()
        self._running = True
        if isinstance(self._clock, HeldClock):
            self._clock.hold()
        self._started_at = self._clock.now()
        self._register_gauges()
        self._dispatcher.on_next_due = self._wake_at
        self.background = [
            asyncio.create_task(self._sweep(), name="sweep"),
            *(
                asyncio.create_task(self._repeat(job, place * JOBS_APART_SECONDS), name=job.name)
                for place, job in enumerate(self._jobs)
            ),
        ]

    async def stop(self) -> None:
        """Finish the attempts in flight and claim no more; returns when all outcomes are stored."""
        self._end_lanes()
        self._dispatcher.keep_through_outages(keep=False)  # or this might never return
        await self._end_background()
        await asyncio.gather(*self._lane_tasks, return_exceptions=True)
        await self._dispatcher.drained()
        await self._dispatcher.signed_off()
        self._metrics.in_flight.read = self._metrics.sweep_age.read = tuple

    def _end_lanes(self) -> None:
        """Open no lane any more; those that are open start no attempt."""
        self._running = False
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        for lane in self.lanes.values():
            lane.stop()

    async def _end_background(self) -> None:
        """Wait for the sweep and the jobs to end; cancel those that take too long.

        A database driver that is cancelled during a statement may report an error of its own,
        and a task that continues after errors would never end.
        """
        self._ending.set()
        if isinstance(self._clock, HeldClock):
            self._clock.release()  # no sweep applies the step any more
        if self.background:
            _, slow = await asyncio.wait(self.background, timeout=_JOB_GRACE_SECONDS)
            for task in slow:
                task.cancel()
            await asyncio.gather(*slow, return_exceptions=True)

    async def _pause(self, seconds: float) -> None:
        """Sleep until the time is over or the engine stops."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ending.wait()

    def wake(self, destination_ids: Collection[str]) -> None:
        """Deliver the due deliveries of these destinations now."""
        if not self._running:
            return
        for destination_id in destination_ids:
            lane = self.lanes.get(destination_id)
            if lane is not None:
                lane.nudge()
            else:
                self._open(self._dispatcher.lane(destination_id))

    def _open(self, lane: Lane) -> Lane:
        self.lanes[lane.destination_id] = lane
        # A lane serves many requests: its log lines don't carry one request's context.
        task = asyncio.create_task(self._carry(lane), context=Context())
        self._lane_tasks.add(task)
        task.add_done_callback(self._lane_tasks.discard)
        return lane

    def room(self, destination_id: str, max_in_flight: int) -> int:
        """Return how many more deliveries the lane would send at once. Any thread may call it."""
        lane = self.lanes.get(destination_id)
        return max_in_flight if lane is None else lane.room(max_in_flight)

    def hand_over(self, claimed: ClaimedBatch) -> None:
        """Send deliveries that were stored already leased; release them if the engine stopped."""
        key = claimed.destination.id
        if not self._running:
            for each in claimed.deliveries:
                self._dispatcher.release(each)
            return
        lane = self.lanes.get(key) or self._open(self._dispatcher.lane(key, more_due=False))
        lane.take_over(claimed)

    async def _carry(self, lane: Lane) -> None:
        try:
            await lane.run()
        except Exception as error:  # noqa: BLE001 - the sweep opens another lane
            _log.error(
                "the delivery lane of %s stopped: %s", lane.destination_id, type(error).__name__
            )
        finally:
            del self.lanes[lane.destination_id]

    def _wake_at(self, destination_id: str, due_at: datetime) -> None:
        delay = (due_at - self._clock.now()).total_seconds()
        if not self._running or delay > _TIMER_HORIZON_SECONDS:
            return
        loop = asyncio.get_running_loop()
        # A little later, so that the retry is due by the clock of the claim, too.
        when = loop.time() + max(delay, 0) + 0.002
        earlier = self._timers.get(destination_id)
        if earlier is not None and not earlier.cancelled() and earlier.when() <= when:
            return
        if earlier is not None:
            earlier.cancel()
        self._timers[destination_id] = loop.call_at(when, self._ring, destination_id)

    def _ring(self, destination_id: str) -> None:
        self._timers.pop(destination_id, None)
        self.wake([destination_id])

    async def health(self, now: datetime) -> HealthReport:
        """Report whether the sweep still runs."""
        last_seen = self.last_sweep_at or self._started_at
        if last_seen is None or now - last_seen > _SILENCE:
            return HealthReport(healthy=False, detail="deliveries are not moving; see the log")
        slowest = self._dispatcher.claim_latency.longest()
        if slowest > SLOW_CLAIM_SECONDS:
            slow = f"deliveries are moving; the database took {slowest:.1f} s to claim some"
            return HealthReport(healthy=True, detail=slow)
        return HealthReport(healthy=True, detail="deliveries are moving")

    def _register_gauges(self) -> None:
        """Register the gauges of the lanes and the sweep."""
        self._metrics.in_flight.read = self._in_flight
        self._metrics.sweep_age.read = self._sweep_age
        for job in self._jobs:
            self._metrics.job_failures.inc((job.name,), 0)

    def _in_flight(self) -> Samples:
        return [((each.destination_id,), each.in_flight) for each in self.lanes.values()]

    def _sweep_age(self) -> Samples:
        if self.last_sweep_at is None:
            return ()
        return (((), (self._clock.now() - self.last_sweep_at).total_seconds()),)

    async def _is_sweeper(self) -> bool:
        """Return whether this process sweeps and runs the jobs; a single process always does."""
        return True

    async def _spread(self, destination_ids: Collection[str]) -> None:
        """Wake the destinations that the sweep found."""
        self.wake(destination_ids)

    async def _owners_died(self, destination_ids: Collection[str]) -> None:
        """React to the death of the process that served these destinations."""

    async def _sweep(self) -> None:
        while not self._ending.is_set():
            try:
                self._sweeping = await self._is_sweeper()
                await self._check_clock()
                await self._dispatcher.stay_alive()
                self.wake(await self._dispatcher.release_lost())
                if self._sweeping:
                    if died := await self._dispatcher.end_leases_of_the_dead():
                        await self._owners_died(died)
                    await self._spread(await self._dispatcher.destinations_with_work())
                self.last_sweep_at = self._clock.now()
            except Exception as error:  # noqa: BLE001 - without the sweep nothing would be found again
                self._report("the sweep", failure_of(error))
            await self._pause(self._sweep_seconds)

    def _report(self, what: str, reason: str) -> None:
        """Log a failure with its cause; the same one again only once a minute."""
        seconds = self._clock.monotonic_seconds()
        was, since = self._reported.get(what, ("", 0.0))
        if reason != was or seconds - since >= _REPORT_AGAIN_SECONDS:
            self._reported[what] = reason, seconds
            _log.error("%s failed: %s", what, reason)

    async def _check_clock(self) -> None:
        """Reschedule after a clock step back; only the sweeper does, so that it happens once.

        A step forward would end all leases: each process extends them before it uses the new time.
        """
        if isinstance(self._clock, HeldClock) and (ahead := self._clock.seconds_ahead()):
            await self._dispatcher.clock_skew.extend_leases(ahead)
            self._clock.follow()
        self._seconds_back += self._step_watch.seconds_back()
        if self._sweeping:
            await self._dispatcher.clock_skew.check(self._seconds_back)
        self._seconds_back = 0.0

    async def _repeat(self, job: Job, begins_after_seconds: float) -> None:
        await self._pause(begins_after_seconds)
        while not self._ending.is_set():
            if not self._sweeping:
                await self._pause(self._sweep_seconds)
                continue
            try:
                await job.run()
            except Exception as error:  # noqa: BLE001 - a job's fault must not end the job
                self._metrics.job_failures.inc((job.name,))
                owner = f" of plugin {job.plugin}" if job.plugin else ""
                place = with_place(failure_of(error), error, job.run)
                self._report(f"job {job.name}{owner}", place)
            await self._pause(job.every_seconds)
