"""A list of few among very many is read from an index of those few, however much is over."""

import pytest
from core.storage.rows import (
    LIVE,
    NOW,
    OTHER,
    SEALER,
    delivered,
    destination,
    ids_of,
    queued,
)
from sqlalchemy import event

from gateway.storage.schema import FLAGS
from gateway.storage.stores.clear_columns import ClearFilter
from gateway.storage.stores.delivery_log import AttemptFilter, DeliveryLog
from gateway.storage.stores.package_lists import PackageFilter


async def given_up(kept, connection):
    await kept.log.page(connection, LIVE, limit=9, state="exhausted")


async def failed(kept, connection):
    await kept.destinations.add(connection, destination(LIVE))
    await kept.log.attempts_page(connection, LIVE, AttemptFilter(9, delivered=False))


async def completed(kept, connection):
    await kept.packages.page(connection, LIVE, PackageFilter(9, status="completed"))


SEARCH = "SEARCH packages USING INDEX"
OF_A_BAG = "SEARCH package_prescriptions USING INDEX"


def narrowed(**wanted):
    async def asked(kept, connection):
        await kept.packages.page(connection, LIVE, PackageFilter(9, clear=ClearFilter(**wanted)))

    return asked


def searched(field):
    async def asked(kept, connection):
        await kept.packages.search(connection, LIVE, field, "some value", limit=9)

    return asked


async def waiting(kept, connection):
    await kept.log.page(connection, LIVE, limit=9, state="pending")


@pytest.mark.parametrize(
    ("asked", "searched", "sorts"),
    [
        (
            given_up,
            "SEARCH deliveries USING INDEX ix_deliveries_exhausted (account_id=? AND state=?)",
            0,
        ),
        (
            failed,
            "SEARCH attempts USING INDEX ix_attempts_failed (destination_id=? AND delivered=?)",
            1,  # a page of each destination, merged
        ),
        (
            completed,
            "SEARCH packages USING INDEX ix_packages_status (account_id=? AND status=?)",
            0,
        ),
        (
            narrowed(delivery_day="2026-04-20"),
            f"{SEARCH} ix_packages_delivery_day (account_id=? AND delivery_day=?)",
            0,
        ),
        (
            narrowed(priority="stat"),
            "SEARCH packages USING INDEX ix_packages_priority (account_id=? AND priority=?)",
            0,
        ),
        (
            narrowed(driver_id="drv_b12c"),
            "SEARCH packages USING INDEX ix_packages_driver_id (account_id=? AND driver_id=?)",
            0,
        ),
        *(
            (
                searched(field),
                f"{SEARCH} {prefix}_packages_{name} ({name}=?)",
                0,
            )
            for field, prefix, name in (
                ("rx_number", "ix", "rx_index"),
                ("patient_phone", "ix", "phone_index"),
                ("external_patient_id", "ix", "patient_index"),
                ("external_order_id", "uq", "order_index"),
            )
        ),
        (
            searched("rx_number"),
            f"{OF_A_BAG} ix_package_prescriptions_rx_index (rx_index=?)",
            0,
        ),
        *(
            (
                narrowed(flag=flag),
                f"SEARCH packages USING INDEX ix_packages_{flag} (account_id=?)",
                0,
            )
            for flag in FLAGS
        ),
        (waiting, "SEARCH deliveries USING INDEX ix_deliveries_due (destination_id=?)", 0),
    ],
)
async def test_a_list_of_few_among_many_is_read_from_their_index(
    sqlite_database, kept, asked, searched, sorts
):
    statements = []
    async with sqlite_database.begin() as connection:

        @event.listens_for(connection.sync_connection, "before_cursor_execute")
        def note(_connection, _cursor, statement, parameters, *_):
            statements.append((statement, parameters))

        await asked(kept, connection)
        plans = [
            [
                row[3].replace("COVERING INDEX", "INDEX")
                for row in await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {one}", of)
            ]
            for one, of in tuple(statements)
        ]

    [plan] = [plan for plan in plans if searched in plan]
    assert plan.count("USE TEMP B-TREE FOR ORDER BY") == sorts


@pytest.mark.parametrize("few", [5, 4, 0])
async def test_what_waits_is_listed_newest_first_whether_it_is_little_or_much(
    connection, kept, few
):
    log = DeliveryLog(SEALER, max_by_index=few)
    mine, theirs = destination(LIVE), destination(OTHER)
    for each in (mine, theirs):
        await kept.destinations.add(connection, each)
    _, ids = await queued(connection, mine, 5)
    await queued(connection, theirs, 1)
    [taken] = await kept.outbox.claim(connection, mine.id, limit=1, now=NOW, lease_seconds=60)
    await kept.outbox.settle(connection, [delivered(taken, started_at=NOW)], NOW)
    left = sorted({*ids} - {taken.id}, reverse=True)

    first = await log.page(connection, LIVE, limit=3, state="pending")
    rest = await log.page(connection, LIVE, limit=3, state="pending", before_id=first[-1].id)

    assert ids_of(first) == left[:3]
    assert ids_of(rest) == left[3:]
