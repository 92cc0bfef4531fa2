"""ACME's shapes in and out, row by row."""

from datetime import UTC, date, datetime
from decimal import Decimal

import msgspec
import pytest
from gateway_acme_erp.mapping import candidate, erp_event, review
from gateway_acme_erp.schema import ErpEvent

from gateway.plugin import Event, Order, Problem, Review

SENT = {
    "no": "A-1001",
    "customer": {"no": "C-77", "first": "Maria", "last": "Rodriguez"},
    "ship_to": {"street": "123 Main St", "city": "Miami", "state": "FL", "zip": "33178"},
}
ORDER = Order(
    patient_name="Maria Rodriguez",
    patient_address="123 Main St, Miami, FL 33178",
    external_patient_id="C-77",
    external_order_id="A-1001",
)
EVENT = Event(
    id="evt_1",
    type="delivery.completed",
    account_id="default",
    mode="live",
    subject="pkg_1",
    data={"external_order_id": "A-1001", "copay_collected": Decimal("12.50")},
    occurred_at=datetime(2026, 4, 19, 18, 41, 57, tzinfo=UTC),
    recorded_at=datetime(2026, 4, 19, 18, 42, 10, tzinfo=UTC),
    actor="key_1",
)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ({}, {}),
        ({"rx": "RX-1"}, {"rx_number": "RX-1"}),
        ({"due_cents": 1250}, {"copay_amount": Decimal("12.50")}),
        ({"due_cents": 0}, {"copay_amount": Decimal("0.00")}),
        ({"rush": "R"}, {"priority": "urgent"}),
        ({"rush": "S"}, {"priority": "stat"}),
        ({"sign": True}, {"requires_signature": True}),
        ({"day": "2026-04-20"}, {"delivery_date": date(2026, 4, 20)}),
        ({"colour": "blue"}, {}),
        (
            {"customer": {"no": "C-78", "first": "", "last": "Smith", "phone": "305 555 1234"}},
            {
                "patient_name": "Smith",
                "patient_phone": "305 555 1234",
                "external_patient_id": "C-78",
            },
        ),
    ],
)
def test_an_order_of_acme_becomes_an_order(sent, kept):
    assert candidate({**SENT, **sent}, None).order == msgspec.structs.replace(ORDER, **kept)


def test_a_store_becomes_a_site():
    assert candidate(SENT, "main").order.site == "main"


@pytest.mark.parametrize(
    ("sent", "problem"),
    [
        ("an order", Problem("Expected object, got str")),
        ({}, Problem("Object missing required field no")),
        (SENT | {"ship_to": 1}, Problem("Expected object, got int", field="ship_to")),
        (SENT | {"due_cents": "12"}, Problem("Expected int | null, got str", field="due_cents")),
        (SENT | {"rush": "now"}, Problem("Invalid enum value …", field="rush")),
    ],
)
def test_what_is_no_order_of_acme_is_explained_without_what_was_sent(sent, problem):
    assert candidate(sent, None).errors == (problem,)
    assert candidate(sent, None).order is None


REFUSED = Review(errors=(Problem("we don't deliver to this postcode", field="patient_address"),))
REMARK = Review(
    warnings=(
        Problem(
            "no postcode was found; see that the address is in the area", field="patient_address"
        ),
    )
)


@pytest.mark.parametrize(
    ("address", "postcodes", "said"),
    [
        ("123 Main St, Miami, FL 33178", ("33178", "33139"), None),
        ("123 Main St, Miami, FL 33178-0001", ("33178",), None),
        ("123 Main St, Miami, FL 33178, USA", ("33178",), None),
        ("33178 Main St, Miami, FL 33139", ("33178",), REFUSED),
        ("123 Main St, Miami", ("33178",), REMARK),
        ("123 Main St, Miami, FL 33139", (), None),
    ],
)
def test_an_address_is_held_against_the_postcodes(address, postcodes, said):
    order = msgspec.structs.replace(ORDER, patient_address=address)

    assert review(order, postcodes) == said


@pytest.mark.parametrize(
    ("changes", "sent"),
    [
        ({}, {}),
        ({"data": {}}, {"order": None, "paid_cents": None}),
        ({"data": {"copay_collected": 12}}, {"order": None, "paid_cents": 1200}),
        ({"data": {"copay_collected": Decimal("0.00")}}, {"order": None, "paid_cents": 0}),
        ({"type": "package.created"}, {"kind": "PACKAGE_CREATED"}),
    ],
)
def test_an_event_is_written_in_acmes_words(changes, sent):
    first = ErpEvent(
        id="evt_1",
        kind="DELIVERY_COMPLETED",
        store="S-014",
        at="2026-04-19T18:41:57Z",
        package="pkg_1",
        order="A-1001",
        paid_cents=1250,
    )

    assert erp_event(msgspec.structs.replace(EVENT, **changes), "S-014") == (
        msgspec.structs.replace(first, **sent)
    )
