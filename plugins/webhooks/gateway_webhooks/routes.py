"""The routes under ``/api/webhooks``: endpoints, deliveries, the log."""

from datetime import datetime
from typing import Annotated, Final

from litestar import Response, Router, delete, get, patch, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, FromQuery, QueryParameter, RawBody, SkipValidation

from gateway.plugin import (
    AttemptFilter,
    Caller,
    Gateway,
    InvalidInput,
    PageLimit,
    aware,
    decode,
    json_response,
    page_size,
)
from gateway_webhooks import schema
from gateway_webhooks.deliveries import Deliveries
from gateway_webhooks.delivery_routes import (
    list_deliveries,
    show_attempt,
    show_fields,
    show_statistics,
)
from gateway_webhooks.endpoints import Endpoints
from gateway_webhooks.mapping import attempt_out, delivery_out, endpoint_out
from gateway_webhooks.recovery_routes import (
    enable_endpoint,
    preview_event,
    recover_endpoint,
    rehearse_recovery,
    show_recovery,
)

_MAX_CURSOR: Final = 2**63 - 1
_OUTCOMES: Final = {"delivered": True, "failed": False}

_Cursor = Annotated[int | None, QueryParameter(schema_extra={"minimum": 1, "maximum": _MAX_CURSOR})]
_Outcome = Annotated[str | None, QueryParameter(schema_extra={"enum": [*_OUTCOMES]})]

Service = NamedDependency[SkipValidation[Endpoints]]


@get(
    "/endpoints",
    tags=["Endpoints"],
    summary="List endpoints",
    opt={"permission": "webhooks.read", "answer": schema.EndpointsOut},
)
async def list_endpoints(caller: NamedDependency[Caller], endpoints: Service) -> Response[bytes]:
    """List the endpoints that this key can see, oldest first.

    ```bash
    curl $GATEWAY/api/webhooks/endpoints -H "X-API-Key: $KEY"
    ```
    """
    found = await endpoints.list(caller)
    return json_response(schema.EndpointsOut([endpoint_out(each) for each in found]))


@post(
    "/endpoints",
    status_code=201,
    tags=["Endpoints"],
    summary="Add an endpoint",
    opt={"permission": "webhooks.manage", "body": schema.EndpointIn, "answer": schema.EndpointOut},
)
async def add_endpoint(
    body: RawBody, caller: NamedDependency[Caller], endpoints: Service
) -> Response[bytes]:
    r"""Subscribe a server to events. The answer holds its signing secret, shown only once.

    ```bash
    curl -X POST $GATEWAY/api/webhooks/endpoints -H "X-API-Key: $KEY" \
      -H "Content-Type: application/json" \
      -d '{"url": "https://example.com/webhooks", "events": ["delivery.*"]}'
    ```
    """
    destination, secret = await endpoints.add(caller, decode(body, schema.EndpointIn))
    return json_response(endpoint_out(destination, secret), 201)


@get(
    "/endpoints/{endpoint_id:str}",
    tags=["Endpoints"],
    summary="Show an endpoint",
    opt={"permission": "webhooks.read", "answer": schema.EndpointOut},
)
async def show_endpoint(
    endpoint_id: FromPath[str], caller: NamedDependency[Caller], endpoints: Service
) -> Response[bytes]:
    """Show one endpoint. Its secret and the values of its headers are never shown.

    ```bash
    curl $GATEWAY/api/webhooks/endpoints/$ENDPOINT -H "X-API-Key: $KEY"
    ```
    """
    return json_response(endpoint_out(await endpoints.get(caller, endpoint_id)))


@patch(
    "/endpoints/{endpoint_id:str}",
    tags=["Endpoints"],
    summary="Change an endpoint",
    opt={
        "permission": "webhooks.manage",
        "body": schema.EndpointChange,
        "answer": schema.EndpointOut,
    },
)
async def change_endpoint(
    endpoint_id: FromPath[str],
    body: RawBody,
    caller: NamedDependency[Caller],
    endpoints: Service,
) -> Response[bytes]:
    r"""Change the fields that are sent; the others stay as they are. The format is fixed.

    A `url` with another host drops the endpoint's headers and its secret, which were meant for
    the old one: the answer holds the new secret, shown only once.

    ```bash
    curl -X PATCH $GATEWAY/api/webhooks/endpoints/$ENDPOINT -H "X-API-Key: $KEY" \
      -H "Content-Type: application/json" -d '{"status": "paused"}'
    ```
    """
    change = decode(body, schema.EndpointChange)
    return json_response(endpoint_out(*await endpoints.change(caller, endpoint_id, change)))


@delete(
    "/endpoints/{endpoint_id:str}",
    status_code=204,
    tags=["Endpoints"],
    summary="Remove an endpoint",
    opt={"permission": "webhooks.manage", "feature": None},
)
async def remove_endpoint(
    endpoint_id: FromPath[str], caller: NamedDependency[Caller], endpoints: Service
) -> None:
    """Remove an endpoint and its secret. Its delivery log stays.

    ```bash
    curl -X DELETE $GATEWAY/api/webhooks/endpoints/$ENDPOINT -H "X-API-Key: $KEY"
    ```
    """
    await endpoints.remove(caller, endpoint_id)


@post(
    "/endpoints/{endpoint_id:str}/rotate",
    status_code=200,
    tags=["Endpoints"],
    summary="Rotate the secret",
    opt={
        "permission": "webhooks.manage",
        "feature": None,
        "body": schema.RotateIn,
        "answer": schema.EndpointOut,
    },
)
async def rotate_secret(
    endpoint_id: FromPath[str],
    body: RawBody,
    caller: NamedDependency[Caller],
    endpoints: Service,
) -> Response[bytes]:
    r"""Make a new secret, shown only once. The secret in use keeps signing for the overlap.

    ```bash
    curl -X POST $GATEWAY/api/webhooks/endpoints/$ENDPOINT/rotate -H "X-API-Key: $KEY" \
      -H "Content-Type: application/json" -d '{"overlap_hours": 24}'
    ```
    """
    sent = decode(body or b"{}", schema.RotateIn)
    destination, secret = await endpoints.rotate(caller, endpoint_id, sent.overlap_hours)
    return json_response(endpoint_out(destination, secret))


@post(
    "/endpoints/{endpoint_id:str}/rotate/finish",
    status_code=200,
    tags=["Endpoints"],
    summary="Finish a rotation",
    opt={"permission": "webhooks.manage", "feature": None, "answer": schema.EndpointOut},
)
async def finish_rotation(
    endpoint_id: FromPath[str], caller: NamedDependency[Caller], endpoints: Service
) -> Response[bytes]:
    """End the overlap now: the new secret signs alone, the old one is deleted.

    ```bash
    curl -X POST $GATEWAY/api/webhooks/endpoints/$ENDPOINT/rotate/finish -H "X-API-Key: $KEY"
    ```
    """
    return json_response(endpoint_out(await endpoints.finish_rotation(caller, endpoint_id)))


@post(
    "/endpoints/{endpoint_id:str}/test",
    status_code=200,
    tags=["Endpoints"],
    summary="Send a test event",
    opt={"permission": "webhooks.manage", "feature": None, "answer": schema.DeliveryOut},
)
async def test_endpoint(
    endpoint_id: FromPath[str], caller: NamedDependency[Caller], endpoints: Service
) -> Response[bytes]:
    """Send a `webhook.test` event and show the result of its first attempt.

    ```bash
    curl -X POST $GATEWAY/api/webhooks/endpoints/$ENDPOINT/test -H "X-API-Key: $KEY"
    ```
    """
    return json_response(delivery_out(*await endpoints.test(caller, endpoint_id), caller))


@get(
    "/logs",
    tags=["Deliveries out"],
    summary="List delivery attempts",
    opt={"permission": "webhooks.read", "answer": schema.LogOut},
)
async def read_log(  # noqa: PLR0913, PLR0917 - one for each query parameter
    caller: NamedDependency[Caller],
    gateway: NamedDependency[SkipValidation[Gateway]],
    endpoint: FromQuery[str | None] = None,
    event: FromQuery[str | None] = None,
    outcome: _Outcome = None,
    since: FromQuery[datetime | None] = None,
    cursor: _Cursor = None,
    limit: PageLimit = 50,
) -> Response[bytes]:
    """List every attempt, newest first. `outcome` is `delivered` or `failed`.

    ```bash
    curl "$GATEWAY/api/webhooks/logs?outcome=failed&limit=10" -H "X-API-Key: $KEY"
    ```
    """
    size = page_size(limit)
    if cursor is not None and not 0 < cursor <= _MAX_CURSOR:
        raise InvalidInput("cursor must be the next_cursor of an earlier page.")
    if outcome is not None and outcome not in _OUTCOMES:
        raise InvalidInput("outcome must be delivered or failed.")
    delivered = _OUTCOMES[outcome] if outcome else None
    start = None if since is None else aware(since)
    wanted = AttemptFilter(size + 1, cursor, endpoint, event, delivered, start)
    async with gateway.database.read() as connection:
        found = await gateway.delivery_log.attempts_page(connection, caller, wanted)
    shown = found[:size]
    next_cursor = str(shown[-1][0]) if len(found) > size else None
    return json_response(
        schema.LogOut([attempt_out(each, caller) for _, each in shown], next_cursor)
    )


@get(
    "/deliveries/{delivery_id:str}",
    tags=["Deliveries out"],
    summary="Show a delivery",
    opt={"permission": "webhooks.read", "answer": schema.DeliveryOut},
)
async def show_delivery(
    delivery_id: FromPath[str], caller: NamedDependency[Caller], endpoints: Service
) -> Response[bytes]:
    """Show the delivery of one event to one endpoint, with every attempt.

    ```bash
    curl $GATEWAY/api/webhooks/deliveries/$DELIVERY -H "X-API-Key: $KEY"
    ```
    """
    return json_response(delivery_out(*await endpoints.delivery(caller, delivery_id), caller))


@post(
    "/deliveries/{delivery_id:str}/resend",
    status_code=200,
    tags=["Deliveries out"],
    summary="Resend a delivery",
    opt={"permission": "deliveries.resend", "feature": None, "answer": schema.DeliveryOut},
)
async def resend_delivery(
    delivery_id: FromPath[str], caller: NamedDependency[Caller], endpoints: Service
) -> Response[bytes]:
    """Resend a delivery now, with a full retry schedule.

    ```bash
    curl -X POST $GATEWAY/api/webhooks/deliveries/$DELIVERY/resend -H "X-API-Key: $KEY"
    ```
    """
    return json_response(delivery_out(*await endpoints.resend(caller, delivery_id), caller))


def router(gateway: Gateway, endpoints: Endpoints, deliveries: Deliveries) -> Router:
    """Build the router. The gateway is open by the time a route is called."""
    return Router(
        "/api/webhooks",
        route_handlers=[
            list_endpoints,
            add_endpoint,
            show_endpoint,
            change_endpoint,
            remove_endpoint,
            rotate_secret,
            finish_rotation,
            test_endpoint,
            enable_endpoint,
            preview_event,
            recover_endpoint,
            rehearse_recovery,
            show_recovery,
            show_statistics,
            show_fields,
            read_log,
            list_deliveries,
            show_delivery,
            show_attempt,
            resend_delivery,
        ],
        dependencies={
            "gateway": Provide(lambda: gateway, sync_to_thread=False),
            "endpoints": Provide(lambda: endpoints, sync_to_thread=False),
            "deliveries": Provide(lambda: deliveries, sync_to_thread=False),
        },
    )
