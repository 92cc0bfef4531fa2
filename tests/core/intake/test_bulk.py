"""Many packages are changed at once: shown first, each alone, failures named."""

from datetime import date

import msgspec
import pytest
from core.gateways import LIVE, OTHER, opened, package, sqlite_url, timeline, update

from gateway.errors import Forbidden, InvalidInput
from gateway.model.bulk import BulkChange, BulkRow

MAY = msgspec.structs.replace(
    LIVE, permissions=frozenset({"packages.update", "orders.amend", "reveal.contact"})
)


@pytest.fixture
async def gateway(tmp_path):
    async with opened(sqlite_url(tmp_path), tmp_path) as gateway:
        yield gateway


def change(action, *ids, **more):
    return BulkChange(action=action, package_ids=ids, **more)


async def carried(gateway, package_id):
    async with gateway.database.read() as connection:
        return await gateway.packages.get(connection, LIVE, package_id)


async def types(gateway, package_id):
    return [each.type for each in await timeline(gateway, package_id)]


async def test_those_that_can_change_do_and_the_others_say_why_not(database_url, tmp_path):
    async with opened(database_url, tmp_path) as gateway:
        first, second, done = [await package(gateway) for _ in range(3)]
        await gateway.tracking.apply(LIVE, update(done, "delivery.completed"))
        foreign = await package(gateway, caller=OTHER)
        wanted = change("assign", first, done, foreign, second, first, driver_id="Marc")
        shown = await gateway.bulk.preview(MAY, wanted)
        untouched = await types(gateway, first)
        applied = await gateway.bulk.apply(MAY, wanted)
        after = await types(gateway, first), await types(gateway, done)

    refusal = "The package is completed; delivery.assigned can't follow."
    assert shown == [
        BulkRow(package_id=first, status="created", leads_to="assigned"),
        BulkRow(package_id=done, status="completed", error=refusal),
        BulkRow(package_id=foreign, error="There is no such package."),
        BulkRow(package_id=second, status="created", leads_to="assigned"),
    ]
    assert untouched == ["package.created"]
    assert [(each.package_id, each.status, each.error) for each in applied] == [
        (first, "assigned", None),
        (done, "completed", refusal),
        (foreign, None, "There is no such package."),
        (second, "assigned", None),
    ]
    assert after == (
        ["package.created", "delivery.assigned"],
        ["package.created", "delivery.completed"],
    )


async def test_a_new_day_changes_the_order_in_the_pharmacy_and_is_reported_on_the_road(gateway):
    here, out = await package(gateway), await package(gateway)
    await gateway.tracking.apply(LIVE, update(out, "delivery.out_for_delivery"))
    day = date(2026, 4, 21)
    wanted = change("reschedule", here, out, delivery_date=day, notes="asked by phone")
    rows = await gateway.bulk.apply(MAY, wanted)

    assert [(each.status, each.error) for each in rows] == [
        ("created", None),
        ("rescheduled", None),
    ]
    assert (await carried(gateway, here)).order.delivery_date == day
    assert await types(gateway, here) == ["package.created", "package.updated"]
    reported = (await timeline(gateway, out))[-1]
    assert (reported.type, reported.data["notes"]) == (
        "delivery.rescheduled",
        "2026-04-21. asked by phone",
    )


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        (change("ready"), "package_ids"),
        (change("ready", *(f"pkg_{each}" for each in range(101))), "package_ids"),
        (change("assign", "pkg_1"), "driver_id"),
        (change("reschedule", "pkg_1"), "delivery_date"),
        (change("reschedule", "pkg_1", delivery_date=date(206, 4, 20)), "delivery_date"),
    ],
)
async def test_a_change_that_lacks_what_it_needs_is_refused(gateway, wanted, field):
    with pytest.raises(InvalidInput) as refused:
        await gateway.bulk.apply(MAY, wanted)

    assert [each.field for each in refused.value.details] == [field]


async def test_a_reschedule_needs_the_permission_of_a_correction(gateway):
    caller = msgspec.structs.replace(LIVE, permissions=frozenset({"packages.update"}), kind="key")
    wanted = change("reschedule", await package(gateway), delivery_date=date(2026, 4, 21))
    with pytest.raises(Forbidden, match=r"orders\.amend"):
        await gateway.bulk.preview(caller, wanted)
