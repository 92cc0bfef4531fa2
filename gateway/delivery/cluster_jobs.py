"""Jobs of the whole installation: ``Job(once_per_cluster=True)``.

Without Redis each process runs the jobs; with Redis the sweeping process does, and briefly two
processes when another takes over the sweep. For a job of the whole installation one process takes
its lease (:mod:`gateway.storage.stores.job_runs`) and runs it, and the next run is due for all
processes together.
"""

import asyncio
import dataclasses
import functools
import logging
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from gateway.clock import Clock, to_epoch_ms
from gateway.sdk.records import Job
from gateway.storage.database import Database
from gateway.storage.stores import job_runs

LEASE_SECONDS: Final = 30.0
"""How long after a killed process its job stays untouched."""
_RENEWED_PER_LEASE: Final = 3
_LONGEST_LOOK_SECONDS: Final = 60.0
_SHORTEST_LOOK_SECONDS: Final = 1.0
_LOOKS_PER_RUN: Final = 10

_log = logging.getLogger(__name__)


class ClusterJobs:
    """Wraps jobs of the whole installation, so that each process may call them."""

    def __init__(
        self, database: Database, clock: Clock, *, lease_seconds: float = LEASE_SECONDS
    ) -> None:
        self._database = database
        self._clock = clock
        self._lease_seconds = lease_seconds

    def shared(self, job: Job) -> Job:
        """Return ``job`` wrapped: a call runs it only if it is due and no other process runs it.

        It is called more often than it runs, so that a run isn't late by a whole interval.
        """
        name = f"{job.plugin}.{job.name}"

        @functools.wraps(job.run)  # errors are logged with the job's own file and line
        async def run() -> None:
            await self._run(name, job)

        look_seconds = min(job.every_seconds / _LOOKS_PER_RUN, _LONGEST_LOOK_SECONDS)
        look_seconds = min(job.every_seconds, max(look_seconds, _SHORTEST_LOOK_SECONDS))
        return dataclasses.replace(job, run=run, every_seconds=look_seconds)

    async def _run(self, name: str, job: Job) -> None:
        every_ms, lease_ms = int(job.every_seconds * 1000), int(self._lease_seconds * 1000)
        token = await job_runs.take(
            self._database, name, self._now_ms(), every_ms=every_ms, lease_ms=lease_ms
        )
        if token is None:
            return
        pause_ms = 0  # of a run that was stopped: another process runs it
        work = asyncio.ensure_future(job.run())
        try:
            if await self._is_held_until_done(name, token, work):
                pause_ms = every_ms
                await work
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            await job_runs.finish(self._database, name, token, self._now_ms() + pause_ms)

    async def _is_held_until_done(
        self, name: str, token: str, work: "asyncio.Future[None]"
    ) -> bool:
        """Renew the lease until the run ends; ``False`` when another process took it."""
        ends = self._clock.monotonic_seconds() + self._lease_seconds
        while True:
            done, _ = await asyncio.wait({work}, timeout=self._lease_seconds / _RENEWED_PER_LEASE)
            if done:
                return True
            began = self._clock.monotonic_seconds()
            try:
                until_ms = self._now_ms() + int(self._lease_seconds * 1000)
                is_held = await job_runs.renew(self._database, name, token, until_ms)
            except (SQLAlchemyError, OSError):
                is_held = began < ends  # the renewal is repeated while the lease lasts
            else:
                ends = began + self._lease_seconds
            if not is_held:
                _log.warning("job %s was stopped here: another process has taken it over", name)
                return False

    def _now_ms(self) -> int:
        return to_epoch_ms(self._clock.now())
