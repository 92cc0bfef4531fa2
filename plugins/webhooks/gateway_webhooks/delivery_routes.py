"""The routes that look deliveries up: lists, an attempt as it was sent, an endpoint's hours."""

import re
from typing import Annotated, Final

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, QueryParameter, SkipValidation

from gateway.plugin import (
    Caller,
    DeliveryFilter,
    InvalidInput,
    PageLimit,
    json_response,
    page_size,
)
from gateway_webhooks import schema
from gateway_webhooks.deliveries import Deliveries
from gateway_webhooks.delivery_answers import (
    fields_out,
    inspection_out,
    statistics_out,
    summary_out,
)
from gateway_webhooks.endpoints import Endpoints

_STATES: Final = ("pending", "delivered", "exhausted", "failed")
_STATUS: Final = re.compile(r"([1-5])(\d\d|xx)")
_ERROR: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")

Service = NamedDependency[SkipValidation[Deliveries]]
EndpointService = NamedDependency[SkipValidation[Endpoints]]


@get(
    "/deliveries",
    tags=["Deliveries out"],
    summary="List deliveries",
    opt={"permission": "webhooks.read", "answer": schema.DeliveriesOut},
)
async def list_deliveries(  # noqa: PLR0913, PLR0917 - one for each query parameter
    caller: NamedDependency[Caller],
    deliveries: Service,
    wanted_state: Annotated[
        str | None, QueryParameter(name="state", schema_extra={"enum": [*_STATES]})
    ] = None,
    endpoint: FromQuery[str | None] = None,
    event: FromQuery[str | None] = None,
    package: FromQuery[str | None] = None,
    status: Annotated[
        str | None, QueryParameter(schema_extra={"pattern": f"^{_STATUS.pattern}$"})
    ] = None,
    error: Annotated[
        str | None, QueryParameter(schema_extra={"pattern": f"^{_ERROR.pattern}$"})
    ] = None,
    cursor: FromQuery[str | None] = None,
    limit: PageLimit = 50,
) -> Response[bytes]:
    """List deliveries, newest first.

    `state` is `pending`, `delivered`, `exhausted`, or `failed`: the last attempt failed, whether
    another follows or not. `package` is the id that the event is about. `status` (such as `502`
    or `5xx`) and `error` (such as `timeout`) are of any of its attempts.

    ```bash
    curl "$GATEWAY/api/webhooks/deliveries?state=failed&status=5xx" -H "X-API-Key: $KEY"
    ```
    """
    wanted = delivery_filter(
        limit=page_size(limit),
        state=wanted_state,
        endpoint=endpoint,
        event=event,
        package=package,
        status=status,
        error=error,
        cursor=cursor,
    )
    found, next_cursor = await deliveries.search(caller, wanted)
    return json_response(schema.DeliveriesOut([summary_out(each) for each in found], next_cursor))


@get(
    "/deliveries/{delivery_id:str}/attempts/{number:int}",
    tags=["Deliveries out"],
    summary="Show an attempt as it was sent",
    opt={"permission": "webhooks.read", "answer": schema.InspectionOut},
)
async def show_attempt(
    delivery_id: FromPath[str],
    number: FromPath[int],
    caller: NamedDependency[Caller],
    deliveries: Service,
) -> Response[bytes]:
    """Show an attempt with its request: the bytes that were signed and sent, and their headers.

    They are made again from the stored event and the endpoint; `differs` names what has changed
    since. Without the reveal permissions the body is masked.

    ```bash
    curl $GATEWAY/api/webhooks/deliveries/$DELIVERY/attempts/1 -H "X-API-Key: $KEY"
    ```
    """
    found = await deliveries.attempt(caller, delivery_id, number)
    return json_response(inspection_out(found, caller))


@get(
    "/endpoints/{endpoint_id:str}/stats",
    tags=["Endpoints"],
    summary="Show an endpoint's last hours",
    opt={"permission": "webhooks.read", "answer": schema.StatisticsOut},
)
async def show_statistics(
    endpoint_id: FromPath[str],
    caller: NamedDependency[Caller],
    deliveries: Service,
    hours: Annotated[int, QueryParameter(schema_extra={"minimum": 1, "maximum": 168})] = 24,
) -> Response[bytes]:
    """Show success and p95 by quarter hour, and the backlog. `hours` is 24, and 168 at most.

    ```bash
    curl "$GATEWAY/api/webhooks/endpoints/$ENDPOINT/stats?hours=24" -H "X-API-Key: $KEY"
    ```
    """
    found = await deliveries.statistics(caller, endpoint_id, hours)
    return json_response(statistics_out(endpoint_id, found))


@get(
    "/endpoints/{endpoint_id:str}/fields",
    tags=["Endpoints"],
    summary="Show what a receiver learns",
    opt={"permission": "webhooks.read", "answer": schema.FieldsOut},
)
async def show_fields(
    endpoint_id: FromPath[str],
    caller: NamedDependency[Caller],
    endpoints: EndpointService,
    deliveries: Service,
) -> Response[bytes]:
    """Show the fields of each event that an endpoint subscribes to, and which are a patient's.

    ```bash
    curl $GATEWAY/api/webhooks/endpoints/$ENDPOINT/fields -H "X-API-Key: $KEY"
    ```
    """
    endpoint = await endpoints.get(caller, endpoint_id)
    return json_response(fields_out(endpoint, deliveries.learned(endpoint)))


def delivery_filter(  # noqa: PLR0913 - the filters there are
    *,
    limit: int,
    state: str | None = None,
    endpoint: str | None = None,
    event: str | None = None,
    package: str | None = None,
    status: str | None = None,
    error: str | None = None,
    cursor: str | None = None,
) -> DeliveryFilter:
    """Read the filters of a query; raises ``InvalidInput`` for one that can't be."""
    if state is not None and state not in _STATES:
        raise InvalidInput(f"state must be {', '.join(_STATES[:-1])} or {_STATES[-1]}.")
    if error is not None and not _ERROR.fullmatch(error):
        raise InvalidInput("error must be the word of an attempt's error, such as timeout.")
    return DeliveryFilter(
        limit=limit,
        before_id=cursor,
        state=state,  # type: ignore[arg-type]  # it is one of _STATES
        destination_id=endpoint,
        event_type=event,
        subject=package,
        status=_status_range(status),
        error=error,
    )


def _status_range(status: str | None) -> tuple[int, int] | None:
    if status is None:
        return None
    found = _STATUS.fullmatch(status)
    if found is None:
        raise InvalidInput("status must be an HTTP status such as 502, or 5xx.")
    if found[2] == "xx":
        return int(found[1]) * 100, int(found[1]) * 100 + 99
    return int(status), int(status)
