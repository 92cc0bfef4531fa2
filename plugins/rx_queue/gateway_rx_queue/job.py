"""A job: one drug for one patient, and its state machine. Pure.

::

    queued → writing → completed | failed | excepted
       ↑        │                             │
       └────────┘ (retry)              ├→ rejected
       └──────────── approved by a reviewer ────┘
    an approved one ends as resolved instead of completed; one that its sender recalls ends as
    rejected, unless it was written by then; a person may have a failed one tried again
"""

import hashlib
from collections.abc import Mapping
from datetime import date
from typing import Any, Final, NamedTuple, Self

import msgspec

from gateway.plugin import Mode, Problem
from gateway_rx_queue.model import Drug, Medication, Patient, Prescription, Reason, RuleReport
from gateway_rx_queue.rules.stored_reports import not_checked_rules, report_of, unpacked
from gateway_rx_queue.schema import State

NEXT: Final[Mapping[State, frozenset[State]]] = {
    "queued": frozenset({"writing", "rejected"}),
    "writing": frozenset({"queued", "completed", "resolved", "failed", "excepted", "rejected"}),
    "excepted": frozenset({"queued", "rejected"}),
    "completed": frozenset(),
    "resolved": frozenset(),
    "failed": frozenset({"queued"}),
    "rejected": frozenset(),
}
"""The next states. A new job begins ``queued`` or, held by a rule, ``excepted``."""


class Correction(msgspec.Struct, frozen=True, kw_only=True):
    """A reviewer's change: dotted field names with the values before and after."""

    at: str
    actor: str
    note: str | None = None
    before: Mapping[str, Any] = {}
    after: Mapping[str, Any] = {}
    confirmed: tuple[str, ...] = ()


class JobContent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The content of a job: all its patient data, stored encrypted as one.

    ``checks`` are the rules' reports in their stored form, ``drug`` is the catalog's entry of the
    DIN, ``flags`` are codes of facts that a person has to know about a job that isn't under review.
    """

    prescription: Prescription
    reasons: tuple[Reason, ...] = ()
    warnings: tuple[Problem, ...] = ()
    corrections: tuple[Correction, ...] = ()
    din_written: str | None = None
    failure_reason: str | None = None
    drug: Drug | None = None
    flags: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    reports_before: tuple[RuleReport, ...] = msgspec.field(name="reports", default=())
    """The reports of a job from before ``checks``."""

    @property
    def reports(self) -> tuple[RuleReport, ...]:
        """The report of each rule: what it checked, or why it couldn't."""
        return unpacked(self.checks) or self.reports_before

    def report_of(self, rule: str) -> RuleReport | None:
        """Return what a rule checked, or why it couldn't; ``None`` where it isn't said."""
        if self.checks:
            return report_of(self.checks, rule)
        return next((each for each in self.reports_before if each.rule == rule), None)

    @property
    def not_checked(self) -> tuple[str, ...]:
        """The names of the rules that could not check."""
        before = [each.rule for each in self.reports_before if each.result == "not_checked"]
        return not_checked_rules(self.checks) or tuple(before)

    def judged(
        self, reasons: tuple[Reason, ...], checks: tuple[str, ...], drug: Drug | None
    ) -> "JobContent":
        """Return the content with the rules' new findings in place of the earlier ones."""
        return msgspec.structs.replace(
            self, reasons=reasons, checks=checks, reports_before=(), drug=drug
        )


class Job(msgspec.Struct, frozen=True):
    """A job as stored. Times are milliseconds since 1970."""

    id: str
    account_id: str
    mode: Mode
    site: str | None
    submission_id: str
    place: int
    source: str
    state: State
    state_at_ms: int
    created_at_ms: int
    due_at_ms: int
    content: JobContent
    attempts: int = 0
    round: int = 0
    lease: str | None = None
    lease_until_ms: int | None = None
    claimed_by: str | None = None
    claimed_until_ms: int | None = None
    approved_by: str | None = None
    approved_at_ms: int | None = None
    external_index: bytes | None = None
    patient_index: bytes | None = None
    fill_index: bytes | None = None
    purged: bool = False
    version: int = 0
    content_index: bytes | None = None
    replaces: str | None = None
    replaced_by: str | None = None
    recalled_at_ms: int | None = None
    sequence: int = 0

    @property
    def idempotency_token(self) -> str:
        """The same in every attempt to write the same content; an approval changes it."""
        return f"{self.id}-{self.round}"

    @property
    def lease_token(self) -> str:
        """Return the token of this job's lease: another one for each job of a lease."""
        return hashlib.sha256(f"{self.lease}|{self.id}".encode()).hexdigest()[:40]

    @property
    def catalog_name(self) -> str | None:
        """The product that the DIN has in the catalog."""
        drug = self.content.drug
        if drug is None:
            return None
        return " ".join(part for part in (drug.name, drug.strength, drug.form) if part)

    @property
    def patient_id(self) -> str | None:
        """The sender's own id of the patient."""
        return self.content.prescription.patient.external_patient_id


class EarlierJob(NamedTuple):
    """The data of a patient's earlier job that the rules need."""

    id: str
    submission_id: str
    state: State
    created_at_ms: int
    state_at_ms: int
    external_index: bytes | None
    fill_index: bytes | None
    medication: Medication

    @classmethod
    def of(cls, job: Job) -> Self:
        """Return a job as an earlier one of its patient's next."""
        return cls(
            job.id,
            job.submission_id,
            job.state,
            job.created_at_ms,
            job.state_at_ms,
            job.external_index,
            job.fill_index,
            job.content.prescription.medication,
        )


def patient_identity(site: str | None, patient: Patient) -> str | None:
    """Return the identity of the patient, or ``None`` when nothing identifies one.

    The sender's id of the patient, else the health number, else name and date of birth.
    """
    place = site or ""
    if patient.external_patient_id:
        return f"{place}|id|{patient.external_patient_id.strip().casefold()}"
    if patient.health_number:
        return f"{place}|hn|{(patient.province or '').upper()}|{patient.health_number.casefold()}"
    if patient.last_name and patient.first_name and isinstance(patient.dob, date):
        name = f"{patient.last_name}|{patient.first_name}".casefold()
        return f"{place}|name|{name}|{patient.dob.isoformat()}"
    return None


def drug_code(prescription: Prescription) -> str | None:
    """Return the drug's number, if there is one."""
    drug = prescription.medication
    return drug.din or drug.npn or drug.pin
