"""The stock rules, case by case."""

from datetime import date
from decimal import Decimal

import msgspec
import pytest
from gateway_rx_queue.extension_points import RxCase
from gateway_rx_queue.model import (
    Drug,
    EarlierFill,
    Medication,
    Patient,
    Prescriber,
    Prescription,
    Thresholds,
)
from gateway_rx_queue.rules.identifiers import passes_luhn, warnings_of
from gateway_rx_queue.rules.rule_runner import stock_reasons
from gateway_rx_queue.rules.sig import daily_use

TODAY = date(2026, 11, 22)
GOOD = Prescription(
    patient=Patient(external_patient_id="P-1"),
    prescriber=Prescriber(name="Dr. Lee"),
    medication=Medication(
        din="02242705",
        drug_text="atorvastatin 20 mg tab",
        quantity=Decimal(30),
        quantity_unit="tab",
        days_supply=30,
        sig="1 tab daily",
        refills=0,
        written_date=date(2026, 11, 1),
    ),
)
LIPITOR = Drug(
    din="02242705", name="LIPITOR", ingredients=("ATORVASTATIN CALCIUM",), strength="20 MG"
)
OTHER = Drug(
    din="02230711", name="LIPITOR", ingredients=("ATORVASTATIN CALCIUM",), strength="10 MG"
)


def case(prescription=GOOD, *, medication=None, thresholds=None, **more):
    drug = msgspec.structs.replace(prescription.medication, **(medication or {}))
    whole = msgspec.structs.replace(prescription, medication=drug)
    limits = Thresholds(**(thresholds or {}))
    return RxCase("rxq_1", "default", None, whole, limits, TODAY, **more)


def codes(one):
    return [reason.code for reason in stock_reasons(one)]


def fill(**changes):
    values = {"queue_id": "rxq_0", "state": "queued", "created_on": TODAY, **changes}
    return EarlierFill(**values)


MEDICATIONS = [
    ({}, []),
    ({"quantity": None}, ["quantity_missing"]),
    ({"sig": None}, ["sig_missing"]),
    ({"refills": None}, ["refills_missing"]),
    ({"refills": -1}, ["refills_missing"]),
    ({"written_date": None}, ["illegible_field"]),
    ({"din": None}, ["drug_not_found"]),
    ({"din": None, "npn": "80012345"}, []),
    ({"din": None, "npn": "8001"}, ["drug_not_found"]),
    ({"din": None, "pin": "00990001"}, ["pin_needs_review"]),
    ({"din": "2242705"}, ["drug_not_found"]),
    ({"din": "0224270A"}, ["drug_not_found"]),
    ({"din": "٠٢٢٤٢٧٠٥"}, ["drug_not_found"]),
    ({"din": None, "din_candidates": ("02242705", "02230711")}, ["din_ambiguous"]),
    ({"days_supply": 90}, ["days_supply_implausible"]),
    ({"days_supply": 45}, []),
    ({"days_supply": 14}, ["days_supply_implausible"]),
    ({"days_supply": 0}, ["days_supply_implausible"]),
    ({"days_supply": 400}, ["days_supply_implausible"]),
    ({"days_supply": None}, []),
    ({"days_supply": 90, "sig": "as directed"}, []),
    ({"days_supply": 90, "sig": "0 tab daily"}, []),
    ({"days_supply": 90, "sig": "0-1 tab daily"}, []),
    ({"days_supply": 90, "sig": "0 to 2 tabs daily"}, []),
    ({"days_supply": 14, "sig": "0-1 tab daily"}, ["days_supply_implausible"]),
    ({"days_supply": 90, "quantity_unit": "box"}, []),
    ({"quantity": Decimal(0)}, ["quantity_missing"]),
    ({"quantity": Decimal(-5)}, ["quantity_missing"]),
    ({"written_date": date(2025, 11, 22)}, []),
    ({"written_date": date(2025, 11, 21)}, ["stale_written_date"]),
    ({"written_date": date(2026, 11, 23)}, []),
    ({"written_date": date(2026, 11, 24)}, ["stale_written_date"]),
    ({"controlled": True}, ["controlled_substance"]),
    ({"controlled": False}, []),
]


@pytest.mark.parametrize(("medication", "expected"), MEDICATIONS)
def test_what_a_medication_is_held_up_for(medication, expected):
    assert codes(case(medication=medication)) == expected


@pytest.mark.parametrize(
    ("patient", "expected"),
    [
        (Patient(), ["patient_not_found"]),
        (Patient(last_name="Silva"), ["patient_not_found"]),
        (Patient(last_name="Silva", dob=date(1950, 2, 1)), []),
        (Patient(health_number="1234567890"), []),
        (Patient(external_patient_id="P", allergies=("Atorvastatin",)), ["allergy_conflict"]),
        (Patient(external_patient_id="P", allergies=("penicillin", "tablets")), []),
    ],
)
def test_what_is_said_of_a_patient(patient, expected):
    assert codes(case(msgspec.structs.replace(GOOD, patient=patient))) == expected


def test_a_prescription_without_a_prescriber_is_held():
    unsigned = msgspec.structs.replace(GOOD, prescriber=Prescriber())

    assert codes(case(unsigned)) == ["prescriber_not_found"]


def test_every_field_that_the_sender_is_not_sure_of_is_asked_about():
    unsure = msgspec.structs.replace(
        GOOD, confidence={"medication.sig": 0.84, "medication.din": 0.85, "patient.dob": 0.1}
    )

    found = stock_reasons(case(unsure))

    assert [(each.code, each.field) for each in found] == [
        ("low_confidence", "medication.sig"),
        ("low_confidence", "patient.dob"),
    ]
    assert found[0].evidence == {"confidence": 0.84, "threshold": 0.85}
    assert codes(case(unsure, thresholds={"min_confidence": 0.05})) == []


CATALOG = [
    ({}, {"drug": LIPITOR}, []),
    ({}, {"drug": None}, ["drug_not_found"]),
    ({}, {"drug": msgspec.structs.replace(LIPITOR, active=False)}, ["din_discontinued"]),
    ({"drug_text": "atorvastatin 40 mg"}, {"drug": LIPITOR}, ["strength_mismatch"]),
    ({"drug_text": "atorvastatin 0.02 g"}, {"drug": LIPITOR}, []),
    ({"strength": "20mg", "drug_text": "x"}, {"drug": LIPITOR}, []),
    ({"din": None}, {"named_drugs": (LIPITOR, OTHER)}, ["din_ambiguous"]),
    ({"din": None}, {"named_drugs": ()}, ["drug_not_found"]),
    (
        {},
        {"drug": msgspec.structs.replace(LIPITOR, schedules=("Narcotic (CDSA I)",))},
        ["controlled_substance"],
    ),
]


@pytest.mark.parametrize(("medication", "known", "expected"), CATALOG)
def test_what_the_catalog_says(medication, known, expected):
    assert codes(case(medication=medication, catalog_loaded=True, **known)) == expected


def test_without_a_catalog_a_din_is_believed():
    assert codes(case(medication={"drug_text": "atorvastatin 40 mg"})) == []


def test_candidates_are_shown_with_their_names_and_the_prior_fill():
    earlier = (fill(state="completed", filled_on=date(2026, 1, 1), created_on=date(2026, 1, 1)),)
    [reason] = stock_reasons(
        case(
            medication={"din": None, "din_candidates": ("02230711", "00000001")},
            catalog_loaded=True,
            named_drugs=(OTHER,),
            earlier=earlier,
        )
    )

    assert [(each.value, each.label) for each in reason.candidates] == [
        ("02230711", "LIPITOR 10 MG"),
        ("00000001", ""),
    ]
    assert reason.evidence == {"prior_fill": "rxq_0"}


def test_a_din_that_lost_its_zeros_is_offered_with_them():
    [reason] = stock_reasons(case(medication={"din": "2242705"}))

    assert [each.value for each in reason.candidates] == ["02242705"]


EARLIER = [
    ([fill()], ["duplicate_rx"]),
    ([fill(created_on=date(2026, 11, 15))], []),
    ([fill(state="failed")], []),
    ([fill(state="rejected")], []),
    ([fill(state="completed", written_date=date(2026, 11, 1))], ["duplicate_rx"]),
    ([fill(state="completed", written_date=date(2026, 10, 1))], []),
    (
        [
            fill(
                state="completed",
                created_on=date(2026, 11, 1),
                filled_on=date(2026, 11, 10),
                written_date=date(2026, 10, 1),
                days_supply=30,
            )
        ],
        ["early_refill"],
    ),
    (
        [
            fill(
                state="completed",
                created_on=date(2026, 10, 1),
                filled_on=date(2026, 10, 30),
                written_date=date(2026, 10, 1),
                days_supply=30,
            )
        ],
        [],
    ),
    (
        # From before days had a bound: ten years are believed, of what no calendar holds.
        [
            fill(
                state="completed",
                created_on=date(2026, 10, 1),
                filled_on=date(2026, 10, 30),
                written_date=date(2026, 10, 1),
                days_supply=10_000_000,
            )
        ],
        ["early_refill"],
    ),
]


def test_a_dose_that_may_be_nothing_has_no_longest_supply():
    [reason] = stock_reasons(case(medication={"days_supply": 14, "sig": "0-1 tab daily"}))

    assert reason.evidence == {"days_supply": 14, "by_quantity_and_sig": [30.0, None]}


@pytest.mark.parametrize(("earlier", "expected"), EARLIER)
def test_what_earlier_fills_say(earlier, expected):
    assert codes(case(earlier=tuple(earlier))) == expected


def test_a_site_may_skip_reasons():
    assert (
        codes(case(medication={"sig": None}, thresholds={"skip_reasons": ("sig_missing",)})) == []
    )


SIGS = [
    ("1 tab daily", (1, 1, "tablet")),
    ("Take 1 tablet by mouth once daily", (1, 1, "tablet")),
    ("TAKE ONE CAPSULE TWICE A DAY", (2, 2, "capsule")),
    ("1-2 tabs tid", (3, 6, "tablet")),
    ("2 puffs q6h", (8, 8, "puff")),
    ("5 mL every 8 hours", (15, 15, "ml")),
    ("half tablet at bedtime", (Decimal("0.5"), Decimal("0.5"), "tablet")),
    ("½ tab bid", (1, 1, "tablet")),
    ("1 tab 3 times a day", (3, 3, "tablet")),
    ("1 cap b.i.d", (2, 2, "capsule")),
    ("10 units every evening", (10, 10, "unit")),
    ("0-1 tab daily", (0, 1, "tablet")),
    ("0 to 2 tabs bid", (0, 4, "tablet")),
    ("0 tab daily", None),
    ("0-0 tab daily", None),
    ("0.00 ml daily", None),
    ("1 tab daily prn", None),
    ("2 tabs today then 1 tab daily", None),
    ("as directed", None),
    ("1 tab", None),
    ("1 tab q5h", None),
    ("1 tab in the morning and bid", None),
    ("", None),
]


@pytest.mark.parametrize(("sig", "expected"), SIGS)
def test_directions_are_read_only_where_they_are_plain(sig, expected):
    assert daily_use(sig) == expected


@pytest.mark.parametrize(
    ("patient", "prescriber", "fields"),
    [
        ({"province": "ON", "health_number": "1234567897"}, {}, []),
        ({"province": "ON", "health_number": "1234567897AB"}, {}, []),
        ({"province": "on", "health_number": "1234567890"}, {}, ["patient.health_number"]),
        ({"province": "BC", "health_number": "9698658215"}, {}, []),
        ({"province": "BC", "health_number": "9698648215"}, {}, ["patient.health_number"]),
        ({"province": "BC", "health_number": "1698658215"}, {}, ["patient.health_number"]),
        ({"province": "QC", "health_number": "anything"}, {}, []),
        ({}, {"licence_type": "NPI", "licence_number": "1234567893"}, []),
        (
            {},
            {"licence_type": "npi", "licence_number": "1234567890"},
            ["prescriber.licence_number"],
        ),
        ({}, {"licence_type": "CPSO", "licence_number": "54321"}, []),
    ],
)
def test_check_digits_warn(patient, prescriber, fields):
    prescription = Prescription(patient=Patient(**patient), prescriber=Prescriber(**prescriber))

    assert [each.field for each in warnings_of(prescription)] == fields


def test_luhn_is_luhn():
    assert passes_luhn("79927398713")
    assert not passes_luhn("79927398710")
