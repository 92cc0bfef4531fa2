"""The first owner, invitations and lost factors: each code and link is good once."""

import asyncio

import pytest
from authenticator import Authenticator
from core.auth.door import COMMAND_LINE, HERE, PASSWORD
from sqlalchemy import select

from gateway.auth.enrolment import Choice
from gateway.errors import Conflict, GatewayError, InvalidInput, NotAuthenticated
from gateway.storage.schema import invitations, memberships, owner_codes, people

HOUR = 3600


async def count(door, table):
    async with door.gateway.database.read() as connection:
        return len((await connection.execute(select(table))).all())


async def begin(door, code):
    return await door.identity.enrolment.begin_owner(code, "Amara", "amara@lakeside.example")


async def finish(door, set_up, device=None):
    device = device or Authenticator()
    choice = Choice(passkey=device.create(dict(set_up.options)))
    return await door.identity.enrolment.finish(set_up.token, choice, HERE, "Amara")


async def test_the_code_makes_the_owner_and_is_gone(door):
    code = await door.identity.enrolment.new_owner_code()
    assert await door.identity.enrolment.needs_owner()

    made = await finish(door, await begin(door, code.lower().replace("-", " ")))

    signed_in = await door.identity.sessions.read(made.begun.cookie)
    assert signed_in.membership.role == "owner"
    assert signed_in.membership.sites is None
    assert not await door.identity.enrolment.needs_owner()
    assert await count(door, owner_codes) == 0


async def test_the_code_holds_for_an_hour(door):
    code = await door.identity.enrolment.new_owner_code()
    door.clock.step(HOUR - 1)
    await begin(door, code)
    door.clock.step(1)

    with pytest.raises(NotAuthenticated, match="one hour and ten tries"):
        await begin(door, code)


async def test_the_code_holds_for_ten_tries_also_when_they_come_at_once(door):
    code = await door.identity.enrolment.new_owner_code()

    answers = await asyncio.gather(
        *(begin(door, "0000-0000") for _ in range(10)), return_exceptions=True
    )

    assert all(isinstance(each, NotAuthenticated) for each in answers)
    with pytest.raises(NotAuthenticated):
        await begin(door, code)


async def test_of_many_who_finish_with_one_code_one_becomes_owner(door):
    code = await door.identity.enrolment.new_owner_code()
    set_ups = [await begin(door, code) for _ in range(5)]

    answers = await asyncio.gather(
        *(finish(door, each) for each in set_ups), return_exceptions=True
    )

    assert sum(not isinstance(each, Exception) for each in answers) == 1
    assert all(isinstance(each, Conflict) for each in answers if isinstance(each, Exception))
    assert (await count(door, people), await count(door, memberships)) == (1, 1)


async def test_a_new_code_ends_the_one_before_even_between_the_steps(door):
    first = await door.identity.enrolment.new_owner_code()
    begun = await begin(door, first)
    await door.identity.enrolment.new_owner_code()

    with pytest.raises(NotAuthenticated):
        await begin(door, first)
    with pytest.raises(Conflict):
        await finish(door, begun)


async def test_there_is_no_code_once_there_is_an_owner(door):
    await door.owner()

    with pytest.raises(Conflict, match="gateway people link"):
        await door.identity.enrolment.new_owner_code()


async def test_of_processes_that_start_together_one_makes_the_code(door):
    first = await door.identity.enrolment.new_owner_code(keep_good=True)

    assert first is not None
    assert await door.identity.enrolment.new_owner_code(keep_good=True) is None
    assert await begin(door, first)


async def test_a_set_up_is_good_once(door):
    begun = await begin(door, await door.identity.enrolment.new_owner_code())
    await finish(door, begun)

    with pytest.raises(NotAuthenticated, match="done before"):
        await finish(door, begun)


@pytest.mark.parametrize(
    ("name", "email"),
    [
        ("", "a@b.example"),
        ("x" * 101, "a@b.example"),
        ("A\x00", "a@b.example"),
        ("A", "nothing"),
        ("A", "a b@c.example"),
        ("A", "a@b.example\r\nBcc: x@y.example"),
    ],
)
async def test_a_name_or_address_that_cant_be_right_is_refused_without_a_try(door, name, email):
    code = await door.identity.enrolment.new_owner_code()

    with pytest.raises(InvalidInput):
        await door.identity.enrolment.begin_owner(code, name, email)
    for _ in range(9):
        with pytest.raises(NotAuthenticated):
            await begin(door, "0000-0000")
    assert await begin(door, code)


async def test_a_password_needs_the_authenticators_first_code(door):
    begun = await begin(door, await door.identity.enrolment.new_owner_code())
    for choice in (Choice(), Choice(password=PASSWORD), Choice(password=PASSWORD, code="000000")):
        with pytest.raises(InvalidInput):
            await door.identity.enrolment.finish(begun.token, choice, HERE)

    assert await count(door, people) == 0


async def test_an_invitation_gives_its_role_and_sites_and_nothing_more(door):
    await door.owner()

    begun = await door.invited("sam@lakeside.example", "pharmacist", ["north"])

    signed_in = await door.identity.sessions.read(begun.cookie)
    assert (signed_in.membership.role, signed_in.membership.sites) == ("pharmacist", ("north",))


async def test_an_invitation_is_good_once_even_for_two_who_hurry(door):
    await door.owner()
    _, token = await door.identity.people.invite(COMMAND_LINE, "sam@x.example", "manager", None)
    set_ups = [await door.identity.enrolment.begin_invitation(token) for _ in range(3)]

    answers = await asyncio.gather(
        *(finish(door, each) for each in set_ups), return_exceptions=True
    )

    assert sum(not isinstance(each, Exception) for each in answers) == 1
    assert all(isinstance(each, GatewayError) for each in answers if isinstance(each, Exception))
    with pytest.raises(NotAuthenticated, match="used, withdrawn or has expired"):
        await door.identity.enrolment.begin_invitation(token)


async def test_an_invitation_holds_for_72_hours(door):
    await door.owner()
    _, token = await door.identity.people.invite(COMMAND_LINE, "sam@x.example", "manager", None)
    door.clock.step(72 * HOUR - 1)
    assert await door.identity.enrolment.begin_invitation(token)
    door.clock.step(1)

    with pytest.raises(NotAuthenticated):
        await door.identity.enrolment.begin_invitation(token)


async def test_another_invitation_to_the_same_address_ends_the_first(door):
    await door.owner()
    _, first = await door.identity.people.invite(COMMAND_LINE, "sam@x.example", "manager", None)
    await door.identity.people.invite(COMMAND_LINE, "SAM@x.example", "integrator", None)

    with pytest.raises(NotAuthenticated):
        await door.identity.enrolment.begin_invitation(first)
    assert await count(door, invitations) == 1


async def test_a_link_replaces_lost_factors_and_ends_all_sessions(door):
    begun, lost = await door.owner_with_passkey()
    options, token = door.identity.sign_in.begin_passkey()

    _, link = await door.identity.people.link(COMMAND_LINE, begun.person.id)

    assert await door.identity.sessions.find(begun.cookie) is None
    with pytest.raises(NotAuthenticated):
        await door.identity.sign_in.with_passkey(token, lost.get(options), HERE)
    set_up = await door.identity.enrolment.begin_invitation(link)
    made = await finish(door, set_up)
    assert made.begun.person.id == begun.person.id
    assert (await door.identity.sessions.read(made.begun.cookie)).membership.role == "owner"
    with pytest.raises(NotAuthenticated):
        await door.identity.enrolment.begin_invitation(link)


async def test_an_invitation_to_a_known_address_never_sets_factors(door):
    owner = await door.owner()
    async with door.gateway.database.begin() as connection:
        await door.gateway.accounts.ensure(connection, "other", door.clock.now())
    other = COMMAND_LINE._replace(account_id="other")
    _, token = await door.identity.people.invite(
        other, "amara@lakeside.example", "integrator", None
    )

    with pytest.raises(Conflict, match="sign in with it"):
        await door.identity.enrolment.begin_invitation(token)
    await door.identity.enrolment.join(token, owner.person.id)

    own = await door.identity.people.accounts_of(owner.person.id)
    assert [(each.account_id, each.role) for each in own] == [
        ("default", "owner"),
        ("other", "integrator"),
    ]
    row = (await door.identity.sessions.read(owner.cookie)).row
    await door.identity.people.switch_account(row, "other")
    assert (await door.identity.sessions.read(owner.cookie)).membership.role == "integrator"


async def test_a_person_joins_with_their_own_invitation_only(door):
    await door.owner()
    sam = await door.invited("sam@lakeside.example", "integrator")
    other = COMMAND_LINE._replace(account_id="other")
    _, token = await door.identity.people.invite(other, "ana@lakeside.example", "manager", None)

    with pytest.raises(Conflict, match="another address"):
        await door.identity.enrolment.join(token, sam.person.id)


async def test_a_person_adds_a_passkey_to_a_password_and_signs_in_with_it(door):
    begun = await door.owner()
    device = Authenticator()
    set_up = await door.identity.enrolment.begin_own(begun.person.id)
    choice = Choice(passkey=device.create(dict(set_up.options)), passkey_name="Counter PC")
    await door.identity.enrolment.add_own(begun.person.id, "default", set_up.token, choice, HERE)

    options, token = door.identity.sign_in.begin_passkey()
    again = await door.identity.sign_in.with_passkey(token, device.get(options), HERE)

    assert again.person.id == begun.person.id


async def test_new_factors_belong_to_the_person_who_began(door):
    owner = await door.owner()
    sam = await door.invited("sam@lakeside.example", "integrator")
    set_up = await door.identity.enrolment.begin_own(owner.person.id)
    choice = Choice(passkey=Authenticator().create(dict(set_up.options)))

    with pytest.raises(NotAuthenticated):
        await door.identity.enrolment.add_own(sam.person.id, "default", set_up.token, choice, HERE)
