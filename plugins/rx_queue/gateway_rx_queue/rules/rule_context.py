"""The context of a prescription for the rules: catalog, earlier fills, site date."""

import asyncio
import zoneinfo
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from itertools import chain
from typing import Final, NamedTuple

from gateway.plugin import AsyncConnection, Gateway, from_epoch_ms, to_epoch_ms
from gateway_rx_queue.drugs.catalog import Catalog, look_up
from gateway_rx_queue.extension_points import RxCase
from gateway_rx_queue.job import EarlierJob, Job
from gateway_rx_queue.model import EarlierFill, Thresholds
from gateway_rx_queue.rules.rule_runner import RuleRunner
from gateway_rx_queue.settings import RxQueueSettings
from gateway_rx_queue.store import JobStore

EARLIER: Final = timedelta(days=400)
"""How far back earlier fills are read."""
# The maximum of jobs and earlier ones to compare on the event loop; more would block it.
_COMPARED_AT_ONCE: Final = 100


class _Place(NamedTuple):
    """The common context of one site's jobs."""

    zone: tzinfo
    today: date
    thresholds: Thresholds


class RuleContextReader:
    """Reads the context of many prescriptions at once."""

    def __init__(
        self,
        gateway: Gateway,
        settings: RxQueueSettings,
        store: JobStore,
        rule_runner: RuleRunner,
    ) -> None:
        self._gateway = gateway
        self._settings = settings
        self._store = store
        self._rule_runner = rule_runner
        self._zones = {
            (each.account, each.code): zoneinfo.ZoneInfo(each.timezone)
            for each in gateway.settings.sites
        }

    def zone(self, account_id: str, site: str | None) -> tzinfo:
        """Return a site's time zone, UTC where there is none."""
        return self._zones.get((account_id, site or ""), UTC)

    async def read(self, jobs: Sequence[Job], now: datetime) -> list[RxCase]:
        """Return a case for each job."""
        if not jobs:
            return []
        patients = {job.patient_index for job in jobs if job.patient_index}
        fills = {job.fill_index for job in jobs if job.fill_index}
        sites = {(job.account_id, job.site) for job in jobs}
        places = {each: self._place(*each, now) for each in sites}
        longest = max(each.thresholds.duplicate_days for each in places.values())
        async with self._gateway.database.read() as connection:
            earlier = await self._store.earlier(
                connection,
                patients,
                fills,
                to_epoch_ms(now - EARLIER),
                to_epoch_ms(now - timedelta(days=min(longest + 1, EARLIER.days))),
            )
            catalog = await self._catalog(connection, jobs, chain(*earlier.values()))
        if len(jobs) + sum(map(len, earlier.values())) <= _COMPARED_AT_ONCE:
            return self._cases(jobs, catalog, earlier, places)
        return await asyncio.to_thread(self._cases, jobs, catalog, earlier, places)

    def _cases(
        self,
        jobs: Sequence[Job],
        catalog: Catalog,
        earlier: Mapping[bytes, Sequence[EarlierJob]],
        places: Mapping[tuple[str, str | None], _Place],
    ) -> list[RxCase]:
        fills = _Fills(catalog)
        befores = {patient: [*found] for patient, found in earlier.items()}
        cases = []
        for job in jobs:
            before = befores.setdefault(job.patient_index, []) if job.patient_index else []
            place = places[job.account_id, job.site]
            cases.append(self._case(job, catalog, before, fills, place))
            # the next job of this batch sees it as an earlier one
            before.insert(0, EarlierJob.of(job))
        return cases

    @staticmethod
    async def _catalog(
        connection: AsyncConnection, jobs: Sequence[Job], earlier: Iterable[EarlierJob]
    ) -> Catalog:
        medications = [job.content.prescription.medication for job in jobs]
        medications += [each.medication for each in earlier]
        allergies = {
            allergy for job in jobs for allergy in job.content.prescription.patient.allergies
        }
        return await look_up(connection, medications, allergies)

    def _place(self, account_id: str, site: str | None, now: datetime) -> _Place:
        zone = self.zone(account_id, site)
        return _Place(zone, now.astimezone(zone).date(), self._settings.thresholds(site))

    def _case(
        self,
        job: Job,
        catalog: Catalog,
        before: Sequence[EarlierJob],
        fills: "_Fills",
        place: _Place,
    ) -> RxCase:
        prescription = job.content.prescription
        drug = prescription.medication
        zone = place.zone
        known = [each for each in before if _elsewhere(each, job)]
        texts = (drug.drug_text or "", *prescription.patient.allergies)
        return RxCase(
            queue_id=job.id,
            account_id=job.account_id,
            site=job.site,
            prescription=prescription,
            thresholds=place.thresholds,
            today=place.today,
            catalog_loaded=catalog.loaded,
            drug=catalog.entry(drug),
            named_drugs=tuple(catalog.named(drug)) if catalog.loaded else (),
            earlier=tuple(fills.of(each, zone) for each in known if _is_same(each, job)),
            others=tuple(fills.of(each, zone) for each in known if not _is_same(each, job)),
            text_drugs=catalog.by_words(texts) if catalog.loaded else {},
            allergy_groups=self._rule_runner.allergy_groups,
            catalog_date=catalog.dated,
            has_patient=job.patient_index is not None,
        )


def _elsewhere(before: EarlierJob, job: Job) -> bool:
    """Return whether a job is of another submission; the same one again is a duplicate."""
    if before.submission_id == job.submission_id or before.id == job.id:
        return False
    return before.external_index is None or before.external_index != job.external_index


def _is_same(before: EarlierJob, job: Job) -> bool:
    return before.fill_index is not None and before.fill_index == job.fill_index


class _Fills:
    """The earlier fills of a batch, each built once, because all cases of a patient share them."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._known: dict[tuple[str, tzinfo], EarlierFill] = {}

    def of(self, job: EarlierJob, zone: tzinfo) -> EarlierFill:
        """Return a job as an earlier fill, its dates those of ``zone``."""
        found = self._known.get((job.id, zone))
        if found is None:
            found = self._known[job.id, zone] = _fill(job, zone, self._catalog)
        return found


def _fill(job: EarlierJob, zone: tzinfo, catalog: Catalog) -> EarlierFill:
    drug = job.medication
    entry = catalog.entry(drug)
    filled = job.state in {"completed", "resolved"}
    return EarlierFill(
        queue_id=job.id,
        state=job.state,
        created_on=_day(job.created_at_ms, zone),
        filled_on=_day(job.state_at_ms, zone) if filled else None,
        written_date=drug.written_date,
        days_supply=drug.days_supply,
        din=drug.din,
        drug_text=drug.drug_text,
        ingredients=entry.ingredients if entry else (),
    )


def _day(epoch_ms: int, zone: tzinfo) -> date:
    return from_epoch_ms(epoch_ms).astimezone(zone).date()
