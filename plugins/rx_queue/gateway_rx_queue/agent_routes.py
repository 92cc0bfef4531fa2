"""Where a writer agent comes for work, and reports how it went."""

import asyncio
from typing import Any

from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.params import FromPath, RawBody, SkipValidation

from gateway.plugin import (
    Caller,
    Conflict,
    decode,
    from_epoch_ms,
    isoformat,
    json_response,
)
from gateway_rx_queue import schema
from gateway_rx_queue.job import Job
from gateway_rx_queue.leasing import LeaseRequest, Report
from gateway_rx_queue.mapping import outcome_of
from gateway_rx_queue.service import Queue
from gateway_rx_queue.settings import AGENT
from gateway_rx_queue.store import Scope

OpenQueue = NamedDependency[SkipValidation[Queue]]


@post(
    "/lease",
    status_code=200,
    tags=["Writer agents"],
    summary="Take jobs to write",
    opt={"body": schema.LeaseIn, "answer": schema.LeaseOut},
)
async def lease_jobs(
    body: RawBody,
    request: Request[Any, Any, Any],
    caller: NamedDependency[Caller],
    queue: OpenQueue,
) -> Response[bytes]:
    r"""Take up to `max` jobs, waiting up to `wait_seconds` (30 at most) for the first.

    A job is yours until its lease expires; then it is offered again, with the same
    `idempotency_token`. Jobs of one patient are handed out one after the other.

    ```bash
    curl -X POST $GATEWAY/api/rx/lease -H "X-API-Key: $KEY" \
      -H "Content-Type: application/json" -d '{"max": 10, "wait_seconds": 1}'
    ```
    """
    asked = decode(body, schema.LeaseIn)
    if queue.settings.writer != AGENT:
        raise Conflict(
            'This gateway writes by itself; set writer = "agent" in [plugins.rx_queue] to hand '
            "jobs out."
        )
    lease = LeaseRequest(
        Scope.of(caller),
        caller.actor,
        asked.max,
        asked.lease_seconds or queue.settings.lease_seconds,
    )
    ends_at = queue.gateway.clock.monotonic_seconds() + asked.wait_seconds
    jobs = await queue.desk.lease(lease)
    while not jobs:
        left = ends_at - queue.gateway.clock.monotonic_seconds()
        if left <= 0 or not await _woken(queue, lease.scope, left, request):
            break
        jobs = await queue.desk.lease(lease)
    return json_response(schema.LeaseOut([_leased_out(job) for job in jobs]))


async def _woken(
    queue: Queue, scope: Scope, timeout_seconds: float, request: Request[Any, Any, Any]
) -> bool:
    """Wait for work; an agent that hung up is given none, and the gateway's end waits for none."""
    gone = asyncio.ensure_future(request.receive())
    stopping = asyncio.ensure_future(queue.gateway.stopping.wait())
    waiting = asyncio.ensure_future(queue.waiters.wait(scope, timeout_seconds))
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
    summary="Report how a job went",
    opt={"body": schema.ResultIn, "answer": schema.StandingOut},
)
async def report_result(
    queue_id: FromPath[str],
    body: RawBody,
    caller: NamedDependency[Caller],
    queue: OpenQueue,
) -> Response[bytes]:
    r"""Report `completed`, `failed` (for good), `retry` (later) or `excepted` (ask a person).

    409 when the lease is no longer yours: it has expired, or was reported already.

    ```bash
    curl -X POST $GATEWAY/api/rx/$LEASED/result -H "X-API-Key: $KEY" \
      -H "Content-Type: application/json" \
      -d '{"lease_token": "'$LEASE_TOKEN'", "outcome": "completed", "din": "02242705"}'
    ```
    """
    sent = decode(body, schema.ResultIn)
    outcome = outcome_of(sent)
    job = await queue.desk.report(Report(caller, queue_id, sent.lease_token, outcome))
    return json_response(schema.StandingOut(job.id, job.state))


def _leased_out(job: Job) -> schema.LeasedOut:
    return schema.LeasedOut(
        queueId=job.id,
        lease_token=job.lease or "",
        lease_expires_at=isoformat(from_epoch_ms(job.lease_until_ms or 0)),
        idempotency_token=job.idempotency_token,
        attempt=job.attempts,
        site=job.site,
        prescription=job.sheet.prescription,
    )
