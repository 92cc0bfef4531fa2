"""Maps request bodies to the model, and jobs to response bodies. Pure."""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple

import msgspec

from gateway.plugin import (
    CONTROL_CHARACTERS,
    Caller,
    InvalidInput,
    Problem,
    from_epoch_ms,
    isoformat,
    masked,
    problem_of,
    to_epoch_ms,
)
from gateway_rx_queue.extension_points import WriteOutcome
from gateway_rx_queue.job import Job
from gateway_rx_queue.model import Medication, Patient, Prescriber, Prescription, Reason
from gateway_rx_queue.schema import (
    CorrectionOut,
    HistoryOut,
    JobDetailOut,
    JobOut,
    MedicationIn,
    OutcomeIn,
    PatientIn,
    PrescriberIn,
    PrescriptionIn,
)

SOURCES: Final = ("fax", "e-rx", "api", "phone", "transfer")
_CODE_NOISE: Final = re.compile(r"[\s-]+")
_LOOKS_LIKE_A_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
_LARGEST_QUANTITY: Final = Decimal(1_000_000)
_CODES: Final = frozenset({"din", "npn", "pin", "health_number"})
_SHAPES: Final[Mapping[str, type[msgspec.Struct]]] = {
    "patient": PatientIn,
    "prescriber": PrescriberIn,
    "medication": MedicationIn,
}


class Candidate(NamedTuple):
    """One submitted object: a prescription for each of its drugs, or the errors.

    The same ``identity`` again is the same submission. Candidates of one ``group`` are linked.
    """

    prescriptions: tuple[Prescription, ...]
    site: str | None = None
    errors: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    identity: str | None = None
    group: str | None = None


class HistoryRow(NamedTuple):
    """One change of a job, as stored."""

    account_id: str
    job_id: str
    at_ms: int
    actor: str
    from_state: str | None
    to_state: str
    why: str


def candidate(sent: Any) -> Candidate:
    """Validate a submitted object and map it to prescriptions, or return every error."""
    if not isinstance(sent, dict):
        return Candidate((), errors=(Problem("a prescription must be a JSON object"),))
    warnings = tuple(_unknown_fields(sent))
    try:
        read = msgspec.convert(sent, PrescriptionIn)
    except msgspec.ValidationError as error:
        return Candidate((), errors=(problem_of(error),), warnings=warnings)
    drugs = _drugs(read)
    errors = [*_faults(read, drugs)]
    if errors:
        return Candidate((), read.site, tuple(errors), warnings)
    base = Prescription(
        patient=_filled(Patient, read.patient),
        prescriber=_filled(Prescriber, read.prescriber or PrescriberIn()),
        source=read.source or "api",
        external_id=read.external_id or None,
        confidence=read.confidence or {},
    )
    made = tuple(
        msgspec.structs.replace(base, medication=_filled(Medication, drug)) for drug in drugs
    )
    identity = f"id:{base.external_id}" if base.external_id else None
    return Candidate(made, read.site or None, (), warnings, identity)


def _drugs(read: PrescriptionIn) -> tuple[MedicationIn, ...]:
    one = () if read.medication is None else (read.medication,)
    return one + (read.medications or ())


def _faults(read: PrescriptionIn, drugs: tuple[MedicationIn, ...]) -> Iterator[Problem]:
    if not drugs:
        yield Problem("medication is required", field="medication")
    elif read.medication is not None and read.medications is not None:
        yield Problem("name either medication or medications", field="medications")
    if read.source is not None and read.source not in SOURCES:
        yield Problem(f"source must be one of {', '.join(SOURCES)}", field="source")
    for field in read.confidence or ():
        if field not in _FIELDS:
            text = "confidence names a field that a prescription doesn't have"
            yield Problem(text, field="confidence")
            break
    for drug in drugs:
        quantity = drug.quantity
        # Compared without arithmetic: 1e999999999 would overflow.
        if quantity is not None and not (
            quantity.is_finite() and -_LARGEST_QUANTITY <= quantity <= _LARGEST_QUANTITY
        ):
            text = "quantity must be a number of at most 1000000"
            yield Problem(text, field="medication.quantity")
    parts = [("", read), ("patient.", read.patient), ("prescriber.", read.prescriber)]
    for prefix, part in [*parts, *(("medication.", drug) for drug in drugs)]:
        yield from _control_characters(prefix, part)


def _control_characters(prefix: str, part: msgspec.Struct | None) -> Iterator[Problem]:
    for field in part.__struct_fields__ if part is not None else ():
        value = getattr(part, field)
        texts = value if isinstance(value, tuple) else (value,)
        if any(isinstance(text, str) and CONTROL_CHARACTERS.search(text) for text in texts):
            yield Problem(f"{field} contains control characters", field=f"{prefix}{field}")


def _filled(into: type[Any], sent: msgspec.Struct) -> Any:
    """Return the model's struct: texts stripped, empty texts left out."""
    return into(**{name: _tidy(name, getattr(sent, name)) for name in sent.__struct_fields__})


def _tidy(name: str, value: Any) -> Any:
    if isinstance(value, str):
        text = _CODE_NOISE.sub("", value) if name in _CODES else value.strip()
        return text or None
    if name in {"allergies", "din_candidates"}:
        texts = (_tidy("din" if name == "din_candidates" else name, text) for text in value or ())
        return tuple(text for text in texts if text)
    return value


def _unknown_fields(sent: Mapping[str, Any]) -> Iterator[Problem]:
    for prefix, part, shape in _parts(sent):
        for name in part:
            if name not in shape.__struct_fields__:
                shown = f"{prefix}{name}" if _LOOKS_LIKE_A_NAME.fullmatch(str(name)) else None
                yield Problem("unknown field; it was ignored", field=shown)


def _parts(
    sent: Mapping[str, Any],
) -> Iterator[tuple[str, Mapping[str, Any], type[msgspec.Struct]]]:
    yield "", sent, PrescriptionIn
    for name, shape in _SHAPES.items():
        if isinstance(sent.get(name), dict):
            yield f"{name}.", sent[name], shape
    several = sent.get("medications")
    for each in several if isinstance(several, list) else ():
        if isinstance(each, dict):
            yield "medications.", each, MedicationIn


_FIELDS: Final = frozenset(
    f"{part}.{name}" for part, shape in _SHAPES.items() for name in shape.__struct_fields__
)


def job_out(job: Job, now: datetime) -> JobOut:
    """Map a job to an entry of a list, without patient data."""
    return JobOut(
        **_state_fields(job, now),
        reasons=tuple(dict.fromkeys(each.code for each in job.content.reasons)),
        not_checked=job.content.not_checked,
        purged=job.purged,
    )


# Fields of a job that hold no patient data, and texts that people write.
_WITHOUT_PATIENT: Final = frozenset(
    {
        *("age_seconds", "attempts", "claimed_by", "claimed_until", "approved_by", "linked"),
        *("history", "at", "from_status", "to_status", "why", "version", "checks", "rule"),
        *("result", "codes", "code", "field", "recalled_at", "replaces", "replaced_by"),
        *("warnings", "corrections", "confirmed", "prescription"),
    }
)
_FREE_TEXTS: Final = frozenset({"failure_reason", "name"})


def job_detail_out(
    job: Job,
    history: list[HistoryRow],
    linked: tuple[str, ...],
    now: datetime,
    caller: Caller,
) -> Any:
    """Map a job to its full response, as JSON masked for ``caller``."""
    content = job.content
    whole = JobDetailOut(
        **_state_fields(job, now),
        external_id=content.prescription.external_id,
        din_written=content.din_written,
        failure_reason=content.failure_reason,
        reasons=content.reasons,
        warnings=content.warnings,
        corrections=tuple(
            CorrectionOut(
                at=each.at,
                actor=each.actor,
                note=each.note,
                before=dict(each.before),
                after=dict(each.after),
                confirmed=each.confirmed,
            )
            for each in content.corrections
        ),
        linked=linked,
        prescription=None if job.purged else content.prescription,
        history=tuple(_history_out(row) for row in history),
        checks=content.reports,
        drug=content.drug,
        replaces=job.replaces,
        replaced_by=job.replaced_by,
        purged=job.purged,
    )
    return masked(caller, whole, shown=_WITHOUT_PATIENT, hidden=_FREE_TEXTS)


def _state_fields(job: Job, now: datetime) -> dict[str, Any]:
    until = job.claimed_until_ms
    held = until is not None and until > to_epoch_ms(now)
    return {
        "queueId": job.id,
        "status": job.state,
        "status_at": isoformat(from_epoch_ms(job.state_at_ms)),
        "created_at": isoformat(from_epoch_ms(job.created_at_ms)),
        "age_seconds": max(0, to_epoch_ms(now) - job.created_at_ms) // 1000,
        "mode": job.mode,
        "site": job.site,
        "source": job.source,
        "attempts": job.attempts,
        "claimed_by": job.claimed_by if held else None,
        "claimed_until": isoformat(from_epoch_ms(until)) if held and until else None,
        "approved_by": job.approved_by,
        "version": job.version,
        "flags": job.content.flags,
        "recalled_at": None
        if job.recalled_at_ms is None
        else isoformat(from_epoch_ms(job.recalled_at_ms)),
    }


def _history_out(row: HistoryRow) -> HistoryOut:
    return HistoryOut(
        at=isoformat(from_epoch_ms(row.at_ms)),
        actor=row.actor,
        from_status=row.from_state,
        to_status=row.to_state,
        why=row.why,
    )


_CODE: Final = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)
_DIN: Final = re.compile(r"[0-9]{8}", re.ASCII)


def is_drug_number(text: str) -> bool:
    """Return whether a text is a DIN or an NPN: eight digits."""
    return bool(_DIN.fullmatch(text))


def outcome_of(sent: OutcomeIn) -> WriteOutcome:
    """Return the reported outcome; raises ``InvalidInput`` for an invalid code or DIN."""
    reasons = tuple(Reason(code=each) if isinstance(each, str) else each for each in sent.reasons)
    if not all(_CODE.fullmatch(reason.code) for reason in reasons):
        text = "a reason's code is lower case with underscores, as in din_ambiguous"
        raise InvalidInput("The report doesn't fit.", [Problem(text, field="reasons")])
    if sent.din and not is_drug_number(sent.din):
        text = "must be the eight digits of the DIN that was written"
        raise InvalidInput("The report doesn't fit.", [Problem(text, field="din")])
    return WriteOutcome(
        outcome=sent.outcome, din=sent.din or None, reason=sent.reason or None, reasons=reasons
    )
