"""The webhook that WooCommerce posts its orders to."""

from typing import Any, Final

from litestar import Request, Response, Router, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import RawBody

from gateway.plugin import (
    DEFAULT_ACCOUNT,
    Caller,
    Gateway,
    SignatureScheme,
    Submission,
    decode,
    json_response,
    signed_request,
)
from gateway_woocommerce.mapping import candidate, order_out
from gateway_woocommerce.schema import OrderIn, OrderOut
from gateway_woocommerce.settings import WooCommerceSettings

SOURCE: Final = "woocommerce"
SIGNATURE: Final = SignatureScheme("X-WC-Webhook-Signature", encoding="base64")
# What a shop posts when its webhook is saved: a form, unsigned by some versions.
_PING: Final = b"webhook_id="


def router(gateway: Gateway, settings: WooCommerceSettings) -> Router:
    """Put the routes together over a gateway that is open when they are called."""
    return Router("/api/woocommerce", route_handlers=[_take_order(gateway, settings)])


def _take_order(gateway: Gateway, settings: WooCommerceSettings) -> HTTPRouteHandler:
    @post(
        "/orders",
        status_code=200,
        tags=["WooCommerce"],
        summary="Hand in an order from WooCommerce",
        # No API key: the signature says who it is. The limit counts by the sender's address.
        opt={"public": True, "limit": "orders", "body": OrderIn, "answer": OrderOut},
    )
    async def take_order(request: Request[Any, Any, Any], body: RawBody) -> Response[bytes]:
        """Take one order; it is stored before this answers, and a repeated one is a duplicate.

        A ping, and every topic but `order.created`, is answered and ignored.
        """
        topic = request.headers.get("X-WC-Webhook-Topic", "order.created")
        if body.startswith(_PING) or topic != "order.created":
            return json_response(OrderOut("ignored"))
        now = gateway.clock.now()
        signed_request(SIGNATURE, request.headers, body, settings.secrets, now)
        caller = Caller(DEFAULT_ACCOUNT, "live", f"plugin:{SOURCE}")
        sent = candidate(decode(body, OrderIn), settings.site)
        answer = await gateway.intake.accept(Submission(caller, SOURCE, (sent,)))
        return json_response(order_out(answer))

    return take_order
