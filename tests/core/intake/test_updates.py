"""Delivery updates: the state machine decides, the timeline remembers, each report counts once."""

import asyncio
from datetime import timedelta
from decimal import Decimal

import pytest
from core.gateways import (
    LIVE,
    OTHER,
    TEST,
    TWO_SITES,
    opened,
    package,
    sqlite_url,
    status,
    timeline,
    update,
)

from gateway.clock import SteppingClock
from gateway.errors import Conflict, InvalidInput, NotFound
from gateway.model.account import Caller
from gateway.model.package import Proof


@pytest.fixture
def clock():
    return SteppingClock()


@pytest.fixture
async def gateway(tmp_path, clock):
    async with opened(sqlite_url(tmp_path), tmp_path, clock=clock) as gateway:
        yield gateway


async def types(gateway, package_id):
    return [event.type for event in await timeline(gateway, package_id)]


async def test_a_report_moves_the_package_and_stands_in_its_timeline(database_url, tmp_path):
    clock = SteppingClock()
    async with opened(database_url, tmp_path, clock=clock) as gateway:
        package_id = await package(gateway, rx_number="RX-1", external_order_id="SO-1")
        clock.step(60)
        answer = await gateway.tracking.apply(
            LIVE,
            update(
                package_id,
                "delivery.completed",
                occurred_at=clock.now() - timedelta(seconds=13),
                driver_id="drv_1",
                proof=Proof(photo_url="https://example.com/1.jpg"),
                copay_collected=Decimal("12.5"),
                copay_method="card",
            ),
        )
        created, completed = await timeline(gateway, package_id)
        async with gateway.database.read() as connection:
            kept = await gateway.packages.get(connection, LIVE, package_id)

    assert (answer.status, answer.outcome) == ("completed", "applied")
    assert (answer.package_id, answer.event_id) == (package_id, completed.id)
    assert (kept.status, kept.status_at) == ("completed", completed.occurred_at)
    assert completed.occurred_at == SteppingClock().now() + timedelta(seconds=47)
    assert completed.recorded_at == clock.now()
    assert (completed.type, completed.status_after) == ("delivery.completed", "completed")
    assert (completed.actor, completed.late, completed.subject) == ("key_1", False, package_id)
    assert completed.data == {
        "package_id": package_id,
        "external_patient_id": None,
        "rx_number": "RX-1",
        "external_order_id": "SO-1",
        "driver_id": "drv_1",
        "delivered_at": "2026-01-01T00:00:47Z",
        "proof": {"photo_url": "https://example.com/1.jpg"},
        "copay_collected": Decimal("12.50"),
        "copay_method": "card",
    }
    assert created.type == "package.created"


async def test_an_event_names_the_site_of_its_package(tmp_path):
    async with opened(sqlite_url(tmp_path), tmp_path, toml=TWO_SITES) as gateway:
        package_id = await package(gateway, site="north", external_patient_id="P-1")
        await gateway.tracking.apply(LIVE, update(package_id, "delivery.assigned"))
        event = (await timeline(gateway, package_id))[-1]

    assert event.site == "north"
    assert event.data | {"occurred_at": "…"} == {
        "package_id": package_id,
        "external_patient_id": "P-1",
        "rx_number": None,
        "site": "north",
        "driver_id": None,
        "occurred_at": "…",
    }


async def test_a_package_walks_from_door_to_door(gateway, clock):
    package_id = await package(gateway)
    walk = [
        "package.ready",
        "delivery.assigned",
        "delivery.unassigned",
        "delivery.assigned",
        "delivery.picked_up",
        "delivery.out_for_delivery",
        "delivery.arrived",
        "delivery.attempted",
        "delivery.rescheduled",
        "delivery.out_for_delivery",
        "delivery.completed",
    ]
    for event in walk:
        clock.step(60)
        answer = await gateway.tracking.apply(LIVE, update(package_id, event))
        assert (answer.outcome, answer.status) == ("applied", event.partition(".")[2])

    assert await types(gateway, package_id) == ["package.created", *walk]


async def test_a_driver_may_report_only_the_end(gateway):
    package_id = await package(gateway)
    answer = await gateway.tracking.apply(LIVE, update(package_id, "completed"))

    assert (answer.status, answer.outcome) == ("completed", "applied")
    assert await types(gateway, package_id) == ["package.created", "delivery.completed"]


async def test_going_back_is_refused_and_leaves_no_trace(gateway):
    package_id = await package(gateway)
    await gateway.tracking.apply(LIVE, update(package_id, "delivery.picked_up"))

    with pytest.raises(Conflict) as raised:
        await gateway.tracking.apply(LIVE, update(package_id, "delivery.assigned"))
    assert raised.value.message == "The package is picked_up; delivery.assigned can't follow."
    assert await status(gateway, package_id) == "picked_up"
    assert await types(gateway, package_id) == ["package.created", "delivery.picked_up"]


@pytest.mark.parametrize("end", ["completed", "failed", "returned", "cancelled"])
async def test_nothing_follows_the_end(gateway, end):
    package_id = await package(gateway)
    await gateway.tracking.apply(LIVE, update(package_id, end))

    with pytest.raises(Conflict):
        await gateway.tracking.apply(LIVE, update(package_id, "delivery.out_for_delivery"))
    assert await status(gateway, package_id) == end


async def test_a_cancellation_before_pick_up_ends_the_package(gateway):
    package_id = await package(gateway)
    await gateway.tracking.apply(LIVE, update(package_id, "delivery.assigned"))
    answer = await gateway.tracking.apply(LIVE, update(package_id, "package.cancelled"))

    assert answer.status == "cancelled"
    assert (await types(gateway, package_id))[-1] == "package.cancelled"


@pytest.mark.parametrize("reached", ["picked_up", "out_for_delivery", "arrived", "attempted"])
async def test_a_cancellation_after_pick_up_sends_the_package_back(gateway, reached):
    package_id = await package(gateway)
    await gateway.tracking.apply(LIVE, update(package_id, reached))
    answer = await gateway.tracking.apply(LIVE, update(package_id, "package.cancelled"))

    assert (answer.status, answer.outcome) == ("returning", "applied")
    assert (await types(gateway, package_id))[-1] == "delivery.returning"


async def test_late_news_is_remembered_and_changes_nothing(gateway, clock):
    package_id = await package(gateway)
    clock.step(600)
    await gateway.tracking.apply(LIVE, update(package_id, "delivery.completed"))
    completed_at = clock.now()
    clock.step(60)
    answer = await gateway.tracking.apply(
        LIVE,
        update(package_id, "delivery.arrived", occurred_at=completed_at - timedelta(seconds=1)),
    )
    events = await timeline(gateway, package_id)

    assert (answer.outcome, answer.status) == ("late", "completed")
    assert await status(gateway, package_id) == "completed"
    assert [(event.type, event.late, event.status_after) for event in events] == [
        ("package.created", False, "created"),
        ("delivery.completed", False, "completed"),
        ("delivery.arrived", True, "completed"),
    ]
    assert events[-1].occurred_at == completed_at - timedelta(seconds=1)


async def test_news_of_the_same_second_is_not_late(gateway, clock):
    package_id = await package(gateway)
    clock.step(10.9)
    await gateway.tracking.apply(LIVE, update(package_id, "delivery.assigned"))
    answer = await gateway.tracking.apply(
        LIVE,
        update(
            package_id,
            "delivery.picked_up",
            occurred_at=SteppingClock().now() + timedelta(seconds=10),
        ),
    )

    assert (answer.outcome, answer.status) == ("applied", "picked_up")


async def test_news_is_not_late_for_a_state_of_a_clock_that_was_ahead(gateway, clock):
    package_id = await package(gateway)
    await gateway.tracking.apply(LIVE, update(package_id, "delivery.picked_up"))

    clock.step(-3600)
    answer = await gateway.tracking.apply(LIVE, update(package_id, "delivery.completed"))
    clock.step(10)
    late = clock.now() - timedelta(seconds=20)
    offline = update(package_id, "delivery.arrived", occurred_at=late)

    assert (answer.outcome, answer.status) == ("applied", "completed")
    assert (await gateway.tracking.apply(LIVE, offline)).outcome == "late"


async def test_the_first_news_of_a_package_is_never_late(gateway, clock):
    """Orders may be handed in after the driver left: created is when we heard of it."""
    package_id = await package(gateway)
    answer = await gateway.tracking.apply(
        LIVE,
        update(package_id, "delivery.picked_up", occurred_at=clock.now() - timedelta(days=2)),
    )

    assert (answer.outcome, answer.status) == ("applied", "picked_up")


async def test_what_a_fast_clock_reports_happened_now(gateway, clock):
    package_id = await package(gateway)
    await gateway.tracking.apply(
        LIVE, update(package_id, "delivery.arrived", occurred_at=clock.now() + timedelta(hours=3))
    )
    event = (await timeline(gateway, package_id))[-1]
    clock.step(1)
    answer = await gateway.tracking.apply(LIVE, update(package_id, "delivery.completed"))

    assert event.occurred_at == clock.now() - timedelta(seconds=1)
    assert answer.outcome == "applied"


async def test_a_faulty_report_is_refused_with_every_fault(gateway):
    package_id = await package(gateway)

    with pytest.raises(InvalidInput) as raised:
        await gateway.tracking.apply(
            LIVE, update(package_id, "delivery.teleported", copay_method="beads")
        )
    assert [each.field for each in raised.value.details] == ["event", "copay_method"]
    assert await types(gateway, package_id) == ["package.created"]


@pytest.mark.parametrize(
    "caller",
    [OTHER, TEST, Caller("default", "live", "key_9", frozenset({"north"}))],
    ids=["another account", "another mode", "another site"],
)
async def test_somebody_elses_package_is_not_there(tmp_path, caller):
    async with opened(sqlite_url(tmp_path), tmp_path, toml=TWO_SITES) as gateway:
        package_id = await package(gateway, site="main")
        with pytest.raises(NotFound) as foreign:
            await gateway.tracking.apply(caller, update(package_id, "delivery.completed"))
        with pytest.raises(NotFound) as unknown:
            await gateway.tracking.apply(LIVE, update("pkg_none", "delivery.completed"))

        assert foreign.value.message == unknown.value.message
        assert await status(gateway, package_id) == "created"
        assert len(await timeline(gateway, package_id)) == 1


async def test_reports_of_one_package_in_one_batch_are_judged_in_their_order(gateway):
    package_id = await package(gateway)
    answers = await asyncio.gather(
        gateway.tracking.apply(LIVE, update(package_id, "delivery.picked_up")),
        gateway.tracking.apply(LIVE, update(package_id, "delivery.assigned")),
        gateway.tracking.apply(LIVE, update(package_id, "delivery.completed")),
        gateway.tracking.apply(LIVE, update(package_id, "delivery.arrived")),
        return_exceptions=True,
    )

    assert [getattr(each, "status", type(each)) for each in answers] == [
        "picked_up",
        Conflict,
        "completed",
        Conflict,
    ]
    assert await status(gateway, package_id) == "completed"
    assert await types(gateway, package_id) == [
        "package.created",
        "delivery.picked_up",
        "delivery.completed",
    ]


async def test_one_refused_report_fails_none_of_its_neighbours(gateway):
    first, second = await package(gateway), await package(gateway)
    answers = await asyncio.gather(
        gateway.tracking.apply(LIVE, update(first, "delivery.completed")),
        gateway.tracking.apply(LIVE, update("pkg_none", "delivery.completed")),
        gateway.tracking.apply(LIVE, update(second, "delivery.completed")),
        return_exceptions=True,
    )

    assert isinstance(answers[1], NotFound)
    assert [await status(gateway, each) for each in (first, second)] == ["completed", "completed"]
