"""One order with three prescriptions, by JSON, spreadsheet and shop, out in three formats."""

import pytest
from plugins.csv.files import multipart
from shopify_orders import line_item, order, shopify_toml, webhook
from waiting import until

from gateway.testing import Receiver

TOML = f"{shopify_toml()}\n[plugins.csv]\n[plugins.webhooks]\n"
FORMATS = ("scriptrun", "autorx", "standard")
NUMBERS = ["RX-1", "RX-2", "RX-3"]
PATIENT = {"patient_name": "Maria Rodriguez", "patient_address": "123 Main St, Miami, FL 33178"}


async def by_json(gateway, key):
    sent = {**PATIENT, "prescriptions": [{"rx_number": each} for each in NUMBERS]}
    answer = await gateway.post("/api/webhook/orders", key, {"orders": [sent]})
    assert answer.status_code == 200, answer.text


async def by_csv(gateway, key):
    rows = [f'SO-1,Maria Rodriguez,"123 Main St, Miami, FL 33178",{each}' for each in NUMBERS]
    file = "\n".join(["Order #,Patient Name,Address,Rx Number", *rows])
    body, headers = multipart(file)
    answer = await gateway.post("/api/packages/import", key, body, headers)
    assert answer.status_code == 200, answer.text


async def by_shop(gateway, key):
    items = [line_item(properties=[{"name": "rx", "value": each}]) for each in NUMBERS]
    body, headers = webhook("orders/create", order(line_items=items))
    answer = await gateway.request("POST", "/api/shopify/webhooks", body=body, headers=headers)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("way", [by_json, by_csv, by_shop])
async def test_three_prescriptions_in_one_bag_out_in_each_format(harness, way):
    async with Receiver() as receiver, harness(TOML) as gateway:
        key = await gateway.issue_key()
        for wire_format in FORMATS:
            endpoint = {
                "url": f"{receiver.url}/{wire_format}",
                "format": wire_format,
                "events": ["package.created"],
            }
            answer = await gateway.post("/api/webhooks/endpoints", key, endpoint)
            assert answer.status_code == 201, answer.text

        await way(gateway, key)
        sent = {each.path.strip("/"): each.json()["data"] for each in await receiver.wait_for(3)}

        async def packages():
            return (await gateway.get("/api/packages", key)).json()["packages"]

        [package] = await until(packages)
        found = [
            (await gateway.post("/api/packages/search", key, {"rx_number": number})).json()
            for number in NUMBERS
        ]

    # One package, with three numbers in each format, the first where one alone is known
    snake = [{"rx_number": each, "fill_number": None} for each in NUMBERS]
    camel = [{"rxNumber": each, "fillNumber": None} for each in NUMBERS]
    assert [each["rx_number"] for each in package["prescriptions"]] == NUMBERS
    assert {name: data.get("prescriptions") for name, data in sent.items()} == {
        "scriptrun": snake,
        "autorx": camel,
        "standard": snake,
    }
    assert sent["scriptrun"]["rx_number"] == sent["autorx"]["rxNumber"] == "RX-1"
    assert {each["id"] for answer in found for each in answer["packages"]} == {package["id"]}
    assert [len(answer["packages"]) for answer in found] == [1, 1, 1]


async def test_the_body_of_an_order_with_one_number_is_what_it_always_was(harness):
    async with Receiver() as receiver, harness(TOML) as gateway:
        key = await gateway.issue_key()
        endpoint = {"url": receiver.url, "events": ["package.created"]}
        await gateway.post("/api/webhooks/endpoints", key, endpoint)
        order = {**PATIENT, "rx_number": "RX-1", "copay_amount": 12.5}
        answer = await gateway.post("/api/webhook/orders", key, {"orders": [order]})
        [package_id] = answer.json()["package_ids"]
        [received] = await receiver.wait_for(1)

    event = received.json()
    assert received.body.decode() == (
        f'{{"id":"{event["id"]}","event":"package.created","created_at":"{event["created_at"]}",'
        f'"data":{{"package_id":"{package_id}","external_patient_id":null,"rx_number":"RX-1",'
        '"external_order_id":null,"site":"main","source":"json_api","priority":"routine",'
        '"requires_signature":false,"copay_amount":12.50,"delivery_date":null}}'
    )
