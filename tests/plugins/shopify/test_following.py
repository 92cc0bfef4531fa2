"""A package follows its order: changed, cancelled, refunded, held, released, forgotten."""

import msgspec
import pytest
import shopify_orders
from gateway_shopify.compliance import Compliance
from gateway_shopify.inbox import Inbox
from gateway_shopify.orders import OrderBook
from shopify_orders import ORDER_GID, ORDER_NUMBER, SHOP, address, line_item, order

LATER = "2026-11-20T11:00:00-05:00"


def changed(**changes):
    return order(**{"updated_at": LATER, **changes})


async def made(desk, **changes):
    await desk.told("orders/create", order(**changes))
    return await desk.package()


async def test_a_change_is_followed_while_the_package_is_in_the_pharmacy(desk):
    package = await made(desk)
    await desk.told("orders/updated", changed(shipping_address=address(address1="9 New St")))

    after = await desk.package()
    assert after.order.patient_address == "9 New St, Apt 4, Ottawa, ON K1A 0B1, CA"
    [_, event] = await desk.events(package.id)
    assert (event.type, event.data["changed"]) == ("package.updated", ["patient_address"])


async def test_news_that_changes_nothing_of_ours_tells_nobody(desk):
    package = await made(desk)
    await desk.told("orders/updated", changed(tags="vip"))

    assert await desk.types(package.id) == ["package.created"]


async def test_older_news_changes_nothing(desk):
    await desk.told("orders/updated", changed(note="the new one"))
    await desk.told("orders/updated", order(note="the old one"))

    assert (await desk.package()).order.notes == "the new one"
    assert (await desk.messages("done"))[-1] == ("orders/updated", "stale")


async def test_a_change_after_pick_up_comes_too_late_and_is_listed(desk):
    package = await made(desk)
    await desk.report(package.id, "delivery.picked_up")
    await desk.told("orders/updated", changed(shipping_address=address(address1="9 New St")))

    assert "123 Main St" in (await desk.package()).order.patient_address
    [listed] = await desk.listed("made")
    assert (listed["reason"], listed["package_id"]) == ("too_late", package.id)
    assert listed["why"].startswith("it changed after the package had left")


async def test_a_change_that_can_not_be_accepted_is_listed(desk):
    await made(desk)
    await desk.told("orders/updated", changed(shipping_address=address(name="x" * 201)))

    assert (await desk.package()).order.patient_name == "Maria Rodriguez"
    [listed] = await desk.listed("made")
    assert listed["reason"] == "change_rejected"


@pytest.mark.parametrize(
    ("topic", "changes"),
    [
        ("orders/cancelled", {"cancelled_at": LATER}),
        ("orders/updated", {"financial_status": "refunded"}),
        ("orders/updated", {"line_items": [line_item(current_quantity=0)]}),
    ],
)
async def test_an_order_that_is_over_calls_its_package_off_once(desk, topic, changes):
    package = await made(desk)
    for _ in range(2):
        await desk.told(topic, changed(**changes))

    assert (await desk.package()).status == "cancelled"
    assert await desk.types(package.id) == ["package.created", "package.cancelled"]
    [listed] = await desk.listed("cancelled")
    assert listed["package_id"] == package.id


async def test_an_order_cancelled_on_its_way_comes_back_and_a_refunded_one_goes_on(desk):
    package = await made(desk)
    await desk.report(package.id, "delivery.picked_up")
    await desk.told("orders/updated", changed(financial_status="refunded"))
    assert (await desk.package()).status == "picked_up"

    later = {"updated_at": "2026-11-20T12:00:00-05:00", "cancelled_at": LATER}
    await desk.told("orders/cancelled", changed(**later))
    assert (await desk.package()).status == "returning"


async def test_a_cancellation_after_the_end_changes_nothing(desk):
    package = await made(desk)
    await desk.report(package.id, "delivery.completed")
    await desk.told("orders/cancelled", changed(cancelled_at=LATER))

    assert (await desk.package()).status == "completed"
    [listed] = await desk.listed("made")
    assert listed["reason"] == "too_late"


async def test_an_order_cancelled_before_it_was_known_makes_no_package(desk):
    await desk.told("orders/cancelled", changed(cancelled_at=LATER))
    await desk.told("orders/create", order())

    assert await desk.packages() == []
    [listed] = await desk.listed("skipped")
    assert listed["reason"] == "cancelled"


async def test_missing_protected_data_is_named_and_the_order_goes_on_when_it_comes(desk):
    await desk.told("orders/create", shopify_orders.without_protected_data())

    [held] = await desk.listed()
    assert held == {
        "id": held["id"],
        "shop": SHOP,
        "order": "#1001",
        "state": "held",
        "reason": "protected_data_missing",
        "why": (
            "Shopify left out the customer's name, address and phone: ask for access to protected "
            "customer data, with name, address and phone, in the app's API access requests"
        ),
        "problems": [],
        "package_id": None,
    }
    await desk.told("orders/updated", changed())
    assert len(await desk.packages()) == 1
    assert await desk.listed() == []


async def test_what_the_gateway_refuses_is_held_with_its_reasons(desk):
    await desk.told("orders/create", order(shipping_address=address(name="x" * 201)))

    [held] = await desk.listed()
    assert (held["reason"], held["problems"]) == (
        "rejected",
        ["patient_name has more than 200 characters"],
    )


async def release(desk, order_id, body=None, key=None):
    path = f"/api/shopify/orders/{order_id}/release"
    return await desk.harness.post(path, key or desk.key, body)


async def test_a_held_order_is_released_with_what_shopify_left_out(desk):
    await desk.told("orders/create", shopify_orders.without_protected_data())
    [held] = await desk.listed()
    again = await release(desk, held["id"])
    body = {"patient_name": "Ana Silva", "patient_address": "1 Lake Rd"}
    answer = await release(desk, held["id"], body)

    assert again.json()["reason"] == "protected_data_missing"
    package = await desk.package()
    assert (answer.status_code, answer.json()["state"]) == (200, "made")
    assert answer.json()["package_id"] == package.id
    assert package.order.patient_name == "Ana Silva"
    # What was added stays when Shopify tells of the order again.
    await desk.told(
        "orders/updated", shopify_orders.without_protected_data(updated_at=LATER, note="ring")
    )
    after = await desk.package()
    assert (after.order.patient_name, after.order.notes) == ("Ana Silva", "ring")
    assert (await release(desk, held["id"])).status_code == 409


async def test_a_skipped_order_is_released_as_it_is(open_desk):
    async with open_desk('shipping_methods = ["courier"]') as desk:
        await desk.told("orders/create", order())
        [skipped] = await desk.listed("skipped")
        assert (await release(desk, skipped["id"])).json()["state"] == "made"
        assert len(await desk.packages()) == 1


async def test_who_may_not_see_an_order_can_not_release_it(desk):
    await desk.told("orders/create", shopify_orders.without_protected_data())
    [held] = await desk.listed()
    keys = {
        "test": await desk.harness.issue_key(mode="test"),
        "stranger": await desk.harness.issue_key(account_id="other"),
    }
    for key in keys.values():
        assert await desk.listed("held", key) == []
        assert (await release(desk, held["id"], key=key)).status_code == 404
    assert (await release(desk, "sho_nowhere")).status_code == 404


async def test_wrong_requests_are_refused_in_words(desk):
    wrong_state = await desk.harness.get("/api/shopify/orders?state=lost", desk.key)
    wrong_body = await release(desk, "sho_1", {"name": "Ana"})

    assert (wrong_state.status_code, wrong_body.status_code) == (400, 400)
    assert wrong_state.json()["error"].startswith("state must be one of held, skipped")
    assert "Ana" not in wrong_body.text


async def reports(desk):
    found = await desk.rows("SELECT id FROM shopify_requests ORDER BY id")

    gateway = desk.gateway
    reader = Compliance(gateway, Inbox(gateway), OrderBook(gateway))
    whole = [(await reader.report(each))["report"] for (each,) in found]
    return msgspec.json.decode(msgspec.json.encode(whole))


def asked(**more):
    return {"shop_id": 1, "shop_domain": SHOP, "customer": {"id": 7}, **more}


async def test_what_is_kept_of_a_customer_is_reported(desk):
    package = await made(desk)
    await desk.told("customers/data_request", asked(orders_requested=[ORDER_NUMBER]))

    [report] = await reports(desk)
    [held] = report["found"]
    assert (held["order"], held["state"]) == (ORDER_GID, "made")
    assert held["package"]["order"]["patient_name"] == "Maria Rodriguez"
    assert await desk.rows("SELECT subject FROM audit WHERE action = 'package.disclosed'") == [
        (package.id,)
    ]


async def test_a_customer_is_forgotten_where_the_delivery_is_over(desk):
    package = await made(desk, note="ring twice")
    await desk.report(package.id, "delivery.completed")
    other = order(id=8, admin_graphql_api_id="gid://shopify/Order/8", name="#8")
    await desk.told("orders/create", {**other, "shipping_address": None})
    await desk.told("customers/redact", asked(orders_to_redact=[ORDER_NUMBER, 8]))

    emptied = await desk.package()
    assert (emptied.purged, emptied.order.patient_name) == (True, "")
    [report] = await reports(desk)
    assert (report["redacted"], report["open"]) == ([package.id], {})
    assert [each["what"] for each in report["kept"]] == ["the audit trail", "its own records"]
    assert "PHIPA" in report["kept"][0]["why"]
    [held] = await desk.listed()
    assert held["order"] == ""
    assert await desk.rows("SELECT COUNT(*) FROM shopify_requests WHERE finished_at_ms > 0") == [
        (1,)
    ]


async def test_what_is_still_under_way_is_forgotten_when_it_is_over(desk, wait_until):
    package = await made(desk)
    await desk.told("customers/redact", asked(orders_to_redact=[ORDER_NUMBER]))
    [report] = await reports(desk)
    assert report["kept"][0] == {
        "what": f"package {package.id}",
        "why": "it is still being delivered; it will be emptied when it is over",
    }
    assert (await desk.package()).order.patient_name == "Maria Rodriguez"

    await desk.report(package.id, "delivery.completed")
    [tidy] = [each for each in desk.gateway.hooks.jobs() if each.name == "shopify-tidy"]

    async def emptied() -> bool:
        await tidy.run()
        return (await desk.package()).purged

    await wait_until(emptied)
    [report] = await reports(desk)
    assert (report["redacted"], report["open"]) == ([package.id], {})
    assert [each["what"] for each in report["kept"]] == ["the audit trail", "its own records"]


async def test_a_shop_that_left_is_forgotten_as_a_whole(desk):
    package = await made(desk)
    await desk.report(package.id, "delivery.completed")
    await desk.told("shop/redact", {"shop_id": 1, "shop_domain": SHOP})

    assert (await desk.package()).purged
    [report] = await reports(desk)
    assert report["redacted"] == [package.id]


async def test_a_request_in_another_shops_name_does_nothing(desk):
    package = await made(desk)
    await desk.report(package.id, "delivery.completed")
    body = {**asked(orders_to_redact=[ORDER_NUMBER]), "shop_domain": "other.myshopify.com"}
    await desk.told("customers/redact", body)

    assert not (await desk.package()).purged
    assert (await desk.messages("done"))[-1] == ("customers/redact", "another_shop")


async def test_a_shop_that_takes_the_app_away_gets_nothing_any_more(desk):
    await desk.told("app/uninstalled", {"id": 1, "domain": SHOP})

    query = "SELECT state, state_reason FROM destinations"
    assert await desk.rows(query) == [("disabled", "app_uninstalled")] * 2


async def test_only_the_shop_itself_says_that_it_took_the_app_away(desk):
    """The topic isn't signed: whoever has seen a signed body can send it under this one."""
    for body in (
        order(),
        order(name=SHOP, note=SHOP, shipping_address=address(domain=SHOP)),
        {"shop_id": 1, "shop_domain": SHOP},
        {"id": 1, "myshopify_domain": "other.myshopify.com", "domain": SHOP},
        {"id": 1},
    ):
        await desk.told("app/uninstalled", body)

    reason = "unreadable: the body is not this shop"
    assert await desk.messages("failed") == [("app/uninstalled", reason)] * 5
    assert await desk.rows("SELECT uninstalled_at_ms FROM shopify_shops") == [(None,)]
    query = "SELECT state_reason FROM destinations"
    assert await desk.rows(query) == [("no_credentials",)] * 2


async def test_a_shop_is_known_by_its_own_domain_whatever_it_shows_to_customers(desk):
    sent = {"id": 1, "myshopify_domain": SHOP.title(), "domain": "www.example.com"}
    await desk.told("app/uninstalled", sent)

    assert await desk.messages("done") == [("app/uninstalled", "uninstalled")]


async def test_an_order_of_a_very_long_name_is_kept_under_its_beginning(desk):
    name = "#" + "1" * 100_000
    await desk.told("orders/create", order(name=name, shipping_address=None))
    [held] = await desk.listed()
    await desk.told("orders/updated", changed(name=name))
    [made] = await desk.listed("made")

    assert held["order"] == made["order"] == name[:100]
    assert (await desk.package()).order.metadata["shopify_order"] == name[:100]


async def test_a_change_without_the_order_waits_for_the_news_that_brings_it(desk):
    """Without a token nothing can be asked; orders/updated comes along anyway."""
    package = await made(desk)
    await desk.told("refunds/create", {"id": 5, "order_id": ORDER_NUMBER})
    await desk.told("orders/edited", {"order_edit": {"id": 5, "order_id": ORDER_NUMBER}})

    assert (await desk.messages("done"))[-2:] == [
        ("refunds/create", "no_access"),
        ("orders/edited", "no_access"),
    ]
    assert await desk.types(package.id) == ["package.created"]
