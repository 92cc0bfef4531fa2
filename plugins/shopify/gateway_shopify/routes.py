"""The routes of Shopify's webhooks, and of held orders."""

import hashlib
import logging
from datetime import datetime
from typing import Annotated, Any, Final, TypeAlias

import msgspec
from litestar import Request, Response, Router, get, post
from litestar.connection import ASGIConnection
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, QueryParameter, RawBody, SkipValidation

from gateway.plugin import (
    Caller,
    InvalidInput,
    NotAuthenticated,
    decode,
    json_response,
    to_epoch_ms,
)
from gateway_shopify.held_orders import STATES
from gateway_shopify.inbox import Arrival
from gateway_shopify.schema import COMPLIANCE_TOPICS, TOPICS, OrderReference, Release
from gateway_shopify.service import ShopifyService
from gateway_shopify.shop_states import ShopState
from gateway_shopify.signing import is_signed

_MAX_BODY_BYTES: Final = 2_000_000
_MAX_ID_CHARACTERS: Final = 200
_NOT_SIGNED: Final = "The webhook isn't signed with the secret of a shop in gateway.toml."

_log = logging.getLogger(__name__)

OpenService: TypeAlias = NamedDependency[SkipValidation[ShopifyService]]


class WebhookResponse(msgspec.Struct, frozen=True):
    """The response to Shopify, which reads only the HTTP status."""

    status: str


class HeldOrder(msgspec.Struct, frozen=True):
    """An order of a shop, with the reason why it has no package."""

    id: str
    shop: str
    order: str | None
    state: str
    reason: str | None
    why: str | None
    problems: list[str]
    flagged: bool
    warnings: list[str]
    package_id: str | None
    updated_at: str | None
    patient_name: str | None


class Made(msgspec.Struct, frozen=True):
    """The order of the package that a release would make, as far as the caller may see it."""

    patient_name: str | None
    patient_address: str | None
    patient_phone: str | None
    rx_number: str | None
    delivery_date: str | None
    site: str | None
    priority: str
    requires_signature: bool
    copay_amount: str | None
    notes: str | None


class Preview(msgspec.Struct, frozen=True):
    """The result of a release: ``outcome`` is ``make``, ``hold`` or ``skip``.

    ``digest`` changes when the shop changes the order.
    """

    id: str
    outcome: str
    reason: str | None
    why: str | None
    problems: list[str]
    warnings: list[str]
    digest: str
    makes: Made | None


class ShopList(msgspec.Struct, frozen=True):
    """The shops of the account."""

    shops: list[ShopState]


class HeldList(msgspec.Struct, frozen=True):
    """A list of orders."""

    orders: list[HeldOrder]


@post(
    "/webhooks",
    status_code=200,
    tags=["Shopify"],
    summary="Receive a Shopify webhook",
    opt={"public": True, "answer": WebhookResponse},
    request_max_body_size=_MAX_BODY_BYTES,
)
async def receive_webhook(
    request: Request[Any, Any, Any], body: RawBody, service: OpenService
) -> Response[bytes]:
    r"""Store a webhook and respond; it is processed afterwards.

    Shopify signs its webhooks instead of using a key: `X-Shopify-Hmac-Sha256` is the HMAC of the
    raw body with the app's client secret. `gateway shopify connect` registers this URL.
    To send a webhook as Shopify does:

    ```bash
    echo -n '{"id": 1}' > webhook.json
    SIGNATURE=$(openssl dgst -sha256 -hmac "$SHOPIFY_SECRET" -binary webhook.json | base64)
    curl $GATEWAY/api/shopify/webhooks -H "X-Shopify-Shop-Domain: lakeside.myshopify.com" \
      -H "X-Shopify-Topic: orders/updated" -H "X-Shopify-Webhook-Id: try-1" \
      -H "X-Shopify-Hmac-Sha256: $SIGNATURE" --data-binary @webhook.json
    ```
    """
    headers = request.headers
    shop = service.directory.configured.get(headers.get("x-shopify-shop-domain", "").lower())
    secrets = shop.secrets if shop else ("",)
    signed = is_signed(body, headers.get("x-shopify-hmac-sha256"), secrets)
    if shop is None or not signed:
        raise NotAuthenticated(_NOT_SIGNED)
    topic = headers.get("x-shopify-topic", "")
    if topic not in TOPICS or topic.startswith("gateway/"):
        return json_response(WebhookResponse("ignored"))
    webhook_id = headers.get("x-shopify-webhook-id") or hashlib.sha256(body).hexdigest()
    index = None if topic in COMPLIANCE_TOPICS else _order_index(service, shop.domain, body)
    arrival = Arrival(
        shop.domain,
        webhook_id[:_MAX_ID_CHARACTERS],
        topic,
        body,
        index,
        _milliseconds(headers.get("x-shopify-triggered-at", "")),
    )
    is_new = await service.inbox.put(arrival)
    return json_response(WebhookResponse("stored" if is_new else "duplicate"))


@get(
    "/shops",
    tags=["Shopify"],
    summary="List the shops and how they are",
    opt={"permission": "packages.read", "answer": ShopList},
)
async def list_shops(caller: NamedDependency[Caller], service: OpenService) -> Response[bytes]:
    """List your shops: connected or not, the last webhook, order and reconciliation, the token.

    ```bash
    curl "$GATEWAY/api/shopify/shops" -H "X-API-Key: $KEY"
    ```
    """
    return json_response(ShopList(await service.states.of(caller)))


@get(
    "/orders",
    tags=["Shopify"],
    summary="List orders without a package",
    opt={"permission": "packages.read", "answer": HeldList},
)
async def list_orders(
    caller: NamedDependency[Caller],
    service: OpenService,
    order_state: Annotated[
        str, QueryParameter(name="state", description=", ".join(STATES))
    ] = "held",
) -> Response[bytes]:
    """List the orders of your shops that are held, or in another state, with the reason.

    `flagged` orders have a package and need a person: the shop changed them too late, or in a
    way that the gateway doesn't follow by itself, or the package was made with `warnings`.

    ```bash
    curl "$GATEWAY/api/shopify/orders?state=held" -H "X-API-Key: $KEY"
    ```
    """
    if order_state not in STATES:
        text = f"state must be one of {', '.join(STATES)}"
        raise InvalidInput(text)
    return json_response({"orders": await service.held.list(caller, [order_state])})


@post(
    "/orders/{order_id:str}/release",
    status_code=200,
    tags=["Shopify"],
    summary="Release a held or skipped order",
    opt={"permission": "orders.amend", "body": Release, "answer": HeldOrder},
)
async def release_order(
    order_id: FromPath[str], body: RawBody, caller: NamedDependency[Caller], service: OpenService
) -> Response[bytes]:
    r"""Make a package of an order in spite of the reason; add the details Shopify left out.

    An order that was cancelled or refunded can't be released.
    `GET /api/shopify/orders` has the ids.

    ```bash
    curl -X POST $GATEWAY/api/shopify/orders/$HELD_ORDER/release -H "X-API-Key: $KEY" \
      -H "Content-Type: application/json" \
      -d '{"patient_name": "A. Smith", "patient_address": "1 Ocean Dr, Miami Beach FL"}'
    ```
    """
    release = decode(body, Release) if body else Release()
    return json_response(await service.held.release(caller, order_id, release))


@post(
    "/orders/{order_id:str}/preview",
    status_code=200,
    tags=["Shopify"],
    summary="Show what a release would make",
    opt={"permission": "packages.read", "body": Release, "answer": Preview},
)
async def preview_order(
    order_id: FromPath[str], body: RawBody, caller: NamedDependency[Caller], service: OpenService
) -> Response[bytes]:
    """Show the package that a release would make of an order, and store nothing.

    ```bash
    curl -X POST $GATEWAY/api/shopify/orders/$HELD_ORDER/preview -H "X-API-Key: $KEY"
    ```
    """
    release = decode(body, Release) if body else Release()
    return json_response(await service.held.preview(caller, order_id, release))


@post(
    "/orders/{order_id:str}/dismiss",
    status_code=200,
    tags=["Shopify"],
    summary="Set a held order aside",
    opt={"permission": "orders.amend", "answer": HeldOrder},
)
async def dismiss_order(
    order_id: FromPath[str], caller: NamedDependency[Caller], service: OpenService
) -> Response[bytes]:
    """Set a held order aside that is not to be delivered from here.

    A change of it in the shop may hold it again; it can still be released.

    ```bash
    curl -X POST $GATEWAY/api/shopify/orders/$HELD_ORDER/dismiss -H "X-API-Key: $KEY"
    ```
    """
    return json_response(await service.held.dismiss(caller, order_id))


@post(
    "/orders/{order_id:str}/clear",
    status_code=200,
    tags=["Shopify"],
    summary="Clear the flag of an order",
    opt={"permission": "orders.amend", "answer": HeldOrder},
)
async def clear_order(
    order_id: FromPath[str], caller: NamedDependency[Caller], service: OpenService
) -> Response[bytes]:
    """Clear the flag of an order that you have handled. Its next change may flag it again.

    ```bash
    curl -X POST $GATEWAY/api/shopify/orders/$FLAGGED_ORDER/clear -H "X-API-Key: $KEY"
    ```
    """
    return json_response(await service.held.clear(caller, order_id))


def router(service: ShopifyService) -> Router:
    """Build the router. The gateway is open by the time a route is called.

    Without a shop there is no route for webhooks; an unknown shop is refused by the headers,
    before the body is read.
    """

    def require_known_shop(connection: ASGIConnection[Any, Any, Any, Any], _handler: Any) -> None:
        headers = connection.headers
        domain = headers.get("x-shopify-shop-domain", "").lower()
        if domain not in service.directory.configured or "x-shopify-hmac-sha256" not in headers:
            raise NotAuthenticated(_NOT_SIGNED)

    webhooks = Router("/", route_handlers=[receive_webhook], guards=[require_known_shop])
    return Router(
        "/api/shopify",
        route_handlers=[
            *([webhooks] if service.directory.configured else []),
            list_shops,
            list_orders,
            preview_order,
            release_order,
            dismiss_order,
            clear_order,
        ],
        dependencies={"service": Provide(lambda: service, sync_to_thread=False)},
    )


def _milliseconds(text: str) -> int | None:
    """Return a time in milliseconds since 1970; ``None`` if it is not one."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if at.tzinfo is None else to_epoch_ms(at)


def _order_index(service: ShopifyService, shop: str, body: bytes) -> bytes | None:
    try:
        order_id = msgspec.json.decode(body, type=OrderReference).gid
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None  # it is signed, so it is stored; processing logs the problem
    return None if order_id is None else service.orders.index(shop, order_id)
