"""The patients of three sources, none with a patient id, are found by what is known of them."""

import csv
import io
from datetime import timedelta

import pytest
from shopify_orders import address, order, shopify_toml, webhook
from waiting import until

from gateway.clock import SteppingClock
from gateway.settings import RetentionTable
from gateway.storage.retention.policy import Housekeeper
from gateway.testing import Receiver

pytestmark = pytest.mark.slow

TOML = f"""
[plugins.csv]
[plugins.webhooks]
[delivery]
allow_http = true
allow_networks = ["127.0.0.0/8"]
[limits]
reads_per_minute = 100000
{shopify_toml()}
"""
SEED = {
    "patient_name": "Maria Rodriguez",
    "patient_address": "123 Main St, Miami, FL 33178",
    "patient_phone": "+13055551234",
    "rx_number": "RX-8872341",
    "copay_amount": 12.50,
    "priority": "routine",
    "requires_signature": True,
}
ROW = (
    "patient_name,patient_address,patient_phone,rx_number\n"
    'Alex Kim,"450 Collins Ave, Miami Beach, FL 33139",+13055559876,RX-8872589\n'
)
SHIPPED_TO = address(
    first_name="Zo\u00eb", last_name="Gro\u00df", name="Zo\u00eb Gro\u00df", phone="+1 613-555-0199"
)
WAYS = {
    "json_api": (
        {"patient_phone": "+13055551234"},
        {"rx_number": "RX-8872341"},
        {
            "patient_name": "Maria Rodriguez",
            "patient_address": "123 Main St, Miami, FL 33178",
        },
    ),
    "csv": (
        {"patient_phone": "+1 305 555 9876"},
        {"rx_number": "rx-8872589"},
        {
            "patient_name": "ALEX KIM",
            "patient_address": "450 Collins Ave., Miami Beach FL 33139",
        },
    ),
    "shopify": ({"patient_phone": "613-555-0199"},),
}


async def found(gateway, key, report, way):
    answer = await gateway.post(f"/api/audit/{report}", key, way)
    assert answer.status_code == 200, answer.text
    [rows] = answer.json().values()
    return rows


async def test_patients_are_found_by_what_is_known_of_them(harness):  # noqa: PLR0915 - a story
    async with Receiver() as receiver, harness(TOML) as gateway:
        key = await gateway.issue_key()
        endpoint = {"url": receiver.url, "events": ["package.*", "delivery.*"]}
        await gateway.post("/api/webhooks/endpoints", key, endpoint)

        # Given an order of each source
        sent = await gateway.post("/api/webhook/orders", key, {"orders": [SEED]})
        assert sent.json()["created"] == 1
        boundary = "b"
        body = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="o.csv"\r\n'
            f"Content-Type: text/csv\r\n\r\n{ROW}\r\n--{boundary}--\r\n"
        ).encode()
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        sent = await gateway.post("/api/packages/import", key, body, headers)
        assert sent.json()["created"] == 1, sent.text
        body, headers = webhook(
            "orders/create", order(shipping_address=SHIPPED_TO), webhook_id="hook-1"
        )
        await gateway.post("/api/shopify/webhooks", None, body, headers)

        async def all_there():
            listed = (await gateway.get("/api/packages", key)).json()["packages"]
            return listed if len(listed) == 3 else None

        packages = {each["source"]: each for each in await until(all_there)}
        shop = packages["shopify"]
        named = {"patient_name": shop["patient_name"], "patient_address": shop["patient_address"]}
        ways = {**WAYS, "shopify": (*WAYS["shopify"], named)}
        for package in packages.values():
            event = {"event": "delivery.completed"}
            done = await gateway.post(f"/api/packages/{package['id']}/events", key, event)
            assert done.status_code == 200, done.text
        await receiver.wait_for(6)
        await gateway.gateway.dispatcher.drained()
        pharmacist = await gateway.issue_key()
        for package in packages.values():
            await gateway.get(f"/api/packages/{package['id']}", pharmacist)

        async def check(source_of_disclosures, viewers):
            for source, each_way in ways.items():
                for way in each_way:
                    seen = await found(gateway, key, "patient", way)
                    assert viewers <= {
                        each["actor"] for each in seen if each["action"] == "package.viewed"
                    }, (source, way)
                    subjects = {each["subject"] for each in seen if each["kind"] == "reveal"}
                    assert subjects == {packages[source]["id"]}, (source, way)
                    told = await found(gateway, key, "disclosures", way)
                    assert {each["what"]: each["count"] for each in told} == {
                        "package.created": 1,
                        "delivery.completed": 1,
                    }, (source, way)
                    assert {each["source"] for each in told} == {source_of_disclosures}

        async with gateway.gateway.database.read() as connection:
            keys = await gateway.gateway.accounts.list_keys(connection)
        viewers = {each.id for each in keys}
        assert len(viewers) == 2
        await check("attempts", viewers)

        # When retention has deleted the log, emptied the packages, and deleted them
        clock = SteppingClock(gateway.gateway.clock.now() + timedelta(days=30))
        for ages in (
            {"log_days": 1},
            {"log_days": 1, "payload_days": 1},
            {"log_days": 1, "payload_days": 1, "metadata_days": 2},
        ):
            table = RetentionTable(**{"payload_days": 0, "metadata_days": 0, "log_days": 0, **ages})
            parts = (gateway.gateway.database, gateway.gateway.sealer, table)
            await Housekeeper(*parts, gateway.gateway.audit, clock).sweep()
            await check("folded", viewers)
        assert (await gateway.get("/api/packages", key)).json()["packages"] == []

        # Then the reports were recorded, by whom and with what outcome
        answer = await gateway.post("/api/audit/search", key, {"action": "report.access"})
        asked = answer.json()["rows"]
        assert {(each["kind"], each["outcome"], each["purpose"]) for each in asked} == {
            ("search", "hits", "patient_request")
        }
        assert "Maria" not in answer.text
        as_csv = await gateway.post("/api/audit/disclosures?as_csv=true", key, WAYS["csv"][0])
        assert as_csv.headers["content-type"] == "text/csv; charset=utf-8"
        rows = list(csv.DictReader(io.StringIO(as_csv.text)))
        assert {row["what"] for row in rows} == {"package.created", "delivery.completed"}
