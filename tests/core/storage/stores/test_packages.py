"""Packages: kept sealed, found by id and by what they are known by, isolated from others."""

from datetime import timedelta

import msgspec
import pytest
from core.storage.rows import (
    AT_MAIN,
    ELSEWHERE,
    LIVE,
    NOW,
    NOW_MS,
    OTHER,
    at,
    ids_of,
    known_as,
    new_package,
    page_by_page,
)
from sqlalchemy import select, update

from gateway.clock import to_epoch_ms
from gateway.errors import SealError
from gateway.storage.schema import packages
from gateway.storage.stores.package_lists import PackageFilter
from gateway.storage.stores.packages import PackageState


async def test_a_package_comes_back_as_it_was_written(connection, kept):
    package = new_package(LIVE)

    await kept.packages.insert(connection, [package])

    assert await kept.packages.get(connection, LIVE, package.id) == known_as(package)


async def test_writing_nothing_is_fine(connection, kept):
    await kept.packages.insert(connection, [])

    assert await kept.packages.page(connection, LIVE, PackageFilter(10)) == []


async def test_no_other_caller_gets_a_package_whatever_id_they_send(connection, kept):
    package = new_package(LIVE)
    await kept.packages.insert(connection, [package])

    for caller in ELSEWHERE:
        assert await kept.packages.get(connection, caller, package.id) is None


async def test_a_caller_bound_to_a_site_gets_that_sites_packages_only(connection, kept):
    main, north, none = (new_package(LIVE, site=site) for site in ("main", "north", None))
    await kept.packages.insert(
        connection,
        [
            each._replace(order=msgspec.structs.replace(each.order, external_order_id=None))
            for each in (main, north, none)
        ],
    )

    assert await kept.packages.get(connection, AT_MAIN, main.id) is not None
    assert await kept.packages.get(connection, AT_MAIN, north.id) is None
    assert await kept.packages.get(connection, AT_MAIN, none.id) is None
    assert ids_of(await kept.packages.page(connection, AT_MAIN, PackageFilter(10))) == [main.id]


async def test_an_id_that_does_not_exist_gives_nothing(connection, kept):
    assert await kept.packages.get(connection, LIVE, "pkg_nowhere") is None


async def test_pages_leave_nothing_out_and_repeat_nothing_while_packages_come_in(connection, kept):
    # Given packages of the same millisecond, and of several ones
    first = [
        new_package(LIVE, moment=at(number // 3 / 1000), external_order_id=None)
        for number in range(10)
    ]
    await kept.packages.insert(connection, first)

    # When they are read page by page and new ones arrive in between
    async def next_page(before_id):
        page = await kept.packages.page(connection, LIVE, PackageFilter(3, before_id=before_id))
        late = new_package(LIVE, moment=at(60), external_order_id=None)
        await kept.packages.insert(connection, [late])
        return page

    # Then each of those that were there is seen once, newest first
    assert ids_of(await page_by_page(next_page)) == sorted(ids_of(first), reverse=True)


async def test_a_page_can_be_narrowed(connection, kept):
    csv = new_package(LIVE, source="csv", site="north")
    early = new_package(LIVE, moment=at(-60))
    plain = new_package(LIVE, external_order_id="SO-2")
    await kept.packages.insert(connection, [csv, early, plain])
    await kept.packages.move(connection, [("acme", plain.id, "completed", NOW_MS)])

    async def found(**wanted):
        return set(ids_of(await kept.packages.page(connection, LIVE, PackageFilter(10, **wanted))))

    assert await found() == {csv.id, early.id, plain.id}
    assert await found(source="csv") == {csv.id}
    assert await found(site="main") == {early.id, plain.id}
    assert await found(status="completed") == {plain.id}
    assert await found(status="created", site="main") == {early.id}
    assert await found(since=NOW) == {csv.id, plain.id}
    assert await found(since=NOW + timedelta(milliseconds=1)) == set()


async def test_standings_say_where_packages_stand(connection, kept):
    mine, theirs = new_package(LIVE), new_package(OTHER)
    await kept.packages.insert(connection, [mine, theirs])

    for locked in (True, False):
        found = await kept.packages.states_of(
            connection,
            [("acme", mine.id), ("acme", theirs.id), ("acme", "pkg_nowhere")],
            for_update=locked,
        )

        assert found == {
            mine.id: PackageState(
                mine.id, "acme", "live", "main", "created", NOW_MS, mine.order, flags=0
            )
        }


async def test_a_package_moves_with_its_moment_and_no_other_does(connection, kept):
    moved, still = new_package(LIVE), new_package(LIVE, external_order_id="SO-2")
    await kept.packages.insert(connection, [moved, still])

    await kept.packages.move(
        connection,
        [
            ("acme", moved.id, "completed", to_epoch_ms(at(90))),
            ("other", still.id, "completed", to_epoch_ms(at(90))),
        ],
    )
    await kept.packages.move(connection, [])

    assert await kept.packages.get(connection, LIVE, moved.id) == known_as(
        moved, status="completed", status_at=at(90)
    )
    assert await kept.packages.get(connection, LIVE, still.id) == known_as(still)


async def test_a_payload_moved_to_another_row_does_not_open(connection, kept):
    package, another = new_package(LIVE), new_package(LIVE, external_order_id="SO-2")
    await kept.packages.insert(connection, [package, another])
    stolen = select(packages.c.payload).where(packages.c.id == package.id).scalar_subquery()
    await connection.execute(
        update(packages).where(packages.c.id == another.id).values(payload=stolen)
    )

    with pytest.raises(SealError):
        await kept.packages.get(connection, LIVE, another.id)


async def test_the_audit_trail_names_a_patient_by_a_blind_index(kept):
    keyed = kept.packages.index("external_patient_id", "acme", "PMS-9081")

    assert kept.packages.patient_keys(known_as(new_package(LIVE))).patient == keyed
    assert kept.packages.patient_keys(known_as(new_package(OTHER))).patient != keyed
    without = known_as(new_package(LIVE, external_patient_id=None))
    assert kept.packages.patient_keys(without).patient is None


async def test_a_name_with_its_address_is_found_however_it_is_written(kept):
    index = kept.packages.name_index("acme", "Maria Rodriguez", "123 Main St, Miami, FL 33178")

    assert index == kept.packages.name_index(
        "acme", " MARIA  RODRIGUEZ", "123 Main St. Miami FL\n33178"
    )
    for name, address in (
        ("Mario Rodriguez", "123 Main St, Miami, FL 33178"),
        ("Maria Rodriguez", "124 Main St, Miami, FL 33178"),
        ("Maria Rodriguez 123", "Main St, Miami, FL 33178"),
    ):
        assert kept.packages.name_index("acme", name, address) != index
    composed, decomposed = "Zo\u00eb Gro\u00df", "ZOE\u0308 GROSS"
    assert kept.packages.name_index("acme", composed, "1") == kept.packages.name_index(
        "acme", decomposed, "1"
    )


async def test_an_erased_package_is_named_by_its_id_alone(kept):
    erased = known_as(new_package(LIVE, patient_name="", patient_address=""))

    assert list(kept.packages.patient_keys(erased).pairs()) == [("package", erased.id.encode())]


async def test_the_standing_of_packages_is_told_to_those_who_see_them(connection, kept):
    package = new_package(LIVE)
    await kept.packages.insert(connection, [package])

    ids = [package.id, "pkg_nowhere"]
    assert await kept.packages.standing(connection, LIVE, ids) == {package.id: ("created", NOW)}
    for caller in ELSEWHERE:
        assert await kept.packages.standing(connection, caller, ids) == {}


async def test_the_order_of_a_cancelled_package_may_come_again_once_it_is_released(
    connection, kept
):
    gone, there = new_package(LIVE), new_package(LIVE, external_order_id="there")
    await kept.packages.insert(connection, [gone, there])
    await kept.packages.move(connection, [(gone.account_id, gone.id, "cancelled", NOW_MS)])
    keys = [
        kept.packages.order_key(
            each.account_id, each.mode, each.source, each.order.external_order_id
        )
        for each in (gone, there)
    ]
    for caller in ELSEWHERE:
        await kept.packages.release_orders(connection, caller, [gone.id, there.id])
    before = await kept.packages.known_orders(connection, keys)
    await kept.packages.release_orders(connection, LIVE, [gone.id, there.id])

    assert set(before) == set(keys)
    assert set(await kept.packages.known_orders(connection, keys)) == {keys[1]}
    assert await kept.packages.get(connection, LIVE, gone.id) is not None
