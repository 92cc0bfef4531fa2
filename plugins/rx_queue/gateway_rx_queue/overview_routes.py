"""The routes of the queue as a whole: what is in it, and another attempt."""

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, SkipValidation

from gateway.plugin import Caller, day_at, isoformat, json_response
from gateway_rx_queue import schema
from gateway_rx_queue.review import Reviewer
from gateway_rx_queue.service import RxService

Service = NamedDependency[SkipValidation[RxService]]


@get(
    "/overview",
    tags=["Prescriptions"],
    summary="See what is in the queue",
    opt={"permission": "rx.read", "answer": schema.OverviewOut},
)
async def look_over(caller: NamedDependency[Caller], queue: Service) -> Response[bytes]:
    """Count the jobs of each state, and list the agents with when they last asked for work.

    ```bash
    curl $GATEWAY/api/rx/overview -H "X-API-Key: $KEY"
    ```
    """
    zone = queue.gateway.sites.zone(caller.account_id, caller.site)
    since = day_at(zone, queue.gateway.clock.now()).starts_at
    counts = await queue.overview.counts(caller, since)
    agents = await queue.agents.of(caller)
    answer = schema.OverviewOut(
        writer=queue.settings.writer,
        states=[
            schema.StateCountOut(
                status=each.state,
                count=each.number,
                has_more=each.has_more,
                oldest_at=None if each.oldest_at is None else isoformat(each.oldest_at),
            )
            for each in counts
        ],
        agents=[
            schema.AgentOut(
                actor=each.actor, name=each.name, site=each.site, asked_at=isoformat(each.asked_at)
            )
            for each in agents
        ],
    )
    return json_response(answer)


@post(
    "/{queue_id:str}/retry",
    status_code=202,
    tags=["Reviewing prescriptions"],
    summary="Try a job again",
    opt={"permission": "rx.review", "feature": None, "answer": schema.JobStateOut},
)
async def retry_job(
    queue_id: FromPath[str], caller: NamedDependency[Caller], queue: Service
) -> Response[bytes]:
    r"""Queue a failed job again, or have one that waits for its next attempt tried at once.

    Its content and its idempotency token stay, so a writer that did write it knows it again.
    409 for a job in another state.

    ```bash
    curl -X POST $GATEWAY/api/rx/$QUEUE_ID/retry -H "X-API-Key: $KEY"
    ```
    """
    job = await queue.review.retry(Reviewer(caller), queue_id)
    return json_response(schema.JobStateOut(job.id, job.state), 202)
