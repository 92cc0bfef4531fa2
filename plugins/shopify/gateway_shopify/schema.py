"""Shopify's shapes: the fields of webhook bodies that the plugin reads.

https://shopify.dev/docs/api/webhooks?reference=toml; other fields are ignored.
Ids have more than 53 bits: they are read as integers or text, never as floats.
"""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

API_VERSION: Final = "2026-10"
ORDER_TOPICS: Final = frozenset(
    {"orders/create", "orders/paid", "orders/updated", "orders/cancelled"}
)
# These contain only the order's id.
CHANGE_TOPICS: Final = frozenset({"orders/edited", "refunds/create"})
COMPLIANCE_TOPICS: Final = frozenset({"customers/data_request", "customers/redact", "shop/redact"})
UNINSTALLED: Final = "app/uninstalled"
# The gateway's own topics, from reconciliation and releases.
RECONCILED: Final = "gateway/reconciled"
RELEASED: Final = "gateway/released"
SUBSCRIBED_TOPICS: Final = (*sorted(ORDER_TOPICS), *sorted(CHANGE_TOPICS), UNINSTALLED)
TOPICS: Final = frozenset({*SUBSCRIBED_TOPICS, *COMPLIANCE_TOPICS, RECONCILED, RELEASED})


class Attribute(msgspec.Struct, frozen=True):
    """A note attribute of an order, or a property of a line item."""

    name: str = ""
    value: Any = None

    @property
    def text(self) -> str:
        """The value as text; empty if there is none."""
        return "" if self.value is None else str(self.value).strip()


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
    properties: list[Attribute] | None = None

    @property
    def is_to_be_shipped(self) -> bool:
        """Whether any of it still has to be shipped."""
        left = self.quantity if self.current_quantity is None else self.current_quantity
        return bool(self.requires_shipping) and left != 0


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
    note_attributes: list[Attribute] | None = None
    tags: str | None = None
    phone: str | None = None
    email: str | None = None
    shipping_address: Address | None = None
    billing_address: Address | None = None
    customer: Customer | None = None
    shipping_lines: list[ShippingLine] | None = None
    line_items: list[LineItem] | None = None

    def __post_init__(self) -> None:
        """Refuse an order without an id, and amounts that are not finite."""
        if self.admin_graphql_api_id is None and self.id is None:
            raise ValueError("id: expected the order's id")
        if self.total_outstanding is not None and not self.total_outstanding.is_finite():
            raise ValueError("total_outstanding: expected an amount of money")

    @property
    def gid(self) -> str:
        """The order's global id, such as ``gid://shopify/Order/820982911946154508``."""
        return self.admin_graphql_api_id or order_gid(self.id or 0)

    @property
    def is_paid(self) -> bool:
        """Whether the order is paid in full."""
        return self.financial_status == "paid"


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
