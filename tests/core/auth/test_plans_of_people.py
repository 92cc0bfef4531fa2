"""People count in plans: members and those who are invited, over every way in."""

import pytest
from core.auth.door import COMMAND_LINE, opened_door

from gateway.errors import PlanLimitReached

BASIC = '[plans.basic]\npeople = 2\n[accounts.default]\nplan = "basic"\n'
KIM, SAM = "kim@lakeside.example", "sam@lakeside.example"


@pytest.fixture
async def door(database_url, tmp_path):
    async with opened_door(database_url, tmp_path, toml=BASIC) as made:
        yield made


async def used(door):
    async with door.gateway.database.read() as connection:
        [limit] = (await door.gateway.plans.usage(connection, "default")).limits
    return limit.used


async def test_members_and_invitations_take_places_and_the_disabled_give_theirs_back(door):
    await door.owner()
    people = door.identity.people
    assert await used(door) == 1
    await people.invite(COMMAND_LINE, KIM, "dispatcher", None)
    await people.invite(COMMAND_LINE, KIM, "manager", None)  # in place of the first

    with pytest.raises(PlanLimitReached) as refused:
        await people.invite(COMMAND_LINE, SAM, "manager", None)

    assert (refused.value.limit_name, refused.value.limit, refused.value.used) == ("people", 2, 2)
    await people.withdraw(COMMAND_LINE, KIM)
    sam = await door.invited(SAM, "manager")
    assert await used(door) == 2
    await people.disable(COMMAND_LINE, sam.person.id)
    await door.invited(KIM, "dispatcher")
    with pytest.raises(PlanLimitReached):
        await people.enable(COMMAND_LINE, sam.person.id)
    assert await used(door) == 2
