"""Labels of shops in any spelling, and words that say no."""

import pytest
from gateway_shopify.phrases import mentions, phrase


@pytest.mark.parametrize(
    "text",
    ["Delivery-Date", "delivery_date", " DELIVERY  date: ", "Delivery\u00a0Date", "délivery dâte"],
)
def test_a_label_has_one_spelling(text):
    assert phrase(text) == "delivery date"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Signature required", "signature"),
        ("Courier (signature)", "signature"),
        ("No contact, signature required", "signature"),
        ("no safe drop / signature", "signature"),
        ("Same-Day Delivery", "same day"),
        ("same_day", "same-day"),
        ("URGENT!", "urgent"),
        ("urgent, no signature required", "urgent"),
        ("Urgent no signature", "urgent"),
        ("urgent: yes", "urgent"),
        ("Express \u2013 no signature", "express"),
    ],
)
def test_a_word_that_says_yes(text, name):
    assert mentions(text, name)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("not-urgent", "urgent"),
        ("non urgent", "urgent"),
        ("Not an urgent order", "urgent"),
        ("Isn't urgent", "urgent"),
        ("urgent: no", "urgent"),
        ("urgent=false", "urgent"),
        ("Standard (no signature required)", "signature"),
        ("Standard (no signature required)", "signature required"),
        ("no adult signature", "signature"),
        ("without signature", "signature"),
        ("signature not required", "signature"),
        ("Signature is not needed", "signature"),
        ("signature required: no", "signature"),
        ("signature waived", "signature"),
        ("sans signature", "signature"),
        ("station", "stat"),
        ("signatures", "signature"),
        ("", "urgent"),
        (None, "urgent"),
        ("urgent", ""),
        ("urgent", "-"),
    ],
)
def test_a_word_that_says_no_or_is_not_there(text, name):
    assert not mentions(text, name)


def test_a_long_label_takes_no_longer():
    assert not mentions("no " * 100_000 + "urgent", "urgent")
