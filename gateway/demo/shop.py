"""The web shop of the demo: three orders as Shopify would send them, without its servers."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from gateway.clock import isoformat
from gateway.demo.calls import Program

DOMAIN: Final = "lakeside-demo.myshopify.com"
SECRET: Final = "shpss_of_the_demo"  # noqa: S105 - it signs what the demo sends to itself
HOLD_TAG: Final = "call first"
_PEOPLE: Final[Sequence[tuple[str, str, str]]] = (
    ("Nora", "Castillo", ""),
    ("Felix", "Arnaud", HOLD_TAG),
    ("Mina", "Osei", ""),
)


async def send_orders(shop: Program, now: datetime) -> None:
    """Send the shop's orders: one is held because of its tag, one has no address."""
    for index, (first, last, tags) in enumerate(_PEOPLE):
        has_address = index != len(_PEOPLE) - 1
        order = _order(index, first, last, tags, now, has_address=has_address)
        body = json.dumps(order).encode()
        await shop.send("/api/shopify/webhooks", body, _head(index, body, now))


def _head(index: int, body: bytes, now: datetime) -> Mapping[str, str]:
    signed = hmac.digest(SECRET.encode(), body, hashlib.sha256)
    return {
        "Content-Type": "application/json",
        "X-Shopify-Topic": "orders/create",
        "X-Shopify-Hmac-Sha256": base64.b64encode(signed).decode(),
        "X-Shopify-Shop-Domain": DOMAIN,
        "X-Shopify-API-Version": "2026-10",
        "X-Shopify-Webhook-Id": f"demo-{index}",
        "X-Shopify-Triggered-At": isoformat(now),
    }


def _order(
    index: int, first: str, last: str, tags: str, now: datetime, *, has_address: bool
) -> dict[str, Any]:
    number = 5_820_114_000 + index
    address = {
        "first_name": first,
        "last_name": last,
        "name": f"{first} {last}",
        "address1": f"{40 + 7 * index} Broadview Ave" if has_address else None,
        "city": "Toronto",
        "province": "Ontario",
        "province_code": "ON",
        "zip": "M4M 2E5",
        "country": "Canada",
        "country_code": "CA",
        "phone": f"+1 416-555-01{50 + index}",
    }
    return {
        "id": number,
        "admin_graphql_api_id": f"gid://shopify/Order/{number}",
        "name": f"#{1041 + index}",
        "created_at": isoformat(now),
        "updated_at": isoformat(now),
        "cancelled_at": None,
        "test": False,
        "financial_status": "paid",
        "total_outstanding": "0.00",
        "currency": "CAD",
        "note": None,
        "note_attributes": [],
        "tags": tags,
        "phone": None,
        "email": None,
        "shipping_address": address,
        "billing_address": address,
        "customer": {
            "id": 900 + index,
            "admin_graphql_api_id": f"gid://shopify/Customer/{900 + index}",
            "first_name": first,
            "last_name": last,
            "email": None,
            "phone": None,
        },
        "shipping_lines": [{"title": "Local delivery", "code": "local", "is_removed": False}],
        "line_items": [
            {
                "id": 7_100 + index,
                "admin_graphql_api_id": f"gid://shopify/LineItem/{7_100 + index}",
                "title": "Vitamins and a refill",
                "quantity": 1,
                "current_quantity": 1,
                "requires_shipping": True,
                "properties": [],
            }
        ],
    }
