"""What became of a package shows in its shop: one fulfillment, an event for each step."""

import pytest
from gateway_shopify.sender import STATUS_OF
from shopify_orders import ORDER_GID, ORDER_NUMBER, order, paid
from shopify_shop import CLIENT_ID, Shop
from sqlalchemy import text
from waiting import until

from gateway.testing import SteppingClock

QUICK = """
[delivery]
allow_http = true
allow_networks = ["127.0.0.0/8"]
timeout_seconds = 15
retry_schedule_seconds = [0.05, 0.05, 0.1, 0.1, 0.2, 0.2, 0.5, 0.5]
"""


@pytest.fixture
async def shop():
    async with Shop() as running:
        running.add(paid())
        yield running


def reached(shop, more="", token='access_token = "shpat_static"'):
    return f'api_url = "{shop.url}"\n{token}\n{more}'


@pytest.fixture
async def shopify(open_shopify, shop):
    async with open_shopify(reached(shop)) as opened:
        yield opened


async def made(shopify, **changes):
    await shopify.deliver("orders/paid", paid(**changes))
    return await shopify.package()


async def tries(shopify, state="delivered", count=1):
    """Wait until ``count`` deliveries came to ``state``; returns what their tries said."""
    query = text(
        "SELECT d.event_type, a.delivered, a.error, a.status FROM deliveries d "
        "JOIN attempts a ON a.delivery_id = d.id ORDER BY a.sequence"
    )

    async def there():
        done = await shopify.rows("SELECT id FROM deliveries WHERE state = :state", state=state)
        if len(done) < count:
            return None
        async with shopify.gateway.database.read() as connection:
            return [tuple(row) for row in await connection.execute(query)]

    return await until(there)


async def test_a_delivery_shows_as_one_fulfillment_and_an_event_for_each_step(shopify, shop):
    package = await made(shopify)
    steps = ("picked_up", "out_for_delivery", "attempted", "rescheduled", "completed")
    for step in steps:
        await shopify.report(package.id, f"delivery.{step}", notes="with the neighbour, Ana Silva")
    await shop.until(lambda it: len(it.fulfillments(ORDER_GID)) == 1)
    await shop.until(lambda it: len(it.statuses(ORDER_GID)) == 5)

    [fulfillment] = shop.fulfillments(ORDER_GID)
    assert fulfillment["trackingInfo"] == [{"company": "Local delivery", "number": package.id}]
    assert fulfillment["notified"] is False
    assert shop.statuses(ORDER_GID) == [STATUS_OF[f"delivery.{step}"] for step in steps]
    happened = [each["happenedAt"] for each in fulfillment["events"]["nodes"]]
    events = [
        event for event in await shopify.events(package.id) if event.type.startswith("delivery")
    ]
    assert happened == [f"{event.occurred_at:%Y-%m-%dT%H:%M:%SZ}" for event in events]
    assert "Ana" not in str(shop.orders[ORDER_GID]["fulfillments"])


async def test_only_a_shops_own_orders_are_reported_to_it(shopify, shop):
    body = {"orders": [{"patient_name": "Ana", "patient_address": "1 Lake Rd"}]}
    answer = await shopify.harness.post("/api/webhook/orders", shopify.key, body)
    await shopify.report(answer.json()["package_ids"][0], "delivery.completed")

    assert await shopify.rows("SELECT id FROM deliveries") == []
    assert set(shop.calls) <= {"UpdatedOrders"}


async def test_an_order_of_another_shop_at_the_same_site_is_not_reported(open_shopify, shop):
    second = f"""
[[plugins.shopify.shops]]
domain = "second.myshopify.com"
site = "main"
client_secret = "shpss_second"
access_token = "shpat_static"
api_url = "{shop.url}"
"""
    async with open_shopify(reached(shop, second)) as shopify:
        package = await made(shopify)
        await shopify.report(package.id, "delivery.completed")
        found = await tries(shopify, count=2)

    assert set(found) == {
        ("delivery.completed", 1, None, 200),
        ("delivery.completed", 1, "nothing_to_tell", None),
    }
    assert shop.statuses(ORDER_GID) == ["DELIVERED"]


async def test_test_orders_are_reported_as_well(open_shopify, shop):
    shop.add(paid(test=True))
    async with open_shopify(reached(shop)) as shopify:
        await shopify.deliver("orders/paid", paid(test=True))
        [package] = await shopify.packages("test")
        shopify.key = await shopify.harness.issue_key(mode="test")
        await shopify.report(package.id, "delivery.completed")
        await shop.until(lambda it: it.fulfillments(ORDER_GID) and it.statuses(ORDER_GID))

    assert shop.statuses(ORDER_GID) == ["DELIVERED"]


@pytest.mark.parametrize("operation", ["Fulfillments", "CreateFulfillment", "CreateEvent"])
async def test_any_failed_call_is_retried_without_a_duplicate(open_shopify, shop, operation):
    shop.on[operation] = ["drop", "500", "errors", "denied"]
    async with open_shopify(reached(shop) + QUICK) as shopify:
        package = await made(shopify)
        await shopify.report(package.id, "delivery.completed")
        found = await tries(shopify)

    assert [(each[1], each[2]) for each in found] == [
        (0, "closed_early"),
        (0, "http_status"),
        (0, "graphql_errors"),
        (0, "access_denied"),
        (1, None),
    ]
    assert len(shop.fulfillments(ORDER_GID)) == 1
    assert shop.statuses(ORDER_GID) == ["DELIVERED"]


@pytest.mark.parametrize("operation", ["Fulfillments", "CreateFulfillment", "CreateEvent"])
async def test_a_call_that_hangs_is_retried_without_a_duplicate(open_shopify, shop, operation):
    """Further attempts may time out as well on a slow machine; the last one does not."""
    shop.on[operation] = ["hang"]
    quick = QUICK.replace("timeout_seconds = 15", "timeout_seconds = 1")
    async with open_shopify(reached(shop) + quick) as shopify:
        package = await made(shopify)
        await shopify.report(package.id, "delivery.completed")
        *failed, last = await tries(shopify)

    assert {each[2] for each in failed} == {"timeout"}
    assert (last[1], last[2]) == (1, None)
    assert len(shop.fulfillments(ORDER_GID)) == 1
    assert shop.statuses(ORDER_GID) == ["DELIVERED"]


@pytest.mark.parametrize("operation", ["CreateFulfillment", "CreateEvent"])
async def test_a_call_whose_response_was_lost_is_not_repeated(open_shopify, shop, operation):
    shop.on[operation] = ["do_and_drop"]
    async with open_shopify(reached(shop) + QUICK) as shopify:
        package = await made(shopify)
        await shopify.report(package.id, "delivery.completed")
        await tries(shopify)

    assert len(shop.fulfillments(ORDER_GID)) == 1
    assert shop.statuses(ORDER_GID) == ["DELIVERED"]


async def test_a_lost_response_makes_no_second_fulfillment_of_another_location(open_shopify, shop):
    shop.add(paid(), fulfillmentOrders=shop.fulfillment_orders("OPEN", "OPEN", locations=(1, 2)))
    shop.on["CreateFulfillment"] = ["do_and_drop"]
    async with open_shopify(reached(shop) + QUICK) as shopify:
        package = await made(shopify)
        await shopify.report(package.id, "delivery.completed")
        await tries(shopify)

    assert len(shop.fulfillments(ORDER_GID)) == 1
    assert shop.statuses(ORDER_GID) == ["DELIVERED"]


async def test_user_errors_are_failures_and_stand_in_the_log(open_shopify, shop):
    shop.on["CreateFulfillment"] = ["user_error"]
    async with open_shopify(reached(shop) + QUICK) as shopify:
        package = await made(shopify)
        await shopify.report(package.id, "delivery.completed")
        found = await tries(shopify)

    assert [each[1:] for each in found] == [(0, "user_errors", 200), (1, None, 200)]


async def test_a_shop_that_is_throttling_is_left_alone_for_as_long_as_it_says(open_shopify, shop):
    clock = SteppingClock()
    shop.available = 5.0
    async with open_shopify(reached(shop), clock) as shopify:
        package = await made(shopify)
        await shopify.report(package.id, "delivery.completed")

        async def tried():
            return await shopify.rows("SELECT error, status FROM attempts")

        assert await until(tried) == [("throttled", 200)]
        shop.available = 1000.0
        clock.step(6)
        [destination] = set(
            await shopify.rows("SELECT destination_id FROM deliveries WHERE state = 'pending'")
        )
        shopify.gateway.wake(list(destination))
        await shop.until(lambda it: it.fulfillments(ORDER_GID) and it.statuses(ORDER_GID))


@pytest.mark.parametrize(
    ("statuses", "word"),
    [(("ON_HOLD",), "on_hold"), (("SCHEDULED",), "on_hold"), (("CLOSED",), "nothing_to_fulfill")],
)
async def test_an_order_on_hold_is_fulfilled_later(open_shopify, shop, statuses, word):
    shop.add(paid(), fulfillmentOrders=shop.fulfillment_orders(*statuses))
    async with open_shopify(reached(shop) + QUICK) as shopify:
        package = await made(shopify)
        await shopify.report(package.id, "delivery.completed")

        async def tried():
            return await shopify.rows("SELECT error FROM attempts")

        assert (await until(tried))[0] == (word,)
        shop.add(paid(), fulfillmentOrders=shop.fulfillment_orders("OPEN"))
        await shop.until(lambda it: it.fulfillments(ORDER_GID) and it.statuses(ORDER_GID))


async def test_events_are_reported_to_the_shops_own_fulfillment(shopify, shop):
    by_hand = {
        "id": "gid://shopify/Fulfillment/77",
        "status": "SUCCESS",
        "trackingInfo": [],
        "events": {"nodes": []},
    }
    closed = shop.fulfillment_orders("CLOSED")
    shop.add(paid(), fulfillmentOrders=closed, fulfillments=[by_hand])
    package = await made(shopify)
    await shopify.report(package.id, "delivery.completed")
    await shop.until(lambda it: it.statuses(ORDER_GID))

    assert "CreateFulfillment" not in shop.calls
    assert shop.statuses(ORDER_GID) == ["DELIVERED"]


async def test_a_fulfillment_is_of_one_location(shopify, shop):
    nodes = shop.fulfillment_orders("OPEN", "OPEN", "IN_PROGRESS", locations=(1, 2, 1))
    shop.add(paid(), fulfillmentOrders=nodes)
    package = await made(shopify)
    await shopify.report(package.id, "delivery.completed")
    await shop.until(lambda it: it.fulfillments(ORDER_GID) and it.statuses(ORDER_GID))

    assert [each["status"] for each in nodes["nodes"]] == ["CLOSED", "OPEN", "CLOSED"]


@pytest.mark.parametrize(
    ("refund_on", "event", "refunded"),
    [
        ("[]", "delivery.returned", False),
        ('["delivery.failed"]', "delivery.returned", False),
        ('["delivery.returned"]', "delivery.returned", True),
        ('["package.cancelled"]', "package.cancelled", True),
    ],
)
async def test_a_refund_is_made_only_if_the_settings_ask_for_it(
    open_shopify, shop, refund_on, event, refunded
):
    async with open_shopify(reached(shop, f"refund_on = {refund_on}")) as shopify:
        package = await made(shopify)
        await shopify.report(package.id, event)
        await tries(shopify)

    found = [made_of for made_of, _ in shop.refunds.values()]
    assert bool(found) is refunded
    if refunded:
        assert found == [
            {
                "orderId": ORDER_GID,
                "notify": False,
                "shipping": {"fullRefund": True},
                "refundLineItems": [
                    {
                        "lineItemId": "gid://shopify/LineItem/466157049",
                        "quantity": 1,
                        "restockType": "NO_RESTOCK",
                    }
                ],
                "transactions": [
                    {
                        "orderId": ORDER_GID,
                        "parentId": "gid://shopify/OrderTransaction/1",
                        "gateway": "bogus",
                        "kind": "REFUND",
                        "amount": "12.50",
                    }
                ],
            }
        ]


async def test_a_refund_whose_answer_was_lost_is_not_made_twice(open_shopify, shop):
    shop.on["CreateRefund"] = ["do_and_drop"]
    async with open_shopify(reached(shop, 'refund_on = ["delivery.returned"]') + QUICK) as shopify:
        package = await made(shopify)
        await shopify.report(package.id, "delivery.returned")
        await tries(shopify)

    assert len(shop.refunds) == 1


async def test_an_order_that_was_cancelled_in_the_shop_is_not_refunded_by_us(open_shopify, shop):
    async with open_shopify(reached(shop, 'refund_on = ["package.cancelled"]')) as shopify:
        package = await made(shopify)
        later = {"updated_at": "2026-11-20T11:00:00-05:00"}
        await shopify.deliver("orders/cancelled", paid(**later, cancelled_at=later["updated_at"]))
        assert "package.cancelled" in await shopify.types(package.id)
        found = await tries(shopify)

    assert found == [("package.cancelled", 1, "nothing_to_tell", None)]
    assert shop.refunds == {}


CREDENTIALS = f'client_id = "{CLIENT_ID}"'


async def test_a_token_for_a_day_is_got_once_kept_sealed_and_renewed_in_time(
    open_shopify, shop, tmp_path
):
    clock = SteppingClock()
    shop.tokens.clear()
    async with open_shopify(reached(shop, token=CREDENTIALS), clock) as shopify:
        package = await made(shopify)
        await shopify.report(package.id, "delivery.out_for_delivery")
        await shop.until(lambda it: it.fulfillments(ORDER_GID) and len(it.statuses(ORDER_GID)) == 1)
        clock.step(86_399 - 601)
        await shopify.report(package.id, "delivery.attempted")
        await shop.until(lambda it: len(it.statuses(ORDER_GID)) == 2)
        assert shop.granted == 1
        clock.step(2)
        await shopify.report(package.id, "delivery.completed")
        await shop.until(lambda it: len(it.statuses(ORDER_GID)) == 3)
        assert shop.granted == 2

    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("gateway.db*"))
    assert b"shpat_day" not in kept


async def test_a_token_that_is_not_taken_any_more_is_replaced_at_once(open_shopify, shop):
    async with open_shopify(reached(shop, token=CREDENTIALS)) as shopify:
        package = await made(shopify)
        await shopify.report(package.id, "delivery.out_for_delivery")
        await shop.until(lambda it: it.fulfillments(ORDER_GID) and len(it.statuses(ORDER_GID)) == 1)
        shop.tokens.clear()
        await shopify.report(package.id, "delivery.completed")
        await shop.until(lambda it: len(it.statuses(ORDER_GID)) == 2)
        found = await tries(shopify, count=2)

    assert [each[1] for each in found] == [1, 1]
    assert shop.granted == 2


async def test_wrong_credentials_are_a_failure_that_says_so(open_shopify, shop):
    async with open_shopify(reached(shop, token='client_id = "unknown"')) as shopify:
        package = await made(shopify)
        await shopify.report(package.id, "delivery.completed")

        async def tried():
            return await shopify.rows("SELECT error, status FROM attempts")

        assert await until(tried) == [("no_token", 400)]


async def test_an_edited_order_is_fetched_as_it_is_now(shopify, shop):
    package = await made(shopify)
    later = "2026-11-20T11:00:00-05:00"
    shop.add(paid(updated_at=later, note="ring twice"))
    await shopify.deliver("orders/edited", {"order_edit": {"id": 5, "order_id": ORDER_NUMBER}})
    assert (await shopify.package()).order.notes == "ring twice"

    shop.add(paid(updated_at="2026-11-20T12:00:00-05:00", financial_status="refunded"))
    await shopify.deliver("refunds/create", {"id": 6, "order_id": ORDER_NUMBER})
    assert (await shopify.package()).status == "cancelled"
    assert await shopify.types(package.id) == [
        "package.created",
        "package.updated",
        "package.cancelled",
    ]


async def test_a_shop_that_can_not_be_asked_leaves_the_message_for_later(open_shopify, shop):
    clock = SteppingClock()
    shop.on["Order"] = ["503"]
    async with open_shopify(reached(shop), clock) as shopify:
        await shopify.post("orders/edited", {"order_edit": {"id": 5, "order_id": ORDER_NUMBER}})

        async def delayed():
            return await shopify.rows("SELECT 1 FROM plugin_inbox WHERE outcome = 'http_status'")

        await until(delayed)
        clock.step(7)  # as Retry-After says; the inbox by itself would have waited 5 s
        await shopify.settled()
        assert len(await shopify.packages()) == 1


async def test_a_shop_that_hangs_delays_no_other_orders(open_shopify, shop):
    second = """
[[plugins.shopify.shops]]
domain = "second.myshopify.com"
site = "main"
client_secret = "shpss_second"
"""
    shop.on["Order"] = ["hang"]
    async with open_shopify(reached(shop, second) + QUICK) as shopify:
        await shopify.post("orders/edited", {"order_edit": {"id": 5, "order_id": 8}})
        await shop.until(lambda it: "Order" in it.calls)
        sent = order(id=9, admin_graphql_api_id="gid://shopify/Order/9")
        await shopify.post(
            "orders/create", sent, shop="second.myshopify.com", secret="shpss_second"
        )

        async def made_meanwhile():
            return await shopify.messages("done")

        assert await until(made_meanwhile, seconds=100) == [("orders/create", "made")]
        assert await shopify.messages("waiting") == [("orders/edited", None)]
        shop.drop_everyone()


async def test_an_order_that_is_not_there_any_more_makes_nothing(shopify, shop):
    await shopify.deliver("orders/edited", {"order_edit": {"id": 5, "order_id": 8}})
    await shopify.deliver("refunds/create", {"note": "without an order"})

    assert [outcome for _, outcome in await shopify.messages("done")] == ["no_order", "no_order"]
