"""Destinations that are gone, misconfigured, ordered, shared by processes: who gets what then."""

import asyncio
from datetime import timedelta

import msgspec
from core.delivery.dispatching import Scripted, carried, looked_up, publish
from core.gateways import (
    NoSettings,
    Recorder,
    add_destination,
    change_destination,
    destination,
    opened,
    sqlite_url,
)

from gateway.clock import SteppingClock
from gateway.hookspecs import hookimpl
from gateway.model.delivery import Outcome
from gateway.sdk.records import Sink


async def test_a_destination_that_is_gone_is_disabled_and_its_account_is_told(
    database_url, tmp_path
):
    clock = SteppingClock()
    sink = Scripted(clock, status=410, gone=True)
    async with opened(database_url, tmp_path, clock=clock, plugins=[sink]) as gateway:
        gone = await add_destination(gateway, max_in_flight=1, events=("delivery.*",), name="Old")
        watching = await add_destination(gateway, events=("endpoint.*",))
        await add_destination(gateway, events=("*",), name="does not ask for endpoint.*")
        await add_destination(gateway, events=("endpoint.*",), account_id="other")
        await add_destination(gateway, events=("endpoint.*",), mode="test")
        deliveries = await publish(gateway, "pkg_1", "pkg_2", "pkg_3")
        await carried(gateway, gone)
        target = await destination(gateway, gone)
        states = [(await looked_up(gateway, each))[0] for each in deliveries if each]
        sink.changes = {"delivered": True}
        await carried(gateway, watching)

    assert (target.state, target.state_reason) == ("disabled", "gone")
    told = [event for to, event in sink.delivered if to == watching]
    assert [(event.type, event.subject, event.actor) for event in told] == [
        ("endpoint.disabled", gone, "gateway")
    ]
    assert told[0].data == {"endpoint_id": gone, "name": "Old", "reason": "gone"}
    assert [event.subject for to, event in sink.delivered if to == gone] == ["pkg_1"]
    of_gone = [each for each in states if each is not None and each.destination_id == gone]
    assert [each.state for each in of_gone] == ["pending", "pending", "pending"]


async def test_what_was_taken_and_never_tried_has_its_whole_schedule_still_before_it(
    database_url, tmp_path
):
    """Waiting for a destination that was switched off for days must not use up its tries."""
    clock = SteppingClock()
    sink = Scripted(clock, status=410, gone=True)
    async with opened(database_url, tmp_path, clock=clock, plugins=[sink]) as gateway:
        destination_id = await add_destination(gateway, max_in_flight=1, events=("delivery.*",))
        _, second = await publish(gateway, "pkg_1", "pkg_2")
        await carried(gateway, destination_id)
        clock.step(timedelta(days=2).total_seconds())
        await change_destination(gateway, destination_id, state="active", state_reason=None)
        sink.changes = {}
        await carried(gateway, destination_id)
        delivery, attempts = await looked_up(gateway, second)

    assert (delivery.state, len(attempts)) == ("pending", 1)
    assert delivery.first_attempt_at == clock.now()
    assert 5 <= (delivery.due_at - clock.now()).total_seconds() <= 5.5


async def test_a_destination_that_nobody_serves_keeps_its_deliveries(database_url, tmp_path):
    sink = Recorder()
    async with opened(database_url, tmp_path, plugins=[sink]) as gateway:
        destination_id = await add_destination(gateway, sink="of a plugin that is not enabled")
        [delivery_id] = await publish(gateway)
        await carried(gateway, destination_id)
        delivery, attempts = await looked_up(gateway, delivery_id)

    assert (delivery.state, attempts, sink.delivered) == ("pending", [], [])


class Strict(Recorder):
    """A sink whose destinations must say where to."""

    @hookimpl
    def sinks(self):
        return [Sink("strict", msgspec.defstruct("Where", [("url", str)]), self.deliver)]


async def test_settings_that_no_longer_fit_stop_their_own_destination_only(database_url, tmp_path):
    sink, other = Recorder(), Strict()
    async with opened(database_url, tmp_path, plugins=[sink, other]) as gateway:
        broken = await add_destination(gateway, sink="strict", settings={"uri": "secret"})
        working = await add_destination(gateway)
        [first, second] = await publish(gateway)
        outcomes = await asyncio.gather(
            carried(gateway, broken), carried(gateway, working), return_exceptions=True
        )
        kept = [await looked_up(gateway, each) for each in (first, second)]

    assert [type(each).__name__ for each in outcomes] == ["StorageError", "NoneType"]
    assert broken in outcomes[0].message
    assert "secret" not in str(outcomes[0])
    assert {each.destination_id: each.state for each, _ in kept} == {
        broken: "pending",
        working: "delivered",
    }


async def test_an_ordered_destination_gets_a_subjects_events_one_after_the_other(
    database_url, tmp_path
):
    clock = SteppingClock()
    sink = Scripted(clock)
    async with opened(database_url, tmp_path, clock=clock, plugins=[sink]) as gateway:
        destination_id = await add_destination(gateway, ordered=True)
        await publish(gateway, "pkg_1", event_type="delivery.assigned")
        await publish(gateway, "pkg_1", "pkg_2", event_type="delivery.completed")
        await carried(gateway, destination_id)
        # The first of pkg_1 failed, so its second waits; pkg_2 has nothing to wait for.
        first_round = [(event.subject, event.type) for _, event in sink.delivered]
        sink.changes = {"delivered": True}
        clock.step(6)
        await carried(gateway, destination_id)
        second_round = [(event.subject, event.type) for _, event in sink.delivered[2:]]

    assert sorted(first_round) == [("pkg_1", "delivery.assigned"), ("pkg_2", "delivery.completed")]
    assert second_round.index(("pkg_1", "delivery.assigned")) < second_round.index(
        ("pkg_1", "delivery.completed")
    )
    assert len(second_round) == 3


async def test_two_processes_never_try_one_delivery_at_the_same_time(postgres_url, tmp_path):
    sinks = [Recorder(), Recorder()]
    async with (
        opened(postgres_url, tmp_path, plugins=sinks[:1]) as one,
        opened(postgres_url, tmp_path, plugins=sinks[1:]) as two,
    ):
        destination_id = await add_destination(one, settings={})
        ids = await publish(one, *(f"pkg_{number}" for number in range(500)))
        await asyncio.gather(carried(one, destination_id), carried(two, destination_id))

    taken = [event.subject for sink in sinks for _, event in sink.delivered]
    assert len(taken) == len(set(taken)) == len(ids) == 500


async def test_a_lease_that_ran_out_makes_a_late_failure_count_for_nothing(tmp_path):
    """Somebody else delivered it meanwhile; our timeout must not bring it back."""
    clock = SteppingClock()
    sink = Scripted(clock, delivered=True)
    async with opened(sqlite_url(tmp_path), tmp_path, clock=clock, plugins=[sink]) as gateway:
        destination_id = await add_destination(gateway)
        [delivery_id] = await publish(gateway)
        dispatcher = gateway.dispatcher
        grant = await dispatcher.claim(destination_id, 10)
        [claimed] = grant.deliveries
        assert (grant.more, grant.lease_seconds, grant.settings) == (False, 60.0, NoSettings())
        assert await dispatcher.claim(destination_id, 10) is not None  # nothing is due for us
        clock.step(60)
        await carried(gateway, destination_id)
        failed = Outcome(
            delivery_id=delivery_id, delivered=False, started_at=clock.now(), duration_ms=1
        )
        dispatcher.settle(claimed, failed, urgent=True)
        await dispatcher.drained()
        delivery, attempts = await looked_up(gateway, delivery_id)

    assert delivery.state == "delivered"
    assert [attempt.delivered for attempt in attempts] == [True, False]


async def test_a_claim_of_none_reads_the_destination_and_leases_nothing(tmp_path):
    sink = Scripted(SteppingClock(), delivered=True)
    async with opened(sqlite_url(tmp_path), tmp_path, plugins=[sink]) as gateway:
        destination_id = await add_destination(gateway)
        await publish(gateway)
        nothing = await gateway.dispatcher.claim(destination_id, 0)
        everything = await gateway.dispatcher.claim(destination_id, 10)

    assert nothing.destination.id == destination_id
    assert (list(nothing.deliveries), nothing.more) == ([], True)
    assert len(everything.deliveries) == 1
