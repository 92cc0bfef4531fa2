"""What is held of an order is in the gateway's inbox, in step with the order's own record."""

import pytest
import shopify_orders
from gateway_shopify.inbox import PLUGIN
from shopify_orders import ORDER_GID, order, paid
from waiting import until

from gateway.plugin import Inbox
from gateway.storage.stores.inbox_items import InboxItems

LATER = {"updated_at": "2026-11-20T11:00:00-05:00"}


def incomplete(**changes):
    return shopify_orders.without_protected_data(**changes)


async def inbox_rows(shopify, *states):
    """Return kind, state and outcome of the messages about orders, the oldest first."""
    query = "SELECT kind, state, outcome, payload IS NULL FROM plugin_inbox ORDER BY sequence"
    rows = await shopify.rows(query)
    return [(kind, state, outcome, bool(gone)) for kind, state, outcome, gone in rows]


@pytest.fixture
def service(shopify):
    return shopify.gateway.hooks._manager.get_plugin("shopify")._service


async def test_what_is_held_is_in_the_inbox_and_not_in_the_orders_record(shopify, service):
    await shopify.deliver("orders/create", incomplete())

    [listed] = await shopify.listed()
    record = await service.orders.by_id(listed["id"])
    assert record.facts.sent is None
    assert (await service.orders.sent_of(record)).gid == ORDER_GID
    assert await inbox_rows(shopify) == [("gateway/held", "held", "protected_data_missing", False)]
    assert await service.inbox.counts(record.shop) == {"held": 1}


async def test_a_release_gives_the_held_message_what_a_person_added(shopify):
    await shopify.deliver("orders/create", incomplete())
    [held] = await shopify.listed()
    added = {"patient_name": "Maria Rodriguez", "patient_address": "123 Main St"}

    path = f"/api/shopify/orders/{held['id']}/release"
    answer = await shopify.harness.post(path, shopify.key, added)

    assert (answer.status_code, answer.json()["state"]) == (200, "made")
    assert (await shopify.package()).order.patient_address == "123 Main St"
    assert await inbox_rows(shopify) == [("gateway/held", "done", "made", True)]


async def test_a_message_that_gateway_inbox_releases_makes_the_package(shopify):
    unclear = paid(note_attributes=[{"name": "Checkout-Method", "value": "pickup"}])
    await shopify.deliver("orders/create", unclear)
    [item] = await Inbox(PLUGIN, shopify.gateway, handle=None).page(shopify.harness.caller())

    async with shopify.gateway.database.begin() as connection:
        items = InboxItems(shopify.gateway)
        await items.release(connection, shopify.harness.caller(), item.id, b"")

    async def made():
        return await inbox_rows(shopify) == [("gateway/held", "done", "made", True)]

    await until(made)
    assert len(await shopify.packages()) == 1


async def test_something_newer_takes_the_place_of_what_is_held(shopify):
    await shopify.deliver("orders/create", incomplete())
    await shopify.deliver("orders/updated", incomplete(**LATER))
    assert await inbox_rows(shopify) == [
        ("gateway/held", "done", "superseded", True),
        ("gateway/held", "held", "protected_data_missing", False),
    ]

    await shopify.deliver("orders/updated", order(updated_at="2026-11-20T12:00:00-05:00"))

    assert [state for _, state, _, _ in await inbox_rows(shopify)] == ["done"] * 3
    assert await shopify.listed() == []
    assert len(await shopify.packages()) == 1


async def test_an_order_is_held_with_its_record_or_not_at_all(shopify, service, monkeypatch):
    real = service.orders.write

    async def failing(connection, batch):
        raise RuntimeError

    monkeypatch.setattr(service.orders, "write", failing)
    await shopify.post("orders/create", incomplete())

    async def failed():
        return [row for row in await inbox_rows(shopify) if row[2] == "RuntimeError"]

    assert await until(failed) == [("orders/create", "waiting", "RuntimeError", False)]
    assert await shopify.listed() == []
    monkeypatch.setattr(service.orders, "write", real)


async def test_an_order_that_was_set_aside_can_still_be_released(shopify):
    await shopify.deliver("orders/create", incomplete())
    [held] = await shopify.listed()

    await shopify.harness.post(f"/api/shopify/orders/{held['id']}/dismiss", shopify.key)
    assert await inbox_rows(shopify) == [("gateway/held", "done", "dismissed", True)]
    added = {"patient_name": "Maria Rodriguez", "patient_address": "123 Main St"}
    path = f"/api/shopify/orders/{held['id']}/release"
    answer = await shopify.harness.post(path, shopify.key, added)

    assert answer.json()["state"] == "made"


async def test_what_is_held_of_a_patient_is_disclosed_and_erased_on_request(shopify, service):
    await shopify.deliver("orders/create", incomplete())
    request = {
        "shop_domain": shopify_orders.SHOP,
        "orders_requested": [shopify_orders.ORDER_NUMBER],
        "orders_to_redact": [shopify_orders.ORDER_NUMBER],
    }

    await shopify.deliver("customers/data_request", request)
    await shopify.deliver("customers/redact", request)

    disclosed, erased = [
        await service.compliance.report(each["id"])
        for each in reversed(await service.compliance.reports())
    ]
    [found] = disclosed["report"]["found"]
    assert found["sent"]["admin_graphql_api_id"] == ORDER_GID
    assert erased["report"]["emptied_messages"] >= 1
    assert ("gateway/held", "done", "erased", True) in await inbox_rows(shopify)
    [listed] = await shopify.listed()
    answer = await shopify.harness.post(f"/api/shopify/orders/{listed['id']}/release", shopify.key)
    assert answer.status_code == 409
