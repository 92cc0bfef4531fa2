"""The routes that enable an endpoint again, recover its missed events and preview one."""

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, RawBody, SkipValidation
from msgspec.structs import replace

from gateway.plugin import Caller, decode, json_response, timestamp
from gateway_webhooks import schema
from gateway_webhooks.delivery_answers import rehearsal_out
from gateway_webhooks.endpoints import Endpoints
from gateway_webhooks.mapping import endpoint_out, recovery_out

Service = NamedDependency[SkipValidation[Endpoints]]


@post(
    "/endpoints/{endpoint_id:str}/enable",
    status_code=200,
    tags=["Endpoints"],
    summary="Enable an endpoint",
    opt={"permission": "webhooks.manage", "feature": None, "answer": schema.EndpointOut},
)
async def enable_endpoint(
    endpoint_id: FromPath[str], caller: NamedDependency[Caller], endpoints: Service
) -> Response[bytes]:
    """Enable an endpoint that was paused or disabled; its due deliveries start at once.

    `missed_since` is the time from which it may have missed events: recover from there.

    ```bash
    curl -X POST $GATEWAY/api/webhooks/endpoints/$ENDPOINT/enable -H "X-API-Key: $KEY"
    ```
    """
    enabled, missed = await endpoints.enable(caller, endpoint_id)
    shown = replace(endpoint_out(enabled), missed_since=timestamp(missed))
    return json_response(shown)


@post(
    "/endpoints/{endpoint_id:str}/preview",
    status_code=200,
    tags=["Endpoints"],
    summary="Preview an event",
    opt={
        "permission": "webhooks.read",
        "limit": "reads",
        "feature": None,
        "body": schema.PreviewIn,
        "answer": schema.PreviewOut,
    },
)
async def preview_event(
    endpoint_id: FromPath[str],
    body: RawBody,
    caller: NamedDependency[Caller],
    endpoints: Service,
) -> Response[bytes]:
    r"""Show what the endpoint would get of a real event. Nothing is sent or changed.

    Without an `event_id` it is the newest one that the endpoint subscribes to. `filter_fields`,
    `send_fields` and `rename_fields` stand in for the endpoint's own, to try a change first.
    Patient data is masked for a key without the reveal permissions.

    ```bash
    curl -X POST $GATEWAY/api/webhooks/endpoints/$ENDPOINT/preview -H "X-API-Key: $KEY" \
      -H "Content-Type: application/json" -d '{"send_fields": ["package_id", "priority"]}'
    ```
    """
    wanted = decode(body or b"{}", schema.PreviewIn)
    return json_response(await endpoints.preview(caller, endpoint_id, wanted))


@post(
    "/endpoints/{endpoint_id:str}/recover",
    status_code=202,
    tags=["Endpoints"],
    summary="Recover missed events",
    opt={
        "permission": "deliveries.resend",
        "feature": None,
        "body": schema.RecoverIn,
        "answer": schema.RecoveryOut,
    },
)
async def recover_endpoint(
    endpoint_id: FromPath[str],
    body: RawBody,
    caller: NamedDependency[Caller],
    endpoints: Service,
) -> Response[bytes]:
    r"""Send the events since `since` that the endpoint subscribes to and never received.

    The recovery runs in the background, a few events at a time, also after a restart.

    ```bash
    curl -X POST $GATEWAY/api/webhooks/endpoints/$ENDPOINT/recover -H "X-API-Key: $KEY" \
      -H "Content-Type: application/json" -d '{"since": "2026-04-19T00:00:00Z"}'
    ```
    """
    sent = decode(body, schema.RecoverIn)
    recovery = await endpoints.recover(caller, endpoint_id, sent.since, sent.until)
    return json_response(recovery_out(recovery), 202)


@post(
    "/endpoints/{endpoint_id:str}/recover/rehearse",
    status_code=200,
    tags=["Endpoints"],
    summary="Count missed events",
    opt={
        "permission": "webhooks.read",
        "feature": None,
        "body": schema.RecoverIn,
        "answer": schema.RehearsalOut,
    },
)
async def rehearse_recovery(
    endpoint_id: FromPath[str],
    body: RawBody,
    caller: NamedDependency[Caller],
    endpoints: Service,
) -> Response[bytes]:
    r"""Count the events that a recovery would send, and at which pace; nothing is sent.

    ```bash
    curl -X POST $GATEWAY/api/webhooks/endpoints/$ENDPOINT/recover/rehearse \
      -H "X-API-Key: $KEY" -H "Content-Type: application/json" \
      -d '{"since": "2026-04-19T00:00:00Z"}'
    ```
    """
    sent = decode(body, schema.RecoverIn)
    found, endpoint = await endpoints.rehearse_recovery(caller, endpoint_id, sent.since, sent.until)
    return json_response(rehearsal_out(endpoint, found))


@get(
    "/recoveries/{recovery_id:str}",
    tags=["Endpoints"],
    summary="Show the progress of a recovery",
    opt={"permission": "webhooks.read", "answer": schema.RecoveryOut},
)
async def show_recovery(
    recovery_id: FromPath[str], caller: NamedDependency[Caller], endpoints: Service
) -> Response[bytes]:
    """Show how many events a recovery has examined, and how many it has queued.

    ```bash
    curl $GATEWAY/api/webhooks/recoveries/$RECOVERY -H "X-API-Key: $KEY"
    ```
    """
    found = await endpoints.recovery(caller, recovery_id)
    return json_response(recovery_out(found))
