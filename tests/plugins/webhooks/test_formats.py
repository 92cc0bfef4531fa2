"""The three formats byte for byte, and their signatures, made again here by other means."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from gateway_webhooks.formats import camel_cased, write
from gateway_webhooks.settings import EndpointSettings, WebhooksSettings

DATA = Path(__file__).parents[2] / "data" / "signatures.json"
VECTORS = {vector["format"]: vector for vector in json.loads(DATA.read_text("utf-8"))["vectors"]}

NOW = datetime(2026, 4, 19, 18, 42, 11, 500_000, tzinfo=UTC)
UNIX = 1776624131
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NEXT = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
HEX_SETTINGS = WebhooksSettings()

COMPLETED = {
    "package_id": "pkg_1",
    "external_patient_id": None,
    "rx_number": "RX-8872341",
    "driver_id": "drv_Zoé 💊",
    "delivered_at": "2026-04-19T18:41:57Z",
    "proof": {
        "photo_url": "https://storage.example.com/p/1.jpg?a=1&b=<2>",
        "id_checked": {"id_type": 'dri"ver\n'},
        "lat": Decimal("25.8612"),
        "lng": -80.2983,
    },
    "copay_collected": Decimal("12.50"),
    "copay_method": "card",
    "stops": [{"stop_number": 1}, {"stop_number": 2}],
}
EXCEPTED = {"queue_id": "rxq_7", "reasons": ["din_ambiguous"], "patient_id": "P-1204"}

SNAKE_COMPLETED = (
    '{"package_id":"pkg_1","external_patient_id":null,"rx_number":"RX-8872341",'
    '"driver_id":"drv_Zoé 💊","delivered_at":"2026-04-19T18:41:57Z",'
    '"proof":{"photo_url":"https://storage.example.com/p/1.jpg?a=1&b=<2>",'
    '"id_checked":{"id_type":"dri\\"ver\\n"},"lat":25.8612,"lng":-80.2983},'
    '"copay_collected":12.50,"copay_method":"card",'
    '"stops":[{"stop_number":1},{"stop_number":2}]}'
)
CAMEL_COMPLETED = (
    '{"packageId":"pkg_1","externalPatientId":null,"rxNumber":"RX-8872341",'
    '"driverId":"drv_Zoé 💊","deliveredAt":"2026-04-19T18:41:57Z",'
    '"proof":{"photoUrl":"https://storage.example.com/p/1.jpg?a=1&b=<2>",'
    '"idChecked":{"idType":"dri\\"ver\\n"},"lat":25.8612,"lng":-80.2983},'
    '"copayCollected":12.50,"copayMethod":"card",'
    '"stops":[{"stopNumber":1},{"stopNumber":2}]}'
)


def endpoint(wire_format, **more):
    fields = {"url": "https://example.com/", "format": wire_format, "secret": SECRET}
    return EndpointSettings(**fields | more)


def rotating(wire_format, ends_after=timedelta(hours=1)):
    return endpoint(wire_format, next_secret=NEXT, rotation_ends_at=NOW + ends_after)


def mac(key, message):
    return hmac.new(key, message, hashlib.sha256)


def hex_mac(secret, message):
    return mac(secret.encode(), message).hexdigest()


def standard_mac(secret, message):
    key = base64.b64decode(secret.removeprefix("whsec_"))
    return base64.b64encode(mac(key, message).digest()).decode()


def test_scriptrun_is_written_and_signed_byte_for_byte(claimed):
    message = write(claimed(data=COMPLETED), endpoint("scriptrun"), HEX_SETTINGS, NOW)
    assert message.body.decode() == (
        '{"id":"evt_1","event":"delivery.completed","created_at":"2026-04-19T18:42:10Z",'
        f'"data":{SNAKE_COMPLETED}}}'
    )
    assert message.headers == {
        "X-ScriptRun-Event": "delivery.completed",
        "X-ScriptRun-Signature": f"t={UNIX},v1="
        + hex_mac(SECRET, f"{UNIX}.".encode() + message.body),
        "Content-Type": "application/json",
    }


def test_autorx_is_written_and_signed_byte_for_byte(claimed):
    delivery = claimed(data=COMPLETED, attempt=3)
    message = write(delivery, endpoint("autorx"), HEX_SETTINGS, NOW)
    assert message.body.decode() == (
        '{"event":"delivery.completed","id":"evt_1","queueId":null,'
        '"timestamp":"2026-04-19T18:42:10Z","attempt":3,"attemptedAt":"2026-04-19T18:42:11Z",'
        f'"data":{CAMEL_COMPLETED}}}'
    )
    assert message.headers == {
        "X-AutoRx-Signature": hex_mac(SECRET, message.body),
        "Content-Type": "application/json",
    }


def test_standard_is_written_and_signed_byte_for_byte(claimed):
    message = write(claimed(data=COMPLETED), endpoint("standard"), HEX_SETTINGS, NOW)
    assert message.body.decode() == (
        '{"type":"delivery.completed","timestamp":"2026-04-19T18:42:10Z",'
        f'"data":{SNAKE_COMPLETED}}}'
    )
    signed = f"evt_1.{UNIX}.".encode() + message.body
    assert message.headers == {
        "webhook-id": "evt_1",
        "webhook-timestamp": f"{UNIX}",
        "webhook-signature": f"v1,{standard_mac(SECRET, signed)}",
        "Content-Type": "application/json",
    }


def test_autorx_has_the_queue_id_beside_the_event_and_in_its_data(claimed):
    delivery = claimed(type="rx.excepted", data=EXCEPTED)
    message = write(delivery, endpoint("autorx"), HEX_SETTINGS, NOW)
    assert message.body == (
        b'{"event":"rx.excepted","id":"evt_1","queueId":"rxq_7",'
        b'"timestamp":"2026-04-19T18:42:10Z","attempt":1,"attemptedAt":"2026-04-19T18:42:11Z",'
        b'"data":{"queueId":"rxq_7","reasons":["din_ambiguous"],"patientId":"P-1204"}}'
    )


def test_a_queue_id_stays_in_snake_case_in_the_other_two(claimed):
    delivery = claimed(type="rx.excepted", data=EXCEPTED)
    data = b'"data":{"queue_id":"rxq_7","reasons":["din_ambiguous"],"patient_id":"P-1204"}}'
    for wire_format in ("scriptrun", "standard"):
        message = write(delivery, endpoint(wire_format), HEX_SETTINGS, NOW)
        assert message.body.endswith(data)


@pytest.mark.parametrize("wire_format", ["scriptrun", "autorx", "standard"])
def test_the_verifiers_of_this_file_give_the_known_answers(wire_format):
    vector = VECTORS[wire_format]
    body, timestamp = vector["body"].encode(), vector.get("timestamp")
    if wire_format == "scriptrun":
        made = f"t={timestamp},v1=" + hex_mac(vector["secret"], f"{timestamp}.".encode() + body)
    elif wire_format == "autorx":
        made = hex_mac(vector["secret"], body)
    else:
        signed = f"{vector['id']}.{timestamp}.".encode() + body
        made = f"v1,{standard_mac(vector['secret'], signed)}"
    assert made == vector["header"]


def test_autorx_can_be_signed_in_base64(claimed):
    settings = WebhooksSettings(autorx_signature="base64")
    message = write(claimed(data=COMPLETED), rotating("autorx"), settings, NOW)
    in_use, following = (
        base64.b64encode(mac(secret.encode(), message.body).digest()).decode()
        for secret in (SECRET, NEXT)
    )
    assert message.headers["X-AutoRx-Signature"] == in_use
    assert message.headers["X-AutoRx-Signature-Next"] == following


def test_scriptrun_signs_with_the_new_secret_first_and_the_one_in_use_last_while_rotating(claimed):
    message = write(claimed(), rotating("scriptrun"), HEX_SETTINGS, NOW)
    signed = f"{UNIX}.".encode() + message.body
    assert message.headers["X-ScriptRun-Signature"] == (
        f"t={UNIX},v1={hex_mac(NEXT, signed)},v1={hex_mac(SECRET, signed)}"
    )


def test_standard_lists_both_signatures_while_rotating(claimed):
    message = write(claimed(), rotating("standard"), HEX_SETTINGS, NOW)
    signed = f"evt_1.{UNIX}.".encode() + message.body
    assert message.headers["webhook-signature"] == (
        f"v1,{standard_mac(SECRET, signed)} v1,{standard_mac(NEXT, signed)}"
    )


def test_autorx_adds_a_header_for_the_new_secret_while_rotating(claimed):
    message = write(claimed(), rotating("autorx"), HEX_SETTINGS, NOW)
    assert message.headers == {
        "X-AutoRx-Signature": hex_mac(SECRET, message.body),
        "X-AutoRx-Signature-Next": hex_mac(NEXT, message.body),
        "Content-Type": "application/json",
    }


def test_the_new_secret_signs_alone_from_the_moment_the_overlap_ends(claimed):
    message = write(claimed(), rotating("autorx", timedelta(0)), HEX_SETTINGS, NOW)
    assert message.headers == {
        "X-AutoRx-Signature": hex_mac(NEXT, message.body),
        "Content-Type": "application/json",
    }
    before = write(claimed(), rotating("autorx", timedelta(microseconds=1)), HEX_SETTINGS, NOW)
    assert before.headers["X-AutoRx-Signature"] == hex_mac(SECRET, message.body)


def test_an_endpoints_own_headers_go_out_beside_ours(claimed):
    own = endpoint("autorx", headers={"Authorization": "Bearer abc", "X-Tenant": "7"})
    message = write(claimed(), own, HEX_SETTINGS, NOW)
    assert list(message.headers) == [
        "X-AutoRx-Signature",
        "Content-Type",
        "Authorization",
        "X-Tenant",
    ]
    assert message.headers["Authorization"] == "Bearer abc"


@pytest.mark.parametrize(
    ("snake", "camel"),
    [
        ({"a": 1}, {"a": 1}),
        ({"queue_id": None}, {"queueId": None}),
        ({"a_b_c": [{"d_e": 1}, "f_g"]}, {"aBC": [{"dE": 1}, "f_g"]}),
        (
            {"already": {"nested_key": {"deep_key": True}}},
            {"already": {"nestedKey": {"deepKey": True}}},
        ),
        ({"alreadyCamel": 1}, {"alreadyCamel": 1}),
        ({"line_2_text": 1}, {"line2Text": 1}),
        ({}, {}),
        ([], []),
        ("snake_value", "snake_value"),
        (None, None),
    ],
)
def test_keys_are_camel_cased_and_values_left_alone(snake, camel):
    assert camel_cased(snake) == camel
