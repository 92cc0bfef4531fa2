"""Review of excepted jobs: claim, correct, resolve, reject."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
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
    encode,
    isoformat,
    to_epoch_ms,
)
from gateway_rx_queue import events, mapping
from gateway_rx_queue.changes import Changes
from gateway_rx_queue.drafts import Draft, DraftStore
from gateway_rx_queue.job import Correction, Job
from gateway_rx_queue.long_poll import LongPoll
from gateway_rx_queue.model import Prescription, Reason
from gateway_rx_queue.rules.rule_context import RuleContextReader
from gateway_rx_queue.rules.rule_runner import RuleRunner
from gateway_rx_queue.schema import State
from gateway_rx_queue.settings import RxQueueSettings
from gateway_rx_queue.store import JobFilter, JobStore, Scope

_PARTS: Final = ("patient", "prescriber", "medication")
_STALE: Final = "The job has changed since you saw it; look at it again."
# Reasons that no confirmation can settle.
_IMPOSSIBLE: Final = frozenset({"quantity_missing", "patient_not_found", "sig_missing"})
_EIGHT_DIGITS: Final = "eight digits."
_FIELD: Final = re.compile(r"[a-z_.]{1,64}")
# The number of waiting jobs among which a free one is searched.
_LOOKED_AT: Final = 50
_EXTENDED_BELOW: Final = 0.5
_RETRIED: Final = "retried"


class Reviewer(NamedTuple):
    """The reviewer: a key or a person with its stored name, not one from the request."""

    caller: Caller

    @property
    def actor(self) -> str:
        """The actor in history, events and claims: ``key_…/Front desk``."""
        caller = self.caller
        return f"{caller.actor}/{caller.name}" if caller.name else caller.actor


class Resolution(NamedTuple):
    """A reviewer's approval.

    ``corrections`` by dotted field name; ``version`` is the version of the job that the reviewer
    saw, ``None`` skips that check; ``confirm`` are codes of new reasons that they accept.
    """

    corrections: Mapping[str, Any] = {}
    note: str | None = None
    version: int | None = None
    confirm: Sequence[str] = ()


class NewReasons(Conflict):
    """The corrections cause unconfirmed reasons for review: ``reasons``."""

    def __init__(self, reasons: Sequence[Reason], *, is_clear: bool) -> None:
        super().__init__(
            "The corrections give new reasons for review: look at each, and send its code in "
            "confirm to accept it.",
            [
                Problem(
                    f"{each.code}: {each.message}" if is_clear else each.code,
                    field=each.field or "corrections",
                )
                for each in reasons
            ],
        )
        self.reasons = tuple(reasons)


class Review:
    """Applies the decisions of reviewers, each in one transaction."""

    def __init__(
        self,
        gateway: Gateway,
        settings: RxQueueSettings,
        store: JobStore,
        long_poll: LongPoll,
        cases: RuleContextReader,
        rule_runner: RuleRunner,
    ) -> None:
        self._gateway = gateway
        self._settings = settings
        self._store = store
        self._long_poll = long_poll
        self._cases = cases
        self._rule_runner = rule_runner
        self._drafts = DraftStore(gateway)

    async def claim(self, reviewer: Reviewer, job_id: str) -> Job:
        """Reserve a job for ``claim_minutes``; raises ``Conflict`` if it is held."""

        def decide(changes: Changes, job: Job) -> Job:
            changes.viewed(job, reviewer.actor, "rx.claimed")
            return self._held(changes, job, reviewer)

        return await self._decided(reviewer, job_id, decide)

    def _held(self, changes: Changes, job: Job, reviewer: Reviewer) -> Job:
        until = changes.now + timedelta(minutes=self._settings.claim_minutes)
        return changes.change(
            job,
            version=job.version,
            claimed_by=reviewer.actor,
            claimed_until_ms=to_epoch_ms(until),
        )

    async def claim_next(self, reviewer: Reviewer) -> Job | None:
        """Reserve the free prescription that waits longest; ``None`` when there is none."""
        wanted = JobFilter(_LOOKED_AT, status="excepted")
        async with self._gateway.database.read() as connection:
            waiting = await self._store.page(connection, reviewer.caller, wanted)
        now_ms = to_epoch_ms(self._gateway.clock.now())
        for job in waiting:
            if (job.claimed_until_ms or 0) > now_ms and job.claimed_by != reviewer.actor:
                continue
            try:
                return await self.claim(reviewer, job.id)
            except (Conflict, NotFound):  # another reviewer was faster
                continue
        return None

    async def draft(self, reviewer: Reviewer, job_id: str) -> Draft:
        """Return the reviewer's own draft of a job that the caller has read."""
        async with self._gateway.database.read() as connection:
            return await self._drafts.read(connection, job_id, reviewer.actor)

    async def keep_draft(self, reviewer: Reviewer, job_id: str, draft: Draft) -> None:
        """Store a reviewer's input until the job is decided; extends the reviewer's claim.

        Raises ``Conflict`` when another reviewer holds the job, or when it isn't in review.
        """
        half_ms = int(self._settings.claim_minutes * 60_000 * _EXTENDED_BELOW)

        def decide(changes: Changes, job: Job) -> Job:
            left_ms = (job.claimed_until_ms or 0) - changes.now_ms
            is_mine = job.claimed_by == reviewer.actor
            return self._held(changes, job, reviewer) if is_mine and 0 < left_ms < half_ms else job

        await self._decided(reviewer, job_id, decide, draft=draft)

    async def release(self, reviewer: Reviewer, job_id: str) -> Job:
        """Release a claimed job."""

        def decide(changes: Changes, job: Job) -> Job:
            return changes.change(job, version=job.version, claimed_by=None, claimed_until_ms=None)

        return await self._decided(reviewer, job_id, decide)

    async def resolve(self, reviewer: Reviewer, job_id: str, resolution: Resolution) -> Job:
        """Approve a job with corrections: queued now, ``resolved`` once written.

        The rules check corrections again. Raises ``Conflict`` with a detail for each unconfirmed
        new reason, and when the job changed since the reviewer saw it; ``InvalidInput`` for
        corrections after which it can't be filled.
        """
        async with self._gateway.database.read() as connection:
            seen = await self._store.get(connection, reviewer.caller, job_id)
        judged = None
        if seen is not None and seen.state == "excepted":
            _refuse_stale(seen, resolution.version)
            judged = await self._judged(seen, resolution, is_clear=reviewer.caller.reveals)

        def decide(changes: Changes, job: Job) -> Job:
            if judged is None or seen is None or job.version != seen.version:
                raise Conflict(_STALE)
            correction = Correction(
                at=isoformat(changes.now),
                actor=reviewer.actor,
                note=resolution.note,
                confirmed=tuple(sorted(set(resolution.confirm))),
                **_differences(job.content.prescription, judged.content.prescription),
            )
            content = msgspec.structs.replace(
                judged.content, corrections=(*job.content.corrections, correction)
            )
            changes.viewed(job, reviewer.actor, "rx.resolved")
            return changes.move(
                job,
                "queued",
                reviewer.actor,
                "approved",
                content=content,
                patient_index=judged.patient_index,
                fill_index=judged.fill_index,
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

    async def _judged(self, job: Job, resolution: Resolution, *, is_clear: bool) -> Job:
        """Return the corrected job with the rules' findings; raises for unconfirmed new reasons.

        ``is_clear``: the reviewer sees patient data, so the error contains the reasons' messages.
        """
        after = corrected(job.content.prescription, resolution.corrections)
        if after == job.content.prescription:
            return job
        patient, fill = self._store.indexes(job.account_id, job.mode, job.site, after)
        content = msgspec.structs.replace(job.content, prescription=after)
        fixed = msgspec.structs.replace(
            job, content=content, patient_index=patient, fill_index=fill
        )
        [case] = await self._cases.read([fixed], self._gateway.clock.now())
        [judgement] = await self._rule_runner.judge([case])
        known = {_key(reason) for reason in job.content.reasons}
        new = [reason for reason in judgement.reasons if _key(reason) not in known]
        _refuse_impossible(new, resolution.corrections)
        open_ones = [reason for reason in new if reason.code not in resolution.confirm]
        if open_ones:
            raise NewReasons(open_ones, is_clear=is_clear)
        content = content.judged(judgement.reasons, judgement.checks, case.drug)
        return msgspec.structs.replace(fixed, content=content)

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
                events.REJECTED,
                content=content,
                claimed_by=None,
                claimed_until_ms=None,
            )

        return await self._decided(reviewer, job_id, decide)

    async def recall(self, reviewer: Reviewer, job_id: str, reason: str | None) -> Job:
        """Withdraw a prescription: reject it, or flag it to the agent when it is being written.

        Raises ``Conflict`` for a finished job.
        """

        def decide(changes: Changes, job: Job) -> Job:
            if job.state not in {"queued", "excepted", "writing"}:
                raise Conflict(
                    f"The job is {job.state}; only one that isn't finished can be recalled."
                )
            if job.recalled_at_ms is not None:
                return job
            note = Correction(at=isoformat(changes.now), actor=reviewer.actor, note=reason)
            flags = (*job.content.flags, events.RECALLED)
            content = msgspec.structs.replace(
                job.content, corrections=(*job.content.corrections, note), flags=flags
            )
            changes.viewed(job, reviewer.actor, "rx.recalled")
            if job.state == "writing":
                recalled = changes.change(job, content=content, recalled_at_ms=changes.now_ms)
                changes.note(recalled, reviewer.actor, events.RECALLED)
            else:
                recalled = changes.move(
                    job,
                    "rejected",
                    reviewer.actor,
                    events.RECALLED,
                    content=content,
                    recalled_at_ms=changes.now_ms,
                    claimed_by=None,
                    claimed_until_ms=None,
                )
            changes.announce(events.recalled(recalled, reviewer.actor, changes.now))
            return recalled

        return await self._decided(reviewer, job_id, decide, states=None)

    async def retry(self, reviewer: Reviewer, job_id: str) -> Job:
        """Queue a failed job again, or attempt a waiting one at once.

        The content and the idempotency token stay: a writer that did write it recognises it. Raises
        ``Conflict`` for one in another state, and for one that was erased.
        """

        def decide(changes: Changes, job: Job) -> Job:
            if job.state not in {"failed", "queued"}:
                raise Conflict(
                    f"The job is {job.state}; only one that failed or waits is tried again."
                )
            if job.purged:
                raise Conflict("The prescription was erased at its age; send it again.")
            changes.viewed(job, reviewer.actor, "rx.retried")
            if job.state == "queued":
                again = changes.change(job, version=job.version, due_at_ms=changes.now_ms)
                changes.note(again, reviewer.actor, _RETRIED)
                return again
            content = msgspec.structs.replace(job.content, failure_reason=None)
            return changes.move(
                job,
                "queued",
                reviewer.actor,
                _RETRIED,
                content=content,
                attempts=0,
                due_at_ms=changes.now_ms,
            )

        job = await self._decided(reviewer, job_id, decide, states=None)
        self._long_poll.wake([Scope(job.account_id, job.mode, job.site)])
        return job

    async def _decided(
        self,
        reviewer: Reviewer,
        job_id: str,
        decide: Callable[[Changes, Job], Job],
        states: frozenset[State] | None = frozenset({"excepted"}),
        draft: Draft | None = None,
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
            if states is not None and job.state not in states:
                raise Conflict(f"The job is {job.state}; only one that is excepted is reviewed.")
            held = (job.claimed_until_ms or 0) > changes.now_ms
            if states is not None and held and job.claimed_by != reviewer.actor:
                raise Conflict("Another reviewer holds this job; ask them to release it.")
            decided = decide(changes, job)
            if draft is not None:
                await self._drafts.keep(connection, job_id, reviewer.actor, draft, changes.now)
            published = await changes.write(connection)
        self._gateway.publisher.announce(published)
        return decided


def _refuse_stale(job: Job, version: int | None) -> None:
    if version is not None and version != job.version:
        raise Conflict(_STALE)


def _key(reason: Reason) -> bytes:
    """Return the key by which a reason is recognised, without the states of other jobs."""
    evidence = {name: value for name, value in reason.evidence.items() if name != "status"}
    return encode((reason.code, reason.field, reason.message, evidence))


def is_impossible(reason: Reason) -> bool:
    """Return whether a reason needs a correction, because no confirmation can settle it."""
    not_a_number = reason.code == "drug_not_found" and reason.message.endswith(_EIGHT_DIGITS)
    return reason.code in _IMPOSSIBLE or not_a_number


def _refuse_impossible(new: Sequence[Reason], corrections: Mapping[str, Any]) -> None:
    """Raise ``InvalidInput`` for reasons that no confirmation can settle."""
    problems = [
        Problem(reason.message, field=reason.field) for reason in new if is_impossible(reason)
    ]
    if problems and corrections:
        raise InvalidInput("The corrections don't fit.", problems)


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
    # Every warning names an unknown field; text that isn't a field name is not repeated.
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
        fixed,
        external_id=prescription.external_id,
        confidence=prescription.confidence,
        unmapped=prescription.unmapped,
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
