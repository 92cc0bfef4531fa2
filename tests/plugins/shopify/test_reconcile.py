"""Reconciliation fetches orders without a webhook, from the end of the last run, page by page."""

from datetime import UTC, datetime, timedelta

import pytest
from shopify_orders import ORDER_GID, ORDER_NUMBER, SHOP, line_item, paid
from shopify_shop import Shop

from gateway.testing import SteppingClock

NOW = datetime(2026, 11, 20, 16, 0, 0, tzinfo=UTC)
PICKUP = {"title": "Store pickup", "code": "store", "is_removed": False}


@pytest.fixture
async def shop():
    async with Shop() as running:
        yield running


@pytest.fixture
def clock():
    return SteppingClock(NOW)


@pytest.fixture
async def shopify(open_shopify, shop, clock, wait_until):
    asked = f'api_url = "{shop.url}"\naccess_token = "shpat_static"\n'
    async with open_shopify(asked, clock) as opened:

        async def looked():
            query = "SELECT 1 FROM shopify_shops WHERE reconciled_to_ms IS NOT NULL"
            return await opened.rows(query)

        await wait_until(looked)  # the job looks when the gateway starts
        yield opened


async def reconcile(shopify):
    [job] = [each for each in shopify.gateway.hooks.jobs() if each.name == "shopify-reconcile"]
    await job.run()
    await shopify.settled()


def numbered(number, **changes):
    gid = f"gid://shopify/Order/{number}"
    return paid(id=number, admin_graphql_api_id=gid, name=f"#{number}", **changes)


async def test_an_order_without_a_webhook_is_fetched(shopify, shop, clock):
    shop.add(paid(updated_at=(NOW + timedelta(seconds=30)).isoformat()))
    clock.step(900)
    await reconcile(shopify)
    await reconcile(shopify)

    package = await shopify.package()
    assert package.order.external_order_id == ORDER_GID
    assert await shopify.types(package.id) == ["package.created"]


async def test_two_webhooks_and_a_reconciliation_make_one_package(shopify, shop):
    moment = (NOW + timedelta(seconds=30)).isoformat()
    sent = paid(updated_at=moment)
    shop.add(sent)
    for topic in ("orders/paid", "orders/create", "orders/paid"):
        await shopify.deliver(topic, sent)
    await reconcile(shopify)

    package = await shopify.package()
    assert await shopify.types(package.id) == ["package.created"]


async def test_an_order_that_can_not_be_read_holds_up_no_other(shopify, shop, caplog):
    later = (NOW + timedelta(seconds=30)).isoformat()
    shop.add(numbered(1, updated_at=later, total_outstanding="NaN"))
    shop.add(numbered(2, updated_at=later))
    await reconcile(shopify)

    assert (await shopify.package()).order.external_order_id == "gid://shopify/Order/2"
    assert "total_outstanding: expected an amount of money" in caplog.text


async def test_many_orders_come_page_by_page(shopify, shop):
    for number in range(60):
        moment = (NOW + timedelta(seconds=number)).isoformat()
        shop.add(numbered(number + 1, updated_at=moment))
    before = len(shop.calls)
    await reconcile(shopify)

    assert len(await shopify.packages()) == 60
    assert shop.calls[before:] == ["UpdatedOrders"] * 3


async def test_it_starts_at_the_end_of_the_last_run_with_some_overlap(shopify, shop, clock):
    clock.step(3600)
    await reconcile(shopify)
    shop.add(numbered(1, updated_at=(clock.now() - timedelta(seconds=299)).isoformat()))
    shop.add(numbered(2, updated_at=(clock.now() - timedelta(seconds=301)).isoformat()))
    await reconcile(shopify)

    assert [each.order.external_order_id for each in await shopify.packages()] == [
        "gid://shopify/Order/1"
    ]


async def test_after_a_clock_that_was_ahead_it_looks_back_for_some_hours(shopify, shop, clock):
    clock.step(3 * 86_400)
    await reconcile(shopify)
    clock.step(-2 * 86_400)
    shop.add(numbered(1, updated_at=(clock.now() - timedelta(hours=3)).isoformat()))
    shop.add(numbered(2, updated_at=(clock.now() - timedelta(hours=5)).isoformat()))
    await reconcile(shopify)

    assert [each.order.external_order_id for each in await shopify.packages()] == [
        "gid://shopify/Order/1"
    ]


async def test_a_shop_that_can_not_be_asked_is_noted_and_asked_again_from_the_same_place(
    shopify, shop, clock
):
    shop.add(numbered(1, updated_at=(NOW + timedelta(seconds=1)).isoformat()))
    shop.on["UpdatedOrders"] = ["errors"]
    clock.step(7200)
    await reconcile(shopify)
    assert await shopify.rows("SELECT last_error FROM shopify_shops") == [("graphql_errors",)]

    await reconcile(shopify)
    assert len(await shopify.packages()) == 1
    assert await shopify.rows("SELECT last_error FROM shopify_shops") == [(None,)]


async def test_a_fetched_order_that_was_cancelled_calls_its_package_off(shopify, shop):
    await shopify.deliver("orders/paid", numbered(1, updated_at=NOW.isoformat()))
    later = (NOW + timedelta(seconds=9)).isoformat()
    shop.add(numbered(1, updated_at=later, cancelled_at=later))
    await reconcile(shopify)

    assert (await shopify.package()).status == "cancelled"


async def test_a_shop_that_took_the_app_away_is_not_asked(shopify, shop):
    await shopify.deliver("app/uninstalled", {"id": 1, "myshopify_domain": SHOP})
    before = len(shop.calls)
    await reconcile(shopify)

    assert len(shop.calls) == before


LATER = (NOW + timedelta(seconds=30)).isoformat()


async def listed(shopify, state):
    return [each["reason"] for each in await shopify.listed(state)]


@pytest.mark.parametrize(
    ("changes", "state", "reason"),
    [
        ({"fulfillment_status": "fulfilled"}, "skipped", "fulfilled"),
        ({"line_items": [line_item(fulfillable_quantity=0)]}, "skipped", "fulfilled"),
        ({"closed_at": LATER, "fulfillment_status": "fulfilled"}, "skipped", "closed"),
        ({"fulfillment_status": "restocked"}, "skipped", "nothing_to_ship"),
        ({"source_name": "pos", "shipping_lines": []}, "skipped", "counter_sale"),
        ({"shipping_lines": [PICKUP]}, "skipped", "local_pickup"),
        ({"fulfillment_status": "on_hold"}, "held", "fulfillment_on_hold"),
    ],
)
async def test_reconciliation_decides_by_the_same_rules(
    shopify, shop, clock, changes, state, reason
):
    shop.add(paid(updated_at=LATER, **changes))
    clock.step(900)
    await reconcile(shopify)

    assert await listed(shopify, state) == [reason]
    assert await shopify.packages() == []


async def test_an_order_fulfilled_elsewhere_is_flagged_by_reconciliation(shopify, shop, clock):
    shop.add(paid(updated_at=NOW.isoformat()))
    await shopify.deliver("orders/paid", paid(updated_at=NOW.isoformat()))
    by_another = {
        "id": "gid://shopify/Fulfillment/9",
        "status": "SUCCESS",
        "trackingInfo": [{"number": "1Z999"}],
        "events": {"nodes": []},
    }
    changes = {"updated_at": LATER, "fulfillment_status": "fulfilled"}
    shop.add(paid(**changes), fulfillments=[by_another])
    clock.step(900)
    await reconcile(shopify)

    assert await listed(shopify, "flagged") == ["fulfilled_elsewhere"]


async def test_the_gateways_own_fulfillment_is_known_by_reconciliation(shopify, shop, clock):
    shop.add(paid(updated_at=NOW.isoformat()))
    await shopify.deliver("orders/paid", paid(updated_at=NOW.isoformat()))
    package = await shopify.package()
    await shopify.report(package.id, "delivery.picked_up")
    await shop.until(lambda it: it.fulfillments(ORDER_GID) and it.statuses(ORDER_GID))
    shop.orders[ORDER_GID]["updatedAt"] = LATER
    clock.step(900)
    await reconcile(shopify)

    assert await listed(shopify, "flagged") == []
    assert await shopify.types(package.id) == ["package.created", "delivery.picked_up"]


async def test_a_change_within_the_second_of_a_webhook_is_found(shopify, shop, clock):
    await shopify.deliver("orders/paid", paid(updated_at=LATER))
    shop.add(paid(updated_at=LATER, note="ring twice"))
    clock.step(900)
    await reconcile(shopify)
    await reconcile(shopify)

    package = await shopify.package()
    assert package.order.notes == "ring twice"
    assert await shopify.types(package.id) == ["package.created", "package.updated"]


async def test_an_order_on_hold_is_flagged_until_the_hold_is_released(shopify, shop):
    shop.add(paid(updated_at=NOW.isoformat()))
    await shopify.deliver("orders/paid", paid(updated_at=NOW.isoformat()))
    [fulfillment_order] = shop.orders[ORDER_GID]["fulfillmentOrders"]["nodes"]
    body = {"fulfillment_order": {"id": fulfillment_order["id"], "status": "on_hold"}}

    shop.orders[ORDER_GID] |= {"displayFulfillmentStatus": "ON_HOLD", "updatedAt": LATER}
    await shopify.deliver("fulfillment_orders/placed_on_hold", body)
    assert await listed(shopify, "flagged") == ["on_hold"]

    shop.orders[ORDER_GID] |= {"displayFulfillmentStatus": "UNFULFILLED"}
    await shopify.deliver("fulfillment_orders/hold_released", body)
    assert await listed(shopify, "flagged") == []


async def test_a_hold_of_an_unknown_fulfillment_order_is_about_no_order(shopify):
    body = {"fulfillment_order": {"id": "gid://shopify/FulfillmentOrder/404"}}
    await shopify.deliver("fulfillment_orders/placed_on_hold", body)
    await shopify.deliver("fulfillment_orders/placed_on_hold", {})

    assert await shopify.messages("done") == [("fulfillment_orders/placed_on_hold", "no_order")]
    assert len(await shopify.messages("failed")) == 1


async def test_a_deletion_is_believed_only_if_the_shop_has_no_such_order(shopify, shop):
    shop.add(paid(updated_at=NOW.isoformat()))
    await shopify.deliver("orders/paid", paid(updated_at=NOW.isoformat()))
    package = await shopify.package()
    await shopify.deliver("orders/delete", {"id": ORDER_NUMBER})
    assert await shopify.types(package.id) == ["package.created"]

    shop.orders.clear()
    await shopify.deliver("orders/delete", {"id": ORDER_NUMBER})
    assert await shopify.types(package.id) == ["package.created", "package.cancelled"]
