"""Codes of authenticators, by the vectors of RFC 6238, and recovery codes."""

from datetime import UTC, datetime

import pytest

from gateway.auth.totp import (
    code_at,
    is_recovery_code,
    matching_step,
    new_recovery_codes,
    provisioning_uri,
    qr_svg,
    recovery_hash,
    step_of,
)

SECRET = b"12345678901234567890"


@pytest.mark.parametrize(
    ("seconds", "code"),
    [
        (59, "287082"),
        (1111111109, "081804"),
        (1111111111, "050471"),
        (1234567890, "005924"),
        (2000000000, "279037"),
        (20000000000, "353130"),
    ],
)
def test_codes_are_those_of_rfc_6238(seconds, code):
    moment = datetime.fromtimestamp(seconds, UTC)

    assert code_at(SECRET, step_of(moment)) == code
    assert matching_step(SECRET, code, moment, 0) == step_of(moment)


@pytest.mark.parametrize(("drift", "is_taken"), [(-2, False), (-1, True), (1, True), (2, False)])
def test_a_clock_may_be_half_a_minute_off(drift, is_taken):
    now = datetime.fromtimestamp(2000000000, UTC)
    code = code_at(SECRET, step_of(now) + drift)

    assert (matching_step(SECRET, code, now, 0) is not None) == is_taken


def test_a_step_that_was_used_is_not_taken_again_nor_one_before_it():
    now = datetime.fromtimestamp(2000000000, UTC)
    step = step_of(now)

    assert matching_step(SECRET, code_at(SECRET, step), now, step) is None
    assert matching_step(SECRET, code_at(SECRET, step - 1), now, step) is None
    assert matching_step(SECRET, code_at(SECRET, step + 1), now, step) == step + 1


@pytest.mark.parametrize("text", ["", "28708", "2870822", "abcdef", "٢٨٧٠٨٢"])
def test_what_is_no_code_matches_nothing(text):
    assert matching_step(SECRET, text, datetime.fromtimestamp(59, UTC), 0) is None


def test_the_qr_code_holds_the_secret_issuer_and_address_and_no_style_attribute():
    uri = provisioning_uri(SECRET, issuer="rx-gateway", account="amara@lakeside.example")

    assert uri == (
        "otpauth://totp/rx-gateway:amara@lakeside.example"
        "?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=rx-gateway"
    )
    assert qr_svg(uri).startswith("<svg")
    assert "style" not in qr_svg(uri)


def test_recovery_codes_are_ten_different_ones_and_read_as_people_write():
    codes = new_recovery_codes()

    assert len(set(codes)) == 10
    assert all(is_recovery_code(each) for each in codes)
    assert recovery_hash("7QK4-M2XD-91ZT-H0PA") == recovery_hash(" 7qk4 m2xd 9izt hopa ")
    assert not is_recovery_code("482101")
