"""Telephone numbers: what becomes E.164, and what is no telephone number at all."""

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phonenumbers import PhoneNumberFormat, ValidationResult

from gateway.model.phone import to_e164

DIGIT = st.sampled_from("0123456789")


@pytest.mark.parametrize(
    ("text", "country", "number"),
    [
        ("+13055551234", "US", "+13055551234"),
        ("+13055551234", "CA", "+13055551234"),
        ("+13055551234", "GB", "+13055551234"),
        ("(305) 555-1234", "US", "+13055551234"),
        ("305-555-1234", "US", "+13055551234"),
        ("305.555.1234", "US", "+13055551234"),
        ("305 555 1234", "CA", "+13055551234"),
        ("1-305-555-1234", "US", "+13055551234"),
        ("+1 (416) 555-0123", "CA", "+14165550123"),
        ("  4165550123\n", "CA", "+14165550123"),
        ("011 44 20 7946 0018", "US", "+442079460018"),
        ("020 7946 0018", "GB", "+442079460018"),
        ("+44 20 7946 0018", "US", "+442079460018"),
        ("01 23 45 67 89", "FR", "+33123456789"),
        ("030 123456", "DE", "+4930123456"),
        ("06 1234 5678", "IT", "+390612345678"),
        ("044-668-1800", "CH", "+41446681800"),
        ("(02) 9374 4000", "AU", "+61293744000"),
        ("55 1234 5678", "MX", "+525512345678"),
        ("1-800-FLOWERS", "US", "+18003569377"),
        ("tel:+1-305-555-1234", "US", "+13055551234"),
        ("３０５５５５１２３４", "US", "+13055551234"),  # noqa: RUF001 - full-width digits
    ],
)
def test_every_usual_spelling_becomes_e164(text, country, number):
    assert to_e164(text, country) == number


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "none",
        "n/a",
        "call the daughter",
        "0",
        "911",
        "12345",
        "+",
        "+1",
        "+1305555123",
        "+130555512345",
        "305555123",
        "3055551234 3055559999",
        "+99912345678",
        "+0123456789",
        "9" * 300,
        "+" * 300,
        "\x00",
        "💊",
    ],
)
def test_what_cannot_be_a_telephone_number_is_none(text):
    assert to_e164(text, "US") is None


@pytest.mark.parametrize("text", ["555-1234", "5551234", "+1 555-1234", "0412 345"])
def test_a_number_without_its_area_code_is_not_made_into_another_one(text):
    assert to_e164(text, "US") is None
    assert to_e164(text, "CA") is None


@pytest.mark.parametrize(
    "text",
    ["305-555-1234 ext. 5", "305-555-1234 x12", "+13055551234;ext=7", "(305) 555-1234 extension 9"],
)
def test_a_number_with_an_extension_is_not_cut_down_to_another_number(text):
    assert to_e164(text, "US") is None


def test_a_country_that_does_not_exist_reads_only_numbers_in_full():
    assert to_e164("305-555-1234", "XX") is None
    assert to_e164("+44 20 7946 0018", "XX") == "+442079460018"


def by_the_library_alone(text: str, country: str) -> str | None:
    """Parse without the short way that North American numbers take."""
    try:
        number = phonenumbers.parse(text, country)
    except phonenumbers.NumberParseException:
        return None
    possible = phonenumbers.is_possible_number_with_reason(number)
    if number.extension or possible != ValidationResult.IS_POSSIBLE:
        return None
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


@given(st.text("0123456789", min_size=8, max_size=12), st.sampled_from(["US", "CA", "GB"]))
def test_the_short_way_agrees_with_the_library_on_digits_after_plus_1(digits, country):
    assert to_e164(f"+1{digits}", country) == by_the_library_alone(f"+1{digits}", country)


@given(
    area=st.text("0123456789", min_size=3, max_size=3),
    exchange=st.text("0123456789", min_size=3, max_size=3),
    line=st.text("0123456789", min_size=4, max_size=4),
    country=st.sampled_from(["US", "CA", "GB"]),
)
def test_the_short_way_agrees_with_the_library_on_every_ten_digits(area, exchange, line, country):
    text = f"+1{area}{exchange}{line}"

    assert to_e164(text, country) == by_the_library_alone(text, country)


@given(st.text(max_size=60), st.sampled_from(["US", "CA", "GB", "XX", ""]))
def test_no_text_at_all_raises_and_what_comes_out_is_e164(text, country):
    number = to_e164(text, country)

    assert number is None or (number.startswith("+") and number[1:].isdecimal())
    assert number is None or 3 <= len(number) <= 16
