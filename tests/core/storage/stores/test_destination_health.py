"""How destinations are: kept, locked, and asked for in the claim."""

from core.storage.rows import LIVE, NOW, at, destination

from gateway.model.circuit_breaker import HEALTHY, Breaker, EndpointHealth
from gateway.storage.stores import destinations as destination_store
from gateway.storage.stores.destinations import conditions, hold, succeeded, write

POORLY = EndpointHealth(
    Breaker(failures=21, openings=2, opened_at=at(1), held_until=at(61), warned_at=at(2)), NOW
)


async def added(connection, kept, **changes):
    made = destination(LIVE, **changes)
    await kept.destinations.add(connection, made)
    return made.id


async def test_a_new_destination_is_well(connection, kept):
    made = await added(connection, kept)
    assert await conditions(connection, [made, "dst_nowhere"]) == {made: HEALTHY}


async def test_what_is_written_is_read_back_and_touches_no_other(connection, kept):
    poorly, well = await added(connection, kept), await added(connection, kept)
    await write(connection, {poorly: POORLY})
    assert await conditions(connection, [poorly, well]) == {poorly: POORLY, well: HEALTHY}
    shown = await kept.destinations.get(connection, LIVE, poorly)
    assert EndpointHealth(shown.breaker, shown.failing_since) == POORLY


async def test_a_success_is_recorded_and_returns_the_health_before(connection, kept):
    poorly, well = await added(connection, kept), await added(connection, kept)
    await write(connection, {poorly: POORLY})
    before = await succeeded(connection, [poorly, well], at(5))
    assert before == {poorly: POORLY, well: HEALTHY}
    shown = await kept.destinations.get(connection, LIVE, poorly)
    assert shown.last_success_at == at(5)
    assert shown.failing_since == NOW  # forgetting it is the caller's to write


async def test_no_ids_are_fine(connection):
    assert await succeeded(connection, [], NOW) == {}
    assert await conditions(connection, []) == {}
    await write(connection, {})


async def test_a_destination_held_back_takes_nothing_until_the_pause_ends(connection, kept):
    held = await added(connection, kept)
    await hold(connection, held, at(30))

    async def takes(moment):
        return held in await kept.destinations.for_dispatch(connection, [held], moment)

    assert [await takes(at(s)) for s in (0, 29.999, 30, 31)] == [False, False, True, True]


async def test_the_module_names_every_column_of_a_condition():
    columns = destination_store.health_values(POORLY)
    assert len(columns) == len(Breaker.__struct_fields__) + 1
    assert None not in columns.values()
