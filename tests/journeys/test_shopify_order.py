"""An order's way from a shop and back, through real processes that are killed on the way."""

import asyncio
import json

import httpx
import pytest
from processes import TOML, GatewayProcess
from shopify_orders import ORDER_GID, SECRET, SHOP, order, paid, webhook
from shopify_shop import Shop
from waiting import PATIENCE_SECONDS, until

pytestmark = pytest.mark.slow


@pytest.fixture
async def shop():
    async with Shop() as running:
        running.add(paid())
        yield running


@pytest.fixture
async def gateway(tmp_path, shop):
    toml = f"""{TOML}
[[sites]]
code = "main"
name = "Lakeside Pharmacy"
country = "CA"
[plugins.shopify]
[[plugins.shopify.shops]]
domain = "{SHOP}"
site = "main"
client_id = "client-1"
client_secret = "{SECRET}"
api_url = "{shop.url}"
"""
    async with GatewayProcess(tmp_path, toml) as running:
        yield running


async def post(gateway, topic, sent, webhook_id):
    body, headers = webhook(topic, sent, webhook_id=webhook_id)
    async with httpx.AsyncClient(timeout=PATIENCE_SECONDS) as client:
        address = f"{gateway.url}/api/shopify/webhooks"
        answer = await client.post(address, content=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()["status"]


async def ask(gateway, method, path, key, body=None):
    async with httpx.AsyncClient(headers={"X-API-Key": key}, timeout=PATIENCE_SECONDS) as client:
        answer = await client.request(method, gateway.url + path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def the_package(gateway, key):
    async def made():
        return (await ask(gateway, "GET", "/api/packages", key))["packages"]

    [package] = await until(made)
    return package


async def new_key(gateway):
    return (await gateway.json("keys", "create", "--name", "driver", "--scope", "all"))["key"]


async def test_an_order_told_of_in_every_way_is_one_package(gateway, shop):
    key = await new_key(gateway)
    for number, (topic, sent) in enumerate(
        [("orders/paid", paid()), ("orders/create", order()), ("orders/paid", paid())]
    ):
        assert await post(gateway, topic, sent, f"hook-{number}") == "stored"
    assert await post(gateway, "orders/paid", paid(), "hook-0") == "duplicate"
    package = await the_package(gateway, key)
    done = await gateway.json("shopify", "reconcile", "--since", "2026-11-01")

    assert (done["seen"], done["news"]) == (1, 0)
    package = await the_package(gateway, key)
    events = (await ask(gateway, "GET", f"/api/packages/{package['id']}/events", key))["events"]
    assert [each["event"] for each in events] == ["package.created"]


async def test_a_webhook_that_was_answered_outlives_the_process(gateway):
    key = await new_key(gateway)
    body = [
        order(id=n, admin_graphql_api_id=f"gid://shopify/Order/{n}", name=f"#{n}")
        for n in range(1, 21)
    ]
    statuses = await asyncio.gather(
        *(post(gateway, "orders/create", sent, f"hook-{n}") for n, sent in enumerate(body))
    )
    await gateway.kill()
    await gateway.start()

    async def all_made():
        found = (await ask(gateway, "GET", "/api/packages?limit=100", key))["packages"]
        return found if len(found) >= 20 else None

    assert statuses == ["stored"] * 20
    # What was in work when the process died is taken up when its lease is over.
    made = await until(all_made)
    assert len({each["external_order_id"] for each in made}) == len(made) == 20


@pytest.mark.parametrize("killed_in", ["CreateFulfillment", "CreateEvent"])
@pytest.mark.parametrize("done", ["do_and_hang", pytest.param("hang", marks=pytest.mark.long)])
async def test_a_delivery_shows_as_one_fulfillment_though_the_process_is_killed_between_the_calls(
    gateway, shop, killed_in, done
):
    """SIGKILL while the call is at the shop: it was done and not answered, or not done at all."""
    key = await new_key(gateway)
    await post(gateway, "orders/paid", paid(), "hook-1")
    package = await the_package(gateway, key)
    shop.on[killed_in] = [done]
    report = {"event": "delivery.completed", "driver_id": "drv_1"}
    await ask(gateway, "POST", f"/api/packages/{package['id']}/events", key, report)
    await shop.until(lambda it: killed_in in it.calls)
    if done == "do_and_hang" and killed_in == "CreateEvent":
        await shop.until(lambda it: it.statuses(ORDER_GID))
    await gateway.kill()
    await gateway.start()
    await shop.until(lambda it: it.fulfillments(ORDER_GID) and it.statuses(ORDER_GID))

    async def delivered():
        code, out, _ = await gateway.run("deliveries", "list", "--state", "delivered", "--json")
        return code == 0 and json.loads(out)

    assert await until(delivered)
    assert len(shop.fulfillments(ORDER_GID)) == 1
    assert shop.statuses(ORDER_GID) == ["DELIVERED"]
