"""Events are recorded and fanned out: whoever wants one gets one, and nobody else."""

import pytest
from core.gateways import (
    LIVE,
    OTHER,
    TEST,
    TWO_SITES,
    Recorder,
    add_destination,
    change_destination,
    deliveries,
    draft,
    opened,
    order,
    package,
    sqlite_url,
    submission,
    update,
)
from sqlalchemy.exc import IntegrityError

from gateway.clock import SteppingClock
from gateway.hookspecs import hookimpl


@pytest.fixture
async def gateway(tmp_path):
    async with opened(sqlite_url(tmp_path), tmp_path, toml=TWO_SITES) as gateway:
        yield gateway


@pytest.mark.parametrize(
    ("patterns", "wanted"),
    [
        (("*",), ["package.created", "delivery.completed"]),
        (("delivery.*",), ["delivery.completed"]),
        (("package.created",), ["package.created"]),
        (("rx.*", "package.*"), ["package.created"]),
        (("endpoint.*",), ["endpoint.disabled"]),
        (("webhook.test",), ["webhook.test"]),
        (
            ("*", "endpoint.disabled"),
            ["package.created", "delivery.completed", "endpoint.disabled"],
        ),
        (("deliver.*",), []),
    ],
)
async def test_a_destination_gets_what_its_patterns_ask_for(gateway, patterns, wanted):
    destination_id = await add_destination(gateway, events=patterns)
    types = ["package.created", "delivery.completed", "endpoint.disabled", "webhook.test"]
    published = await gateway.publisher.publish([draft(gateway, each) for each in types])

    assert [each[1] for each in await deliveries(gateway)] == wanted
    assert len(published.delivery_ids) == len(wanted)
    assert published.destination_ids == ({destination_id} if wanted else set())
    assert [event.type for event in published.events] == types


@pytest.mark.parametrize(
    ("changes", "is_wanted"),
    [
        ({}, True),
        ({"account_id": "other"}, False),
        ({"mode": "test"}, False),
        ({"site": "main"}, True),
        ({"site": "north"}, False),
        ({"state": "paused"}, True),
        ({"state": "disabled"}, False),
    ],
)
async def test_account_mode_site_and_state_decide_who_gets_an_event(gateway, changes, is_wanted):
    await add_destination(gateway, **changes)
    published = await gateway.publisher.publish([draft(gateway, site="main")])

    assert bool(published.delivery_ids) == is_wanted


async def test_an_event_without_a_site_goes_to_those_that_listen_to_every_site(gateway):
    everywhere = await add_destination(gateway)
    await add_destination(gateway, site="main")
    published = await gateway.publisher.publish([draft(gateway, site=None)])

    assert published.destination_ids == {everywhere}


async def test_a_removed_destination_gets_nothing(gateway):
    destination_id = await add_destination(gateway)
    async with gateway.database.begin() as connection:
        await gateway.destinations.remove(connection, destination_id, gateway.clock.now())
    published = await gateway.publisher.publish([draft(gateway)])

    assert list(published.delivery_ids) == []


async def test_events_of_several_accounts_and_modes_in_one_batch_keep_apart(database_url, tmp_path):
    async with opened(database_url, tmp_path) as gateway:
        live = await add_destination(gateway)
        test = await add_destination(gateway, mode="test")
        other = await add_destination(gateway, account_id="other")
        published = await gateway.publisher.publish(
            [
                draft(gateway, subject="live"),
                draft(gateway, subject="test", mode="test"),
                draft(gateway, subject="other", account_id="other"),
                draft(gateway, subject="live again"),
            ]
        )

        assert published.destination_ids == {live, test, other}
        assert [each[::2] for each in await deliveries(gateway)] == [
            (live, "live"),
            (live, "live again"),
        ]
        assert [each[::2] for each in await deliveries(gateway, TEST)] == [(test, "test")]
        assert [each[::2] for each in await deliveries(gateway, OTHER)] == [(other, "other")]


async def test_an_event_for_one_destination_goes_nowhere_else(gateway):
    wanted = await add_destination(gateway, events=("rx.*",))
    await add_destination(gateway, events=("*", "webhook.test"))
    published = await gateway.publisher.publish(
        [draft(gateway, "webhook.test", only_destination=wanted)]
    )

    assert published.destination_ids == {wanted}


@pytest.mark.parametrize("changes", [{"account_id": "other"}, {"state": "disabled"}])
async def test_an_event_for_one_destination_never_crosses_accounts_nor_wakes_a_disabled_one(
    gateway, changes
):
    theirs = await add_destination(gateway, **changes)
    # Somebody of that account is in the same batch, so their destinations are known.
    published = await gateway.publisher.publish(
        [
            draft(gateway, "webhook.test", only_destination=theirs),
            draft(gateway, "endpoint.disabled", account_id="other"),
        ]
    )

    assert list(published.delivery_ids) == []
    assert len(published.events) == 2


async def test_late_news_goes_to_nobody(tmp_path):
    clock = SteppingClock()
    async with opened(sqlite_url(tmp_path), tmp_path, clock=clock) as gateway:
        await add_destination(gateway, events=("delivery.*",))
        package_id = await package(gateway)
        before = clock.now()
        clock.step(60)
        await gateway.tracking.apply(LIVE, update(package_id, "delivery.completed"))
        await gateway.tracking.apply(
            LIVE, update(package_id, "delivery.arrived", occurred_at=before)
        )

        assert [each[1] for each in await deliveries(gateway)] == ["delivery.completed"]


class Watcher:
    """A plugin that counts what it is told, and looks whether it can be read by then."""

    def __init__(self):
        self.told = []

    @hookimpl
    def events_recorded(self, events):
        self.told.append([event.type for event in events])


async def test_plugins_and_engine_are_told_after_the_commit_and_never_without_one(tmp_path):
    watcher = Watcher()
    async with opened(sqlite_url(tmp_path), tmp_path, plugins=[watcher]) as gateway:
        destination_id = await add_destination(gateway)
        woken = []
        gateway.publisher._wake = woken.append

        async with gateway.database.begin() as connection:
            published = await gateway.publisher.record(
                connection, [draft(gateway)], gateway.clock.now()
            )
            assert (watcher.told, woken) == ([], [])
        assert (watcher.told, woken) == ([], [])  # recording alone announces nothing
        gateway.publisher.announce(published)
        assert watcher.told == [["delivery.completed"]]
        assert woken == [{destination_id}]

        twice = draft(gateway)
        with pytest.raises(IntegrityError):
            await gateway.publisher.publish([draft(gateway), twice, twice])
        assert len(watcher.told) == len(woken) == 1
        assert len(await deliveries(gateway)) == 1


async def test_where_nobody_listens_plugins_are_told_and_nobody_is_woken(tmp_path):
    watcher = Watcher()
    async with opened(sqlite_url(tmp_path), tmp_path, plugins=[watcher]) as gateway:
        gateway.publisher._wake = pytest.fail
        await gateway.intake.accept(submission(order()))
        nothing = await gateway.publisher.publish([])

        assert watcher.told == [["package.created"]]
        assert nothing == ([], (), frozenset(), ())


async def test_a_paused_destination_keeps_its_deliveries_for_later(tmp_path):
    sink = Recorder()
    async with opened(sqlite_url(tmp_path), tmp_path, plugins=[sink]) as gateway:
        destination_id = await add_destination(gateway, state="paused")
        await gateway.publisher.publish([draft(gateway)])
        assert await gateway.dispatcher.destinations_with_work() == []
        await change_destination(gateway, destination_id, state="active")
        assert await gateway.dispatcher.destinations_with_work() == [destination_id]
