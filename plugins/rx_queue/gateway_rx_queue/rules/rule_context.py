"""What is known around a prescription when the rules are asked: catalog, earlier fills, date."""

import zoneinfo
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Final

from gateway.plugin import Gateway, from_epoch_ms, to_epoch_ms
from gateway_rx_queue.drugs.catalog import Catalog, look_up
from gateway_rx_queue.job import Job
from gateway_rx_queue.points import EarlierFill, RxCase
from gateway_rx_queue.settings import RxQueueSettings
from gateway_rx_queue.store import JobStore

EARLIER: Final = timedelta(days=400)
"""How far back fills of the same drug are looked at."""


class CaseReader:
    """Reads, for many prescriptions at once, what rules want to know."""

    def __init__(self, gateway: Gateway, settings: RxQueueSettings, store: JobStore) -> None:
        self._gateway = gateway
        self._settings = settings
        self._store = store
        self._zones = {
            (each.account, each.code): zoneinfo.ZoneInfo(each.timezone)
            for each in gateway.settings.sites
        }

    async def read(self, jobs: Sequence[Job], now: datetime) -> list[RxCase]:
        """Return a case for each job that is about to be stored."""
        if not jobs:
            return []
        indexes = {job.fill_index for job in jobs if job.fill_index}
        since_ms = to_epoch_ms(now - EARLIER)
        async with self._gateway.database.read() as connection:
            earlier = await self._store.earlier(connection, indexes, since_ms)
            drugs = [job.sheet.prescription.medication for job in jobs]
            catalog = await look_up(connection, drugs)
        cases = []
        for job in jobs:
            before = earlier.setdefault(job.fill_index, []) if job.fill_index else []
            cases.append(self._case(job, catalog, before, now))
            before.insert(0, job)  # the next one in this batch comes after it
        return cases

    def _case(self, job: Job, catalog: Catalog, before: Sequence[Job], now: datetime) -> RxCase:
        drug = job.sheet.prescription.medication
        zone: tzinfo = self._zones.get((job.account_id, job.site or ""), UTC)
        return RxCase(
            queue_id=job.id,
            account_id=job.account_id,
            site=job.site,
            prescription=job.sheet.prescription,
            thresholds=self._settings.thresholds(job.site),
            today=now.astimezone(zone).date(),
            catalog_loaded=catalog.loaded,
            drug=catalog.entry(drug),
            named_drugs=tuple(catalog.named(drug)),
            earlier=tuple(_fill(each, zone) for each in before if _elsewhere(each, job)),
        )


def _elsewhere(before: Job, job: Job) -> bool:
    """Leave out the same submission once more: that is a duplicate of another kind."""
    if before.submission_id == job.submission_id:
        return False
    return before.external_index is None or before.external_index != job.external_index


def _fill(job: Job, zone: tzinfo) -> EarlierFill:
    drug = job.sheet.prescription.medication
    filled = job.state in {"completed", "resolved"}
    return EarlierFill(
        queue_id=job.id,
        state=job.state,
        created_on=_day(job.created_at_ms, zone),
        filled_on=_day(job.state_at_ms, zone) if filled else None,
        written_date=drug.written_date,
        days_supply=drug.days_supply,
    )


def _day(epoch_ms: int, zone: tzinfo) -> date:
    return from_epoch_ms(epoch_ms).astimezone(zone).date()
