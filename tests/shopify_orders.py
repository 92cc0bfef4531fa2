"""Orders and webhooks as Shopify would send them: made up, after the documented shapes.

Nothing here knows pytest.
"""

import base64
import hashlib
import hmac
import itertools
from typing import Any

import msgspec

SHOP = "lakeside.myshopify.com"
SECRET = "shpss_lakeside"
# More than 2^53: as a float it would be another order.
ORDER_NUMBER = 9_007_199_254_740_993
ORDER_GID = f"gid://shopify/Order/{ORDER_NUMBER}"

_webhook_ids = itertools.count(1)


def shopify_toml() -> str:
    """Return settings for a gateway with one shop; what is added belongs to that shop."""
    return f"""
[plugins.json_api]
[plugins.shopify]
[[sites]]
code = "main"
name = "Lakeside Pharmacy"
country = "CA"
[[plugins.shopify.shops]]
domain = "{SHOP}"
site = "main"
client_secret = "{SECRET}"
previous_client_secret = "shpss_before"
"""


def address(**changes: Any) -> dict[str, Any]:
    return {
        "first_name": "Maria",
        "last_name": "Rodriguez",
        "name": "Maria Rodriguez",
        "address1": "123 Main St",
        "address2": "Apt 4",
        "city": "Ottawa",
        "province": "Ontario",
        "province_code": "ON",
        "zip": "K1A 0B1",
        "country": "Canada",
        "country_code": "CA",
        "phone": "+1 613-555-0134",
        **changes,
    }


def line_item(**changes: Any) -> dict[str, Any]:
    return {
        "id": 466_157_049,
        "admin_graphql_api_id": "gid://shopify/LineItem/466157049",
        "title": "Prescription delivery",
        "quantity": 1,
        "current_quantity": 1,
        "requires_shipping": True,
        "properties": [],
        **changes,
    }


def order(**changes: Any) -> dict[str, Any]:
    """Return the body of an order's webhook."""
    return {
        "id": ORDER_NUMBER,
        "admin_graphql_api_id": ORDER_GID,
        "name": "#1001",
        "created_at": "2026-11-20T10:00:00-05:00",
        "updated_at": "2026-11-20T10:00:00-05:00",
        "cancelled_at": None,
        "test": False,
        "financial_status": "pending",
        "total_outstanding": "12.50",
        "currency": "CAD",
        "note": None,
        "note_attributes": [],
        "tags": "",
        "phone": None,
        "email": "maria@example.com",
        "shipping_address": address(),
        "billing_address": address(phone=None),
        "customer": {
            "id": 115_310_627_314_723_954,
            "admin_graphql_api_id": "gid://shopify/Customer/115310627314723954",
            "first_name": "Maria",
            "last_name": "Rodriguez",
            "email": "maria@example.com",
            "phone": None,
        },
        "shipping_lines": [{"title": "Local delivery", "code": "local", "is_removed": False}],
        "line_items": [line_item()],
        **changes,
    }


def paid(**changes: Any) -> dict[str, Any]:
    later = {"updated_at": "2026-11-20T10:00:05-05:00", "financial_status": "paid"}
    return order(**{**later, "total_outstanding": "0.00", **changes})


def without_protected_data(**changes: Any) -> dict[str, Any]:
    """Return an order as an app sees it that has no access to protected customer data."""
    bare = dict.fromkeys(address())
    return order(
        **{
            "shipping_address": {**bare, "country": "Canada", "country_code": "CA"},
            "billing_address": {**bare, "country": "Canada", "country_code": "CA"},
            "customer": {"id": 7, "admin_graphql_api_id": "gid://shopify/Customer/7"},
            "email": None,
            "phone": None,
            **changes,
        }
    )


def sample_notification() -> dict[str, Any]:
    """Return what the button "Send test notification" sends."""
    return order(
        id=820_982_911_946_154_508,
        admin_graphql_api_id="gid://shopify/Order/820982911946154508",
        name="#9999",
        test=True,
        financial_status="voided",
        cancelled_at="2026-11-20T10:00:00-05:00",
        email="jon@example.com",
        shipping_address=address(
            name="Steve Shipper", first_name="Steve", last_name="Shipper", phone="555-555-SHIP"
        ),
    )


def signature(body: bytes, secret: str = SECRET) -> str:
    return base64.b64encode(hmac.digest(secret.encode(), body, hashlib.sha256)).decode()


def webhook(
    topic: str,
    sent: Any,
    *,
    shop: str = SHOP,
    secret: str = SECRET,
    webhook_id: str | None = None,
    triggered_at: str = "2026-11-20T15:00:00Z",
) -> tuple[bytes, dict[str, str]]:
    """Return the body and headers of a webhook."""
    body = sent if isinstance(sent, bytes) else msgspec.json.encode(sent)
    return body, {
        "Content-Type": "application/json",
        "X-Shopify-Topic": topic,
        "X-Shopify-Hmac-Sha256": signature(body, secret),
        "X-Shopify-Shop-Domain": shop,
        "X-Shopify-API-Version": "2026-10",
        "X-Shopify-Webhook-Id": webhook_id or f"hook-{next(_webhook_ids)}",
        "X-Shopify-Event-Id": "event-1",
        "X-Shopify-Triggered-At": triggered_at,
    }
