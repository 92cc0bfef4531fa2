"""From an order of Shopify's to one of ours, row by row; and why some make no package."""

from datetime import date
from decimal import Decimal

import msgspec
import pytest
import shopify_orders
from gateway_shopify.admin_api.graphql_orders import order_from
from gateway_shopify.mapping import REASONS, decide
from gateway_shopify.schema import OrderReference, Release, ShopifyOrder
from gateway_shopify.settings import ShopSettings
from shopify_orders import ORDER_GID, address, line_item, order, paid
from shopify_shop import node_of

from gateway.plugin import Order, Prescription, Problem

SHOP = ShopSettings(domain=shopify_orders.SHOP, client_secret="s", site="main")
ATTRIBUTE = {"name": "Rx_Number", "value": "RX-1"}


def shop(**changes):
    return msgspec.structs.replace(SHOP, **changes)


def decided(sent, of_shop=SHOP, release=None):
    """Decide over the bytes of a webhook, as they come in."""
    return decide(
        msgspec.json.decode(msgspec.json.encode(sent), type=ShopifyOrder), of_shop, release
    )


def made(sent, of_shop=SHOP):
    decision = decided(sent, of_shop)
    assert (decision.outcome, decision.reason) == ("make", None)
    return decision.order


def test_an_order_becomes_one_of_ours():
    assert made(order()) == Order(
        patient_name="Maria Rodriguez",
        patient_address="123 Main St, Apt 4, Ottawa, ON K1A 0B1, CA",
        patient_phone="+1 613-555-0134",
        patient_email="maria@example.com",
        copay_amount=Decimal("12.50"),
        external_patient_id="gid://shopify/Customer/115310627314723954",
        external_order_id=ORDER_GID,
        site="main",
        metadata={"shopify_shop": shopify_orders.SHOP, "shopify_order": "#1001"},
    )


def test_an_id_beyond_what_a_float_can_count_is_kept_exactly():
    sent = order(id=9_007_199_254_740_993, admin_graphql_api_id=None)
    about = {"order_id": 9_007_199_254_740_993}

    assert made(sent).external_order_id == "gid://shopify/Order/9007199254740993"
    read = msgspec.json.decode(msgspec.json.encode(about), type=OrderReference)
    assert read.gid == "gid://shopify/Order/9007199254740993"


@pytest.mark.parametrize(
    ("about", "gid"),
    [
        ({"order_edit": {"id": 5, "order_id": 7}}, "gid://shopify/Order/7"),
        ({"id": 5, "order_id": 7}, "gid://shopify/Order/7"),
        ({"id": 5, "admin_graphql_api_id": "gid://shopify/Order/5"}, "gid://shopify/Order/5"),
        ({"id": 5}, "gid://shopify/Order/5"),
        ({}, None),
    ],
)
def test_a_webhook_says_which_order_it_is_about(about, gid):
    assert msgspec.convert(about, OrderReference).gid == gid


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "Maria Rodriguez"),
        ({"shipping_address": address(name=None)}, "Maria Rodriguez"),
        ({"shipping_address": address(name=" ", first_name=None)}, "Rodriguez"),
        (
            {
                "shipping_address": address(name=None, first_name=None, last_name=None),
                "billing_address": address(name="Ana Silva"),
            },
            "Ana Silva",
        ),
        (
            {
                "shipping_address": address(name=None, first_name=None, last_name=None),
                "billing_address": None,
                "customer": {"first_name": "Jo", "last_name": "Li"},
            },
            "Jo Li",
        ),
        ({"shipping_address": address(name="Maria\r\nRodriguez\x00")}, "Maria Rodriguez"),
    ],
)
def test_the_name_is_of_the_shipping_address_billing_address_or_customer(changes, name):
    assert made(order(**changes)).patient_name == name


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"address2": None}, "123 Main St, Ottawa, ON K1A 0B1, CA"),
        ({"address2": "", "city": "", "zip": None}, "123 Main St, ON, CA"),
        (
            {"province_code": None, "country_code": None},
            "123 Main St, Apt 4, Ottawa, Ontario K1A 0B1, Canada",
        ),
        (
            {"company": "Sunrise Care Home, Unit 4", "address2": None},
            "Sunrise Care Home, Unit 4, 123 Main St, Ottawa, ON K1A 0B1, CA",
        ),
        ({"company": "Maria  RODRIGUEZ"}, "123 Main St, Apt 4, Ottawa, ON K1A 0B1, CA"),
        ({"address1": "123\nMain"}, "123 Main, Apt 4, Ottawa, ON K1A 0B1, CA"),
    ],
)
def test_the_address_is_one_line_of_what_there_is(changes, text):
    assert made(order(shipping_address=address(**changes))).patient_address == text


@pytest.mark.parametrize(
    ("shipping", "own", "customer", "billing", "phone"),
    [
        ("1", "2", "3", "4", "1"),
        (None, "2", "3", "4", "2"),
        ("", None, "3", "4", "3"),
        (None, None, None, "4", "4"),
        (None, None, None, None, None),
    ],
)
def test_the_phone_is_the_first_there_is(shipping, own, customer, billing, phone):
    sent = order(
        shipping_address=address(phone=shipping),
        phone=own,
        customer={"phone": customer},
        billing_address=address(phone=billing),
    )

    assert made(sent).patient_phone == phone


@pytest.mark.parametrize(
    ("status", "outstanding", "copay"),
    [
        ("paid", "12.50", Decimal("0.00")),
        ("pending", "12.50", Decimal("12.50")),
        ("partially_paid", "3.10", Decimal("3.10")),
        ("authorized", "0.00", Decimal("0.00")),
        ("pending", "-1.00", Decimal("0.00")),
        ("pending", None, None),
        (None, "5", Decimal(5)),
    ],
)
def test_the_copay_is_what_is_still_to_be_paid(status, outstanding, copay):
    assert made(order(financial_status=status, total_outstanding=outstanding)).copay_amount == copay


@pytest.mark.parametrize(
    ("changes", "field", "value"),
    [
        ({"note_attributes": [ATTRIBUTE]}, "rx_number", "RX-1"),
        ({"line_items": [line_item(properties=[ATTRIBUTE])]}, "rx_number", "RX-1"),
        ({"note_attributes": [{"name": "rx", "value": None}]}, "rx_number", None),
        (
            {"note_attributes": [{"name": "Delivery Date", "value": "2026-11-25"}]},
            "delivery_date",
            date(2026, 11, 25),
        ),
        (
            {"note_attributes": [{"name": "delivery_date", "value": "2026/1/5 10:00"}]},
            "delivery_date",
            date(2026, 1, 5),
        ),
        (
            {"note_attributes": [{"name": "Patient ID", "value": "P-1"}]},
            "external_patient_id",
            "P-1",
        ),
        ({"customer": {"id": 7}}, "external_patient_id", "gid://shopify/Customer/7"),
        ({"customer": None}, "external_patient_id", None),
        ({"note": "ring twice"}, "notes", "ring twice"),
        (
            {
                "note": "ring twice\x07",
                "note_attributes": [{"name": "Delivery instructions", "value": "back door"}],
            },
            "notes",
            "ring twice \nDelivery instructions: back door",
        ),
        ({"tags": "vip, Urgent"}, "priority", "urgent"),
        ({"tags": "STAT, urgent"}, "priority", "stat"),
        ({"tags": "station"}, "priority", "routine"),
        ({"shipping_lines": [{"title": "Same Day Delivery"}]}, "priority", "urgent"),
        (
            {"shipping_lines": [{"title": "Express", "is_removed": True}, {"title": "Slow"}]},
            "priority",
            "routine",
        ),
        ({"tags": "Signature required"}, "requires_signature", True),
        ({"shipping_lines": [{"title": "Courier (signature)"}]}, "requires_signature", True),
        ({"tags": "signatures"}, "requires_signature", False),
    ],
)
def test_the_settings_name_the_attributes_to_read(changes, field, value):
    assert getattr(made(order(**changes)), field) == value


def test_line_items_that_name_prescriptions_are_one_bag():
    again = [{"name": "rx", "value": "rx-1"}]
    items = [
        line_item(properties=[ATTRIBUTE]),
        line_item(properties=[{"name": "rx", "value": 8872341}, ATTRIBUTE]),
        line_item(properties=again),
        line_item(properties=[{"name": "Prescription number", "value": "RX-3"}]),
        line_item(),
    ]

    bag = made(order(line_items=items, total_outstanding="12.50", financial_status="pending"))

    assert (bag.rx_number, bag.copay_amount) == ("RX-1", Decimal("12.50"))
    assert bag.prescriptions == (
        Prescription(rx_number="RX-1"),
        Prescription(rx_number="8872341"),
        Prescription(rx_number="RX-3"),
    )


def test_an_order_of_one_number_has_no_list_of_them():
    items = [line_item(properties=[ATTRIBUTE]), line_item(properties=[ATTRIBUTE])]

    single = made(order(line_items=items))

    assert (single.rx_number, single.prescriptions) == ("RX-1", ())


def test_attributes_of_removed_items_are_ignored():
    gone = line_item(current_quantity=0, properties=[ATTRIBUTE])

    assert made(order(line_items=[gone, line_item()])).rx_number is None


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        (
            {"note_attributes": [{"name": "delivery date", "value": "25/11/26"}]},
            "delivery_date",
            "the delivery date is not written as 2026-11-22; it was left out",
        ),
        (
            {"note_attributes": [{"name": "delivery date", "value": "2026-02-30"}]},
            "delivery_date",
            "the delivery date is not written as 2026-11-22; it was left out",
        ),
        (
            {"note": "x" * 2001},
            "notes",
            "the notes have more than 2000 characters; the rest was left out",
        ),
    ],
)
def test_unusable_values_are_left_out_with_a_warning(changes, field, message):
    assert decided(order(**changes)).warnings == (Problem(message, field=field),)


@pytest.mark.parametrize(
    ("sent", "outcome", "reason"),
    [
        (order(cancelled_at="2026-11-20T11:00:00Z"), "skip", "cancelled"),
        (order(financial_status="voided"), "skip", "voided"),
        (order(financial_status="refunded"), "skip", "refunded"),
        (order(line_items=[line_item(requires_shipping=False)]), "skip", "nothing_to_ship"),
        (order(line_items=[line_item(current_quantity=0)]), "skip", "nothing_to_ship"),
        (order(line_items=[]), "skip", "nothing_to_ship"),
        (order(shipping_lines=[{"title": "Pick up"}]), "skip", "local_pickup"),
        (
            order(shipping_lines=[{"title": "Store 4", "delivery_category": "pick-up"}]),
            "skip",
            "local_pickup",
        ),
        (shopify_orders.without_protected_data(), "hold", "protected_data_missing"),
        (order(shipping_address=None), "hold", "no_address"),
        (order(shipping_address=address(address1=" ")), "hold", "no_address"),
        (
            order(
                shipping_address=address(name=None, first_name=None, last_name=None),
                billing_address=None,
                customer=None,
            ),
            "hold",
            "no_name",
        ),
        (shopify_orders.sample_notification(), "skip", "cancelled"),
    ],
)
def test_an_order_that_makes_no_package_says_why(sent, outcome, reason):
    decision = decided(sent)

    assert (decision.outcome, decision.reason) == (outcome, reason)
    assert REASONS[reason]


@pytest.mark.parametrize(
    ("of_shop", "sent", "outcome", "reason"),
    [
        (shop(skip_tags=("wholesale",)), order(tags="Wholesale"), "skip", "skip_tag"),
        (shop(hold_tags=("fragile",)), order(tags="a, FRAGILE"), "hold", "hold_tag"),
        (shop(shipping_methods=("courier",)), order(), "skip", "other_shipping_method"),
        (shop(shipping_methods=("LOCAL delivery",)), order(), "make", None),
        (shop(shipping_methods=("local",)), order(), "make", None),
        (shop(pickup_methods=("local",)), order(), "skip", "local_pickup"),
        (shop(create_on="orders/paid"), order(), "wait", "not_paid"),
        (shop(create_on="orders/paid"), paid(), "make", None),
        (shop(create_on="orders/paid", skip_tags=("w",)), order(tags="w"), "skip", "skip_tag"),
    ],
)
def test_each_shop_selects_its_orders_by_its_settings(of_shop, sent, outcome, reason):
    decision = decided(sent, of_shop)

    assert (decision.outcome, decision.reason) == (outcome, reason)


@pytest.mark.parametrize(
    ("of_shop", "sent"),
    [
        (shop(skip_tags=("w",)), order(tags="w")),
        (shop(hold_tags=("w",)), order(tags="w")),
        (shop(shipping_methods=("courier",)), order()),
        (shop(create_on="orders/paid"), order()),
        (SHOP, order(shipping_lines=[{"title": "Pick up"}])),
    ],
)
def test_a_release_overrules_a_held_or_skipped_order(of_shop, sent):
    assert decided(sent, of_shop, Release()).outcome == "make"


def test_a_release_adds_missing_details():
    release = Release(
        patient_name="Ana Silva", patient_address="1 Lake Rd", patient_phone="+16135550100"
    )
    order = decided(shopify_orders.without_protected_data(), SHOP, release).order

    assert (order.patient_name, order.patient_address) == ("Ana Silva", "1 Lake Rd")
    assert order.patient_phone == "+16135550100"


@pytest.mark.parametrize(
    ("sent", "release", "outcome", "reason"),
    [
        (order(cancelled_at="2026-11-20T11:00:00Z"), Release(), "skip", "cancelled"),
        (order(financial_status="refunded"), Release(), "skip", "refunded"),
        (order(shipping_address=None), Release(patient_name="A"), "hold", "no_address"),
        (shopify_orders.without_protected_data(), Release(), "hold", "protected_data_missing"),
    ],
)
def test_a_release_can_not_revive_a_finished_order_or_invent_an_address(
    sent, release, outcome, reason
):
    decision = decided(sent, SHOP, release)

    assert (decision.outcome, decision.reason) == (outcome, reason)


@pytest.mark.parametrize(
    "sent",
    [
        order(),
        paid(tags="urgent, vip", note="ring", note_attributes=[ATTRIBUTE]),
        order(billing_address=None, customer=None),
        order(cancelled_at="2026-11-20T11:00:00Z"),
        order(line_items=[line_item(properties=[ATTRIBUTE]), line_item(current_quantity=0)]),
    ],
)
def test_an_order_read_from_the_api_makes_the_same_as_its_webhook(sent):
    node = {**node_of(sent), "fulfillments": []}

    assert decide(order_from(node), SHOP) == decided(sent)
