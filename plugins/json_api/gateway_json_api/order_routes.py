"""The route that accepts orders."""

from typing import Final

from litestar import Response, post
from litestar.di import NamedDependency
from litestar.params import RawBody

from gateway.plugin import (
    Caller,
    IdempotencyKey,
    OpenGateway,
    OrdersIn,
    OrdersOut,
    Submission,
    decode,
    idempotency_key,
    order_candidate,
    orders_answer,
)
from gateway_json_api import mapping, schema

SOURCE: Final = "json_api"


@post(
    "/webhook/orders",
    status_code=200,
    tags=["Orders"],
    summary="Create orders",
    opt={
        "permission": "orders.create",
        "limit": "orders",
        "body": OrdersIn,
        "answer": OrdersOut,
    },
)
async def create_orders(
    body: RawBody,
    caller: NamedDependency[Caller],
    gateway: OpenGateway,
    key: IdempotencyKey = None,
) -> Response[bytes]:
    r"""Create packages from a batch of orders. Each order is accepted or rejected alone.

    Accepted orders are stored before the response. To make a repeated request harmless, send
    an `Idempotency-Key` header, or give each order your own `external_order_id`.

    ```bash
    curl -X POST $GATEWAY/api/webhook/orders -H "X-API-Key: $KEY" \
      -H "Content-Type: application/json" \
      -d '{"orders": [{"patient_name": "Maria Rodriguez",
      "patient_address": "123 Main St, Miami, FL 33178"}]}'
    ```
    """
    idempotency = idempotency_key(key, body)
    sent = decode(body, schema.OrdersBody).orders
    mapping.check_size(sent, "orders", gateway.settings.limits.orders_per_batch)
    await gateway.limits.take("orders_per_hour", caller.actor, len(sent))
    candidates = tuple(order_candidate(each) for each in sent)
    answer = await gateway.intake.accept(Submission(caller, SOURCE, candidates, idempotency))
    return orders_answer(answer)
