"""``gateway shopify …`` without a server: connecting, looking, releasing; exit codes."""

import asyncio
import json

import pytest
from click.testing import CliRunner
from shopify_orders import ORDER_NUMBER, SHOP, order, paid, webhook, without_protected_data
from shopify_shop import Shop

from gateway.cli import main

URL = "https://gateway.example.com/api/shopify/webhooks"


@pytest.fixture
async def shop():
    async with Shop() as running:
        yield running


class CommandLine:
    """The command line, on a configuration of the test's own, and a server now and then."""

    def __init__(self, folder, harness, toml):
        self.config = folder / "gateway.toml"
        self.config.write_text(toml)
        self.toml = toml
        self.harness = harness

    async def run(self, *words, code=0, typed=None):
        arguments = ["shopify", *words, "--config", str(self.config)]
        done = await asyncio.to_thread(
            CliRunner().invoke, main, arguments, prog_name="gateway", input=typed
        )
        assert done.exit_code == code, (done.output, done.exception)
        return done

    async def json(self, *words, **more):
        return json.loads((await self.run(*words, "--json", **more)).stdout)

    async def deliver(self, topic, sent):
        """Have a server take a webhook and work it off."""
        async with self.harness(self.toml) as running:
            body, headers = webhook(topic, sent)
            path = "/api/shopify/webhooks"
            answer = await running.request("POST", path, body=body, headers=headers)
            assert answer.status_code == 200


@pytest.fixture
def line(tmp_path, harness, shop):
    toml = f"""
[plugins.json_api]
[[sites]]
code = "main"
name = "Lakeside Pharmacy"
[delivery]
allow_http = true
allow_networks = ["127.0.0.0/8"]
[plugins.shopify]
[[plugins.shopify.shops]]
domain = "{SHOP}"
site = "main"
client_secret = "shpss_lakeside"
access_token = "shpat_static"
api_url = "{shop.url}"
"""
    return CommandLine(tmp_path, harness, toml)


async def test_connect_subscribes_to_every_topic_once_and_can_be_repeated(line, shop):
    first = await line.json("connect", SHOP, "--url", "https://gateway.example.com/")
    again = await line.json("connect", "--url", "https://gateway.example.com")

    topics = [
        "orders/cancelled",
        "orders/create",
        "orders/paid",
        "orders/updated",
        "orders/delete",
        "orders/edited",
        "refunds/create",
        "fulfillment_orders/hold_released",
        "fulfillment_orders/placed_on_hold",
        "app/uninstalled",
    ]
    assert first == {
        "shop": SHOP,
        "name": "Lakeside",
        "address": URL,
        "missing_scopes": [],
        "topics": [{"topic": each, "subscription": "new"} for each in topics],
    }
    assert {each["subscription"] for each in again["topics"]} == {"kept"}
    assert [(each["topic"], each["uri"]) for each in shop.subscriptions] == [
        (each.replace("/", "_").upper(), URL) for each in topics
    ]


async def test_connect_moves_the_webhooks_of_a_gateway_that_moved(line, shop):
    other = "https://other.example.com/hooks"
    shop.subscriptions.append({"id": "gid://1", "topic": "ORDERS_CREATE", "uri": other})
    await line.json("connect", "--url", "https://old.example.com")
    moved = await line.json("connect", "--url", "https://gateway.example.com")

    assert {each["subscription"] for each in moved["topics"]} == {"moved"}
    assert [each["uri"] for each in shop.subscriptions] == [other, *[URL] * 10]


async def test_connect_names_the_scopes_that_are_missing(line, shop):
    shop.scopes = ["read_orders", "write_fulfillments"]
    done = await line.run("connect", "--url", "https://gateway.example.com")

    assert "The app lacks access scopes" in done.output
    assert "write_merchant_managed_fulfillment_orders" in done.output


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("connect",), "Shopify only calls https URLs"),
        (("connect", "other.myshopify.com"), "Give one of the shops in gateway.toml"),
        (("release", "sho_1"), "There is no such order"),
        (("requests", "shr_1"), "There is no such request"),
    ],
)
async def test_a_failed_command_prints_one_line_with_the_reason(line, words, reason):
    done = await line.run(*words, code=1)

    assert done.stdout == ""
    assert done.stderr.startswith(f"gateway: {reason}")


async def test_a_time_that_is_none_is_wrong_usage(line):
    done = await line.run("reconcile", "--since", "yesterday", code=2)

    assert "Invalid value for '--since': write a date" in done.stderr


async def test_connect_switches_a_shop_on_again_whyever_it_was_off(line, shop):
    await line.deliver("app/uninstalled", {"id": 1, "myshopify_domain": SHOP})
    [gone] = await line.json("status")
    await line.json("connect", "--url", "https://gateway.example.com")
    [back] = await line.json("status")

    assert (gone["told"], gone["uninstalled_at"] is None) == ("no: app_uninstalled", False)
    assert (back["told"], back["uninstalled_at"]) == ("yes", None)
    assert back["destination_id"] == gone["destination_id"]


async def test_connect_says_when_the_shop_refuses(line, shop):
    shop.tokens.clear()
    done = await line.run("connect", "--url", "https://gateway.example.com", code=1)

    assert done.stderr == (
        "gateway: The call to the shop failed (access_denied); see gateway shopify status.\n"
    )


async def test_reconcile_since_fetches_older_orders(line, shop):
    shop.add(paid())
    done = await line.json("reconcile", "--since", "2026-11-20")
    again = await line.run("reconcile", "--since", "2026-11-20T00:00:00-05:00")
    ancient = await line.json("reconcile", "--since", "0001-01-01T00:00:00+14:00")

    assert done == {"shop": SHOP, "since": "2026-11-20T00:00:00Z", "seen": 1, "news": 1}
    assert "1 orders fetched" in again.stderr
    assert "news   0" in again.stdout
    assert ancient == {"shop": SHOP, "since": "1970-01-01T00:00:00Z", "seen": 1, "news": 0}


async def test_status_says_how_each_shop_is(line, shop):
    await line.deliver("orders/paid", paid())
    await line.deliver("orders/create", b"{")
    await line.json("connect", "--url", "https://gateway.example.com")
    [found] = await line.json("status")

    assert found["shop"] == SHOP
    assert (found["packages"], found["held"], found["failed"], found["waiting"]) == (1, 0, 1, 0)
    assert found["connected_at"] is not None
    assert found["last_webhook_at"] is not None
    assert found["last_error"] is None
    assert "packages" in (await line.run("status")).stdout


async def test_a_held_order_is_listed_and_released_with_typed_details(line):
    await line.deliver("orders/create", without_protected_data())
    [masked] = await line.json("held")
    assert (masked["reason"], masked["order"]) == ("protected_data_missing", None)
    [held] = await line.json("held", "--reveal")
    typed = "Ana Silva\n1 Lake Rd\n+16135550100\n"
    released = await line.json("release", held["id"], "--add", typed=typed)

    assert (held["reason"], held["order"]) == ("protected_data_missing", "#1001")
    assert released["state"] == "made"
    assert await line.json("held") == []
    assert (await line.run("release", held["id"], code=1)).stderr.startswith("gateway: The order")


async def test_a_dry_run_of_a_release_shows_the_package_and_makes_none(line):
    await line.deliver("orders/create", order(fulfillment_status="on_hold"))
    [held] = await line.json("held")
    shown = await line.json("release", held["id"], "--dry-run")

    assert (shown["outcome"], shown["makes"]["patient_name"]) == ("make", "Maria R.")
    assert [each["state"] for each in await line.json("held")] == ["held"]


async def test_an_order_that_is_dismissed_is_held_no_more_and_twice_is_refused(line):
    await line.deliver("orders/create", without_protected_data())
    [held] = await line.json("held")
    gone = await line.json("dismiss", held["id"])
    again = await line.run("dismiss", held["id"], code=1)

    assert (gone["state"], gone["why"]) == ("skipped", "a person set it aside")
    assert await line.json("held") == []
    assert again.stderr.startswith("gateway: The order is skipped, not held;")


async def test_failed_messages_are_processed_again(line):
    await line.deliver("orders/create", b"{")

    assert await line.json("retry") == {"shop": SHOP, "tried_again": 1, "failed": 1}


async def test_requests_under_privacy_law_are_listed_and_shown(line):
    asked = {"shop_domain": SHOP, "orders_requested": [ORDER_NUMBER]}
    await line.deliver("orders/paid", paid())
    await line.deliver("customers/data_request", asked)
    [found] = await line.json("requests")
    masked = await line.json("requests", found["id"])
    assert masked["report"]["found"] == []
    shown = await line.json("requests", found["id"], "--reveal")

    assert (found["topic"], found["shop"]) == ("customers/data_request", SHOP)
    assert shown["report"]["found"][0]["package"]["order"]["patient_name"] == "Maria Rodriguez"


async def test_without_a_shop_everything_says_so(line):
    line.config.write_text("[plugins.shopify]")

    done = await line.run("connect", code=1)  # opens the gateway, which creates the database
    assert await line.json("status") == []
    assert done.stderr.startswith("gateway: There is no shop in gateway.toml")
