"""The clear columns of packages that an earlier version stored are filled while orders come in."""

import asyncio
import logging
from datetime import date, timedelta

import pytest
from core.gateways import LIVE, opened, order, submission
from core.storage.maintenance.test_migrate import with_first_version
from sqlalchemy import select, text, update

from gateway.clock import to_epoch_ms
from gateway.model.package import DeliveryUpdate
from gateway.storage.database import Database, insert_rows
from gateway.storage.maintenance import clear_filler
from gateway.storage.maintenance.clear_filler import ClearFiller, fill_progress
from gateway.storage.schema import packages

STAT = {"priority": "stat", "requires_signature": True, "delivery_date": date(2026, 4, 20)}
UNFILL = update(packages).values(delivery_day=None, priority=None, driver_id=None, flags=None)
CLEAR = select(
    packages.c.id,
    packages.c.delivery_day,
    packages.c.priority,
    packages.c.driver_id,
    packages.c.flags,
)
OLD_COLUMNS = (
    *("id", "account_id", "mode", "site", "source", "status", "status_at_ms", "created_at_ms"),
    *("order_index", "rx_index", "phone_index", "patient_index", "payload", "purged"),
)


@pytest.fixture
async def gateway(database_url, tmp_path):
    async with opened(database_url, tmp_path) as running:
        yield running


async def taken(gateway, *orders):
    answer = await gateway.intake.accept(submission(*orders))
    return [each.package_id for each in answer.results]


async def unfill(gateway):
    """Bring every package back to how the version before stored it."""
    async with gateway.database.begin() as connection:
        await connection.execute(UNFILL)


async def columns(gateway):
    async with gateway.database.read() as connection:
        return {row[0]: tuple(row[1:]) for row in await connection.execute(CLEAR)}


async def report(gateway, package_id, event, **said):
    await gateway.tracking.apply(LIVE, DeliveryUpdate(package_id=package_id, event=event, **said))


def quick(gateway):
    return ClearFiller(gateway.database, gateway.sealer, gateway.clock, pause_seconds=0)


async def test_what_was_stored_before_gets_what_a_new_package_has(gateway):
    # Given packages that were assigned, unassigned and failed, as a new version stores them
    plain, stat, loose, failed = await taken(
        gateway, order(), order(**STAT), order(priority="urgent"), order()
    )
    await report(gateway, stat, "delivery.assigned", driver_id="drv_1")
    await report(gateway, stat, "delivery.picked_up")
    await report(gateway, loose, "delivery.assigned", driver_id="drv_1")
    await report(gateway, loose, "delivery.unassigned")
    await report(gateway, failed, "delivery.failed", driver_id="drv_2")
    before = await columns(gateway)

    # When their columns are filled from nothing
    await unfill(gateway)
    await quick(gateway).run()

    # Then they are the same
    assert before == {
        plain: (None, "routine", None, 0),
        stat: ("2026-04-20", "stat", "drv_1", 1),
        loose: (None, "urgent", None, 0),
        failed: (None, "routine", "drv_2", 8),
    }
    assert await columns(gateway) == before


async def test_it_is_done_in_batches_and_goes_on_where_it_stopped(gateway, monkeypatch):
    # Given seven packages, and a process that dies in its second batch
    ids = await taken(gateway, *(order(**STAT) for _ in range(7)))
    await unfill(gateway)
    monkeypatch.setattr(clear_filler, "_PACKAGES_AT_ONCE", 3)
    filler = quick(gateway)
    fill, calls = filler._fill, []

    async def die(connection, rows):
        calls.append([row.id for row in rows])
        done = await fill(connection, rows)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return done

    monkeypatch.setattr(filler, "_fill", die)
    with pytest.raises(KeyboardInterrupt):
        await filler.run()
    async with gateway.database.read() as connection:
        assert await fill_progress(connection) == (7, 4)

    # When the next one starts
    await quick(gateway).run()

    # Then all are filled
    assert set((await columns(gateway)).values()) == {("2026-04-20", "stat", None, 1)}
    assert sorted(each for some in calls for each in some) == sorted(ids)[:6]
    async with gateway.database.read() as connection:
        assert await fill_progress(connection) == (0, 0)


async def test_an_update_meanwhile_fills_its_package_and_is_not_overwritten(gateway):
    assigned, idle = await taken(gateway, order(**STAT), order())
    await report(gateway, assigned, "delivery.assigned", driver_id="drv_1")
    await unfill(gateway)

    # The driver of the report before is known although this one says none
    await report(gateway, assigned, "delivery.picked_up")
    assert (await columns(gateway))[assigned] == ("2026-04-20", "stat", "drv_1", 1)
    assert (await columns(gateway))[idle] == (None, None, None, None)

    await report(gateway, assigned, "delivery.failed", driver_id="drv_2")
    await quick(gateway).run()
    assert (await columns(gateway))[assigned] == ("2026-04-20", "stat", "drv_2", 9)


async def test_a_changed_order_meanwhile_is_not_overwritten(gateway):
    [package_id] = await taken(gateway, order(**STAT))
    await unfill(gateway)

    await gateway.amendments.amend(LIVE, package_id, order(priority="urgent"))
    await quick(gateway).run()

    assert (await columns(gateway))[package_id] == (None, "urgent", None, 0)


async def test_what_failed_long_ago_needs_no_person_any_more(gateway):
    old, recent = await taken(gateway, order(), order())
    for package_id in (old, recent):
        await report(gateway, package_id, "delivery.failed")
    await unfill(gateway)
    long_ago = to_epoch_ms(gateway.clock.now() - timedelta(days=31))
    async with gateway.database.begin() as connection:
        moved = update(packages).where(packages.c.id == old).values(status_at_ms=long_ago)
        await connection.execute(moved)

    await quick(gateway).run()

    assert {each: row[3] for each, row in (await columns(gateway)).items()} == {old: 0, recent: 8}


async def test_an_erased_package_is_filled_with_nothing(gateway):
    [package_id] = await taken(gateway, order(**STAT))
    await report(gateway, package_id, "delivery.completed", driver_id="drv_1")
    await gateway.amendments.erase(LIVE, [package_id])
    assert (await columns(gateway))[package_id] == (None, None, None, 0)

    await unfill(gateway)
    await quick(gateway).run()

    assert (await columns(gateway))[package_id] == (None, None, None, 0)


async def test_a_package_that_cannot_be_read_does_not_hold_up_the_others(gateway, caplog):
    damaged, sound = await taken(gateway, order(**STAT), order(**STAT))
    await unfill(gateway)
    async with gateway.database.begin() as connection:
        spoilt = update(packages).where(packages.c.id == damaged).values(payload=b"spoilt")
        await connection.execute(spoilt)

    filler = quick(gateway)
    with caplog.at_level(logging.ERROR):
        await filler.run()
        await filler.run()

    assert (await columns(gateway))[sound] == ("2026-04-20", "stat", None, 1)
    assert (await columns(gateway))[damaged] == (None, None, None, None)
    assert [each.message for each in caplog.records] == [
        "packages that can't be read: 1; their columns stay empty"
    ]


async def test_two_processes_take_different_packages(gateway):
    await taken(gateway, *(order(**STAT) for _ in range(9)))
    await unfill(gateway)

    await asyncio.gather(quick(gateway).run(), quick(gateway).run())

    assert set((await columns(gateway)).values()) == {("2026-04-20", "stat", None, 1)}


async def test_a_database_of_the_version_before_is_filled_while_it_serves(
    empty_database_url, tmp_path
):
    # Given packages that the version before stored
    async with opened(empty_database_url, tmp_path, migrating=True) as running:
        old = await taken(
            running, *(order(rx_number=f"RX-{number}", **STAT) for number in range(600))
        )
        async with running.database.read() as connection:
            rows = await connection.execute(text(f"SELECT {', '.join(OLD_COLUMNS)} FROM packages"))
            stored = [tuple(row) for row in rows]
    database = Database(empty_database_url)
    await start_over(database, stored)
    await database.close()

    # When this one serves, and takes orders meanwhile
    async with opened(empty_database_url, tmp_path, migrating=True) as gateway:
        assert gateway.migrated.revisions
        async with gateway.database.read() as connection:
            assert await fill_progress(connection) == (600, 600)
            # Then a search finds what isn't filled yet
            found = await gateway.packages.search(connection, LIVE, "rx_number", "RX-7", limit=2)
            assert [each.id for each in found] == [old[7]]
        async with gateway.running():
            new = []
            while (await columns(gateway))[max(old)][3] is None:
                new += await taken(gateway, order(priority="urgent"))
                await asyncio.sleep(0.01)

        # … and in the end all are there and filled
        after = await columns(gateway)
    assert {each: after[each] for each in old} == dict.fromkeys(
        old, ("2026-04-20", "stat", None, 1)
    )
    assert new
    assert {each: after[each] for each in new} == dict.fromkeys(new, (None, "urgent", None, 0))
    assert len(after) == len(old) + len(new)


async def start_over(database, stored):
    """Take everything down, and make a database of the version before with these packages."""
    if database.path is not None:
        for suffix in ("", "-wal", "-shm"):
            database.path.with_name(database.path.name + suffix).unlink(missing_ok=True)
    else:
        async with database.begin() as connection:
            await connection.execute(text("DROP SCHEMA public CASCADE"))
            await connection.execute(text("CREATE SCHEMA public"))
    await with_first_version(database, "core_0006")
    async with database.begin() as connection:
        await insert_rows(connection, packages, OLD_COLUMNS, stored)
