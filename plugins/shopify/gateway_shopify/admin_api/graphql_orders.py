"""Conversion of an order from the Admin API into the shape of webhooks. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from gateway_shopify.schema import ShopifyOrder

# OrderDisplayFulfillmentStatus in the words of webhooks; other states in lower case.
_FULFILLMENT_STATUS: Final[Mapping[str, str | None]] = {
    "FULFILLED": "fulfilled",
    "PARTIALLY_FULFILLED": "partial",
    "UNFULFILLED": None,
    "ON_HOLD": "on_hold",
}


def order_from(node: Mapping[str, Any]) -> ShopifyOrder:
    """Convert an ``Order`` of the GraphQL API into the order of a webhook."""
    status = node["displayFinancialStatus"]
    outstanding = node["totalOutstandingSet"]
    return msgspec.convert(
        {
            "admin_graphql_api_id": node["id"],
            "updated_at": node["updatedAt"],
            "name": node["name"],
            "cancelled_at": node["cancelledAt"],
            "closed_at": node["closedAt"],
            "source_name": node["sourceName"],
            "fulfillment_status": _FULFILLMENT_STATUS.get(
                node["displayFulfillmentStatus"], node["displayFulfillmentStatus"].lower()
            ),
            "currency": node["currencyCode"],
            "presentment_currency": node["presentmentCurrencyCode"],
            "test": node["test"],
            "financial_status": None if status is None else status.lower(),
            "total_outstanding": outstanding["shopMoney"]["amount"],
            "total_outstanding_set": {
                "shop_money": _money(outstanding["shopMoney"]),
                "presentment_money": _money(outstanding["presentmentMoney"]),
            },
            "note": node["note"],
            "note_attributes": _attributes(node["customAttributes"]),
            "tags": ", ".join(node["tags"]),
            "phone": node["phone"],
            "email": node["email"],
            "shipping_address": _address(node["shippingAddress"]),
            "billing_address": _address(node["billingAddress"]),
            "customer": _customer(node["customer"]),
            "shipping_lines": [
                {
                    "title": each["title"],
                    "code": each["code"],
                    "delivery_category": each["deliveryCategory"],
                    "is_removed": each["isRemoved"],
                }
                for each in node["shippingLines"]["nodes"]
            ],
            "line_items": [
                {
                    "requires_shipping": each["requiresShipping"],
                    "quantity": each["quantity"],
                    "current_quantity": each["currentQuantity"],
                    "fulfillable_quantity": each["unfulfilledQuantity"],
                    "properties": _attributes(each["customAttributes"]),
                }
                for each in node["lineItems"]["nodes"]
            ],
            "fulfillments": [
                {
                    "admin_graphql_api_id": each["id"],
                    "status": each["status"],
                    "tracking_numbers": [
                        info["number"] for info in each["trackingInfo"] if info["number"]
                    ],
                }
                for each in node["fulfillments"]
            ],
        },
        ShopifyOrder,
        strict=False,
    )


def _money(found: Mapping[str, Any]) -> dict[str, Any]:
    return {"amount": found["amount"], "currency_code": found["currencyCode"]}


def _attributes(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{"name": each["key"], "value": each["value"]} for each in found]


def _address(found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "name": found["name"],
        "first_name": found["firstName"],
        "last_name": found["lastName"],
        "company": found["company"],
        "address1": found["address1"],
        "address2": found["address2"],
        "city": found["city"],
        "province": found["province"],
        "province_code": found["provinceCode"],
        "zip": found["zip"],
        "country": found["country"],
        "country_code": found["countryCodeV2"],
        "phone": found["phone"],
    }


def _customer(found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if found is None:
        return None
    email, phone = found["defaultEmailAddress"], found["defaultPhoneNumber"]
    return {
        "admin_graphql_api_id": found["id"],
        "first_name": found["firstName"],
        "last_name": found["lastName"],
        "email": email and email["emailAddress"],
        "phone": phone and phone["phoneNumber"],
    }
