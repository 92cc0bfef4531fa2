"""Handing jobs to writers and taking their reports: leases, tries, and how each ends.

Reports and leases that arrive together share one transaction, reports first: what they
set free is there to be leased.
"""

import re
import secrets
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final, NamedTuple

import msgspec

from gateway.plugin import (
    AsyncConnection,
    Batcher,
    Caller,
    Conflict,
    Gateway,
    NotFound,
    to_epoch_ms,
)
from gateway_rx_queue import claims
from gateway_rx_queue.changes import Ledger
from gateway_rx_queue.job import Job
from gateway_rx_queue.long_poll import Waiters
from gateway_rx_queue.points import Reason, WriteOutcome
from gateway_rx_queue.schema import State
from gateway_rx_queue.settings import RxQueueSettings
from gateway_rx_queue.store import JobStore, Scope

_LOST_AT_ONCE: Final = 200
_CODE: Final = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)
NO_ANSWER: Final = "writer_gave_no_answer"
GAVE_UP: Final = "gave_up_after_retries"


class LeaseRequest(NamedTuple):
    """Somebody who wants up to ``limit`` jobs of ``scope`` for ``lease_seconds``."""

    scope: Scope
    actor: str
    limit: int
    lease_seconds: float


class Report(NamedTuple):
    """How one try ended, from whoever shows the lease's token."""

    caller: Caller
    job_id: str
    token: str
    outcome: WriteOutcome


Ask = LeaseRequest | Report


class Desk:
    """Where writers come for work, and come back with it. One for each process."""

    def __init__(
        self, gateway: Gateway, settings: RxQueueSettings, store: JobStore, waiters: Waiters
    ) -> None:
        self._gateway = gateway
        self._settings = settings
        self._store = store
        self._waiters = waiters
        self._batcher: Batcher[Ask, Any] = Batcher(self._serve)

    async def lease(self, request: LeaseRequest) -> list[Job]:
        """Hand out jobs that are due, the longest due first; an empty list when there are none."""
        jobs: list[Job] = await self._batcher.submit(request)
        if len(jobs) == request.limit:  # there may be more, and another who waits for it
            self._waiters.wake([request.scope])
        return jobs

    async def report(self, report: Report) -> Job:
        """Take a report; returns the job as it stands after it.

        Raises ``NotFound`` for a job that is not the caller's, ``Conflict`` when the lease
        is not (or no longer) its own.
        """
        job: Job = await self._batcher.submit(report)
        return job

    async def drained(self) -> None:
        """Wait until everything that was handed in is stored and answered."""
        await self._batcher.drained()

    async def recover_lost(self) -> None:
        """Queue again, or give up, what writers took and never reported."""
        while True:
            async with self._gateway.database.read() as connection:
                now_ms = to_epoch_ms(self._gateway.clock.now())
                if not await claims.any_lost(connection, now_ms):
                    return
            async with self._gateway.database.begin() as connection:
                ledger = Ledger(self._gateway, self._store, self._gateway.clock.now())
                lost = await claims.lost(connection, ledger.now_ms, _LOST_AT_ONCE, self._store)
                for job in lost:
                    self._again(ledger, job, "gateway", "lease_ended", NO_ANSWER, at_once=True)
                published = await ledger.write(connection)
            self._gateway.publisher.announce(published)
            self._waiters.wake(_places(lost))
            if len(lost) < _LOST_AT_ONCE:
                return

    async def _serve(self, batch: Sequence[Ask]) -> Sequence[Any]:
        reports = {place: ask for place, ask in enumerate(batch) if isinstance(ask, Report)}
        answers: dict[int, Any] = {}
        async with self._gateway.database.begin() as connection:
            jobs = await self._store.locked(connection, {each.job_id for each in reports.values()})
            # Not before: another process may have held a job while we waited for it.
            ledger = Ledger(self._gateway, self._store, self._gateway.clock.now())
            for place, report in reports.items():
                answers[place] = answer = self._settled(ledger, jobs.get(report.job_id), report)
                if isinstance(answer, Job):
                    jobs[answer.id] = answer
            published = await ledger.write(connection)
            handing = Ledger(self._gateway, self._store, ledger.now)
            for place, ask in _by_account(batch):
                answers[place] = await self._handed_out(connection, handing, ask)
            await handing.write(connection)
        self._gateway.publisher.announce(published)
        self._waiters.wake(_places(each for each in answers.values() if isinstance(each, Job)))
        return [answers[place] for place in range(len(batch))]

    async def _handed_out(
        self, connection: AsyncConnection, ledger: Ledger, ask: LeaseRequest
    ) -> list[Job]:
        lease = claims.Lease(
            secrets.token_urlsafe(18), ledger.now_ms + int(ask.lease_seconds * 1000)
        )
        jobs = await claims.claim(
            connection, ask.scope, ask.limit, ledger.now_ms, lease, self._store
        )
        for job in jobs:
            ledger.leased(job, ask.actor)
        return jobs

    def _settled(self, ledger: Ledger, job: Job | None, report: Report) -> Job | Exception:
        caller = report.caller
        if (
            job is None
            or (job.account_id, job.mode) != (caller.account_id, caller.mode)
            or not caller.sees_site(job.site)
        ):
            return NotFound("There is no such job.")
        ends = job.lease_until_ms or 0
        held = job.state == "writing" and ends > ledger.now_ms
        if not held or not secrets.compare_digest((job.lease or "").encode(), _bytes(report)):
            return Conflict(
                "The lease is no longer yours: it has ended, or was reported already. "
                "The job is offered again if it has to be."
            )
        return self._ended(ledger, job, report.outcome, caller.actor)

    def _ended(self, ledger: Ledger, job: Job, outcome: WriteOutcome, actor: str) -> Job:
        if outcome.outcome == "completed":
            state: State = "completed" if job.approved_by is None else "resolved"
            changes: dict[str, Any] = {}
            if outcome.din is not None:
                changes["sheet"] = _with(job, din_written=outcome.din)
            return ledger.move(job, state, actor, "written", **changes)
        if outcome.outcome == "failed":
            return self._failed(ledger, job, actor, outcome.reason or "writer_failed")
        if outcome.outcome == "excepted":
            reasons = outcome.reasons or (Reason(code=_code(outcome.reason) or "illegible_field"),)
            named = tuple(msgspec.structs.replace(each, rule="writer") for each in reasons)
            return ledger.move(
                job,
                "excepted",
                actor,
                "writer",
                sheet=_with(job, reasons=named),
                approved_by=None,
                approved_at_ms=None,
            )
        return self._again(ledger, job, actor, _code(outcome.reason) or "retry", outcome.reason)

    def _again(
        self,
        ledger: Ledger,
        job: Job,
        actor: str,
        why: str,
        reason: str | None,
        *,
        at_once: bool = False,
    ) -> Job:
        """Queue a job again, or give it up after its last try."""
        if job.attempts >= self._settings.max_attempts:
            return self._failed(ledger, job, actor, reason or GAVE_UP)
        pause = timedelta(seconds=self._settings.pause_seconds(job.attempts))
        due = ledger.now if at_once else ledger.now + pause
        return ledger.move(job, "queued", actor, why, due_at_ms=to_epoch_ms(due))

    @staticmethod
    def _failed(ledger: Ledger, job: Job, actor: str, reason: str) -> Job:
        sheet = _with(job, failure_reason=reason)
        return ledger.move(job, "failed", actor, _code(reason) or "writer", sheet=sheet)


def _by_account(batch: Sequence[Ask]) -> list[tuple[int, LeaseRequest]]:
    """Return the leases with their places, in one order of accounts: nobody locks anybody out."""
    leases = [(place, ask) for place, ask in enumerate(batch) if isinstance(ask, LeaseRequest)]
    return sorted(leases, key=lambda each: each[1].scope.account_id)


def _with(job: Job, **changes: Any) -> Any:
    return msgspec.structs.replace(job.sheet, **changes)


def _bytes(report: Report) -> bytes:
    return report.token.encode("utf-8", "surrogatepass")


def _code(reason: str | None) -> str | None:
    """Return a reason where it is a code: free text may name a patient, and stays sealed."""
    return reason if reason is not None and _CODE.fullmatch(reason) else None


def _places(jobs: Any) -> list[Scope]:
    """Return where work may be now that these jobs are back: another of the patient's, or they."""
    return [Scope(job.account_id, job.mode, job.site) for job in jobs]
