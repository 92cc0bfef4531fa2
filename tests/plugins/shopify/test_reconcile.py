"""What no webhook told us of is asked for: from where it ended the last time, page by page."""

from datetime import UTC, datetime, timedelta

import pytest
from shopify_orders import ORDER_GID, SHOP, paid
from shopify_shop import Shop

from gateway.testing import SteppingClock

NOW = datetime(2026, 11, 20, 16, 0, 0, tzinfo=UTC)


@pytest.fixture
async def shop():
    async with Shop() as running:
        yield running


@pytest.fixture
def clock():
    return SteppingClock(NOW)


@pytest.fixture
async def desk(open_desk, shop, clock, wait_until):
    asked = f'api_url = "{shop.url}"\naccess_token = "shpat_static"\n'
    async with open_desk(asked, clock) as opened:

        async def looked():
            query = "SELECT 1 FROM shopify_shops WHERE reconciled_to_ms IS NOT NULL"
            return await opened.rows(query)

        await wait_until(looked)  # the job looks when the gateway starts
        yield opened


async def reconcile(desk):
    [job] = [each for each in desk.gateway.hooks.jobs() if each.name == "shopify-reconcile"]
    await job.run()
    await desk.settled()


def numbered(number, **changes):
    gid = f"gid://shopify/Order/{number}"
    return paid(id=number, admin_graphql_api_id=gid, name=f"#{number}", **changes)


async def test_an_order_that_no_webhook_told_of_is_fetched(desk, shop, clock):
    shop.add(paid(updated_at=(NOW + timedelta(seconds=30)).isoformat()))
    clock.step(900)
    await reconcile(desk)
    await reconcile(desk)

    package = await desk.package()
    assert package.order.external_order_id == ORDER_GID
    assert await desk.types(package.id) == ["package.created"]


async def test_an_order_told_of_twice_and_fetched_as_well_is_one_package(desk, shop):
    moment = (NOW + timedelta(seconds=30)).isoformat()
    sent = paid(updated_at=moment)
    shop.add(sent)
    for topic in ("orders/paid", "orders/create", "orders/paid"):
        await desk.told(topic, sent)
    await reconcile(desk)

    package = await desk.package()
    assert await desk.types(package.id) == ["package.created"]


async def test_an_order_that_can_not_be_read_holds_up_no_other(desk, shop, caplog):
    later = (NOW + timedelta(seconds=30)).isoformat()
    shop.add(numbered(1, updated_at=later, total_outstanding="NaN"))
    shop.add(numbered(2, updated_at=later))
    await reconcile(desk)

    assert (await desk.package()).order.external_order_id == "gid://shopify/Order/2"
    assert "total_outstanding: expected an amount of money" in caplog.text


async def test_many_orders_come_page_by_page(desk, shop):
    for number in range(60):
        moment = (NOW + timedelta(seconds=number)).isoformat()
        shop.add(numbered(number + 1, updated_at=moment))
    before = len(shop.calls)
    await reconcile(desk)

    assert len(await desk.packages()) == 60
    assert shop.calls[before:] == ["UpdatedOrders"] * 3


async def test_it_looks_from_where_it_ended_the_last_time_with_some_overlap(desk, shop, clock):
    clock.step(3600)
    await reconcile(desk)
    shop.add(numbered(1, updated_at=(clock.now() - timedelta(seconds=299)).isoformat()))
    shop.add(numbered(2, updated_at=(clock.now() - timedelta(seconds=301)).isoformat()))
    await reconcile(desk)

    assert [each.order.external_order_id for each in await desk.packages()] == [
        "gid://shopify/Order/1"
    ]


async def test_after_a_clock_that_was_ahead_it_looks_back_for_some_hours(desk, shop, clock):
    clock.step(3 * 86_400)
    await reconcile(desk)
    clock.step(-2 * 86_400)
    shop.add(numbered(1, updated_at=(clock.now() - timedelta(hours=3)).isoformat()))
    shop.add(numbered(2, updated_at=(clock.now() - timedelta(hours=5)).isoformat()))
    await reconcile(desk)

    assert [each.order.external_order_id for each in await desk.packages()] == [
        "gid://shopify/Order/1"
    ]


async def test_a_shop_that_can_not_be_asked_is_noted_and_asked_again_from_the_same_place(
    desk, shop, clock
):
    shop.add(numbered(1, updated_at=(NOW + timedelta(seconds=1)).isoformat()))
    shop.on["UpdatedOrders"] = ["errors"]
    clock.step(7200)
    await reconcile(desk)
    assert await desk.rows("SELECT last_error FROM shopify_shops") == [("graphql_errors",)]

    await reconcile(desk)
    assert len(await desk.packages()) == 1
    assert await desk.rows("SELECT last_error FROM shopify_shops") == [(None,)]


async def test_a_fetched_order_that_was_cancelled_calls_its_package_off(desk, shop):
    await desk.told("orders/paid", numbered(1, updated_at=NOW.isoformat()))
    later = (NOW + timedelta(seconds=9)).isoformat()
    shop.add(numbered(1, updated_at=later, cancelled_at=later))
    await reconcile(desk)

    assert (await desk.package()).status == "cancelled"


async def test_a_shop_that_took_the_app_away_is_not_asked(desk, shop):
    await desk.told("app/uninstalled", {"id": 1, "myshopify_domain": SHOP})
    before = len(shop.calls)
    await reconcile(desk)

    assert len(shop.calls) == before
