"""The evidence for a review: candidates, and earlier fills."""

from datetime import date, tzinfo
from typing import Final

import msgspec

from gateway.plugin import Gateway, from_epoch_ms, to_epoch_ms
from gateway_rx_queue.drugs.catalog import Catalog, look_up
from gateway_rx_queue.job import EarlierJob, Job
from gateway_rx_queue.model import Drug, Medication
from gateway_rx_queue.rules.rule_context import EARLIER, RuleContextReader
from gateway_rx_queue.store import JobStore

_MOST_CANDIDATES: Final = 20
_MOST_FILLS: Final = 10
_WRITTEN: Final = frozenset({"completed", "resolved"})
_DIN: Final = "medication.din"


class CandidateOut(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A number that may be the drug's: the catalog's entry, and when it was last filled."""

    value: str
    label: str = ""
    drug: Drug | None = None
    filled_on: date | None = None


class FillOut(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An earlier prescription of the same patient for this drug or one of the candidates."""

    queueId: str  # noqa: N815 - the wire's name
    filled_on: date
    din: str | None = None
    drug_text: str | None = None
    name: str = ""
    quantity: float | None = None
    days_supply: int | None = None


class EvidenceOut(msgspec.Struct, frozen=True, kw_only=True):
    """The evidence: candidates in the order of the reasons, fills newest first."""

    candidates: tuple[CandidateOut, ...]
    fills: tuple[FillOut, ...]


class EvidenceReader:
    """Reads the evidence for one job."""

    def __init__(self, gateway: Gateway, store: JobStore, cases: RuleContextReader) -> None:
        self._gateway = gateway
        self._store = store
        self._cases = cases

    async def of(self, job: Job) -> EvidenceOut:
        """Return the evidence for a job. The caller checks the permission, and audits the view."""
        labels = candidates_of(job)
        numbers = [*labels, *filter(None, [job.content.prescription.medication.din])]
        fills = {
            fill: number
            for number in numbers
            if (fill := self._fill_index(job, number)) is not None
        }
        now_ms = to_epoch_ms(self._gateway.clock.now())
        since_ms = now_ms - int(EARLIER.total_seconds() * 1000)
        patients = [job.patient_index] if job.patient_index else []
        async with self._gateway.database.read() as connection:
            found = await self._store.earlier(connection, patients, [*fills], since_ms, now_ms)
            earlier = [
                each
                for each in found.get(job.patient_index or b"", [])
                if each.state in _WRITTEN and each.submission_id != job.submission_id
            ]
            medications = [each.medication for each in earlier]
            asked = [Medication(din_candidates=tuple(numbers)), *medications]
            catalog = await look_up(connection, asked)
        zone = self._cases.zone(job.account_id, job.site)
        shown = tuple(_fill(each, zone, catalog) for each in earlier[:_MOST_FILLS])
        filled = {each.din: each.filled_on for each in reversed(shown)}
        return EvidenceOut(
            candidates=tuple(
                CandidateOut(
                    value=number,
                    label=label,
                    drug=catalog.by_din.get(number),
                    filled_on=filled.get(number),
                )
                for number, label in labels.items()
            ),
            fills=shown,
        )

    def _fill_index(self, job: Job, number: str) -> bytes | None:
        prescription = job.content.prescription
        drug = msgspec.structs.replace(prescription.medication, din=number)
        whole = msgspec.structs.replace(prescription, medication=drug)
        return self._store.indexes(job.account_id, job.mode, job.site, whole)[1]


def candidates_of(job: Job) -> dict[str, str]:
    """Return the numbers between which a reviewer chooses, with their labels, in order."""
    found: dict[str, str] = {}
    for reason in job.content.reasons:
        if reason.field == _DIN:
            for each in reason.candidates:
                found[each.value] = found.get(each.value) or each.label
    for number in job.content.prescription.medication.din_candidates:
        found.setdefault(number, "")
    return dict(list(found.items())[:_MOST_CANDIDATES])


def _fill(job: EarlierJob, zone: tzinfo, catalog: Catalog) -> FillOut:
    drug = job.medication
    entry = catalog.entry(drug)
    return FillOut(
        queueId=job.id,
        filled_on=from_epoch_ms(job.state_at_ms).astimezone(zone).date(),
        din=drug.din,
        drug_text=drug.drug_text,
        name=entry.name if entry else "",
        quantity=None if drug.quantity is None else float(drug.quantity),
        days_supply=drug.days_supply,
    )
