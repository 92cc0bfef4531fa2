"""An order as WooCommerce's webhooks send it (REST API, version 3). Unknown fields are ignored.

https://woocommerce.github.io/woocommerce-rest-api-docs/#order-properties
"""

from typing import Any

import msgspec


class Address(msgspec.Struct, frozen=True):
    """Who it goes to, and where; an empty one is sent as empty texts."""

    first_name: str = ""
    last_name: str = ""
    address_1: str = ""
    address_2: str = ""
    city: str = ""
    state: str = ""
    postcode: str = ""
    phone: str = ""


class MetaData(msgspec.Struct, frozen=True):
    """A field that the shop or an extension added; its value may be anything."""

    key: str
    value: Any = None


class OrderIn(msgspec.Struct, frozen=True):
    """One order. ``id`` is the shop's own: the same one again makes no second package."""

    id: int
    billing: Address
    shipping: Address = Address()
    customer_note: str = ""
    meta_data: list[MetaData] = []


class OrderOut(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of it; ``why`` is for a refused one."""

    result: str
    package: str | None = None
    why: list[str] = []
