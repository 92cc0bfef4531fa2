"""Looking back: whoever sees a destination sees its deliveries and tries, and nobody else."""

import pytest
from core.storage.rows import (
    AT_MAIN,
    LIVE,
    NOW,
    OTHER,
    TEST,
    at,
    delivered,
    destination,
    failed,
    ids_of,
    page_by_page,
    queued,
)

from gateway.model.account import Caller
from gateway.storage.stores.attempt_counts import AttemptCount, attempts_between
from gateway.storage.stores.delivery_counts import delivery_counts
from gateway.storage.stores.delivery_log import AttemptFilter

NORTH = Caller("acme", "live", "key_north", frozenset({"north"}))


@pytest.fixture
async def tried(connection, kept):
    """Make a destination whose deliveries were all tried once; returns it and their ids."""

    async def make(caller=LIVE, count=1, *, moment=NOW, settled=delivered, subject="pkg_1"):
        made = destination(caller, moment=moment)
        await kept.destinations.add(connection, made)
        return made, await again(made, count, moment=moment, settled=settled, subject=subject)

    async def again(made, count=1, *, moment=NOW, settled=delivered, subject="pkg_1"):
        _, ids = await queued(connection, made, count, moment=moment, subject=subject)
        taken = await kept.outbox.claim(
            connection, made.id, limit=100, now=moment, lease_seconds=60
        )
        outcomes = [settled(each, started_at=moment) for each in taken]
        if outcomes:
            await kept.outbox.settle(connection, outcomes, moment)
        return ids

    make.again = again
    return make


async def test_a_delivery_is_seen_by_those_who_see_its_destination(connection, kept, tried):
    _, (at_main,) = await tried(AT_MAIN)
    _, (everywhere,) = await tried(LIVE)

    async def seen(caller):
        found = [await kept.log.get(connection, caller, each) for each in (at_main, everywhere)]
        assert {*ids_of(filter(None, found))} == {
            *ids_of(await kept.log.page(connection, caller, limit=9))
        }
        tries = await kept.log.attempts_page(connection, caller, AttemptFilter(9))
        assert {each.delivery_id for _, each in tries} == {*ids_of(filter(None, found))}
        return [each is not None for each in found]

    assert await seen(LIVE) == [True, True]
    assert await seen(AT_MAIN) == [True, False]
    for nobody in (NORTH, TEST, OTHER, Caller("other", "live", "key", frozenset({"main"}))):
        assert await seen(nobody) == [False, False]


async def test_a_delivery_that_does_not_exist_is_nothing(connection, kept):
    assert await kept.log.get(connection, LIVE, "dlv_nowhere") is None


async def test_deliveries_come_newest_first_page_by_page(connection, kept, tried):
    made, ids = await tried(LIVE, 7)

    async def next_page(before_id):
        page = await kept.log.page(connection, LIVE, limit=3, before_id=before_id)
        await tried.again(made, moment=at(60))  # new ones come in meanwhile
        return page

    assert ids_of(await page_by_page(next_page)) == list(reversed(ids))


async def test_attempts_are_counted_by_hour_and_by_destination(connection, kept, tried):
    one, _ = await tried(LIVE, 3, moment=NOW)
    await tried(OTHER, 5, moment=at(1800))
    two, _ = await tried(AT_MAIN, 2, moment=at(1800), settled=failed)
    await tried.again(one, 4, moment=at(3600))
    await tried.again(one, 1, moment=at(7199), settled=failed)
    moments = [at(-3600), NOW, at(3600), at(7200), at(10_800)]

    async def counted(caller, *ids):
        found, is_whole = await kept.log.counts_between(connection, caller, ids, moments)
        return [tuple(each) for each in found], is_whole

    assert await counted(LIVE, one.id, two.id) == ([(0, 0), (3, 2), (4, 1), (0, 0)], True)
    assert await counted(AT_MAIN, one.id, two.id) == ([(0, 0), (0, 2), (0, 0), (0, 0)], True)
    assert await counted(NORTH, two.id) == ([(0, 0)] * 4, True)
    assert await counted(LIVE) == ([(0, 0)] * 4, True)
    each = await kept.log.counts_of_each(connection, LIVE, [one.id, two.id], at(1))
    assert {one.id: (4, 1), two.id: (0, 2)} == {key: tuple(count) for key, count in each.items()}
    newest, is_whole = await attempts_between(connection, [one.id, two.id], moments, most=6)
    assert ([sum(each) for each in newest], is_whole) == ([0, 1, 5, 0], False)
    assert await kept.log.counts_of_each(connection, LIVE, [one.id], at(7200)) == {}


async def test_before_the_first_attempt_there_is_nothing_to_count(connection, kept):
    found = await kept.log.counts_between(connection, LIVE, ["dst_none"], [NOW, at(60), at(120)])

    assert found == ([AttemptCount(0, 0)] * 2, True)


async def test_deliveries_can_be_of_one_state(connection, kept, tried):
    made, (first,) = await tried(LIVE)
    (second,) = await tried.again(made, settled=failed)
    _, (third,) = await queued(connection, made)

    async def in_state(state):
        return ids_of(await kept.log.page(connection, LIVE, limit=9, state=state))

    assert await in_state("delivered") == [first]
    assert await in_state("exhausted") == [second]
    assert await in_state("pending") == [third]
    assert await kept.log.counts(connection, LIVE) == ((1, False),) * 3
    assert await kept.log.counts(connection, TEST) == ((0, False),) * 3
    assert await delivery_counts(connection, LIVE, most=0) == ((0, True),) * 3
    assert await delivery_counts(connection, NORTH) == ((0, False),) * 3


async def test_the_attempts_of_a_delivery_are_first_to_last(connection, kept, tried):
    made, _ = await tried(LIVE)
    _, (delivery_id,) = await queued(connection, made)
    for number in range(3):
        (taken,) = await kept.outbox.claim(
            connection, made.id, limit=9, now=at(number), lease_seconds=60
        )
        await kept.outbox.settle(
            connection, [failed(taken, at(number + 1), error=f"error {number}")], at(number)
        )

    found = await kept.log.get(connection, LIVE, delivery_id)
    tries = await kept.log.attempts_of(connection, found)

    assert [(each.number, each.error) for each in tries] == [
        (1, "error 0"),
        (2, "error 1"),
        (3, "error 2"),
    ]


async def test_attempts_of_several_destinations_come_newest_first_page_by_page(
    connection, kept, tried
):
    # Given tries that went to three destinations in turn
    ids = []
    targets = [(await tried(LIVE, 0))[0] for _ in range(3)]
    for number in range(9):
        ids += await tried.again(targets[number % 3], moment=at(number))

    # When they are read page by page and new ones come in meanwhile
    async def next_page(before_sequence):
        page = await kept.log.attempts_page(
            connection, LIVE, AttemptFilter(2, before_sequence=before_sequence)
        )
        await tried.again(targets[0], moment=at(60))
        return page

    found = await page_by_page(next_page, place_of=lambda each: each[0])

    # Then each is seen once
    assert [attempt.delivery_id for _, attempt in found] == list(reversed(ids))


async def test_attempts_can_be_narrowed(connection, kept, tried):
    well, (good,) = await tried(LIVE, moment=at(10))
    ill, (bad,) = await tried(LIVE, moment=at(20), settled=failed)

    async def found(**wanted):
        page = await kept.log.attempts_page(connection, LIVE, AttemptFilter(9, **wanted))
        return [attempt.delivery_id for _, attempt in page]

    assert await found() == [bad, good]
    assert await found(destination_id=well.id) == [good]
    assert await found(destination_id=ill.id) == [bad]
    assert await found(destination_id="dst_nowhere") == []
    assert await found(delivered=True) == [good]
    assert await found(delivered=False) == [bad]
    assert await found(event_type="delivery.completed") == [bad, good]
    assert await found(event_type="rx.queued") == []
    assert await found(since=at(20)) == [bad]
    assert await found(since=at(20.001)) == []


async def test_another_callers_destination_narrows_down_to_nothing(connection, kept, tried):
    made, _ = await tried(OTHER)

    page = await kept.log.attempts_page(connection, LIVE, AttemptFilter(9, destination_id=made.id))

    assert page == []


async def test_what_went_to_a_removed_destination_is_still_in_the_log(connection, kept, tried):
    made, (delivery_id,) = await tried(LIVE)

    await kept.destinations.remove(connection, made.id, NOW)

    assert ids_of(await kept.log.page(connection, LIVE, limit=9)) == [delivery_id]
    assert len(await kept.log.attempts_page(connection, LIVE, AttemptFilter(9))) == 1


async def test_the_events_with_a_delivery_to_a_destination_and_its_state(connection, kept, tried):
    made, (well,) = await tried(LIVE)
    (given_up,) = await tried.again(made, settled=failed)
    events, (waiting,) = await queued(connection, made)
    found = {each: await kept.log.get(connection, LIVE, each) for each in (well, given_up, waiting)}

    states = await kept.log.states(
        connection, made.id, [*(each.event_id for each in found.values()), "evt_nowhere"], NOW
    )

    assert states == {
        found[well].event_id: (well, False),
        found[given_up].event_id: (given_up, True),
        events[0].id: (waiting, False),
    }
    assert await kept.log.states(connection, "dst_another", [events[0].id], NOW) == {}
