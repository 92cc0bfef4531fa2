"""How an address is asked: keys that make a request harmless to repeat, pages not too large."""

import hashlib

import pytest

from gateway.errors import InvalidInput
from gateway.model.submission import Idempotency
from gateway.sdk.http import idempotency_key, page_size


def test_a_request_without_a_key_is_like_no_other():
    assert idempotency_key(None, b"{}") is None


@pytest.mark.parametrize("key", ["a", "!~", "k" * 255])
def test_a_request_with_a_key_is_known_by_it_and_by_what_it_asks(key):
    assert idempotency_key(key, b"{}") == Idempotency(key, hashlib.sha256(b"{}").digest())


@pytest.mark.parametrize("key", ["", "two words", "k" * 256, "schlüssel", "a\n"])
def test_a_key_of_other_characters_is_refused(key):
    with pytest.raises(InvalidInput) as caught:
        idempotency_key(key, b"{}")

    assert caught.value.message == "Idempotency-Key takes 1 to 255 visible ASCII characters."


@pytest.mark.parametrize("limit", [1, 50, 100])
def test_a_page_holds_as_many_as_asked_for(limit):
    assert page_size(limit) == limit


@pytest.mark.parametrize("limit", [-1, 0, 101, 2**63])
def test_a_page_of_another_size_is_refused(limit):
    with pytest.raises(InvalidInput) as caught:
        page_size(limit)

    assert caught.value.message == "limit must be between 1 and 100."
