"""The routes of prescriptions, and the router of the whole queue."""

import asyncio
from typing import Annotated, Any, Final, cast, get_args

import msgspec
from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import (
    FromPath,
    FromQuery,
    HeaderParameter,
    QueryParameter,
    RawBody,
    SkipValidation,
)

from gateway.plugin import (
    Caller,
    Conflict,
    IdempotencyKey,
    InvalidInput,
    PageLimit,
    Problem,
    decode,
    idempotency_key,
    json_response,
    page_size,
    provided,
)
from gateway_rx_queue import fhir, mapping, schema
from gateway_rx_queue.agent_routes import lease_jobs, report_result, report_results
from gateway_rx_queue.file_routes import keep_page, list_pages
from gateway_rx_queue.overview_routes import look_over, retry_job
from gateway_rx_queue.review_routes import (
    claim_job,
    claim_next_job,
    keep_draft,
    read_draft,
    read_evidence,
    recall_job,
    reject_job,
    release_job,
    resolve_job,
)
from gateway_rx_queue.service import RxService
from gateway_rx_queue.store import JobFilter
from gateway_rx_queue.submitting import SubmissionResult

_State = Annotated[str | None, QueryParameter(schema_extra={"enum": [*get_args(schema.State)]})]
_MOST_AT_ONCE: Final = 100
# A larger body is read in a thread, so that the event loop isn't blocked.
_READ_AT_ONCE_BYTES: Final = 128 * 1024

ContentType = Annotated[str, HeaderParameter(name="Content-Type")]
Service = NamedDependency[SkipValidation[RxService]]


@post(
    "/",
    status_code=202,
    tags=["Prescriptions"],
    summary="Submit prescriptions",
    opt={
        "permission": "rx.submit",
        "limit": "orders",
        "body": schema.PrescriptionIn,
        "answer": schema.SubmittedOut,
        "media": ("application/json", fhir.MEDIA_TYPE),
    },
)
async def submit_prescriptions(
    body: RawBody,
    caller: NamedDependency[Caller],
    queue: Service,
    key: IdempotencyKey = None,
    content_type: ContentType = "",
) -> Response[bytes]:
    r"""Submit one prescription, or `{"prescriptions": [1 to 100]}` with a result for each.

    With `Content-Type: application/fhir+json` send a FHIR R4 MedicationRequest, or a Bundle of
    them with their patients and prescribers.

    The response is sent once they are stored. Events and `GET /api/rx/{queueId}` report
    their progress. Each drug of a prescription becomes a job of its own.

    ```bash
    curl -X POST $GATEWAY/api/rx -H "X-API-Key: $KEY" -H "Content-Type: application/json" \
      -d '{"external_id": "FAX-2231-1", "source": "fax",
      "patient": {"external_patient_id": "P-1204", "first_name": "Ana", "last_name": "Silva",
      "dob": "1950-02-01"}, "prescriber": {"name": "Dr. Lee"},
      "medication": {"din": "02242705", "drug_text": "atorvastatin 20 mg tab", "quantity": 30,
      "quantity_unit": "tab", "days_supply": 30, "sig": "1 tab daily", "refills": 3,
      "written_date": "2026-11-01"}}'
    ```
    """
    # The path is included: the same key and body on another path is another request.
    idempotency = idempotency_key(key, b"/api/rx\n" + body)
    if content_type.partition(";")[0].strip().lower() == fhir.MEDIA_TYPE:
        candidates, is_batch = await _fhir_candidates(queue, caller, body)
    elif len(body) <= _READ_AT_ONCE_BYTES:
        candidates, is_batch = _json_candidates(body)
    else:
        candidates, is_batch = await asyncio.to_thread(_json_candidates, body)
    drugs = sum(max(1, len(each.prescriptions)) for each in candidates)
    await queue.gateway.limits.take("orders_per_hour", caller.actor, drugs)
    accepted = await queue.intake.accept(caller, candidates, idempotency)
    return _batch_answer(accepted) if is_batch else _single_answer(accepted)


def _json_candidates(body: bytes) -> tuple[list[mapping.Candidate], bool]:
    sent = decode(body, Any)
    if not isinstance(sent, dict):
        raise InvalidInput("Send a JSON object: one prescription, or a list of prescriptions.")
    if "prescriptions" not in sent:
        return [mapping.candidate(sent)], False
    batch = sent["prescriptions"]
    if not isinstance(batch, list):
        problem = Problem("must be a list", field="prescriptions")
        raise InvalidInput("The request body doesn't fit.", [problem])
    _check_size(len(batch))
    return [mapping.candidate(each) for each in batch], True


def _check_size(size: int) -> None:
    if not 1 <= size <= _MOST_AT_ONCE:
        problem = Problem(f"send 1 to {_MOST_AT_ONCE} at a time", field="prescriptions")
        text = f"prescriptions must hold 1 to {_MOST_AT_ONCE} entries."
        raise InvalidInput(text, [problem])


async def _fhir_candidates(
    queue: RxService, caller: Caller, body: bytes
) -> tuple[list[mapping.Candidate], bool]:
    """Read a Bundle as a batch, a request alone as one prescription."""
    await asyncio.to_thread(fhir.check_fhir, body)
    sent = decode(body, dict[str, Any])
    site, _ = queue.gateway.sites.resolve(caller, None)
    zone = queue.cases.zone(caller.account_id, site)
    today = queue.gateway.clock.now().astimezone(zone).date()
    orders = fhir.orders(sent, zone, today)
    _check_size(len(orders))
    return [_fhir_candidate(each) for each in orders], sent["resourceType"] == "Bundle"


def _fhir_candidate(order: fhir.Order) -> mapping.Candidate:
    made = mapping.candidate(order.prescription)
    whole = tuple(
        msgspec.structs.replace(each, unmapped=order.unmapped) for each in made.prescriptions
    )
    return made._replace(
        prescriptions=whole,
        identity=order.identity,
        group=order.group,
        warnings=made.warnings + order.warnings,
    )


@get(
    "/",
    tags=["Prescriptions"],
    summary="List jobs",
    opt={"permission": "rx.read", "answer": schema.JobsOut},
)
async def list_jobs(
    caller: NamedDependency[Caller],
    queue: Service,
    status: _State = None,
    site: FromQuery[str | None] = None,
    cursor: FromQuery[str | None] = None,
    limit: PageLimit = 50,
) -> Response[bytes]:
    """List jobs, newest first; with `status=excepted`, oldest first.

    ```bash
    curl "$GATEWAY/api/rx?status=excepted" -H "X-API-Key: $KEY"
    ```
    """
    size = page_size(limit)
    if status is not None and status not in get_args(schema.State):
        raise InvalidInput(f"status must be one of {', '.join(get_args(schema.State))}.")
    found = await queue.page(caller, JobFilter(size + 1, cursor, status, site))
    now, shown = queue.gateway.clock.now(), found[:size]
    following = shown[-1].id if len(found) > size else None
    return json_response(schema.JobsOut([mapping.job_out(job, now) for job in shown], following))


@get(
    "/{queue_id:str}",
    tags=["Prescriptions"],
    summary="Look a job up",
    opt={"permission": "rx.read", "answer": schema.JobDetailOut},
)
async def look_up_job(
    queue_id: FromPath[str], caller: NamedDependency[Caller], queue: Service
) -> Response[bytes]:
    """Show one job: the prescription, the reasons for review, the corrections, and the history.

    ```bash
    curl $GATEWAY/api/rx/$QUEUE_ID -H "X-API-Key: $KEY"
    ```
    """
    job, history, linked = await queue.show(caller, queue_id)
    now = queue.gateway.clock.now()
    return json_response(mapping.job_detail_out(job, history, linked, now, caller))


def _single_answer(taken: SubmissionResult) -> Response[bytes]:
    [result] = taken.results
    _refuse_conflicts(taken)
    if result.status == "rejected":
        details = [Problem(each.message, field=each.field) for each in result.errors]
        raise InvalidInput("The prescription can't be accepted.", details)
    queue_id = cast("str", result.queueId)
    answer = schema.SubmittedOut(
        queueId=queue_id,
        status=taken.states.get(queue_id, "queued"),
        queueIds=list(result.queueIds),
        duplicate=result.status == "duplicate",
        warnings=tuple(Problem(each.message, field=each.field) for each in taken.warnings),
    )
    return json_response(answer, 202, _replayed(taken))


def _batch_answer(taken: SubmissionResult) -> Response[bytes]:
    _refuse_conflicts(taken)
    if all(result.status == "rejected" for result in taken.results):
        details = [
            Problem(problem.message, index=result.index, field=problem.field)
            for result in taken.results
            for problem in result.errors
        ]
        raise InvalidInput("None of the prescriptions can be accepted.", details)
    created = [
        queue_id
        for result in taken.results
        if result.status == "created"
        for queue_id in (result.queueIds or (cast("str", result.queueId),))
    ]
    answer = schema.BatchOut(len(created), created, taken.warnings, taken.results)
    return json_response(answer, 202, _replayed(taken))


def _refuse_conflicts(result: SubmissionResult) -> None:
    """Raise ``Conflict`` when every sent external id exists with other content."""
    if all(each.code == "conflict" for each in result.results):
        details = [
            Problem(problem.message, index=each.index, field=problem.field)
            for each in result.results
            for problem in each.errors
        ]
        raise Conflict("The external_id was used for another prescription.", details)


def _replayed(taken: SubmissionResult) -> dict[str, str] | None:
    return {"Idempotent-Replayed": "true"} if taken.replayed else None


def router(queue: RxService) -> Router:
    """Return the router; the queue is open when its routes are called."""
    return Router(
        "/api/rx",
        route_handlers=[
            submit_prescriptions,
            list_jobs,
            look_over,
            claim_next_job,
            lease_jobs,
            look_up_job,
            report_result,
            report_results,
            claim_job,
            release_job,
            resolve_job,
            reject_job,
            recall_job,
            retry_job,
            read_evidence,
            read_draft,
            keep_draft,
            keep_page,
            list_pages,
        ],
        dependencies={"queue": provided(queue)},
    )
