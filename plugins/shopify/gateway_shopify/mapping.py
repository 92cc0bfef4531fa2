"""Convert a Shopify order into an order of the gateway, or the reason why not. Pure.

The meaning of the fields: https://shopify.dev/docs/api/admin-rest/latest/resources/order
"""

import re
from collections.abc import Collection, Iterable, Iterator
from datetime import date
from decimal import Decimal
from typing import Final, Literal

import msgspec

from gateway.plugin import CONTROL_CHARACTERS, MAX_CHARACTERS, Order, Problem
from gateway_shopify.schema import Address, Attribute, Release, ShippingLine, ShopifyOrder
from gateway_shopify.settings import ShopSettings

Verdict = Literal["make", "wait", "hold", "skip"]
REASONS: Final = {
    "cancelled": "the order was cancelled in Shopify",
    "voided": "the payment was voided",
    "refunded": "the payment was refunded",
    "skip_tag": "it has one of the tags of skip_tags",
    "nothing_to_ship": "nothing in it has to be shipped",
    "local_pickup": "the customer picks it up",
    "other_shipping_method": "its shipping method is none of shipping_methods",
    "not_paid": "it waits for its payment (create_on)",
    "protected_data_missing": (
        "Shopify left out the customer's name, address and phone: ask for access to protected "
        "customer data, with name, address and phone, in the app's API access requests"
    ),
    "no_name": "it has no name to deliver to",
    "no_address": "it has no address to deliver to",
    "hold_tag": "it has one of the tags of hold_tags",
    "rejected": "it doesn't pass the gateway's rules for orders",
}
"""Reasons why an order has no package, or not yet, with their explanation."""

_MAX_NOTES: Final = MAX_CHARACTERS["notes"]
_MAX_RX: Final = MAX_CHARACTERS["rx_number"]
_MAX_ORDER_NAME: Final = 100
_BREAK: Final = re.compile(r"[\t\r\n]+")
_DATE: Final = re.compile(r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})")


class Decision(msgspec.Struct, frozen=True):
    """The decision about an order; ``order`` is set if its data suffices for one."""

    outcome: Verdict
    reason: str | None = None
    order: Order | None = None
    warnings: tuple[Problem, ...] = ()


def decide(sent: ShopifyOrder, shop: ShopSettings, release: Release | None = None) -> Decision:
    """Decide about an order; a release overrules every reason but a finished order."""
    warnings: list[Problem] = []
    order = order_of(sent, shop, release or Release(), warnings)
    if reason := _finished(sent):
        return Decision("skip", reason, order)
    if release is None and (reason := _excluded(sent, shop)):
        return Decision("skip", reason, order)
    if release is None and shop.create_on == "orders/paid" and not sent.is_paid:
        return Decision("wait", "not_paid", order)
    if order is None:
        return Decision("hold", _missing_data(sent, release or Release()))
    if release is None and _tagged(sent, shop.hold_tags):
        return Decision("hold", "hold_tag", order)
    return Decision("make", None, order, tuple(warnings))


def _finished(sent: ShopifyOrder) -> str | None:
    if sent.cancelled_at is not None:
        return "cancelled"
    if sent.financial_status in {"voided", "refunded"}:
        return sent.financial_status
    if not any(item.is_to_be_shipped for item in sent.line_items or ()):
        return "nothing_to_ship"
    return None


def _excluded(sent: ShopifyOrder, shop: ShopSettings) -> str | None:
    if _tagged(sent, shop.skip_tags):
        return "skip_tag"
    lines = _shipping(sent)
    pickup = {_folded(each) for each in shop.pickup_methods}
    if any(_folded(each.delivery_category) in pickup | {"pick-up"} for each in lines):
        return "local_pickup"
    methods = {_folded(text) for each in lines for text in (each.title, each.code) if text}
    if methods & pickup:
        return "local_pickup"
    if shop.shipping_methods and not methods & {_folded(each) for each in shop.shipping_methods}:
        return "other_shipping_method"
    return None


def _missing_data(sent: ShopifyOrder, release: Release) -> str:
    """Return the missing detail; if all are missing, Shopify withholds protected data."""
    name, address = (
        release.patient_name or name_of(sent),
        release.patient_address or address_of(sent),
    )
    if not name and not address and not phone_of(sent) and not _email(sent):
        return "protected_data_missing"
    return "no_address" if name else "no_name"


def order_of(
    sent: ShopifyOrder, shop: ShopSettings, release: Release, warnings: list[Problem]
) -> Order | None:
    """Make an order of the gateway, or ``None`` without a name or address."""
    name = release.patient_name or name_of(sent)
    address = release.patient_address or address_of(sent)
    if not name or not address:
        return None
    attributes = list(_attributes(sent))
    words = _tags(sent) | {_folded(each.title) for each in _shipping(sent)}
    return Order(
        patient_name=name,
        patient_address=address,
        patient_phone=release.patient_phone or phone_of(sent) or None,
        patient_email=_email(sent),
        rx_number=_rx_number(attributes, shop.rx_number_from, warnings),
        copay_amount=_copay(sent),
        priority=_priority(words, shop),
        requires_signature=_contains(words, shop.signature),
        delivery_date=_delivery_date(attributes, shop.delivery_date_from, warnings),
        notes=_notes(sent, attributes, shop.notes_from, warnings),
        external_patient_id=_first(attributes, shop.patient_id_from) or _customer_id(sent),
        external_order_id=sent.gid,
        site=shop.site,
        metadata={"shopify_shop": shop.domain, "shopify_order": name_of_order(sent) or ""},
    )


def name_of_order(sent: ShopifyOrder) -> str | None:
    """Return what the shop admin_api the order, such as ``#1001``, as far as a line has room."""
    return _line((sent.name or "")[:_MAX_ORDER_NAME]) or None


def name_of(sent: ShopifyOrder) -> str:
    """Return the recipient: of the shipping address, the billing address, or the customer."""
    for each in (sent.shipping_address, sent.billing_address, sent.customer):
        if each is None:
            continue
        whole = _line(getattr(each, "name", None))
        if name := whole or _line(" ".join(filter(None, (each.first_name, each.last_name)))):
            return name
    return ""


def address_of(sent: ShopifyOrder) -> str:
    """Return the shipping address on one line; empty without a street."""
    to = sent.shipping_address or Address()
    if not _line(to.address1):
        return ""
    province = " ".join(filter(None, (_line(to.province_code), _line(to.zip))))
    parts = (to.address1, to.address2, to.city, province, to.country_code)
    return ", ".join(filter(None, map(_line, parts)))


def phone_of(sent: ShopifyOrder) -> str:
    """Return the first phone of: shipping address, order, customer, billing address."""
    for each in (sent.shipping_address, sent, sent.customer, sent.billing_address):
        if each is not None and (phone := _line(each.phone)):
            return phone
    return ""


def _email(sent: ShopifyOrder) -> str | None:
    return _line(sent.email) or _line(sent.customer.email if sent.customer else None) or None


def _customer_id(sent: ShopifyOrder) -> str | None:
    customer = sent.customer
    if customer is None:
        return None
    number = None if customer.id is None else f"gid://shopify/Customer/{customer.id}"
    return customer.admin_graphql_api_id or number


def _copay(sent: ShopifyOrder) -> Decimal | None:
    if sent.is_paid:
        return Decimal("0.00")
    if sent.total_outstanding is None:
        return None
    return max(sent.total_outstanding, Decimal("0.00"))


def _priority(words: Collection[str], shop: ShopSettings) -> str:
    if _contains(words, shop.stat):
        return "stat"
    return "urgent" if _contains(words, shop.urgent) else "routine"


def _rx_number(
    attributes: Iterable[Attribute], names: Iterable[str], warnings: list[Problem]
) -> str | None:
    found = list(dict.fromkeys(_line(each.text) for each in _named(attributes, names)))
    joined = ", ".join(found)
    if len(joined) > _MAX_RX:
        text = f"the prescription numbers have more than {_MAX_RX} characters; the first was kept"
        warnings.append(Problem(text, field="rx_number"))
        return found[0]
    return joined or None


def _delivery_date(
    attributes: Iterable[Attribute], names: Iterable[str], warnings: list[Problem]
) -> date | None:
    text = _first(attributes, names)
    if text is None:
        return None
    if found := _DATE.match(text):
        try:
            return date(*map(int, found.groups()))
        except ValueError:
            pass  # no such day: the warning follows
    sentence = "the delivery date is not written as 2026-11-22; it was left out"
    warnings.append(Problem(sentence, field="delivery_date"))
    return None


def _notes(
    sent: ShopifyOrder,
    attributes: Iterable[Attribute],
    names: Iterable[str],
    warnings: list[Problem],
) -> str | None:
    lines = [sent.note or "", *(f"{each.name}: {each.text}" for each in _named(attributes, names))]
    text = CONTROL_CHARACTERS.sub(" ", "\n".join(each.strip() for each in lines if each.strip()))
    if len(text) > _MAX_NOTES:
        sentence = f"the notes have more than {_MAX_NOTES} characters; the rest was left out"
        warnings.append(Problem(sentence, field="notes"))
    return text[:_MAX_NOTES] or None


def _attributes(sent: ShopifyOrder) -> Iterator[Attribute]:
    """Yield the order's attributes, then those of items that still have to be shipped."""
    yield from sent.note_attributes or ()
    for item in sent.line_items or ():
        if item.is_to_be_shipped:
            yield from item.properties or ()


def _named(attributes: Iterable[Attribute], names: Iterable[str]) -> Iterator[Attribute]:
    wanted = {_folded(each) for each in names}
    return (each for each in attributes if _folded(each.name) in wanted and each.text)


def _first(attributes: Iterable[Attribute], names: Iterable[str]) -> str | None:
    return next((_line(each.text) for each in _named(attributes, names)), None)


def _shipping(sent: ShopifyOrder) -> list[ShippingLine]:
    return [each for each in sent.shipping_lines or () if not each.is_removed]


def _tags(sent: ShopifyOrder) -> set[str]:
    return {_folded(each) for each in (sent.tags or "").split(",") if each.strip()}


def _tagged(sent: ShopifyOrder, names: Iterable[str]) -> bool:
    return bool(_tags(sent) & {_folded(each) for each in names})


def _contains(words: Collection[str], names: Iterable[str]) -> bool:
    """Return whether a tag or a shipping method contains one of ``names`` as whole words."""
    return any(
        re.search(rf"(?<!\w){re.escape(_folded(name))}(?!\w)", word)
        for name in names
        for word in words
    )


def _folded(text: str | None) -> str:
    return " ".join((text or "").casefold().split())


def _line(text: str | None) -> str:
    """Return text on one line, without control characters."""
    return _BREAK.sub(" ", CONTROL_CHARACTERS.sub(" ", text or "")).strip()
