"""What lines and codes say: each value by evidence, and how sure it is."""

import math
from datetime import date

import pytest
from gateway_labels.codes import pattern_of, readings
from gateway_labels.fields.draft import Reading, draft_of, fields_of
from gateway_labels.fields.numbers import days_in
from gateway_labels.fields.people import person_of
from gateway_labels.quality import verdict_of
from gateway_labels.settings import LabelsSettings
from plugins.labels.printed import BAG, code, line, page
from plugins.labels.reader import GOOD

PATTERNS = LabelsSettings().patterns()
US = Reading(PATTERNS, "US", date(2026, 11, 29))
CA = US._replace(country="CA")


def found(lines, codes=(), reading=US):
    return {each.name: each for each in fields_of(lines, codes, reading)}


def values(lines, codes=(), reading=US):
    return {name: each.value for name, each in found(lines, codes, reading).items()}


def test_a_bags_label_says_its_patient_and_not_its_pharmacy():
    assert values(BAG, [code("88723410412")]) == {
        "patient_name": "MARIA RODRIGUEZ",
        "patient_address": "1250 NW 7TH AVE APT 4, MIAMI, FL 33136",
        "patient_phone": "+13055550123",
        "rx_number": "8872341",
        "copay_amount": "12.50",
        "filled_on": "2026-11-03",
    }


def test_high_confidence_needs_two_sources_that_agree():
    fields = found(BAG, [code("88723410412")])

    assert {name: (each.confidence, each.sources) for name, each in fields.items()} == {
        "patient_name": ("high", 2),
        "patient_address": ("high", 2),
        "patient_phone": ("high", 2),
        "rx_number": ("high", 3),
        "copay_amount": ("high", 2),
        "filled_on": ("medium", 1),
    }


@pytest.mark.parametrize("score", [1.0, 0.99, 0.95])
def test_one_place_is_never_high_however_sure_the_recognizer_is(score):
    lines = page("ÉLOISE TREMBLAY", "12, rue Saint-Denis", "Montréal (QC) H2X 1K4", score=score)

    fields = found([*lines, line("Ord. no 3584427", 9, score=score)], reading=CA)

    assert fields["patient_name"].value == "ÉLOISE TREMBLAY"
    assert {each.confidence for each in fields.values()} == {"medium"}


def test_two_places_that_differ_are_doubtful_and_both_are_shown():
    lines = page("Patient: Eloise Roy", None, None, "Livrer à : Éloïse Roy")

    field = found(lines, reading=CA)["patient_name"]

    assert (field.confidence, field.sources) == ("low", 1)
    assert {field.value, *field.alternatives} == {"Eloise Roy", "Éloïse Roy"}


def test_two_places_read_badly_are_not_high():
    lines = page("Rx 8872341", None, "RX# 8872341", score=0.7)

    assert found(lines)["rx_number"].confidence == "low"


def test_name_address_and_rx_number_are_for_a_person_to_look_at():
    fields = found(BAG)

    assert {name for name, each in fields.items() if each.must_touch} == {
        "patient_name",
        "patient_address",
        "rx_number",
    }


def test_a_code_settles_which_of_two_numbers_is_the_rx():
    lines = page("Rx 8872341", None, None, "RX# 8872347")

    field = found(lines, [code("88723410412")])["rx_number"]

    assert (field.value, field.confidence, field.alternatives) == ("8872341", "high", ("8872347",))


def test_a_code_that_two_patterns_fit_is_doubtful_alone():
    reading = US._replace(patterns=(pattern_of("{rx:7}{store:4}"), pattern_of("{store:4}{rx:7}")))

    field = found(page("nothing else"), [code("88723410412")], reading)["rx_number"]

    assert field.confidence == "low"


def test_codes_of_the_maker_name_no_prescription():
    codes = [code("0068180517015", "EAN-13"), code("(01)08872341", maker=True)]

    assert "rx_number" not in values(page("nothing"), codes)


def test_a_letter_for_a_digit_is_put_right_and_doubtful():
    field = found(page("Rx 88O2341"))["rx_number"]

    assert (field.value, field.confidence) == ("8802341", "low")


def test_a_label_on_a_tilted_photo_is_read_in_its_own_rows():
    angle = math.radians(9)
    turned = [
        {
            **each,
            "box": [
                [
                    x * math.cos(angle) - y * math.sin(angle),
                    x * math.sin(angle) + y * math.cos(angle),
                ]
                for x, y in each["box"]
            ],
        }
        for each in BAG
    ]

    assert values(turned) == values(BAG)


def test_values_stand_beside_or_below_their_words():
    lines = page(
        "CORNER PHARMACY",
        "PATIENT",
        "ALEX KIM",
        "2308 HARBOR BLVD UNIT 210, ALBANY, NY 12245",
        ["RX NUMBER", ("DATE FILLED", 420), ("AMOUNT DUE", 800)],
        ["2022065", ("11/11/2026", 420), ("$70.99", 800)],
        [("Phone:", 40), ("(518) 555-0102", 300)],
    )

    assert values(lines) == {
        "patient_name": "ALEX KIM",
        "patient_address": "2308 HARBOR BLVD UNIT 210, ALBANY, NY 12245",
        "patient_phone": "+15185550102",
        "rx_number": "2022065",
        "copay_amount": "70.99",
        "filled_on": "2026-11-11",
    }


def test_words_that_the_recognizer_glued_together_are_parted():
    lines = page("Pharmacie du Parc", "Total due $62.50Ph 416-388-3648", "Rx9781815")

    assert values(lines, reading=CA) == {
        "patient_phone": "+14163883648",
        "rx_number": "9781815",
        "copay_amount": "62.50",
    }


def test_a_spanish_label_is_read():
    lines = page(
        "FARMACIA DEL SOL",
        "Paciente: Ana Silva",
        "12 Calle Ocho",
        "Miami, FL 33135",
        "Receta No 7712345",
        "A pagar: $4.00",
    )

    assert values(lines) == {
        "patient_name": "Ana Silva",
        "patient_address": "12 Calle Ocho, Miami, FL 33135",
        "rx_number": "7712345",
        "copay_amount": "4.00",
    }


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("RODRIGUEZ, MARIA", "MARIA RODRIGUEZ"),
        ("Marie-Ève Roy", "Marie-Ève Roy"),
        ("Carla D'Souza", "Carla D'Souza"),
        ("Robert J. Klein", "Robert J. Klein"),
        ("TAKE ONE TABLET", None),
        ("Lakeshore Drug Mart", None),
        ("Rodriguez", None),
        ("12 Elm St", None),
        ("", None),
    ],
)
def test_a_name_is_words_that_are_no_directions_and_no_shop(text, name):
    assert person_of(text) == name


@pytest.mark.parametrize(
    ("text", "country", "days"),
    [
        ("2026-11-03", "CA", [(date(2026, 11, 3), True)]),
        ("03/04/2026", "US", [(date(2026, 3, 4), True)]),
        ("03/04/2026", "CA", [(date(2026, 4, 3), False), (date(2026, 3, 4), False)]),
        ("13/04/2026", "CA", [(date(2026, 4, 13), True)]),
        ("04/04/26", "CA", [(date(2026, 4, 4), True)]),
        ("26 nov. 2026", "CA", [(date(2026, 11, 26), True)]),
        ("Dispensed DÉC 3, 2026", "CA", [(date(2026, 12, 3), True)]),
        ("2026-04-31", "CA", []),
        ("soon", "CA", []),
    ],
)
def test_a_day_is_read_and_said_to_be_doubtful_where_it_may_be_another(text, country, days):
    assert days_in(text, country) == days


def test_days_of_expiry_and_birth_are_no_fill_dates():
    lines = page("Discard after: 2026-11-20", "DOB 2026-10-02", "Exp 2027-01-01")

    assert "filled_on" not in values(lines)


def test_a_drug_is_kept_only_where_a_setting_asks_for_it():
    lines = page("APO-RAMIPRIL 5MG CAP   DIN 02242705")

    assert values(lines, reading=CA) == {}
    assert values(lines, reading=CA._replace(keeps_drug=True)) == {
        "din": "02242705",
        "drug": "APO-RAMIPRIL 5MG CAP",
    }


def test_a_draft_is_an_order_with_its_prescription():
    fields = fields_of(BAG, [], US)

    assert draft_of(fields, "lakeside") == {
        "patient_name": "MARIA RODRIGUEZ",
        "patient_address": "1250 NW 7TH AVE APT 4, MIAMI, FL 33136",
        "patient_phone": "+13055550123",
        "rx_number": "8872341",
        "copay_amount": "12.50",
        "prescriptions": [{"rx_number": "8872341", "filled_on": "2026-11-03"}],
        "site": "lakeside",
    }
    assert draft_of([], None) == {}


@pytest.mark.parametrize(
    ("text", "pattern", "parts"),
    [
        ("88723410412", "{rx:7}{store:4}", {"rx": "8872341", "store": "0412"}),
        ("RX-8872341", "RX-{rx:6-8}", {"rx": "8872341"}),
        ("8872341", "{rx:7}{store:4}", None),
        ("\uff18\uff18\uff17\uff12\uff13\uff14\uff11", "{rx:7}", None),
    ],
)
def test_a_pattern_takes_a_code_apart(text, pattern, parts):
    found_ = readings(text, [pattern_of(pattern)])

    assert [dict(each.parts) for each in found_] == ([] if parts is None else [parts])


@pytest.mark.parametrize(
    "pattern", ["", "{store:4}", "{rx:0}", "{rx:9-2}", "{rx:7}{rx:4}", "{rx:7}}", "{rx}", "x" * 121]
)
def test_a_pattern_that_can_not_be_is_refused(pattern):
    with pytest.raises(ValueError, match=r"expected|characters"):
        pattern_of(pattern)


@pytest.mark.parametrize(
    ("quality", "scores", "verdict"),
    [
        ({"light": 60.0}, 0.6, "dark"),
        ({"contrast": 30.0}, 0.6, "pale"),
        ({}, 0.6, "blurred"),
        ({"pixels": 300.0}, 0.99, "small"),
        ({"light": 60.0}, 0.99, "good"),
        ({}, None, "empty"),
    ],
)
def test_a_poor_picture_says_how_to_take_a_better_one(quality, scores, verdict):
    lines = [] if scores is None else [line("Rx 8872341", 1, score=scores)]
    said = verdict_of({**GOOD, **quality}, lines)

    assert said.verdict == verdict
    assert (said.advice is None) == (verdict == "good")
