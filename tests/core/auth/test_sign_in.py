"""Signing in with a password and a code: what opens, what doesn't, and who is kept out."""

import asyncio

import pytest
from core.auth.door import COMMAND_LINE, ELSEWHERE, HERE, PASSWORD
from sqlalchemy import select

from gateway.auth.sign_in_throttle import SignInThrottle
from gateway.errors import NotAuthenticated, RateLimited
from gateway.storage.schema import audit, factors

OWNER = "amara@lakeside.example"
STRANGER = HERE._replace(host="198.51.100.66")


async def wrong(door, login=OWNER, browser=STRANGER, password="a wrong password", code="000000"):
    with pytest.raises((NotAuthenticated, RateLimited)) as refused:
        await door.identity.sign_in.with_password(login, password, code, browser)
    return refused.value


async def test_password_and_code_begin_a_session(door):
    await door.owner()

    begun = await door.sign_in(OWNER)

    signed_in = await door.identity.sessions.read(begun.cookie)
    assert signed_in.person_name == "A Name"
    assert signed_in.membership.role == "owner"
    assert signed_in.row.agent == "Firefox, Windows"
    assert signed_in.row.is_strong
    assert "reveal.rx" in signed_in.permissions


async def test_an_address_is_folded_but_a_password_is_not(door):
    await door.owner()

    assert await door.sign_in(" AMARA@Lakeside.Example ".strip().lower())
    door.clock.step(30)
    refused = await wrong(door, password=PASSWORD.upper(), code=door.code(OWNER))
    assert isinstance(refused, NotAuthenticated)


@pytest.mark.parametrize(
    "attempt",
    [
        {"login": "unknown@lakeside.example", "password": PASSWORD},
        {"password": "a wrong password"},
        {"password": PASSWORD, "code": ""},
        {"password": PASSWORD, "code": "123456"},
        {"password": ""},
        {"login": "", "password": PASSWORD},
        {"login": "\x00' OR 1=1", "password": PASSWORD},
        {"login": "\ud800", "password": "\ud800" * 20},
    ],
)
async def test_whatever_is_wrong_the_answer_is_the_same(door, attempt):
    await door.owner()

    refused = await wrong(door, **attempt)

    assert refused.message == (
        "Email, password or code is wrong. Codes are good once; wait for the next one."
    )


async def test_known_and_unknown_people_cost_the_same_work(door):
    await door.owner()
    hasher, costs = door.identity.parts.hasher, []
    for login in (OWNER, "unknown@lakeside.example"):
        hashes = hasher.computed
        async with door.gateway.database.read() as connection:
            rows = len((await connection.execute(select(audit))).all())
        await wrong(door, login=login)
        async with door.gateway.database.read() as connection:
            written = len((await connection.execute(select(audit))).all()) - rows
        costs.append((hasher.computed - hashes, written))

    assert costs == [(1, 1), (1, 1)]


async def test_a_code_is_good_once(door):
    await door.owner()
    code = door.code(OWNER)
    await door.identity.sign_in.with_password(OWNER, PASSWORD, code, HERE)

    refused = await wrong(door, browser=HERE, password=PASSWORD, code=code)

    assert isinstance(refused, NotAuthenticated)


async def test_of_two_who_hurry_with_one_code_one_gets_in(door):
    await door.owner()
    code = door.code(OWNER)

    answers = await asyncio.gather(
        *(door.identity.sign_in.with_password(OWNER, PASSWORD, code, HERE) for _ in range(4)),
        return_exceptions=True,
    )

    assert sum(not isinstance(each, Exception) for each in answers) == 1
    assert sum(isinstance(each, NotAuthenticated) for each in answers) == 3


async def test_a_recovery_code_stands_in_for_the_authenticator_once(door):
    await door.owner()
    code = door.recovery_codes[3].lower().replace("-", " ")

    begun = await door.identity.sign_in.with_password(OWNER, PASSWORD, code, HERE)

    assert begun.recovery_codes_left == 9
    await wrong(door, browser=HERE, password=PASSWORD, code=code)


async def test_the_secrets_of_people_are_not_in_the_database_in_clear(door):
    begun = await door.owner()
    async with door.gateway.database.read() as connection:
        stored = (await connection.execute(select(factors))).all()

    for row in stored:
        assert door.secrets[OWNER] not in bytes(row.secret)
        assert b"argon2" not in bytes(row.secret)
    assert begun.cookie not in str(stored)


@pytest.mark.long
@pytest.mark.slow
async def test_ten_thousand_wrong_passwords_from_one_address_dont_keep_the_owner_out(quick_door):
    door = quick_door
    begun = await door.owner()
    mine = HERE._replace(device=begun.device)
    looked_at = door.identity.parts.hasher.computed
    for number in range(10_000):
        door.clock.step(0.05)
        await wrong(door, password=f"guess number {number}")
    looked_at = door.identity.parts.hasher.computed - looked_at

    assert looked_at < 30  # 8 minutes of guesses, all but a few refused unread
    # Elsewhere at once; at the stranger's own address with the browser that is known …
    assert await door.sign_in(OWNER, ELSEWHERE)
    door.clock.step(30)
    assert await door.sign_in(OWNER, mine._replace(host=STRANGER.host))
    # … and with a new browser there after a minute's pause.
    door.clock.step(61)
    assert await door.sign_in(OWNER, STRANGER)


async def test_the_pauses_grow_and_end(quick_door):
    door = quick_door
    await door.owner()
    looked_at, pauses = 0, []
    while looked_at < 13:
        refused = await wrong(door)
        if isinstance(refused, RateLimited):
            pauses.append(refused.retry_after_seconds)
            door.clock.step(refused.retry_after_seconds)
        else:
            looked_at += 1

    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]


async def test_several_processes_share_what_a_guesser_may_try(door):
    """Each process has a throttle of its own, over the same rows."""
    await door.owner()
    database, clock = door.gateway.database, door.clock
    processes = [SignInThrottle(database, clock) for _ in range(4)]

    async def guess(number):
        try:
            await processes[number % 4].admit(STRANGER.host, OWNER)
        except RateLimited:
            return False
        return True

    admitted = await asyncio.gather(*(guess(number) for number in range(24)))

    assert admitted.count(True) == 5  # then the first pause
    assert not await guess(3)
    many = [await _admits(processes[n % 4], f"p{n}@lakeside.example") for n in range(40)]
    assert many.count(True) == 25  # of thirty tries a minute from one network


async def _admits(throttle, login):
    try:
        await throttle.admit(STRANGER.host, login)
    except RateLimited:
        return False
    return True


async def test_one_address_that_tries_many_people_is_slowed_and_others_are_not(quick_door):
    door = quick_door
    await door.owner()
    kinds = [type(await wrong(door, login=f"p{n}@lakeside.example")) for n in range(40)]

    assert kinds.count(NotAuthenticated) == 30
    assert kinds.count(RateLimited) == 10
    assert await door.sign_in(OWNER, ELSEWHERE)


async def test_a_device_token_of_one_person_is_no_budget_for_guessing_another(quick_door):
    door = quick_door
    await door.owner()
    other = await door.invited("sam@lakeside.example", "pharmacist")
    as_sam = STRANGER._replace(device=other.device)

    kinds = [type(await wrong(door, browser=as_sam)) for _ in range(8)]

    assert kinds[5:] == [RateLimited] * 3


async def test_a_disabled_person_is_as_unknown_as_a_stranger(door):
    await door.owner()
    begun = await door.invited("sam@lakeside.example", "pharmacist")
    await door.identity.people.disable(COMMAND_LINE, begun.person.id)

    refused = await wrong(door, "sam@lakeside.example", HERE, PASSWORD, "000000")

    assert refused.message.startswith("Email, password or code is wrong")
    await door.identity.people.enable(COMMAND_LINE, begun.person.id)
    assert await door.sign_in("sam@lakeside.example")


async def test_a_sign_in_takes_the_place_of_the_browsers_session_with_a_new_cookie(door):
    begun = await door.owner()

    again = await door.sign_in(OWNER, HERE._replace(session=begun.cookie))

    assert again.cookie != begun.cookie
    assert await door.identity.sessions.find(begun.cookie) is None
    assert len(await door.identity.sessions.of_person(begun.person.id)) == 1


async def test_a_cookie_that_a_stranger_planted_never_becomes_a_session(door):
    await door.owner()
    planted = "planted-by-a-stranger"

    begun = await door.sign_in(OWNER, HERE._replace(session=planted))

    assert begun.cookie != planted
    assert await door.identity.sessions.find(planted) is None


async def test_step_up_asks_for_password_and_code_again(door):
    begun = await door.owner()
    door.clock.step(6 * 60)
    sessions, sign_in = door.identity.sessions, door.identity.sign_in
    signed_in = await sessions.read(begun.cookie)
    assert not sessions.is_fresh(signed_in.row)

    with pytest.raises(NotAuthenticated):
        await sign_in.step_up_with_password(signed_in, PASSWORD, "000000", HERE)
    await sign_in.step_up_with_password(signed_in, PASSWORD, door.code(OWNER), HERE)

    assert sessions.is_fresh((await sessions.read(begun.cookie)).row)
    door.clock.step(30)
    with pytest.raises(NotAuthenticated):
        await sign_in.step_up_with_password(signed_in, "a wrong password", door.code(OWNER), HERE)
