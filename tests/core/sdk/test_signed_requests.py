"""Signatures of webhooks that come in, in the forms that senders use."""

import base64
import hashlib
import hmac
from datetime import timedelta

import pytest

from gateway.clock import from_epoch_ms
from gateway.errors import NotAuthenticated
from gateway.plugin import SignatureScheme, signed_headers, signed_request

NOW = from_epoch_ms(1_700_000_000_000)
BODY = b'{"id": 7, "name": "Ana"}'
PLAIN = SignatureScheme("X-Signature")
SHOP = SignatureScheme("X-WC-Webhook-Signature", encoding="base64")
HUB = SignatureScheme("X-Hub-Signature-256", prefix="sha256=")
STRIPE = SignatureScheme(
    "Stripe-Signature", signed="{timestamp}.{body}", timestamp_key="t", signature_key="v1"
)
STANDARD = SignatureScheme(
    "webhook-signature",
    encoding="base64",
    signed="{id}.{timestamp}.{body}",
    id_header="webhook-id",
    timestamp_header="webhook-timestamp",
    prefix="v1,",
)


def mac(message: bytes, secret: str = "s3cret", algorithm: str = "sha256") -> bytes:
    return hmac.new(secret.encode(), message, algorithm).digest()


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


STAMPED = b"1700000000." + BODY
GOOD = {
    "hex": (PLAIN, {"X-Signature": mac(BODY).hex()}),
    "base64": (SHOP, {"X-WC-Webhook-Signature": b64(mac(BODY))}),
    "behind a prefix": (HUB, {"X-Hub-Signature-256": f"sha256={mac(BODY).hex()}"}),
    "with its time": (STRIPE, {"Stripe-Signature": f"t=1700000000,v1={mac(STAMPED).hex()}"}),
    "one of two": (
        STRIPE,
        {"Stripe-Signature": f"t=1700000000,v1={'0' * 64},v1={mac(STAMPED).hex()}"},
    ),
    "with id and time": (
        STANDARD,
        {
            "webhook-id": "msg_1",
            "webhook-timestamp": "1700000000",
            "webhook-signature": f"v1a,AAAA v1,{b64(mac(b'msg_1.' + STAMPED))}",
        },
    ),
    "sha1": (
        SignatureScheme("X-Sig", algorithm="sha1"),
        {"X-Sig": hmac.new(b"s3cret", BODY, hashlib.sha1).hexdigest()},
    ),
    "milliseconds": (
        SignatureScheme("X-Sig", signed="{timestamp}{body}", timestamp_header="X-Time"),
        {"X-Sig": mac(b"1700000000000" + BODY).hex(), "X-Time": "1700000000000"},
    ),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_request_that_a_known_secret_signed_is_taken(name):
    scheme, headers = GOOD[name]

    signed_request(scheme, headers, BODY, ["s3cret"], NOW)
    signed_request(scheme, headers, BODY, ["of tomorrow", b"s3cret"], NOW)


@pytest.mark.parametrize("name", GOOD)
def test_another_body_or_secret_or_no_header_is_refused(name):
    scheme, headers = GOOD[name]

    for body, secret, given in (
        (BODY + b" ", "s3cret", headers),
        (BODY, "another", headers),
        (BODY, "s3cret", {key: value for key, value in headers.items() if key != scheme.header}),
    ):
        with pytest.raises(NotAuthenticated) as raised:
            signed_request(scheme, given, body, [secret], NOW)
        assert scheme.header in raised.value.message


@pytest.mark.parametrize("seconds", [301, -301])
@pytest.mark.parametrize("name", ["with its time", "with id and time", "milliseconds"])
def test_a_recorded_request_is_refused_once_its_time_is_over(name, seconds):
    scheme, headers = GOOD[name]
    signed_request(scheme, headers, BODY, ["s3cret"], NOW + timedelta(seconds=300))

    with pytest.raises(NotAuthenticated, match="more than 300 seconds old or ahead"):
        signed_request(scheme, headers, BODY, ["s3cret"], NOW + timedelta(seconds=seconds))


@pytest.mark.parametrize(
    "header",
    [
        "",
        "t=,v1=",
        "t=x,v1=00",
        "v1=00",
        "t=1700000000",
        "t=1700000000,v1=zz",
        "t=9e9,v1=00",
        "t=" + "9" * 400,
        "," * 5000,
    ],
)
def test_a_header_of_nonsense_is_refused(header):
    with pytest.raises(NotAuthenticated):
        signed_request(STRIPE, {"Stripe-Signature": header}, BODY, ["s3cret"], NOW)


@pytest.mark.parametrize("secrets", [[], [""], ["s3cret", b""]])
def test_no_secret_or_an_empty_one_is_a_fault_of_the_plugin(secrets):
    headers = {"X-Signature": mac(BODY, "").hex()}

    with pytest.raises(ValueError, match="at least one secret"):
        signed_request(PLAIN, headers, BODY, secrets, NOW)


@pytest.mark.parametrize("scheme", [PLAIN, SHOP, HUB, STRIPE, STANDARD])
def test_a_sender_of_the_same_scheme_adds_headers_that_are_accepted(scheme):
    headers = signed_headers(scheme, BODY, "s3cret", NOW)

    signed_request(scheme, headers, BODY, ["s3cret"], NOW)
    with pytest.raises(NotAuthenticated):
        signed_request(scheme, headers, BODY + b" ", ["s3cret"], NOW)


def test_signed_headers_are_written_as_the_vendors_write_them():
    assert signed_headers(STRIPE, BODY, "s3cret", NOW) == GOOD["with its time"][1]
    assert signed_headers(HUB, BODY, b"s3cret", NOW) == GOOD["behind a prefix"][1]
