"""The routes of writer agents: lease and result."""

import asyncio
from typing import Any

from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.params import FromPath, RawBody, SkipValidation

from gateway.plugin import (
    Caller,
    Conflict,
    NotAuthenticated,
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
