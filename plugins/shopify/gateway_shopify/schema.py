"""Shopify's shapes: the fields of webhook bodies that the plugin reads.

https://shopify.dev/docs/api/webhooks?reference=toml; other fields are ignored.
Ids have more than 53 bits: they are read as integers or text, never as floats.
"""

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Final, NamedTuple

import msgspec
from msgspec import Meta

API_VERSION: Final = "2026-10"
ORDER_TOPICS: Final = frozenset(
    {"orders/create", "orders/paid", "orders/updated", "orders/cancelled"}
)
# Sent as well if the shop subscribes to them; orders/updated always accompanies them.
FULFILLED_TOPICS: Final = frozenset({"orders/fulfilled", "orders/partially_fulfilled"})
DELETED: Final = "orders/delete"
# These contain a fulfillment order, and no id of its order.
HOLD_TOPICS: Final = frozenset(
    {"fulfillment_orders/placed_on_hold", "fulfillment_orders/hold_released"}
)
# These contain only the order's id.
CHANGE_TOPICS: Final = frozenset({"orders/edited", "refunds/create"})
COMPLIANCE_TOPICS: Final = frozenset({"customers/data_request", "customers/redact", "shop/redact"})
UNINSTALLED: Final = "app/uninstalled"
# The gateway's own topics, from reconciliation and releases.
RECONCILED: Final = "gateway/reconciled"
RELEASED: Final = "gateway/released"
# An order that is held, as it was read: its message comes when a person releases it.
HELD: Final = "gateway/held"
SUBSCRIBED_TOPICS: Final = (
    *sorted(ORDER_TOPICS),
    DELETED,
    *sorted(CHANGE_TOPICS),
    *sorted(HOLD_TOPICS),
    UNINSTALLED,
)
TOPICS: Final = frozenset(
    {*SUBSCRIBED_TOPICS, *FULFILLED_TOPICS, *COMPLIANCE_TOPICS, RECONCILED, RELEASED}
)


class Attribute(NamedTuple):
    """A note attribute of an order, or a property of a line item."""

    name: str
    value: Any = None

    @property
    def text(self) -> str:
        """The value as text; empty for anything but text and whole numbers."""
        if isinstance(self.value, str):
            return self.value.strip()
        if isinstance(self.value, bool) or not isinstance(self.value, int):
            return ""
        return str(self.value)


def attributes_of(found: Any) -> Iterator[Attribute]:
    """Yield the attributes of whatever an app wrote: a list of pairs, or an object.

    Apps write properties through the cart API, in any JSON shape. Entries without a text
    for a name are left out.
    """
    if isinstance(found, dict):
        yield from (Attribute(name, value) for name, value in found.items())
    elif isinstance(found, list):
        for each in found:
            name = each.get("name", each.get("key")) if isinstance(each, dict) else None
            if isinstance(name, str):
                yield Attribute(name, each.get("value"))


class Address(msgspec.Struct, frozen=True):
    """A postal address."""

    name: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    address1: str | None = None
    address2: str | None = None
    city: str | None = None
    province_code: str | None = None
    zip: str | None = None
    country_code: str | None = None
    phone: str | None = None
    company: str | None = None
    province: str | None = None
    country: str | None = None


class Customer(msgspec.Struct, frozen=True):
    """The customer who placed the order."""

    admin_graphql_api_id: str | None = None
    id: int | None = None
    first_name: str | None = None
    last_name: str | None = None
    email: str | None = None
    phone: str | None = None


class ShippingLine(msgspec.Struct, frozen=True):
    """A shipping method of the order."""

    title: str | None = None
    code: str | None = None
    delivery_category: str | None = None
    is_removed: bool | None = None


class LineItem(msgspec.Struct, frozen=True):
    """A line item of the order."""

    requires_shipping: bool | None = None
    quantity: int | None = None
    current_quantity: int | None = None
    properties: Any = None
    fulfillable_quantity: int | None = None
    fulfillment_status: str | None = None

    @property
    def is_shippable(self) -> bool:
        """Whether it is part of the order and has to be shipped, now or in the past."""
        left = self.quantity if self.current_quantity is None else self.current_quantity
        return bool(self.requires_shipping) and left != 0

    @property
    def is_to_be_shipped(self) -> bool:
        """Whether any of it still has to be shipped."""
        return (
            self.is_shippable
            and self.fulfillable_quantity != 0
            and self.fulfillment_status != "fulfilled"
        )


class Fulfillment(msgspec.Struct, frozen=True):
    """A fulfillment of the order: made by the gateway, by the shop or by another app."""

    id: int | None = None
    admin_graphql_api_id: str | None = None
    status: str | None = None
    tracking_number: str | None = None
    tracking_numbers: list[str] | None = None

    @property
    def gid(self) -> str | None:
        """The fulfillment's global id."""
        number = None if self.id is None else f"gid://shopify/Fulfillment/{self.id}"
        return self.admin_graphql_api_id or number

    @property
    def is_in_force(self) -> bool:
        """Whether it was neither cancelled nor failed."""
        return (self.status or "success").lower() not in {"cancelled", "error", "failure"}

    def is_of(self, package_id: str, fulfillment_id: str | None) -> bool:
        """Return whether the gateway made or uses it for this package."""
        numbers = {self.tracking_number, *(self.tracking_numbers or ())}
        return package_id in numbers or (fulfillment_id is not None and self.gid == fulfillment_id)


class MoneySet(msgspec.Struct, frozen=True):
    """An amount in the shop's currency and in the one that the customer pays in."""

    class Money(msgspec.Struct, frozen=True):
        """An amount with its currency."""

        amount: Decimal | None = None
        currency_code: str | None = None

    shop_money: Money | None = None
    presentment_money: Money | None = None

    @property
    def shop_amount(self) -> Decimal | None:
        """The amount in the shop's currency."""
        return self.shop_money.amount if self.shop_money else None

    @property
    def presentment_amount(self) -> Decimal | None:
        """The amount in the customer's currency."""
        return self.presentment_money.amount if self.presentment_money else None


class ShopifyOrder(msgspec.Struct, frozen=True):
    """An order, from a webhook or read from the Admin API."""

    updated_at: Annotated[datetime, Meta(tz=True)]
    admin_graphql_api_id: str | None = None
    id: int | None = None
    name: str | None = None
    cancelled_at: datetime | None = None
    test: bool | None = None
    financial_status: str | None = None
    total_outstanding: Decimal | None = None
    note: str | None = None
    note_attributes: Any = None
    tags: str | list[str] | None = None
    phone: str | None = None
    email: str | None = None
    shipping_address: Address | None = None
    billing_address: Address | None = None
    customer: Customer | None = None
    shipping_lines: list[ShippingLine] | None = None
    line_items: list[LineItem] | None = None
    fulfillment_status: str | None = None
    fulfillments: list[Fulfillment] | None = None
    closed_at: datetime | None = None
    source_name: str | None = None
    currency: str | None = None
    presentment_currency: str | None = None
    total_price_set: MoneySet | None = None
    current_total_price_set: MoneySet | None = None
    total_outstanding_set: MoneySet | None = None

    def __post_init__(self) -> None:
        """Refuse an order without an id, and amounts that are not finite."""
        if self.admin_graphql_api_id is None and self.id is None:
            raise ValueError("id: expected the order's id")
        sets = (self.total_price_set, self.current_total_price_set, self.total_outstanding_set)
        amounts = [self.total_outstanding]
        for each in sets:
            amounts += [each.shop_amount, each.presentment_amount] if each else []
        if not all(each.is_finite() for each in amounts if each is not None):
            raise ValueError("total_outstanding: expected an amount of money")

    @property
    def gid(self) -> str:
        """The order's global id, such as ``gid://shopify/Order/820982911946154508``."""
        return self.admin_graphql_api_id or order_gid(self.id or 0)

    @property
    def is_paid(self) -> bool:
        """Whether the order is paid in full."""
        return self.financial_status == "paid"

    @property
    def is_fulfilled(self) -> bool:
        """Whether nothing of it is left to be shipped, or the shop closed it."""
        shippable = [each for each in self.line_items or () if each.is_shippable]
        return (
            self.closed_at is not None
            or self.fulfillment_status == "fulfilled"
            or (bool(shippable) and not any(each.is_to_be_shipped for each in shippable))
        )

    @property
    def tag_list(self) -> list[str]:
        """The tags, which Shopify writes as one text or as a list."""
        return self.tags if isinstance(self.tags, list) else (self.tags or "").split(",")


class OrderEdit(msgspec.Struct, frozen=True):
    """The ``order_edit`` object of ``orders/edited``."""

    order_id: int


class OrderReference(msgspec.Struct, frozen=True):
    """The order that a webhook is about, for every topic."""

    admin_graphql_api_id: str | None = None
    id: int | None = None
    order_id: int | None = None
    order_edit: OrderEdit | None = None

    @property
    def gid(self) -> str | None:
        """The order's global id, if the webhook is about an order."""
        if self.order_edit is not None:
            return order_gid(self.order_edit.order_id)
        if self.order_id is not None:
            return order_gid(self.order_id)
        if self.admin_graphql_api_id is not None:
            return self.admin_graphql_api_id
        return None if self.id is None else order_gid(self.id)


class DeletedOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of ``orders/delete``: the id, and nothing else."""

    id: int

    @property
    def gid(self) -> str:
        """The order's global id."""
        return order_gid(self.id)


class FulfillmentOrderReference(msgspec.Struct, frozen=True):
    """The fulfillment order that a webhook about a hold contains."""

    class Reference(msgspec.Struct, frozen=True):
        """Its global id."""

        id: str

    fulfillment_order: Reference


class UninstalledShop(msgspec.Struct, frozen=True):
    """The body of ``app/uninstalled``: the shop itself.

    https://shopify.dev/docs/api/admin-rest/latest/resources/shop
    """

    myshopify_domain: str | None = None
    domain: str | None = None

    def is_of(self, domain: str) -> bool:
        """Return whether it is the shop of this ``myshopify.com`` domain."""
        return (self.myshopify_domain or self.domain or "").lower() == domain


class ComplianceRequest(msgspec.Struct, frozen=True):
    """The body of the three compliance topics.

    https://shopify.dev/docs/apps/build/compliance/privacy-law-compliance
    """

    shop_domain: str
    orders_requested: list[int] = []
    orders_to_redact: list[int] = []

    @property
    def order_ids(self) -> list[str]:
        """The global ids of the orders that the request is about."""
        return [order_gid(each) for each in (*self.orders_requested, *self.orders_to_redact)]


class Release(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Details that a person adds to an order when releasing it."""

    patient_name: str | None = None
    patient_address: str | None = None
    patient_phone: str | None = None


class Released(msgspec.Struct, frozen=True):
    """A release, as a message of the inbox."""

    admin_graphql_api_id: str
    release: Release


def order_gid(number: int) -> str:
    """Return an order's global id from its number."""
    return f"gid://shopify/Order/{number}"
