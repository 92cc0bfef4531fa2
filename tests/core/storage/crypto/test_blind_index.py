"""Blind indexes: a value is found again without being stored."""

import hmac

from core.storage.rows import newest_only
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.storage.crypto.encryption import Sealer
from gateway.storage.crypto.keyring import Keyring, derived_key

KEYRING = Keyring(bytes(range(32)), ((1, bytes(range(32, 64))),))
SEALER = Sealer(KEYRING)


def test_a_blind_index_is_sixteen_bytes_and_always_the_same_ones() -> None:
    # Pinned: were these bytes to change, no stored row could be looked up any more.
    assert (
        SEALER.blind_index("patient_phone", "acc_1", "+14165550123").hex()
        == "66c256573a8579f110240db0e8c32960"
    )


def test_a_blind_index_is_an_hmac_whatever_the_length() -> None:
    key = derived_key(KEYRING.index_key, "rx-gateway blind index v1")
    for length in (0, 1, 55, 56, 63, 64, 65, 119, 128, 1000):
        whole = hmac.digest(key, b"5:notes5:acc_1" + b"x" * length, "sha256")

        assert SEALER.blind_index("notes", "acc_1", "x" * length) == whole[:16]


def test_a_blind_index_survives_rotation() -> None:
    before = SEALER.blind_index("rx_number", "acc_1", "RX-8872341")

    rotated = KEYRING.rotated()
    assert Sealer(rotated).blind_index("rx_number", "acc_1", "RX-8872341") == before
    retired = newest_only(rotated)
    assert Sealer(retired).blind_index("rx_number", "acc_1", "RX-8872341") == before


def test_a_blind_index_depends_on_key_field_account_and_value() -> None:
    indexes = {
        SEALER.blind_index("rx_number", "acc_1", "1"),
        SEALER.blind_index("rx_number", "acc_1", "2"),
        SEALER.blind_index("rx_number", "acc_2", "1"),
        SEALER.blind_index("patient_phone", "acc_1", "1"),
        Sealer(Keyring.generate()).blind_index("rx_number", "acc_1", "1"),
    }

    assert len(indexes) == 5


@settings(deadline=None)
@given(
    first=st.tuples(st.text("1:a", max_size=4), st.text("1:a", max_size=4), st.text("1:a")),
    second=st.tuples(st.text("1:a", max_size=4), st.text("1:a", max_size=4), st.text("1:a")),
)
def test_blind_indexes_are_equal_only_for_equal_parts(
    first: tuple[str, str, str], second: tuple[str, str, str]
) -> None:
    equal = SEALER.blind_index(*first) == SEALER.blind_index(*second)

    assert equal == (first == second)


def test_shifted_parts_do_not_make_the_same_blind_index() -> None:
    assert SEALER.blind_index("ab", "c", "d") != SEALER.blind_index("a", "bc", "d")
    assert SEALER.blind_index("a", "bc", "d") != SEALER.blind_index("a", "b", "cd")
    # "1:" written out as text makes the very same characters unless the lengths differ
    assert SEALER.blind_index("a", "", "1:b") != SEALER.blind_index("a", "b", "")


def test_text_that_cannot_be_encoded_is_just_not_found() -> None:
    assert len(SEALER.blind_index("rx_number", "acc_1", "\ud800")) == 16
