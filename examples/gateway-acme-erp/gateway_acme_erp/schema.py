"""ACME's shapes, as its bridge sends and takes them. Money is in whole cents."""

from datetime import date
from typing import Any, Literal

import msgspec

Rush = Literal["", "R", "S"]


class Customer(msgspec.Struct, frozen=True):
    """Who ordered; ``no`` is ACME's number for them."""

    no: str
    first: str
    last: str
    phone: str | None = None


class ShipTo(msgspec.Struct, frozen=True):
    """Where to."""

    street: str
    city: str
    state: str
    zip: str


class AcmeOrder(msgspec.Struct, frozen=True):
    """An order; ``rush`` is ``R`` for rush, ``S`` for at once, empty for neither."""

    no: str
    customer: Customer
    ship_to: ShipTo
    rx: str | None = None
    due_cents: int | None = None
    rush: Rush = ""
    sign: bool = False
    day: date | None = None


class AcmeOrders(msgspec.Struct, frozen=True):
    """What is posted; ``store`` is the code of one of the gateway's sites."""

    orders: list[AcmeOrder]
    store: str | None = None


class AcmeBatch(msgspec.Struct, frozen=True):
    """The same before it is looked into: each order is judged alone."""

    orders: list[Any]
    store: str | None = None


class OrderTaken(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one order; ``index`` counts from 0, ``why`` is for a refused one."""

    index: int
    result: Literal["created", "duplicate", "rejected"]
    package: str | None = None
    why: list[str] = []


class OrdersTaken(msgspec.Struct, frozen=True):
    """What is answered: each order in turn, and remarks on those that were taken all the same."""

    orders: list[OrderTaken]
    remarks: list[str]


class ErpEvent(msgspec.Struct, frozen=True):
    """A message to the bridge. ``id`` stays the same when it is sent again."""

    id: str
    kind: str
    store: str
    at: str
    package: str
    order: str | None
    paid_cents: int | None


class Cancellation(msgspec.Struct, frozen=True):
    """An order that was called off in the ERP; ``id`` is the ERP's own of this message."""

    id: str
    order: str


class Cancellations(msgspec.Struct, frozen=True):
    """Those that were not acknowledged yet."""

    waiting: list[Cancellation]
