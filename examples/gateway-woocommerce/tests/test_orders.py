"""Orders of WooCommerce in a whole gateway."""

import json
from pathlib import Path

import pytest
from gateway_woocommerce.routes import SIGNATURE

from gateway.plugin import signed_headers

SETTINGS = """
[[sites]]
code = "main"
name = "Lakeside Pharmacy"
country = "US"
[plugins.json_api]
[plugins.woocommerce]
secrets = ["s3cret", "next"]
site = "main"
"""
ORDER = (Path(__file__).parent / "samples" / "order.json").read_bytes()


@pytest.fixture
async def gateway(harness):
    async with harness(SETTINGS) as running:
        yield running


async def hand_in(gateway, body=ORDER, secret="s3cret", topic="order.created"):
    headers = signed_headers(SIGNATURE, body, secret, gateway.gateway.clock.now())
    headers["X-WC-Webhook-Topic"] = topic
    return await gateway.request("POST", "/api/woocommerce/orders", None, body, headers)


async def test_an_order_becomes_a_package(gateway):
    answer = await hand_in(gateway)
    key = await gateway.issue_key()
    package = (await gateway.get(f"/api/packages/{answer.json()['package']}", key)).json()

    assert (answer.status_code, answer.json()["result"]) == (200, "created")
    assert package["patient_name"] == "Maria Rodriguez"
    assert package["patient_address"] == "123 Main St, Apt 4, Miami, FL 33178"
    assert package["patient_phone"] == "+13055551234"
    assert package["external_order_id"] == "727"
    assert package["site"] == "main"
    assert package["metadata"] == {"clinic": "A-12"}


async def test_the_same_order_again_is_the_same_package(gateway):
    first = await hand_in(gateway)
    second = await hand_in(gateway, secret="next")  # while the secret is being replaced

    assert second.json() == {"result": "duplicate", "package": first.json()["package"]}


async def test_without_a_shipping_address_it_goes_to_the_billing_address(gateway):
    order = json.loads(ORDER) | {"id": 728, "shipping": {"first_name": "", "address_1": ""}}
    answer = await hand_in(gateway, json.dumps(order).encode())
    key = await gateway.issue_key()
    package = (await gateway.get(f"/api/packages/{answer.json()['package']}", key)).json()

    assert package["patient_address"] == "9 Elm St, Miami, FL 33139"


@pytest.mark.parametrize(
    ("body", "topic"), [(b"webhook_id=1", "order.created"), (ORDER, "order.updated")]
)
async def test_a_ping_and_another_topic_are_answered_and_make_nothing(gateway, body, topic):
    answer = await hand_in(gateway, body, topic=topic)
    key = await gateway.issue_key()

    assert (answer.status_code, answer.json()) == (200, {"result": "ignored"})
    assert (await gateway.get("/api/packages", key)).json()["packages"] == []


@pytest.mark.parametrize(
    ("body", "secret", "status"),
    [(ORDER, "another", 401), (b"{", "s3cret", 400), (b"{}", "s3cret", 400)],
)
async def test_what_is_not_signed_or_no_order_is_refused(gateway, body, secret, status):
    answer = await hand_in(gateway, body, secret)

    assert answer.status_code == status
    assert answer.json()["error"]
