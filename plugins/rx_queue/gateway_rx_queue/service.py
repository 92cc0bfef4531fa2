"""The queue put together: one for each process, built before anything is open."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.plugin import AuditEntry, Caller, Gateway, HealthReport, NotFound
from gateway.plugin import Job as Recurring
from gateway_rx_queue import retention
from gateway_rx_queue.drugs import catalog as drugs
from gateway_rx_queue.intake import RxIntake
from gateway_rx_queue.job import Job
from gateway_rx_queue.leasing import Desk
from gateway_rx_queue.long_poll import Waiters
from gateway_rx_queue.mapping import HistoryRow
from gateway_rx_queue.points import RxWriter
from gateway_rx_queue.review import Review
from gateway_rx_queue.rules.rule_context import CaseReader
from gateway_rx_queue.rules.rule_runner import Judge
from gateway_rx_queue.sender import Bridge
from gateway_rx_queue.settings import RxQueueSettings
from gateway_rx_queue.store import JobFilter, JobStore
from gateway_rx_queue.writers.push_writer import EVERY_SECONDS, Pump
from gateway_rx_queue.writers.simulator import SIMULATOR


class Queue:
    """The parts of the queue, wired."""

    def __init__(self, gateway: Gateway, settings: RxQueueSettings) -> None:
        self.gateway = gateway
        self.settings = settings
        self.store = JobStore(gateway)
        self.judge = Judge(gateway)
        self.waiters = Waiters(gateway)
        cases = CaseReader(gateway, settings, self.store)
        self.intake = RxIntake(gateway, self.store, cases, self.judge, self.waiters)
        self.desk = Desk(gateway, settings, self.store, self.waiters)
        self._bridge = Bridge(gateway, settings.http)
        own = [SIMULATOR, RxWriter("http", self._bridge.write)]
        self.pump = Pump(gateway, settings, self.desk, own)
        self.retention = retention.Retention(gateway, self.store)
        self.review = Review(gateway, settings, self.store, self.waiters)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Begin; at the end let those go who wait for work, and finish what was handed in."""
        # Asked for now, so that a fault in what plugins bring stops the start.
        _ = self.judge.rules, self.pump.writer()
        self.waiters.open()
        self.pump.open()
        try:
            yield
        finally:
            self.waiters.close()
            await self.pump.close()
            await self._bridge.close()
            await self.intake.drained()
            await self.desk.drained()

    def jobs(self) -> list[Recurring]:
        """Return what is done again and again."""
        return [
            Recurring("rx-leases", self.desk.recover_lost, every_seconds=1.0),
            Recurring("rx-writing", self.pump.run, EVERY_SECONDS),
            Recurring("rx-retention", self.retention.run, retention.EVERY_SECONDS),
        ]

    async def catalog_health(self) -> HealthReport:
        """Say whether DINs can be checked; the queue works without, and says so here."""
        async with self.gateway.database.read() as connection:
            known = await drugs.count(connection)
        if known:
            return HealthReport(healthy=True, detail=f"the drug catalog has {known} products")
        text = "DINs are not checked: load the catalog with gateway rx load-drugs allfiles.zip"
        return HealthReport(healthy=True, detail=text)

    async def show(
        self, caller: Caller, job_id: str
    ) -> tuple[Job, list[HistoryRow], tuple[str, ...]]:
        """Return a job, its history and its submission's other jobs; the view is audited."""
        async with self.gateway.database.read() as connection:
            job = await self.store.get(connection, caller, job_id)
            if job is None:
                raise NotFound("There is no such job.")
            history = await self.store.history(connection, job.id)
            linked = await self.store.linked(connection, job)
        patient, index = job.patient_id, None
        if patient is not None:
            index = self.gateway.packages.index("external_patient_id", job.account_id, patient)
        entry = AuditEntry(job.account_id, caller.actor, "rx.viewed", job.id, index)
        await self.gateway.audit.note([entry])
        return job, history, linked

    async def page(self, caller: Caller, wanted: JobFilter) -> list[Job]:
        """Return jobs for a list that shows nothing of patients."""
        async with self.gateway.database.read() as connection:
            return await self.store.page(connection, caller, wanted)
