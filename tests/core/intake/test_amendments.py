"""Packages change while they are in the pharmacy, and are emptied for who wants to be forgotten."""

from decimal import Decimal

import pytest
from core.gateways import (
    LIVE,
    ORDER,
    OTHER,
    TEST,
    TWO_SITES,
    Recorder,
    add_destination,
    opened,
    order,
    package,
    sqlite_url,
    timeline,
    update,
)

from gateway.errors import Conflict, InvalidInput, NotFound, Problem
from gateway.hookspecs import hookimpl
from gateway.model.account import Caller
from gateway.model.order import Review
from gateway.model.submission import AmendmentResult


@pytest.fixture
async def gateway(tmp_path):
    async with opened(sqlite_url(tmp_path), tmp_path) as gateway:
        yield gateway


async def carried(gateway, package_id, caller=LIVE):
    async with gateway.database.read() as connection:
        return await gateway.packages.get(connection, caller, package_id)


async def found(gateway, field, value):
    async with gateway.database.read() as connection:
        packages = await gateway.packages.search(connection, LIVE, field, value, limit=9)
    return [each.id for each in packages]


async def test_a_changed_order_is_carried_found_and_told_of_by_field_names(database_url, tmp_path):
    async with opened(database_url, tmp_path) as gateway:
        first = {"rx_number": "RX-1", "external_patient_id": "P-1", "external_order_id": "SO-1"}
        package_id = await package(gateway, **first)
        changed = order(
            patient_address="9 New St",
            rx_number="RX-2",
            copay_amount=Decimal("7.5"),
            external_order_id="SO-2",
        )
        answer = await gateway.amendments.amend(LIVE, package_id, changed)

        kept = (await carried(gateway, package_id)).order
        assert (kept.patient_address, kept.rx_number) == ("9 New St", "RX-2")
        assert kept.external_order_id == "SO-1"
        assert await found(gateway, "rx_number", "RX-2") == [package_id]
        assert await found(gateway, "rx_number", "RX-1") == []
        assert await found(gateway, "external_patient_id", "P-1") == []
        assert await found(gateway, "external_order_id", "SO-1") == [package_id]
        names = ("patient_address", "rx_number", "copay_amount", "external_patient_id")
        assert answer.changed == names
        event = (await timeline(gateway, package_id))[-1]
        assert (event.id, event.type, event.status_after) == (
            answer.event_id,
            "package.updated",
            "created",
        )
        assert event.data == {
            "package_id": package_id,
            "external_patient_id": None,
            "rx_number": "RX-2",
            "external_order_id": "SO-1",
            "priority": "routine",
            "requires_signature": False,
            "copay_amount": Decimal("7.50"),
            "delivery_date": None,
            "changed": list(names),
        }


async def test_the_same_order_again_changes_nothing_and_tells_nobody(gateway):
    package_id = await package(gateway, patient_phone="+13055551234")
    same = order(patient_phone="(305) 555-1234")

    assert await gateway.amendments.amend(LIVE, package_id, same) == AmendmentResult(package_id)
    assert len(await timeline(gateway, package_id)) == 1


async def test_subscribers_are_told_of_a_change(tmp_path):
    sink = Recorder()
    async with opened(sqlite_url(tmp_path), tmp_path, plugins=[sink]) as gateway:
        destination = await add_destination(gateway, events=("package.updated",))
        package_id = await package(gateway)
        await gateway.amendments.amend(LIVE, package_id, order(notes="at the back door"))
        async with gateway.database.begin() as connection:
            due = await gateway.outbox.claim(
                connection, destination, limit=9, now=gateway.clock.now(), lease_seconds=60
            )

    assert [each.event.type for each in due] == ["package.updated"]


@pytest.mark.parametrize("event", ["package.ready", "delivery.assigned", "delivery.unassigned"])
async def test_what_is_still_in_the_pharmacy_can_be_changed(gateway, event):
    package_id = await package(gateway)
    await gateway.tracking.apply(LIVE, update(package_id, event))

    answer = await gateway.amendments.amend(LIVE, package_id, order(notes="ring twice"))
    assert answer.changed == ("notes",)


@pytest.mark.parametrize("event", ["delivery.picked_up", "delivery.completed", "package.cancelled"])
async def test_what_has_left_or_is_over_can_not_be_changed(gateway, event):
    package_id = await package(gateway)
    status = (await gateway.tracking.apply(LIVE, update(package_id, event))).status

    with pytest.raises(Conflict) as raised:
        await gateway.amendments.amend(LIVE, package_id, order(notes="ring twice"))
    assert raised.value.message == f"The package is {status}; its order can't change any more."
    assert (await carried(gateway, package_id)).order.notes is None


@pytest.mark.parametrize(
    "caller", [OTHER, TEST, Caller("default", "live", "key_9", frozenset({"main"}))]
)
async def test_somebody_elses_package_is_not_there(gateway, caller):
    package_id = await package(gateway)

    with pytest.raises(NotFound):
        await gateway.amendments.amend(caller, package_id, order(notes="ring twice"))


async def test_a_changed_order_must_pass_the_same_rules(gateway):
    package_id = await package(gateway)

    with pytest.raises(InvalidInput) as raised:
        await gateway.amendments.amend(LIVE, package_id, order(patient_name=" "))
    problem = Problem("patient_name is required", field="patient_name")
    assert raised.value.details == (problem,)
    assert (await carried(gateway, package_id)).order == ORDER


class Reviews:
    """A plugin that refuses one address and writes another in capitals."""

    @hookimpl
    def review_orders(self, orders):
        return [
            Review(errors=(Problem("outside our area"),))
            if "Moon" in each.patient_address
            else Review(order(patient_address=each.patient_address.upper()))
            for each in orders
        ]


async def test_plugins_review_a_changed_order_too(tmp_path):
    async with opened(sqlite_url(tmp_path), tmp_path, plugins=[Reviews()]) as gateway:
        package_id = await package(gateway)
        with pytest.raises(InvalidInput) as raised:
            await gateway.amendments.amend(LIVE, package_id, order(patient_address="1 Moon"))
        await gateway.amendments.amend(LIVE, package_id, order(patient_address="1 Main"))

        assert raised.value.details == (Problem("outside our area"),)
        assert (await carried(gateway, package_id)).order.patient_address == "1 MAIN"


async def test_a_change_can_not_move_a_package_to_another_site(tmp_path):
    async with opened(sqlite_url(tmp_path), tmp_path, toml=TWO_SITES) as gateway:
        package_id = await package(gateway, site="main")
        answer = await gateway.amendments.amend(LIVE, package_id, order(site="north", notes="n"))

        assert answer.changed == ("notes",)
        assert (await carried(gateway, package_id)).site == "main"


async def test_redacting_empties_what_is_over_and_says_why_the_rest_is_kept(database_url, tmp_path):
    async with opened(database_url, tmp_path, plugins=[Recorder()]) as gateway:
        over = await package(gateway, rx_number="RX-1", external_order_id="SO-1")
        await gateway.tracking.apply(LIVE, update(over, "delivery.completed", notes="with Ana"))
        under_way = await package(gateway, rx_number="RX-1")
        await add_destination(gateway, events=("delivery.failed",))
        told = await package(gateway, rx_number="RX-1")
        await gateway.tracking.apply(LIVE, update(told, "delivery.failed"))
        asked = [over, under_way, told, "pkg_nowhere"]
        answer = await gateway.amendments.erase(LIVE, asked)

        assert answer.redacted == (over,)
        kept = {under_way: "under_way", told: "still_told", "pkg_nowhere": "unknown"}
        assert answer.kept == kept
        emptied = await carried(gateway, over)
        assert (emptied.purged, emptied.order.patient_name, emptied.status) == (
            True,
            "",
            "completed",
        )
        assert [event.data for event in await timeline(gateway, over)] == [{}, {}]
        assert sorted(await found(gateway, "rx_number", "RX-1")) == sorted([under_way, told])
        assert (await carried(gateway, under_way)).order.rx_number == "RX-1"
        # … and the same again is fine, while the same order again is still known.
        assert (await gateway.amendments.erase(LIVE, [over])).redacted == (over,)
        assert await package(gateway, external_order_id="SO-1") == over


@pytest.mark.parametrize(
    "caller", [OTHER, TEST, Caller("default", "live", "key_9", frozenset({"main"}))]
)
async def test_nobody_empties_somebody_elses_package(gateway, caller):
    package_id = await package(gateway)
    await gateway.tracking.apply(LIVE, update(package_id, "delivery.completed"))
    answer = await gateway.amendments.erase(caller, [package_id])

    assert (answer.redacted, answer.kept) == ((), {package_id: "unknown"})
    assert not (await carried(gateway, package_id)).purged
