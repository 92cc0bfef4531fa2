"""Born claimed: what goes out at once is stored leased and sent from memory."""

import asyncio

import pytest
from core.delivery.delivery_source import Holding, at_once, outcome, until
from core.delivery.dispatching import looked_up
from core.gateways import Recorder, add_destination, change_destination, draft, opened, package
from sqlalchemy import select
from waiting import PATIENCE_SECONDS

from gateway.storage.schema import deliveries
from gateway.storage.stores.outbox import Outbox


class Sending(Recorder):
    """A plugin whose sink is a function."""

    def __init__(self, deliver):
        super().__init__()
        self.deliver = deliver


async def rows(gateway):
    async with gateway.database.read() as connection:
        found = await connection.execute(
            select(deliveries.c.state, deliveries.c.lease, deliveries.c.attempts)
        )
        return [tuple(row) for row in found]


@pytest.fixture
def claims(monkeypatch):
    """The number of deliveries that were claimed from the database."""
    found = []
    claim = Outbox.claim

    async def counted(self, *arguments, **options):
        claimed = await claim(self, *arguments, **options)
        found.extend(claimed)
        return claimed

    monkeypatch.setattr(Outbox, "claim", counted)
    return found


async def test_what_goes_at_once_is_sent_without_a_claim(database_url, tmp_path, claims):
    sink = Recorder()
    async with opened(database_url, tmp_path, plugins=[sink]) as gateway:
        await add_destination(gateway)
        async with gateway.running():
            published = await gateway.publisher.publish([draft(gateway)])
            await until(lambda: not gateway.engine.lanes)
            delivery, attempts = await looked_up(gateway, published.delivery_ids[0])

    assert (delivery.state, len(attempts), claims) == ("delivered", 1, [])
    [event] = published.events
    assert [each.data for _, each in sink.delivered] == [event.data]


@pytest.mark.parametrize(
    "limits", [{"ordered": True}, {"max_per_second": 100.0}, {"state": "paused"}]
)
async def test_what_can_not_go_at_once_is_stored_as_due(database_url, tmp_path, limits):
    async with opened(database_url, tmp_path, plugins=[Recorder()]) as gateway:
        await add_destination(gateway, **limits)
        async with gateway.running(sweep_seconds=3600):
            gateway.engine._running = False  # so that it stays as it was stored
            published = await gateway.publisher.publish([draft(gateway)])

            assert not published.claimed
            assert await rows(gateway) == [("pending", None, 0)]


async def test_no_more_go_at_once_than_may_be_in_flight(database_url, tmp_path):
    sink = Sending(Holding().deliver)
    async with opened(database_url, tmp_path, plugins=[sink]) as gateway:
        await add_destination(gateway, max_in_flight=2)
        async with gateway.running():
            published = await gateway.publisher.publish([draft(gateway) for _ in range(5)])
            assert sum(len(each.deliveries) for each in published.claimed) == 2
            holding = sink.deliver.__self__
            async with asyncio.timeout(PATIENCE_SECONDS):
                while len(holding.seen) < 5:
                    holding.let_go()
                    await asyncio.sleep(0.005)
            assert holding.most == 2
            holding.let_go()
            await until(lambda: holding.let_go() or not gateway.engine.lanes)


async def test_without_an_engine_here_nothing_is_born_claimed(database_url, tmp_path):
    async with opened(database_url, tmp_path, plugins=[Recorder()]) as gateway:
        await add_destination(gateway)
        published = await gateway.publisher.publish([draft(gateway)])

        assert not published.claimed
        assert await rows(gateway) == [("pending", None, 0)]


async def test_a_commit_answered_with_an_error_holds_its_deliveries_for_seconds_only(
    database_url, tmp_path
):
    sink = Recorder()
    async with opened(database_url, tmp_path, plugins=[sink]) as gateway:
        await add_destination(gateway)
        hand_over = gateway.dispatcher.hand_over
        hand_over.lost_after_seconds = 0.0
        async with gateway.running(sweep_seconds=0.05):
            # Committed, and the caller never hears of it: nothing is announced.
            async def record(transaction):
                return await gateway.publisher.record(
                    transaction, [draft(gateway)], gateway.clock.now()
                )

            published = await gateway.database.transact(record)
            assert published.claimed
            await until(lambda: len(sink.delivered) == 1)
            await until(lambda: not gateway.engine.lanes)

        assert await rows(gateway) == [("delivered", None, 1)]


class Roomy:
    """An engine that always has room, and sends nothing."""

    def room(self, _destination_id, max_in_flight):
        return max_in_flight

    def hand_over(self, claimed):
        raise AssertionError(claimed)


async def test_a_lease_is_looked_for_until_it_was_found_and_ended(database_url, tmp_path):
    """A sweep may meet it before its commit, when there is no row to end yet."""
    async with opened(database_url, tmp_path, plugins=[Recorder()]) as gateway:
        await add_destination(gateway)
        hand_over = gateway.dispatcher.hand_over
        hand_over.lost_after_seconds = -1.0
        hand_over.sender = Roomy()
        async with gateway.database.begin() as connection:
            await gateway.publisher.record(connection, [draft(gateway)], gateway.clock.now())
            too_early = hand_over.lost_leases()
        [lease] = hand_over.lost_leases()

        assert [*too_early] == [lease]
        assert len(await gateway.dispatcher.release_lost()) == 1
        assert await rows(gateway) == [("pending", None, 0)]
        assert not hand_over.lost_leases()


async def test_after_a_change_is_answered_nothing_starts_as_before(database_url, tmp_path):
    seen = []

    async def deliver(batch):
        seen.append((batch.destination.name, asyncio.get_running_loop().time()))
        return await at_once(batch)

    async with opened(database_url, tmp_path, plugins=[Sending(deliver)]) as gateway:
        destination_id = await add_destination(gateway, name="before")
        async with gateway.running():
            ending = asyncio.Event()

            async def press():
                while not ending.is_set():
                    await gateway.publisher.publish([draft(gateway) for _ in range(3)])

            pressing = asyncio.create_task(press())
            await until(lambda: len(seen) > 20)
            await change_destination(gateway, destination_id, name="after")
            await gateway.destinations_changed()
            answered_at = asyncio.get_running_loop().time()
            count = len(seen)
            await until(lambda: len(seen) > count + 20)
            ending.set()
            await pressing
            await until(lambda: not gateway.engine.lanes)

    assert [name for name, at in seen if at > answered_at and name == "before"] == []
    assert {name for name, _ in seen} == {"before", "after"}


async def test_the_caller_is_answered_before_its_delivery_goes_out(database_url, tmp_path):
    """What is sent takes half a millisecond to be made, which the caller need not wait for."""
    seen = []

    async def deliver(batch):
        seen.append("sent")
        return [outcome(each) for each in batch.deliveries]

    async with opened(database_url, tmp_path, plugins=[Sending(deliver)]) as gateway:
        await add_destination(gateway)
        async with gateway.running():
            await package(gateway)
            seen.append("answered")
            await until(lambda: not gateway.engine.lanes)

    assert seen == ["answered", "sent"]
