"""A database belongs to the keyring that its values are sealed with."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from core.storage.rows import KEYRING, newest_only, rows_in
from sqlalchemy import select

from gateway.errors import ConfigurationError
from gateway.runtime import Gateway
from gateway.settings import parse_settings
from gateway.storage import schema
from gateway.storage.crypto.keyring import Keyring
from gateway.storage.schema import facts
from gateway.storage.stores.installation import claim_keyring, has_keyring


async def test_a_new_database_has_no_keyring_until_one_is_claimed(connection):
    assert not await has_keyring(connection)

    await claim_keyring(connection, KEYRING)

    assert await has_keyring(connection)
    assert (await connection.execute(select(facts))).all() == [("keyring", KEYRING.fingerprint())]


async def test_the_same_keyring_is_welcome_again_and_after_a_rotation(connection):
    await claim_keyring(connection, KEYRING)

    await claim_keyring(connection, KEYRING)
    await claim_keyring(connection, KEYRING.rotated())
    await claim_keyring(connection, newest_only(KEYRING.rotated()))

    assert await rows_in(connection, facts) == 1


async def test_another_keyring_is_refused_with_the_way_out(connection):
    await claim_keyring(connection, KEYRING)

    with pytest.raises(ConfigurationError) as refused:
        await claim_keyring(connection, Keyring.generate())

    assert refused.value.message == (
        "The master key is not the one this database was sealed with: put the right "
        "master.key into [gateway] data_dir, or set [security] master_key to it."
    )


async def test_processes_that_start_at_once_take_turns(database):
    keyrings = [KEYRING, Keyring.generate(), Keyring.generate(), Keyring.generate()]

    async def start(keyring):
        async with database.begin() as connection:
            known = await has_keyring(connection)
            await claim_keyring(connection, keyring)
        return known

    outcomes = await asyncio.gather(*(start(each) for each in keyrings), return_exceptions=True)

    # One makes the installation its own; the others find that it has a keyring.
    assert [each for each in outcomes if each is False] == [False]
    refused = [each for each in outcomes if isinstance(each, ConfigurationError)]
    assert len(refused) == 3


async def test_gateways_that_start_at_once_on_an_empty_database_all_open(
    empty_database_url, tmp_path
):
    sites = "".join(f'[[sites]]\ncode = "{code}"\nname = "{code}"\n' for code in "abc")
    toml = f'[database]\nurl = "{empty_database_url}"\n{sites}'
    settings = parse_settings(toml, source=None, directory=tmp_path, environ={})
    gateways = [Gateway(settings) for _ in range(4)]

    async with AsyncExitStack() as stack:
        opened = await asyncio.gather(
            *(stack.enter_async_context(each) for each in gateways), return_exceptions=True
        )

        assert opened == gateways
        async with gateways[0].database.read() as connection:
            assert await rows_in(connection, schema.sites) == 3
            assert await rows_in(connection, schema.accounts) == 1
