"""The routes of writer agents: lease and result."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.params import FromPath, RawBody, SkipValidation

from gateway.plugin import (
    Caller,
    Conflict,
    GatewayError,
    InvalidInput,
    NotAuthenticated,
    NotFound,
    decode,
    from_epoch_ms,
    isoformat,
    json_response,
)
from gateway_rx_queue import schema
from gateway_rx_queue.job import Job
from gateway_rx_queue.leasing import LeaseRequest, Report
from gateway_rx_queue.mapping import outcome_of
from gateway_rx_queue.service import RxService
from gateway_rx_queue.settings import AGENT
from gateway_rx_queue.store import Scope

_CODES: Final[Mapping[type[GatewayError], str]] = {
    NotFound: "not_found",
    Conflict: "conflict",
    InvalidInput: "invalid_input",
}

Service = NamedDependency[SkipValidation[RxService]]


@post(
    "/lease",
    status_code=200,
    tags=["Writer agents"],
    summary="Lease jobs",
    opt={
        "feature": None,
        "permission": "rx.agent",
        "body": schema.LeaseIn,
        "answer": schema.LeaseOut,
        "waits": True,
    },
)
async def lease_jobs(
    body: RawBody,
    request: Request[Any, Any, Any],
    caller: NamedDependency[Caller],
    queue: Service,
) -> Response[bytes]:
    r"""Lease up to `max` jobs, waiting up to `wait_seconds` (30 at most) for the first.

    When a lease expires, the job is leased again with the same `idempotency_token`. Jobs of one
    patient are leased one after the other.

    ```bash
    curl -X POST $GATEWAY/api/rx/lease -H "X-API-Key: $KEY" \
      -H "Content-Type: application/json" -d '{"max": 10, "wait_seconds": 1}'
    ```
    """
    asked = decode(body, schema.LeaseIn)
    if queue.settings.writer != AGENT:
        raise Conflict(
            'This gateway uses a push writer; set writer = "agent" in [plugins.rx_queue] to hand '
            "jobs out."
        )
    lease = LeaseRequest(
        Scope.of(caller),
        caller.actor,
        asked.max,
        asked.lease_seconds or queue.settings.lease_seconds,
    )
    await queue.agents.note(caller)
    ends_at = queue.gateway.clock.monotonic_seconds() + asked.wait_seconds
    jobs = await queue.leasing.lease(lease)
    while not jobs:
        left = ends_at - queue.gateway.clock.monotonic_seconds()
        if left <= 0 or not await _woken(queue, lease.scope, left, request):
            break
        if not await queue.gateway.keys.still_valid(caller):
            raise NotAuthenticated("This API key was revoked while the request was waiting.")
        jobs = await queue.leasing.lease(lease)
    return json_response(schema.LeaseOut([_leased_out(job, lease.lease_seconds) for job in jobs]))


async def _woken(
    queue: RxService, scope: Scope, timeout_seconds: float, request: Request[Any, Any, Any]
) -> bool:
    """Wait for work; ``False`` when the agent disconnects or the gateway stops."""
    gone = asyncio.ensure_future(request.receive())
    stopping = asyncio.ensure_future(queue.gateway.stopping.wait())
    waiting = asyncio.ensure_future(queue.long_poll.wait(scope, timeout_seconds))
    futures = (gone, stopping, waiting)
    try:
        await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
        return waiting.done() and waiting.result() and not gone.done()
    finally:
        for future in futures:
            future.cancel()


@post(
    "/{queue_id:str}/result",
    status_code=200,
    tags=["Writer agents"],
    summary="Report a result",
    opt={
        "permission": "rx.agent",
        "feature": None,
        "body": schema.ResultIn,
        "answer": schema.ReportedOut,
    },
)
async def report_result(
    queue_id: FromPath[str],
    body: RawBody,
    caller: NamedDependency[Caller],
    queue: Service,
) -> Response[bytes]:
    r"""Report `completed`, `failed` (for good), `retry` (later) or `excepted` (ask a person).

    409 when the lease expired or was reported already. `recalled` in the answer says that the
    sender took the prescription back meanwhile: undo what was written. `din` is eight digits.

    ```bash
    curl -X POST $GATEWAY/api/rx/$LEASED/result -H "X-API-Key: $KEY" \
      -H "Content-Type: application/json" \
      -d '{"lease_token": "'$LEASE_TOKEN'", "outcome": "completed", "din": "02242705"}'
    ```
    """
    sent = decode(body, schema.ResultIn)
    outcome = outcome_of(sent)
    job = await queue.leasing.report(Report(caller, queue_id, sent.lease_token, outcome))
    recalled = job.recalled_at_ms is not None
    return json_response(schema.ReportedOut(job.id, job.state, recalled=recalled))


@post(
    "/results",
    status_code=200,
    tags=["Writer agents"],
    summary="Report several results",
    opt={"permission": "rx.agent", "body": schema.ResultsIn, "answer": schema.ReportsOut},
)
async def report_results(
    body: RawBody,
    caller: NamedDependency[Caller],
    queue: Service,
) -> Response[bytes]:
    r"""Report up to 100 results at once, each as one alone; each is taken or refused by itself.

    `status` is the job's state after its result, or `refused` with `code` and `error`: a lease that
    expired (`conflict`), a job that is not there (`not_found`).

    ```bash
    curl -X POST $GATEWAY/api/rx/results -H "X-API-Key: $KEY" \
      -H "Content-Type: application/json" \
      -d '{"results": [{"queueId": "'$LEASED'", "lease_token": "'$LEASE_TOKEN'",
           "outcome": "completed", "din": "02242705"}]}'
    ```
    """
    sent = decode(body, schema.ResultsIn).results
    answers: list[Job | GatewayError | None] = [None] * len(sent)
    reports: dict[int, Report] = {}
    for place, each in enumerate(sent):
        try:
            reports[place] = Report(caller, each.queueId, each.lease_token, outcome_of(each))
        except InvalidInput as error:
            answers[place] = error
    for place, answer in zip(
        reports, await queue.leasing.report_all(list(reports.values())), strict=True
    ):
        answers[place] = answer
    return json_response(
        schema.ReportsOut(
            tuple(
                _reported(place, each.queueId, answer)
                for place, (each, answer) in enumerate(zip(sent, answers, strict=True))
            )
        )
    )


def _reported(place: int, queue_id: str, answer: Job | GatewayError | None) -> schema.ReportOut:
    if isinstance(answer, Job):
        recalled = answer.recalled_at_ms is not None
        return schema.ReportOut(
            index=place, queueId=answer.id, status=answer.state, recalled=recalled
        )
    assert answer is not None  # noqa: S101 - each place has an answer
    details = "; ".join(each.message for each in answer.details)
    return schema.ReportOut(
        index=place,
        queueId=queue_id,
        status="refused",
        code=_CODES[type(answer)],
        error=f"{answer.message} {details}".strip(),
    )


def _leased_out(job: Job, lease_seconds: float) -> schema.LeasedOut:
    return schema.LeasedOut(
        queueId=job.id,
        lease_token=job.lease_token,
        lease_seconds=lease_seconds,
        lease_expires_at=isoformat(from_epoch_ms(job.lease_until_ms or 0)),
        idempotency_token=job.idempotency_token,
        attempt=job.attempts,
        site=job.site,
        prescription=job.content.prescription,
        catalog_name=job.catalog_name,
    )
