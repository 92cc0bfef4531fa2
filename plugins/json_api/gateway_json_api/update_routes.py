"""The routes that take delivery updates, one or a batch."""

import asyncio
from typing import Any

from litestar import Response, post
from litestar.di import NamedDependency
from litestar.params import FromPath, RawBody

from gateway.plugin import (
    Caller,
    Conflict,
    DeliveryUpdate,
    Gateway,
    GatewayError,
    InvalidInput,
    NotFound,
    OpenGateway,
    Problem,
    UpdateResult,
    all_problems,
    decode,
    json_response,
)
from gateway_json_api import mapping, schema
from gateway_json_api.settings import JsonApiSettings


@post(
    "/packages/{package_id:str}/events",
    status_code=200,
    tags=["Deliveries"],
    summary="Report a delivery update",
    opt={"permission": "packages.update", "body": schema.UpdateIn, "answer": schema.UpdateOut},
)
async def report_update(
    package_id: FromPath[str],
    body: RawBody,
    caller: NamedDependency[Caller],
    gateway: OpenGateway,
) -> Response[bytes]:
    r"""Report one step of a delivery; subscribed endpoints are notified.

    ```bash
    curl -X POST $GATEWAY/api/packages/$PACKAGE/events -H "X-API-Key: $KEY" \
      -H "Content-Type: application/json" \
      -d '{"event": "delivery.picked_up", "driver_id": "drv_b12c"}'
    ```
    """
    update = mapping.update_of(package_id, decode(body, schema.UpdateIn))
    done = await gateway.tracking.apply(caller, update)
    return json_response(schema.UpdateOut(done.event_id, done.package_id, done.status))


@post(
    "/delivery-events",
    status_code=200,
    tags=["Deliveries"],
    summary="Report a batch of delivery updates",
    opt={"permission": "packages.update", "body": schema.UpdatesIn, "answer": schema.UpdatesOut},
)
async def report_updates(
    body: RawBody,
    caller: NamedDependency[Caller],
    gateway: OpenGateway,
    settings: NamedDependency[JsonApiSettings],
) -> Response[bytes]:
    r"""Report steps of many deliveries. Each is accepted or rejected alone, in order.

    ```bash
    curl -X POST $GATEWAY/api/delivery-events -H "X-API-Key: $KEY" \
      -H "Content-Type: application/json" \
      -d '{"events": [{"package_id": "'$PACKAGE'", "event": "delivery.arrived"}]}'
    ```
    """
    sent = decode(body, schema.UpdatesBody).events
    mapping.check_size(sent, "events", settings.updates_per_batch)
    results = await asyncio.gather(
        *(_apply(gateway, caller, index, each) for index, each in enumerate(sent))
    )
    accepted = sum(result.status != "rejected" for result in results)
    if accepted == 0:
        details = all_problems((result.index, result.errors) for result in results)
        raise InvalidInput("None of the updates can be accepted.", details)
    return json_response(schema.UpdatesOut(accepted, list(results)))


async def _apply(gateway: Gateway, caller: Caller, index: int, sent: Any) -> schema.UpdateResultOut:
    try:
        update = mapping.batch_update(sent)
        done = await gateway.tracking.apply(caller, update)
    except (InvalidInput, NotFound, Conflict) as error:
        return _rejected(index, error)
    return _applied(index, update, done)


def _applied(index: int, update: DeliveryUpdate, done: UpdateResult) -> schema.UpdateResultOut:
    return schema.UpdateResultOut(
        index, done.outcome, done.event_id, update.package_id, done.status
    )


def _rejected(index: int, error: GatewayError) -> schema.UpdateResultOut:
    problems = error.details or (Problem(error.message),)
    return schema.UpdateResultOut(index, "rejected", errors=tuple(problems))
