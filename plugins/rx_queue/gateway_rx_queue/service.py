"""The composition root of the queue: one per process, built before the database is open."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from gateway.plugin import AuditEntry, Caller, Gateway, HealthReport, NotFound, PatientKeys
from gateway.plugin import Job as Recurring
from gateway_rx_queue import retention
from gateway_rx_queue.agents import Agents
from gateway_rx_queue.changes import Shown, audit_entry
from gateway_rx_queue.drugs import catalog as drugs
from gateway_rx_queue.evidence import EvidenceReader
from gateway_rx_queue.extension_points import RxWriter
from gateway_rx_queue.intake import RxIntake
from gateway_rx_queue.job import Job
from gateway_rx_queue.leasing import Leasing
from gateway_rx_queue.long_poll import LongPoll
from gateway_rx_queue.mapping import HistoryRow
from gateway_rx_queue.overview import Overview
from gateway_rx_queue.review import Review
from gateway_rx_queue.rules.rule_context import RuleContextReader
from gateway_rx_queue.rules.rule_runner import RuleRunner
from gateway_rx_queue.sender import Bridge
from gateway_rx_queue.settings import RxQueueSettings
from gateway_rx_queue.store import JobFilter, JobStore
from gateway_rx_queue.writers.push_writer import EVERY_SECONDS, PushWriter
from gateway_rx_queue.writers.simulator import SIMULATOR

_OLD_CATALOG_DAYS: Final = 62


class RxService:
    """Builds the queue's parts and offers its read operations."""

    def __init__(self, gateway: Gateway, settings: RxQueueSettings) -> None:
        self.gateway = gateway
        self.settings = settings
        self.store = JobStore(gateway)
        self.rule_runner = RuleRunner(gateway)
        self.long_poll = LongPoll(gateway)
        cases = RuleContextReader(gateway, settings, self.store, self.rule_runner)
        self.cases = cases
        self.intake = RxIntake(gateway, self.store, cases, self.rule_runner, self.long_poll)
        self.evidence = EvidenceReader(gateway, self.store, cases)
        self.overview = Overview(gateway, self.store)
        self.agents = Agents(gateway)
        self.leasing = Leasing(gateway, settings, self.store, self.long_poll)
        self._bridge = Bridge(gateway, settings.http)
        own = [SIMULATOR, RxWriter("http", self._bridge.write)]
        self.push_writer = PushWriter(gateway, settings, self.leasing, own)
        self.retention = retention.Retention(gateway, self.store)
        self.review = Review(gateway, settings, self.store, self.long_poll, cases, self.rule_runner)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Open the queue; on exit release waiting agents and finish accepted work."""
        # Read now, so that an invalid extension stops the start.
        _ = self.rule_runner.rules, self.rule_runner.allergy_groups, self.push_writer.writer()
        self.long_poll.open()
        await self.push_writer.open()
        try:
            yield
        finally:
            self.long_poll.close()
            await self.push_writer.close()
            await self._bridge.close()
            await self.intake.drained()
            await self.leasing.drained()

    def jobs(self) -> list[Recurring]:
        """Return the recurring jobs; raises ``PluginError`` for a writer that doesn't exist."""
        self.push_writer.writer()  # checked at the start, before there is a database
        return [
            Recurring("rx-leases", self.leasing.recover_lost, every_seconds=1.0),
            Recurring("rx-writing", self.push_writer.run, EVERY_SECONDS),
            Recurring("rx-retention", self.retention.run, retention.EVERY_SECONDS),
        ]

    async def catalog_health(self) -> HealthReport:
        """Report whether a drug catalog is loaded."""
        async with self.gateway.database.read() as connection:
            loaded = await drugs.state(connection)
        if loaded.products:
            text = f"the drug catalog has {loaded.products} products"
            if loaded.dated is not None:
                text += f", of {loaded.dated.isoformat()}"
                if (self.gateway.clock.now().date() - loaded.dated).days > _OLD_CATALOG_DAYS:
                    text += ": it is old, load the new extract with gateway rx load-drugs"
            return HealthReport(healthy=True, detail=text)
        text = "DINs are not checked: load the catalog with gateway rx load-drugs allfiles.zip"
        return HealthReport(healthy=True, detail=text)

    async def show(
        self, caller: Caller, job_id: str, fields: tuple[Shown, ...] | None = None
    ) -> tuple[Job, list[HistoryRow], tuple[str, ...]]:
        """Return a job, its history and its submission's other jobs; the view is audited.

        ``fields`` are the groups shown in full, if those aren't all that the caller may see.
        """
        async with self.gateway.database.read() as connection:
            job = await self.store.get(connection, caller, job_id)
            if job is None:
                raise NotFound("There is no such job.")
            history = await self.store.history(connection, job.id)
            linked = await self.store.linked(connection, job)
        entry = audit_entry(
            self.gateway, job, caller.actor, "rx.viewed", reader=caller, fields=fields
        )
        await self.gateway.audit.note([entry])
        return job, history, linked

    async def get(self, caller: Caller, job_id: str) -> Job:
        """Return a job that isn't shown to the caller; raises ``NotFound``."""
        async with self.gateway.database.read() as connection:
            job = await self.store.get(connection, caller, job_id)
        if job is None:
            raise NotFound("There is no such job.")
        return job

    def patient_keys(self, job: Job) -> PatientKeys:
        """Return the values by which the audit trail finds the patient's record."""
        keys = self.gateway.packages.keys_of(job.account_id, patient_id=job.patient_id)
        return keys._replace(package_id=job.id)

    async def listed(self, caller: Caller, wanted: JobFilter) -> list[Job]:
        """Return a page of jobs for a list that shows the patients masked; the list is audited."""
        jobs = await self.page(caller, wanted)
        await self.note_list(caller, jobs)
        return jobs

    async def note_list(self, caller: Caller, jobs: Sequence[Job]) -> None:
        """Audit a list of masked patients as one entry."""
        if jobs:
            entry = AuditEntry.by(
                caller, "list", "rx.listed_masked", "prescriptions", purpose="care"
            )
            await self.gateway.audit.note([entry])

    async def page(self, caller: Caller, wanted: JobFilter) -> list[Job]:
        """Return a page of jobs."""
        async with self.gateway.database.read() as connection:
            return await self.store.page(connection, caller, wanted)
