"""Accounts, their sites, and the keys that stand for them."""

import asyncio
import hashlib

import msgspec
import pytest
from core.storage.rows import NOW, at, rows_in
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from gateway.clock import to_epoch_ms
from gateway.model.account import ApiKey, Site
from gateway.storage.schema import accounts, sites

MAIN = Site("acme", "main", "Lakeside", "America/Toronto", "CA")
NORTH = Site("acme", "north", "Northside", "UTC", "US")
BINDING = b"b" * 32
DIGEST = hashlib.sha256(b"sk_live_1").digest()


def api_key(**changes):
    plain = ApiKey(
        id="key_1",
        account_id="acme",
        name="till",
        mode="live",
        prefix="sk_live_abcd",
        site="main",
        created_at=NOW,
        revoked_at=None,
        scopes="orders.create packages.read",
        digest=DIGEST,
        binding=BINDING,
    )
    return msgspec.structs.replace(plain, **changes)


async def all_sites(connection):
    rows = await connection.execute(select(sites).order_by(sites.c.account_id, sites.c.code))
    return [Site(*row) for row in rows]


async def test_an_account_is_made_once(connection, kept):
    await kept.accounts.ensure(connection, "acme", NOW)
    await kept.accounts.ensure(connection, "acme", at(60))

    assert (await connection.execute(select(accounts))).all() == [("acme", 1767268800000)]


async def test_an_account_that_two_make_at_once_is_made_once(database, kept):
    async def make() -> None:
        async with database.begin() as connection:
            await kept.accounts.ensure(connection, "acme", NOW)

    await asyncio.gather(*(make() for _ in range(8)))

    async with database.read() as connection:
        assert await rows_in(connection, accounts) == 1


async def test_the_table_of_sites_says_what_the_settings_say(connection, kept):
    await kept.accounts.replace_sites(connection, [MAIN, NORTH])
    assert await all_sites(connection) == [MAIN, NORTH]

    moved = msgspec.structs.replace(NORTH, name="Far north")
    await kept.accounts.replace_sites(connection, [moved])
    assert await all_sites(connection) == [moved]

    await kept.accounts.replace_sites(connection, [])
    assert await all_sites(connection) == []


async def test_a_key_is_found_by_its_digest(connection, kept):
    await kept.accounts.add_key(connection, api_key(), BINDING)
    unknown = hashlib.sha256(b"sk_live_2").digest()

    found = await kept.accounts.keys_by_digest(connection, {DIGEST, unknown})

    assert found == {DIGEST: api_key()}


async def test_the_same_key_cannot_stand_for_two(database, kept):
    async with database.begin() as connection:
        await kept.accounts.add_key(connection, api_key(), BINDING)

    with pytest.raises(IntegrityError):
        async with database.begin() as connection:
            await kept.accounts.add_key(connection, api_key(id="key_2"), BINDING)


async def test_keys_are_listed_oldest_first(connection, kept):
    mine = [
        api_key(id="key_2", digest=b"2"),
        api_key(id="key_3", digest=b"3", mode="test", site=None),
    ]
    theirs = api_key(account_id="other")
    for each in (mine[1], theirs, mine[0]):
        await kept.accounts.add_key(connection, each, BINDING)

    assert await kept.accounts.list_keys(connection) == [theirs, *mine]
    assert await kept.accounts.list_keys(connection, "acme") == mine
    assert await kept.accounts.list_keys(connection, "nobody") == []


async def test_a_key_is_rewritten_with_its_new_binding(connection, kept):
    await kept.accounts.add_key(connection, api_key(), BINDING)
    await kept.accounts.add_key(connection, api_key(id="key_2", digest=b"2"), BINDING)

    ended = api_key(revoked_at=at(1), scopes="orders.create", expires_at=at(9), binding=b"new")
    await kept.accounts.rewrite(connection, ended)

    assert await kept.accounts.key(connection, "key_1", for_update=True) == ended
    assert await kept.accounts.key(connection, "key_2") == api_key(id="key_2", digest=b"2")
    assert await kept.accounts.key(connection, "key_nowhere") is None


async def test_the_last_use_of_a_key_is_written_at_most_once_a_minute(connection, kept):
    for number in (1, 2):
        each = api_key(id=f"key_{number}", digest=bytes([number]))
        await kept.accounts.add_key(connection, each, BINDING)
    first, soon, later = (to_epoch_ms(at(seconds)) for seconds in (0, 59, 60))

    await kept.accounts.note_uses(connection, {"key_1": first}, 60_000)
    await kept.accounts.note_uses(connection, {"key_1": soon, "key_2": soon}, 60_000)
    used = [each.last_used_at for each in await kept.accounts.list_keys(connection)]
    assert used == [at(0), at(59)]

    await kept.accounts.note_uses(connection, {"key_1": later, "key_nowhere": later}, 60_000)
    used = [each.last_used_at for each in await kept.accounts.list_keys(connection)]
    assert used == [at(60), at(59)]
