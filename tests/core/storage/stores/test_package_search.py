"""Packages are found by what they are known by, in their own account only."""

import pytest
from core.storage.rows import (
    ELSEWHERE,
    LIVE,
    ORDER,
    OTHER,
    TEST,
    at,
    ids_of,
    known_as,
    new_package,
    page_by_page,
)
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from gateway.storage.schema import packages
from gateway.storage.stores.package_lists import PackageFilter
from gateway.storage.stores.packages import SEARCH_FIELDS


async def test_a_package_is_found_by_what_it_is_known_by(connection, kept):
    package = new_package(LIVE)
    another = new_package(
        LIVE,
        rx_number="RX-1",
        patient_phone="+14165550123",
        external_patient_id="PMS-1",
        external_order_id="SO-1",
    )
    await kept.packages.insert(connection, [package, another])

    for field, spellings in {
        "rx_number": ("RX-8872341", " rx-8872341 "),
        "patient_phone": ("+13055551234", " +13055551234"),
        "external_patient_id": ("PMS-9081", "pms-9081"),
        "external_order_id": ("SO-1001",),
    }.items():
        for value in spellings:
            found = await kept.packages.search(connection, LIVE, field, value, limit=10)
            assert found == [known_as(package)]


async def test_one_text_is_looked_for_as_all_that_it_may_be(connection, kept):
    by_order = new_package(LIVE, rx_number="RX-1", external_order_id="42")
    by_number = new_package(LIVE, rx_number="42", external_order_id="SO-2")
    await kept.packages.insert(connection, [by_order, by_number])
    both = dict.fromkeys(("rx_number", "external_order_id", "external_patient_id"), "42")

    found = await kept.packages.hits(connection, LIVE, both, limit=9)

    assert found == {"rx_number": [by_number.id], "external_order_id": [by_order.id]}
    assert await kept.packages.hits(connection, LIVE, {}, limit=9) == {}
    for caller in ELSEWHERE:
        assert await kept.packages.hits(connection, caller, both, limit=9) == {}


async def test_an_order_id_is_found_in_its_very_spelling_only(connection, kept):
    await kept.packages.insert(connection, [new_package(LIVE)])

    for spelt in ("so-1001", "SO-1001 ", "SO-100"):
        assert not await kept.packages.search(
            connection, LIVE, "external_order_id", spelt, limit=10
        )


async def test_a_search_finds_nothing_of_anybody_else(connection, kept):
    await kept.packages.insert(connection, [new_package(LIVE)])

    for caller in ELSEWHERE:
        for field in SEARCH_FIELDS:
            value = getattr(ORDER, field)
            assert await kept.packages.search(connection, caller, field, value, limit=10) == []


async def test_what_an_order_does_not_say_is_not_found_by(connection, kept):
    await kept.packages.insert(connection, [new_package(LIVE, **dict.fromkeys(SEARCH_FIELDS))])
    indexes = [packages.c[column] for column in SEARCH_FIELDS.values()]

    assert (await connection.execute(select(*indexes))).one() == (None, None, None, None)
    for field in SEARCH_FIELDS:
        assert await kept.packages.search(connection, LIVE, field, "", limit=10) == []


async def test_a_search_goes_on_where_its_last_page_ended(connection, kept):
    several = [
        new_package(LIVE, moment=at(number), external_order_id=f"SO-{number}")
        for number in range(5)
    ]
    await kept.packages.insert(connection, several)
    newest_first = [each.id for each in reversed(several)]

    async def next_page(before_id):
        return await kept.packages.search(
            connection, LIVE, "rx_number", "RX-8872341", limit=2, before_id=before_id
        )

    assert ids_of(await page_by_page(next_page)) == newest_first


async def test_an_order_that_is_there_already_is_known(connection, kept):
    package = new_package(LIVE)
    await kept.packages.insert(connection, [package])
    key = kept.packages.order_key("acme", "live", "json_api", "SO-1001")
    others = [
        kept.packages.order_key("other", "live", "json_api", "SO-1001"),
        kept.packages.order_key("acme", "test", "json_api", "SO-1001"),
        kept.packages.order_key("acme", "live", "csv", "SO-1001"),
        kept.packages.order_key("acme", "live", "json_api", "so-1001"),
    ]

    known = await kept.packages.known_orders(connection, [key, *others])

    assert known[key] == (package.id, "main")
    assert not set(others) & set(known)
    assert await kept.packages.known_orders(connection, []) == {}


async def test_as_many_orders_can_be_looked_up_as_one_transaction_holds(connection, kept):
    package = new_package(LIVE)
    await kept.packages.insert(connection, [package])
    keys = [
        kept.packages.order_key("acme", "live", "json_api", f"SO-{number}")
        for number in range(12_000)
    ]

    assert await kept.packages.known_orders(connection, keys) == {keys[1001]: (package.id, "main")}


async def test_the_database_itself_refuses_the_same_order_twice(database, kept):
    async with database.begin() as connection:
        await kept.packages.insert(connection, [new_package(LIVE), new_package(TEST)])
        await kept.packages.insert(
            connection, [new_package(OTHER), new_package(LIVE, source="csv")]
        )

    with pytest.raises(IntegrityError):
        async with database.begin() as connection:
            await kept.packages.insert(connection, [new_package(LIVE)])


async def test_any_number_of_orders_may_have_no_id_of_their_own(connection, kept):
    await kept.packages.insert(
        connection, [new_package(LIVE, external_order_id=None) for _ in range(3)]
    )

    assert len(await kept.packages.page(connection, LIVE, PackageFilter(10))) == 3
