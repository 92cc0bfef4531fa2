"""What became of a package shows in its shop: one fulfillment, an event for each step."""

import pytest
from gateway_shopify.sender import STATUS_OF
from shopify_orders import ORDER_GID, ORDER_NUMBER, order, paid
from shopify_shop import CLIENT_ID, Shop
from shopify_waiting import until
from sqlalchemy import text

from gateway.testing import SteppingClock

QUICK = """
[delivery]
allow_http = true
allow_networks = ["127.0.0.0/8"]
timeout_seconds = 0.5
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
async def desk(open_desk, shop):
    async with open_desk(reached(shop)) as opened:
        yield opened


async def made(desk, **changes):
    await desk.told("orders/paid", paid(**changes))
    return await desk.package()


async def tries(desk, state="delivered", count=1):
    """Wait until ``count`` deliveries came to ``state``; returns what their tries said."""
    query = text(
        "SELECT d.event_type, a.delivered, a.error, a.status FROM deliveries d "
        "JOIN attempts a ON a.delivery_id = d.id ORDER BY a.sequence"
    )

    async def there():
        done = await desk.rows("SELECT id FROM deliveries WHERE state = :state", state=state)
        if len(done) < count:
            return None
        async with desk.gateway.database.read() as connection:
            return [tuple(row) for row in await connection.execute(query)]

    return await until(there)


async def test_a_delivery_shows_as_one_fulfillment_and_an_event_for_each_step(desk, shop):
    package = await made(desk)
    steps = ("picked_up", "out_for_delivery", "attempted", "rescheduled", "completed")
    for step in steps:
        await desk.report(package.id, f"delivery.{step}", notes="with the neighbour, Ana Silva")
    await shop.until(lambda it: len(it.fulfillments(ORDER_GID)) == 1)
    await shop.until(lambda it: len(it.told(ORDER_GID)) == 5)

    [fulfillment] = shop.fulfillments(ORDER_GID)
    assert fulfillment["trackingInfo"] == [{"company": "Local delivery", "number": package.id}]
    assert fulfillment["notified"] is False
    assert shop.told(ORDER_GID) == [STATUS_OF[f"delivery.{step}"] for step in steps]
    happened = [each["happenedAt"] for each in fulfillment["events"]["nodes"]]
    told = [event for event in await desk.events(package.id) if event.type.startswith("delivery")]
    assert happened == [f"{event.occurred_at:%Y-%m-%dT%H:%M:%SZ}" for event in told]
    assert "Ana" not in str(shop.orders[ORDER_GID]["fulfillments"])


async def test_only_what_came_from_the_shop_is_told_to_it(desk, shop):
    body = {"orders": [{"patient_name": "Ana", "patient_address": "1 Lake Rd"}]}
    answer = await desk.harness.post("/api/webhook/orders", desk.key, body)
    await desk.report(answer.json()["package_ids"][0], "delivery.completed")

    assert await desk.rows("SELECT id FROM deliveries") == []
    assert set(shop.calls) <= {"UpdatedOrders"}


async def test_an_order_of_another_shop_at_the_same_site_is_not_told_to_this_one(open_desk, shop):
    second = f"""
[[plugins.shopify.shops]]
domain = "second.myshopify.com"
site = "main"
client_secret = "shpss_second"
access_token = "shpat_static"
api_url = "{shop.url}"
"""
    async with open_desk(reached(shop, second)) as desk:
        package = await made(desk)
        await desk.report(package.id, "delivery.completed")
        found = await tries(desk, count=2)

    assert set(found) == {
        ("delivery.completed", 1, None, 200),
        ("delivery.completed", 1, "nothing_to_tell", None),
    }
    assert shop.told(ORDER_GID) == ["DELIVERED"]


async def test_test_orders_are_told_as_well(open_desk, shop):
    shop.add(paid(test=True))
    async with open_desk(reached(shop)) as desk:
        await desk.told("orders/paid", paid(test=True))
        [package] = await desk.packages("test")
        desk.key = await desk.harness.issue_key(mode="test")
        await desk.report(package.id, "delivery.completed")
        await shop.until(lambda it: it.fulfillments(ORDER_GID) and it.told(ORDER_GID))

    assert shop.told(ORDER_GID) == ["DELIVERED"]


@pytest.mark.parametrize("operation", ["Fulfillments", "CreateFulfillment", "CreateEvent"])
async def test_whatever_fails_is_tried_again_and_makes_nothing_twice(open_desk, shop, operation):
    shop.on[operation] = ["hang", "drop", "500", "errors", "denied"]
    async with open_desk(reached(shop) + QUICK) as desk:
        package = await made(desk)
        await desk.report(package.id, "delivery.completed")
        found = await tries(desk)

    assert [(each[1], each[2]) for each in found] == [
        (0, "timeout"),
        (0, "closed_early"),
        (0, "http_status"),
        (0, "graphql_errors"),
        (0, "access_denied"),
        (1, None),
    ]
    assert len(shop.fulfillments(ORDER_GID)) == 1
    assert shop.told(ORDER_GID) == ["DELIVERED"]


@pytest.mark.parametrize("operation", ["CreateFulfillment", "CreateEvent"])
async def test_what_was_done_though_no_answer_came_is_not_done_again(open_desk, shop, operation):
    shop.on[operation] = ["do_and_drop"]
    async with open_desk(reached(shop) + QUICK) as desk:
        package = await made(desk)
        await desk.report(package.id, "delivery.completed")
        await tries(desk)

    assert len(shop.fulfillments(ORDER_GID)) == 1
    assert shop.told(ORDER_GID) == ["DELIVERED"]


async def test_a_lost_answer_makes_no_second_fulfillment_of_what_lies_elsewhere(open_desk, shop):
    shop.add(paid(), fulfillmentOrders=shop.fulfillment_orders("OPEN", "OPEN", locations=(1, 2)))
    shop.on["CreateFulfillment"] = ["do_and_drop"]
    async with open_desk(reached(shop) + QUICK) as desk:
        package = await made(desk)
        await desk.report(package.id, "delivery.completed")
        await tries(desk)

    assert len(shop.fulfillments(ORDER_GID)) == 1
    assert shop.told(ORDER_GID) == ["DELIVERED"]


async def test_user_errors_are_failures_and_stand_in_the_log(open_desk, shop):
    shop.on["CreateFulfillment"] = ["user_error"]
    async with open_desk(reached(shop) + QUICK) as desk:
        package = await made(desk)
        await desk.report(package.id, "delivery.completed")
        found = await tries(desk)

    assert [each[1:] for each in found] == [(0, "user_errors", 200), (1, None, 200)]


async def test_a_shop_that_is_throttling_is_left_alone_for_as_long_as_it_says(open_desk, shop):
    clock = SteppingClock()
    shop.available = 5.0
    async with open_desk(reached(shop), clock) as desk:
        package = await made(desk)
        await desk.report(package.id, "delivery.completed")

        async def tried():
            return await desk.rows("SELECT error, status FROM attempts")

        assert await until(tried) == [("throttled", 200)]
        shop.available = 1000.0
        clock.step(6)
        [destination] = set(
            await desk.rows("SELECT destination_id FROM deliveries WHERE state = 'pending'")
        )
        desk.gateway.wake(list(destination))
        await shop.until(lambda it: it.fulfillments(ORDER_GID) and it.told(ORDER_GID))


@pytest.mark.parametrize(
    ("statuses", "word"),
    [(("ON_HOLD",), "on_hold"), (("SCHEDULED",), "on_hold"), (("CLOSED",), "nothing_to_fulfill")],
)
async def test_what_can_not_be_fulfilled_yet_is_tried_again(open_desk, shop, statuses, word):
    shop.add(paid(), fulfillmentOrders=shop.fulfillment_orders(*statuses))
    async with open_desk(reached(shop) + QUICK) as desk:
        package = await made(desk)
        await desk.report(package.id, "delivery.completed")

        async def tried():
            return await desk.rows("SELECT error FROM attempts")

        assert (await until(tried))[0] == (word,)
        shop.add(paid(), fulfillmentOrders=shop.fulfillment_orders("OPEN"))
        await shop.until(lambda it: it.fulfillments(ORDER_GID) and it.told(ORDER_GID))


async def test_what_the_shop_fulfilled_by_hand_is_told_of_as_it_is(desk, shop):
    by_hand = {
        "id": "gid://shopify/Fulfillment/77",
        "status": "SUCCESS",
        "trackingInfo": [],
        "events": {"nodes": []},
    }
    closed = shop.fulfillment_orders("CLOSED")
    shop.add(paid(), fulfillmentOrders=closed, fulfillments=[by_hand])
    package = await made(desk)
    await desk.report(package.id, "delivery.completed")
    await shop.until(lambda it: it.told(ORDER_GID))

    assert "CreateFulfillment" not in shop.calls
    assert shop.told(ORDER_GID) == ["DELIVERED"]


async def test_a_fulfillment_is_of_one_location(desk, shop):
    nodes = shop.fulfillment_orders("OPEN", "OPEN", "IN_PROGRESS", locations=(1, 2, 1))
    shop.add(paid(), fulfillmentOrders=nodes)
    package = await made(desk)
    await desk.report(package.id, "delivery.completed")
    await shop.until(lambda it: it.fulfillments(ORDER_GID) and it.told(ORDER_GID))

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
async def test_money_is_given_back_only_where_the_settings_ask_for_it(
    open_desk, shop, refund_on, event, refunded
):
    async with open_desk(reached(shop, f"refund_on = {refund_on}")) as desk:
        package = await made(desk)
        await desk.report(package.id, event)
        await tries(desk)

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


async def test_a_refund_whose_answer_was_lost_is_not_made_twice(open_desk, shop):
    shop.on["CreateRefund"] = ["do_and_drop"]
    async with open_desk(reached(shop, 'refund_on = ["delivery.returned"]') + QUICK) as desk:
        package = await made(desk)
        await desk.report(package.id, "delivery.returned")
        await tries(desk)

    assert len(shop.refunds) == 1


async def test_an_order_that_was_cancelled_in_the_shop_is_not_refunded_by_us(open_desk, shop):
    async with open_desk(reached(shop, 'refund_on = ["package.cancelled"]')) as desk:
        package = await made(desk)
        later = {"updated_at": "2026-11-20T11:00:00-05:00"}
        await desk.told("orders/cancelled", paid(**later, cancelled_at=later["updated_at"]))
        assert "package.cancelled" in await desk.types(package.id)
        found = await tries(desk)

    assert found == [("package.cancelled", 1, "nothing_to_tell", None)]
    assert shop.refunds == {}


CREDENTIALS = f'client_id = "{CLIENT_ID}"'


async def test_a_token_for_a_day_is_got_once_kept_sealed_and_renewed_in_time(
    open_desk, shop, tmp_path
):
    clock = SteppingClock()
    shop.tokens.clear()
    async with open_desk(reached(shop, token=CREDENTIALS), clock) as desk:
        package = await made(desk)
        await desk.report(package.id, "delivery.out_for_delivery")
        await shop.until(lambda it: it.fulfillments(ORDER_GID) and len(it.told(ORDER_GID)) == 1)
        clock.step(86_399 - 601)
        await desk.report(package.id, "delivery.attempted")
        await shop.until(lambda it: len(it.told(ORDER_GID)) == 2)
        assert shop.granted == 1
        clock.step(2)
        await desk.report(package.id, "delivery.completed")
        await shop.until(lambda it: len(it.told(ORDER_GID)) == 3)
        assert shop.granted == 2

    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("gateway.db*"))
    assert b"shpat_day" not in kept


async def test_a_token_that_is_not_taken_any_more_is_replaced_at_once(open_desk, shop):
    async with open_desk(reached(shop, token=CREDENTIALS)) as desk:
        package = await made(desk)
        await desk.report(package.id, "delivery.out_for_delivery")
        await shop.until(lambda it: it.fulfillments(ORDER_GID) and len(it.told(ORDER_GID)) == 1)
        shop.tokens.clear()
        await desk.report(package.id, "delivery.completed")
        await shop.until(lambda it: len(it.told(ORDER_GID)) == 2)
        found = await tries(desk, count=2)

    assert [each[1] for each in found] == [1, 1]
    assert shop.granted == 2


async def test_wrong_credentials_are_a_failure_that_says_so(open_desk, shop):
    async with open_desk(reached(shop, token='client_id = "somebody"')) as desk:
        package = await made(desk)
        await desk.report(package.id, "delivery.completed")

        async def tried():
            return await desk.rows("SELECT error, status FROM attempts")

        assert await until(tried) == [("no_token", 400)]


async def test_an_edited_order_is_fetched_as_it_is_now(desk, shop):
    package = await made(desk)
    later = "2026-11-20T11:00:00-05:00"
    shop.add(paid(updated_at=later, note="ring twice"))
    await desk.told("orders/edited", {"order_edit": {"id": 5, "order_id": ORDER_NUMBER}})
    assert (await desk.package()).order.notes == "ring twice"

    shop.add(paid(updated_at="2026-11-20T12:00:00-05:00", financial_status="refunded"))
    await desk.told("refunds/create", {"id": 6, "order_id": ORDER_NUMBER})
    assert (await desk.package()).status == "cancelled"
    assert await desk.types(package.id) == [
        "package.created",
        "package.updated",
        "package.cancelled",
    ]


async def test_a_shop_that_can_not_be_asked_leaves_the_message_for_later(open_desk, shop):
    clock = SteppingClock()
    shop.on["Order"] = ["503"]
    async with open_desk(reached(shop), clock) as desk:
        await desk.tell("orders/edited", {"order_edit": {"id": 5, "order_id": ORDER_NUMBER}})

        async def postponed():
            return await desk.rows("SELECT 1 FROM shopify_messages WHERE outcome = 'http_status'")

        await until(postponed)
        clock.step(7)  # as Retry-After says; the inbox by itself would have waited 5 s
        await desk.settled()
        assert len(await desk.packages()) == 1


async def test_a_shop_that_hangs_holds_up_nobody_elses_orders(open_desk, shop):
    second = """
[[plugins.shopify.shops]]
domain = "second.myshopify.com"
site = "main"
client_secret = "shpss_second"
"""
    shop.on["Order"] = ["hang"]
    async with open_desk(reached(shop, second) + QUICK.replace("0.5\n", "20\n", 1)) as desk:
        await desk.tell("orders/edited", {"order_edit": {"id": 5, "order_id": 8}})
        await shop.until(lambda it: "Order" in it.calls)
        sent = order(id=9, admin_graphql_api_id="gid://shopify/Order/9")
        await desk.tell("orders/create", sent, shop="second.myshopify.com", secret="shpss_second")

        async def made_meanwhile():
            return await desk.messages("done")

        assert await until(made_meanwhile, seconds=5.0) == [("orders/create", "made")]
        assert await desk.messages("waiting") == [("orders/edited", None)]
        shop.drop_everyone()


async def test_an_order_that_is_not_there_any_more_makes_nothing(desk, shop):
    await desk.told("orders/edited", {"order_edit": {"id": 5, "order_id": 8}})
    await desk.told("refunds/create", {"note": "without an order"})

    assert [outcome for _, outcome in await desk.messages("done")] == ["no_order", "no_order"]
