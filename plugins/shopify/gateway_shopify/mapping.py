"""Convert a Shopify order into an order of the gateway, or the reason why not. Pure.

The meaning of the fields: https://shopify.dev/docs/api/admin-rest/latest/resources/order
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from typing import Final, Literal

import msgspec

from gateway.plugin import (
    CONTROL_CHARACTERS,
    MAX_CHARACTERS,
    Order,
    Prescription,
    Problem,
    to_e164,
)
from gateway_shopify.money import copay_of, is_amount_unclear
from gateway_shopify.phrases import mentions, phrase, phrases
from gateway_shopify.pickup import method_of
from gateway_shopify.schema import (
    Address,
    Attribute,
    Release,
    ShippingLine,
    ShopifyOrder,
    attributes_of,
)
from gateway_shopify.settings import ShopSettings

Verdict = Literal["make", "wait", "hold", "skip"]
REASONS: Final = {
    "cancelled": "the order was cancelled in Shopify",
    "voided": "the payment was voided",
    "refunded": "the payment was refunded",
    "skip_tag": "it has one of the tags of skip_tags",
    "nothing_to_ship": "nothing in it has to be shipped",
    "fulfilled": "it is fulfilled in Shopify",
    "closed": "it is closed in Shopify",
    "deleted": "it was deleted in Shopify",
    "counter_sale": "it was sold at the counter",
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
    "pickup_unclear": (
        "one part of it says pick-up, another delivery: correct it in Shopify, or release it to "
        "have it delivered"
    ),
    "currency_unclear": (
        "it is paid in another currency than the shop's, and the amount to collect is unknown: "
        "release it once it is paid"
    ),
    "fulfillment_on_hold": "its fulfillment is on hold in Shopify",
    "rejected": "it doesn't pass the gateway's rules for orders",
    "dismissed": "a person set it aside",
}
"""Reasons why an order has no package, or not yet, with their explanation."""

_MAX_NOTES: Final = MAX_CHARACTERS["notes"]
_MAX_ORDER_NAME: Final = 100
_BREAK: Final = re.compile(r"[\t\r\n]+")
_DATE: Final = re.compile(
    r"(\d{4})([-/.])(\d{1,2})\2(\d{1,2})(?:[T ]\d{1,2}:\d{2}[\d:. APMapmZ+-]*)?", re.ASCII
)
_DEFAULT_COUNTRY: Final = "US"


class Decision(msgspec.Struct, frozen=True):
    """The decision about an order; ``order`` is set if its data suffices for one.

    ``warnings`` name values that were left out, ``remarks`` choices between values.
    """

    outcome: Verdict
    reason: str | None = None
    order: Order | None = None
    warnings: tuple[Problem, ...] = ()
    remarks: tuple[Problem, ...] = ()


def decide(
    sent: ShopifyOrder,
    shop: ShopSettings,
    release: Release | None = None,
    country: str = _DEFAULT_COUNTRY,
) -> Decision:
    """Decide about an order; a release overrules every reason but a cancellation or refund.

    ``country`` is the ISO 3166 code of the shop's site, for phones without a country.
    """
    warnings: list[Problem] = []
    remarks: list[Problem] = []
    order = order_of(sent, shop, release or Release(), country, warnings, remarks)
    if reason := _called_off(sent):
        return Decision("skip", reason, order)
    if release is None:
        if reason := _done(sent) or _excluded(sent, shop):
            return Decision("skip", reason, order)
        if shop.create_on == "orders/paid" and not sent.is_paid:
            return Decision("wait", "not_paid", order)
    if order is None:
        return Decision("hold", _missing_data(sent, release or Release()))
    if release is None and (reason := _to_be_held(sent, shop)):
        return Decision("hold", reason, order)
    return Decision("make", None, order, tuple(warnings), tuple(remarks))


def _called_off(sent: ShopifyOrder) -> str | None:
    if sent.cancelled_at is not None:
        return "cancelled"
    if sent.financial_status in {"voided", "refunded"}:
        return sent.financial_status
    if sent.fulfillment_status == "restocked":
        return "nothing_to_ship"
    if not any(item.is_shippable for item in sent.line_items or ()):
        return "nothing_to_ship"
    return None


def _done(sent: ShopifyOrder) -> str | None:
    """Return why an order that was not cancelled needs no delivery."""
    if phrase(sent.source_name) == "pos" and not _shipping(sent):
        return "counter_sale"
    if sent.is_fulfilled:
        return "fulfilled" if sent.closed_at is None else "closed"
    return None


def _excluded(sent: ShopifyOrder, shop: ShopSettings) -> str | None:
    if _tagged(sent, shop.skip_tags):
        return "skip_tag"
    if _method(sent, shop) == "pickup":
        return "local_pickup"
    methods = phrases(text for each in _shipping(sent) for text in (each.title, each.code))
    if shop.shipping_methods and not methods & phrases(shop.shipping_methods):
        return "other_shipping_method"
    return None


def _to_be_held(sent: ShopifyOrder, shop: ShopSettings) -> str | None:
    if _tagged(sent, shop.hold_tags):
        return "hold_tag"
    if sent.fulfillment_status == "on_hold":
        return "fulfillment_on_hold"
    if _method(sent, shop) == "unclear":
        return "pickup_unclear"
    return "currency_unclear" if is_amount_unclear(sent) else None


def _method(sent: ShopifyOrder, shop: ShopSettings) -> str | None:
    return method_of(
        _shipping(sent),
        _attributes(sent),
        sent.tag_list,
        shop.pickup_methods,
        shop.shipping_methods,
    )


def _missing_data(sent: ShopifyOrder, release: Release) -> str:
    """Return the missing detail; if all are missing, Shopify withholds protected data."""
    name, address = (
        release.patient_name or name_of(sent),
        release.patient_address or address_of(sent),
    )
    if (
        not name
        and not address
        and not any(phone for phone, _ in _phones(sent))
        and not _email(sent)
    ):
        return "protected_data_missing"
    return "no_address" if name else "no_name"


def order_of(
    sent: ShopifyOrder,
    shop: ShopSettings,
    release: Release,
    country: str,
    warnings: list[Problem],
    remarks: list[Problem],
) -> Order | None:
    """Make an order of the gateway, or ``None`` without a name or address."""
    name = release.patient_name or name_of(sent)
    address = release.patient_address or address_of(sent)
    if not name or not address:
        return None
    attributes = list(_attributes(sent))
    numbers = _rx_numbers(attributes, shop.rx_number_from)
    labels = [*sent.tag_list, *(each.title for each in _shipping(sent))]
    return Order(
        patient_name=name,
        patient_address=address,
        patient_phone=release.patient_phone or phone_of(sent, country, remarks) or None,
        patient_email=_email(sent),
        rx_number=next(iter(numbers), None),
        prescriptions=_bag(numbers),
        copay_amount=copay_of(sent, warnings, remarks),
        priority=_priority(labels, shop),
        requires_signature=_any_mentions(labels, shop.signature),
        delivery_date=_delivery_date(attributes, shop.delivery_date_from, warnings),
        notes=_notes(sent, attributes, shop.notes_from, warnings),
        external_patient_id=_first(attributes, shop.patient_id_from) or _customer_id(sent),
        external_order_id=sent.gid,
        site=shop.site,
        metadata={"shopify_shop": shop.domain, "shopify_order": name_of_order(sent) or ""},
    )


def digest_of(decision: Decision) -> str:
    """Return a digest of the data that was read from an order, to recognise changes."""
    read = msgspec.json.encode((decision.outcome, decision.reason, decision.order))
    return hashlib.sha256(read).hexdigest()[:32]


def name_of_order(sent: ShopifyOrder) -> str | None:
    """Return the shop's name of the order, such as ``#1001``, cut to one line."""
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
    """Return the shipping address on one line, with its company; empty without a street."""
    to = sent.shipping_address or Address()
    if not _line(to.address1):
        return ""
    company = "" if phrase(to.company) == phrase(name_of(sent)) else to.company
    province = " ".join(filter(None, (_line(to.province_code or to.province), _line(to.zip))))
    country = to.country_code or to.country
    parts = (company, to.address1, to.address2, to.city, province, country)
    return ", ".join(filter(None, map(_line, parts)))


def phone_of(sent: ShopifyOrder, country: str, remarks: list[Problem]) -> str:
    """Return the first phone that is one, of: shipping address, order, customer, billing address.

    A phone is read by its address's country. Without a usable one it is the first text; the
    gateway leaves that out with a warning.
    """
    found = [(_line(phone), region or country) for phone, region in _phones(sent) if _line(phone)]
    for place, (phone, region) in enumerate(found):
        number = to_e164(phone, region)
        if number is None:
            continue
        if place > 0:
            text = "the first phone of the order is not a phone number; another one was taken"
            remarks.append(Problem(text, field="patient_phone"))
        return phone if number == to_e164(phone, country) else number
    return found[0][0] if found else ""


def _phones(sent: ShopifyOrder) -> Iterator[tuple[str | None, str | None]]:
    """Yield each phone with the country of its address."""
    shipping, billing = sent.shipping_address or Address(), sent.billing_address or Address()
    yield shipping.phone, shipping.country_code
    yield sent.phone, shipping.country_code
    if sent.customer is not None:
        yield sent.customer.phone, shipping.country_code
    yield billing.phone, billing.country_code


def _email(sent: ShopifyOrder) -> str | None:
    return _line(sent.email) or _line(sent.customer.email if sent.customer else None) or None


def _customer_id(sent: ShopifyOrder) -> str | None:
    customer = sent.customer
    if customer is None:
        return None
    number = None if customer.id is None else f"gid://shopify/Customer/{customer.id}"
    return customer.admin_graphql_api_id or number


def _priority(labels: Sequence[str | None], shop: ShopSettings) -> str:
    if _any_mentions(labels, shop.stat):
        return "stat"
    return "urgent" if _any_mentions(labels, shop.urgent) else "routine"


def _bag(numbers: Sequence[str]) -> tuple[Prescription, ...]:
    """Return the prescriptions of an order with several numbers: one for each of its items.

    Their copays are unknown: the amount to collect is that of the whole order.
    """
    if len(numbers) < 2:  # noqa: PLR2004 - one prescription needs no list
        return ()
    return tuple(Prescription(rx_number=each) for each in numbers)


def _rx_numbers(attributes: Iterable[Attribute], names: Iterable[str]) -> list[str]:
    """Return the numbers that the order and its items name, each once, in their order."""
    found: dict[str, str] = {}
    for each in _named(attributes, names):
        found.setdefault(_line(each.text).casefold(), _line(each.text))
    return list(found.values())


def _delivery_date(
    attributes: Iterable[Attribute], names: Iterable[str], warnings: list[Problem]
) -> date | None:
    texts = [_line(each.text) for each in _named(attributes, names)]
    found = {_date(each) for each in texts}
    if len(found) > 1:
        sentence = "the order has several delivery dates; they were left out"
    elif found == {None}:
        sentence = "the delivery date is not written as 2026-11-22; it was left out"
    else:
        return found.pop() if found else None
    warnings.append(Problem(sentence, field="delivery_date"))
    return None


def _date(text: str) -> date | None:
    found = _DATE.fullmatch(text)
    if found is None:
        return None
    year, _, month, day = found.groups()
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        return None  # no such day


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
    """Yield the order's attributes, then those of items that still have to be shipped.

    Of a fulfilled order, all items count: its package carries them.
    """
    yield from attributes_of(sent.note_attributes)
    items = [each for each in sent.line_items or () if each.is_shippable]
    for item in [each for each in items if each.is_to_be_shipped] or items:
        yield from attributes_of(item.properties)


def _named(attributes: Iterable[Attribute], names: Iterable[str]) -> Iterator[Attribute]:
    wanted = phrases(names)
    return (each for each in attributes if phrase(each.name) in wanted and each.text)


def _first(attributes: Iterable[Attribute], names: Iterable[str]) -> str | None:
    return next((_line(each.text) for each in _named(attributes, names)), None)


def _shipping(sent: ShopifyOrder) -> list[ShippingLine]:
    return [each for each in sent.shipping_lines or () if not each.is_removed]


def _tagged(sent: ShopifyOrder, names: Iterable[str]) -> bool:
    return bool(phrases(sent.tag_list) & phrases(names))


def _any_mentions(labels: Iterable[str | None], names: Iterable[str]) -> bool:
    """Return whether a tag or a shipping method contains one of ``names`` without negation."""
    wanted = list(names)
    return any(mentions(label, name) for label in labels for name in wanted)


def _line(text: str | None) -> str:
    """Return text on one line, without control characters."""
    return _BREAK.sub(" ", CONTROL_CHARACTERS.sub(" ", text or "")).strip()
