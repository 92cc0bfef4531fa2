"""What a person does about a job that was excepted: claim it, correct it, resolve or reject it."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any, Final, NamedTuple

import msgspec

from gateway.plugin import (
    Caller,
    Conflict,
    Gateway,
    InvalidInput,
    NotFound,
    Problem,
    isoformat,
    to_epoch_ms,
)
from gateway_rx_queue import mapping
from gateway_rx_queue.changes import Ledger
from gateway_rx_queue.job import Correction, Job
from gateway_rx_queue.long_poll import Waiters
from gateway_rx_queue.points import Prescription
from gateway_rx_queue.settings import RxQueueSettings
from gateway_rx_queue.store import JobStore, Scope

_PARTS: Final = ("patient", "prescriber", "medication")
_FIELD: Final = re.compile(r"[a-z_.]{1,64}")


class Reviewer(NamedTuple):
    """Who reviews: the caller, and the person's name where several share a key.

    The name is only what the caller says: it stands beside the key, never in its place.
    """

    caller: Caller
    name: str | None = None

    @property
    def actor(self) -> str:
        """How history, events and claims call this person: ``key_…``, or ``key_…/m.tremblay``."""
        return f"{self.caller.actor}/{self.name}" if self.name else self.caller.actor


class Review:
    """The desk where people decide."""

    def __init__(
        self, gateway: Gateway, settings: RxQueueSettings, store: JobStore, waiters: Waiters
    ) -> None:
        self._gateway = gateway
        self._settings = settings
        self._store = store
        self._waiters = waiters

    async def claim(self, reviewer: Reviewer, job_id: str) -> Job:
        """Keep a job to one person for ``claim_minutes``; raises ``Conflict`` if another has it."""

        def decide(ledger: Ledger, job: Job) -> Job:
            until = ledger.now + timedelta(minutes=self._settings.claim_minutes)
            ledger.viewed(job, reviewer.actor, "rx.claimed")
            return ledger.change(
                job, claimed_by=reviewer.actor, claimed_until_ms=to_epoch_ms(until)
            )

        return await self._decided(reviewer, job_id, decide)

    async def release(self, reviewer: Reviewer, job_id: str) -> Job:
        """Let others work on a job again."""

        def decide(ledger: Ledger, job: Job) -> Job:
            return ledger.change(job, claimed_by=None, claimed_until_ms=None)

        return await self._decided(reviewer, job_id, decide)

    async def resolve(
        self, reviewer: Reviewer, job_id: str, corrections: Mapping[str, Any], note: str | None
    ) -> Job:
        """Approve a job with its corrections: it is written next, and resolved after that."""

        def decide(ledger: Ledger, job: Job) -> Job:
            before = job.sheet.prescription
            after = corrected(before, corrections)
            correction = Correction(
                at=isoformat(ledger.now),
                actor=reviewer.actor,
                note=note,
                **_differences(before, after),
            )
            sheet = msgspec.structs.replace(
                job.sheet, prescription=after, corrections=(*job.sheet.corrections, correction)
            )
            patient, fill = self._store.indexes(job.account_id, job.mode, job.site, after)
            ledger.viewed(job, reviewer.actor, "rx.resolved")
            return ledger.move(
                job,
                "queued",
                reviewer.actor,
                "approved",
                sheet=sheet,
                patient_index=patient,
                fill_index=fill,
                due_at_ms=ledger.now_ms,
                attempts=0,
                round=job.round + 1,
                approved_by=reviewer.actor,
                approved_at_ms=ledger.now_ms,
                claimed_by=None,
                claimed_until_ms=None,
            )

        job = await self._decided(reviewer, job_id, decide)
        self._waiters.wake([Scope(job.account_id, job.mode, job.site)])
        return job

    async def reject(self, reviewer: Reviewer, job_id: str, reason: str) -> Job:
        """Turn a job down for good; its receivers are told that a reviewer did."""

        def decide(ledger: Ledger, job: Job) -> Job:
            note = Correction(at=isoformat(ledger.now), actor=reviewer.actor, note=reason)
            sheet = msgspec.structs.replace(
                job.sheet, corrections=(*job.sheet.corrections, note), failure_reason=reason
            )
            ledger.viewed(job, reviewer.actor, "rx.rejected")
            return ledger.move(
                job,
                "rejected",
                reviewer.actor,
                "rejected_by_reviewer",
                sheet=sheet,
                claimed_by=None,
                claimed_until_ms=None,
            )

        return await self._decided(reviewer, job_id, decide)

    async def _decided(
        self, reviewer: Reviewer, job_id: str, decide: Callable[[Ledger, Job], Job]
    ) -> Job:
        caller = reviewer.caller
        async with self._gateway.database.begin() as connection:
            job = (await self._store.locked(connection, {job_id})).get(job_id)
            if (
                job is None
                or (job.account_id, job.mode) != (caller.account_id, caller.mode)
                or not caller.sees_site(job.site)
            ):
                raise NotFound("There is no such job.")
            ledger = Ledger(self._gateway, self._store, self._gateway.clock.now())
            if job.state != "excepted":
                raise Conflict(f"The job is {job.state}; only one that is excepted is reviewed.")
            held = (job.claimed_until_ms or 0) > ledger.now_ms
            if held and job.claimed_by != reviewer.actor:
                raise Conflict("Somebody else is reviewing this job; ask them to release it.")
            decided = decide(ledger, job)
            published = await ledger.write(connection)
        self._gateway.publisher.announce(published)
        return decided


def corrected(prescription: Prescription, corrections: Mapping[str, Any]) -> Prescription:
    """Return the prescription with corrections: ``{"medication.din": "…"}`` or nested objects.

    ``null`` takes a value away. Raises ``InvalidInput`` that names the fields at fault.
    """
    written: dict[str, Any] = msgspec.to_builtins(prescription)
    parts = {name: dict(written.get(name, {})) for name in _PARTS}
    given = Counter[str]()
    for part, field, value in _fields(corrections):
        parts[part][field] = value
        given[f"{part}.{field}"] += 1
        if (part, field) == ("medication", "din"):
            parts[part].pop("din_candidates", None)  # they were chosen from
    candidate = mapping.candidate({**parts, "source": prescription.source})
    # Every warning is of a field that there isn't; one that is no name at all isn't repeated.
    problems = [
        *candidate.errors,
        *(
            Problem("there is no such field", field=each.field or "corrections")
            for each in candidate.warnings
        ),
        *(
            Problem("is corrected twice", field=name if _FIELD.fullmatch(name) else "corrections")
            for name, times in given.items()
            if times > 1
        ),
    ]
    if problems:
        raise InvalidInput("The corrections don't fit.", problems)
    fixed = candidate.prescriptions[0]
    return msgspec.structs.replace(
        fixed, external_id=prescription.external_id, confidence=prescription.confidence
    )


def _fields(corrections: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    for name, value in corrections.items():
        part, dot, field = name.partition(".")
        if part not in _PARTS:
            text = f"correct fields of {', '.join(_PARTS)}, as in medication.din"
            raise InvalidInput("The corrections don't fit.", [Problem(text, field="corrections")])
        if dot:
            yield part, field, value
        elif isinstance(value, dict):
            for inner, each in value.items():
                yield part, str(inner), each
        else:
            text = "must be an object of fields"
            raise InvalidInput("The corrections don't fit.", [Problem(text, field=part)])


def _differences(before: Prescription, after: Prescription) -> dict[str, dict[str, Any]]:
    was, now = _flat(before), _flat(after)
    changed = sorted(name for name in was | now if was.get(name) != now.get(name))
    return {
        "before": {name: was.get(name) for name in changed},
        "after": {name: now.get(name) for name in changed},
    }


def _flat(prescription: Prescription) -> dict[str, Any]:
    written: dict[str, Any] = msgspec.to_builtins(prescription)
    return {
        f"{part}.{field}": value
        for part in _PARTS
        for field, value in written.get(part, {}).items()
    }
