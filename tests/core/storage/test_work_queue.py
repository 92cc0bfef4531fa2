"""WorkQueue: leases, order by subject, backoff, dead letters; each shape, on both databases."""

import asyncio
from datetime import timedelta

import pytest
from core.storage.queues import BACKOFF, QUEUES, SHAPES, Bench
from sqlalchemy import Column, MetaData, Table, Text, event

from gateway.clock import SteppingClock, to_epoch_ms
from gateway.storage.database import Database
from gateway.storage.maintenance.clock_skew import shift_due_times
from gateway.storage.plugin_tables import DueColumn, PluginTables
from gateway.storage.queue_table import QueueTable, depth, take_back
from gateway.storage.schema import metadata

LEASE_SECONDS = 30.0


@pytest.fixture(params=SHAPES)
async def bench(request, database_url):
    database = Database(database_url)
    bench = Bench(request.param, database, SteppingClock())
    await bench.make()
    yield bench
    await database.close()


@pytest.fixture
async def inbox(database_url):
    database = Database(database_url)
    bench = Bench("inbox", database, SteppingClock())
    await bench.make()
    yield bench
    await database.close()


async def test_items_are_claimed_in_the_order_they_came_and_once(bench):
    await bench.put("a", "b", "c")

    first = await bench.claim(2)
    second = await bench.claim(2)

    assert [item.row.payload for item in first] == ["a", "b"]
    assert [item.row.payload for item in second] == ["c"]
    assert {item.attempts for item in (*first, *second)} == {1}
    assert {item.lease_until - bench.clock.now() for item in first} == {timedelta(seconds=30)}
    assert await bench.claim() == []


async def test_an_item_put_for_later_is_claimed_when_it_is_due(bench):
    due_at = bench.clock.now() + timedelta(seconds=60)
    async with bench.database.begin() as connection:
        await bench.queue.put(connection, [bench.row("later")], due_at=due_at)

    assert await bench.claimed() == []
    bench.clock.step(60)
    assert await bench.claimed() == ["later"]


async def test_an_item_is_put_with_the_callers_transaction_or_not_at_all(bench):
    async def fail_after_put():
        async with bench.database.begin() as connection:
            await bench.queue.put(connection, [bench.row("lost")])
            raise LookupError

    with pytest.raises(LookupError):
        await fail_after_put()

    assert await bench.claimed() == []


async def test_an_item_that_is_there_already_is_left_out(bench):
    row = bench.row("a")
    async with bench.database.begin() as connection:
        first = await bench.queue.put(connection, [row])
        again = await bench.queue.put(connection, [row, bench.row("b")])

    assert first == {row["id"]}
    assert row["id"] not in again
    assert len(again) == 1
    assert await bench.claimed() == ["a", "b"]


async def test_a_done_item_is_not_claimed_again_and_its_content_is_erased(bench):
    await bench.put("a")
    [item] = await bench.claim()

    assert await bench.queue.finish(item.done("printed")) == "done"
    bench.clock.step(LEASE_SECONDS + 1)

    assert await bench.claim() == []
    if bench.table.done is None:
        assert await bench.states() == []
    else:
        assert await bench.states() == ["done"]
        assert await bench.column(bench.table.outcome) == ["printed"]
        assert await bench.column("payload") == [None]


async def test_an_item_comes_back_when_its_lease_ends(bench):
    await bench.put("a")
    await bench.claim()
    bench.clock.step(LEASE_SECONDS - 0.001)
    await bench.queue.sweep()
    assert await bench.claim() == []

    bench.clock.step(0.001)
    await bench.queue.sweep()

    [again] = await bench.claim()
    assert (again.row.payload, again.attempts) == ("a", 2)


async def test_a_renewed_lease_holds_longer_and_one_that_was_lost_is_not_renewed(bench):
    await bench.put("a")
    [first] = await bench.claim()
    bench.clock.step(LEASE_SECONDS - 1)
    renewed = await bench.queue.renew(first, LEASE_SECONDS)
    bench.clock.step(LEASE_SECONDS - 1)
    await bench.queue.sweep()
    held = await bench.claim()
    bench.clock.step(1)
    await bench.queue.sweep()
    [second] = await bench.claim()

    assert (renewed, held) == (True, [])
    assert await bench.queue.renew(first, LEASE_SECONDS) is False
    assert await bench.queue.finish(second.done()) == "done"
    assert await bench.queue.renew(second, LEASE_SECONDS) is False
    with pytest.raises(ValueError, match="may last"):
        await bench.queue.renew(second, 1e9)


async def test_a_settlement_after_the_item_was_taken_again_is_lost(bench):
    await bench.put("a")
    [first] = await bench.claim()
    bench.clock.step(LEASE_SECONDS)
    await bench.queue.sweep()
    [second] = await bench.claim()

    assert await bench.queue.finish(first.done()) == "lost"
    assert await bench.queue.finish(first.bury("late")) == "lost"
    assert await bench.queue.finish(second.done()) == "done"
    assert await bench.queue.finish(second.done()) == "lost"


async def test_the_first_of_two_settlements_of_one_item_counts(bench):
    await bench.put("a")
    [item] = await bench.claim()

    async with bench.database.begin() as connection:
        endings = await bench.queue.settle(connection, [item.bury("bad"), item.done()])

    assert endings == ["dead", "lost"]
    assert await bench.dead() == ["a"]


async def test_an_item_is_attempted_by_the_schedule_and_is_a_dead_letter_after_the_last(bench):
    await bench.put("a")
    for attempts, pause in enumerate(BACKOFF, start=1):
        [item] = await bench.claim()
        assert item.attempts == attempts
        assert await bench.queue.finish(item.retry("busy")) == "waiting"
        bench.clock.step(pause - 0.001)
        assert await bench.claim() == []
        bench.clock.step(0.001)

    [item] = await bench.claim()

    assert await bench.queue.finish(item.retry("busy")) == "dead"
    assert await bench.states() == [bench.table.dead]
    assert await bench.dead() == ["a"]


async def test_a_longer_pause_than_the_schedules_is_kept(bench):
    await bench.put("a")
    [item] = await bench.claim()
    await bench.queue.finish(item.retry("asked_to_wait", after_seconds=120))

    bench.clock.step(119)
    assert await bench.claimed() == []
    bench.clock.step(1)
    assert await bench.claimed() == ["a"]


async def test_a_released_item_is_due_at_once_and_has_all_its_attempts(bench):
    await bench.put("a")
    [item] = await bench.claim()

    assert await bench.queue.finish(item.release()) == "waiting"

    [again] = await bench.claim()
    assert again.attempts == 1


async def test_an_item_whose_last_lease_ends_is_a_dead_letter(bench):
    # Given an item that kills its process each time
    await bench.put("poison", "next", subject="s")
    for _ in range(len(BACKOFF) + 1):
        assert await bench.claimed() == ["poison"]
        bench.clock.step(LEASE_SECONDS)
        await bench.queue.sweep()

    # Then it holds up its subject no longer
    assert await bench.dead() == ["poison"]
    assert await bench.claimed() == ["next"]


async def test_an_item_that_had_its_last_attempt_is_not_claimed_again_before_a_sweep(bench):
    await bench.put("poison")
    for _ in range(len(BACKOFF)):
        assert await bench.claimed() == ["poison"]
        bench.clock.step(LEASE_SECONDS)
        await bench.queue.sweep()
    assert await bench.claimed() == ["poison"]
    bench.clock.step(LEASE_SECONDS)

    assert await bench.claimed() == []


async def test_dead_letters_are_listed_by_page_and_queued_again(bench):
    await bench.put("a", "b", "c")
    for item in await bench.claim():
        await bench.queue.finish(item.bury("unreadable"))

    newest = await bench.dead(limit=2)
    async with bench.database.read() as connection:
        rows = await bench.queue.dead_letters(connection, limit=2)
    last = rows[-1]._mapping[bench.table.order]
    assert (newest, await bench.dead(limit=2, before=last)) == (["c", "b"], ["a"])

    async with bench.database.begin() as connection:
        assert await bench.queue.requeue(connection, ids=[rows[0].id]) == 1
        assert await bench.queue.requeue(connection, ids=["nothing"]) == 0
    [again] = await bench.claim()
    assert (again.row.payload, again.attempts) == ("c", 1)

    async with bench.database.begin() as connection:
        assert await bench.queue.requeue(connection) == 2
    assert await bench.dead() == []


async def test_items_of_one_subject_are_never_in_work_together_and_keep_their_order(bench):
    await bench.put("a1", "a2", subject="a")
    await bench.put("b1", subject="b")
    await bench.put("free", "also free")

    first = await bench.claim()
    assert [item.row.payload for item in first] == ["a1", "b1", "free", "also free"]
    assert await bench.claim() == []

    await bench.queue.finish(first[0].done())
    assert await bench.claimed() == ["a2"]


async def test_an_item_in_backoff_holds_up_its_subject(bench):
    await bench.put("a1", "a2", subject="a")
    [item] = await bench.claim()
    await bench.queue.finish(item.retry("busy"))
    assert await bench.claimed() == []

    bench.clock.step(BACKOFF[0])
    assert await bench.claimed() == ["a1"]


async def test_without_in_order_a_later_item_passes_one_in_backoff_but_not_one_in_work(inbox):
    inbox.table = inbox.queue.table = QueueTable(
        **{
            name: getattr(QUEUES["inbox"], name)
            for name in ("name", "table", "order", "subject", "outcome", "backoff_seconds")
        },
        dead="failed",
        in_order=False,
    )
    await inbox.put("a1", "a2", "a3", subject="a")
    [item] = await inbox.claim()
    assert item.row.payload == "a1"
    assert await inbox.claimed() == []

    await inbox.queue.finish(item.retry("busy"))
    [second] = await inbox.claim()
    assert second.row.payload == "a2"

    # a1 is due again while a2 is in work
    inbox.clock.step(BACKOFF[0])
    assert await inbox.claimed() == []
    await inbox.queue.finish(second.done())
    assert await inbox.claimed() == ["a1"]


async def test_a_requeued_item_waits_for_a_later_one_of_its_subject_that_is_in_work(bench):
    await bench.put("a1", "a2", subject="a")
    [first] = await bench.claim()
    await bench.queue.finish(first.bury("bad"))
    [second] = await bench.claim()
    async with bench.database.begin() as connection:
        await bench.queue.requeue(connection)

    assert (second.row.payload, await bench.claimed()) == ("a2", [])
    await bench.queue.finish(second.done())
    assert await bench.claimed() == ["a1"]


async def test_five_hundred_items_of_a_busy_subject_dont_delay_another_subjects_first(bench):
    await bench.put(*(f"busy {number}" for number in range(500)), subject="busy")
    bench.clock.step(1)
    await bench.put("quick", subject="other")

    assert await bench.claimed(2) == ["busy 0", "quick"]
    assert await bench.claimed(2) == []


async def test_a_claim_of_500_held_back_items_reads_them_by_index(database_url):
    """A subject's items are compared by its index: each with one look, not each with each."""
    database = Database(database_url)
    bench = Bench("own", database, SteppingClock())
    await bench.make()
    await bench.put(*map(str, range(50)), subject="busy")
    if database.dialect == "sqlite":
        plans = []

        @event.listens_for(database._writer.sync_engine, "before_cursor_execute", retval=True)
        def explain(_connection, _cursor, statement, parameters, _context, _many):
            plans.append((statement, parameters))
            return statement, parameters

        await bench.claim()
        statement, parameters = next(each for each in plans if each[0].startswith("WITH"))
        async with database.read() as connection:
            plan = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            steps = " ".join(row[3] for row in plan)
        assert "ix_own_items_due" in steps
        assert "ix_own_items_subject" in steps
    await database.close()


async def test_a_partition_is_claimed_by_itself_and_subjects_are_its_own(database_url):
    database = Database(database_url)
    bench = Bench("jobs", database, SteppingClock())
    await bench.make()
    await bench.put("acme 1", "acme 2", subject="maria", account="acme")
    await bench.put("other 1", subject="maria", account="other")

    of_other = await bench.queue.claim(5, 30, partition="other")
    of_acme = await bench.queue.claim(5, 30, partition="acme")
    async with database.read() as connection:
        due = await bench.queue.has_due(connection, partition="acme")

    assert [item.row.payload for item in of_other] == ["other 1"]
    assert [item.row.payload for item in of_acme] == ["acme 1"]
    assert due is False
    await database.close()


async def test_a_claim_sets_further_columns_and_takes_further_conditions(bench):
    await bench.put("a", "b")
    payload = bench.table.table.c.payload

    async with bench.database.begin() as connection:
        [item] = await bench.queue.take(
            connection, 5, 30, where=[payload == "b"], values={"payload": "seen"}
        )

    assert item.row.payload == "seen"
    assert await bench.column("payload") == ["a", "seen"]


async def test_a_claim_finds_what_a_settlement_handed_in_with_it_frees(bench):
    await bench.put("a1", "a2", subject="a")
    [first] = await bench.claim()

    claimed = asyncio.create_task(bench.claim())
    ended = asyncio.create_task(bench.queue.finish(first.done()))

    assert [item.row.payload for item in await claimed] == ["a2"]
    assert await ended == "done"
    await bench.queue.drained()


async def test_at_the_start_on_sqlite_the_leases_of_a_gone_process_end_at_once(bench):
    await bench.put("a", "b")
    await bench.claim(1)

    await take_back(bench.database, [bench.table], bench.clock.now())

    expected = ["a", "b"] if bench.database.dialect == "sqlite" else ["b"]
    assert await bench.claimed() == expected


async def test_a_remote_agents_lease_outlives_the_process(bench):
    held = QueueTable(
        **{
            name: getattr(bench.table, name)
            for name in QueueTable.__slots__
            if name != "held_by_process"
        },
        held_by_process=False,
    )
    await bench.put("a")
    await bench.claim()

    await take_back(bench.database, [held], bench.clock.now())

    assert await bench.claimed() == []


async def test_the_depth_of_a_queue_is_counted(bench):
    async def read():
        async with bench.database.read() as connection:
            found = await depth(connection, bench.table, bench.clock.now())
        return (found.due, found.waiting, found.leased, found.dead), found.claimable_since

    assert await read() == ((0, 0, 0, 0), None)
    began = bench.clock.now()
    await bench.put("a1", "a2", "a3", subject="a")
    await bench.put("b", "c", "d")
    [a1, b, c] = await bench.claim(3)
    bench.clock.step(1)
    await bench.queue.finish(b.bury("bad"))
    await bench.queue.finish(c.retry("busy"))

    assert await read() == ((3, 1, 1, 1), began)
    # An item that waits for an earlier one of its subject is due, but could not be claimed
    [d] = await bench.claim()
    assert d.row.payload == "d"
    assert await read() == ((2, 1, 2, 1), None)
    assert a1.row.payload == "a1"


async def test_waking_says_which_queue_has_work(bench):
    bench.queue.wake()

    assert bench.woken == [bench.table.name]


async def test_a_sweep_wakes_only_when_an_item_came_back(bench):
    await bench.put("a")
    await bench.claim()
    assert await bench.queue.sweep() == 0
    assert bench.woken == []

    bench.clock.step(LEASE_SECONDS)
    came_back = await bench.queue.sweep()

    # Where no state shows a lease, an ended one needs no sweep
    assert came_back == (0 if bench.table.leased is None else 1)
    assert bench.woken == [bench.table.name] * came_back


async def test_a_lease_may_not_be_longer_than_the_table_says(bench):
    with pytest.raises(ValueError, match="a lease may last 300 s"):
        await bench.claim(1, lease_seconds=301)


async def test_when_the_clock_is_set_back_due_times_and_leases_come_along(bench):
    async with bench.database.begin() as connection:
        await connection.run_sync(metadata.create_all)
    await bench.put("taken")
    await bench.put("waiting")
    await bench.claim(1)
    bench.clock.step(-3600)
    now = bench.clock.now()
    waits = PluginTables(METADATA_ONLY, None, queues=[bench.table]).all_due_columns

    async with bench.database.begin() as connection:
        await shift_due_times(connection, now, seconds=3600, lease_seconds=60, waits=waits)

    assert await bench.claimed() == ["waiting"]
    ends = max(each for each in await bench.column(bench.table.lease_until) if each)
    assert ends <= to_epoch_ms(now + timedelta(seconds=bench.table.max_lease_seconds))


METADATA_ONLY = MetaData()


def test_a_plugins_queues_need_no_wait_columns_of_their_own():
    queue = QUEUES["own"]
    mine = DueColumn(Table("mine", MetaData(), Column("until_ms", Text)).c.until_ms)

    waits = PluginTables(METADATA_ONLY, None, due_columns=[mine], queues=[queue]).all_due_columns

    assert [each.column.name for each in waits] == ["until_ms", "due_at_ms", "lease_until_ms"]
    assert [each.lease_seconds for each in waits] == [0, 0, 300]


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"order": "place"}, "queue own: own_items has no column place"),
        ({"subject": "patient"}, "queue own: own_items has no column patient"),
        ({"erase": ("body",)}, "queue own: own_items has no column body"),
        ({"dead": "it's dead"}, "is not a state's name"),
    ],
)
def test_a_queue_of_columns_that_arent_there_is_refused(changes, fault):
    options = {"name": "own", "table": QUEUES["own"].table}

    with pytest.raises(ValueError, match=fault):
        QueueTable(**(options | changes))


async def test_a_queue_without_partitions_says_so(inbox):
    with pytest.raises(ValueError, match="queue inbox has no partitions"):
        await inbox.queue.claim(1, 30, partition="acme")
