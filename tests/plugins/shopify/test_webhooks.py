"""Webhooks come in: signed, stored before they are answered, once, in whatever order."""

import asyncio

import msgspec
import pytest
import shopify_orders
from shopify_orders import ORDER_GID, SHOP, order, paid, webhook

from gateway.testing import SteppingClock

NOT_SIGNED = {
    "error": "The webhook isn't signed with the secret of a shop in gateway.toml.",
    "code": "not_authenticated",
    "details": [],
}


async def test_an_order_makes_one_package_of_its_shops_site(shopify):
    await shopify.deliver("orders/create", order())

    package = await shopify.package()
    assert (package.site, package.source, package.mode) == ("main", "shopify", "live")
    assert package.order.patient_name == "Maria Rodriguez"
    assert package.order.patient_phone == "+16135550134"
    assert package.order.external_order_id == ORDER_GID
    [event] = await shopify.events(package.id)
    assert (event.type, event.actor) == ("package.created", f"shopify:{SHOP}")
    assert await shopify.messages("done") == [("orders/create", "made")]


async def test_the_response_has_the_status_of_the_webhook(shopify):
    body, headers = webhook("orders/create", order(), webhook_id="hook-a")
    path = "/api/shopify/webhooks"
    answers = [
        await shopify.harness.request("POST", path, body=body, headers=headers) for _ in range(2)
    ]
    ignored = await shopify.post("products/create", {"id": 1})

    assert [each.json() for each in answers] == [{"status": "stored"}, {"status": "duplicate"}]
    assert (ignored.status_code, ignored.json()) == (200, {"status": "ignored"})
    assert all(each.status_code == 200 for each in answers)


async def test_other_topics_are_answered_and_not_kept(shopify):
    for topic in ("gateway/released", "gateway/reconciled", "", "orders/risk_assessment_changed"):
        assert (await shopify.post(topic, order())).json() == {"status": "ignored"}
    assert await shopify.rows("SELECT id FROM plugin_inbox") == []


async def test_a_webhook_signed_with_the_secret_of_before_is_taken(shopify):
    await shopify.deliver("orders/create", order(), secret="shpss_before")

    assert len(await shopify.packages()) == 1


async def test_an_unsigned_webhook_is_refused_and_not_stored(shopify):
    body, headers = webhook("orders/create", order())
    for changes in (
        {"X-Shopify-Hmac-Sha256": shopify_orders.signature(b"other")},
        {"X-Shopify-Hmac-Sha256": ""},
        {"X-Shopify-Hmac-Sha256": "not base64"},
        {"X-Shopify-Shop-Domain": "other.myshopify.com"},
        {"X-Shopify-Shop-Domain": ""},
    ):
        answer = await shopify.harness.request(
            "POST", "/api/shopify/webhooks", body=body, headers=headers | changes
        )
        assert (answer.status_code, answer.json()) == (401, NOT_SIGNED), changes
    changed = await shopify.harness.request(
        "POST", "/api/shopify/webhooks", body=body + b" ", headers=headers
    )
    stranger = await shopify.post("orders/create", order(), shop="other.myshopify.com", secret="")
    assert (changed.status_code, stranger.status_code) == (401, 401)
    assert await shopify.rows("SELECT id FROM plugin_inbox") == []


async def test_a_webhook_without_an_id_is_known_by_its_body(shopify):
    body, headers = webhook("orders/create", order())
    del headers["X-Shopify-Webhook-Id"]
    for status in ("stored", "duplicate"):
        answer = await shopify.harness.request(
            "POST", "/api/shopify/webhooks", body=body, headers=headers
        )
        assert answer.json() == {"status": status}


async def test_many_webhooks_at_once_are_each_kept_once(shopify):
    """Each is sent twice at the same time; the responses differ."""
    sent = [order(id=n, admin_graphql_api_id=f"gid://shopify/Order/{n}") for n in range(40)]
    answers = await asyncio.gather(
        *(
            shopify.post("orders/create", each, webhook_id=f"hook-{n}")
            for n, each in enumerate(sent)
            for _ in range(2)
        )
    )
    await shopify.settled()

    statuses = [each.json()["status"] for each in answers]
    assert (statuses.count("stored"), statuses.count("duplicate")) == (40, 40)
    assert len(await shopify.packages()) == 40


@pytest.mark.parametrize("create_on", ["orders/create", "orders/paid"])
@pytest.mark.parametrize("topics", [("create", "paid"), ("paid", "create")])
async def test_two_webhooks_of_an_order_in_any_order_make_one_package(
    open_shopify, create_on, topics
):
    bodies = {"create": order(), "paid": paid()}
    async with open_shopify(f'create_on = "{create_on}"') as shopify:
        for topic in (*topics, *topics):
            await shopify.deliver(f"orders/{topic}", bodies[topic])

        package = await shopify.package()
        types = await shopify.types(package.id)
        assert types.count("package.created") == 1
        assert package.order.copay_amount == 0
        # A payment that was known from the start makes no event.
        known_paid = topics[0] == "paid" or create_on == "orders/paid"
        assert types[1:] == ([] if known_paid else ["package.updated"])


async def test_a_payment_in_the_same_second_is_not_taken_back_by_older_news(shopify):
    same = {"updated_at": "2026-11-20T10:00:00-05:00"}
    await shopify.deliver("orders/paid", paid(**same))
    await shopify.deliver("orders/updated", order(**same))
    await shopify.deliver("orders/create", order(**same))

    package = await shopify.package()
    assert package.order.copay_amount == 0
    assert [outcome for _, outcome in await shopify.messages("done")] == ["made", "stale", "stale"]


async def test_an_order_waits_to_be_paid_where_that_makes_the_package(open_shopify):
    async with open_shopify('create_on = "orders/paid"') as shopify:
        await shopify.deliver("orders/create", order())
        assert await shopify.packages() == []
        [waiting] = await shopify.listed("waiting")
        assert (waiting["reason"], waiting["why"]) == (
            "not_paid",
            "it waits for its payment (create_on)",
        )
        await shopify.deliver("orders/paid", paid())
        assert len(await shopify.packages()) == 1
        assert await shopify.listed("waiting") == []


async def test_test_orders_are_test_data(shopify):
    await shopify.deliver("orders/create", order(test=True))

    assert await shopify.packages() == []
    [package] = await shopify.packages("test")
    assert package.mode == "test"


async def test_the_sample_of_the_send_test_notification_button_is_skipped(shopify):
    await shopify.deliver("orders/create", shopify_orders.sample_notification())

    assert await shopify.packages() == await shopify.packages("test") == []
    test_key = await shopify.harness.issue_key(mode="test")
    [skipped] = await shopify.listed("skipped", test_key)
    assert (skipped["order"], skipped["why"]) == ("#9999", "the order was cancelled in Shopify")


async def test_orders_of_two_shops_keep_to_their_sites(open_shopify):
    second = """
[[sites]]
code = "north"
name = "Northside"
[[plugins.shopify.shops]]
domain = "north.myshopify.com"
site = "north"
client_secret = "shpss_north"
"""
    async with open_shopify(second) as shopify:
        await shopify.deliver("orders/create", order())
        await shopify.deliver(
            "orders/create",
            order(id=2, admin_graphql_api_id="gid://shopify/Order/2"),
            shop="north.myshopify.com",
            secret="shpss_north",
        )
        stranger = await shopify.post(
            "orders/create", order(), shop="north.myshopify.com", secret=shopify_orders.SECRET
        )

        assert {each.site for each in await shopify.packages()} == {"main", "north"}
        assert stranger.status_code == 401


async def test_a_signed_body_that_can_not_be_read_is_set_aside(shopify):
    no_amount = "total_outstanding: expected an amount of money"
    bodies = {
        b"": "it is not JSON",
        b"{": "it is not JSON",
        b"\xff": "it is not JSON",
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
        await shopify.deliver("orders/create", body)

    assert await shopify.messages("failed") == [
        ("orders/create", f"unreadable: {reason}") for reason in bodies.values()
    ]
    assert await shopify.packages() == []


async def test_processed_messages_lose_their_body_and_nothing_is_stored_in_clear(shopify, tmp_path):
    await shopify.deliver("orders/create", order(note="ring twice"))
    await shopify.deliver(
        "orders/updated",
        shopify_orders.without_protected_data(id=8, admin_graphql_api_id="gid://shopify/Order/8"),
    )

    kept = "SELECT kind FROM plugin_inbox WHERE payload IS NOT NULL"
    assert await shopify.rows(kept) == [("gateway/held",)]
    for path in tmp_path.rglob("gateway.db*"):
        content = path.read_bytes()
        for secret in (b"Rodriguez", b"123 Main St", b"ring twice", ORDER_GID.encode()):
            assert secret not in content


async def test_a_failing_message_is_retried_and_set_aside_in_the_end(
    open_shopify, monkeypatch, wait_until
):
    clock = SteppingClock()
    async with open_shopify(clock=clock) as shopify:

        async def fails(_submission):
            raise RuntimeError("the disk is full")

        intake = shopify.gateway.intake
        real = intake.accept
        monkeypatch.setattr(intake, "accept", fails)
        await shopify.post("orders/create", order())
        [(due_ms,)] = await shopify.rows("SELECT due_at_ms FROM plugin_inbox")

        async def delayed() -> bool:
            found = await shopify.rows("SELECT due_at_ms, outcome FROM plugin_inbox")
            return found[0][0] > due_ms and found[0][1] == "RuntimeError"

        await wait_until(delayed)
        monkeypatch.setattr(intake, "accept", real)
        clock.step(5)
        await shopify.settled()
        assert len(await shopify.packages()) == 1


async def test_without_a_shop_there_is_no_route_for_webhooks(harness):
    async with harness("[plugins.shopify]") as gateway:
        body, headers = webhook("orders/create", order())
        answer = await gateway.request("POST", "/api/shopify/webhooks", body=body, headers=headers)

    assert answer.status_code == 404


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Shopify-Shop-Domain": "other.myshopify.com", "X-Shopify-Hmac-Sha256": "eA=="},
        {"X-Shopify-Shop-Domain": SHOP},
        {"X-Shopify-Hmac-Sha256": "eA=="},
    ],
)
async def test_an_unknown_shop_is_refused_before_the_body_is_read(shopify, headers):
    """The body is never sent, so the answer can't have waited for it."""
    host, _, port = shopify.harness.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    lines = [
        "POST /api/shopify/webhooks HTTP/1.1",
        f"Host: {host}",
        "Content-Length: 2000000",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
    status = await asyncio.wait_for(reader.readline(), 20)
    writer.close()

    assert status.split()[1] == b"401"
