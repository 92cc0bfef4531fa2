"""Accounts, their sites, and the keys that stand for them."""

import asyncio
import hashlib

import msgspec
import pytest
from core.storage.rows import NOW, at, rows_in
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from gateway.model.account import ApiKey, Site
from gateway.storage.schema import accounts, api_keys, sites

MAIN = Site("acme", "main", "Lakeside", "America/Toronto", "CA")
NORTH = Site("acme", "north", "Northside", "UTC", "US")
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
    await kept.accounts.add_key(connection, api_key(), DIGEST)
    unknown = hashlib.sha256(b"sk_live_2").digest()

    found = await kept.accounts.keys_by_digest(connection, {DIGEST, unknown})

    assert found == {DIGEST: api_key()}


async def test_the_same_key_cannot_stand_for_two(database, kept):
    async with database.begin() as connection:
        await kept.accounts.add_key(connection, api_key(), DIGEST)

    with pytest.raises(IntegrityError):
        async with database.begin() as connection:
            await kept.accounts.add_key(connection, api_key(id="key_2"), DIGEST)


async def test_keys_are_listed_oldest_first(connection, kept):
    mine = [api_key(id="key_2"), api_key(id="key_3", mode="test", site=None)]
    theirs = api_key(account_id="other")
    for number, each in enumerate([mine[1], theirs, mine[0]]):
        await kept.accounts.add_key(connection, each, bytes([number]))

    assert await kept.accounts.list_keys(connection) == [theirs, *mine]
    assert await kept.accounts.list_keys(connection, "acme") == mine
    assert await kept.accounts.list_keys(connection, "nobody") == []


async def test_a_key_is_revoked_for_good_and_the_first_moment_stays(connection, kept):
    await kept.accounts.add_key(connection, api_key(), DIGEST)
    await kept.accounts.add_key(connection, api_key(id="key_2"), b"2")

    first = await kept.accounts.revoke_key(connection, "key_1", at(1))
    second = await kept.accounts.revoke_key(connection, "key_1", at(2))

    assert first == second == api_key(revoked_at=at(1))
    assert await kept.accounts.keys_by_digest(connection, [DIGEST]) == {DIGEST: first}
    assert (await kept.accounts.list_keys(connection))[1].revoked_at is None


async def test_a_key_that_does_not_exist_cannot_be_revoked(connection, kept):
    assert await kept.accounts.revoke_key(connection, "key_nowhere", NOW) is None
    assert await rows_in(connection, api_keys) == 0
