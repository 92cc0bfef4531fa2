"""The feed of changes: written with each change, read from a place on, kept for an hour."""

import asyncio
from datetime import timedelta

import pytest
from core.delivery.dispatching import Scripted, carried, publish
from core.gateways import add_destination, opened, order, submission
from core.storage.rows import NOW, at
from sqlalchemy import func, select

from gateway.clock import SteppingClock
from gateway.model.change import Change
from gateway.storage.database import Database
from gateway.storage.schema import changes
from gateway.storage.stores.changes import MAX_IDS, FeedReader, note_changes, sweep_changes


def change(*ids: str, topic="packages", site="main", mode="live", total=None) -> Change:
    return Change(topic, "acme", mode, site, ids, total)


async def noted(database, *found, now=NOW):
    async with database.begin() as connection:
        await note_changes(connection, found, now)


@pytest.fixture
async def reader(database):
    reader = FeedReader(database, SteppingClock(NOW))
    await reader.begin()
    return reader


async def test_a_transaction_writes_one_row_for_each_topic_and_site(database, reader):
    await noted(
        database,
        change("pkg_1"),
        change("pkg_2"),
        change("pkg_3", site="north"),
        change("imp_1", topic="imports"),
    )

    found = await reader.read()

    assert [(each.topic, each.site, each.ids, each.total) for each in found] == [
        ("packages", "main", ("pkg_1", "pkg_2"), 2),
        ("packages", "north", ("pkg_3",), 1),
        ("imports", "main", ("imp_1",), 1),
    ]
    assert await reader.read() == []


async def test_a_large_change_names_its_first_things_and_says_that_there_are_more(database, reader):
    await noted(database, change(*(f"pkg_{number}" for number in range(1482))))

    [found] = await reader.read()

    assert (found.total, len(found.ids), found.has_more) == (1482, MAX_IDS, True)
    assert found.ids[0] == "pkg_0"


async def test_what_was_rolled_back_is_never_read(database, reader):
    async def fail(transaction):
        await note_changes(transaction, [change("pkg_1")], NOW)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await database.transact(fail)
    await noted(database, change("pkg_2"))

    assert [each.ids for each in await reader.read()] == [("pkg_2",)]


async def test_a_commit_that_comes_late_is_read_all_the_same(postgres_url):
    """PostgreSQL hands out a number before the transaction commits."""
    database = Database(postgres_url)
    try:
        reader = FeedReader(database, SteppingClock(NOW))
        await noted(database, change("pkg_before"))
        await reader.begin()
        async with database.begin() as late:
            await note_changes(late, [change("pkg_late")], NOW)
            await noted(database, change("pkg_early"))
            first = await reader.read()
            still = await reader.read()
        after = await reader.read()
        again = await reader.read()
    finally:
        await database.close()

    assert [each.ids for each in first] == [("pkg_early",)]
    assert still == []
    assert [each.ids for each in after] == [("pkg_late",)]
    assert again == []


async def test_a_late_commit_before_the_first_read_is_waited_for_too(postgres_url):
    database = Database(postgres_url)
    try:
        reader = FeedReader(database, SteppingClock(NOW))
        async with database.begin() as late:
            await note_changes(late, [change("pkg_late")], NOW)
            await noted(database, change("pkg_early"))
            await reader.begin()
        found = await reader.read()
    finally:
        await database.close()

    assert [each.ids for each in found] == [("pkg_late",)]


async def test_a_browser_goes_on_from_the_place_it_had(database, reader):
    await noted(database, change("pkg_1"), now=at(-3000))
    await reader.read()
    place = reader.place
    await noted(database, change("pkg_2"))

    assert [each.ids for each in await reader.since(place, NOW)] == [("pkg_2",)]
    assert await reader.since(place + 1, NOW) is not None
    assert await reader.since(place + 2, NOW) is None, "a place of another database"


async def test_after_an_hour_the_place_is_gone_and_the_newest_row_stays(database, reader):
    for number in range(3):
        await noted(database, change(f"pkg_{number}"))
    await reader.read()
    place = reader.place
    later = NOW + timedelta(hours=1, seconds=1)

    assert await sweep_changes(database, NOW + timedelta(minutes=59)) == 0
    assert await sweep_changes(database, later) == 2
    await noted(database, change("pkg_new"), now=later)

    assert await reader.since(place - 1, later) is None
    assert [each.ids for each in await reader.since(place, later)] == [("pkg_new",)]
    assert [each.ids for each in await reader.read()] == [("pkg_new",)]


async def test_sweeping_goes_through_many_rows_piece_by_piece(database):
    async with database.begin() as connection:
        for number in range(2100):
            await note_changes(connection, [change(f"pkg_{number}")], NOW)

    assert await sweep_changes(database, NOW + timedelta(hours=2)) == 2099
    async with database.read() as connection:
        assert (await connection.execute(select(func.count()).select_from(changes))).scalar() == 1


async def test_an_order_and_its_delivery_write_one_row_a_topic(database_url, tmp_path):
    clock = SteppingClock()
    sink = Scripted(clock, delivered=True, status=200)
    async with opened(database_url, tmp_path, clock=clock, plugins=[sink]) as gateway:
        destination = await add_destination(gateway)
        reader = FeedReader(gateway.database, clock)
        await reader.begin()
        accepted = await gateway.intake.accept(submission(order(patient_name="Maria Rodriguez")))
        taken = await reader.read()
        await carried(gateway, destination)
        delivered = await reader.read()
    package = accepted.results[0].package_id

    assert [(each.topic, each.total) for each in taken] == [("events", 1), ("packages", 1)]
    assert taken[1].ids == (package,)
    [row] = delivered
    assert (row.topic, row.total) == ("deliveries", 1)
    assert row.ids[0] == destination
    assert row.ids[2] == package
    for each in (*taken, row):
        assert "Rodriguez" not in repr(each)


async def test_a_failed_attempt_notes_the_endpoint_whose_health_changed(database_url, tmp_path):
    clock = SteppingClock()
    async with opened(database_url, tmp_path, clock=clock, plugins=[Scripted(clock)]) as gateway:
        destination = await add_destination(gateway)
        [delivery] = await publish(gateway)
        reader = FeedReader(gateway.database, clock)
        await reader.begin()
        await carried(gateway, destination)
        found = {each.topic: each.ids for each in await reader.read()}

    assert found["deliveries"][:2] == (destination, delivery)
    assert found["endpoints"] == (destination,)


async def test_another_process_reads_what_this_one_wrote(postgres_url, tmp_path):
    async with (
        opened(postgres_url, tmp_path) as writing,
        opened(postgres_url, tmp_path) as reading,
    ):
        reader = FeedReader(reading.database, reading.clock)
        await reader.begin()
        await asyncio.gather(
            *(writing.intake.accept(submission(order())) for _ in range(3)),
        )
        found = await reader.read()

    assert sum(each.total for each in found if each.topic == "packages") == 3
