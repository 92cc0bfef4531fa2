"""The queue's event types and their data. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal

from gateway.plugin import EventDraft, EventType, from_epoch_ms, isoformat, new_id
from gateway_rx_queue.job import Job, drug_code
from gateway_rx_queue.schema import State

_TEXT: Final = {"type": "string"}
_MAYBE: Final = {"type": ["string", "null"]}
_QUEUE_ID: Final = "rxq_0199d2c4a1b27c3e8f40a1b2c3d4e5f6"
_WRITTEN: Final[Mapping[str, Any]] = {
    "patient_id": "P-1204",
    "queue_id": _QUEUE_ID,
    "din": "02242705",
}
_CONTROLLED_RULE: Final = "controlled"
_TEXTS: Final = {"type": "array", "items": _TEXT}
_WRITTEN_SCHEMA: Final[Mapping[str, Any]] = {
    "patient_id": _MAYBE,
    "queue_id": _TEXT,
    "din": _MAYBE,
}


def _(text: str) -> str:
    """Mark a text for the catalogs; it is translated where it is shown."""
    return text


def _type(
    name: str,
    shown: tuple[str, str, Literal["", "ok", "warn", "bad"]],
    meaning: str,
    sample: Mapping[str, Any],
    properties: Mapping[str, Any],
) -> EventType:
    headline, icon, state = shown
    return EventType(
        type=name,
        meaning=meaning,
        sample=sample,
        schema={"type": "object", "properties": properties, "required": sorted(properties)},
        headline=headline,
        icon=icon,
        state=state,
    )


EVENT_TYPES: Final = (
    _type(
        "rx.queued",
        (_("Prescription came in"), "s-new", ""),
        _(
            "A prescription was accepted and stored; `not_checked` names the rules that could not "
            "check it."
        ),
        {
            "queue_id": _QUEUE_ID,
            "patient_id": "P-1204",
            "external_id": "FAX-2231-1",
            "not_checked": ["allergies"],
        },
        {
            "queue_id": _TEXT,
            "patient_id": _MAYBE,
            "external_id": _MAYBE,
            "not_checked": _TEXTS,
        },
    ),
    _type(
        "rx.completed",
        (_("Prescription written"), "s-done", "ok"),
        _("The prescription is in the pharmacy system."),
        _WRITTEN,
        _WRITTEN_SCHEMA,
    ),
    _type(
        "rx.failed",
        (_("Prescription failed"), "s-fail", "bad"),
        _("The prescription will not be written: every attempt failed, or a reviewer rejected it."),
        {"reason": "patient_file_locked", "queue_id": _QUEUE_ID},
        {"reason": _TEXT, "queue_id": _TEXT},
    ),
    _type(
        "rx.excepted",
        (_("Prescription needs a review"), "s-warn", "warn"),
        _("The prescription needs review before it is written."),
        {"reasons": ["din_ambiguous"], "queue_id": _QUEUE_ID},
        {"reasons": {"type": "array", "items": _TEXT}, "queue_id": _TEXT},
    ),
    _type(
        "rx.resolved",
        (_("Prescription reviewed"), "i-check", ""),
        _("A reviewer approved the prescription, and it is in the pharmacy system now."),
        {**_WRITTEN, "resolved_by": "key_0199", "resolved_at": "2026-04-19T18:42:10Z"},
        {**_WRITTEN_SCHEMA, "resolved_by": _MAYBE, "resolved_at": _TEXT},
    ),
    _type(
        "rx.recalled",
        (_("Prescription recalled"), "s-back", "warn"),
        _("A prescription was taken back; with state `writing` it may be written nevertheless."),
        {"queue_id": _QUEUE_ID, "state": "rejected"},
        {"queue_id": _TEXT, "state": _TEXT},
    ),
    _type(
        "rx.flagged",
        (_("Prescription flagged"), "s-warn", "warn"),
        _(
            "A written prescription has to be looked at: another DIN than ordered was written, or "
            "it had been recalled."
        ),
        {"queue_id": _QUEUE_ID, "flags": ["another_din_written"]},
        {"queue_id": _TEXT, "flags": _TEXTS},
    ),
)
_TYPE_OF: Final[Mapping[State, str]] = {
    "queued": "rx.queued",
    "completed": "rx.completed",
    "failed": "rx.failed",
    "excepted": "rx.excepted",
    "resolved": "rx.resolved",
    "rejected": "rx.failed",
}
REJECTED: Final = "rejected_by_reviewer"
RECALLED: Final = "recalled"
WRITTEN_AFTER_RECALL: Final = "written_after_recall"
ANOTHER_DIN: Final = "another_din_written"


def queued(job: Job, actor: str, now: datetime) -> EventDraft:
    """Return the event of a new job."""
    data = {
        "queue_id": job.id,
        "patient_id": job.patient_id,
        "external_id": job.content.prescription.external_id,
        "not_checked": list(job.content.not_checked),
    }
    return _draft("rx.queued", job, data, actor, now)


def ended(job: Job, actor: str, now: datetime) -> EventDraft:
    """Return the event of a state: completed, resolved, failed, rejected, excepted."""
    data: dict[str, Any]
    if job.state == "excepted":
        codes = dict.fromkeys(reason.code for reason in job.content.reasons)
        data = {"reasons": list(codes), "queue_id": job.id}
    elif job.state in {"failed", "rejected"}:
        reason = job.content.failure_reason
        if job.state == "rejected":
            reason = RECALLED if job.recalled_at_ms is not None else REJECTED
        data = {"reason": reason, "queue_id": job.id}
    else:
        din = job.content.din_written or drug_code(job.content.prescription)
        data = {"patient_id": job.patient_id, "queue_id": job.id, "din": din}
    if job.state == "resolved":
        at = from_epoch_ms(job.approved_at_ms or job.state_at_ms)
        data |= {"resolved_by": job.approved_by, "resolved_at": isoformat(at)}
    return _draft(_TYPE_OF[job.state], job, data, actor, now)


def recalled(job: Job, actor: str, now: datetime) -> EventDraft:
    """Return the event of a recall."""
    return _draft("rx.recalled", job, {"queue_id": job.id, "state": job.state}, actor, now)


def flagged(job: Job, flags: Sequence[str], actor: str, now: datetime) -> EventDraft:
    """Return the event of flags that a report gave a written job."""
    return _draft("rx.flagged", job, {"queue_id": job.id, "flags": list(flags)}, actor, now)


def _draft(
    event_type: str, job: Job, data: Mapping[str, Any], actor: str, now: datetime
) -> EventDraft:
    return EventDraft(
        id=new_id("evt", now),
        type=event_type,
        account_id=job.account_id,
        mode=job.mode,
        site=job.site,
        subject=job.id,
        data=data,
        occurred_at=now,
        actor=actor,
        status_after=job.state,
        routing={"controlled": _controlled(job), "source": job.source},
    )


def _controlled(job: Job) -> str:
    """Return whether a job's drug is a controlled one: ``yes``, ``no``, or ``unknown``.

    ``unknown`` where the rule could not check it, and where its content is deleted.
    """
    content = job.content
    if content.prescription.medication.controlled or any(
        each.code == "controlled_substance" for each in content.reasons
    ):
        return "yes"
    found = content.report_of(_CONTROLLED_RULE)
    if found is not None and "controlled_substance" in found.codes:
        return "yes"
    return "no" if found is not None and found.result == "fine" else "unknown"
