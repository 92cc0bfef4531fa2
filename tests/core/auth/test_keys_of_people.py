"""Keys that people made: they go with the person, from the next request on."""

import pytest
from core.auth.door import COMMAND_LINE
from sqlalchemy import update

from gateway.errors import Conflict, NotAuthenticated
from gateway.model.account import Caller
from gateway.storage.schema import api_keys

SAM = "sam@lakeside.example"


@pytest.fixture
async def sam(door):
    await door.owner()
    return (await door.invited(SAM, "manager")).person.id


def person(door, person_id, **more):
    permissions = door.gateway.permissions.of_role("manager")
    return Caller("default", "live", person_id, None, permissions, kind="person", **more)


async def issue(door, maker, **more):
    wanted = {"account_id": "default", "actor": maker.actor, "maker": maker} | more
    return await door.gateway.keys.issue("till", **wanted)


async def opens(door, issued):
    try:
        await door.gateway.keys.authenticate(issued.key)
    except NotAuthenticated:
        return False
    return True


async def test_a_key_stops_with_the_person_who_made_it_and_comes_back_with_them(door, sam):
    issued = await issue(door, person(door, sam))
    own = await door.gateway.keys.issue("ours", account_id="default", actor="cli:0")
    assert await opens(door, issued)

    await door.identity.people.disable(COMMAND_LINE, sam)

    assert (await opens(door, issued), await opens(door, own)) == (False, True)
    with pytest.raises(NotAuthenticated, match="gateway keys keep"):
        await door.gateway.keys.authenticate(issued.key)
    [key] = await door.gateway.keys.made_by(sam)
    assert (key.id, door.gateway.keys.state(key)) == (issued.id, "maker_left")
    await door.identity.people.enable(COMMAND_LINE, sam)
    assert await opens(door, issued)


async def test_a_key_stops_when_its_maker_is_no_member_any_more(door, sam):
    issued = await issue(door, person(door, sam))
    async with door.gateway.database.begin() as connection:
        await door.identity.parts.people.remove_membership(connection, "default", sam)

    assert not await opens(door, issued)


async def test_a_kept_key_goes_on_without_its_maker(door, sam):
    issued = await issue(door, person(door, sam))
    await door.identity.people.disable(COMMAND_LINE, sam)

    kept = await door.gateway.keys.keep(issued.id, actor="cli:0")

    assert kept.made_by is None
    assert await opens(door, issued)
    with pytest.raises(Conflict, match="only the key of a person"):
        await door.gateway.keys.keep(issued.id, actor="cli:0")


async def test_a_key_that_a_persons_key_made_is_that_persons_too(door, sam):
    maker = await door.gateway.keys.issue(
        "maker", account_id="default", actor=sam, maker=person(door, sam), scopes=["orders"]
    )
    caller = await door.gateway.keys.authenticate(maker.key)
    issued = await issue(door, caller)

    await door.identity.people.disable(COMMAND_LINE, sam)

    assert not await opens(door, issued)


@pytest.mark.parametrize("change", [{"made_by": None}, {"party": None}, {"party": "Us"}], ids=str)
async def test_whose_a_key_is_cant_be_changed_by_sql(door, sam, change):
    issued = await issue(door, person(door, sam), party="Lakeside Couriers")
    assert await opens(door, issued)
    async with door.gateway.database.begin() as connection:
        await connection.execute(
            update(api_keys).where(api_keys.c.id == issued.id).values(**change)
        )

    assert not await opens(door, issued)


async def test_what_the_key_of_a_party_makes_is_that_partys(door, sam):
    maker = await issue(door, person(door, sam, party="Lakeside Couriers"), party="Us")

    assert (await door.gateway.keys.authenticate(maker.key)).party == "Lakeside Couriers"
