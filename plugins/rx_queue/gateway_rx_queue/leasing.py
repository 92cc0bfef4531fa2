"""Leases of jobs to writers, and their reports.

Reports and leases that arrive together share one transaction, reports first: the jobs that
they release can be leased.
"""

import asyncio
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import islice
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import select

from gateway.plugin import (
    Batcher,
    Caller,
    Conflict,
    Gateway,
    GatewayError,
    NotFound,
    Published,
    Transaction,
    WorkQueue,
    to_epoch_ms,
)
from gateway_rx_queue import events
from gateway_rx_queue.changes import Changes
from gateway_rx_queue.claims import Claims
from gateway_rx_queue.extension_points import WriteOutcome
from gateway_rx_queue.job import Job, drug_code
from gateway_rx_queue.long_poll import LongPoll
from gateway_rx_queue.mapping import is_drug_number
from gateway_rx_queue.model import Reason
from gateway_rx_queue.schema import State
from gateway_rx_queue.settings import RxQueueSettings
from gateway_rx_queue.store import JobStore, Scope
from gateway_rx_queue.tables import JOBS, rx_jobs

_LOST_AT_ONCE: Final = 200
_LONGEST_PAUSE_SECONDS: Final = 86_400.0
_CODE: Final = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)
NO_ANSWER: Final = "writer_gave_no_answer"
GAVE_UP: Final = "gave_up_after_retries"
INVALID_DIN: Final = "invalid_din_reported"


class LeaseRequest(NamedTuple):
    """A request for up to ``limit`` jobs of ``scope`` for ``lease_seconds``."""

    scope: Scope
    actor: str
    limit: int
    lease_seconds: float


class Report(NamedTuple):
    """The outcome of one attempt, with the token of its lease."""

    caller: Caller
    job_id: str
    token: str
    outcome: WriteOutcome


Ask = LeaseRequest | Report


class Leasing:
    """Grants leases and settles reports. One per process."""

    def __init__(
        self, gateway: Gateway, settings: RxQueueSettings, store: JobStore, long_poll: LongPoll
    ) -> None:
        self._gateway = gateway
        self._settings = settings
        self._store = store
        self._long_poll = long_poll
        self._queue = WorkQueue(JOBS, gateway)
        self._claims = Claims(self._queue)
        self._batcher: Batcher[Ask, Any] = Batcher(self._serve)

    async def lease(self, request: LeaseRequest) -> list[Job]:
        """Lease due jobs, the longest due first; an empty list when there are none."""
        jobs: list[Job] = await self._batcher.submit(request)
        if len(jobs) == request.limit:  # there may be more work for another agent
            self._long_poll.wake([request.scope])
        return jobs

    async def report(self, report: Report) -> Job:
        """Settle a report; returns the changed job.

        Raises ``NotFound`` for a job that is not the caller's, ``Conflict`` when the lease
        is not (or no longer) the caller's.
        """
        job: Job = await self._batcher.submit(report)
        return job

    async def report_all(self, reports: Sequence[Report]) -> Sequence[Job | GatewayError]:
        """Settle several reports; returns, for each, the changed job or the error."""
        answers: list[Job | GatewayError] = []
        for answer in await asyncio.gather(
            *map(self._batcher.submit_nowait, reports), return_exceptions=True
        ):
            if not isinstance(answer, Job | NotFound | Conflict):
                raise answer
            answers.append(answer)
        return answers

    async def drained(self) -> None:
        """Wait until every submitted request is stored and answered."""
        await self._batcher.drained()

    async def recover_lost(self) -> None:
        """Requeue or fail the jobs whose lease expired without a report."""
        while True:
            async with self._gateway.database.read() as connection:
                now_ms = to_epoch_ms(self._gateway.clock.now())
                lost_ids = select(rx_jobs.c.id).where(JOBS.is_lost(now_ms)).limit(1)
                if (await connection.execute(lost_ids)).first() is None:
                    return
            async with self._gateway.database.begin() as connection:
                changes = Changes(self._gateway, self._store, self._gateway.clock.now())
                rows = await self._queue.lost(connection, _LOST_AT_ONCE)
                lost = [self._store.job(row) for row in rows]
                for job in lost:
                    self._again(changes, job, "gateway", "lease_ended", NO_ANSWER, at_once=True)
                published = await changes.write(connection)
            self._gateway.publisher.announce(published)
            self._long_poll.wake(_places(lost))
            if len(lost) < _LOST_AT_ONCE:
                return

    async def _serve(self, batch: Sequence[Ask]) -> Sequence[Any]:
        reports = {place: ask for place, ask in enumerate(batch) if isinstance(ask, Report)}

        async def serve(transaction: Transaction) -> tuple[dict[int, Any], Published]:
            return await self._served(transaction, batch, reports)

        answers, published = await self._gateway.database.transact(serve)
        self._gateway.publisher.announce(published)
        self._long_poll.wake(_places(each for each in answers.values() if isinstance(each, Job)))
        return [answers[place] for place in range(len(batch))]

    async def _served(
        self, transaction: Transaction, batch: Sequence[Ask], reports: Mapping[int, Report]
    ) -> tuple[dict[int, Any], Published]:
        """Settle reports, then lease jobs; returns the answers by place."""
        answers: dict[int, Any] = {}
        ids = {each.job_id for each in reports.values()}
        jobs = await self._store.locked(transaction, ids) if ids else {}
        # Read after the lock: another process may have held a job in between.
        changes = Changes(self._gateway, self._store, self._gateway.clock.now())
        for place, report in reports.items():
            answers[place] = answer = self._settled(changes, jobs.get(report.job_id), report)
            if isinstance(answer, Job):
                jobs[answer.id] = answer
        await changes.save(transaction)
        for (scope, lease_seconds), asks in _by_scope(batch):
            limit = sum(ask.limit for _, ask in asks)
            claimed = await self._claims.take(
                transaction, scope, limit, lease_seconds, changes.now_ms
            )
            taken = (self._store.job(item.row) for item in claimed)
            for place, ask in asks:
                answers[place] = self._handed_out(changes, ask, taken)
        return answers, await changes.write(transaction)

    @staticmethod
    def _handed_out(changes: Changes, ask: LeaseRequest, taken: Iterator[Job]) -> list[Job]:
        """Return as many of the claimed jobs as were asked for."""
        jobs = list(islice(taken, ask.limit))
        for job in jobs:
            changes.leased(job, ask.actor)
        return jobs

    def _settled(self, changes: Changes, job: Job | None, report: Report) -> Job | Exception:
        caller = report.caller
        if (
            job is None
            or (job.account_id, job.mode) != (caller.account_id, caller.mode)
            or not caller.sees_site(job.site)
        ):
            return NotFound("There is no such job.")
        ends = job.lease_until_ms or 0
        held = job.state == "writing" and ends > changes.now_ms
        if not held or not secrets.compare_digest(job.lease_token.encode(), _bytes(report)):
            return Conflict(
                "The lease is no longer yours: it has ended, or was reported already. "
                "The job is leased again if necessary."
            )
        return self._ended(changes, job, report.outcome, caller.actor)

    def _ended(self, changes: Changes, job: Job, outcome: WriteOutcome, actor: str) -> Job:
        if outcome.outcome == "completed":
            return self._written(changes, job, outcome.din, actor)
        if job.recalled_at_ms is not None:
            return self._recalled(changes, job, actor)
        if outcome.outcome == "failed":
            return self._failed(changes, job, actor, outcome.reason or "writer_failed")
        if outcome.outcome == "excepted":
            reasons = outcome.reasons or (Reason(code=_code(outcome.reason) or "illegible_field"),)
            named = tuple(msgspec.structs.replace(each, rule="writer") for each in reasons)
            return changes.move(
                job,
                "excepted",
                actor,
                "writer",
                content=_with(job, reasons=named),
                approved_by=None,
                approved_at_ms=None,
            )
        return self._again(
            changes,
            job,
            actor,
            _code(outcome.reason) or "retry",
            outcome.reason,
            least_seconds=outcome.retry_after_seconds or 0.0,
        )

    @staticmethod
    def _written(changes: Changes, job: Job, din: str | None, actor: str) -> Job:
        """Complete a job; another DIN than ordered, and a recall before the write, are flagged."""
        state: State = "completed" if job.approved_by is None else "resolved"
        flags = []
        if din is not None and not is_drug_number(din):
            din = None  # a writer's text may contain anything
            flags.append(INVALID_DIN)
        elif din is not None and din != drug_code(job.content.prescription):
            flags.append(events.ANOTHER_DIN)
        if job.recalled_at_ms is not None:
            flags.append(events.WRITTEN_AFTER_RECALL)
        content = job.content
        if din is not None or flags:
            content = _with(job, din_written=din, flags=(*content.flags, *flags))
        written = changes.move(job, state, actor, "written", content=content)
        for flag in flags:
            changes.note(written, actor, flag)
        if flags:
            changes.announce(events.flagged(written, flags, actor, changes.now))
        return written

    @staticmethod
    def _recalled(changes: Changes, job: Job, actor: str) -> Job:
        """Reject a job that was recalled while it was being written, and isn't written."""
        return changes.move(job, "rejected", actor, events.RECALLED)

    def _again(
        self,
        changes: Changes,
        job: Job,
        actor: str,
        why: str,
        reason: str | None,
        *,
        at_once: bool = False,
        least_seconds: float = 0.0,
    ) -> Job:
        """Requeue a job, in ``least_seconds`` or later, or fail it after its last attempt."""
        if job.recalled_at_ms is not None:
            return self._recalled(changes, job, actor)
        if job.attempts >= self._settings.max_attempts:
            return self._failed(changes, job, actor, reason or GAVE_UP)
        own = self._settings.pause_seconds(job.attempts)
        pause = timedelta(seconds=max(own, min(least_seconds, _LONGEST_PAUSE_SECONDS)))
        due = changes.now if at_once else changes.now + pause
        return changes.move(job, "queued", actor, why, due_at_ms=to_epoch_ms(due))

    @staticmethod
    def _failed(changes: Changes, job: Job, actor: str, reason: str) -> Job:
        content = _with(job, failure_reason=reason)
        return changes.move(job, "failed", actor, _code(reason) or "writer", content=content)


def _by_scope(
    batch: Sequence[Ask],
) -> list[tuple[tuple[Scope, float], list[tuple[int, LeaseRequest]]]]:
    """Return the leases with their places, those of one claim together.

    Agents that ask at once share a claim: each claim looks again at all jobs that wait for one of
    their patient. Ordered by account: a fixed order prevents deadlocks.
    """
    found: dict[tuple[Scope, float], list[tuple[int, LeaseRequest]]] = {}
    for place, ask in enumerate(batch):
        if isinstance(ask, LeaseRequest):
            found.setdefault((ask.scope, ask.lease_seconds), []).append((place, ask))
    return sorted(found.items(), key=lambda each: each[0][0].account_id)


def _with(job: Job, **changes: Any) -> Any:
    return msgspec.structs.replace(job.content, **changes)


def _bytes(report: Report) -> bytes:
    return report.token.encode("utf-8", "surrogatepass")


def _code(reason: str | None) -> str | None:
    """Return a reason if it is a code; free text may name a patient and stays encrypted."""
    return reason if reason is not None and _CODE.fullmatch(reason) else None


def _places(jobs: Any) -> list[Scope]:
    """Return the scopes in which these jobs may have made others claimable."""
    return [Scope(job.account_id, job.mode, job.site) for job in jobs]
