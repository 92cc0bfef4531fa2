"""Bags and clear columns in the database: every number finds the bag, lists are filtered."""

from datetime import date

import msgspec
import pytest
from core.storage.rows import LIVE, NOW_MS, new_package
from sqlalchemy import select, text, update

from gateway.model.account import Caller
from gateway.model.bag import Prescription
from gateway.storage.schema import package_prescriptions, packages
from gateway.storage.stores.clear_columns import (
    ClearFilter,
    Mark,
    driver_after,
    flags_after,
    set_marks,
)
from gateway.storage.stores.package_lists import PackageFilter

THREE = tuple(Prescription(rx_number=f"RX-{number}") for number in (1, 2, 3))


async def found_by(kept, connection, number, caller=LIVE):
    found = await kept.packages.search(connection, caller, "rx_number", number, limit=10)
    return {each.id for each in found}


async def listed(kept, connection, **wanted):
    asked = PackageFilter(10, clear=ClearFilter(**wanted))
    return {each.id for each in await kept.packages.page(connection, LIVE, asked)}


async def state(kept, connection, package):
    key = (package.account_id, package.id)
    return (await kept.packages.states_of(connection, {key}, for_update=True))[package.id]


async def test_each_number_of_a_bag_finds_it(connection, kept):
    bag = new_package(rx_number="RX-1", prescriptions=THREE)
    single = new_package(rx_number="RX-2", external_order_id="SO-2")
    await kept.packages.insert(connection, [bag, single])

    assert await found_by(kept, connection, "RX-1") == {bag.id}
    assert await found_by(kept, connection, " rx-2 ") == {single.id, bag.id}
    assert await found_by(kept, connection, "RX-3") == {bag.id}
    assert await found_by(kept, connection, "RX-4") == set()
    assert await found_by(kept, connection, "RX-3", Caller("other", "live", "key_3")) == set()


async def test_an_order_of_one_prescription_makes_no_row_of_its_own(connection, kept):
    one = new_package(rx_number="RX-1", prescriptions=THREE[:1])
    plain = new_package(rx_number="RX-1", external_order_id="SO-2")
    await kept.packages.insert(connection, [one, plain])

    assert list(await connection.execute(select(package_prescriptions))) == []
    assert await found_by(kept, connection, "RX-1") == {plain.id, one.id}


async def test_two_fills_of_one_number_are_one_entry(connection, kept):
    fills = tuple(Prescription(rx_number="RX-1", fill_number=number) for number in (0, 1))
    bag = new_package(rx_number="RX-1", prescriptions=fills)
    await kept.packages.insert(connection, [bag])

    assert await found_by(kept, connection, "RX-1") == {bag.id}


async def test_a_number_that_left_the_bag_finds_it_no_more(connection, kept):
    bag = new_package(rx_number="RX-1", prescriptions=THREE)
    await kept.packages.insert(connection, [bag])

    left = msgspec.structs.replace(bag.order, rx_number="RX-2", prescriptions=THREE[1:])
    await kept.packages.replace_order(connection, await state(kept, connection, bag), left)

    assert await found_by(kept, connection, "RX-1") == set()
    assert await found_by(kept, connection, "RX-2") == {bag.id}
    assert await found_by(kept, connection, "RX-3") == {bag.id}


async def test_lists_are_narrowed_by_each_clear_column(connection, kept):
    today = new_package(delivery_date=date(2026, 4, 20), priority="stat", requires_signature=True)
    cold = new_package(
        external_order_id="SO-2",
        delivery_date=date(2026, 4, 21),
        requires_signature=False,
        prescriptions=(Prescription(rx_number="RX-1", refrigerated=True, controlled=True),),
    )
    await kept.packages.insert(connection, [today, cold])

    assert await listed(kept, connection, delivery_day="2026-04-20") == {today.id}
    assert await listed(kept, connection, priority="stat") == {today.id}
    assert await listed(kept, connection, priority="routine") == {cold.id}
    assert await listed(kept, connection, flag="signature") == {today.id}
    assert await listed(kept, connection, flag="refrigerated") == {cold.id}
    assert await listed(kept, connection, flag="controlled") == {cold.id}
    assert await listed(kept, connection, flag="needs_person") == set()
    assert await listed(kept, connection, priority="stat", flag="controlled") == set()


async def test_a_driver_and_a_flag_are_written_beside_the_status(connection, kept):
    package, other = new_package(), new_package(external_order_id="SO-2")
    await kept.packages.insert(connection, [package, other])

    await set_marks(connection, [Mark("acme", package.id, "drv_1", 9)])

    assert await listed(kept, connection, driver_id="drv_1") == {package.id}
    assert await listed(kept, connection, flag="needs_person") == {package.id}
    found = await state(kept, connection, package)
    assert (found.driver_id, found.flags, found.status_at_ms) == ("drv_1", 9, NOW_MS)


async def test_a_changed_order_changes_its_columns_and_keeps_what_needs_a_person(connection, kept):
    package = new_package(delivery_date=date(2026, 4, 20))
    await kept.packages.insert(connection, [package])
    await set_marks(connection, [Mark("acme", package.id, "drv_1", 9)])

    later = msgspec.structs.replace(
        package.order, delivery_date=date(2026, 4, 22), requires_signature=False
    )
    await kept.packages.replace_order(connection, await state(kept, connection, package), later)

    assert await listed(kept, connection, delivery_day="2026-04-22") == {package.id}
    found = await state(kept, connection, package)
    assert (found.driver_id, found.flags) == ("drv_1", 8)


@pytest.mark.parametrize(
    ("current", "event", "reported", "after"),
    [
        (None, "delivery.assigned", "drv_1", "drv_1"),
        ("drv_1", "delivery.picked_up", None, "drv_1"),
        ("drv_1", "delivery.picked_up", "drv_2", "drv_2"),
        ("drv_1", "delivery.unassigned", "drv_1", None),
    ],
)
def test_the_driver_is_the_last_one_reported(current, event, reported, after):
    assert driver_after(current, event, reported) == after


def test_a_package_that_failed_or_came_back_needs_a_person():
    statuses = ("attempted", "failed", "returned", "completed")

    assert [flags_after(1, each) for each in statuses] == [1, 9, 9, 1]


async def test_an_unfilled_package_is_in_no_flags_list(connection, kept):
    package = new_package(requires_signature=True)
    await kept.packages.insert(connection, [package])
    await connection.execute(update(packages).values(flags=None))

    assert await listed(kept, connection, flag="signature") == set()
    unfilled = await connection.execute(text("SELECT id FROM packages WHERE flags IS NULL"))
    assert list(unfilled.scalars()) == [package.id]
