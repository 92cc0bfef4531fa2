"""The core's catalog: what the contract names, with samples that fit their schemas."""

import jsonschema_rs
import msgspec
import pytest

from gateway.model.catalog import core_event_types
from gateway.model.event import is_pattern
from gateway.model.package import STATUS_AFTER
from gateway.model.wire import encode

CATALOG = {each.type: each for each in core_event_types()}
NAMED_BY_THE_CONTRACT = {
    "package.created",
    "package.cancelled",
    "delivery.assigned",
    "delivery.picked_up",
    "delivery.out_for_delivery",
    "delivery.arrived",
    "delivery.attempted",
    "delivery.rescheduled",
    "delivery.completed",
    "delivery.failed",
    "delivery.returning",
    "delivery.returned",
    "endpoint.disabled",
    "endpoint.recovered",
    "plan.usage",
}
# docs/decisions/0005-three-more-event-types.md
# docs/decisions/0013-packages-can-be-amended.md
ADDED = {"package.ready", "package.updated", "delivery.unassigned", "endpoint.failing"}


def as_json(value):
    return msgspec.json.decode(encode(value))


def validator(event_type):
    return jsonschema_rs.Draft202012Validator(as_json(event_type.schema), validate_formats=True)


def test_the_core_publishes_what_the_contract_names_and_nothing_else():
    assert set(CATALOG) == NAMED_BY_THE_CONTRACT | ADDED
    assert len(CATALOG) == len(core_event_types())


def test_every_update_that_can_be_reported_has_its_event_type():
    assert set(STATUS_AFTER) <= set(CATALOG)


@pytest.mark.parametrize("event_type", CATALOG.values(), ids=CATALOG)
def test_a_sample_fits_its_schema(event_type):
    validator(event_type).validate(as_json(event_type.sample))


@pytest.mark.parametrize("event_type", CATALOG.values(), ids=CATALOG)
def test_a_sample_without_what_is_required_does_not_fit(event_type):
    for missing in event_type.schema["required"]:
        sample = {name: value for name, value in event_type.sample.items() if name != missing}

        assert not validator(event_type).is_valid(as_json(sample))


@pytest.mark.parametrize("event_type", CATALOG.values(), ids=CATALOG)
def test_a_sample_shows_nothing_that_its_schema_does_not_describe(event_type):
    assert set(event_type.sample) <= set(event_type.schema["properties"])


@pytest.mark.parametrize("event_type", CATALOG.values(), ids=CATALOG)
def test_a_value_of_the_wrong_kind_does_not_fit(event_type):
    for name in event_type.sample:
        wrong = {**as_json(event_type.sample), name: [[]]}

        assert not validator(event_type).is_valid(wrong), name


@pytest.mark.parametrize("event_type", CATALOG.values(), ids=CATALOG)
def test_a_type_can_be_subscribed_to_and_its_meaning_is_a_sentence(event_type):
    assert is_pattern(event_type.type)
    assert event_type.meaning[0].isupper()
    assert event_type.meaning.endswith(".")


def test_the_sample_of_a_completed_delivery_is_that_of_the_contract():
    assert CATALOG["delivery.completed"].sample == {
        "package_id": "pkg_0199d2c4a1b27c3e8f40a1b2c3d4e5f6",
        "external_patient_id": "PMS-9081",
        "rx_number": "RX-8872341",
        "driver_id": "drv_b12c",
        "delivered_at": "2026-04-19T18:41:57Z",
        "proof": {
            "photo_url": "https://storage.example.com/p/1.jpg",
            "signature_url": "https://storage.example.com/s/1.png",
            "lat": 25.8612,
            "lng": -80.2983,
        },
        "copay_collected": 12.50,
        "copay_method": "card",
    }
