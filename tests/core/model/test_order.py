"""An order is kept or refused by these rules; the words of a refusal are exact."""

from datetime import date
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Problem
from gateway.model.bag import Prescription
from gateway.model.order import MAX_METADATA_ENTRIES, Order, check

GOOD = Order(
    patient_name="Maria Rodriguez",
    patient_address="123 Main St\nMiami, FL 33178",
    patient_phone="+13055551234",
    patient_email="maria@example.com",
    rx_number="RX-8872341",
    copay_amount=Decimal("12.50"),
    priority="urgent",
    requires_signature=True,
    delivery_date=date(2026, 4, 20),
    notes="Ring twice.\r\n\tSide door.",
    external_patient_id="PMS-9081",
    external_order_id="SO-1001",
    site="main",
    metadata={"lane": "3"},
)
LIMITS = {
    "patient_name": 200,
    "patient_address": 500,
    "patient_phone": 50,
    "patient_email": 254,
    "rx_number": 100,
    "notes": 2000,
    "external_patient_id": 255,
    "external_order_id": 255,
    "site": 40,
}
COPAY_RANGE = Problem("copay_amount must be between 0 and 10000", field="copay_amount")
COPAY_PLACES = Problem("copay_amount must have at most two decimal places", field="copay_amount")
NO_PHONE = Problem("patient_phone is not a phone number; it was left out", field="patient_phone")
NO_EMAIL = Problem("patient_email is not an e-mail address; it was left out", field="patient_email")


def with_(**changes):
    return msgspec.structs.replace(GOOD, **changes)


def errors_of(**changes):
    return check(with_(**changes), "US").errors


def test_a_good_order_is_kept_as_it_is():
    review = check(GOOD, "US")

    assert review.order == GOOD
    assert review.errors == ()
    assert review.warnings == ()


def test_a_name_and_an_address_are_enough():
    bare = Order(patient_name="Ana", patient_address="1 Elm St")

    review = check(bare, "CA")

    assert review.order == bare
    assert review.errors == ()
    assert review.warnings == ()


@pytest.mark.parametrize("field", ["patient_name", "patient_address"])
@pytest.mark.parametrize("value", ["", " ", "\u00a0\u2003", None])
def test_a_required_field_that_is_blank_is_refused(field, value):
    assert errors_of(**{field: value}) == (Problem(f"{field} is required", field=field),)


@pytest.mark.parametrize(("field", "limit"), LIMITS.items())
def test_text_is_taken_up_to_its_limit_and_not_further(field, limit):
    too_long = Problem(f"{field} has more than {limit} characters", field=field)

    assert errors_of(**{field: "é" * limit}) == ()
    assert errors_of(**{field: "é" * (limit + 1)}) == (too_long,)


@pytest.mark.parametrize("field", LIMITS)
@pytest.mark.parametrize("character", ["\x00", "\x08", "\x0b", "\x1b", "\x1f", "\x7f", "\x85"])
def test_a_control_character_is_refused_in_every_field(field, character):
    refused = Problem(f"{field} contains control characters", field=field)

    assert errors_of(**{field: f"a{character}b"}) == (refused,)


@pytest.mark.parametrize("character", ["\u202e", "\u202a", "\u2066", "\u200f", "\u061c"])
def test_a_direction_character_is_refused_and_stripped_from_a_phone(character):
    for field in set(LIMITS) - {"patient_phone"}:
        refused = Problem(f"{field} contains control characters", field=field)
        assert errors_of(**{field: f"a{character}b"}) == (refused,)
    copied = f"{character}+1 613-555-0134\u202c"
    review = check(with_(patient_phone=copied), "US")
    assert (review.order.patient_phone, review.errors) == ("+16135550134", ())


@pytest.mark.parametrize(
    ("metadata", "is_refused"),
    [
        ({"a": "two\nlines"}, False),
        ({"a": "x\x00"}, True),
        ({"a": "\u202egnp.exe"}, True),
        ({"a\n": "x"}, True),
        ({"\x1b[2J": "x"}, True),
    ],
)
def test_control_characters_of_metadata_are_refused(metadata, is_refused):
    refused = Problem("metadata contains control characters", field="metadata")
    assert errors_of(metadata=metadata) == ((refused,) if is_refused else ())


@pytest.mark.parametrize("character", ["\t", "\n", "\r"])
def test_line_breaks_pass_where_several_lines_make_sense_and_only_there(character):
    for field in LIMITS:
        refused = Problem(f"{field} contains control characters", field=field)
        expected = () if field in {"notes", "patient_address"} else (refused,)

        assert errors_of(**{field: f"a{character}b"}) == expected


def test_names_of_every_script_and_emoji_are_kept():
    order = with_(patient_name="Zoë O’Brien-Nguyễn 李 👩\u200d⚕️", notes="💊 ×2")  # noqa: RUF001

    assert check(order, "US").order == order
    assert check(order, "US").errors == ()


@pytest.mark.parametrize("priority", ["routine", "urgent", "stat"])
def test_the_three_priorities_pass(priority):
    assert errors_of(priority=priority) == ()


@pytest.mark.parametrize("priority", ["", "STAT", "asap", "routine "])
def test_any_other_priority_is_refused(priority):
    refused = Problem("priority must be one of routine, urgent, stat", field="priority")

    assert errors_of(priority=priority) == (refused,)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("0", "0.00"),
        ("12.5", "12.50"),
        ("12.50", "12.50"),
        ("12.500", "12.50"),
        ("1E+3", "1000.00"),
        ("0.01", "0.01"),
        ("9999.99", "9999.99"),
        ("10000", "10000.00"),
        ("-0", "0.00"),
    ],
)
def test_a_copay_is_kept_with_two_places(sent, kept):
    review = check(with_(copay_amount=Decimal(sent)), "US")

    assert review.errors == ()
    assert str(review.order.copay_amount) == kept


@pytest.mark.parametrize(
    "amount", ["-0.01", "10000.01", "1E+9", "-1E+999999", "NaN", "-NaN", "sNaN", "Infinity"]
)
def test_a_copay_outside_of_its_range_is_refused(amount):
    assert errors_of(copay_amount=Decimal(amount)) == (COPAY_RANGE,)


@pytest.mark.parametrize("amount", ["0.001", "12.345", "9999.999", "1E-30", "1E-999999"])
def test_a_copay_with_more_than_two_places_is_refused(amount):
    assert errors_of(copay_amount=Decimal(amount)) == (COPAY_PLACES,)


@pytest.mark.parametrize(
    "day", [date(1, 1, 1), date(206, 4, 20), date(1999, 12, 31), date(2101, 1, 1), date.max]
)
def test_a_day_out_of_this_century_is_refused(day):
    between = "must lie between the years 2000 and 2100"
    bag = (Prescription(rx_number="RX-1", filled_on=day),)

    assert errors_of(delivery_date=day) == (
        Problem(f"delivery_date {between}", field="delivery_date"),
    )
    assert errors_of(rx_number=None, copay_amount=None, prescriptions=bag) == (
        Problem(
            f"prescriptions[0].filled_on {between}",
            field="prescriptions[0].filled_on",
        ),
    )


@pytest.mark.parametrize("day", [date(2000, 1, 1), date(2100, 12, 31)])
def test_the_first_and_the_last_day_of_this_century_pass(day):
    assert errors_of(delivery_date=day) == ()


def test_fifty_entries_of_metadata_pass_and_one_more_does_not():
    entries = {f"key{number}": "value" for number in range(51)}
    refused = Problem("metadata has more than 50 entries", field="metadata")

    assert errors_of(metadata=dict(list(entries.items())[:50])) == ()
    assert errors_of(metadata=entries) == (refused,)


def test_metadata_names_and_values_have_their_limits():
    refused = Problem("metadata names have at most 100 characters, values 500", field="metadata")

    assert errors_of(metadata={"n" * 100: "v" * 500}) == ()
    assert errors_of(metadata={"n" * 101: ""}) == (refused,)
    assert errors_of(metadata={"": "v" * 501}) == (refused,)


def test_all_that_is_wrong_is_said_at_once():
    review = check(
        with_(
            patient_name=" ",
            patient_phone="n/a",
            rx_number="x" * 101 + "\n",
            priority="now",
            copay_amount=Decimal("12.345"),
        ),
        "US",
    )

    assert review.errors == (
        Problem("rx_number has more than 100 characters", field="rx_number"),
        Problem("rx_number contains control characters", field="rx_number"),
        Problem("patient_name is required", field="patient_name"),
        Problem("priority must be one of routine, urgent, stat", field="priority"),
        COPAY_PLACES,
    )
    assert review.warnings == (NO_PHONE,)


@pytest.mark.parametrize(
    ("phone", "country", "kept"),
    [
        ("(305) 555-1234", "US", "+13055551234"),
        ("416 555 0123", "CA", "+14165550123"),
        ("020 7946 0018", "GB", "+442079460018"),
    ],
)
def test_a_phone_number_is_brought_to_e164_without_a_word(phone, country, kept):
    review = check(with_(patient_phone=phone), country)

    assert review.order == with_(patient_phone=kept)
    assert review.errors == ()
    assert review.warnings == ()


@pytest.mark.parametrize("phone", ["n/a", "555-1234", "305-555-1234 ext 5"])
def test_what_is_no_phone_number_is_left_out_with_a_warning(phone):
    review = check(with_(patient_phone=phone), "US")

    assert review.order == with_(patient_phone=None)
    assert review.errors == ()
    assert review.warnings == (NO_PHONE,)


@pytest.mark.parametrize(
    "email", ["m@example.com", "m.r+rx@mail.example.co.uk", "o'neil@example.org", "zoë@exämple.ca"]
)
def test_an_email_address_is_kept_as_it_was_given(email):
    review = check(with_(patient_email=email), "US")

    assert review.order == with_(patient_email=email)
    assert review.warnings == ()


@pytest.mark.parametrize(
    "email", ["none", "m@", "@example.com", "m@example", "m r@example.com", "a@b@c.de", "m@x.", "@"]
)
def test_what_is_no_email_address_is_left_out_with_a_warning(email):
    review = check(with_(patient_email=email), "US")

    assert review.order == with_(patient_email=None)
    assert review.errors == ()
    assert review.warnings == (NO_EMAIL,)


TEXT = st.text(max_size=300)
ORDERS = st.builds(
    Order,
    patient_name=TEXT,
    patient_address=TEXT,
    patient_phone=st.none() | TEXT | st.from_regex(r"\+?[0-9 ()./-]{5,20}"),
    patient_email=st.none() | TEXT | st.emails(),
    rx_number=st.none() | TEXT,
    copay_amount=st.none() | st.decimals() | st.decimals(0, 10_000, places=2),
    priority=TEXT | st.sampled_from(["routine", "urgent", "stat"]),
    notes=st.none() | TEXT,
    external_patient_id=st.none() | TEXT,
    external_order_id=st.none() | TEXT,
    site=st.none() | TEXT,
    metadata=st.dictionaries(TEXT, TEXT, max_size=3),
)


@given(ORDERS, st.sampled_from(["US", "CA", "GB", "XX"]))
def test_no_order_whatever_raises_and_no_problem_repeats_what_was_sent(order, country):
    review = check(order, country)

    # A problem says the same whatever was sent: it comes from this short list of sentences.
    known = {"patient_name", "patient_address"}
    allowed = {NO_PHONE, NO_EMAIL, COPAY_RANGE, COPAY_PLACES}
    allowed |= {Problem(f"{name} is required", field=name) for name in known}
    for name, limit in LIMITS.items():
        allowed.add(Problem(f"{name} has more than {limit} characters", field=name))
        allowed.add(Problem(f"{name} contains control characters", field=name))
    allowed.add(Problem("metadata names have at most 100 characters, values 500", field="metadata"))
    allowed.add(Problem(f"metadata has more than {MAX_METADATA_ENTRIES} entries", field="metadata"))
    allowed.add(Problem("metadata contains control characters", field="metadata"))
    allowed.add(Problem("priority must be one of routine, urgent, stat", field="priority"))
    assert set(review.errors) | set(review.warnings) <= allowed


@given(ORDERS)
def test_what_was_kept_once_is_kept_again_unchanged(order):
    review = check(order, "US")
    if review.errors:
        return

    again = check(review.order, "US")

    assert again.order == review.order
    assert again.errors == ()
    assert again.warnings == ()
