"""The context of a prescription for the rules: catalog, earlier fills, site date."""

import zoneinfo
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Final

from gateway.plugin import Gateway, from_epoch_ms, to_epoch_ms
from gateway_rx_queue.drugs.catalog import Catalog, look_up
from gateway_rx_queue.extension_points import RxCase
from gateway_rx_queue.job import Job
from gateway_rx_queue.model import EarlierFill
from gateway_rx_queue.settings import RxQueueSettings
from gateway_rx_queue.store import JobStore

EARLIER: Final = timedelta(days=400)
"""How far back earlier fills are read."""


class RuleContextReader:
    """Reads the context of many prescriptions at once."""

    def __init__(self, gateway: Gateway, settings: RxQueueSettings, store: JobStore) -> None:
        self._gateway = gateway
        self._settings = settings
        self._store = store
        self._zones = {
            (each.account, each.code): zoneinfo.ZoneInfo(each.timezone)
            for each in gateway.settings.sites
        }

    async def read(self, jobs: Sequence[Job], now: datetime) -> list[RxCase]:
        """Return a case for each job."""
        if not jobs:
            return []
        indexes = {job.fill_index for job in jobs if job.fill_index}
        since_ms = to_epoch_ms(now - EARLIER)
        async with self._gateway.database.read() as connection:
            earlier = await self._store.earlier(connection, indexes, since_ms)
            drugs = [job.content.prescription.medication for job in jobs]
            catalog = await look_up(connection, drugs)
        cases = []
        for job in jobs:
            before = earlier.setdefault(job.fill_index, []) if job.fill_index else []
            cases.append(self._case(job, catalog, before, now))
            before.insert(0, job)  # the next of this batch sees it
        return cases

    def _case(self, job: Job, catalog: Catalog, before: Sequence[Job], now: datetime) -> RxCase:
        drug = job.content.prescription.medication
        zone: tzinfo = self._zones.get((job.account_id, job.site or ""), UTC)
        return RxCase(
            queue_id=job.id,
            account_id=job.account_id,
            site=job.site,
            prescription=job.content.prescription,
            thresholds=self._settings.thresholds(job.site),
            today=now.astimezone(zone).date(),
            catalog_loaded=catalog.loaded,
            drug=catalog.entry(drug),
            named_drugs=tuple(catalog.named(drug)),
            earlier=tuple(_fill(each, zone) for each in before if _elsewhere(each, job)),
        )


def _elsewhere(before: Job, job: Job) -> bool:
    """Return whether a job is of another submission; the same one again is a duplicate."""
    if before.submission_id == job.submission_id:
        return False
    return before.external_index is None or before.external_index != job.external_index


def _fill(job: Job, zone: tzinfo) -> EarlierFill:
    drug = job.content.prescription.medication
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
