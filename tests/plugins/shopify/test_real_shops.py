"""Orders as real shops and their apps write them: a wrong package is never made silently.

Each test is a kind of fault that was seen. Orders come in as webhooks, and the same order is
read from the Admin API as well where that could differ.
"""

from datetime import date
from decimal import Decimal

import pytest
from shopify_orders import ORDER_NUMBER, address, line_item, order, paid

NOON = "2026-11-20T12:00:00-05:00"
FULFILLED_ITEM = line_item(fulfillable_quantity=0, fulfillment_status="fulfilled")


def elsewhere(**changes):
    """Return the order as fulfilled by another app: a fulfillment without our package's id."""
    by_another = {"id": 5, "status": "success", "tracking_number": "1Z999"}
    return paid(
        **{
            "updated_at": NOON,
            "fulfillment_status": "fulfilled",
            "fulfillments": [by_another],
            "line_items": [FULFILLED_ITEM],
            **changes,
        }
    )


async def one(shopify, state):
    [found] = await shopify.listed(state)
    return found


async def made(shopify, **changes):
    await shopify.deliver("orders/create", order(**changes))
    return await shopify.package()


async def skipped(shopify, sent, topic="orders/create"):
    """Process an order that makes no package; return the reason."""
    await shopify.deliver(topic, sent)
    assert await shopify.packages() == []
    assert await shopify.listed() == []
    return (await one(shopify, "skipped"))["reason"]


# --- fulfilled and closed orders ------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"fulfillment_status": "fulfilled"}, "fulfilled"),
        ({"line_items": [FULFILLED_ITEM]}, "fulfilled"),
        ({"line_items": [line_item(fulfillable_quantity=0)]}, "fulfilled"),
        ({"fulfillment_status": "fulfilled", "closed_at": NOON}, "closed"),
        ({"closed_at": NOON}, "closed"),
        ({"fulfillment_status": "restocked"}, "nothing_to_ship"),
    ],
)
async def test_an_order_that_was_fulfilled_or_closed_makes_no_package(shopify, changes, reason):
    assert await skipped(shopify, paid(tags="vip", **changes), "orders/updated") == reason


async def test_a_partially_fulfilled_order_is_delivered_without_the_fulfilled_items(shopify):
    rx = [{"name": "rx", "value": "RX-1"}]
    items = [
        {**FULFILLED_ITEM, "properties": rx},
        line_item(fulfillable_quantity=1, properties=[{"name": "rx", "value": "RX-2"}]),
    ]
    package = await made(shopify, fulfillment_status="partial", line_items=items)

    assert package.order.rx_number == "RX-2"


async def test_a_fulfilled_order_can_be_released_all_the_same(shopify):
    await skipped(shopify, elsewhere())
    found = await one(shopify, "skipped")
    path = f"/api/shopify/orders/{found['id']}/release"
    answer = await shopify.harness.post(path, shopify.key, {})

    assert (answer.status_code, answer.json()["state"]) == (200, "made")


# --- cancelled, deleted, and messages of one second -------------------------------------------


async def test_a_cancellation_is_never_undone_by_a_message_of_the_same_second(shopify):
    same = {"updated_at": NOON}
    await shopify.deliver("orders/cancelled", paid(**same, cancelled_at=NOON))

    assert await skipped(shopify, paid(**same), "orders/updated") == "cancelled"


async def test_a_cancelled_package_stays_cancelled_after_a_message_of_the_same_second(shopify):
    package = await made(shopify)
    await shopify.deliver("orders/cancelled", paid(updated_at=NOON, cancelled_at=NOON))
    await shopify.deliver("orders/updated", paid(updated_at=NOON))

    assert await shopify.types(package.id) == ["package.created", "package.cancelled"]


async def test_a_fulfillment_is_not_undone_by_a_message_of_the_same_second(shopify):
    await skipped(shopify, elsewhere(), "orders/updated")

    assert await skipped(shopify, paid(updated_at=NOON), "orders/updated") == "fulfilled"


@pytest.mark.parametrize("reverse", [False, True])
async def test_of_two_messages_of_one_second_the_later_triggered_counts(shopify, reverse):
    await made(shopify)
    messages = [
        (order(updated_at=NOON, note="first"), "2026-11-20T17:00:00.100Z"),
        (order(updated_at=NOON, note="second"), "2026-11-20T17:00:00.900Z"),
    ]
    for sent, at in reversed(messages) if reverse else messages:
        await shopify.deliver("orders/updated", sent, triggered_at=at)

    assert (await shopify.package()).order.notes == "second"


@pytest.mark.parametrize("at", ["", "soon", "2026-11-20T17:00:00"])
async def test_a_webhook_without_a_usable_trigger_time_is_processed(shopify, at):
    await made(shopify)
    await shopify.deliver("orders/updated", order(updated_at=NOON, note="new"), triggered_at=at)

    assert (await shopify.package()).order.notes == "new"


async def test_a_deleted_order_cancels_its_package(shopify):
    package = await made(shopify)
    await shopify.deliver("orders/delete", {"id": ORDER_NUMBER})

    assert await shopify.types(package.id) == ["package.created", "package.cancelled"]
    assert (await one(shopify, "cancelled"))["reason"] == "deleted"


async def test_a_deleted_order_whose_package_left_is_flagged(shopify):
    package = await made(shopify)
    await shopify.report(package.id, "delivery.picked_up")
    await shopify.deliver("orders/delete", {"id": ORDER_NUMBER})

    assert (await one(shopify, "flagged"))["reason"] == "too_late"


async def test_an_order_deleted_before_its_other_messages_arrive_makes_no_package(shopify):
    await shopify.deliver("orders/delete", {"id": ORDER_NUMBER})

    assert await skipped(shopify, order()) == "deleted"


async def test_a_signed_body_of_an_order_is_no_deletion(shopify):
    """The topic isn't signed: a sender who has seen a signed body can send it under this one."""
    package = await made(shopify)
    await shopify.deliver("orders/delete", order())

    assert await shopify.types(package.id) == ["package.created"]
    [(topic, outcome)] = await shopify.messages("failed")
    assert topic == "orders/delete"
    assert outcome.startswith("unreadable: ")


# --- pick-up and counter sales --------------------------------------------------------------


async def test_pickup_is_recognised_by_an_attribute(shopify):
    attributes = [
        {"name": "Checkout-Method", "value": "pickup"},
        {"name": "Pickup-Date", "value": "2026-12-14"},
    ]
    lines = [{"title": "Hill Drugs", "code": "Hill Drugs"}]

    assert (
        await skipped(shopify, paid(note_attributes=attributes, shipping_lines=lines))
        == "local_pickup"
    )


async def test_pickup_is_recognised_by_a_title(shopify):
    lines = [{"title": "In store pickup", "code": "In store pickup"}]

    assert await skipped(shopify, paid(shipping_lines=lines)) == "local_pickup"


async def test_pickup_and_delivery_at_once_is_held(shopify):
    attributes = [{"name": "Checkout-Method", "value": "pickup"}]
    await shopify.deliver("orders/create", paid(note_attributes=attributes))

    assert (await one(shopify, "held"))["reason"] == "pickup_unclear"
    assert await shopify.packages() == []


async def test_a_counter_sale_is_skipped_and_not_held(shopify):
    sale = paid(
        source_name="pos",
        shipping_address=None,
        shipping_lines=[],
        fulfillment_status="fulfilled",
        line_items=[FULFILLED_ITEM],
    )
    assert await skipped(shopify, sale) == "counter_sale"


async def test_an_unfulfilled_counter_sale_is_skipped_and_not_held(shopify):
    sale = paid(source_name="pos", shipping_address=None, shipping_lines=[])

    assert await skipped(shopify, sale) == "counter_sale"


async def test_a_sale_at_the_counter_that_is_to_be_delivered_is_delivered(shopify):
    await made(shopify, source_name="pos")


# --- money ----------------------------------------------------------------------------------


async def test_authorized_money_is_not_cash(shopify):
    package = await made(shopify, financial_status="authorized", total_outstanding="40.00")

    assert package.order.copay_amount == Decimal("0.00")
    assert await shopify.listed("flagged") == []
    assert (await one(shopify, "made"))["warnings"] == [
        "the customer's card is authorized for the amount; nothing is to be collected"
    ]


def money(shop, presentment):
    return {
        "shop_money": {"amount": shop, "currency_code": "CAD"},
        "presentment_money": {"amount": presentment, "currency_code": "USD"},
    }


@pytest.mark.parametrize("outstanding", ["20.00", "15.00"])
async def test_the_copay_is_in_the_shops_currency(shopify, outstanding):
    """``total_outstanding`` is a bare number; the order's totals tell its currency."""
    package = await made(
        shopify,
        presentment_currency="USD",
        total_outstanding=outstanding,
        total_price_set=money("20.00", "15.00"),
    )

    assert package.order.copay_amount == Decimal("20.00")
    assert (await one(shopify, "made"))["warnings"] == [
        "the customer pays in another currency; the amount is in the shop's currency"
    ]


@pytest.mark.parametrize("totals", [{}, {"total_price_set": money("20.00", "15.00")}])
async def test_an_amount_whose_currency_is_unclear_is_held(shopify, totals):
    sent = order(presentment_currency="USD", total_outstanding="7.00", **totals)
    await shopify.deliver("orders/create", sent)

    assert (await one(shopify, "held"))["reason"] == "currency_unclear"


async def test_a_paid_order_in_another_currency_is_made(shopify):
    await shopify.deliver("orders/paid", paid(presentment_currency="USD"))

    assert (await shopify.package()).order.copay_amount == Decimal("0.00")


# --- values ---------------------------------------------------------------------------------


async def test_a_delivery_date_is_found_under_a_name_with_a_hyphen(shopify):
    attributes = [{"name": "Delivery-Date", "value": "2026-12-14"}]
    package = await made(shopify, note_attributes=attributes)

    assert package.order.delivery_date == date(2026, 12, 14)


@pytest.mark.parametrize(
    "values",
    [
        ["2026-1-123"],
        ["2026-12-14 to 2026-12-16"],
        ["12/14/2026"],
        ["2026-12-14", "2026-12-15"],
        ["2026-12-14", "soon"],
    ],
)
async def test_a_delivery_date_that_can_not_be_told_is_left_out_and_said(shopify, values):
    attributes = [{"name": "Delivery Date", "value": each} for each in values]
    package = await made(shopify, note_attributes=attributes)

    assert package.order.delivery_date is None
    found = await one(shopify, "flagged")
    assert (found["state"], found["reason"], found["package_id"]) == (
        "made",
        "warnings",
        package.id,
    )
    [warning] = found["warnings"]
    assert "delivery date" in warning


async def test_the_same_delivery_date_twice_is_one(shopify):
    attributes = [
        {"name": each, "value": "2026-12-14"} for each in ("delivery_date", "Delivery-Date")
    ]
    package = await made(shopify, note_attributes=attributes)

    assert package.order.delivery_date == date(2026, 12, 14)


async def test_a_bad_phone_does_not_hide_a_good_one(shopify):
    package = await made(shopify, shipping_address=address(phone="same"), phone="613-555-0177")

    assert package.order.patient_phone == "+16135550177"
    assert (await one(shopify, "made"))["warnings"] == [
        "the first phone of the order is not a phone number; another one was taken"
    ]


async def test_a_phone_is_read_by_the_country_of_its_address(shopify):
    to = address(country_code="GB", phone="020 7946 0958")
    package = await made(shopify, shipping_address=to)

    assert package.order.patient_phone == "+442079460958"


@pytest.mark.parametrize(
    "properties",
    [
        [{"name": {"a": 1}, "value": "x"}],
        [{"name": ["rx"], "value": "x"}, {"value": 1}, "text", 7, None, ["rx", "RX-9"]],
        {"rx": "RX-1"},
        [{"name": "rx", "value": "RX-1"}],
        [{"name": "rx", "value": {"a": ["b"]}}, {"name": "rx", "value": "RX-1"}],
        "text",
        7,
        None,
    ],
)
async def test_properties_of_any_shape_are_read(shopify, properties):
    package = await made(
        shopify, line_items=[line_item(properties=properties)], note_attributes=properties
    )

    assert package.order.rx_number in {None, "RX-1"}


async def test_a_company_and_a_province_without_a_code_are_part_of_the_address(shopify):
    to = address(company="Sunrise Care Home, Unit 4", province_code=None, province="Ontario")
    package = await made(shopify, shipping_address=to)

    assert package.order.patient_address == (
        "Sunrise Care Home, Unit 4, 123 Main St, Apt 4, Ottawa, Ontario K1A 0B1, CA"
    )


async def test_words_that_say_no_mean_no(shopify):
    lines = [{"title": "Standard (no signature required)", "code": "std"}]
    package = await made(shopify, tags="not-urgent", shipping_lines=lines)

    assert (package.order.priority, package.order.requires_signature) == ("routine", False)


async def test_tags_may_be_a_list(shopify):
    package = await made(shopify, tags=["vip", "urgent"])

    assert package.order.priority == "urgent"


# --- what a shop changes about a package that exists -------------------------------------------


async def test_an_order_whose_address_was_removed_is_flagged(shopify):
    package = await made(shopify)
    await shopify.deliver("orders/updated", order(updated_at=NOON, shipping_address=None))

    found = await one(shopify, "flagged")
    assert (found["reason"], found["flagged"], found["package_id"]) == (
        "address_removed",
        True,
        package.id,
    )
    assert await shopify.types(package.id) == ["package.created"]

    later = "2026-11-20T13:00:00-05:00"
    await shopify.deliver("orders/updated", order(updated_at=later))
    assert await shopify.listed("flagged") == []


@pytest.mark.parametrize("changes", [{}, {"closed_at": NOON}, {"fulfillments": None}])
async def test_an_order_fulfilled_elsewhere_is_flagged(shopify, changes):
    package = await made(shopify)
    await shopify.deliver("orders/updated", elsewhere(**changes))

    assert (await one(shopify, "flagged"))["reason"] == "fulfilled_elsewhere"
    assert await shopify.types(package.id) == ["package.created"]


async def test_an_order_that_becomes_a_pickup_is_flagged(shopify):
    await made(shopify)
    lines = [{"title": "Store pickup"}]
    await shopify.deliver("orders/updated", order(updated_at=NOON, shipping_lines=lines))

    assert (await one(shopify, "flagged"))["reason"] == "now_pickup"


async def test_an_order_that_is_to_be_delivered_again_is_flagged(shopify):
    package = await made(shopify)
    nothing = [line_item(current_quantity=0)]
    await shopify.deliver("orders/updated", order(updated_at=NOON, line_items=nothing))
    later = "2026-11-20T13:00:00-05:00"
    await shopify.deliver("orders/updated", order(updated_at=later))

    assert (await one(shopify, "flagged"))["reason"] == "reopened"
    assert await shopify.types(package.id) == ["package.created", "package.cancelled"]


async def test_the_gateways_own_fulfillment_changes_nothing_about_its_package(shopify):
    rx = line_item(properties=[{"name": "rx", "value": "RX-1"}])
    package = await made(shopify, line_items=[rx])
    own = {"id": 5, "status": "success", "tracking_numbers": [package.id]}
    fulfilled = {**rx, "fulfillable_quantity": 0, "fulfillment_status": "fulfilled"}
    changes = {"fulfillments": [own], "line_items": [fulfilled]}
    for event in ("delivery.picked_up", "delivery.completed"):
        await shopify.report(package.id, event)
        await shopify.deliver(
            "orders/updated",
            elsewhere(total_outstanding="12.50", financial_status="pending", **changes),
        )
        assert await shopify.listed("flagged") == []

    assert (await shopify.package()).order.rx_number == "RX-1"
    assert "package.cancelled" not in await shopify.types(package.id)


async def test_a_payment_after_pick_up_is_flagged_for_the_driver(shopify):
    package = await made(shopify)
    await shopify.report(package.id, "delivery.picked_up")
    await shopify.deliver("orders/updated", order(updated_at=NOON, tags="vip"))
    assert await shopify.listed("flagged") == []

    await shopify.deliver("orders/paid", paid(updated_at="2026-11-20T13:00:00-05:00"))
    assert (await one(shopify, "flagged"))["reason"] == "too_late"


async def test_a_refund_after_the_delivery_flags_nothing(shopify):
    package = await made(shopify)
    await shopify.report(package.id, "delivery.completed")
    await shopify.deliver("orders/updated", paid(updated_at=NOON, financial_status="refunded"))

    assert await shopify.listed("flagged") == []
    assert (await one(shopify, "made"))["reason"] is None


async def test_a_flag_is_cleared_by_a_person_and_comes_back_with_new_warnings_only(shopify):
    attributes = [{"name": "Delivery Date", "value": "soon"}]
    await made(shopify, note_attributes=attributes)
    found = await one(shopify, "flagged")
    path = f"/api/shopify/orders/{found['id']}/clear"
    answer = await shopify.harness.post(path, shopify.key)
    again = await shopify.harness.post(path, shopify.key)

    assert (answer.status_code, answer.json()["flagged"]) == (200, False)
    assert again.status_code == 409
    await shopify.deliver(
        "orders/updated", order(updated_at=NOON, note_attributes=attributes, note="ring")
    )
    assert await shopify.listed("flagged") == []
    assert (await one(shopify, "made"))["warnings"] == found["warnings"]

    changes = {"updated_at": "2026-11-20T13:00:00-05:00", "note": "x" * 2001}
    await shopify.deliver("orders/updated", order(**changes, note_attributes=attributes))
    assert (await one(shopify, "flagged"))["reason"] == "warnings"


async def test_a_flag_is_of_its_mode_and_site(shopify):
    await shopify.deliver("orders/create", order(test=True, note="x" * 2001))
    assert await shopify.listed("flagged") == []
    key = await shopify.harness.issue_key(mode="test")
    [found] = await shopify.listed("flagged", key)

    answer = await shopify.harness.post(f"/api/shopify/orders/{found['id']}/clear", shopify.key)
    assert answer.status_code == 404
