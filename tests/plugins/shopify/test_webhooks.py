"""Webhooks come in: signed, stored before they are answered, once, in whatever order."""

import asyncio

import msgspec
import pytest
import shopify_orders
from shopify_orders import ORDER_GID, SHOP, order, paid, webhook

from gateway.testing import SteppingClock

NOT_SIGNED = {"error": "The webhook isn't signed with the secret of a shop we know."}


async def test_an_order_makes_one_package_of_its_shops_site(desk):
    await desk.told("orders/create", order())

    package = await desk.package()
    assert (package.site, package.source, package.mode) == ("main", "shopify", "live")
    assert package.order.patient_name == "Maria Rodriguez"
    assert package.order.patient_phone == "+16135550134"
    assert package.order.external_order_id == ORDER_GID
    [event] = await desk.events(package.id)
    assert (event.type, event.actor) == ("package.created", f"shopify:{SHOP}")
    assert await desk.messages("done") == [("orders/create", "made")]


async def test_the_answer_says_what_became_of_a_webhook(desk):
    body, headers = webhook("orders/create", order(), webhook_id="hook-a")
    path = "/api/shopify/webhooks"
    answers = [
        await desk.harness.request("POST", path, body=body, headers=headers) for _ in range(2)
    ]
    ignored = await desk.tell("products/create", {"id": 1})

    assert [each.json() for each in answers] == [{"status": "stored"}, {"status": "duplicate"}]
    assert (ignored.status_code, ignored.json()) == (200, {"status": "ignored"})
    assert all(each.status_code == 200 for each in answers)


async def test_other_topics_are_answered_and_not_kept(desk):
    for topic in ("gateway/released", "gateway/reconciled", "", "orders/delete"):
        assert (await desk.tell(topic, order())).json() == {"status": "ignored"}
    assert await desk.rows("SELECT id FROM shopify_messages") == []


async def test_a_webhook_signed_with_the_secret_of_before_is_taken(desk):
    await desk.told("orders/create", order(), secret="shpss_before")

    assert len(await desk.packages()) == 1


async def test_what_is_not_signed_is_refused_and_not_kept(desk):
    body, headers = webhook("orders/create", order())
    for changes in (
        {"X-Shopify-Hmac-Sha256": shopify_orders.signature(b"other")},
        {"X-Shopify-Hmac-Sha256": ""},
        {"X-Shopify-Hmac-Sha256": "not base64"},
        {"X-Shopify-Shop-Domain": "other.myshopify.com"},
        {"X-Shopify-Shop-Domain": ""},
    ):
        answer = await desk.harness.request(
            "POST", "/api/shopify/webhooks", body=body, headers=headers | changes
        )
        assert (answer.status_code, answer.json()) == (401, NOT_SIGNED), changes
    changed = await desk.harness.request(
        "POST", "/api/shopify/webhooks", body=body + b" ", headers=headers
    )
    stranger = await desk.tell("orders/create", order(), shop="other.myshopify.com", secret="")
    assert (changed.status_code, stranger.status_code) == (401, 401)
    assert await desk.rows("SELECT id FROM shopify_messages") == []


async def test_a_webhook_without_an_id_is_known_by_its_body(desk):
    body, headers = webhook("orders/create", order())
    del headers["X-Shopify-Webhook-Id"]
    for status in ("stored", "duplicate"):
        answer = await desk.harness.request(
            "POST", "/api/shopify/webhooks", body=body, headers=headers
        )
        assert answer.json() == {"status": status}


async def test_many_webhooks_at_once_are_each_kept_once(desk):
    """Each is sent twice, at the same time; the answers tell the two apart."""
    sent = [order(id=n, admin_graphql_api_id=f"gid://shopify/Order/{n}") for n in range(40)]
    answers = await asyncio.gather(
        *(
            desk.tell("orders/create", each, webhook_id=f"hook-{n}")
            for n, each in enumerate(sent)
            for _ in range(2)
        )
    )
    await desk.settled()

    told = [each.json()["status"] for each in answers]
    assert (told.count("stored"), told.count("duplicate")) == (40, 40)
    assert len(await desk.packages()) == 40


@pytest.mark.parametrize("create_on", ["orders/create", "orders/paid"])
@pytest.mark.parametrize("topics", [("create", "paid"), ("paid", "create")])
async def test_an_order_told_of_twice_in_any_order_is_one_package(open_desk, create_on, topics):
    bodies = {"create": order(), "paid": paid()}
    async with open_desk(f'create_on = "{create_on}"') as desk:
        for topic in (*topics, *topics):
            await desk.told(f"orders/{topic}", bodies[topic])

        package = await desk.package()
        types = await desk.types(package.id)
        assert types.count("package.created") == 1
        assert package.order.copay_amount == 0
        # Nothing is told of a payment that was known from the start.
        known_paid = topics[0] == "paid" or create_on == "orders/paid"
        assert types[1:] == ([] if known_paid else ["package.updated"])


async def test_a_payment_in_the_same_second_is_not_taken_back_by_older_news(desk):
    same = {"updated_at": "2026-11-20T10:00:00-05:00"}
    await desk.told("orders/paid", paid(**same))
    await desk.told("orders/updated", order(**same))
    await desk.told("orders/create", order(**same))

    package = await desk.package()
    assert package.order.copay_amount == 0
    assert [outcome for _, outcome in await desk.messages("done")] == ["made", "stale", "stale"]


async def test_an_order_waits_to_be_paid_where_that_makes_the_package(open_desk):
    async with open_desk('create_on = "orders/paid"') as desk:
        await desk.told("orders/create", order())
        assert await desk.packages() == []
        [waiting] = await desk.listed("waiting")
        assert (waiting["reason"], waiting["why"]) == (
            "not_paid",
            "it waits to be paid (create_on)",
        )
        await desk.told("orders/paid", paid())
        assert len(await desk.packages()) == 1
        assert await desk.listed("waiting") == []


async def test_test_orders_are_test_data(desk):
    await desk.told("orders/create", order(test=True))

    assert await desk.packages() == []
    [package] = await desk.packages("test")
    assert package.mode == "test"


async def test_the_sample_of_the_send_test_notification_button_is_skipped(desk):
    await desk.told("orders/create", shopify_orders.sample_notification())

    assert await desk.packages() == await desk.packages("test") == []
    test_key = await desk.harness.issue_key(mode="test")
    [skipped] = await desk.listed("skipped", test_key)
    assert (skipped["order"], skipped["why"]) == ("#9999", "the order was cancelled in Shopify")


async def test_orders_of_two_shops_keep_to_their_sites(open_desk):
    second = """
[[sites]]
code = "north"
name = "Northside"
[[plugins.shopify.shops]]
domain = "north.myshopify.com"
site = "north"
client_secret = "shpss_north"
"""
    async with open_desk(second) as desk:
        await desk.told("orders/create", order())
        await desk.told(
            "orders/create",
            order(id=2, admin_graphql_api_id="gid://shopify/Order/2"),
            shop="north.myshopify.com",
            secret="shpss_north",
        )
        stranger = await desk.tell(
            "orders/create", order(), shop="north.myshopify.com", secret=shopify_orders.SECRET
        )

        assert {each.site for each in await desk.packages()} == {"main", "north"}
        assert stranger.status_code == 401


async def test_a_signed_body_that_can_not_be_read_is_put_aside(desk):
    no_amount = "total_outstanding: expected an amount of money"
    bodies = {
        b"": "it is no JSON",
        b"{": "it is no JSON",
        b"\xff": "it is no JSON",
        b"null": "Expected object, got null",
        b"[]": "Expected object, got array",
        b'{"id": "x"}': "id: Expected int | null, got str",
        b'{"updated_at": "soon"}': "updated_at: Invalid RFC3339 encoded datetime",
        b'{"updated_at": "2026-11-20T10:00:00Z"}': "id: expected the order's id",
        b'{"id": 1, "updated_at": "2026-11-20T10:00:00"}': (
            "updated_at: Expected datetime with a timezone component"
        ),
        msgspec.json.encode(order(total_outstanding="NaN")): no_amount,
        msgspec.json.encode(order(total_outstanding="sNaN")): no_amount,
        msgspec.json.encode(paid(total_outstanding="-Infinity")): no_amount,
    }
    for body in bodies:
        await desk.told("orders/create", body)

    assert await desk.messages("failed") == [
        ("orders/create", f"unreadable: {reason}") for reason in bodies.values()
    ]
    assert await desk.packages() == []


async def test_what_was_worked_off_is_emptied_and_nothing_stands_in_clear(desk, tmp_path):
    await desk.told("orders/create", order(note="ring twice"))
    await desk.told(
        "orders/updated",
        shopify_orders.without_protected_data(id=8, admin_graphql_api_id="gid://shopify/Order/8"),
    )

    assert await desk.rows("SELECT COUNT(*) FROM shopify_messages WHERE body IS NOT NULL") == [(0,)]
    for path in tmp_path.rglob("gateway.db*"):
        content = path.read_bytes()
        for secret in (b"Rodriguez", b"123 Main St", b"ring twice", ORDER_GID.encode()):
            assert secret not in content


async def test_a_message_that_fails_is_tried_again_later_and_put_aside_in_the_end(
    open_desk, monkeypatch, wait_until
):
    clock = SteppingClock()
    async with open_desk(clock=clock) as desk:

        async def fails(_submission):
            raise RuntimeError("the disk is full")

        intake = desk.gateway.intake
        real = intake.accept
        monkeypatch.setattr(intake, "accept", fails)
        await desk.tell("orders/create", order())
        [(due_ms,)] = await desk.rows("SELECT due_at_ms FROM shopify_messages")

        async def postponed() -> bool:
            found = await desk.rows("SELECT due_at_ms, outcome FROM shopify_messages")
            return found[0][0] > due_ms and found[0][1] == "failed"

        await wait_until(postponed)
        monkeypatch.setattr(intake, "accept", real)
        clock.step(5)
        await desk.settled()
        assert len(await desk.packages()) == 1
