"""Strengths in drug texts, and whether they are those of a product."""

from decimal import Decimal

import pytest
from gateway_rx_queue.drugs.strengths import all_fit, read_strengths
from gateway_rx_queue.drugs.words import drug_words
from gateway_rx_queue.model import Drug, Part
from gateway_rx_queue.rules.drug import listed_strengths
from hypothesis import given
from hypothesis import strategies as st


def said(text):
    return [str(each.strength) for each in read_strengths(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("atorvastatin 20 mg tab", ["20mg"]),
        ("levothyroxine 50 mcg", ["0.05mg"]),
        ("levothyroxine 50 \u00b5g", ["0.05mg"]),
        ("levothyroxine 50 ug", ["0.05mg"]),
        ("metformin 0.5 g", ["500mg"]),
        ("amoxicillin 250 mg/5 mL susp 150 mL", ["250mg/5ml"]),
        ("amoxi-clav 875 mg/125 mg", ["875mg", "125mg"]),
        ("amoxi-clav 875-125 mg", ["875mg", "125mg"]),
        ("oxycodone/acetaminophen 5/325", ["5", "325"]),
        ("vitamin D 1,000 IU", ["1000unit"]),
        ("vitamine D 1 000 UI", ["1000unit"]),
        ("digoxin 0,125 mg", ["0.125mg"]),
        ("fentanyl 25 mcg/h patch", ["0.025mg/1h"]),
        ("timolol 0.5%", ["5mg/1%"]),
        ("insulin glargine 100 units/mL", ["100unit/1ml"]),
        ("hydrocortisone 1% cream 60 g", ["10mg/1%"]),
        ("warfarin 5", ["5"]),
        ("vitamin B12 tab #30", []),
        ("atorvastatin", []),
        ("", []),
    ],
)
def test_strengths_are_read(text, expected):
    assert said(text) == expected


def product(*parts):
    return Drug(din="1", name="X", parts=tuple(Part(*part) for part in parts))


AMOX = product(("AMOXICILLIN", "250", "MG", "5", "ML"))
CLAV = product(("AMOXICILLIN", "875", "MG"), ("CLAVULANIC ACID", "125", "MG"))
PERCOCET = product(("OXYCODONE", "5", "MG"), ("ACETAMINOPHEN", "325", "MG"))
DROPS = product(("TIMOLOL", "0.5", "%"))
PATCH = product(("FENTANYL", "25", "MCG", "1", "HR"))


@pytest.mark.parametrize(
    ("text", "entry", "fit"),
    [
        ("250 mg/5 mL", AMOX, True),
        ("50 mg/mL", AMOX, True),
        ("250 mg", AMOX, True),
        ("125 mg/5 mL", AMOX, False),
        ("875/125", CLAV, True),
        ("125 mg/875 mg", CLAV, True),
        ("500 mg/125 mg", CLAV, False),
        ("875 mg/875 mg", CLAV, True),
        ("5/325", PERCOCET, True),
        ("10/325", PERCOCET, False),
        ("325/325 mg", PERCOCET, True),
        ("0.5 %", DROPS, True),
        ("5 mg/mL", DROPS, True),
        ("0.25 %", DROPS, False),
        ("25 mcg/h", PATCH, True),
        ("50 mcg/hr", PATCH, False),
    ],
)
def test_every_strength_of_a_text_is_that_of_an_ingredient(text, entry, fit):
    found = [each.strength for each in read_strengths(text)]

    assert all_fit(found, [strength for _, strength in listed_strengths(entry)]) is fit


@given(
    st.decimals("0.001", "9999", places=3).filter(lambda number: number > 0),
    st.sampled_from(["mg", "mcg", "g"]),
)
def test_a_number_with_a_unit_is_read_as_that_many_milligrams(number, unit):
    factor = {"mg": 1, "mcg": Decimal("0.001"), "g": 1000}[unit]

    [found] = read_strengths(f"drug {number}{unit} tab")

    assert found.strength.amount == number * factor


@given(st.text(max_size=500))
def test_any_text_is_read(text):
    read_strengths(text)
    drug_words(text)
