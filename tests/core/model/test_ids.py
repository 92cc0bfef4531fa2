"""Ids: a prefix, and a UUIDv7 as RFC 9562, section 5.7, lays it out."""

import re
import uuid
from datetime import UTC, datetime, timedelta, timezone
from functools import reduce
from operator import and_, or_

from hypothesis import given
from hypothesis import strategies as st

from gateway.clock import from_epoch_ms, to_epoch_ms
from gateway.model.ids import first_id, new_id, new_ids

MOMENT = datetime(2026, 4, 19, 18, 42, 10, 123_000, tzinfo=UTC)
MOMENT_MS = 1_776_624_130_123


def number(made: str) -> int:
    return int(made.partition("_")[2], 16)


def test_an_id_is_its_prefix_and_32_hex_digits():
    made = new_id("pkg", MOMENT)

    assert re.fullmatch(r"pkg_[0-9a-f]{32}", made)


def test_the_first_48_bits_are_the_moment_in_milliseconds():
    made = new_id("evt", MOMENT)

    assert number(made) >> 80 == MOMENT_MS


def test_the_moment_is_the_same_in_every_time_zone():
    toronto = MOMENT.astimezone(timezone(timedelta(hours=-4)))

    assert number(new_id("evt", toronto)) >> 80 == MOMENT_MS


def test_the_version_is_7_and_the_variant_that_of_the_rfc():
    for made in new_ids("dlv", MOMENT_MS, 1000):
        read = uuid.UUID(made.removeprefix("dlv_"))

        assert read.version == 7
        assert read.variant == uuid.RFC_4122


def test_every_other_bit_is_random():
    # Given as many ids that a bit is the same in all of them once in 2**2000 runs
    numbers = [number(made) for made in new_ids("dlv", 0, 2000)]

    # Then all 74 bits outside of time, version and variant were seen as 0 and as 1
    free = ((1 << 12) - 1) << 64 | ((1 << 62) - 1)
    assert reduce(or_, numbers) & free == free
    assert reduce(and_, numbers) & free == 0


def test_ten_thousand_ids_of_one_moment_are_all_different():
    assert len(set(new_ids("pkg", MOMENT_MS, 10_000))) == 10_000


def test_as_many_ids_are_made_as_were_asked_for():
    assert new_ids("pkg", MOMENT_MS, 0) == []
    assert len(new_ids("pkg", MOMENT_MS, 100)) == 100


@given(st.integers(0, 2**48 - 2), st.integers(1, 2**40))
def test_a_later_id_sorts_after_an_earlier_one(earlier_ms, more_ms):
    later_ms = min(earlier_ms + more_ms, 2**48 - 1)

    (earlier,) = new_ids("pkg", earlier_ms, 1)
    (later,) = new_ids("pkg", later_ms, 1)

    assert earlier < later


def test_the_first_id_of_a_moment_lies_between_its_own_and_those_of_before():
    first = first_id("evt", MOMENT)

    assert all(first < made for made in new_ids("evt", MOMENT_MS, 100))
    assert all(made < first for made in new_ids("evt", MOMENT_MS - 1, 100))


@given(st.integers(0, to_epoch_ms(datetime(2100, 1, 1, tzinfo=UTC))))
def test_a_moment_survives_the_form_that_tables_hold(epoch_ms):
    assert to_epoch_ms(from_epoch_ms(epoch_ms)) == epoch_ms
