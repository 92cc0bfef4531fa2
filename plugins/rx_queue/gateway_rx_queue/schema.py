"""Request and response bodies."""

from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from gateway.plugin import Mode, Problem
from gateway_rx_queue.model import Drug, Prescription, Reason, RuleReport
from gateway_rx_queue.settings import LONGEST_LEASE_SECONDS

State = Literal["queued", "writing", "completed", "failed", "excepted", "resolved", "rejected"]

LONGEST_SUPPLY_DAYS: Final = 3650
"""Ten years; a longer supply is an error of the sender."""

_Text = Annotated[str, Meta(max_length=500)]
_Id = Annotated[str, Meta(max_length=255)]
_Code = Annotated[str, Meta(max_length=40)]
_Confidence = Annotated[float, Meta(ge=0, le=1)]


class PatientIn(msgspec.Struct, frozen=True, kw_only=True):
    """The patient."""

    external_patient_id: _Id | None = None
    first_name: _Text | None = None
    last_name: _Text | None = None
    dob: Annotated[date | None, Meta(description="ISO, as in 1950-02-01")] = None
    phone: _Text | None = None
    address: _Text | None = None
    health_number: _Text | None = None
    health_number_version: _Code | None = None
    province: Annotated[str, Meta(max_length=40, examples=["ON"])] | None = None
    allergies: Annotated[tuple[_Text, ...], Meta(max_length=100)] | None = None


class PrescriberIn(msgspec.Struct, frozen=True, kw_only=True):
    """The prescriber."""

    name: _Text | None = None
    licence_type: Annotated[str, Meta(max_length=40, examples=["CPSO"])] | None = None
    licence_number: _Id | None = None
    phone: _Text | None = None
    fax: _Text | None = None


class MedicationIn(msgspec.Struct, frozen=True, kw_only=True):
    """One drug. Leave out a field that you are not sure of: the job is then held for review."""

    din: Annotated[str, Meta(max_length=40, examples=["02242705"])] | None = None
    npn: _Code | None = None
    pin: _Code | None = None
    din_candidates: (
        Annotated[tuple[_Code, ...], Meta(max_length=50, description="when you can't decide")]
        | None
    ) = None
    drug_text: _Text | None = None
    strength: _Text | None = None
    form: _Text | None = None
    quantity: Decimal | None = None
    quantity_unit: _Code | None = None
    days_supply: Annotated[int, Meta(ge=1, le=LONGEST_SUPPLY_DAYS)] | None = None
    sig: Annotated[str, Meta(max_length=2000)] | None = None
    refills: int | None = None
    no_substitution: bool | None = None
    written_date: date | None = None
    controlled: bool | None = None
    notes: Annotated[str, Meta(max_length=2000)] | None = None
    indication: _Text | None = None
    valid_from: date | None = None
    valid_until: date | None = None


class PrescriptionIn(msgspec.Struct, frozen=True, kw_only=True):
    """One prescription; each of its drugs becomes a job of its own.

    Name one drug as ``medication``, several as ``medications``.
    """

    patient: PatientIn
    medication: MedicationIn | None = None
    medications: Annotated[tuple[MedicationIn, ...], Meta(max_length=20)] | None = None
    prescriber: PrescriberIn | None = None
    external_id: (
        Annotated[str, Meta(max_length=255, description="your own id; once more is a duplicate")]
        | None
    ) = None
    site: Annotated[str | None, Meta(description="a site's code")] = None
    source: Annotated[str | None, Meta(description="fax, e-rx, api, phone or transfer")] = None
    confidence: Annotated[
        dict[str, _Confidence] | None,
        Meta(description='how sure you are of a field: {"medication.din": 0.98}'),
    ] = None


class SubmittedOut(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The result of a submission.

    ``queueIds`` is present for more than one drug, ``duplicate`` when the same
    ``external_id`` was submitted before.
    """

    queueId: str  # noqa: N815 - the wire's name
    status: State
    queueIds: list[str] = []  # noqa: N815 - the wire's name
    duplicate: bool = False
    warnings: tuple[Problem, ...] = ()


class ResultOut(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The result of one prescription of a batch.

    ``code`` is ``conflict`` when the same ``external_id`` has another content.
    """

    index: int
    status: Literal["created", "duplicate", "rejected"]
    queueId: str | None = None  # noqa: N815 - the wire's name
    queueIds: tuple[str, ...] = ()  # noqa: N815 - the wire's name
    code: str | None = None
    errors: tuple[Problem, ...] = ()


class BatchOut(msgspec.Struct, frozen=True):
    """The results of a batch; ``created`` counts jobs."""

    created: int
    queueIds: list[str]  # noqa: N815 - the wire's name
    warnings: tuple[Problem, ...]
    results: tuple[ResultOut, ...]


class HistoryOut(msgspec.Struct, frozen=True, kw_only=True):
    """One change of a job."""

    at: str
    actor: str
    from_status: str | None
    to_status: str
    why: str


class CorrectionOut(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A reviewer's changes, field by field, and the note."""

    at: str
    actor: str
    note: str | None
    before: dict[str, Any]
    after: dict[str, Any]
    confirmed: tuple[str, ...] = ()


class JobOut(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A job in a list: no patient data, and the reasons for review.

    ``not_checked`` names the rules that could not check it, ``flags`` the facts that a person has
    to know.
    """

    queueId: str  # noqa: N815 - the wire's name
    status: State
    status_at: str
    created_at: str
    age_seconds: int
    mode: Mode
    site: str | None
    source: str
    attempts: int
    reasons: tuple[str, ...]
    claimed_by: str | None
    claimed_until: str | None
    approved_by: str | None
    version: int
    not_checked: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    recalled_at: str | None = None
    purged: bool = False


class JobsOut(msgspec.Struct, frozen=True):
    """A page of jobs; ``next_cursor`` is null on the last one."""

    jobs: list[JobOut]
    next_cursor: str | None


class JobDetailOut(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One job in full. ``linked`` are its submission's other jobs.

    ``checks`` report, for each rule, whether it found a reason, found nothing, or could not
    check. ``drug`` is the catalog's entry of the DIN. ``replaces`` and ``replaced_by`` link it with
    the job that it was sent again for. ``purged`` is present, and true, once retention erased the
    content.
    """

    queueId: str  # noqa: N815 - the wire's name
    status: State
    status_at: str
    created_at: str
    age_seconds: int
    mode: Mode
    site: str | None
    source: str
    external_id: str | None
    attempts: int
    claimed_by: str | None
    claimed_until: str | None
    approved_by: str | None
    din_written: str | None
    failure_reason: str | None
    reasons: tuple[Reason, ...]
    warnings: tuple[Problem, ...]
    corrections: tuple[CorrectionOut, ...]
    linked: tuple[str, ...]
    prescription: Prescription | None
    history: tuple[HistoryOut, ...]
    version: int
    checks: tuple[RuleReport, ...] = ()
    drug: Drug | None = None
    flags: tuple[str, ...] = ()
    recalled_at: str | None = None
    replaces: str | None = None
    replaced_by: str | None = None
    purged: bool = False


class StateCountOut(msgspec.Struct, frozen=True, kw_only=True):
    """The jobs in a state: all unfinished ones, today's finished ones.

    ``has_more``: there are more than the counted thousand.
    """

    status: State
    count: int
    has_more: bool
    oldest_at: str | None


class AgentOut(msgspec.Struct, frozen=True, kw_only=True):
    """An agent: its key, the key's name, and when it last asked for jobs."""

    actor: str
    name: str
    site: str | None
    asked_at: str


class OverviewOut(msgspec.Struct, frozen=True, kw_only=True):
    """The queue at a glance; ``writer`` is ``agent``, or the push writer's name."""

    writer: str
    states: list[StateCountOut]
    agents: list[AgentOut]


class LeaseIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The number of jobs, and how long to wait for the first."""

    max: Annotated[int, Meta(ge=1, le=100)] = 1
    wait_seconds: Annotated[float, Meta(ge=0, le=30)] = 0
    lease_seconds: (
        Annotated[
            float, Meta(ge=1, le=LONGEST_LEASE_SECONDS, description="how long you need for a job")
        ]
        | None
    ) = None


class LeasedOut(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A leased job, for ``lease_seconds`` from now: until ``lease_expires_at`` by our clock.

    ``idempotency_token`` is the same when the same job is leased again: check whether it was
    written already. ``attempt`` counts from 1.
    """

    queueId: str  # noqa: N815 - the wire's name
    lease_token: str
    lease_expires_at: str
    lease_seconds: float
    idempotency_token: str
    attempt: int
    site: str | None
    prescription: Prescription
    catalog_name: str | None = None


class LeaseOut(msgspec.Struct, frozen=True):
    """The leased jobs; empty when none is due."""

    jobs: list[LeasedOut]


class OutcomeIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The outcome. ``reasons`` are codes, or objects with candidates and evidence."""

    outcome: Literal["completed", "failed", "retry", "excepted"]
    din: Annotated[str, Meta(max_length=40, description="the one that was written")] | None = None
    reason: Annotated[str, Meta(max_length=200, examples=["patient_file_locked"])] | None = None
    reasons: Annotated[list[str | Reason], Meta(max_length=50)] = []


class ResultIn(OutcomeIn, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The outcome, and the token of the lease."""

    lease_token: Annotated[str, Meta(max_length=200)]


class QueuedResultIn(ResultIn, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A result among others, with the id of its job."""

    queueId: Annotated[str, Meta(max_length=200)]  # noqa: N815 - the wire's name


class ResultsIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Several results at once."""

    results: Annotated[tuple[QueuedResultIn, ...], Meta(min_length=1, max_length=100)]


class BridgeJobOut(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A job as it is posted to a bridge."""

    queueId: str  # noqa: N815 - the wire's name
    idempotency_token: str
    attempt: int
    site: str | None
    prescription: Prescription
    catalog_name: str | None = None


class JobStateOut(msgspec.Struct, frozen=True, omit_defaults=True):
    """The state of a job."""

    queueId: str  # noqa: N815 - the wire's name
    status: State


class ReviewerIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The reviewer is the key, by its name; ``reviewer`` is taken and not used."""

    reviewer: (
        Annotated[str, Meta(max_length=100, description="not used: the key's name counts")] | None
    ) = None


class ResolveIn(ReviewerIn, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Corrections by dotted field name, and a note."""

    corrections: Annotated[
        dict[str, Any], Meta(description='{"medication.din": "02242705"}; null removes a value')
    ] = {}
    note: Annotated[str, Meta(max_length=2000)] | None = None
    version: Annotated[
        int | None, Meta(description="the job's version that you saw; 409 when it has changed")
    ] = None
    confirm: Annotated[
        tuple[_Code, ...],
        Meta(max_length=50, description="the codes of new reasons that you accept, one by one"),
    ] = ()


class RejectIn(ReviewerIn, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why the job is rejected; stored here, not sent. Events say `rejected_by_reviewer`."""

    reason: Annotated[str, Meta(min_length=1, max_length=2000)]


class RecallIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why the prescription is recalled; stored here, not sent."""

    reason: Annotated[str, Meta(max_length=2000)] | None = None


class ReportedOut(JobStateOut, frozen=True, omit_defaults=True):
    """The state of a job after a report; ``recalled`` when its sender withdrew it meanwhile."""

    recalled: bool = False


class ReportOut(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to one result: the job's state after it, or why it was refused."""

    index: int
    queueId: str  # noqa: N815 - the wire's name
    status: State | Literal["refused"]
    recalled: bool = False
    code: str | None = None
    error: str | None = None


class ReportsOut(msgspec.Struct, frozen=True):
    """The results of a batch, in their order."""

    results: tuple[ReportOut, ...]


class ClaimedOut(JobStateOut, frozen=True):
    """The holder of the claim, and its end."""

    claimed_by: str
    claimed_until: str
    version: int


class NextOut(msgspec.Struct, frozen=True):
    """The job that was claimed; null when none waits."""

    job: ClaimedOut | None
