"""Taking prescriptions in: judge → deduplicate → job + history + events, in one transaction.

Many requests share one transaction (``Batcher``); each is answered only after it has
committed. Rules are asked before the transaction begins: none waits inside it.
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
    StoredResponse,
    keyed_request,
    new_ids,
    split_replays,
    store_responses,
    to_epoch_ms,
)
from gateway_rx_queue.changes import Ledger
from gateway_rx_queue.job import Job, Sheet
from gateway_rx_queue.long_poll import Waiters
from gateway_rx_queue.mapping import Candidate
from gateway_rx_queue.rules.identifiers import warnings_of
from gateway_rx_queue.rules.rule_context import CaseReader
from gateway_rx_queue.rules.rule_runner import Judge
from gateway_rx_queue.schema import ResultOut, State
from gateway_rx_queue.store import ExternalKey, JobStore, Known, Scope
from gateway_rx_queue.submitting import Submission, Taken, kept_form, replayed

# More at once would not be faster, and the last one would wait longer.
_JOBS_PER_TRANSACTION: Final = 1000


class _Wanted(NamedTuple):
    """One prescription of one submission that is to be stored: its jobs, and its own id."""

    place: int
    at: int
    jobs: tuple[Job, ...]
    key: ExternalKey | None


class RxIntake:
    """Takes prescriptions in. One for each process."""

    def __init__(
        self,
        gateway: Gateway,
        store: JobStore,
        cases: CaseReader,
        judge: Judge,
        waiters: Waiters,
    ) -> None:
        self._gateway = gateway
        self._store = store
        self._cases = cases
        self._judge = judge
        self._waiters = waiters
        self._batcher: Batcher[Submission, Taken] = Batcher(
            self._take, max_weight=_JOBS_PER_TRANSACTION, weigh=_weight
        )

    async def accept(
        self, caller: Caller, candidates: Sequence[Candidate], idempotency: Idempotency | None
    ) -> Taken:
        """Take prescriptions in; each is judged alone, and none of them is lost.

        Raises ``Conflict`` while the first request with the same idempotency key is still
        running, ``IdempotencyKeyReused`` when it came with another body.
        """
        placed = tuple(self._placed(caller, each) for each in candidates)
        request = keyed_request(caller, idempotency)
        return await self._batcher.submit(Submission(caller, placed, request))

    async def drained(self) -> None:
        """Wait until everything that was handed in is stored and answered."""
        await self._batcher.drained()

    def _placed(self, caller: Caller, candidate: Candidate) -> Candidate:
        if not candidate.prescriptions:
            return candidate
        site, wrong = self._gateway.sites.resolve(caller, candidate.site)
        return candidate._replace(site=site, errors=candidate.errors + wrong)

    async def _take(self, batch: Sequence[Submission]) -> Sequence[Taken | Exception]:
        now = self._gateway.clock.now()
        wanted = await self._judged(batch, now)
        try:
            return await self._store_all(batch, wanted, now)
        except IntegrityError:
            # Another process stored one of these, or an answer under one of these keys, after
            # we had looked. What it stored is committed: this time it is found.
            return await self._store_all(batch, wanted, now)

    async def _judged(self, batch: Sequence[Submission], now: datetime) -> list[_Wanted]:
        """Make the jobs of everything that can be kept, and ask the rules about them."""
        wanted = self._made(batch, now)
        jobs = [job for each in wanted for job in each.jobs]
        cases = await self._cases.read(jobs, now)
        reasons = await self._judge.reasons(cases)
        judged = iter(
            _with_reasons(job, tuple(found)) for job, found in zip(jobs, reasons, strict=True)
        )
        return [each._replace(jobs=tuple(next(judged) for _ in each.jobs)) for each in wanted]

    def _made(self, batch: Sequence[Submission], now: datetime) -> list[_Wanted]:
        now_ms = to_epoch_ms(now)
        ids = iter(sorted(new_ids("rxq", now_ms, sum(map(_weight, batch)))))
        wanted = []
        for place, submission in enumerate(batch):
            caller = submission.caller
            for index, candidate in enumerate(submission.candidates):
                if candidate.errors or not candidate.prescriptions:
                    continue
                jobs = self._jobs(caller, candidate, [next(ids) for _ in candidate.prescriptions])
                external_id = candidate.prescriptions[0].external_id
                key = None
                if external_id is not None:
                    key = self._store.external_key(caller.account_id, caller.mode, external_id)
                    jobs = [msgspec.structs.replace(job, external_index=key[0]) for job in jobs]
                timed = (
                    msgspec.structs.replace(
                        job, state_at_ms=now_ms, created_at_ms=now_ms, due_at_ms=now_ms
                    )
                    for job in jobs
                )
                wanted.append(_Wanted(place, index, tuple(timed), key))
        return wanted

    def _jobs(self, caller: Caller, candidate: Candidate, ids: Sequence[str]) -> list[Job]:
        made = []
        for place, (job_id, prescription) in enumerate(
            zip(ids, candidate.prescriptions, strict=True)
        ):
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
                    submission_id=ids[0],
                    place=place,
                    source=prescription.source,
                    state="queued",
                    state_at_ms=0,
                    created_at_ms=0,
                    due_at_ms=0,
                    sheet=Sheet(prescription=prescription, warnings=warnings),
                    patient_index=patient,
                    fill_index=fill,
                )
            )
        return made

    async def _store_all(
        self, batch: Sequence[Submission], wanted: Sequence[_Wanted], now: datetime
    ) -> Sequence[Taken | Exception]:
        ledger = Ledger(self._gateway, self._store, now)
        async with self._gateway.database.begin() as connection:
            requests = [submission.request for submission in batch]
            earlier, fresh = await split_replays(connection, requests, now)
            answers: dict[int, Taken | Exception] = {
                place: replayed(found) if isinstance(found, bytes) else found
                for place, found in earlier.items()
            }
            results, states = await self._enter(connection, batch, fresh, wanted, ledger)
            published = await ledger.write(connection)
            kept = []
            for place in fresh:
                answers[place] = taken = _answer(batch[place], results[place], states)
                request = requests[place]
                if request is not None:
                    kept.append(StoredResponse(*request, kept_form(taken)))
            await store_responses(connection, kept, now)
        self._gateway.publisher.announce(published)
        stored = [job for each in wanted if each.place in fresh for job in each.jobs]
        self._waiters.wake(
            Scope(job.account_id, job.mode, job.site) for job in stored if job.state == "queued"
        )
        return [answers[place] for place in range(len(batch))]

    async def _enter(
        self,
        connection: AsyncConnection,
        batch: Sequence[Submission],
        fresh: Sequence[int],
        wanted: Sequence[_Wanted],
        ledger: Ledger,
    ) -> tuple[dict[int, dict[int, ResultOut]], dict[str, State]]:
        """Enter the new jobs; answers by place in the batch and index."""
        mine = [each for each in wanted if each.place in fresh]
        known = await self._store.known(connection, {each.key for each in mine if each.key})
        results: dict[int, dict[int, ResultOut]] = {place: {} for place in fresh}
        states: dict[str, State] = {}
        for place, index, jobs, key in mine:
            if key is not None and key in known:
                results[place][index] = _duplicate(index, jobs[0].site, known[key], states)
                continue
            for job in jobs:
                ledger.add(job, batch[place].caller.actor)
            if key is not None:
                known[key] = [Known(job.id, job.place, job.site, job.state) for job in jobs]
            ids = tuple(job.id for job in jobs)
            results[place][index] = _result(index, "created", ids)
        return results, states


def _weight(submission: Submission) -> int:
    return sum(len(each.prescriptions) for each in submission.candidates)


def _with_reasons(job: Job, reasons: tuple[Any, ...]) -> Job:
    if not reasons:
        return job
    sheet = msgspec.structs.replace(job.sheet, reasons=reasons)
    return msgspec.structs.replace(job, state="excepted", sheet=sheet)


def _duplicate(
    index: int, site: str | None, known: Sequence[Known], states: dict[str, State]
) -> ResultOut:
    """Answer with the jobs that are there; never let two sites' prescriptions pass for one."""
    if known[0].site != site:
        problem = Problem(
            "another site's prescription has this external_id; put the site into the id",
            field="external_id",
        )
        return ResultOut(index=index, status="rejected", errors=(problem,))
    states.update({each.id: each.state for each in known})
    return _result(index, "duplicate", tuple(each.id for each in known))


def _result(index: int, status: Any, ids: tuple[str, ...]) -> ResultOut:
    linked = ids if len(ids) > 1 else ()
    return ResultOut(index=index, status=status, queueId=ids[0], queueIds=linked)


def _answer(
    submission: Submission, stored: Mapping[int, ResultOut], states: Mapping[str, State]
) -> Taken:
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
    return Taken(results, warnings, {key: state for key, state in states.items() if key in own})


def _remarks(candidate: Candidate) -> list[Problem]:
    found = [*candidate.warnings]
    for prescription in candidate.prescriptions:
        found.extend(each for each in warnings_of(prescription) if each not in found)
    return found
