"""A list of few among very many is read from an index of those few, however much is over."""

from datetime import date
from zoneinfo import ZoneInfo

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
from msgspec import structs
from sqlalchemy import event, select

from gateway.model.day import day_of
from gateway.storage.database import Database
from gateway.storage.schema import FLAGS, RARE_FLAGS, package_prescriptions
from gateway.storage.stores.access_reports import AuditFilter, PatientReports
from gateway.storage.stores.clear_columns import ClearFilter
from gateway.storage.stores.delivery_log import AttemptFilter, DeliveryFilter, DeliveryLog
from gateway.storage.stores.package_lists import (
    PackageFilter,
    count,
    count_since,
    counts,
    deliveries_by_hour,
    keys_of,
)
from gateway.storage.stores.packages import SEARCH_FIELDS
from gateway.storage.stores.timelines import heard_of


async def given_up(kept, connection):
    await kept.log.page(connection, LIVE, limit=9, state="exhausted")


async def counted(kept, connection):
    made = destination(LIVE)
    await kept.destinations.add(connection, made)
    await kept.log.counts_between(connection, LIVE, [made.id], [NOW, NOW])


async def failed(kept, connection):
    await kept.destinations.add(connection, destination(LIVE))
    await kept.log.attempts_page(connection, LIVE, AttemptFilter(9, delivered=False))


async def completed(kept, connection):
    await kept.packages.page(connection, LIVE, PackageFilter(9, status="completed"))


SEARCH = "SEARCH packages USING INDEX"
SPAN = "sequence>? AND sequence<?"
OF_A_BAG = "SEARCH package_prescriptions USING INDEX"


def narrowed(**wanted):
    async def asked(kept, connection):
        await kept.packages.page(connection, LIVE, PackageFilter(9, clear=ClearFilter(**wanted)))

    return asked


def searched(field):
    async def asked(kept, connection):
        await kept.packages.search(connection, LIVE, field, "some value", limit=9)

    return asked


OF_ONE_SITE = structs.replace(LIVE, sites=frozenset({"lakeside"}))


async def of_a_source(kept, connection):
    await kept.packages.page(connection, LIVE, PackageFilter(9, source="labels"))


async def packages_of_a_site(kept, connection):
    await kept.packages.page(connection, OF_ONE_SITE, PackageFilter(9))


async def events_of_a_site(kept, connection):
    await kept.events.page(connection, OF_ONE_SITE, limit=9)


async def events_of_a_type(kept, connection):
    await kept.events.page(connection, LIVE, limit=9, event_type="delivery.failed")


def audited(**wanted):
    async def asked(kept, connection):
        reports = PatientReports(kept.packages, kept.events)
        await reports.page(connection, LIVE, AuditFilter(9, **wanted))

    return asked


def noted(connection):
    """Return a list that each statement of the connection is added to, with its parameters."""
    statements = []

    @event.listens_for(connection.sync_connection, "before_cursor_execute")
    def note(_connection, _cursor, statement, parameters, *_):
        statements.append((statement, parameters))

    return statements


async def plans_of(connection, statements):
    """Return the steps of SQLite's plan for each statement."""
    return [
        [
            row[3].replace("COVERING INDEX", "INDEX")
            for row in await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {one}", of)
        ]
        for one, of in tuple(statements)
    ]


async def by_state(kept, connection):
    await kept.log.counts(connection, LIVE)


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
                f"{SEARCH} ix_packages_{flag} (account_id=?{' AND mode=?' * (flag in RARE_FLAGS)})",
                0,
            )
            for flag in FLAGS
        ),
        (of_a_source, f"{SEARCH} ix_packages_source (account_id=? AND source=?)", 0),
        (packages_of_a_site, f"{SEARCH} ix_packages_site (account_id=? AND site=?)", 0),
        (
            events_of_a_site,
            "SEARCH events USING INDEX ix_events_site (account_id=? AND site=?)",
            0,
        ),
        (
            events_of_a_type,
            "SEARCH events USING INDEX ix_events_type (account_id=? AND type=?)",
            0,
        ),
        *(
            (
                audited(**{column: value}),
                f"SEARCH audit USING INDEX ix_audit_{column} (account_id=? AND {column}=?)",
                0,
            )
            for column, value in (
                ("actor", "per_1"),
                ("action", "key.revoked"),
                ("kind", "export"),
            )
        ),
        *(
            (
                counted,
                f"SEARCH attempts USING INDEX ix_attempts_{index} ({columns} AND {SPAN})",
                1,  # of the hours
            )
            for index, columns in (
                ("destination_id", "destination_id=?"),
                ("failed", "destination_id=? AND delivered=?"),
            )
        ),
        (waiting, "SEARCH deliveries USING INDEX ix_deliveries_due (destination_id=?)", 0),
        (by_state, "SEARCH deliveries USING INDEX ix_deliveries_due (destination_id=?)", 0),
        (
            by_state,
            "SEARCH deliveries USING INDEX ix_deliveries_exhausted (account_id=? AND state=?)",
            0,
        ),
    ],
)
async def test_a_list_of_few_among_many_is_read_from_their_index(
    sqlite_database, kept, asked, searched, sorts
):
    async with sqlite_database.begin() as connection:
        statements = noted(connection)
        await asked(kept, connection)
        plans = await plans_of(connection, statements)

    [plan] = [plan for plan in plans if searched in plan]
    assert plan.count("USE TEMP B-TREE FOR ORDER BY") == sorts


DELIVERED = (
    "SEARCH packages USING COVERING INDEX ix_packages_finished "
    "(purged=? AND status_at_ms>? AND status_at_ms<?)"
)
NEEDS_PERSON = PackageFilter(9, clear=ClearFilter(flag="needs_person"))
NO_PROOF = PackageFilter(9, clear=ClearFilter(flag="no_proof"))
DID_FAIL = PackageFilter(9, statuses=("failed",))
UNDER_WAY = PackageFilter(9, statuses=("assigned", "arrived"))


async def counted(connection, caller):
    await counts(
        connection, caller, [(each, 99) for each in (NEEDS_PERSON, NO_PROOF, DID_FAIL, UNDER_WAY)]
    )


async def counted_since(connection, caller):
    await count_since(connection, caller, NEEDS_PERSON)


async def joined(connection, caller):
    await connection.execute(select(keys_of(caller, [UNDER_WAY, NEEDS_PERSON])))


async def named(connection, caller):
    some = keys_of(caller, [UNDER_WAY, NEEDS_PERSON], named_in=package_prescriptions)
    await connection.execute(select(some))


async def delivered_by_hour(connection, caller):
    days = [day_of(ZoneInfo("America/Toronto"), date(2026, 4, day)) for day in (13, 20)]
    await deliveries_by_hour(connection, caller, days)


@pytest.mark.parametrize("asked", [counted, counted_since, joined, named, delivered_by_hour])
@pytest.mark.parametrize("caller", [LIVE, OF_ONE_SITE], ids=["all sites", "one site"])
async def test_what_few_packages_have_is_counted_in_its_index_alone(sqlite_database, asked, caller):
    async with sqlite_database.begin() as connection:
        statements = noted(connection)
        await asked(connection, caller)
        [[statement, of]] = tuple(statements)
        plan = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", of)
        steps = [row[3] for row in plan if "packages" in row[3]]

    flagged = "SEARCH packages USING COVERING INDEX ix_packages_{} (account_id=? AND mode=?)"
    # What is under way was written lately, and lies together.
    status = "SEARCH packages USING INDEX ix_packages_status (account_id=? AND status=?)"
    assert (
        set(steps)
        == {
            counted: {
                *map(flagged.format, ("needs_person", "no_proof", "failed")),
                status,
            },
            counted_since: {flagged.format("needs_person")},
            joined: {flagged.format("needs_person"), status},
            named: {
                flagged.format("needs_person"),
                "SEARCH own USING COVERING INDEX ix_packages_status (account_id=? AND status=?)",
                "SEARCH packages USING INDEX sqlite_autoindex_packages_1 (account_id=? AND id=?)",
            },
            delivered_by_hour: {DELIVERED},
        }[asked]
    )


async def test_all_kinds_of_search_are_looked_for_at_once_each_in_its_index(sqlite_database, kept):
    values = dict.fromkeys(SEARCH_FIELDS, "some value")
    async with sqlite_database.begin() as connection:
        statements = noted(connection)
        await kept.packages.hits(connection, LIVE, values, limit=9)
        [plan] = await plans_of(connection, statements)

    names = {each.partition("(")[2] for each in plan if each.startswith(("SEARCH", "SCAN p"))}
    own = {f"{name}=?)" for name in SEARCH_FIELDS.values()}
    assert names - {""} == {*own, "account_id=? AND id=?)"}


async def failed_last(kept, connection):
    await kept.log.search(connection, LIVE, DeliveryFilter(9, state="failed"))


async def of_a_package(kept, connection):
    await kept.log.search(connection, LIVE, DeliveryFilter(9, subject="pkg_1"))


async def of_an_event(kept, connection):
    await heard_of(connection, LIVE, ["evt_1"])


@pytest.mark.parametrize("asked", [failed_last, of_a_package, of_an_event])
async def test_a_few_deliveries_are_not_looked_for_among_all_of_the_account(
    sqlite_database, kept, asked
):
    async with sqlite_database.begin() as connection:
        statements = noted(connection)
        await asked(kept, connection)
        plans = await plans_of(connection, statements)

    steps = [step for plan in plans for step in plan if step.startswith("SEARCH deliveries")]
    assert steps
    assert "SEARCH deliveries USING INDEX sqlite_autoindex_deliveries_1 (account_id=?)" not in steps


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


async def test_packages_with_a_flag_are_counted_from_its_index_on_postgresql(postgres_url):
    many = """
        INSERT INTO packages (id, account_id, mode, source, status, status_at_ms, created_at_ms,
                              payload, flags)
        SELECT 'pkg_' || lpad(to_hex(n), 32, '0'), 'acc_live', 'live', 'json_api', 'failed', n, n,
               decode(repeat('00', 300), 'hex'), CASE WHEN n > 39970 THEN 8 ELSE 0 END
        FROM generate_series(1, 40000) AS numbers(n)"""
    wanted = PackageFilter(9, clear=ClearFilter(flag="needs_person"))
    database = Database(postgres_url)
    try:
        async with database.begin() as connection:
            await connection.exec_driver_sql(many.replace("acc_live", LIVE.account_id))
        async with database.begin() as connection:
            await connection.exec_driver_sql("ANALYZE packages")

        async with database.begin() as connection:
            statements = noted(connection)
            counted = await count(connection, LIVE, wanted)
            since = await count_since(connection, LIVE, wanted)
            plans = [
                "\n".join(row[0] for row in await connection.exec_driver_sql(f"EXPLAIN {one}", of))
                for one, of in tuple(statements)
            ]
    finally:
        await database.close()

    assert counted.number == since[0].number == 30
    assert len(plans) == 2
    for plan in plans:
        assert "using ix_packages_needs_person" in plan, plan


async def test_attempts_of_a_search_are_not_looked_for_in_the_whole_log_on_postgresql(
    postgres_url, kept, monkeypatch
):
    monkeypatch.setattr("gateway.storage.stores.delivery_log._WALKED", 100)
    rows = "FROM generate_series(1, 20000) AS numbers(n)"
    made = "'dlv_' || lpad(to_hex(n), 32, '0')"
    many = [
        f"""INSERT INTO deliveries (id, account_id, destination_id, event_id, event_type, subject,
                                    in_order, state, attempts, retry_index, due_at_ms,
                                    created_at_ms)
            SELECT {made}, 'acc_live', 'dst_1', 'evt_' || n, 'package.created', 'pkg_' || n, false,
                   'delivered', 1, 0, n, n {rows}""",
        f"""INSERT INTO attempts (account_id, destination_id, delivery_id, event_id, event_type,
                                  number, started_at_ms, duration_ms, delivered, status)
            SELECT 'acc_live', 'dst_1', {made}, 'evt_' || n, 'package.created', 1, n, 9,
                   n % 50 > 0, CASE n % 50 WHEN 0 THEN 502 ELSE 200 END {rows}""",
        "ANALYZE deliveries",
        "ANALYZE attempts",
    ]
    database = Database(postgres_url)
    try:
        async with database.begin() as connection:
            await kept.destinations.add(connection, structs.replace(destination(LIVE), id="dst_1"))
            for each in many:
                await connection.exec_driver_sql(each.replace("acc_live", LIVE.account_id))

        async with database.begin() as connection:
            statements = noted(connection)
            wanted = DeliveryFilter(9, status=(500, 599))
            found, before_id = await kept.log.search(connection, LIVE, wanted)
            older, _ = await kept.log.search(connection, LIVE, wanted._replace(before_id=before_id))
            plans = [
                "\n".join(row[0] for row in await connection.exec_driver_sql(f"EXPLAIN {one}", of))
                for one, of in tuple(statements)
                if "attempts" in one
            ]
    finally:
        await database.close()

    assert [len(found), len(older)] == [2, 2]
    assert not {each.id for each in found} & {each.id for each in older}
    assert len(plans) == 2
    for plan in plans:
        assert "ix_attempts_delivery_id" in plan, plan
        assert "Seq Scan on attempts" not in plan, plan
