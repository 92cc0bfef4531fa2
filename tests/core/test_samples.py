"""Sample payloads: a real gateway takes them, and every event type has one."""

import msgspec
import pytest

from gateway.model.catalog import core_event_types
from gateway.model.wire import encode
from gateway.testing import samples

TOML = '[plugins.json_api]\n[plugins.webhooks]\n[plugins.rx_queue]\nwriter = "agent"\n'


@pytest.fixture
async def gateway(harness):
    async with harness(TOML) as running:
        yield running


async def test_every_sample_order_is_taken_without_a_remark(gateway, sample_orders):
    key = await gateway.issue_key()

    answer = await gateway.post("/api/webhook/orders", key, {"orders": sample_orders(30)})

    assert answer.status_code == 200
    assert (answer.json()["created"], answer.json()["warnings"]) == (30, [])


async def test_every_sample_prescription_is_queued(gateway, sample_prescriptions):
    key = await gateway.issue_key()
    now = gateway.gateway.clock.now()

    answer = await gateway.post("/api/rx", key, {"prescriptions": sample_prescriptions(6, now=now)})

    assert answer.status_code == 202, answer.text
    assert len(answer.json()["queueIds"]) == 6


async def test_there_is_an_event_of_every_type_and_it_fits_its_schema(gateway, sample_events):
    import jsonschema_rs

    catalog = {each.type: each for each in gateway.gateway.catalog()}
    found = sample_events(gateway.gateway.catalog())

    assert sorted(each.type for each in found) == sorted(catalog)
    for event in found:
        schema = jsonschema_rs.validator_for(dict(catalog[event.type].schema))
        assert schema.is_valid(msgspec.json.decode(encode(event.data))), event.type
        assert event.subject == event.data.get("package_id", event.subject)
    assert len(sample_events()) == len(core_event_types())


def test_fields_are_replaced_or_left_out():
    [order] = samples.orders(1, patient_phone=None, notes="ring twice")
    completed = next(each for each in core_event_types() if each.type == "delivery.completed")

    assert "patient_phone" not in order
    assert order["notes"] == "ring twice"
    event = samples.event(completed, package_id="pkg_7", copay_collected=None)
    assert event.subject == event.data["package_id"] == "pkg_7"
    assert "copay_collected" not in event.data
    assert samples.order(1) != samples.order(2)
