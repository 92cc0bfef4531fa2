"""From an order posted to a signed webhook received."""

from gateway.testing import Receiver

ORDER = {
    "patient_name": "Maria Rodriguez",
    "patient_address": "123 Main St, Miami, FL 33178",
    "patient_phone": "+13055551234",
    "rx_number": "RX-8872341",
    "copay_amount": 12.50,
    "priority": "routine",
    "requires_signature": True,
}
PLUGINS = "[plugins.json_api]\n[plugins.webhooks]\n"


async def test_an_order_becomes_a_package_and_its_delivery_a_signed_webhook(harness):
    async with Receiver() as receiver, harness(PLUGINS) as gateway:
        key = await gateway.issue_key()
        endpoint = await gateway.post(
            "/api/webhooks/endpoints", key, {"url": receiver.url, "events": ["delivery.*"]}
        )
        assert endpoint.status_code == 201, endpoint.text
        answer = await gateway.post("/api/webhook/orders", key, {"orders": [ORDER]})
        assert answer.status_code == 200, answer.text
        assert answer.json()["created"] == 1
        [package_id] = answer.json()["package_ids"]
        update = {
            "event": "delivery.completed",
            "driver_id": "drv_b12c",
            "occurred_at": "2026-04-19T18:41:57Z",
            "copay_collected": 12.50,
            "copay_method": "card",
        }
        done = await gateway.post(f"/api/packages/{package_id}/events", key, update)
        assert done.status_code == 200, done.text
        [webhook] = await receiver.wait_for(1)
    assert webhook.headers["x-scriptrun-event"] == "delivery.completed"
    assert webhook.json()["data"] == {
        "package_id": package_id,
        "external_patient_id": None,
        "rx_number": "RX-8872341",
        "driver_id": "drv_b12c",
        "delivered_at": "2026-04-19T18:41:57Z",
        "proof": None,
        "copay_collected": 12.50,
        "copay_method": "card",
    }
    assert b'"copay_collected":12.50,' in webhook.body
