"""Where ACME's orders come in."""

from typing import Final

from litestar import Response, Router, post
from litestar.di import NamedDependency
from litestar.params import RawBody, SkipValidation

from gateway.plugin import (
    Caller,
    Gateway,
    InvalidInput,
    Submission,
    decode,
    json_response,
    provided,
)
from gateway_acme_erp import mapping, schema

SOURCE: Final = "acme_erp"


@post(
    "/orders",
    status_code=200,
    tags=["ACME ERP"],
    summary="Hand in orders from ACME",
    opt={
        "permission": "orders.create",
        "limit": "orders",
        "body": schema.AcmeOrders,
        "answer": schema.OrdersTaken,
    },
)
async def take_orders(
    body: RawBody,
    caller: NamedDependency[Caller],
    gateway: NamedDependency[SkipValidation[Gateway]],
) -> Response[bytes]:
    r"""Take orders in ACME's shape; each is judged alone, and answered once it is stored.

    ```bash
    curl -X POST $GATEWAY/api/acme/orders -H "X-API-Key: $KEY" \
      -H "Content-Type: application/json" \
      -d '{"orders": [{"no": "A-1001",
      "customer": {"no": "C-77", "first": "Maria", "last": "Rodriguez"},
      "ship_to": {"street": "123 Main St", "city": "Miami", "state": "FL", "zip": "33178"}}]}'
    ```
    """
    batch = decode(body, schema.AcmeBatch)
    most = gateway.settings.limits.orders_per_batch
    if not 1 <= len(batch.orders) <= most:
        raise InvalidInput(f"Send 1 to {most} orders at a time.")
    await gateway.limits.take("orders_per_hour", caller.actor, len(batch.orders))
    candidates = tuple(mapping.candidate(each, batch.store) for each in batch.orders)
    answer = await gateway.intake.accept(Submission(caller, SOURCE, candidates))
    return json_response(mapping.taken(answer))


def router(gateway: Gateway) -> Router:
    """Put the routes together over a gateway that will be open when they are called."""
    return Router(
        "/api/acme",
        route_handlers=[take_orders],
        dependencies={"gateway": provided(gateway)},
    )
