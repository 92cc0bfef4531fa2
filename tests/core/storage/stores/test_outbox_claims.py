"""Taking deliveries: the longest due first, on a lease, and never two at a time."""

import asyncio

import pytest
from core.storage.rows import (
    KEYRING,
    LIVE,
    NOW,
    OTHER,
    at,
    delivered,
    destination,
    draft,
    failed,
    ids_of,
    queued,
    rows_in,
    stores,
)
from sqlalchemy import update
from waiting import PATIENCE_SECONDS

from gateway.clock import to_epoch_ms
from gateway.errors import SealKeyMissing
from gateway.model.delivery import ClaimedDelivery
from gateway.storage.crypto.encryption import Sealer
from gateway.storage.crypto.keyring import Keyring
from gateway.storage.database import Database
from gateway.storage.schema import deliveries, events
from gateway.storage.stores.outbox import NewDelivery

LEASE_SECONDS = 60.0
TARGET = destination(LIVE)


@pytest.fixture
async def claim(connection, kept):
    """Take due deliveries of the one destination there is."""
    await kept.destinations.add(connection, TARGET)

    async def take(now=NOW, *, limit=100, target=TARGET):
        return await kept.outbox.claim(
            connection, target.id, limit=limit, now=now, lease_seconds=LEASE_SECONDS
        )

    return take


async def test_a_claim_holds_all_that_an_attempt_needs(connection, kept, claim):
    (event,), (delivery_id,) = await queued(connection, TARGET)

    (taken,) = await claim(at(2))

    assert taken == ClaimedDelivery(
        id=delivery_id,
        account_id="acme",
        destination_id=TARGET.id,
        event=event,
        attempt=1,
        retry_index=0,
        lease=taken.lease,
        created_at=NOW,
        first_attempt_at=at(2),
    )
    assert len(taken.lease) == 16


async def test_what_was_taken_is_not_taken_again(connection, claim):
    _, ids = await queued(connection, TARGET, 5)

    first = await claim(limit=3)
    second = await claim(limit=3)

    assert ids_of([*first, *second]) == ids
    assert first[0].lease != second[0].lease
    assert await claim() == []


async def test_the_longest_due_go_first(connection, claim):
    _, late = await queued(connection, TARGET, 2, moment=at(-10))
    _, later = await queued(connection, TARGET, 2, moment=at(-5))
    _, latest = await queued(connection, TARGET, 1, moment=at(-20))

    assert ids_of(await claim(limit=1)) == latest
    assert ids_of(await claim(limit=3)) == [*late, later[0]]
    assert ids_of(await claim(limit=3)) == [later[1]]


async def test_a_retry_goes_by_when_it_came_due_and_is_handed_out_in_the_order_it_was_made(
    connection, kept, claim
):
    # Given an older delivery whose retry came due after a newer one did
    _, (older, newer) = await queued(connection, TARGET, 2, moment=at(-20))
    (first,) = await claim(at(-19), limit=1)
    await kept.outbox.settle(connection, [failed(first, at(-5))], at(-18))

    # Then the newer one goes first when only one goes, and the older one when both do
    (alone,) = await claim(limit=1)
    await kept.outbox.release(connection, [alone], at(0))
    assert (first.id, alone.id) == (older, newer)
    assert ids_of(await claim(limit=2)) == [older, newer]


async def test_what_is_due_later_is_left_for_later(connection, claim):
    _, ids = await queued(connection, TARGET, moment=at(30))

    assert await claim(at(29.999)) == []
    assert ids_of(await claim(at(30))) == ids


async def test_only_the_deliveries_of_the_destination_are_taken(connection, kept, claim):
    theirs = destination(OTHER)
    await kept.destinations.add(connection, theirs)
    _, mine = await queued(connection, TARGET)
    _, others = await queued(connection, theirs)

    assert ids_of(await claim()) == mine
    assert ids_of(await claim(target=theirs)) == others
    assert await claim(target=destination(LIVE)) == []


async def test_a_lease_that_ended_makes_the_delivery_due_again(connection, claim):
    _, ids = await queued(connection, TARGET)
    (lost,) = await claim(NOW)

    assert await claim(at(LEASE_SECONDS - 0.001)) == []
    (again,) = await claim(at(LEASE_SECONDS))

    assert again.id == lost.id == ids[0]
    assert again.lease != lost.lease
    assert again.attempt == 1
    assert again.first_attempt_at == NOW


async def test_what_was_given_back_is_due_at_once_as_if_it_had_not_been_taken(
    connection, kept, claim
):
    await queued(connection, TARGET)
    (taken,) = await claim(at(1))

    await kept.outbox.release(connection, [taken], at(2))
    (again,) = await claim(at(2))

    assert again.lease != taken.lease
    assert (again.attempt, again.retry_index, again.first_attempt_at) == (1, 0, at(2))


async def test_a_retry_that_was_given_back_keeps_its_place_in_the_schedule(connection, kept, claim):
    await queued(connection, TARGET)
    (first,) = await claim(at(1))
    await kept.outbox.settle(connection, [failed(first, at(6))], at(1))
    (second,) = await claim(at(6))

    await kept.outbox.release(connection, [second], at(7))
    (again,) = await claim(at(7))

    assert (again.attempt, again.retry_index, again.first_attempt_at) == (2, 1, at(1))


async def test_only_the_holder_of_the_lease_can_release(connection, kept, claim):
    await queued(connection, TARGET)
    (lost,) = await claim(NOW)
    (held,) = await claim(at(LEASE_SECONDS))

    await kept.outbox.release(connection, [lost], at(61))
    assert await claim(at(62)) == []

    await kept.outbox.settle(connection, [delivered(held)], at(63))
    await kept.outbox.release(connection, [held], at(64))
    assert await claim(at(10_000)) == []


async def test_what_a_dead_process_held_is_taken_back_at_once(connection, kept, claim):
    _, ids = await queued(connection, TARGET, 3)
    taken = await claim(NOW)
    await kept.outbox.settle(connection, [delivered(taken[0]), failed(taken[1], at(500))], at(1))

    await kept.outbox.take_back(connection, at(2))

    assert ids_of(await claim(at(2))) == [ids[2]]
    assert ids_of(await claim(at(500))) == [ids[1], ids[2]]


async def test_destinations_with_work_are_the_active_ones_with_something_due(
    connection, kept, claim
):
    made = {
        state: destination(LIVE, state=state, moment=at(place))
        for place, state in enumerate(("active", "paused", "disabled"))
    }
    for each in made.values():
        await kept.destinations.add(connection, each)
        await queued(connection, each, moment=at(10))

    async def with_work(seconds):
        return set(await kept.outbox.destinations_with_work(connection, at(seconds)))

    assert await with_work(9) == set()
    assert await with_work(10) == {made["active"].id}
    await claim(at(10), target=made["active"])
    assert await with_work(11) == set()
    assert await with_work(10 + LEASE_SECONDS) == {made["active"].id}
    await connection.execute(update(deliveries).values(state="exhausted"))
    assert await with_work(10_000) == set()


async def test_queueing_nothing_is_fine(connection, kept):
    assert await kept.outbox.queue(connection, [], NOW) == []
    assert await rows_in(connection, deliveries) == 0


async def test_a_delivery_gets_an_id_of_its_moment(connection, kept):
    new = [NewDelivery("acme", TARGET.id, "evt_1", "rx.queued", "rxq_1", in_order=False)] * 3

    ids = await kept.outbox.queue(connection, new, NOW)

    assert ids == sorted(set(ids))
    assert len(ids) == 3
    assert all(int(each.removeprefix("dlv_"), 16) >> 80 == to_epoch_ms(NOW) for each in ids)


async def test_processes_that_race_never_take_the_same_delivery(database, kept):
    # Given many deliveries, and as many claimers as there are connections
    async with database.begin() as connection:
        await kept.destinations.add(connection, TARGET)
        _, ids = await queued(connection, TARGET, 200)
    everybody_is_in = asyncio.Barrier(4)

    async def race():
        taken = []
        # On PostgreSQL all hold a transaction open at once; on SQLite they take turns.
        if database.dialect == "postgresql":
            async with database.begin() as connection:
                await rows_in(connection, deliveries)
                await everybody_is_in.wait()
                taken += await some(connection)
                await everybody_is_in.wait()
        while True:
            async with database.begin() as connection:
                more = await some(connection)
            if not more:
                return taken
            taken += more

    async def some(connection):
        return await kept.outbox.claim(
            connection, TARGET.id, limit=10, now=NOW, lease_seconds=LEASE_SECONDS
        )

    # When all of them take as much as they can
    async with asyncio.timeout(PATIENCE_SECONDS):
        shares = await asyncio.gather(*(race() for _ in range(4)))

    # Then each delivery went to exactly one, and on PostgreSQL nobody waited for another
    assert sorted(each.id for share in shares for each in share) == ids
    if database.dialect == "postgresql":
        assert all(len(share) >= 10 for share in shares)


async def test_rows_that_another_claim_locks_are_skipped_and_not_waited_for(postgres_url, kept):
    # SQLite has one writer at a time
    database = Database(postgres_url)
    async with database.begin() as connection:
        await kept.destinations.add(connection, TARGET)
        _, ids = await queued(connection, TARGET, 3)

    async def take(connection, limit):
        return ids_of(
            await kept.outbox.claim(
                connection, TARGET.id, limit=limit, now=NOW, lease_seconds=LEASE_SECONDS
            )
        )

    async with (
        asyncio.timeout(PATIENCE_SECONDS),
        database.begin() as first,
        database.begin() as second,
    ):
        assert await take(first, 2) == ids[:2]
        assert await take(second, 3) == ids[2:]
    await database.close()


async def spoil(connection, event_id):
    spoilt = update(events).where(events.c.id == event_id)
    await connection.execute(spoilt.values(data=b"\x01\x00\x01" + bytes(57)))


async def test_unreadable_deliveries_are_exhausted_and_hold_up_nothing(connection, kept, claim):
    [spoilt_event, _], [spoilt, sound] = await queued(connection, TARGET, 2)
    await spoil(connection, spoilt_event.id)

    assert ids_of(await claim()) == [sound]
    assert await claim(at(LEASE_SECONDS - 1)) == []

    delivery = await kept.log.get(connection, LIVE, spoilt)
    [attempt] = await kept.log.attempts_of(connection, delivery)
    assert (delivery.state, delivery.attempts, delivery.finished_at) == ("exhausted", 1, NOW)
    assert (attempt.number, attempt.delivered, attempt.error) == (1, False, "unreadable")
    assert (attempt.started_at, attempt.event_type) == (NOW, spoilt_event.type)


async def test_an_event_for_several_destinations_is_opened_once(connection, kept, claim):
    other = destination(LIVE)
    await kept.destinations.add(connection, other)
    [event], _ = await queued(connection, TARGET)
    new = NewDelivery("acme", other.id, event.id, event.type, event.subject, in_order=False)
    await kept.outbox.queue(connection, [new], NOW)

    [first] = await claim()
    await spoil(connection, event.id)
    [second] = await claim(target=other)

    assert first.event is second.event


async def test_what_another_machine_has_the_key_for_is_left_for_it(connection, kept, claim):
    newer = Keyring(KEYRING.index_key, (*KEYRING.seal_keys, (2, bytes(range(64, 96)))))
    elsewhere = stores(Sealer(newer))
    await kept.destinations.add(connection, other := destination(LIVE))
    [event] = await elsewhere.events.append(connection, [draft(LIVE)], NOW)
    new = NewDelivery("acme", other.id, event.id, event.type, event.subject, in_order=False)
    [delivery_id] = await elsewhere.outbox.queue(connection, [new], NOW)

    with pytest.raises(SealKeyMissing):
        await claim(target=other)

    delivery = await kept.log.get(connection, LIVE, delivery_id)
    assert (delivery.state, delivery.attempts) == ("pending", 0)
