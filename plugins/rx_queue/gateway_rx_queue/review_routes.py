"""The review routes: evidence, draft, claim, release, resolve, reject."""

from typing import Final

from litestar import Response, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, RawBody, SkipValidation

from gateway.plugin import (
    Caller,
    decode,
    from_epoch_ms,
    isoformat,
    json_response,
    masked,
)
from gateway_rx_queue import schema
from gateway_rx_queue.drafts import Draft
from gateway_rx_queue.evidence import EvidenceOut
from gateway_rx_queue.review import Resolution, Reviewer
from gateway_rx_queue.service import RxService

Service = NamedDependency[SkipValidation[RxService]]
# These show the prescription, so they need both reveal permissions.
_EVIDENCE_SHOWN: Final = frozenset({"candidates"})
_EVIDENCE_HIDDEN: Final = frozenset({"name", "filled_on"})


@post(
    "/{queue_id:str}/claim",
    status_code=200,
    tags=["Reviewing prescriptions"],
    summary="Claim a job for review",
    opt={
        "permission": "rx.review",
        "feature": None,
        "body": schema.ReviewerIn,
        "answer": schema.ClaimedOut,
    },
)
async def claim_job(
    queue_id: FromPath[str], body: RawBody, caller: NamedDependency[Caller], queue: Service
) -> Response[bytes]:
    r"""Reserve an excepted job for some minutes; 409 when another reviewer holds it.

    Claim, history and events show the key and its name, as in `key_0199/M. Tremblay`: give each
    reviewer a key.

    ```bash
    curl -X POST $GATEWAY/api/rx/$EXCEPTED/claim -H "X-API-Key: $KEY"
    ```
    """
    decode(body or b"{}", schema.ReviewerIn)
    reviewer = Reviewer(caller)
    job = await queue.review.claim(reviewer, queue_id)
    until = isoformat(from_epoch_ms(job.claimed_until_ms or 0))
    return json_response(schema.ClaimedOut(job.id, job.state, reviewer.actor, until, job.version))


@post(
    "/claim-next",
    status_code=200,
    tags=["Reviewing prescriptions"],
    summary="Claim the next job",
    opt={"permission": "rx.review", "feature": None, "answer": schema.NextOut},
)
async def claim_next_job(caller: NamedDependency[Caller], queue: Service) -> Response[bytes]:
    r"""Reserve the job that waits for review longest and that no other reviewer holds.

    `job` is null when none waits.

    ```bash
    curl -X POST $GATEWAY/api/rx/claim-next -H "X-API-Key: $KEY"
    ```
    """
    reviewer = Reviewer(caller)
    job = await queue.review.claim_next(reviewer)
    if job is None:
        return json_response(schema.NextOut(None))
    until = isoformat(from_epoch_ms(job.claimed_until_ms or 0))
    claimed = schema.ClaimedOut(job.id, job.state, reviewer.actor, until, job.version)
    return json_response(schema.NextOut(claimed))


@get(
    "/{queue_id:str}/evidence",
    tags=["Reviewing prescriptions"],
    summary="See what to compare with",
    opt={"permission": "rx.review", "answer": EvidenceOut},
)
async def read_evidence(
    queue_id: FromPath[str], caller: NamedDependency[Caller], queue: Service
) -> Response[bytes]:
    """Return the candidates as the catalog has them, and what the patient was given before.

    ```bash
    curl $GATEWAY/api/rx/$QUEUE_ID/evidence -H "X-API-Key: $KEY"
    ```
    """
    job, _, _ = await queue.show(caller, queue_id)
    evidence = await queue.evidence.of(job)
    return json_response(masked(caller, evidence, shown=_EVIDENCE_SHOWN, hidden=_EVIDENCE_HIDDEN))


@get(
    "/{queue_id:str}/draft",
    tags=["Reviewing prescriptions"],
    summary="Read your draft",
    opt={"permission": ("rx.review", "reveal.contact", "reveal.rx"), "answer": Draft},
)
async def read_draft(
    queue_id: FromPath[str], caller: NamedDependency[Caller], queue: Service
) -> Response[bytes]:
    """Return what you typed for a job and have not decided yet.

    ```bash
    curl $GATEWAY/api/rx/$EXCEPTED/draft -H "X-API-Key: $KEY"
    ```
    """
    await queue.get(caller, queue_id)
    return json_response(await queue.review.draft(Reviewer(caller), queue_id))


@put(
    "/{queue_id:str}/draft",
    status_code=200,
    tags=["Reviewing prescriptions"],
    summary="Keep a draft",
    opt={
        "permission": "rx.review",
        "feature": None,
        "body": Draft,
        "answer": schema.JobStateOut,
    },
)
async def keep_draft(
    queue_id: FromPath[str], body: RawBody, caller: NamedDependency[Caller], queue: Service
) -> Response[bytes]:
    r"""Keep what you typed for a job until it is decided. Your claim goes on meanwhile.

    It is sealed, yours alone, and deleted when the job is approved, rejected or recalled.

    ```bash
    curl -X PUT $GATEWAY/api/rx/$EXCEPTED/draft -H "X-API-Key: $KEY" \
      -H "Content-Type: application/json" -d '{"fields": {"medication.sig": "1 tab at bedtime"}}'
    ```
    """
    draft = decode(body or b"{}", Draft)
    await queue.review.keep_draft(Reviewer(caller), queue_id, draft)
    return json_response(schema.JobStateOut(queue_id, "excepted"))


@post(
    "/{queue_id:str}/release",
    status_code=200,
    tags=["Reviewing prescriptions"],
    summary="Release a claimed job",
    opt={
        "permission": "rx.review",
        "feature": None,
        "body": schema.ReviewerIn,
        "answer": schema.JobStateOut,
    },
)
async def release_job(
    queue_id: FromPath[str], body: RawBody, caller: NamedDependency[Caller], queue: Service
) -> Response[bytes]:
    r"""Release a claimed job for other reviewers.

    ```bash
    curl -X POST $GATEWAY/api/rx/$EXCEPTED/release -H "X-API-Key: $KEY"
    ```
    """
    decode(body or b"{}", schema.ReviewerIn)
    reviewer = Reviewer(caller)
    job = await queue.review.release(reviewer, queue_id)
    return json_response(schema.JobStateOut(job.id, job.state))


@post(
    "/{queue_id:str}/resolve",
    status_code=202,
    tags=["Reviewing prescriptions"],
    summary="Approve a job",
    opt={
        "permission": "rx.review",
        "feature": None,
        "body": schema.ResolveIn,
        "answer": schema.JobStateOut,
    },
)
async def resolve_job(
    queue_id: FromPath[str], body: RawBody, caller: NamedDependency[Caller], queue: Service
) -> Response[bytes]:
    r"""Approve a job with corrections. It is queued for writing; `rx.resolved` follows the write.

    Corrections are judged again: 409 lists each new reason, and its code in `confirm` accepts it.
    With the `version` that you saw, 409 when the job has changed since.

    ```bash
    curl -X POST $GATEWAY/api/rx/$EXCEPTED/resolve -H "X-API-Key: $KEY" \
      -H "Content-Type: application/json" \
      -d '{"corrections": {"medication.din": "02242705"}, "note": "asked the prescriber"}'
    ```
    """
    sent = decode(body or b"{}", schema.ResolveIn)
    reviewer = Reviewer(caller)
    resolution = Resolution(sent.corrections, sent.note or None, sent.version, sent.confirm)
    job = await queue.review.resolve(reviewer, queue_id, resolution)
    return json_response(schema.JobStateOut(job.id, job.state), 202)


@post(
    "/{queue_id:str}/reject",
    status_code=202,
    tags=["Reviewing prescriptions"],
    summary="Reject a job",
    opt={
        "permission": "rx.review",
        "feature": None,
        "body": schema.RejectIn,
        "answer": schema.JobStateOut,
    },
)
async def reject_job(
    queue_id: FromPath[str], body: RawBody, caller: NamedDependency[Caller], queue: Service
) -> Response[bytes]:
    r"""Reject a job permanently. `rx.failed` says `rejected_by_reviewer`; the reason is not sent.

    ```bash
    curl -X POST $GATEWAY/api/rx/$EXCEPTED/reject -H "X-API-Key: $KEY" \
      -H "Content-Type: application/json" -d '{"reason": "written for another patient"}'
    ```
    """
    sent = decode(body, schema.RejectIn)
    job = await queue.review.reject(Reviewer(caller), queue_id, sent.reason)
    return json_response(schema.JobStateOut(job.id, job.state), 202)


@post(
    "/{queue_id:str}/recall",
    status_code=202,
    tags=["Prescriptions"],
    summary="Recall a prescription",
    opt={
        "permission": "rx.submit",
        "feature": None,
        "body": schema.RecallIn,
        "answer": schema.JobStateOut,
    },
)
async def recall_job(
    queue_id: FromPath[str], body: RawBody, caller: NamedDependency[Caller], queue: Service
) -> Response[bytes]:
    r"""Take a prescription back. One that isn't being written is rejected and never leased again.

    One that is being written is flagged: the agent learns it from the answer to its report, and
    `rx.flagged` says when it was written nevertheless. 409 when the job is finished.

    ```bash
    curl -X POST $GATEWAY/api/rx/$QUEUE_ID/recall -H "X-API-Key: $KEY" \
      -H "Content-Type: application/json" -d '{"reason": "the prescriber changed the dose"}'
    ```
    """
    sent = decode(body or b"{}", schema.RecallIn)
    job = await queue.review.recall(Reviewer(caller), queue_id, sent.reason)
    return json_response(schema.JobStateOut(job.id, job.state), 202)
