"""Managing people: no one grants what they lack, and an account keeps an owner."""

import pytest
from core.auth.door import COMMAND_LINE
from sqlalchemy import Engine, event

from gateway.auth.people import Maker
from gateway.auth.roles import Permissions
from gateway.errors import Conflict, InvalidInput, NotAllowed, NotFound

MANAGER = Maker("per_m", "default", Permissions().of_role("manager"), None, is_owner=False)
OF_MAIN = MANAGER._replace(sites=frozenset({"main"}))
EMAIL = "sam@lakeside.example"


async def test_a_manager_makes_no_owner(door):
    with pytest.raises(NotAllowed, match="Only an owner"):
        await door.identity.people.invite(MANAGER, EMAIL, "owner", None)


async def test_a_maker_gives_only_permissions_that_they_have(door):
    of_care = MANAGER._replace(permissions=Permissions().of_role("pharmacist") | {"people.manage"})

    with pytest.raises(NotAllowed, match=r"webhooks\.read"):
        await door.identity.people.invite(of_care, EMAIL, "integrator", None)
    assert await door.identity.people.invite(of_care, EMAIL, "dispatcher", None)


@pytest.mark.parametrize("sites", [None, ["north"], ["main", "north"]])
async def test_a_maker_of_one_site_gives_that_site_only(door, sites):
    with pytest.raises(NotAllowed, match="sites that you have"):
        await door.identity.people.invite(OF_MAIN, EMAIL, "pharmacist", sites)

    assert await door.identity.people.invite(OF_MAIN, EMAIL, "pharmacist", ["main"])


@pytest.mark.parametrize(
    ("role", "sites"),
    [("king", None), ("pharmacist", ["moon"]), ("pharmacist", []), ("owner", ["main"])],
)
async def test_a_role_or_site_that_is_not_there_is_refused(door, role, sites):
    with pytest.raises(InvalidInput):
        await door.identity.people.invite(COMMAND_LINE, EMAIL, role, sites)


async def test_a_manager_touches_no_owner_and_no_one_with_other_sites(door):
    owner = await door.owner()
    begun = await door.invited(EMAIL, "pharmacist", ["north"])
    people = door.identity.people

    for action in (
        people.disable(MANAGER, owner.person.id),
        people.link(MANAGER, owner.person.id),
        people.end_sessions(MANAGER, owner.person.id),
        people.set_role(MANAGER, owner.person.id, "pharmacist", None),
        people.disable(OF_MAIN, begun.person.id),
        people.set_role(OF_MAIN, begun.person.id, "pharmacist", ["main"]),
    ):
        with pytest.raises(NotAllowed):
            await action


async def test_the_last_owner_stays(door):
    owner = await door.owner()

    with pytest.raises(Conflict, match="last owner"):
        await door.identity.people.disable(COMMAND_LINE, owner.person.id)
    with pytest.raises(Conflict, match="last owner"):
        await door.identity.people.set_role(COMMAND_LINE, owner.person.id, "manager", None)

    second = await door.invited(EMAIL, "owner")
    await door.identity.people.disable(COMMAND_LINE, owner.person.id)
    with pytest.raises(Conflict, match="last owner"):
        await door.identity.people.disable(COMMAND_LINE, second.person.id)


async def test_a_person_of_another_account_is_not_there(door):
    begun = await door.owner()
    other = COMMAND_LINE._replace(account_id="other")

    for action in (
        door.identity.people.disable(other, begun.person.id),
        door.identity.people.link(other, begun.person.id),
        door.identity.people.end_sessions(other, begun.person.id),
    ):
        with pytest.raises(NotFound):
            await action
    assert await door.identity.people.members("other") == []


async def test_the_list_shows_role_sites_factors_and_sessions(door):
    await door.owner()
    await door.invited(EMAIL, "pharmacist", ["main"])

    listed = await door.identity.people.members("default")

    assert [
        (each.person.email, each.membership.role, each.membership.sites, each.sessions)
        for each in listed
    ] == [("amara@lakeside.example", "owner", None, 1), (EMAIL, "pharmacist", ("main",), 1)]
    assert listed[0].factors == ("password", "recovery", "totp")


async def test_a_longer_list_asks_no_more_questions(door):
    await door.owner()
    asked = [0]

    @event.listens_for(Engine, "before_cursor_execute")
    def note(_connection, _cursor, statement, *_):
        asked[-1] += statement.startswith("SELECT")

    try:
        for name in ("sam", "ana", "max"):
            await door.invited(f"{name}@lakeside.example", "pharmacist", ["main"])
            asked.append(0)
            await door.identity.people.members("default")
            asked.append(0)
    finally:
        event.remove(Engine, "before_cursor_execute", note)

    assert asked[1::2] == [3, 3, 3]


async def test_the_last_way_to_sign_in_cant_be_removed(door):
    begun, _ = await door.owner_with_passkey()
    async with door.gateway.database.read() as connection:
        [passkey] = await door.identity.parts.people.factors_of(connection, begun.person.id)

    with pytest.raises(Conflict, match="only way"):
        await door.identity.people.remove_passkey(begun.person.id, "default", passkey.id)


async def test_a_member_is_not_invited_again(door):
    await door.owner()

    with pytest.raises(Conflict, match="member already"):
        await door.identity.people.invite(
            COMMAND_LINE, "Amara@Lakeside.example", "pharmacist", None
        )
