"""Sessions lock, end, and show what a person may do at that moment."""

import pytest
from core.auth.door import COMMAND_LINE, HERE, PASSWORD, opened_door
from core.storage.rows import rows_in
from sqlalchemy import select

from gateway.errors import NotAuthenticated, SessionLocked, StepUpRequired
from gateway.storage.schema import drafts, invitations, sign_in_counts, spent
from gateway.storage.schema import sessions as table

OWNER = "amara@lakeside.example"
MINUTE = 60


async def test_a_session_locks_after_fifteen_minutes_without_activity(door):
    begun = await door.owner()
    begun = await door.sign_in(OWNER)
    door.clock.step(15 * MINUTE - 1)
    assert await door.identity.sessions.read(begun.cookie)

    door.clock.step(15 * MINUTE)

    with pytest.raises(SessionLocked):
        await door.identity.sessions.read(begun.cookie)


async def test_a_page_that_refreshes_itself_is_no_activity(door):
    await door.owner()
    begun = await door.sign_in(OWNER)
    for _ in range(14):
        door.clock.step(MINUTE)
        await door.identity.sessions.read(begun.cookie, is_activity=False)
    door.clock.step(MINUTE)

    with pytest.raises(SessionLocked):
        await door.identity.sessions.read(begun.cookie, is_activity=False)


async def test_a_locked_session_stays_locked_in_every_process(door, tmp_path):
    await door.owner()
    begun = await door.sign_in(OWNER)
    await door.identity.sessions.lock((await door.identity.sessions.read(begun.cookie)).row)

    url = door.gateway.database.url.render_as_string(hide_password=False)
    async with opened_door(url, tmp_path, door.clock) as second:
        with pytest.raises(SessionLocked):
            await second.identity.sessions.read(begun.cookie)


async def test_a_session_ends_after_twelve_hours_whatever_is_done(door):
    await door.owner()
    begun = await door.sign_in(OWNER)
    for _ in range(12 * 6):
        door.clock.step(9.9 * MINUTE)
        await door.identity.sessions.read(begun.cookie)
    door.clock.step(8 * MINUTE)

    with pytest.raises(NotAuthenticated) as ended:
        await door.identity.sessions.read(begun.cookie)
    assert not isinstance(ended.value, SessionLocked)


async def test_only_the_hash_of_a_cookie_is_stored_and_it_has_256_bits(door):
    begun = await door.owner()
    async with door.gateway.database.read() as connection:
        [row] = (await connection.execute(select(table))).all()

    assert len(begun.cookie) == 43
    assert len(bytes(row.digest)) == 32
    assert begun.cookie.encode() not in bytes(row.digest)


@pytest.mark.parametrize("cookie", [None, "", "x" * 101, "\ud800", "é\x00"])
async def test_what_is_no_cookie_of_ours_opens_nothing(door, cookie):
    with pytest.raises(NotAuthenticated):
        await door.identity.sessions.read(cookie)


@pytest.mark.parametrize("change", ["disable", "role", "sites", "membership", "end", "link"])
async def test_a_change_holds_with_the_next_request_in_every_process(door, tmp_path, change):
    await door.owner()
    begun = await door.invited("sam@lakeside.example", "pharmacist", ["main"])
    person, people = begun.person.id, door.identity.people
    url = door.gateway.database.url.render_as_string(hide_password=False)
    async with opened_door(url, tmp_path, door.clock) as second:
        before = await second.identity.sessions.read(begun.cookie)
        assert before.membership.sites == ("main",)
        assert "reveal.rx" in before.permissions
        if change == "disable":
            await people.disable(COMMAND_LINE, person)
        elif change == "role":
            await people.set_role(COMMAND_LINE, person, "integrator", ["main"])
        elif change == "sites":
            await people.set_role(COMMAND_LINE, person, "pharmacist", ["north"])
        elif change == "membership":
            async with door.gateway.database.begin() as connection:
                await door.identity.parts.people.remove_membership(connection, "default", person)
        elif change == "end":
            await people.end_sessions(COMMAND_LINE, person)
        else:
            await people.link(COMMAND_LINE, person)

        if change in {"role", "sites"}:
            after = await second.identity.sessions.read(begun.cookie)
            assert after.membership.sites == (("north",) if change == "sites" else ("main",))
            assert ("reveal.rx" in after.permissions) == (change == "sites")
        else:
            with pytest.raises(NotAuthenticated):
                await second.identity.sessions.read(begun.cookie)


async def test_what_needs_a_fresh_factor_says_so_five_minutes_later(door):
    begun = await door.owner()
    sessions = door.identity.sessions
    sessions.need_fresh_factor((await sessions.read(begun.cookie)).row)
    door.clock.step(5 * MINUTE)

    with pytest.raises(StepUpRequired):
        sessions.need_fresh_factor((await sessions.read(begun.cookie)).row)


async def test_a_role_that_reveals_gets_nothing_from_a_session_with_a_password_alone(door):
    await door.owner()
    await door.invited("sam@lakeside.example", "integrator")
    people = door.identity.parts.people
    async with door.gateway.database.begin() as connection:
        person = await people.by_login(connection, "sam@lakeside.example")
        await people.remove_factors(connection, person.id, "totp", "recovery")
    begun = await door.identity.sign_in.with_password(person.login, PASSWORD, "", HERE)
    as_integrator = await door.identity.sessions.read(begun.cookie)

    await door.identity.people.set_role(COMMAND_LINE, person.id, "pharmacist", None)
    as_pharmacist = await door.identity.sessions.read(begun.cookie)

    assert not as_integrator.lacks_factor
    assert "webhooks.manage" in as_integrator.permissions
    assert (as_pharmacist.lacks_factor, as_pharmacist.permissions) == (True, frozenset())


async def test_what_was_typed_comes_back_to_the_same_person_once(door):
    owner = await door.owner()
    sam = await door.invited("sam@lakeside.example", "pharmacist")
    store, now = door.identity.parts.store, door.clock.now()
    from datetime import timedelta

    async with door.gateway.database.begin() as connection:
        later = now + timedelta(hours=12)
        await store.keep_draft(
            connection, "dra_1", owner.person.id, "/x", b'{"note":"Maria"}', later
        )
    async with door.gateway.database.begin() as connection:
        assert await store.take_draft(connection, sam.person.id, "/x", now) is None
        assert await store.take_draft(connection, owner.person.id, "/y", now) is None
        taken = await store.take_draft(connection, owner.person.id, "/x", now)
        assert taken == b'{"note":"Maria"}'
        assert await store.take_draft(connection, owner.person.id, "/x", now) is None


async def test_a_job_sweeps_what_is_past_its_end_and_nothing_else(door):
    begun = await door.owner()
    _, token = await door.identity.people.invite(COMMAND_LINE, "kim@x.example", "dispatcher", None)
    await door.identity.enrolment.begin_invitation(token)
    store, throttle = door.identity.parts.store, door.identity.parts.throttle
    await throttle.admit("198.51.100.66", "amara@lakeside.example")
    row = (await door.identity.sessions.read(begun.cookie)).row
    async with door.gateway.database.begin() as connection:
        await store.keep_draft(connection, "dra_1", row.person_id, "/x", b"{}", row.expires_at)
    tables = (table, drafts, spent, invitations, sign_in_counts)

    async def counts():
        await door.identity.sessions.sweep()
        async with door.gateway.database.read() as connection:
            return [await rows_in(connection, each) for each in tables]

    assert await counts() == [1, 1, 1, 1, 2]
    door.clock.step(11 * 60)
    assert await counts() == [1, 1, 0, 1, 2]  # spent tokens
    door.clock.step(13 * 3600)
    assert await counts() == [0, 0, 0, 1, 0]
    door.clock.step(33 * 86_400)
    assert await counts() == [0, 0, 0, 0, 0]
