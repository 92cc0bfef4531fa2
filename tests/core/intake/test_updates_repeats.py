"""The same report twice, and reports from several processes at once."""

import asyncio

import pytest
from core.gateways import (
    LIVE,
    OTHER,
    opened,
    package,
    sqlite_url,
    status,
    timeline,
    update,
)
from sqlalchemy import text
from waiting import PATIENCE_SECONDS

from gateway.clock import SteppingClock
from gateway.errors import Conflict, NotFound


@pytest.fixture
async def gateway(tmp_path):
    async with opened(sqlite_url(tmp_path), tmp_path) as gateway:
        yield gateway


async def test_the_same_event_ref_gets_the_same_answer_and_no_second_event(database_url, tmp_path):
    async with opened(database_url, tmp_path) as gateway:
        package_id = await package(gateway)
        first = await gateway.tracking.apply(
            LIVE, update(package_id, "delivery.picked_up", event_ref="r-1")
        )
        await gateway.tracking.apply(LIVE, update(package_id, "delivery.completed"))
        again = await gateway.tracking.apply(
            LIVE, update(package_id, "delivery.picked_up", event_ref="r-1")
        )
        events = await timeline(gateway, package_id)

    assert (first.outcome, again.outcome) == ("applied", "duplicate")
    assert (again.event_id, again.status) == (first.event_id, "picked_up")
    assert [event.type for event in events] == [
        "package.created",
        "delivery.picked_up",
        "delivery.completed",
    ]


async def test_the_same_event_ref_inside_one_batch_counts_once(gateway):
    package_id = await package(gateway)
    answers = await asyncio.gather(
        *(
            gateway.tracking.apply(LIVE, update(package_id, "delivery.arrived", event_ref="r-1"))
            for _ in range(5)
        )
    )

    assert [each.outcome for each in answers] == ["applied"] + ["duplicate"] * 4
    assert len({each.event_id for each in answers}) == 1
    assert {each.status for each in answers} == {"arrived"}
    assert len(await timeline(gateway, package_id)) == 2


async def test_late_news_with_an_event_ref_is_remembered_once(tmp_path):
    clock = SteppingClock()
    async with opened(sqlite_url(tmp_path), tmp_path, clock=clock) as gateway:
        package_id = await package(gateway)
        before = clock.now()
        clock.step(60)
        await gateway.tracking.apply(LIVE, update(package_id, "delivery.completed"))
        late = update(package_id, "delivery.arrived", occurred_at=before, event_ref="r-1")
        first = await gateway.tracking.apply(LIVE, late)
        again = await gateway.tracking.apply(LIVE, late)
        events = await timeline(gateway, package_id)

    assert (first.outcome, again.outcome) == ("late", "duplicate")
    assert (again.event_id, again.status) == (first.event_id, "completed")
    assert len(events) == 3


async def test_an_event_ref_is_a_packages_own(gateway):
    one, two = await package(gateway), await package(gateway)
    answers = [
        await gateway.tracking.apply(LIVE, update(each, "delivery.completed", event_ref="r-1"))
        for each in (one, two)
    ]

    assert [each.outcome for each in answers] == ["applied", "applied"]


async def test_an_event_ref_opens_no_door_to_somebody_elses_package(gateway):
    package_id = await package(gateway)
    await gateway.tracking.apply(LIVE, update(package_id, "delivery.completed", event_ref="r-1"))

    with pytest.raises(NotFound):
        await gateway.tracking.apply(
            OTHER, update(package_id, "delivery.completed", event_ref="r-1")
        )


async def test_a_report_that_was_refused_may_come_again_when_it_fits(gateway):
    package_id = await package(gateway)
    await gateway.tracking.apply(LIVE, update(package_id, "delivery.rescheduled"))
    await gateway.tracking.apply(LIVE, update(package_id, "delivery.returning"))
    report = update(package_id, "delivery.picked_up", event_ref="r-1")
    with pytest.raises(Conflict):
        await gateway.tracking.apply(LIVE, report)
    returned = update(package_id, "delivery.returned", event_ref="r-1")

    assert (await gateway.tracking.apply(LIVE, returned)).outcome == "applied"


@pytest.mark.slow
async def test_two_processes_judge_one_package_one_after_the_other(postgres_url, tmp_path):
    async with (
        opened(postgres_url, tmp_path) as one,
        opened(postgres_url, tmp_path) as two,
    ):
        for _ in range(20):
            package_id = await package(one)
            answers = await asyncio.gather(
                one.tracking.apply(LIVE, update(package_id, "delivery.completed")),
                two.tracking.apply(LIVE, update(package_id, "delivery.failed")),
                return_exceptions=True,
            )
            [refused] = [each for each in answers if isinstance(each, Exception)]
            [answer] = [each for each in answers if not isinstance(each, Exception)]
            assert isinstance(refused, Conflict)
            assert await status(two, package_id) == answer.status
            assert [event.status_after for event in await timeline(one, package_id)] == [
                "created",
                answer.status,
            ]


@pytest.mark.slow
async def test_two_processes_count_one_event_ref_once(postgres_url, tmp_path):
    async with (
        opened(postgres_url, tmp_path) as one,
        opened(postgres_url, tmp_path) as two,
    ):
        for _ in range(20):
            package_id = await package(one)
            report = update(package_id, "delivery.arrived", event_ref="r-1")
            answers = await asyncio.gather(
                one.tracking.apply(LIVE, report), two.tracking.apply(LIVE, report)
            )
            assert sorted(each.outcome for each in answers) == ["applied", "duplicate"]
            assert len({each.event_id for each in answers}) == 1
            assert len(await timeline(one, package_id)) == 2


@pytest.mark.slow
async def test_two_processes_that_report_the_same_packages_do_not_lock_each_other_out(
    postgres_url, tmp_path
):
    async with (
        opened(postgres_url, tmp_path) as one,
        opened(postgres_url, tmp_path) as two,
    ):
        ids = [await package(one) for _ in range(40)]
        answers = await asyncio.gather(
            *(one.tracking.apply(LIVE, update(each, "delivery.picked_up")) for each in ids),
            *(two.tracking.apply(LIVE, update(each, "delivery.arrived")) for each in ids[::-1]),
            return_exceptions=True,
        )

        assert {type(each).__name__ for each in answers} <= {"UpdateResult", "Conflict"}
        assert {await status(one, each) for each in ids} == {"arrived"}


async def test_a_report_that_waited_for_its_package_is_not_late_for_that(postgres_url, tmp_path):
    """Another process holds the package meanwhile and moves it on: ours comes after that."""
    clock = SteppingClock()
    async with opened(postgres_url, tmp_path, clock=clock) as gateway:
        package_id = await package(gateway)
        clock.step(60)
        async with gateway.database.begin() as other:
            await other.execute(
                text("SELECT 1 FROM packages WHERE id = :id FOR UPDATE"), {"id": package_id}
            )
            waiting = asyncio.create_task(
                gateway.tracking.apply(LIVE, update(package_id, "delivery.completed"))
            )
            await waits_for_a_lock(gateway)
            clock.step(2)
            await other.execute(
                text("UPDATE packages SET status = 'arrived', status_at_ms = :at WHERE id = :id"),
                {"id": package_id, "at": int(clock.now().timestamp() * 1000)},
            )
        answer = await waiting

        assert (answer.outcome, answer.status) == ("applied", "completed")


async def waits_for_a_lock(gateway):
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            async with gateway.database.read() as connection:
                if (await connection.execute(waiting)).scalar():
                    return
            await asyncio.sleep(0.005)
