"""In order: a later event of the same subject waits until the earlier one is over."""

import pytest
from core.storage.rows import (
    LIVE,
    NOW,
    at,
    delivered,
    destination,
    failed,
    ids_of,
    queued,
)

TARGET = destination(LIVE, ordered=True)


@pytest.fixture
async def claim(connection, kept):
    """Take due deliveries of the one destination there is."""
    await kept.destinations.add(connection, TARGET)

    async def take(now=NOW, *, limit=100):
        return await kept.outbox.claim(
            connection, TARGET.id, limit=limit, now=now, lease_seconds=60.0
        )

    return take


async def test_of_one_subject_only_the_earliest_goes(connection, kept, claim):
    _, ids = await queued(connection, TARGET, 3, in_order=True)

    for place, delivery_id in enumerate(ids):
        (taken,) = await claim(at(place))
        assert taken.id == delivery_id
        assert await claim(at(place)) == []
        await kept.outbox.settle(connection, [delivered(taken)], at(place))

    assert await claim(at(10)) == []


async def test_other_subjects_do_not_wait(connection, claim):
    _, first = await queued(connection, TARGET, 2, subject="pkg_1", in_order=True)
    _, second = await queued(connection, TARGET, 2, subject="pkg_2", in_order=True)

    assert set(ids_of(await claim())) == {first[0], second[0]}


async def test_a_retry_holds_back_what_comes_after_it(connection, kept, claim):
    _, ids = await queued(connection, TARGET, 2, in_order=True)
    (first,) = await claim(NOW)

    await kept.outbox.settle(connection, [failed(first, at(30))], at(1))

    assert await claim(at(29)) == []
    assert ids_of(await claim(at(30))) == [ids[0]]


async def test_an_exhausted_delivery_holds_back_nothing(connection, kept, claim):
    _, ids = await queued(connection, TARGET, 2, in_order=True)
    (first,) = await claim(NOW)

    await kept.outbox.settle(connection, [failed(first)], at(1))

    assert ids_of(await claim(at(1))) == [ids[1]]


async def test_without_order_nothing_waits(connection, claim):
    _, ids = await queued(connection, TARGET, 3)

    assert ids_of(await claim()) == ids


async def test_what_is_not_in_order_neither_waits_nor_holds_back(connection, claim):
    _, before = await queued(connection, TARGET, 1, moment=at(-3))
    _, ordered = await queued(connection, TARGET, 2, moment=at(-2), in_order=True)
    _, after = await queued(connection, TARGET, 1, moment=at(-1))

    assert set(ids_of(await claim())) == {*before, ordered[0], *after}


async def test_another_destination_does_not_wait(connection, kept, claim):
    another = destination(LIVE, ordered=True)
    await kept.destinations.add(connection, another)
    _, first = await queued(connection, TARGET, 1, in_order=True)
    await claim()
    _, theirs = await queued(connection, another, 1, in_order=True)

    taken = await kept.outbox.claim(connection, another.id, limit=9, now=NOW, lease_seconds=60.0)

    assert ids_of(taken) == theirs
    assert theirs != first


async def test_the_order_is_that_of_the_events_though_the_clock_was_set_back(connection, claim):
    _, first = await queued(connection, TARGET, 1, moment=at(0), in_order=True)
    _, second = await queued(connection, TARGET, 1, moment=at(-3600), in_order=True)

    assert second < first
    assert ids_of(await claim()) == first


async def test_the_order_holds_within_one_millisecond(connection, kept, claim):
    # Given ten events of one package in ten transactions of the same moment
    ids = [(await queued(connection, TARGET, 1, in_order=True))[1][0] for _ in range(10)]

    went = []
    for _ in ids:
        (taken,) = await claim()
        went.append(taken.id)
        await kept.outbox.settle(connection, [delivered(taken)], NOW)

    assert went == ids


async def test_an_earlier_one_sent_again_goes_before_what_still_waits(connection, kept, claim):
    _, ids = await queued(connection, TARGET, 2, in_order=True)
    (first,) = await claim()
    await kept.outbox.settle(connection, [delivered(first)], at(1))

    await kept.outbox.resend(connection, "acme", ids[0], at(2))

    assert ids_of(await claim(at(2))) == [ids[0]]
