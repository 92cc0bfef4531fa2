"""API keys: shown once, kept as digests, refused from the moment they are revoked."""

import asyncio
import gc
import hashlib
import re
import weakref
from datetime import timedelta

import pytest
from core.gateways import opened, sqlite_url
from sqlalchemy import text

from gateway.auth.roles import PRESETS
from gateway.clock import SteppingClock
from gateway.errors import NotAuthenticated, NotFound
from gateway.model.account import Caller


@pytest.fixture
async def gateway(tmp_path):
    async with opened(sqlite_url(tmp_path), tmp_path, clock=SteppingClock()) as gateway:
        yield gateway


async def issue(gateway, **changes):
    return await gateway.keys.issue(
        "Front desk", **{"account_id": "default", "actor": "cli:ana"} | changes
    )


async def everything_stored(gateway) -> str:
    """Return every value of the tables that know of keys, as text."""
    async with gateway.database.read() as connection:
        rows = [
            row
            for table in ("api_keys", "audit")
            for row in await connection.execute(text(f"SELECT * FROM {table}"))
        ]
    return repr(rows)


@pytest.mark.parametrize("mode", ["live", "test"])
async def test_a_key_gives_a_caller_of_its_account_mode_and_site(database_url, tmp_path, mode):
    async with opened(database_url, tmp_path) as gateway:
        issued = await issue(gateway, account_id="banner", mode=mode, site="main")
        caller = await gateway.keys.authenticate(issued.key)

    assert re.fullmatch(rf"sk_{mode}_[0-9a-f]{{48}}", issued.key)
    assert (issued.name, issued.mode, issued.site) == ("Front desk", mode, "main")
    assert caller == Caller(
        "banner",
        mode,
        issued.id,
        frozenset({"main"}),
        PRESETS["orders"],
        kind="key",
        name="Front desk",
    )


async def test_only_a_keys_digest_is_kept(gateway):
    issued = await issue(gateway)
    stored = await everything_stored(gateway)
    [listed] = await gateway.keys.list()

    assert issued.key not in stored
    assert issued.key[20:] not in stored
    assert repr(hashlib.sha256(issued.key.encode()).digest()) in stored
    assert listed.prefix == issued.key[:12]
    assert not hasattr(listed, "key")


async def test_no_two_keys_are_alike(gateway):
    keys = {(await issue(gateway)).key for _ in range(20)}

    assert len(keys) == 20


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (None, "Send your API key in the X-API-Key header."),
        ("", "Send your API key in the X-API-Key header."),
        ("sk_live_" + "0" * 48, "This API key is not valid; check it, or create a new one"),
        ("x" * 201, "This API key is not valid"),
        ("kéy", "This API key is not valid"),
    ],
)
async def test_a_missing_or_unknown_key_is_refused(gateway, key, message):
    await issue(gateway)

    with pytest.raises(NotAuthenticated) as raised:
        await gateway.keys.authenticate(key)
    assert raised.value.message.startswith(message)
    assert "0000" not in raised.value.message


async def test_a_key_that_is_almost_right_is_wrong(gateway):
    issued = await issue(gateway)
    for wrong in (issued.key[:-1], issued.key.upper(), issued.key + " ", issued.key[:12]):
        with pytest.raises(NotAuthenticated):
            await gateway.keys.authenticate(wrong)


async def test_a_revoked_key_is_refused_from_the_next_call_on(gateway):
    issued, other = await issue(gateway), await issue(gateway)
    await gateway.keys.authenticate(issued.key)
    revoked = await gateway.keys.revoke(issued.id, actor="cli:ana")

    with pytest.raises(NotAuthenticated, match="This API key was revoked; create a new one"):
        await gateway.keys.authenticate(issued.key)
    assert (revoked.id, revoked.revoked_at) == (issued.id, gateway.clock.now())
    assert (await gateway.keys.authenticate(other.key)).actor == other.id


async def test_a_key_that_was_used_is_refused_from_its_end_on(gateway):
    issued = await issue(gateway, expires_at=gateway.clock.now() + timedelta(seconds=60))
    assert (await gateway.keys.authenticate(issued.key)).actor == issued.id
    gateway.clock.source.step(59)
    assert (await gateway.keys.authenticate(issued.key)).actor == issued.id
    gateway.clock.source.step(1)

    with pytest.raises(NotAuthenticated, match="This API key has expired; create a new one"):
        await gateway.keys.authenticate(issued.key)


async def test_a_key_that_another_process_revokes_is_refused_at_the_next_call(
    database_url, tmp_path
):
    async with (
        opened(database_url, tmp_path) as serving,
        opened(database_url, tmp_path) as command_line,
    ):
        issued = await issue(command_line)
        assert (await serving.keys.authenticate(issued.key)).actor == issued.id
        await command_line.keys.revoke(issued.id, actor="cli:ana")
        with pytest.raises(NotAuthenticated):
            await serving.keys.authenticate(issued.key)


async def test_revoking_twice_changes_nothing(gateway):
    issued = await issue(gateway)
    first = await gateway.keys.revoke(issued.id, actor="cli:ana")
    gateway.clock.source.step(60)
    second = await gateway.keys.revoke(issued.id, actor="cli:bo")

    assert second.revoked_at == first.revoked_at


async def test_a_key_that_is_not_there_cannot_be_revoked(gateway):
    with pytest.raises(NotFound, match="gateway keys list shows the ids"):
        await gateway.keys.revoke("key_none", actor="cli:ana")


async def test_keys_are_listed_oldest_first_and_by_account(gateway):
    ours = [(await issue(gateway)).id]
    gateway.clock.source.step(1)
    theirs = (await issue(gateway, account_id="other")).id
    gateway.clock.source.step(1)
    ours.append((await issue(gateway)).id)
    await gateway.keys.revoke(ours[0], actor="cli:ana")

    assert [key.id for key in await gateway.keys.list()] == [ours[0], theirs, ours[1]]
    assert [key.id for key in await gateway.keys.list("default")] == ours
    assert [key.revoked_at is not None for key in await gateway.keys.list("default")] == [
        True,
        False,
    ]


async def test_making_and_revoking_a_key_is_written_into_the_audit_trail(gateway):
    issued = await issue(gateway)
    await gateway.keys.revoke(issued.id, actor="cli:bo")
    async with gateway.database.read() as connection:
        rows = await connection.execute(
            text("SELECT account_id, actor, action, subject FROM audit ORDER BY sequence")
        )
        entries = [tuple(row) for row in rows]

    assert entries == [
        ("default", "cli:ana", "key.created", issued.id),
        ("default", "cli:bo", "key.revoked", issued.id),
    ]


async def test_concurrent_callers_keep_their_identities(gateway):
    issued = [await issue(gateway) for _ in range(5)]
    await gateway.keys.revoke(issued[0].id, actor="cli:ana")
    asked = [each.key for each in issued] * 10 + ["sk_live_unknown"] * 10
    answers = await asyncio.gather(
        *(gateway.keys.authenticate(key) for key in asked), return_exceptions=True
    )

    for key, answer in zip(asked, answers, strict=True):
        known = {each.key: each.id for each in issued[1:]}.get(key)
        assert getattr(answer, "actor", None) == known
        assert isinstance(answer, NotAuthenticated) == (known is None)


@pytest.mark.parametrize("key", ["sk_live_unknown", "x" * 201])
async def test_refusing_keys_again_and_again_keeps_nothing_of_the_requests(gateway, key):
    """An error that is raised twice collects the frames, and with them the values, of both."""

    def depth(error) -> int:
        trace, count = error.__traceback__, 0
        while trace is not None:
            trace, count = trace.tb_next, count + 1
        return count

    depths = []
    for _ in range(20):
        with pytest.raises(NotAuthenticated) as raised:
            await gateway.keys.authenticate(key)
        depths.append(depth(raised.value))

    assert len(set(depths)) == 1


async def test_a_key_that_was_revoked_while_a_request_waits_is_no_longer_valid(gateway):
    keys = gateway.keys
    issued = await issue(gateway)
    caller = await keys.authenticate(issued.key)
    before = await keys.still_valid(caller)
    await keys.revoke(issued.id, actor="test")

    assert (before, await keys.still_valid(caller)) == (True, False)


async def test_what_refused_a_wrong_key_is_freed_at_once(gateway):
    """Many wrong keys must not fill memory until the garbage collector's next turn."""
    gc.disable()
    try:
        await gateway.keys.authenticate("sk_live_wrong")
    except NotAuthenticated as error:
        refused = weakref.ref(error)
    finally:
        gc.enable()

    assert refused() is None
