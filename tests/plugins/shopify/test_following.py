"""A package follows its order: changed, cancelled, refunded, held, released, erased."""

import msgspec
import pytest
import shopify_orders
from gateway_shopify.compliance import Compliance
from gateway_shopify.inbox import Inbox
from gateway_shopify.orders import OrderStore
from shopify_orders import ORDER_GID, ORDER_NUMBER, SHOP, address, line_item, order

from gateway.plugin import Caller

LATER = "2026-11-20T11:00:00-05:00"


def changed(**changes):
    return order(**{"updated_at": LATER, **changes})


async def made(shopify, **changes):
    await shopify.deliver("orders/create", order(**changes))
    return await shopify.package()


async def test_a_change_is_followed_while_the_package_is_in_the_pharmacy(shopify):
    package = await made(shopify)
    await shopify.deliver("orders/updated", changed(shipping_address=address(address1="9 New St")))

    after = await shopify.package()
    assert after.order.patient_address == "9 New St, Apt 4, Ottawa, ON K1A 0B1, CA"
    [_, event] = await shopify.events(package.id)
    assert (event.type, event.data["changed"]) == ("package.updated", ["patient_address"])


async def test_an_update_without_a_relevant_change_makes_no_event(shopify):
    package = await made(shopify)
    await shopify.deliver("orders/updated", changed(tags="vip"))

    assert await shopify.types(package.id) == ["package.created"]


async def test_older_news_changes_nothing(shopify):
    await shopify.deliver("orders/updated", changed(note="the new one"))
    await shopify.deliver("orders/updated", order(note="the old one"))

    assert (await shopify.package()).order.notes == "the new one"
    assert (await shopify.messages("done"))[-1] == ("orders/updated", "stale")


async def test_a_change_after_pick_up_comes_too_late_and_is_listed(shopify):
    package = await made(shopify)
    await shopify.report(package.id, "delivery.picked_up")
    await shopify.deliver("orders/updated", changed(shipping_address=address(address1="9 New St")))

    assert "123 Main St" in (await shopify.package()).order.patient_address
    [listed] = await shopify.listed("made")
    assert (listed["reason"], listed["package_id"]) == ("too_late", package.id)
    assert listed["why"].startswith("it changed after the package left")


async def test_a_change_that_can_not_be_accepted_is_listed(shopify):
    await made(shopify)
    await shopify.deliver("orders/updated", changed(shipping_address=address(name="x" * 201)))

    assert (await shopify.package()).order.patient_name == "Maria Rodriguez"
    [listed] = await shopify.listed("made")
    assert listed["reason"] == "change_rejected"


@pytest.mark.parametrize(
    ("topic", "changes"),
    [
        ("orders/cancelled", {"cancelled_at": LATER}),
        ("orders/updated", {"financial_status": "refunded"}),
        ("orders/updated", {"line_items": [line_item(current_quantity=0)]}),
    ],
)
async def test_a_finished_order_cancels_its_package_once(shopify, topic, changes):
    package = await made(shopify)
    for _ in range(2):
        await shopify.deliver(topic, changed(**changes))

    assert (await shopify.package()).status == "cancelled"
    assert await shopify.types(package.id) == ["package.created", "package.cancelled"]
    [listed] = await shopify.listed("cancelled")
    assert listed["package_id"] == package.id


async def test_an_order_cancelled_on_its_way_comes_back_and_a_refunded_one_goes_on(shopify):
    package = await made(shopify)
    await shopify.report(package.id, "delivery.picked_up")
    await shopify.deliver("orders/updated", changed(financial_status="refunded"))
    assert (await shopify.package()).status == "picked_up"

    later = {"updated_at": "2026-11-20T12:00:00-05:00", "cancelled_at": LATER}
    await shopify.deliver("orders/cancelled", changed(**later))
    assert (await shopify.package()).status == "returning"


async def test_a_cancellation_after_the_end_changes_nothing(shopify):
    package = await made(shopify)
    await shopify.report(package.id, "delivery.completed")
    await shopify.deliver("orders/cancelled", changed(cancelled_at=LATER))

    assert (await shopify.package()).status == "completed"
    [listed] = await shopify.listed("made")
    assert listed["reason"] == "too_late"


async def test_an_order_cancelled_before_it_was_known_makes_no_package(shopify):
    await shopify.deliver("orders/cancelled", changed(cancelled_at=LATER))
    await shopify.deliver("orders/create", order())

    assert await shopify.packages() == []
    [listed] = await shopify.listed("skipped")
    assert listed["reason"] == "cancelled"


async def test_missing_protected_data_is_named_and_the_order_goes_on_when_it_comes(shopify):
    await shopify.deliver("orders/create", shopify_orders.without_protected_data())

    [held] = await shopify.listed()
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
        "flagged": False,
        "warnings": [],
        "package_id": None,
        "updated_at": "2026-11-20T15:00:00Z",
        "patient_name": None,
    }
    await shopify.deliver("orders/updated", changed())
    assert len(await shopify.packages()) == 1
    assert await shopify.listed() == []


async def test_held_orders_need_a_person(shopify):
    await shopify.deliver("orders/create", shopify_orders.without_protected_data())

    found = await shopify.gateway.attention.of(Caller("default", "live", "test"))

    assert [(each.kind, each.text) for each in found] == [
        ("shop_orders_held", f"1 order waits for a person in the shop {SHOP}.")
    ]


async def test_a_rejected_order_is_held_with_its_reasons(shopify):
    await shopify.deliver("orders/create", order(shipping_address=address(name="x" * 201)))

    [held] = await shopify.listed()
    assert (held["reason"], held["problems"]) == (
        "rejected",
        ["patient_name has more than 200 characters"],
    )


async def release(shopify, order_id, body=None, key=None):
    path = f"/api/shopify/orders/{order_id}/release"
    return await shopify.harness.post(path, key or shopify.key, body)


async def test_a_held_order_is_released_with_added_details(shopify):
    await shopify.deliver("orders/create", shopify_orders.without_protected_data())
    [held] = await shopify.listed()
    again = await release(shopify, held["id"])
    body = {"patient_name": "Ana Silva", "patient_address": "1 Lake Rd"}
    answer = await release(shopify, held["id"], body)

    assert again.json()["reason"] == "protected_data_missing"
    package = await shopify.package()
    assert (answer.status_code, answer.json()["state"]) == (200, "made")
    assert answer.json()["package_id"] == package.id
    assert package.order.patient_name == "Ana Silva"
    # The added details stay after the next webhook.
    await shopify.deliver(
        "orders/updated", shopify_orders.without_protected_data(updated_at=LATER, note="ring")
    )
    after = await shopify.package()
    assert (after.order.patient_name, after.order.notes) == ("Ana Silva", "ring")
    assert (await release(shopify, held["id"])).status_code == 409


async def test_a_skipped_order_is_released_as_it_is(open_shopify):
    async with open_shopify('shipping_methods = ["courier"]') as shopify:
        await shopify.deliver("orders/create", order())
        [skipped] = await shopify.listed("skipped")
        assert (await release(shopify, skipped["id"])).json()["state"] == "made"
        assert len(await shopify.packages()) == 1


async def test_a_key_that_can_not_see_an_order_can_not_release_it(shopify):
    await shopify.deliver("orders/create", shopify_orders.without_protected_data())
    [held] = await shopify.listed()
    keys = {
        "test": await shopify.harness.issue_key(mode="test"),
        "stranger": await shopify.harness.issue_key(account_id="other"),
    }
    for key in keys.values():
        assert await shopify.listed("held", key) == []
        assert (await release(shopify, held["id"], key=key)).status_code == 404
    assert (await release(shopify, "sho_nowhere")).status_code == 404


async def test_wrong_requests_are_refused_in_words(shopify):
    wrong_state = await shopify.harness.get("/api/shopify/orders?state=lost", shopify.key)
    wrong_body = await release(shopify, "sho_1", {"name": "Ana"})

    assert (wrong_state.status_code, wrong_body.status_code) == (400, 400)
    assert wrong_state.json()["error"].startswith("state must be one of held, flagged, skipped")
    assert "Ana" not in wrong_body.text


async def reports(shopify):
    found = await shopify.rows("SELECT id FROM shopify_requests ORDER BY id")

    gateway = shopify.gateway
    inbox = Inbox(gateway, None)
    reader = Compliance(gateway, inbox, OrderStore(gateway, {}, inbox))
    whole = [(await reader.report(each))["report"] for (each,) in found]
    return msgspec.json.decode(msgspec.json.encode(whole))


def asked(**more):
    return {"shop_id": 1, "shop_domain": SHOP, "customer": {"id": 7}, **more}


async def test_the_stored_data_of_a_customer_is_reported(shopify):
    package = await made(shopify)
    await shopify.deliver("customers/data_request", asked(orders_requested=[ORDER_NUMBER]))

    [report] = await reports(shopify)
    [held] = report["found"]
    assert (held["order"], held["state"]) == (ORDER_GID, "made")
    assert held["package"]["order"]["patient_name"] == "Maria Rodriguez"
    assert await shopify.rows("SELECT subject FROM audit WHERE action = 'package.disclosed'") == [
        (package.id,)
    ]


async def test_a_customer_is_erased_after_the_delivery(shopify):
    package = await made(shopify, note="ring twice")
    await shopify.report(package.id, "delivery.completed")
    other = order(id=8, admin_graphql_api_id="gid://shopify/Order/8", name="#8")
    await shopify.deliver("orders/create", {**other, "shipping_address": None})
    await shopify.deliver("customers/redact", asked(orders_to_redact=[ORDER_NUMBER, 8]))

    emptied = await shopify.package()
    assert (emptied.purged, emptied.order.patient_name) == (True, "")
    [report] = await reports(shopify)
    assert (report["redacted"], report["open"]) == ([package.id], {})
    assert [each["what"] for each in report["kept"]] == ["the audit trail", "its own records"]
    assert "PHIPA" in report["kept"][0]["why"]
    [held] = await shopify.listed()
    assert held["order"] == ""
    assert await shopify.rows("SELECT COUNT(*) FROM shopify_requests WHERE finished_at_ms > 0") == [
        (1,)
    ]


async def test_a_package_under_way_is_erased_after_its_delivery(shopify, wait_until):
    package = await made(shopify)
    await shopify.deliver("customers/redact", asked(orders_to_redact=[ORDER_NUMBER]))
    [report] = await reports(shopify)
    assert report["kept"][0] == {
        "what": f"package {package.id}",
        "why": "it is still being delivered; it will be erased after that",
    }
    assert (await shopify.package()).order.patient_name == "Maria Rodriguez"

    await shopify.report(package.id, "delivery.completed")
    [tidy] = [each for each in shopify.gateway.hooks.jobs() if each.name == "shopify-tidy"]

    async def emptied() -> bool:
        await tidy.run()
        return (await shopify.package()).purged

    await wait_until(emptied)
    [report] = await reports(shopify)
    assert (report["redacted"], report["open"]) == ([package.id], {})
    assert [each["what"] for each in report["kept"]] == ["the audit trail", "its own records"]


async def test_a_shop_that_left_is_forgotten_as_a_whole(shopify):
    package = await made(shopify)
    await shopify.report(package.id, "delivery.completed")
    await shopify.deliver("shop/redact", {"shop_id": 1, "shop_domain": SHOP})

    assert (await shopify.package()).purged
    [report] = await reports(shopify)
    assert report["redacted"] == [package.id]


async def test_a_request_in_another_shops_name_does_nothing(shopify):
    package = await made(shopify)
    await shopify.report(package.id, "delivery.completed")
    body = {**asked(orders_to_redact=[ORDER_NUMBER]), "shop_domain": "other.myshopify.com"}
    await shopify.deliver("customers/redact", body)

    assert not (await shopify.package()).purged
    assert (await shopify.messages("done"))[-1] == ("customers/redact", "another_shop")


async def test_a_shop_that_takes_the_app_away_gets_nothing_any_more(shopify):
    await shopify.deliver("app/uninstalled", {"id": 1, "domain": SHOP})

    query = "SELECT state, state_reason FROM destinations"
    assert await shopify.rows(query) == [("disabled", "app_uninstalled")] * 2


async def test_only_the_shop_itself_says_that_it_took_the_app_away(shopify):
    """The topic isn't signed: a sender who has seen a signed body can send it under this one."""
    for body in (
        order(),
        order(name=SHOP, note=SHOP, shipping_address=address(domain=SHOP)),
        {"shop_id": 1, "shop_domain": SHOP},
        {"id": 1, "myshopify_domain": "other.myshopify.com", "domain": SHOP},
        {"id": 1},
    ):
        await shopify.deliver("app/uninstalled", body)

    reason = "unreadable: the body is not this shop"
    assert await shopify.messages("failed") == [("app/uninstalled", reason)] * 5
    assert await shopify.rows("SELECT uninstalled_at_ms FROM shopify_shops") == [(None,)]
    query = "SELECT state_reason FROM destinations"
    assert await shopify.rows(query) == [("no_credentials",)] * 2


async def test_a_shop_is_known_by_its_own_domain_whatever_it_shows_to_customers(shopify):
    sent = {"id": 1, "myshopify_domain": SHOP.title(), "domain": "www.example.com"}
    await shopify.deliver("app/uninstalled", sent)

    assert await shopify.messages("done") == [("app/uninstalled", "uninstalled")]


async def test_an_order_of_a_very_long_name_is_kept_under_its_beginning(shopify):
    name = "#" + "1" * 100_000
    await shopify.deliver("orders/create", order(name=name, shipping_address=None))
    [held] = await shopify.listed()
    await shopify.deliver("orders/updated", changed(name=name))
    [made] = await shopify.listed("made")

    assert held["order"] == made["order"] == name[:100]
    assert (await shopify.package()).order.metadata["shopify_order"] == name[:100]


async def test_a_change_without_the_order_waits_for_the_news_that_brings_it(shopify):
    """Without a token nothing can be asked; orders/updated comes along anyway."""
    package = await made(shopify)
    await shopify.deliver("refunds/create", {"id": 5, "order_id": ORDER_NUMBER})
    await shopify.deliver("orders/edited", {"order_edit": {"id": 5, "order_id": ORDER_NUMBER}})

    assert (await shopify.messages("done"))[-2:] == [
        ("refunds/create", "no_access"),
        ("orders/edited", "no_access"),
    ]
    assert await shopify.types(package.id) == ["package.created"]
