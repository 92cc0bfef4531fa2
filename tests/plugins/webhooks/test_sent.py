"""What really arrives at an endpoint: the three formats, the retries, the signatures."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime

from gateway.plugin import __version__
from gateway.testing import Receiver, SteppingClock

START = datetime(2026, 4, 19, 18, 42, 10, tzinfo=UTC)
UNIX = 1776624130
RETRY_AT_ONCE = """
[delivery]
allow_http = true
allow_networks = ["127.0.0.0/8"]
trusted_accounts = ["default"]
retry_schedule_seconds = [0.05, 0.05]
"""
COMPLETED = {
    "driver_id": "drv_b12c",
    "occurred_at": "2026-04-19T18:41:57Z",
    "proof": {"photo_url": "https://example.com/1.jpg", "lat": 25.8612, "lng": -80.2983},
    "copay_collected": 12.5,
    "copay_method": "card",
}
ON_EVERY_WEBHOOK = {"accept", "content-length", "content-type", "host", "user-agent"}


def mac(key, message):
    return hmac.new(key, message, hashlib.sha256)


def hex_mac(secret, message):
    return mac(secret.encode(), message).hexdigest()


def standard_signature(secret, message):
    key = base64.b64decode(secret.removeprefix("whsec_"))
    return "v1," + base64.b64encode(mac(key, message).digest()).decode()


def special_headers(webhook):
    return {name: value for name, value in webhook.headers.items() if name not in ON_EVERY_WEBHOOK}


async def test_one_event_goes_to_three_endpoints_in_three_formats(open_api):
    async with Receiver() as receiver, open_api(clock=SteppingClock(START)) as api:
        secrets = {}
        for wire_format in ("scriptrun", "autorx", "standard"):
            added = await api.add(
                f"{receiver.url}/{wire_format}", format=wire_format, events=["delivery.*"]
            )
            secrets[wire_format] = added["secret"]
        package_id = await api.order(rx_number="RX-Zoé", external_patient_id="PMS-9081")
        event_id = await api.report(package_id, "delivery.completed", **COMPLETED)
        arrived = {each.path[1:]: each for each in await receiver.wait_for(3)}

    snake = (
        f'{{"package_id":"{package_id}","external_patient_id":"PMS-9081","rx_number":"RX-Zoé",'
        '"driver_id":"drv_b12c","delivered_at":"2026-04-19T18:41:57Z",'
        '"proof":{"photo_url":"https://example.com/1.jpg","lat":25.8612,"lng":-80.2983},'
        '"copay_collected":12.50,"copay_method":"card"}'
    )
    scriptrun = arrived["scriptrun"]
    assert scriptrun.body.decode() == (
        f'{{"id":"{event_id}","event":"delivery.completed",'
        f'"created_at":"2026-04-19T18:42:10Z","data":{snake}}}'
    )
    signed = f"{UNIX}.".encode() + scriptrun.body
    assert special_headers(scriptrun) == {
        "x-scriptrun-event": "delivery.completed",
        "x-scriptrun-signature": f"t={UNIX},v1={hex_mac(secrets['scriptrun'], signed)}",
    }
    autorx = arrived["autorx"]
    assert autorx.body.decode() == (
        f'{{"event":"delivery.completed","id":"{event_id}","queueId":null,'
        '"timestamp":"2026-04-19T18:42:10Z","attempt":1,"attemptedAt":"2026-04-19T18:42:10Z",'
        f'"data":{{"packageId":"{package_id}","externalPatientId":"PMS-9081",'
        '"rxNumber":"RX-Zoé","driverId":"drv_b12c","deliveredAt":"2026-04-19T18:41:57Z",'
        '"proof":{"photoUrl":"https://example.com/1.jpg","lat":25.8612,"lng":-80.2983},'
        '"copayCollected":12.50,"copayMethod":"card"}}'
    )
    assert special_headers(autorx) == {
        "x-autorx-signature": hex_mac(secrets["autorx"], autorx.body)
    }
    standard = arrived["standard"]
    assert standard.body.decode() == (
        f'{{"type":"delivery.completed","timestamp":"2026-04-19T18:42:10Z","data":{snake}}}'
    )
    signed = f"{event_id}.{UNIX}.".encode() + standard.body
    assert special_headers(standard) == {
        "webhook-id": event_id,
        "webhook-timestamp": f"{UNIX}",
        "webhook-signature": standard_signature(secrets["standard"], signed),
    }
    for webhook in arrived.values():
        assert webhook.method == "POST"
        assert webhook.headers["content-type"] == "application/json"
        assert webhook.headers["user-agent"] == f"rx-gateway/{__version__}"
        assert webhook.headers["content-length"] == f"{len(webhook.body)}"


async def test_an_autorx_endpoint_that_fails_twice_gets_attempts_1_2_3_under_one_id(open_api):
    async with Receiver([500, 500]) as receiver, open_api(RETRY_AT_ONCE) as api:
        added = await api.add(receiver.url, format="autorx", events=["delivery.completed"])
        package_id = await api.order()
        event_id = await api.report(package_id, "delivery.completed", **COMPLETED)
        arrived = await receiver.wait_for(3)
        log = await api.logged(3)
        delivery = await api.delivery_in("delivered", log[0]["delivery_id"])

    bodies = [webhook.json() for webhook in arrived]
    assert [body["attempt"] for body in bodies] == [1, 2, 3]
    assert {body["id"] for body in bodies} == {event_id}
    for webhook in arrived:
        expected = hex_mac(added["secret"], webhook.body)
        assert webhook.headers["x-autorx-signature"] == expected
    assert len({webhook.headers["x-autorx-signature"] for webhook in arrived}) == 3

    assert [(each["attempt"], each["status"], each["outcome"]) for each in log] == [
        (3, 200, "delivered"),
        (2, 500, "failed"),
        (1, 500, "failed"),
    ]
    assert [each["started_at"] for each in log] == [
        body["attemptedAt"] for body in reversed(bodies)
    ]
    for each in log:
        assert each["endpoint_id"] == added["id"]
        assert each["delivery_id"] == delivery["id"]
        assert each["event_id"] == event_id
        assert each["event"] == "delivery.completed"
        assert each["response"] == "ok"
        assert each["error"] is None
        assert 0 <= each["duration_ms"] < 10_000
    assert delivery["attempts"] == log[::-1]
    assert delivery["state"] == "delivered"
    assert delivery["next_attempt_at"] is None


async def test_a_delivery_that_fails_until_its_schedule_ends_is_exhausted(open_api):
    schedule = RETRY_AT_ONCE.replace("[0.05, 0.05]", "[5, 10]") + "give_up_after_seconds = 60\n"
    clock = SteppingClock(START)
    async with Receiver([500] * 9) as receiver, open_api(schedule, clock=clock) as api:
        endpoint_id = (await api.add(receiver.url, events=["package.created"]))["id"]
        await api.order()
        [first] = await api.logged(1)
        # Each wait may be a tenth longer; the last attempt is made when a minute is over.
        for attempts, seconds in ((2, 5.5), (3, 11), (4, 43.5)):
            api.later(seconds, endpoint_id)
            await api.logged(attempts)
        delivery = await api.delivery(first["delivery_id"])
        api.later(3600, endpoint_id)
        await api.idle()
    assert [(each["attempt"], each["started_at"]) for each in delivery["attempts"]] == [
        (1, "2026-04-19T18:42:10Z"),
        (2, "2026-04-19T18:42:15Z"),
        (3, "2026-04-19T18:42:26Z"),
        (4, "2026-04-19T18:43:10Z"),
    ]
    assert {each["status"] for each in delivery["attempts"]} == {500}
    assert (delivery["state"], delivery["next_attempt_at"]) == ("exhausted", None)
    assert delivery["finished_at"] == "2026-04-19T18:43:10Z"
    assert len(receiver.received) == 4


async def test_a_scriptrun_body_stays_the_same_while_its_signature_follows_the_attempt(open_api):
    async with (
        Receiver([503]) as receiver,
        open_api(clock=SteppingClock(START)) as api,
    ):
        added = await api.add(receiver.url, events=["package.created"])
        await api.order()
        await receiver.wait_for(1)
        await api.logged(1)
        api.later(6, added["id"])
        first, second = await receiver.wait_for(2)
    assert first.body == second.body
    for webhook, unix in ((first, UNIX), (second, UNIX + 6)):
        signed = f"{unix}.".encode() + webhook.body
        assert webhook.headers["x-scriptrun-signature"] == (
            f"t={unix},v1={hex_mac(added['secret'], signed)}"
        )


async def test_autorx_in_base64_is_a_setting_of_the_plugin(harness):
    toml = '[plugins.json_api]\n[plugins.webhooks]\nautorx_signature = "base64"\n'
    async with Receiver() as receiver, harness(toml) as gateway:
        key = await gateway.issue_key()
        sent = {"url": receiver.url, "format": "autorx"}
        added = (await gateway.post("/api/webhooks/endpoints", key, sent)).json()
        await gateway.post(f"/api/webhooks/endpoints/{added['id']}/test", key)
        [webhook] = await receiver.wait_for(1)
    expected = base64.b64encode(mac(added["secret"].encode(), webhook.body).digest()).decode()
    assert webhook.headers["x-autorx-signature"] == expected


async def test_an_endpoint_whose_network_is_no_longer_allowed_is_not_called_and_the_log_says_so(
    open_api,
):
    async with Receiver() as receiver:
        async with open_api() as api:
            added = await api.add(receiver.url, events=["package.created"])
        async with open_api("[delivery]\nallow_http = true\n") as api:
            await api.order()
            [logged] = await api.logged(1)
        assert receiver.received == []
    assert logged["endpoint_id"] == added["id"]
    assert (logged["outcome"], logged["status"], logged["error"]) == (
        "failed",
        None,
        "refused_address",
    )
