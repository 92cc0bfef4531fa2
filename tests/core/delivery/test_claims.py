"""Claims on PostgreSQL: one statement for all lanes that ask, and nothing of one spoils another."""

import asyncio

import msgspec
import pytest
from core.delivery.dispatching import carried, looked_up, publish
from core.gateways import Recorder, add_destination, change_destination, opened
from sqlalchemy import text
from waiting import PATIENCE_SECONDS

from gateway.delivery import claims
from gateway.errors import SealKeyMissing, StorageError
from gateway.hookspecs import hookimpl
from gateway.sdk.records import Sink
from gateway.storage.stores.claimed_rows import claim_for_several


class Strict(Recorder):
    """A sink whose destinations must say where to."""

    @hookimpl
    def sinks(self):
        return [Sink("strict", msgspec.defstruct("Where", [("url", str)]), self.deliver)]


@pytest.fixture
async def gateway(postgres_url, tmp_path):
    async with opened(postgres_url, tmp_path, plugins=[Recorder(), Strict()]) as gateway:
        yield gateway


async def leases(gateway):
    async with gateway.database.read() as connection:
        found = await connection.execute(text("SELECT id, lease FROM deliveries"))
        return {row.id: row.lease for row in found}


async def test_lanes_that_ask_at_once_are_answered_by_one_statement(gateway):
    targets = [await add_destination(gateway) for _ in range(3)]
    await publish(gateway, "pkg_1", "pkg_2")
    batches = await asyncio.gather(*(gateway.dispatcher.claim(each, 1) for each in targets))

    assert [each.destination.id for each in batches] == targets
    assert [len(each.deliveries) for each in batches] == [1, 1, 1]
    assert [each.more for each in batches] == [True, True, True]
    assert len({each.deliveries[0].lease for each in batches}) == 1


async def test_a_lane_without_room_only_reads_its_destination(gateway):
    target = await add_destination(gateway)
    [delivery_id] = await publish(gateway)
    read = await gateway.dispatcher.claim(target, 0)

    assert (read.destination.id, read.deliveries, read.more) == (target, [], True)
    assert await leases(gateway) == {delivery_id: None}


async def test_two_lanes_of_one_destination_never_get_the_same_delivery(gateway):
    target = await add_destination(gateway)
    await publish(gateway, "pkg_1", "pkg_2")
    claimed = await asyncio.gather(*(gateway.dispatcher.claim(target, 9) for _ in range(2)))

    assert [each and len(each.deliveries) for each in claimed] == [2, None]


async def test_what_is_claimed_for_settings_that_do_not_fit_is_free_again(gateway):
    broken = await add_destination(gateway, sink="strict", settings={"uri": "secret"})
    working = await add_destination(gateway)
    ids = await publish(gateway)
    answers = await asyncio.gather(
        *(gateway.dispatcher.claim(each, 9) for each in (broken, working)), return_exceptions=True
    )
    held = await leases(gateway)
    kept = [(await looked_up(gateway, each))[0] for each in ids]

    assert isinstance(answers[0], StorageError)
    assert [each.destination_id for each in answers[1].deliveries] == [working]
    assert {each.destination_id: held[each.id] is None for each in kept} == {
        broken: True,
        working: False,
    }
    assert {each.destination_id: each.first_attempt_at is None for each in kept}[broken]


async def test_settings_that_do_not_fit_are_claimed_for_once_until_they_fit(gateway):
    broken = await add_destination(gateway, sink="strict", settings={"uri": "secret"})
    [delivery_id] = await publish(gateway)
    written = []
    for _ in range(3):
        with pytest.raises(StorageError):
            await gateway.dispatcher.claim(broken, 9)
        async with gateway.database.read() as connection:
            version = await connection.execute(text("SELECT xmin::text FROM deliveries"))
            written.append(version.scalar())

    await change_destination(gateway, broken, settings={"url": "https://example.com"})
    await carried(gateway, broken)
    assert len(set(written)) == 1
    assert (await looked_up(gateway, delivery_id))[0].state == "delivered"


async def test_a_delivery_whose_event_cannot_be_read_is_exhausted(gateway):
    target = await add_destination(gateway)
    spoilt, sound = await publish(gateway, "pkg_1", "pkg_2")
    async with gateway.database.begin() as connection:
        of_it = "(SELECT event_id FROM deliveries WHERE id = :id)"
        await connection.execute(
            text(f"UPDATE events SET data = :data WHERE id = {of_it}"),
            {"data": b"\x01\x00\x01" + bytes(57), "id": spoilt},
        )
    gateway.outbox._events._cache.clear()
    await carried(gateway, target)

    assert [(await looked_up(gateway, each))[0].state for each in (spoilt, sound)] == [
        "exhausted",
        "delivered",
    ]


async def test_an_event_under_a_key_that_is_not_here_stays_due(gateway, monkeypatch):
    target = await add_destination(gateway)
    [delivery_id] = await publish(gateway)
    events = gateway.outbox._events

    def missing(_row):
        raise SealKeyMissing("its key is not in the keyring")

    with monkeypatch.context() as patched:
        patched.setattr(events, "_event", missing)
        with pytest.raises(SealKeyMissing):
            await gateway.dispatcher.claim(target, 9)
    assert await leases(gateway) == {delivery_id: None}
    await carried(gateway, target)
    assert (await looked_up(gateway, delivery_id))[0].state == "delivered"


async def test_a_healthy_endpoint_does_not_wait_for_the_probe_of_a_broken_one(gateway):
    broken, healthy = [await add_destination(gateway) for _ in range(2)]
    await publish(gateway)
    async with gateway.database.begin() as connection:
        await connection.execute(
            text("UPDATE destinations SET opened_at_ms = 1, openings = 1 WHERE id = :id"),
            {"id": broken},
        )
    async with gateway.database.begin() as connection:  # as a change of its settings does
        await connection.execute(
            text("SELECT id FROM destinations WHERE id = :id FOR UPDATE"), {"id": broken}
        )
        probe = asyncio.create_task(gateway.dispatcher.claim(broken, 9))
        async with asyncio.timeout(PATIENCE_SECONDS):
            sound = await gateway.dispatcher.claim(healthy, 9)
        assert not probe.done()

    assert [each.destination_id for each in sound.deliveries] == [healthy]
    assert [each.destination_id for each in (await probe).deliveries] == [broken]


async def test_probes_of_several_endpoints_are_one_each(gateway):
    targets = [await add_destination(gateway) for _ in range(3)]
    await publish(gateway, "pkg_1", "pkg_2")
    async with gateway.database.begin() as connection:
        await connection.execute(text("UPDATE destinations SET opened_at_ms = 1, openings = 1"))
    batches = await asyncio.gather(*(gateway.dispatcher.claim(each, 9) for each in targets[::-1]))

    assert [each.destination.id for each in batches] == targets[::-1]
    assert [(len(each.deliveries), each.more) for each in batches] == [(1, False)] * 3
    assert await gateway.dispatcher.destinations_with_work() == []


async def test_one_statement_claims_no_more_than_a_lane_may_ask_for(gateway, monkeypatch):
    targets = [await add_destination(gateway) for _ in range(3)]
    await publish(gateway)
    asked_for = []

    async def noted(transaction, most, *rest):
        asked_for.append(list(most.values()))
        return await claim_for_several(transaction, most, *rest)

    monkeypatch.setattr(claims, "claim_for_several", noted)
    await asyncio.gather(*(gateway.dispatcher.claim(each, 2000) for each in targets))

    assert asked_for == [[2000, 2000], [2000]]
