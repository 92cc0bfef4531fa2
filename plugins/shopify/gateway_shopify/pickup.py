"""Recognise orders that the customer picks up, in any spelling of shops and apps. Pure.

Shopify names a shipping line's category or title; apps such as Zapiet write attributes
(``Checkout-Method: pickup``, ``Pickup-Date``) and tags.
"""

import re
from collections.abc import Iterable
from typing import Final, Literal

from gateway_shopify.phrases import phrase, phrases
from gateway_shopify.schema import Attribute, ShippingLine

Method = Literal["pickup", "delivery", "unclear"]

_PICKUP: Final = re.compile(
    r"\bpick ?ups?\b|\bpicked up\b|\bpickupinstore\b|\bcurbside\b|\bclick (?:and |n )?collect\b|"
    r"\bcollect(?:ion)? (?:in|from|at|point)\b|\bstore collection\b|\bbopis\b|"
    r"\bramassage\b|\bcueillette\b|\bretrait (?:en|au|a)\b|\brecog(?:er|ida)\b|\bretiro en\b"
)
_NO_PICKUP: Final = re.compile(
    r"\b(?:no|not|non|without|sans|sin) (?:\w+ )?(?:pick ?ups?|curbside)\b"
)
_DELIVERY: Final = re.compile(
    r"\bdeliver(?:y|ies|ed)?\b|\bship(?:ping|ment|ped)?\b|\bcourier\b|\blivraison\b|\bentrega\b"
)
# An attribute that asks for the method: its value is the answer.
_METHOD_NAME: Final = re.compile(
    r"(?:(?:checkout|delivery|order|fulfill?ment|shipping|shipment|receiving)"
    r"(?: \w+)? )?(?:method|type|option|mode)|(?:delivery|shipping) or pick ?up|"
    r"pick ?up or (?:delivery|shipping)"
)
_METHOD_VALUES: Final[dict[str, Method]] = {
    "collection": "pickup",
    "collect": "pickup",
    "store": "pickup",
    "in store": "pickup",
    "ship": "delivery",
    "home": "delivery",
}
# An attribute that only a pick-up has.
_PICKUP_NAME: Final = re.compile(
    r"(?:(?:is |local |store |in store |instore |curbside )*)pick ?up"
    r"(?: (?:date|time|day|slot|window|location|store|branch|point|pharmacy|address|id|in store)"
    r"(?: \w+){0,3})?"
)
_PICKUP_TAG: Final = re.compile(r"(?:(?:local|store|in store|instore|curbside) )?pick ?up")
_NONE: Final = frozenset({"", "no", "false", "none", "n", "0", "n a", "null", "undefined"})


def method_of(
    lines: Iterable[ShippingLine],
    attributes: Iterable[Attribute],
    tags: Iterable[str],
    pickup_methods: Iterable[str],
    shipping_methods: Iterable[str],
) -> Method | None:
    """Return how the customer receives the order; ``None`` if nothing in it says so.

    ``unclear``: one part says pick-up, another delivery. The names in the settings decide
    about the shipping lines that they name.
    """
    pickup, delivery = phrases(pickup_methods), phrases(shipping_methods)
    found: set[Method] = set()
    for line in lines:
        found |= _of_line(line, pickup, delivery)
    for attribute in attributes:
        found |= _of_attribute(attribute)
    if any(_PICKUP_TAG.fullmatch(tag) or tag in pickup for tag in phrases(tags)):
        found.add("pickup")
    if "unclear" in found or {"pickup", "delivery"} <= found:
        return "unclear"
    return next(iter(found), None)


def _of_line(line: ShippingLine, pickup: set[str], delivery: set[str]) -> set[Method]:
    names = phrases((line.title, line.code))
    if phrase(line.delivery_category) in pickup | {"pick up", "pickup"} or names & pickup:
        return {"pickup"}
    if names & delivery:
        return {"delivery"}
    found = _of_text(line.title)
    # A code repeats the title or is an id of its own; it never overrules the title.
    return found or (_of_text(line.code) & {"pickup"})


def _of_attribute(attribute: Attribute) -> set[Method]:
    name, value = phrase(attribute.name), phrase(attribute.text)
    if _METHOD_NAME.fullmatch(name):
        known = _METHOD_VALUES.get(value)
        return {known} if known else _of_text(attribute.text)
    if _PICKUP_NAME.fullmatch(name) and value not in _NONE:
        return {"pickup"}
    return set()


def _of_text(text: str | None) -> set[Method]:
    label = phrase(text)
    is_pickup = bool(_PICKUP.search(label)) and not _NO_PICKUP.search(label)
    is_delivery = bool(_DELIVERY.search(label))
    if is_pickup and is_delivery:
        return {"unclear"}
    if is_pickup:
        return {"pickup"}
    return {"delivery"} if is_delivery else set()
