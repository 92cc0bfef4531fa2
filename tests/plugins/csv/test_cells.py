"""What cells say: amounts, numbers that a spreadsheet wrote, yes and no, and their masks."""

import datetime as dt
from decimal import Decimal

import pytest
from gateway_csv.columns.cells import (
    Unreadable,
    code_of,
    masked,
    money_of,
    priority_of,
    text_of,
    uses_decimal_comma,
    yes_or_no,
)


@pytest.mark.parametrize(
    ("cell", "amount"),
    [
        ("12.50", "12.50"),
        ("$12.50", "12.50"),
        ("CA$ 12.50", "12.50"),
        ("12.50 USD", "12.50"),
        ("12,50", "12.50"),
        ("12,5", "12.5"),
        ("1,250.00", "1250.00"),
        ("1.250,00", "1250.00"),
        ("1 250,00", "1250.00"),
        ("1\N{NO-BREAK SPACE}250,00", "1250.00"),
        ("1,250,000", "1250000"),
        ("1,250", "1250"),
        ("1.250", "1.250"),
        ("12.", "12.0"),
        (".50", "0.50"),
        ("(5.00)", "-5.00"),
        ("-5.00", "-5.00"),
        ("5.00-", "-5.00"),
        ("0", "0"),
        (12.5, "12.5"),
        (12.1 + 0.2, "12.3"),
        (12, "12"),
        ("N/A", None),
        ("", None),
        (None, None),
    ],
)
def test_an_amount_is_read_as_it_was_meant(cell, amount):
    assert money_of(cell, decimal_comma=False) == (None if amount is None else Decimal(amount))


@pytest.mark.parametrize(
    ("cell", "amount"), [("1.250", "1250"), ("1,250", "1.250"), ("2,5", "2.5")]
)
def test_a_column_with_decimal_commas_reads_points_as_thousands(cell, amount):
    assert money_of(cell, decimal_comma=True) == Decimal(amount)


@pytest.mark.parametrize(
    "cell",
    ["free", "12.50.1x", "1,25,00.5", "1 2", "twelve", "--", "1e5", "٣", True, float("nan"), "5%"],
)
def test_what_is_no_amount_is_never_guessed_into_one(cell):
    if cell == "--":
        assert money_of(cell, decimal_comma=False) is None
        return
    with pytest.raises(Unreadable):
        money_of(cell, decimal_comma=False)


def test_one_cent_behind_a_comma_tells_a_whole_column():
    assert uses_decimal_comma(["5", 7.5, None, "12,50"])
    assert not uses_decimal_comma(["5", "1,250", "12.50"])


@pytest.mark.parametrize(
    ("cell", "code"),
    [
        ("13055551234.0", "13055551234"),
        ("+13055551234.00", "+13055551234"),
        (13055551234.0, "13055551234"),
        (13055551234, "13055551234"),
        ("0042", "0042"),
        ("1.3055551234E+10", "13055551234"),
        ("1,3055551234E+10", "13055551234"),
        ("RX-1.0", "RX-1.0"),
        ("12.50", "12.50"),
        (12.5, "12.5"),
        ("'+13055551234", "+13055551234"),
        ("n/a", None),
    ],
)
def test_a_number_that_is_a_name_stays_the_same_number(cell, code):
    assert code_of(cell) == code


@pytest.mark.parametrize("cell", ["1.3E+10", "1.30556E+10", 1.3e17, "1.234567890123456E+15"])
def test_a_number_that_lost_digits_is_refused(cell):
    with pytest.raises(Unreadable) as refused:
        code_of(cell)

    assert refused.value.expected == "all digits of the number"


@pytest.mark.parametrize("cell", [float("inf"), float("nan")])
def test_what_is_no_number_is_refused(cell):
    with pytest.raises(Unreadable):
        text_of(cell)


@pytest.mark.parametrize(
    ("cell", "answer"),
    [
        ("Y", True),
        ("yes", True),
        ("TRUE", True),
        ("1", True),
        ("1.0", True),
        (1.0, True),
        ("x", True),
        ("N", False),
        ("no", False),
        ("0", False),
        (False, False),
        (True, True),
        ("", None),
        ("N/A", None),
        (None, None),
    ],
)
def test_yes_and_no_in_their_usual_spellings(cell, answer):
    assert yes_or_no(cell) is answer


def test_a_priority_is_told_in_the_gateways_words():
    assert [priority_of(each) for each in ("STAT", "Same-Day", "normal", "odd", "")] == [
        "stat",
        "urgent",
        "routine",
        "odd",
        None,
    ]


def test_somebody_may_be_called_null():
    assert text_of("Null", is_name=True) == "Null"
    assert text_of("NULL") is None
    assert text_of("n/a", is_name=True) is None


def test_cells_that_are_no_text_are_written_plainly():
    assert [text_of(each) for each in (True, dt.date(2026, 4, 20), 7, "'tis", "'=1")] == [
        "true",
        "2026-04-20",
        "7",
        "'tis",
        "=1",
    ]
    assert text_of(dt.datetime(2026, 4, 20, 9)) == "2026-04-20 09:00:00"  # noqa: DTZ001


def test_a_mask_shows_the_shape_and_nothing_of_what_is_said():
    assert masked("Ana-Maria, 12 Elm\n") == "xxx-xxxxx, 99 xxx"
    assert masked("Édith\x00山") == "xxxxx?x"
    assert masked("a" * 30) == "x" * 21 + "..."
    assert masked(12.5) == "99.9"
    assert masked(None) is masked("") is None
