"""A webhook is Shopify's when one of the secrets signed its very bytes."""

import base64

import pytest
from gateway_shopify.signing import is_signed
from shopify_orders import signature

BODY = b'{"id": 1}'
GOOD = signature(BODY, "now")


def test_the_documented_way_of_signing_is_known():
    # Computed with: printf '%s' '{"id": 1}' | openssl dgst -sha256 -hmac now -binary | base64
    assert GOOD == "wsqyHoStEbnvzKelxOzcBd+UzT8EOE0Xv4sS656dum4="
    assert is_signed(BODY, GOOD, ["now"])


def test_the_secret_of_before_is_good_as_well():
    assert is_signed(BODY, signature(BODY, "before"), ["now", "before"])
    assert not is_signed(BODY, signature(BODY, "long ago"), ["now", "before"])


@pytest.mark.parametrize(
    "given",
    [
        None,
        "",
        "é",
        "not base64!",
        GOOD[:-4],
        base64.b64decode(GOOD).hex(),
        signature(BODY + b" ", "now"),
        signature(BODY, ""),
    ],
)
def test_everything_else_is_not(given):
    assert not is_signed(BODY, given, ["now", "before"])
