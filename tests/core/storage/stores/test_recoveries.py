"""Recoveries: kept where they are, so that they go on after a restart."""

from datetime import timedelta

import msgspec
from core.storage.rows import NOW, at

from gateway.model.ids import new_id
from gateway.model.recovery import Recovery
from gateway.storage.database import Database
from gateway.storage.stores import recoveries


def recovery(moment=NOW, **changes):
    plain = Recovery(
        id=new_id("rcv", moment),
        account_id="acme",
        destination_id="dst_1",
        since=NOW - timedelta(days=3),
        until=NOW,
        cursor="",
        looked_at=0,
        queued=0,
        state="running",
        created_at=moment,
        finished_at=None,
    )
    return msgspec.structs.replace(plain, **changes)


async def test_a_recovery_comes_back_as_it_was_started(connection):
    started = recovery()

    await recoveries.add(connection, started)

    assert await recoveries.get(connection, "acme", started.id) == started
    assert await recoveries.get(connection, "acme", "rcv_nowhere") is None


async def test_no_other_caller_sees_a_recovery(connection):
    started = recovery()
    await recoveries.add(connection, started)

    assert await recoveries.get(connection, "other", started.id) is None


async def test_how_far_it_has_got_is_written_down_and_another_stays_as_it_was(connection):
    started, another = recovery(), recovery()
    for each in (started, another):
        await recoveries.add(connection, each)
    further = msgspec.structs.replace(started, cursor="evt_9", looked_at=500, queued=3)

    await recoveries.note(connection, further)

    assert await recoveries.get(connection, "acme", started.id) == further
    assert await recoveries.get(connection, "acme", another.id) == another


async def test_the_unfinished_ones_are_listed_oldest_first(connection):
    later, first, over = recovery(at(2)), recovery(at(1)), recovery(at(0))
    for each in (later, first, over):
        await recoveries.add(connection, each)
    done = msgspec.structs.replace(over, state="done", finished_at=at(9))
    await recoveries.note(connection, done)

    assert await recoveries.running(connection) == [first, later]
    assert await recoveries.get(connection, "acme", over.id) == done


async def test_what_one_process_carries_on_another_leaves_alone(database, database_url):
    async with database.begin() as connection:
        await recoveries.add(connection, recovery())
    if database.dialect == "sqlite":  # there, writers take turns: nothing to leave alone
        return

    another = Database(database_url)
    async with database.begin() as first, another.begin() as second:
        assert len(await recoveries.running(first)) == 1
        assert await recoveries.running(second) == []
    await another.close()
