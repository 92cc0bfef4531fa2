"""Lists of packages by day, status and flag, their counts, and the time these take."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from core.gateways import LIVE, OTHER, TEST, opened, package, sqlite_url, update
from msgspec import structs
from sqlalchemy import event

from gateway.clock import SteppingClock
from gateway.model.day import day_of
from gateway.model.package import Proof
from gateway.storage.stores.clear_columns import ClearFilter, now_proved
from gateway.storage.stores.package_lists import (
    Counted,
    PackageFilter,
    count,
    count_since,
    counts_of_day,
    drivers_of_day,
)

LIVE_AT_NORTH = structs.replace(LIVE, sites=frozenset({"north"}))
DAY = date(2026, 4, 20)
TORONTO = ZoneInfo("America/Toronto")
TODAY = day_of(TORONTO, DAY)
NINE = datetime(2026, 4, 20, 13, tzinfo=UTC)  # nine o'clock at the site


async def ids_of(gateway, caller=LIVE, **wanted):
    async with gateway.database.read() as connection:
        found = await gateway.packages.page(connection, caller, PackageFilter(99, **wanted))
    return [each.id for each in found]


async def report(gateway, package_id, event_type, **more):
    return await gateway.tracking.apply(LIVE, update(package_id, event_type, **more))


async def test_a_day_has_what_is_to_be_delivered_on_it_and_what_came_in_and_names_no_day(
    database_url, tmp_path
):
    clock = SteppingClock(datetime(2026, 4, 20, 3, 30, tzinfo=UTC))  # still the 19th at the site
    async with opened(database_url, tmp_path, clock=clock) as gateway:
        await package(gateway)
        ordered = await package(gateway, delivery_date=DAY)
        clock.step(3600)
        came_in = await package(gateway)
        await package(gateway, delivery_date=DAY + timedelta(days=1))
        await package(gateway, caller=TEST)
        await package(gateway, caller=OTHER)
        clock.step(NINE.timestamp() - clock.now().timestamp())
        await report(gateway, ordered, "delivery.assigned", driver_id="Marc")
        await report(gateway, ordered, "delivery.completed")
        clock.step(3600)
        async with gateway.database.read() as connection:
            counts = await counts_of_day(connection, LIVE, TODAY)
            drivers = await drivers_of_day(connection, LIVE, TODAY)
        listed = await ids_of(gateway, day=TODAY)
        done = await ids_of(gateway, day=TODAY, statuses=("completed", "failed"))
        others = await ids_of(gateway, caller=OTHER, day=TODAY)

    assert listed == [came_in, ordered]
    assert (done, len(others)) == ([ordered], 1)
    assert counts.by_status == {"created": 1, "completed": 1}
    assert not counts.has_more
    assert [hour for hour, number in enumerate(counts.delivered) if number] == [9]
    assert (len(counts.delivered), sum(counts.delivered)) == (24, 1)
    assert drivers == ["Marc"]


async def test_several_statuses_are_one_list_newest_first_page_by_page(database_url, tmp_path):
    clock = SteppingClock()
    async with opened(database_url, tmp_path, clock=clock) as gateway:
        made = []
        for _ in range(6):
            clock.step(1)  # ids of one moment have no order
            made.append(await package(gateway))
        for each, event_type in zip(made, ("assigned", "picked_up") * 2, strict=False):
            await report(gateway, each, f"delivery.{event_type}", driver_id="d")
        out = ("assigned", "picked_up")
        first = await ids_of(gateway, statuses=out)
        async with gateway.database.read() as connection:
            page = await gateway.packages.page(
                connection, LIVE, PackageFilter(2, before_id=first[1], statuses=out)
            )
            some = await count(connection, LIVE, PackageFilter(1, statuses=out), most=3)
            all_of_them = await count(connection, LIVE, PackageFilter(1, statuses=out))

    assert first == made[3::-1]
    assert [each.id for each in page] == first[2:4]
    assert (some, all_of_them) == (Counted(3, has_more=True), Counted(4))


async def test_a_delivery_without_any_proof_is_flagged_until_a_picture_is_added(
    database_url, tmp_path
):
    clock = SteppingClock()
    async with opened(database_url, tmp_path, clock=clock) as gateway:
        bare, signed, photographed = [await package(gateway) for _ in range(3)]
        await report(gateway, bare, "delivery.completed")
        await report(gateway, signed, "delivery.completed", proof=Proof(signer_name="A. Silva"))
        photo = Proof(photo_url="https://example.com/1.jpg")
        await report(gateway, photographed, "delivery.completed", proof=photo)
        flagged = await ids_of(gateway, clear=ClearFilter(flag="no_proof"))
        await add_picture(gateway, bare)
        after = await ids_of(gateway, clear=ClearFilter(flag="no_proof"))

    assert flagged == [bare]
    assert after == []


async def add_picture(gateway, package_id):
    async with gateway.database.begin() as connection:
        await now_proved(connection, LIVE.account_id, package_id)


async def test_what_needs_a_person_is_counted_since_the_first_of_them(database_url, tmp_path):
    clock = SteppingClock()
    async with opened(database_url, tmp_path, clock=clock) as gateway:
        first, second = await package(gateway), await package(gateway)
        clock.step(60)
        started = clock.now()
        await report(gateway, first, "delivery.failed", failure_reason="refused")
        clock.step(600)
        await report(gateway, second, "delivery.failed", failure_reason="refused")
        wanted = PackageFilter(1, clear=ClearFilter(flag="needs_person"))
        async with gateway.database.read() as connection:
            found = await count_since(connection, LIVE, wanted)
            none = await count_since(connection, OTHER, wanted)

    assert found == (Counted(2), started, {"failed": 2})
    assert none == (Counted(0), None, {})


async def test_a_usual_day_is_the_median_of_the_same_weekday_of_eight_weeks(database_url, tmp_path):
    """A weekday without a delivery is a holiday; one of nine weeks ago is too old."""
    delivered = {9: 9, 8: 1, 7: 0, 6: 4, 5: 2, 1: 3}  # how many, by the weeks ago
    clock = SteppingClock(NINE - timedelta(weeks=9))
    async with opened(database_url, tmp_path, clock=clock) as gateway:
        for weeks_ago in (9, 8, 7, 6, 5, 1):
            at = NINE - timedelta(weeks=weeks_ago, days=1)  # the day before is another weekday
            clock.step((at - clock.now()).total_seconds())
            await report(gateway, await package(gateway), "delivery.completed")
            clock.step(86_400)
            for _each in range(delivered[weeks_ago]):
                await report(gateway, await package(gateway), "delivery.completed")
        clock.step((NINE - clock.now()).total_seconds())
        usual = [
            await gateway.days.usual_deliveries(caller, TODAY)
            for caller in (LIVE, TEST, LIVE_AT_NORTH)
        ]
        # What comes in today changes nothing: it is counted once a day
        await report(gateway, await package(gateway), "delivery.completed")
        again = await gateway.days.usual_deliveries(LIVE, TODAY)
        two_weeks = await gateway.days.usual_deliveries(
            LIVE, day_of(TORONTO, DAY - timedelta(weeks=6))
        )

    assert usual[0] == [2.5 if hour == 9 else 0 for hour in range(24)]
    assert usual[1:] == [(), ()]
    assert again == usual[0]
    assert two_weeks == ()  # only two such weekdays were before


@pytest.mark.parametrize(
    ("wanted", "caller", "indexes"),
    [
        (
            {"day": TODAY},
            LIVE,
            ("ix_packages_delivery_day (account_id=? AND delivery_day=?", "id>? AND id<?)"),
        ),
        ({"statuses": ("assigned", "picked_up")}, LIVE, ("ix_packages_status",)),
        ({"clear": ClearFilter(flag="no_proof")}, LIVE, ("ix_packages_no_proof",)),
        ({}, TEST, ("ix_packages_test",)),
        ({"statuses": ("completed",)}, TEST, ("ix_packages",)),
    ],
)
async def test_each_list_and_its_count_is_read_from_an_index(tmp_path, wanted, caller, indexes):
    async with opened(sqlite_url(tmp_path), tmp_path) as gateway:
        statements = []
        async with gateway.database.read() as connection:

            @event.listens_for(connection.sync_connection, "before_cursor_execute")
            def note(_connection, _cursor, statement, parameters, *_):
                statements.append((statement, parameters))

            await gateway.packages.page(connection, caller, PackageFilter(9, **wanted))
            await count(connection, caller, PackageFilter(9, **wanted))
            if "day" in wanted:
                await drivers_of_day(connection, caller, TODAY)
                await counts_of_day(connection, caller, TODAY)
                del statements[-1]  # that of the hours, which has an index of its own
            plans = [
                " | ".join(
                    row[3]
                    for row in await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {one}", of)
                )
                for one, of in tuple(statements)
                if one.startswith("SELECT")
            ]

    assert len(plans) == (4 if "day" in wanted else 2)
    assert all("SCAN packages" not in plan for plan in plans), plans
    assert all(index in plan for plan in plans for index in indexes), plans
