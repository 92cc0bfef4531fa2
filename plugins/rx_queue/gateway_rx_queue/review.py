"""Review of excepted jobs: claim, correct, resolve, reject."""

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
from gateway_rx_queue.changes import Changes
from gateway_rx_queue.job import Correction, Job
from gateway_rx_queue.long_poll import LongPoll
from gateway_rx_queue.model import Prescription
from gateway_rx_queue.settings import RxQueueSettings
from gateway_rx_queue.store import JobStore, Scope

_PARTS: Final = ("patient", "prescriber", "medication")
_FIELD: Final = re.compile(r"[a-z_.]{1,64}")


class Reviewer(NamedTuple):
    """The reviewer: the caller, and a person's name where several share a key.

    The name is the caller's claim: it is recorded beside the key, never instead of it.
    """

    caller: Caller
    name: str | None = None

    @property
    def actor(self) -> str:
        """The actor in history, events and claims: ``key_…``, or ``key_…/m.tremblay``."""
        return f"{self.caller.actor}/{self.name}" if self.name else self.caller.actor


class Review:
    """Applies the decisions of reviewers, each in one transaction."""

    def __init__(
        self, gateway: Gateway, settings: RxQueueSettings, store: JobStore, long_poll: LongPoll
    ) -> None:
        self._gateway = gateway
        self._settings = settings
        self._store = store
        self._long_poll = long_poll

    async def claim(self, reviewer: Reviewer, job_id: str) -> Job:
        """Reserve a job for ``claim_minutes``; raises ``Conflict`` if it is held."""

        def decide(changes: Changes, job: Job) -> Job:
            until = changes.now + timedelta(minutes=self._settings.claim_minutes)
            changes.viewed(job, reviewer.actor, "rx.claimed")
            return changes.change(
                job, claimed_by=reviewer.actor, claimed_until_ms=to_epoch_ms(until)
            )

        return await self._decided(reviewer, job_id, decide)

    async def release(self, reviewer: Reviewer, job_id: str) -> Job:
        """Release a claimed job."""

        def decide(changes: Changes, job: Job) -> Job:
            return changes.change(job, claimed_by=None, claimed_until_ms=None)

        return await self._decided(reviewer, job_id, decide)

    async def resolve(
        self, reviewer: Reviewer, job_id: str, corrections: Mapping[str, Any], note: str | None
    ) -> Job:
        """Approve a job with corrections: queued now, ``resolved`` once written."""

        def decide(changes: Changes, job: Job) -> Job:
            before = job.content.prescription
            after = corrected(before, corrections)
            correction = Correction(
                at=isoformat(changes.now),
                actor=reviewer.actor,
                note=note,
                **_differences(before, after),
            )
            content = msgspec.structs.replace(
                job.content, prescription=after, corrections=(*job.content.corrections, correction)
            )
            patient, fill = self._store.indexes(job.account_id, job.mode, job.site, after)
            changes.viewed(job, reviewer.actor, "rx.resolved")
            return changes.move(
                job,
                "queued",
                reviewer.actor,
                "approved",
                content=content,
                patient_index=patient,
                fill_index=fill,
                due_at_ms=changes.now_ms,
                attempts=0,
                round=job.round + 1,
                approved_by=reviewer.actor,
                approved_at_ms=changes.now_ms,
                claimed_by=None,
                claimed_until_ms=None,
            )

        job = await self._decided(reviewer, job_id, decide)
        self._long_poll.wake([Scope(job.account_id, job.mode, job.site)])
        return job

    async def reject(self, reviewer: Reviewer, job_id: str, reason: str) -> Job:
        """Reject a job permanently; ``rx.failed`` says ``rejected_by_reviewer``."""

        def decide(changes: Changes, job: Job) -> Job:
            note = Correction(at=isoformat(changes.now), actor=reviewer.actor, note=reason)
            content = msgspec.structs.replace(
                job.content, corrections=(*job.content.corrections, note), failure_reason=reason
            )
            changes.viewed(job, reviewer.actor, "rx.rejected")
            return changes.move(
                job,
                "rejected",
                reviewer.actor,
                "rejected_by_reviewer",
                content=content,
                claimed_by=None,
                claimed_until_ms=None,
            )

        return await self._decided(reviewer, job_id, decide)

    async def _decided(
        self, reviewer: Reviewer, job_id: str, decide: Callable[[Changes, Job], Job]
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
            changes = Changes(self._gateway, self._store, self._gateway.clock.now())
            if job.state != "excepted":
                raise Conflict(f"The job is {job.state}; only one that is excepted is reviewed.")
            held = (job.claimed_until_ms or 0) > changes.now_ms
            if held and job.claimed_by != reviewer.actor:
                raise Conflict("Another reviewer holds this job; ask them to release it.")
            decided = decide(changes, job)
            published = await changes.write(connection)
        self._gateway.publisher.announce(published)
        return decided


def corrected(prescription: Prescription, corrections: Mapping[str, Any]) -> Prescription:
    """Return the prescription with corrections: ``{"medication.din": "…"}`` or nested objects.

    ``null`` removes a value. Raises ``InvalidInput`` that names the fields at fault.
    """
    written: dict[str, Any] = msgspec.to_builtins(prescription)
    parts = {name: dict(written.get(name, {})) for name in _PARTS}
    given = Counter[str]()
    for part, field, value in _fields(corrections):
        parts[part][field] = value
        given[f"{part}.{field}"] += 1
        if (part, field) == ("medication", "din"):
            parts[part].pop("din_candidates", None)  # the choice was made
    candidate = mapping.candidate({**parts, "source": prescription.source})
    # Every warning names an unknown field; one that is no field name is not echoed.
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
