"""Intake of prescriptions: rules → deduplication → job + history + events, in one transaction.

Many requests share one transaction (``Batcher``); each is answered after the commit. The
rules run before the transaction begins.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy.exc import IntegrityError

from gateway.plugin import (
    AsyncConnection,
    Batcher,
    Caller,
    Gateway,
    Idempotency,
    Problem,
    Published,
    StoredResponse,
    Transaction,
    keyed_request,
    new_ids,
    split_replays,
    store_responses,
    to_epoch_ms,
)
from gateway_rx_queue.changes import Changes
from gateway_rx_queue.extension_points import RxCase
from gateway_rx_queue.job import Job, JobContent
from gateway_rx_queue.long_poll import LongPoll
from gateway_rx_queue.mapping import Candidate
from gateway_rx_queue.rules.identifiers import warnings_of
from gateway_rx_queue.rules.rule_context import RuleContextReader
from gateway_rx_queue.rules.rule_runner import Judgement, RuleRunner
from gateway_rx_queue.schema import ResultOut, State
from gateway_rx_queue.store import ExternalKey, JobStore, Scope, StoredJob
from gateway_rx_queue.submitting import Submission, SubmissionResult, decode_result, encode_result

# A larger transaction is not faster, and the last request waits longer.
_JOBS_PER_TRANSACTION: Final = 1000


class _NewJobs(NamedTuple):
    """The jobs of one prescription of one submission, and its external key."""

    place: int
    at: int
    jobs: tuple[Job, ...]
    key: ExternalKey | None


class RxIntake:
    """Accepts prescriptions. One per process."""

    def __init__(
        self,
        gateway: Gateway,
        store: JobStore,
        cases: RuleContextReader,
        rule_runner: RuleRunner,
        long_poll: LongPoll,
    ) -> None:
        self._gateway = gateway
        self._store = store
        self._cases = cases
        self._rule_runner = rule_runner
        self._long_poll = long_poll
        self._batcher: Batcher[Submission, SubmissionResult] = Batcher(
            self._take, max_weight=_JOBS_PER_TRANSACTION, weigh=_weight
        )

    async def accept(
        self, caller: Caller, candidates: Sequence[Candidate], idempotency: Idempotency | None
    ) -> SubmissionResult:
        """Store prescriptions; each is accepted or refused alone.

        Raises ``Conflict`` while the first request with the same idempotency key is still
        running, ``IdempotencyKeyReused`` when it came with another body.
        """
        placed = tuple(self._placed(caller, each) for each in candidates)
        request = keyed_request(caller, idempotency)
        return await self._batcher.submit(Submission(caller, placed, request))

    async def drained(self) -> None:
        """Wait until every submission is stored and answered."""
        await self._batcher.drained()

    def _placed(self, caller: Caller, candidate: Candidate) -> Candidate:
        if not candidate.prescriptions:
            return candidate
        site, wrong = self._gateway.sites.resolve(caller, candidate.site)
        return candidate._replace(site=site, errors=candidate.errors + wrong)

    async def _take(self, batch: Sequence[Submission]) -> Sequence[SubmissionResult | Exception]:
        now = self._gateway.clock.now()
        new = await self._judged(batch, now)
        try:
            return await self._store_all(batch, new, now)
        except IntegrityError:
            # Another process committed one of these jobs, or an answer to one of these
            # requests, after our read; the second read finds it.
            return await self._store_all(batch, new, now)

    async def _judged(self, batch: Sequence[Submission], now: datetime) -> list[_NewJobs]:
        """Build the jobs of all valid candidates, and run the rules on them."""
        new = self._made(batch, now)
        cases = await self._cases.read([job for each in new for job in each.jobs], now)
        judged = zip(cases, await self._rule_runner.judge(cases), strict=True)
        return [
            each._replace(jobs=tuple(with_judgement(job, *next(judged)) for job in each.jobs))
            for each in new
        ]

    def _made(self, batch: Sequence[Submission], now: datetime) -> list[_NewJobs]:
        now_ms = to_epoch_ms(now)
        ids = iter(sorted(new_ids("rxq", now_ms, sum(map(_weight, batch)))))
        new = []
        for place, submission in enumerate(batch):
            groups: dict[str, list[str]] = {}
            for index, candidate in enumerate(submission.candidates):
                if candidate.errors or not candidate.prescriptions:
                    continue
                caller = submission.caller
                own = [next(ids) for _ in candidate.prescriptions]
                linked = groups.setdefault(candidate.group or f"#{index}", [])
                jobs = self._jobs(caller, candidate, own, linked, now_ms)
                linked.extend(own)
                key = None
                if candidate.identity is not None:
                    key = self._store.external_key(
                        caller.account_id, caller.mode, candidate.identity
                    )
                    content = self._store.content_index(caller.account_id, candidate.prescriptions)
                    jobs = [
                        msgspec.structs.replace(job, external_index=key[0], content_index=content)
                        for job in jobs
                    ]
                new.append(_NewJobs(place, index, tuple(jobs), key))
        return new

    def _jobs(
        self,
        caller: Caller,
        candidate: Candidate,
        ids: Sequence[str],
        linked: Sequence[str],
        now_ms: int,
    ) -> list[Job]:
        made: list[Job] = []
        for job_id, prescription in zip(ids, candidate.prescriptions, strict=True):
            patient, fill = self._store.indexes(
                caller.account_id, caller.mode, candidate.site, prescription
            )
            warnings = candidate.warnings + tuple(warnings_of(prescription))
            made.append(
                Job(
                    id=job_id,
                    account_id=caller.account_id,
                    mode=caller.mode,
                    site=candidate.site,
                    submission_id=linked[0] if linked else ids[0],
                    place=len(linked) + len(made),
                    source=prescription.source,
                    state="queued",
                    state_at_ms=now_ms,
                    created_at_ms=now_ms,
                    due_at_ms=now_ms,
                    content=JobContent(prescription=prescription, warnings=warnings),
                    patient_index=patient,
                    fill_index=fill,
                )
            )
        return made

    async def _store_all(
        self, batch: Sequence[Submission], new: Sequence[_NewJobs], now: datetime
    ) -> Sequence[SubmissionResult | Exception]:
        async def store(
            transaction: Transaction,
        ) -> tuple[dict[int, SubmissionResult | Exception], Sequence[int], Published]:
            return await self._stored(transaction, batch, new, now)

        answers, fresh, published = await self._gateway.database.transact(store)
        self._gateway.publisher.announce(published)
        stored = [job for each in new if each.place in fresh for job in each.jobs]
        self._long_poll.wake(
            Scope(job.account_id, job.mode, job.site) for job in stored if job.state == "queued"
        )
        return [answers[place] for place in range(len(batch))]

    async def _stored(
        self,
        transaction: Transaction,
        batch: Sequence[Submission],
        new: Sequence[_NewJobs],
        now: datetime,
    ) -> tuple[dict[int, SubmissionResult | Exception], Sequence[int], Published]:
        """Store a batch; returns the answers by place, and the places of new requests."""
        changes = Changes(self._gateway, self._store, now)
        requests = [submission.request for submission in batch]
        earlier, fresh = await split_replays(transaction, requests, now)
        answers: dict[int, SubmissionResult | Exception] = {
            place: decode_result(found) if isinstance(found, bytes) else found
            for place, found in earlier.items()
        }
        results, states = await self._enter(transaction, batch, fresh, new, changes)
        published = await changes.write(transaction)
        kept = []
        for place in fresh:
            answers[place] = taken = _answer(batch[place], results[place], states)
            request = requests[place]
            if request is not None:
                kept.append(StoredResponse(*request, encode_result(taken)))
        await store_responses(transaction, kept, now)
        return answers, fresh, published

    async def _enter(
        self,
        connection: AsyncConnection,
        batch: Sequence[Submission],
        fresh: Sequence[int],
        new: Sequence[_NewJobs],
        changes: Changes,
    ) -> tuple[dict[int, dict[int, ResultOut]], dict[str, State]]:
        """Add the new jobs; returns results by place in the batch and index, and known states."""
        mine = [each for each in new if each.place in fresh]
        known = await self._store.known(connection, {each.key for each in mine if each.key})
        results: dict[int, dict[int, ResultOut]] = {place: {} for place in fresh}
        states: dict[str, State] = {}
        for place, index, made, key in mine:
            actor, jobs = batch[place].caller.actor, made
            if key is not None and key in known:
                before = known[key]
                if not _is_resend(before, jobs[0]):
                    results[place][index] = _known_result(index, jobs[0], before, states)
                    continue
                jobs = _resent(before, jobs)
                for old, job in zip(before, jobs, strict=False):
                    changes.replace(old, job.id, job.account_id, actor)
            for job in jobs:
                changes.add(job, actor)
            if key is not None:
                known[key] = [
                    StoredJob(job.id, job.place, job.site, job.state, job.content_index)
                    for job in jobs
                ]
            results[place][index] = _result(index, "created", tuple(job.id for job in jobs))
        return results, states


def _weight(submission: Submission) -> int:
    return sum(len(each.prescriptions) for each in submission.candidates)


def with_judgement(job: Job, case: RxCase, judgement: Judgement) -> Job:
    """Return the job with the rules' findings; with a reason it is ``excepted``."""
    content = job.content.judged(judgement.reasons, judgement.checks, case.drug)
    state: State = "excepted" if judgement.reasons else job.state
    return msgspec.structs.replace(job, state=state, content=content)


def _is_resend(before: Sequence[StoredJob], job: Job) -> bool:
    """Return whether a prescription replaces one that was rejected or recalled."""
    return before[0].site == job.site and all(each.state == "rejected" for each in before)


def _resent(before: Sequence[StoredJob], jobs: Sequence[Job]) -> tuple[Job, ...]:
    """Return the jobs, each linked with the rejected one in its place."""
    old = {place: each.id for place, each in enumerate(before)}
    return tuple(
        msgspec.structs.replace(job, replaces=old.get(place)) for place, job in enumerate(jobs)
    )


def _known_result(
    index: int, job: Job, known: Sequence[StoredJob], states: dict[str, State]
) -> ResultOut:
    """Return the stored jobs as a duplicate, or a conflict when their content differs."""
    if known[0].site != job.site:
        problem = Problem(
            "another site's prescription has this external_id; put the site into the id",
            field="external_id",
        )
        return ResultOut(index=index, status="rejected", errors=(problem,))
    content = known[0].content_index
    if content is not None and content != job.content_index:
        problem = Problem(
            f"{known[0].id} has this external_id and another content: recall or reject that one "
            "first, or send this one under an id of its own",
            field="external_id",
        )
        return ResultOut(index=index, status="rejected", code="conflict", errors=(problem,))
    states.update({each.id: each.state for each in known})
    return _result(index, "duplicate", tuple(each.id for each in known))


def _result(index: int, status: Any, ids: tuple[str, ...]) -> ResultOut:
    linked = ids if len(ids) > 1 else ()
    return ResultOut(index=index, status=status, queueId=ids[0], queueIds=linked)


def _answer(
    submission: Submission, stored: Mapping[int, ResultOut], states: Mapping[str, State]
) -> SubmissionResult:
    results = tuple(
        stored.get(index) or ResultOut(index=index, status="rejected", errors=candidate.errors)
        for index, candidate in enumerate(submission.candidates)
    )
    warnings = tuple(
        msgspec.structs.replace(problem, index=index)
        for index, candidate in enumerate(submission.candidates)
        for problem in _remarks(candidate)
    )
    own = {each.queueId for each in results}
    return SubmissionResult(
        results, warnings, {key: state for key, state in states.items() if key in own}
    )


def _remarks(candidate: Candidate) -> list[Problem]:
    found = [*candidate.warnings]
    for prescription in candidate.prescriptions:
        found.extend(each for each in warnings_of(prescription) if each not in found)
    return found
