"""Orders that the customer picks up, however a shop or an app says so."""

import pytest
from gateway_shopify.pickup import method_of
from gateway_shopify.schema import Attribute, ShippingLine
from gateway_shopify.settings import ShopSettings

PICKUP_METHODS = ShopSettings(domain="a.myshopify.com", client_secret="s").pickup_methods


def method(*titles, attributes=(), tags=(), shipping_methods=(), pickup_methods=PICKUP_METHODS):
    lines = [ShippingLine(title=each, code=each) for each in titles]
    pairs = [Attribute(*each) for each in attributes]
    return method_of(lines, pairs, tags, pickup_methods, shipping_methods)


@pytest.mark.parametrize(
    "title",
    [
        "In store pickup",
        "In-Store Pick-Up",
        "PICKUP",
        "Pick up at Hill Drugs",
        "Curbside Pickup (free)",
        "Store_Pickup",
        "Local pickup",
        "Click & Collect",
        "click and collect",
        "Collect in store",
        "Ramassage en magasin",
        "Cueillette en pharmacie",
        "Retrait en magasin",
        "Recoger en tienda",
        "Recogida",
        "To be picked up",
    ],
)
def test_a_title_that_means_pickup(title):
    assert method(title) == "pickup"


@pytest.mark.parametrize("category", ["pick-up", "pickup", "PICK_UP", "pickUp"])
def test_a_category_that_means_pickup(category):
    line = ShippingLine(title="Hill Drugs", delivery_category=category)
    assert method_of([line], [], [], PICKUP_METHODS, []) == "pickup"


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ([("Checkout-Method", "pickup")], "pickup"),
        ([("checkout_method", "Pickup"), ("Pickup-Date", "2026-12-14")], "pickup"),
        ([("Pickup-Location-Company", "Hill Drugs")], "pickup"),
        ([("Pickup Date", "12/14/2026")], "pickup"),
        ([("Delivery Method", "Store pick-up")], "pickup"),
        ([("Order Type", "Collection")], "pickup"),
        ([("Fulfillment-Type", "curbside")], "pickup"),
        ([("Is Pickup", "Yes")], "pickup"),
        ([("In-Store Pickup", "true")], "pickup"),
        ([("Checkout-Method", "delivery")], "delivery"),
        ([("Checkout-Method", "shipping"), ("Delivery-Date", "2026-12-14")], "delivery"),
        ([("Pickup Location", "")], None),
        ([("Is Pickup", "no")], None),
        ([("Pickup old medication", "yes")], None),
        ([("Payment method", "cash")], None),
        ([("Checkout-Method", "pickup"), ("Delivery Method", "home delivery")], "unclear"),
    ],
)
def test_attributes_of_apps(attributes, expected):
    assert method("Hill Drugs", attributes=attributes) == expected


@pytest.mark.parametrize("tag", ["Pickup", "local-pickup", "Store Pick Up"])
def test_a_tag_that_means_pickup(tag):
    assert method("Hill Drugs", tags=[tag]) == "pickup"


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("Local delivery", "delivery"),
        ("Standard Shipping", "delivery"),
        ("Livraison locale", "delivery"),
        ("Delivery, no pickup", "delivery"),
        ("Hill Drugs", None),
        ("Pickled goods", None),
        ("Delivery or pickup", "unclear"),
        ("Pickup from pharmacy, delivery to your door", "unclear"),
    ],
)
def test_other_titles(title, expected):
    assert method(title) == expected


def test_a_title_and_an_attribute_that_contradict_each_other_are_unclear():
    assert method("Local delivery", attributes=[("Checkout-Method", "pickup")]) == "unclear"
    assert method("Local delivery", "Local pickup") == "unclear"


def test_the_names_in_the_settings_decide():
    assert method("Delivery or pickup", shipping_methods=["delivery or pickup"]) == "delivery"
    assert method("Counter 4", pickup_methods=["counter-4"]) == "pickup"
    assert method("Courier pickup round", shipping_methods=["courier pickup round"]) == "delivery"
