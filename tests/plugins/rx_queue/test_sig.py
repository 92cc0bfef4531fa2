"""The grammar of directions: English, French, Latin, and what it doesn't read."""

from decimal import Decimal

import pytest
from gateway_rx_queue.rules.sig import daily_use, read_sig, same_unit
from hypothesis import given
from hypothesis import strategies as st

THIRD = Decimal(1) / 3
WEEKLY = Decimal(1) / 7
SIGS = [
    ("i cp die", 1, "tablet"),
    ("1 tab in the morning, at noon and at bedtime", 3, "tablet"),
    ("1 1/2 tab daily", Decimal("1.5"), "tablet"),
    ("1½ tab daily", Decimal("1.5"), "tablet"),
    ("one and a half tablets bid", 3, "tablet"),
    ("2,5 mL bid x 10 jours", 5, "ml"),
    ("0.125 mL daily", Decimal("0.125"), "ml"),
    ("1 co par jour", 1, "tablet"),
    ("1 co 2 fois par jour", 2, "tablet"),
    ("prendre 1 comprimé par la bouche deux fois par jour pendant 10 jours", 2, "tablet"),
    ("1 comprimé le matin et 2 comprimés au coucher", 3, "tablet"),
    ("1 co aux 8 heures x 7 jours", 3, "tablet"),
    ("tab ii bid", 4, "tablet"),
    ("1 tab 2x/j", 2, "tablet"),
    ("1 drop OU bid", 4, "drop"),
    ("1 drop in each eye at bedtime", 2, "drop"),
    ("1 gtt od bid", 2, "drop"),
    ("inject 20 units at bedtime", 20, "unit"),
    ("1 tsp tid", 15, "ml"),
    ("500 mg tid", 1500, "mg"),
    ("500 mcg daily", Decimal("0.5"), "mg"),
    ("1 tab every other day", Decimal("0.5"), "tablet"),
    ("1 tab weekly", WEEKLY, "tablet"),
    ("1 tab Monday, Wednesday and Friday", Decimal(3) / 7, "tablet"),
    ("1 patch every 72 hours", THIRD, "patch"),
    ("1 timbre tous les 7 jours", WEEKLY, "patch"),
    ("take 1 tablet once daily for blood pressure", 1, "tablet"),
    ("1 tab bid with meals", 2, "tablet"),
    ("1 tab with meals", 3, "tablet"),
]


@pytest.mark.parametrize(("sig", "most", "unit"), SIGS)
def test_directions_are_read(sig, most, unit):
    reading = read_sig(sig)

    assert reading.stopped_at is None
    assert (round(reading.most, 9), reading.unit) == (round(Decimal(most), 9), unit)


def test_a_range_a_duration_and_as_needed_are_read():
    reading = read_sig("1 à 2 co toutes les 4 à 6 heures au besoin pendant 5 jours")

    assert (reading.least, reading.most, reading.unit) == (0, 12, "tablet")
    assert (reading.as_needed, reading.days) == (True, 5)
    assert str(reading) == "read as up to 12 tablet a day for 5 days"


@pytest.mark.parametrize(
    "sig",
    [
        "2 tabs today then 1 tab daily",
        "1 tab bid, then taper",
        "as directed",
        "selon les directives",
        "1 tab q5h",
        "1 tab in the morning and bid",
        "1 tab 2 caps daily",
        "1 tab daily or 2 tabs weekly",
        "inject as per sliding scale",
        "1 zorp daily",
        "x" * 1000,
        "1 tab daily " * 60,
    ],
)
def test_what_is_not_understood_is_not_read(sig):
    reading = read_sig(sig)

    assert not reading.is_whole
    assert daily_use(sig) is None
    assert str(reading).startswith(("can't read", "no dose"))


DOSES = {"1": (1, 1), "2": (2, 2), "1/2": (Decimal("0.5"),) * 2, "1 1/2": (Decimal("1.5"),) * 2}
DOSES |= {"1-2": (1, 2), "two": (2, 2), "2,5": (Decimal("2.5"),) * 2, "une": (1, 1)}
UNITS = {"tab": "tablet", "comprimés": "tablet", "caps": "capsule", "mL": "ml", "bouffées": "puff"}
TIMES = {"daily": 1, "bid": 2, "t.i.d.": 3, "four times a day": 4, "die": 1, "q8h": 3}
TIMES |= {"2 fois par jour": 2, "toutes les 12 heures": 2, "every 6 hours": 4, "au coucher": 1}
TIMES |= {"in the morning and at bedtime": 2, "matin, midi et soir": 3, "once a day": 1}
LEADS = ("", "Take ", "PRENDRE ", "inhale ")
TAILS = {"": None, " for 7 days": 7, " x 10 jours": 10, ", pendant 2 semaines": 14}


@given(
    lead=st.sampled_from(LEADS),
    dose=st.sampled_from(sorted(DOSES)),
    unit=st.sampled_from(sorted(UNITS)),
    times=st.sampled_from(sorted(TIMES)),
    tail=st.sampled_from(sorted(TAILS)),
)
def test_every_combination_of_the_grammar_is_read_as_it_is_meant(lead, dose, unit, times, tail):
    reading = read_sig(f"{lead}{dose} {unit} {times}{tail}")

    least, most = DOSES[dose]
    assert reading.stopped_at is None
    assert (reading.least, reading.most) == (least * TIMES[times], most * TIMES[times])
    assert (reading.unit, reading.days) == (UNITS[unit], TAILS[tail])


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused_and_never_a_fault(text):
    reading = read_sig(text)

    assert reading.least <= reading.most


@pytest.mark.parametrize(
    ("unit", "counted", "same"),
    [
        ("tablet", "tab", True),
        ("tablet", "capsules", True),
        ("tablet", None, True),
        ("puff", None, False),
        ("ml", "mL", True),
        ("tablet", "mL", False),
        ("", "comprimés", True),
    ],
)
def test_a_quantity_is_counted_in_the_unit_of_the_dose(unit, counted, same):
    assert same_unit(unit, counted) is same
