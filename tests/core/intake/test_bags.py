"""A bag through intake: its events, its duplicates, and one prescription of it cancelled."""

from decimal import Decimal

import pytest
from core.gateways import (
    LIVE,
    OTHER,
    TEST,
    TWO_SITES,
    opened,
    order,
    submission,
    timeline,
    update,
)
from sqlalchemy import select

from gateway.errors import Conflict, InvalidInput, NotFound
from gateway.model.account import Caller
from gateway.model.bag import BagChange, Prescription, RxNumber
from gateway.storage.schema import audit

A = Prescription(rx_number="RX-1", fill_number=2, copay_amount=Decimal("4.50"))
B = Prescription(rx_number="RX-2", copay_amount=Decimal("8.00"))
C = Prescription(rx_number="RX-3")
BAG = {"prescriptions": (A, B, C), "external_order_id": "SO-1"}
REFERENCES = [
    {"rx_number": "RX-1", "fill_number": 2},
    {"rx_number": "RX-2", "fill_number": None},
    {"rx_number": "RX-3", "fill_number": None},
]


@pytest.fixture
async def gateway(database_url, tmp_path):
    async with opened(database_url, tmp_path, toml=TWO_SITES) as running:
        yield running


async def taken(gateway, **changes):
    answer = await gateway.intake.accept(submission(order(site="main", **changes)))
    return answer.results[0]


@pytest.fixture
async def package_id(gateway):
    return (await taken(gateway, **BAG)).package_id


async def carried(gateway, package_id):
    async with gateway.database.read() as connection:
        return await gateway.packages.get(connection, LIVE, package_id)


async def found(gateway, number):
    async with gateway.database.read() as connection:
        packages = await gateway.packages.search(connection, LIVE, "rx_number", number, limit=9)
    return [each.id for each in packages]


def cancelling(*numbers, **changes):
    return BagChange(tuple(RxNumber(each) for each in numbers), **changes)


async def actions(gateway):
    async with gateway.database.read() as connection:
        rows = await connection.execute(
            select(audit.c.actor, audit.c.action, audit.c.subject).order_by(audit.c.sequence)
        )
        return [tuple(row) for row in rows]


async def test_every_event_of_a_bag_says_the_first_number_and_all_of_them(gateway, package_id):
    await gateway.tracking.apply(LIVE, update(package_id, "delivery.picked_up"))

    created, picked_up = await timeline(gateway, package_id)

    for event in (created, picked_up):
        assert event.data["rx_number"] == "RX-1"
        assert event.data["prescriptions"] == REFERENCES
    assert created.data["copay_amount"] == Decimal("12.50")


async def test_the_events_of_other_orders_say_nothing_of_prescriptions(gateway):
    package_id = (await taken(gateway, rx_number="RX-1")).package_id
    await gateway.tracking.apply(LIVE, update(package_id, "delivery.picked_up"))

    created, picked_up = await timeline(gateway, package_id)

    assert list(created.data) == [
        *("package_id", "external_patient_id", "rx_number", "external_order_id", "site"),
        *("source", "priority", "requires_signature", "copay_amount", "delivery_date"),
    ]
    assert list(picked_up.data) == [
        *("package_id", "external_patient_id", "rx_number", "site", "driver_id", "occurred_at")
    ]


async def test_a_bag_that_comes_again_is_the_same_one(gateway, package_id):
    again = await taken(gateway, **BAG)

    assert (again.status, again.package_id) == ("duplicate", package_id)
    assert await found(gateway, "RX-3") == [package_id]


async def test_cancelling_one_leaves_two_and_the_right_copay(gateway, package_id):
    answer = await gateway.amendments.change_bag(LIVE, package_id, cancelling("RX-1"))

    # Then the bag has the other two, and their money
    order = (await carried(gateway, package_id)).order
    assert order.prescriptions == (B, C)
    assert (order.rx_number, order.copay_amount) == ("RX-2", Decimal("8.00"))
    assert (await found(gateway, "RX-1"), await found(gateway, "RX-2")) == ([], [package_id])

    # … an event says so
    assert answer.changed == ("rx_number", "copay_amount", "prescriptions")
    event = (await timeline(gateway, package_id))[-1]
    assert (event.id, event.type) == (answer.event_id, "package.updated")
    assert event.data == {
        "package_id": package_id,
        "external_patient_id": None,
        "rx_number": "RX-2",
        "prescriptions": REFERENCES[1:],
        "external_order_id": "SO-1",
        "site": "main",
        "priority": "routine",
        "requires_signature": False,
        "copay_amount": Decimal("8.00"),
        "delivery_date": None,
        "cancelled_prescriptions": REFERENCES[:1],
        "changed": ["rx_number", "copay_amount", "prescriptions"],
    }

    # … and the audit trail
    assert await actions(gateway) == [(LIVE.actor, "prescription.cancelled", package_id)]


async def test_a_copay_that_is_not_split_is_never_guessed(gateway):
    plain = (Prescription(rx_number="RX-1"), Prescription(rx_number="RX-2"))
    package_id = (await taken(gateway, prescriptions=plain, copay_amount=Decimal(9))).package_id

    with pytest.raises(InvalidInput):
        await gateway.amendments.change_bag(LIVE, package_id, cancelling("RX-2"))
    assert (await carried(gateway, package_id)).order.prescriptions == plain

    change = cancelling("RX-2", copay_amount=Decimal(5))
    await gateway.amendments.change_bag(LIVE, package_id, change)
    order = (await carried(gateway, package_id)).order
    assert (order.prescriptions, order.copay_amount) == (plain[:1], Decimal("5.00"))


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (cancelling("RX-9"), InvalidInput),
        (cancelling("RX-1", "RX-9"), InvalidInput),
        (cancelling("RX-1", "RX-2", "RX-3"), Conflict),
    ],
)
async def test_what_cannot_be_cancelled_changes_nothing(gateway, package_id, change, kind):
    with pytest.raises(kind):
        await gateway.amendments.change_bag(LIVE, package_id, change)

    assert (await carried(gateway, package_id)).order.prescriptions == (A, B, C)
    assert len(await timeline(gateway, package_id)) == 1
    assert await actions(gateway) == []


async def test_an_order_of_one_number_cannot_lose_it(gateway):
    package_id = (await taken(gateway, rx_number="RX-1", copay_amount=Decimal(3))).package_id

    with pytest.raises(Conflict):
        await gateway.amendments.change_bag(LIVE, package_id, cancelling("RX-1"))


async def test_a_bag_on_its_way_keeps_its_prescriptions(gateway, package_id):
    await gateway.tracking.apply(LIVE, update(package_id, "delivery.picked_up"))

    with pytest.raises(Conflict):
        await gateway.amendments.change_bag(LIVE, package_id, cancelling("RX-1"))


@pytest.mark.parametrize(
    "caller", [OTHER, TEST, Caller("default", "live", "key_9", frozenset({"north"}))]
)
async def test_a_bag_of_another_tenant_is_not_there(gateway, package_id, caller):
    with pytest.raises(NotFound):
        await gateway.amendments.change_bag(caller, package_id, cancelling("RX-1"))


async def test_a_package_that_failed_needs_a_person_until_one_has_seen_to_it(gateway, package_id):
    await gateway.tracking.apply(LIVE, update(package_id, "delivery.failed"))
    assert (await carried(gateway, package_id)).needs_person

    change = BagChange(needs_person=False)
    answer = await gateway.amendments.change_bag(LIVE, package_id, change)

    assert (answer.changed, answer.event_id) == ((), None)
    assert not (await carried(gateway, package_id)).needs_person
    assert await actions(gateway) == [(LIVE.actor, "package.seen_to", package_id)]
    await gateway.amendments.change_bag(LIVE, package_id, BagChange(needs_person=True))
    assert (await carried(gateway, package_id)).needs_person
