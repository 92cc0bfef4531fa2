"""Destinations: who wants events, how well it goes, and settings nobody can read."""

import msgspec
from core.storage.rows import (
    AT_MAIN,
    LIVE,
    NOW,
    OTHER,
    TEST,
    at,
    destination,
    ids_of,
)
from sqlalchemy import select

from gateway.model.account import Caller
from gateway.model.circuit_breaker import Breaker, EndpointHealth
from gateway.storage.schema import destinations
from gateway.storage.stores import destinations as destination_store
from gateway.storage.stores.destinations import Subscription


async def test_a_destination_comes_back_as_it_was_added(connection, kept):
    full = destination(
        AT_MAIN,
        events=("delivery.*", "rx.completed"),
        max_in_flight=4,
        max_per_second=2.5,
        ordered=True,
        state="paused",
        state_reason="by hand",
    )
    bare = destination(LIVE)

    for each in (full, bare):
        await kept.destinations.add(connection, each)

    assert await kept.destinations.get(connection, LIVE, full.id) == full
    assert await kept.destinations.get(connection, LIVE, bare.id, for_update=True) == bare


async def test_settings_are_sealed(connection, kept):
    await kept.destinations.add(connection, destination())

    stored = (await connection.execute(select(destinations.c.settings))).scalar_one()

    assert b"whsec_1" not in bytes(stored)
    assert b"example.com" not in bytes(stored)


async def test_no_other_caller_gets_a_destination(connection, kept):
    mine = destination(AT_MAIN)
    await kept.destinations.add(connection, mine)

    for caller in (TEST, OTHER, Caller("acme", "live", "key", frozenset({"north"}))):
        assert await kept.destinations.get(connection, caller, mine.id) is None
        assert await kept.destinations.list(connection, caller) == []
    assert await kept.destinations.get(connection, AT_MAIN, mine.id) == mine


async def test_a_caller_bound_to_a_site_does_not_see_one_for_all_sites(connection, kept):
    everywhere = destination(LIVE)
    await kept.destinations.add(connection, everywhere)

    assert await kept.destinations.get(connection, AT_MAIN, everywhere.id) is None


async def test_the_list_is_oldest_first_and_can_be_of_one_sink(connection, kept):
    later, first = destination(moment=at(1)), destination()
    board = destination(moment=at(2), sink="board")
    for each in (later, first, board, destination(TEST)):
        await kept.destinations.add(connection, each)

    assert await kept.destinations.list(connection, LIVE) == [first, later, board]
    assert await kept.destinations.list(connection, LIVE, "board") == [board]
    assert await kept.destinations.list(connection, LIVE, "fax") == []


async def test_a_change_writes_what_an_account_may_change_and_no_more(connection, kept):
    before = destination(LIVE)
    await kept.destinations.add(connection, before)
    await destination_store.succeeded(connection, [before.id], at(5))
    changed = msgspec.structs.replace(
        before,
        site="north",
        name="New name",
        events=("rx.*",),
        settings={"url": "https://new.example.com", "secret": "whsec_2"},
        state="paused",
        state_reason="holiday",
        max_in_flight=1,
        max_per_second=0.5,
        ordered=True,
        failing_since=at(7),
        disabled_at=at(8),
        breaker=Breaker(
            failures=20, openings=2, opened_at=at(9), held_until=at(10), warned_at=at(11)
        ),
    )

    await kept.destinations.change(
        connection, msgspec.structs.replace(changed, sink="fax", last_success_at=None)
    )

    after = await kept.destinations.get(connection, LIVE, before.id)
    assert after == msgspec.structs.replace(changed, last_success_at=at(5))


async def test_a_change_can_clear_that_it_was_failing(connection, kept):
    before = destination(LIVE)
    await kept.destinations.add(connection, before)
    failing = EndpointHealth(Breaker(failures=1), at(1))
    await destination_store.write(connection, {before.id: failing})

    await kept.destinations.change(connection, before)

    assert await kept.destinations.get(connection, LIVE, before.id) == before


async def test_a_removed_destination_is_gone_and_its_secret_with_it(connection, kept):
    gone, stays = destination(LIVE), destination(LIVE, moment=at(1))
    for each in (gone, stays):
        await kept.destinations.add(connection, each)

    await kept.destinations.remove(connection, gone.id, NOW)

    assert await kept.destinations.get(connection, LIVE, gone.id) is None
    assert await kept.destinations.for_dispatch(connection, [gone.id], NOW) == {}
    assert await kept.destinations.list(connection, LIVE) == [stays]
    assert ids_of(await kept.destinations.subscriptions(connection, {"acme"})) == [stays.id]
    row = (await connection.execute(select(destinations).where(destinations.c.id == gone.id))).one()
    assert len(row.settings) == 43 + len(b"{}")
    assert (row.state, row.state_reason, row.name) == ("disabled", "removed", "Dispatch board")


async def test_only_an_active_destination_takes_deliveries(connection, kept):
    active = destination(LIVE)
    paused = destination(LIVE, state="paused")
    disabled = destination(LIVE, state="disabled")
    for each in (active, paused, disabled):
        await kept.destinations.add(connection, each)

    asked = [active.id, paused.id, disabled.id, "dst_nowhere"]
    assert await kept.destinations.for_dispatch(connection, asked, NOW) == {active.id: active}


async def test_what_was_missed_is_sent_again_to_any_but_the_disabled_and_removed(connection, kept):
    active, paused, disabled, removed = (
        destination(LIVE, state=state) for state in ("active", "paused", "disabled", "active")
    )
    for each in (active, paused, disabled, removed):
        await kept.destinations.add(connection, each)
    await kept.destinations.remove(connection, removed.id, NOW)

    assert await kept.destinations.for_recovery(connection, active.id) == active
    assert await kept.destinations.for_recovery(connection, paused.id) == paused
    assert await kept.destinations.for_recovery(connection, disabled.id) is None
    assert await kept.destinations.for_recovery(connection, removed.id) is None


async def test_subscriptions_are_those_of_the_accounts_but_for_the_disabled(connection, kept):
    active = destination(AT_MAIN, events=("delivery.*", "rx.completed"), ordered=True)
    paused = destination(TEST, state="paused")
    theirs = destination(OTHER)
    for each in (active, paused, theirs, destination(LIVE, state="disabled")):
        await kept.destinations.add(connection, each)

    found = await kept.destinations.subscriptions(connection, {"acme", "nobody"})

    assert {each._replace(row=None) for each in found} == {
        Subscription(
            active.id,
            "acme",
            "live",
            "main",
            ("delivery.*", "rx.completed"),
            ordered=True,
            row=None,
        ),
        Subscription(paused.id, "acme", "test", None, ("*",), ordered=False, row=None),
    }


async def test_a_destination_is_disabled_once(connection, kept):
    made = destination(LIVE)
    await kept.destinations.add(connection, made)

    stopped = await kept.destinations.disable(connection, made.id, "gone", at(3))

    assert stopped == msgspec.structs.replace(
        made, state="disabled", state_reason="gone", disabled_at=at(3)
    )
    assert await kept.destinations.disable(connection, made.id, "again", at(4)) is None
    assert await kept.destinations.disable(connection, "dst_nowhere", "gone", NOW) is None
    assert await kept.destinations.get(connection, LIVE, made.id) == stopped


async def test_a_row_is_read_once_until_it_changes(connection, kept):
    added = destination(LIVE)
    await kept.destinations.add(connection, added)

    async def read():
        row = (await connection.execute(select(destinations))).one()
        return kept.destinations.read(row)

    before = await read()
    assert await read() is before

    await destination_store.succeeded(connection, [added.id], at(5))
    after = await read()
    assert (before.last_success_at, after.last_success_at) == (None, at(5))
