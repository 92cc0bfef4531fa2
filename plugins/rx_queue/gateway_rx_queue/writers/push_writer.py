"""Push writing: leases jobs and passes them to the configured writer.

A ``QueueWorker`` leases batches, writes and reports, up to ``max_in_flight`` at a time, until no
job is due. A recurring job of the engine wakes it, in one process of all that share a database.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from gateway.plugin import Caller, Conflict, Gateway, PluginError, QueueWorker
from gateway_rx_queue import claims
from gateway_rx_queue.extension_points import WRITERS, RxWriter, WriteJob, WriteOutcome
from gateway_rx_queue.job import Job
from gateway_rx_queue.leasing import LeaseRequest, Leasing, Report
from gateway_rx_queue.settings import AGENT, RxQueueSettings

_log = logging.getLogger(__name__)

EVERY_SECONDS: Final = 0.25
_GRACE_SECONDS: Final = 5.0
# An attempt ends this long before its lease, so that its report comes in time.
_MARGIN_SECONDS: Final = 1.0


class PushWriter:
    """Calls the configured writer. One per process.

    At shutdown, running writes have ``grace_seconds`` to finish.
    """

    def __init__(
        self,
        gateway: Gateway,
        settings: RxQueueSettings,
        leasing: Leasing,
        own_writers: Sequence[RxWriter],
        *,
        grace_seconds: float = _GRACE_SECONDS,
    ) -> None:
        self._gateway = gateway
        self._settings = settings
        self._leasing = leasing
        self._own_writers = own_writers
        self._grace_seconds = grace_seconds
        self._worker: QueueWorker[list[Job]] | None = None

    def writer(self) -> RxWriter | None:
        """Return the configured writer; ``None`` when agents lease jobs.

        Raises ``PluginError`` when no installed plugin has a writer of that name.
        """
        name = self._settings.writer
        if name == AGENT:
            return None
        records = self._gateway.extensions(WRITERS)
        writers = [*self._own_writers, *(each for each in records if isinstance(each, RxWriter))]
        if len(writers) != len(self._own_writers) + len(records):
            raise PluginError(f"a plugin returns a record for {WRITERS} that is no RxWriter")
        found = [each for each in writers if each.name == name]
        if len(found) != 1:
            names = ", ".join(sorted({AGENT, *(each.name for each in writers)}))
            why = "is defined by two plugins" if found else f"must be one of {names}"
            raise PluginError(f"[plugins.rx_queue] writer {why}")
        return found[0]

    async def run(self) -> None:
        """Write due jobs, without waiting for it."""
        if self._worker is not None:
            await self._worker.run()

    async def open(self) -> None:
        """Accept work."""
        writer = self.writer()
        if writer is None:
            return

        async def claim(limit: int) -> list[list[Job]]:
            batches: list[list[Job]] = []
            while len(batches) < limit and (jobs := await self._leased(writer)):
                batches.append(jobs)
            return batches

        async def work(jobs: list[Job]) -> None:
            outcomes = await self._written(writer, jobs)
            await asyncio.gather(*map(self._reported, jobs, outcomes, [writer.name] * len(jobs)))

        self._worker = QueueWorker(
            claim, work, _no_sweep, writer.max_in_flight, grace_seconds=self._grace_seconds
        )
        await self._worker.__aenter__()

    async def close(self) -> None:
        """Finish running writes; a slower one is leased again when its lease expires."""
        worker, self._worker = self._worker, None
        if worker is not None:
            await worker.__aexit__()

    async def _leased(self, writer: RxWriter) -> list[Job]:
        """Lease a batch, account by account."""
        async with self._gateway.database.read() as connection:
            scopes = await claims.scopes_with_work(connection)
        for scope in scopes:
            lease = LeaseRequest(
                scope, f"writer:{writer.name}", writer.max_batch, self._settings.lease_seconds
            )
            jobs = await self._leasing.lease(lease)
            if jobs:
                return jobs
        return []

    async def _written(self, writer: RxWriter, jobs: Sequence[Job]) -> list[WriteOutcome]:
        lease_seconds = self._settings.lease_seconds
        deadline = max(lease_seconds - _MARGIN_SECONDS, lease_seconds / 2)
        try:
            async with asyncio.timeout(deadline):
                outcomes = list(await writer.write([_write_job(job) for job in jobs]))
        except TimeoutError:
            outcomes, why = [], "writer_timed_out"
        except Exception as error:  # noqa: BLE001 - a writer's fault is a failed attempt
            _log.error("writer %s failed: %s", writer.name, type(error).__name__)
            outcomes, why = [], "writer_raised"
        else:
            why = "writer_answered_wrongly"
        if len(outcomes) != len(jobs):
            return [WriteOutcome(outcome="retry", reason=why)] * len(jobs)
        return outcomes

    async def _reported(self, job: Job, outcome: WriteOutcome, writer: str) -> None:
        caller = Caller(job.account_id, job.mode, f"writer:{writer}")
        try:
            await self._leasing.report(Report(caller, job.id, job.lease_token, outcome))
        except Conflict:
            _log.warning("job %s took longer than its lease; it is leased again", job.id)


async def _no_sweep() -> None:
    """Do nothing: the job ``rx-leases`` finds the leases that ended, for agents too."""


def _write_job(job: Job) -> WriteJob:
    return WriteJob(
        queue_id=job.id,
        idempotency_token=job.idempotency_token,
        attempt=job.attempts,
        account_id=job.account_id,
        site=job.site,
        prescription=job.content.prescription,
        catalog_name=job.catalog_name,
    )
