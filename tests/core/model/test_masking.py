"""What a caller without the reveal permissions is shown of a patient."""

from datetime import UTC, date, datetime
from decimal import Decimal

import msgspec
import pytest

from gateway.errors import Forbidden
from gateway.model.account import Caller
from gateway.model.bag import Prescription
from gateway.model.masking import (
    masked,
    masked_address,
    masked_name,
    masked_order,
    masked_package,
    masked_rx_number,
)
from gateway.model.order import Order
from gateway.model.package import Package

CONTACT, RX = "reveal.contact", "reveal.rx"
ORDER = Order(
    patient_name="Maria Rodriguez",
    patient_address="123 Main St, Miami, FL 33178",
    patient_phone="+13055550123",
    patient_email="maria@example.com",
    rx_number="RX-8872341",
    copay_amount=Decimal("12.50"),
    notes="key under the mat",
    external_patient_id="PMS-9081",
    external_order_id="SO-1001",
    delivery_date=date(2026, 4, 20),
    site="main",
    metadata={"gift": "for her daughter"},
)


def caller(*permissions, kind="key"):
    return Caller("acme", "live", "key_1", None, frozenset(permissions), kind=kind)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Maria Rodriguez", "Maria R."),
        ("Rodriguez, Maria", "Maria R."),
        ("  Ana   de la  Cruz ", "Ana C."),
        ("Rodriguez", "R."),
        ("Rodriguez,", "R."),
        ("李 小龍", "李 小."),
        ("", ""),
    ],
)
def test_of_a_name_first_name_and_initial_are_shown(name, shown):
    assert masked_name(name) == shown


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("123 Main St, Miami, FL 33178", "Main St, Miami, FL"),
        ("123 Main St Apt 4B, Miami", "Main St, Miami"),
        ("Unit B, 12-345 King St W, Toronto ON M5V 2T6", "King St W, Toronto ON"),
        ("1 5th Ave #12\nNew York", "5th Ave, New York"),
        ("Suite 200", ""),
        ("PO Box 99", "PO Box"),
        (
            "10 rue de la Paix, app. 3, Montréal (Québec)  H2X 1Y4",
            "rue de la Paix, Montréal (Québec)",
        ),
        ("", ""),
    ],
)
def test_of_an_address_the_street_is_shown_without_numbers(address, shown):
    assert masked_address(address) == shown


@pytest.mark.parametrize(
    ("number", "shown"),
    [("RX-8872341", "…2341"), ("1234", "…"), ("12345", "…2345"), ("Smith", "…"), ("", "…")],
)
def test_of_an_rx_number_the_last_four_digits_are_shown(number, shown):
    assert masked_rx_number(number) == shown


def test_an_order_is_masked_for_a_key_that_reveals_nothing():
    assert masked_order(caller("packages.read"), ORDER) == Order(
        patient_name="Maria R.",
        patient_address="Main St, Miami, FL",
        rx_number="…2341",
        copay_amount=Decimal("12.50"),
        delivery_date=date(2026, 4, 20),
        site="main",
    )


def test_each_reveal_permission_shows_its_own_fields():
    with_contact = masked_order(caller(CONTACT), ORDER)
    assert with_contact == msgspec.structs.replace(ORDER, rx_number="…2341", metadata={})

    with_rx = masked_order(caller(RX), ORDER)
    assert (with_rx.rx_number, with_rx.patient_name) == ("RX-8872341", "Maria R.")

    assert masked_order(caller(CONTACT, RX), ORDER) is ORDER


def test_a_package_is_masked_with_its_order():
    package = Package(
        id="pkg_1",
        account_id="acme",
        mode="live",
        site="main",
        source="json_api",
        status="created",
        status_at=datetime(2026, 4, 19, tzinfo=UTC),
        created_at=datetime(2026, 4, 19, tzinfo=UTC),
        order=ORDER,
    )

    assert masked_package(caller(), package).order == masked_order(caller(), ORDER)
    assert masked_package(caller(CONTACT, RX), package) is package


def test_data_is_masked_by_the_names_of_its_fields_however_deep_they_are():
    data = {
        "package_id": "pkg_1",
        "rx_number": "RX-8872341",
        "external_patient_id": "PMS-9081",
        "proof": {"photo_url": "https://example.com/1.jpg", "lat": 25.8, "lng": -80.3},
        "data": [{"patient_name": "Maria Rodriguez", "rx_numbers": ["RX-8872341", "RX-1"]}],
        "copay_collected": Decimal("12.50"),
    }

    assert masked(caller(), data) == {
        "package_id": "pkg_1",
        "rx_number": "…2341",
        "external_patient_id": None,
        "proof": None,
        "data": [{"patient_name": "Maria R.", "rx_numbers": ["…2341", "…"]}],
        "copay_collected": Decimal("12.50"),
    }
    assert masked(caller(CONTACT, RX), data) is data


def test_a_field_that_is_not_known_is_hidden_unless_the_answer_names_it():
    data = {"diagnosis": "asthma", "reviews": ["asthma"], "erp_number": "A-7"}

    assert masked(caller(CONTACT), data) == {"diagnosis": None, "reviews": [], "erp_number": None}
    assert masked(caller(), data, shown=["erp_number"])["erp_number"] == "A-7"


def test_every_field_of_an_order_is_masked_or_known_to_hold_no_patient_data():
    harmless = {"copay_amount", "priority", "requires_signature", "delivery_date", "site"}
    shown = masked_order(caller(), ORDER)

    unmasked = {
        name
        for name in Order.__struct_fields__
        if getattr(ORDER, name) and getattr(shown, name) == getattr(ORDER, name)
    }

    assert unmasked - harmless == {"priority"} - harmless


def test_a_missing_permission_is_named():
    with pytest.raises(Forbidden) as refused:
        caller("packages.read").need("webhooks.manage")

    assert "webhooks.manage" in refused.value.message
    assert refused.value.details[0].field == "permission"
    assert "webhooks.manage" in refused.value.details[0].message
    caller("packages.read").need("packages.read")
    caller().need("any")


def test_a_person_is_sent_to_somebody_who_can_grant_it():
    with pytest.raises(Forbidden, match="ask an owner or a manager"):
        caller(kind="person").need("rx.review")


BAG = msgspec.structs.replace(
    ORDER,
    prescriptions=(
        Prescription(rx_number="RX-8872341", fill_number=2, refrigerated=True),
        Prescription(rx_number="RX-8872342", copay_amount=Decimal("4.50")),
    ),
)


def test_of_each_prescription_in_a_bag_the_last_digits_are_shown():
    shown = masked_order(caller(CONTACT), BAG)

    assert shown.rx_number == "…2341"
    assert shown.prescriptions == (
        Prescription(rx_number="…2341", fill_number=2, refrigerated=True),
        Prescription(rx_number="…2342", copay_amount=Decimal("4.50")),
    )
    assert masked_order(caller(CONTACT, RX), BAG).prescriptions == BAG.prescriptions
    assert masked_order(caller(RX), BAG).prescriptions == BAG.prescriptions


def test_the_numbers_of_an_events_bag_are_masked_as_well():
    data = {"prescriptions": [{"rx_number": "RX-8872341", "fill_number": 2}]}

    assert masked(caller(), {"data": data}) == {
        "data": {"prescriptions": [{"rx_number": "…2341", "fill_number": 2}]}
    }
