"""A plugin's state: sealed values by account and key, changed by one process at a time."""

import asyncio
from types import SimpleNamespace

import msgspec
import pytest
from core.storage.rows import KEYRING, NOW
from sqlalchemy import select

from gateway.clock import SteppingClock
from gateway.errors import TooLarge
from gateway.storage.crypto.encryption import Sealer
from gateway.storage.schema import plugin_state
from gateway.storage.stores.plugin_state import MAX_VALUE_BYTES, PluginState


class Cursor(msgspec.Struct):
    page: int
    since: str


@pytest.fixture
def gateway(database):
    return SimpleNamespace(database=database, sealer=Sealer(KEYRING), clock=SteppingClock(NOW))


@pytest.fixture
def state(gateway):
    return PluginState("acme", gateway)


async def test_a_value_is_there_for_the_next_process_until_it_is_deleted(gateway, state):
    assert await state.get("cursor", Cursor) is None

    await state.put("cursor", Cursor(1, "Monday"))
    await state.put("cursor", Cursor(2, "Tuesday"))

    assert await PluginState("acme", gateway).get("cursor", Cursor) == Cursor(2, "Tuesday")
    await state.delete("cursor")
    await state.delete("cursor")
    assert await state.get("cursor", Cursor) is None


async def test_plugins_and_accounts_are_apart(gateway, state):
    await state.put("cursor", 1)
    await state.put("cursor", 2, account_id="acct_2")
    await PluginState("other", gateway).put("cursor", 3)

    assert await state.get("cursor", int) == 1
    assert await state.get("cursor", int, account_id="acct_2") == 2
    assert await PluginState("other", gateway).get("cursor", int) == 3


async def test_a_value_is_sealed_and_does_not_open_under_another_key(database, state):
    await state.put("cursor", "Maria Rodriguez")
    async with database.begin() as connection:
        stored = (await connection.execute(select(plugin_state.c.payload))).scalar_one()
        await connection.execute(plugin_state.update().values(key="other"))

    assert b"Maria" not in bytes(stored)
    with pytest.raises(Exception, match="seal"):
        await state.get("other", str)


async def test_changes_of_several_processes_at_a_time_are_all_made(gateway):
    states = [PluginState("acme", gateway) for _ in range(8)]

    await asyncio.gather(
        *(each.change("count", int, lambda old: (old or 0) + 1) for each in states)
    )

    assert await states[0].get("count", int) == 8
    assert await states[0].change("count", int, lambda _: None) is None
    assert await states[0].keys() == []


async def test_a_change_that_fails_leaves_what_was_there(state):
    await state.put("count", 4)

    with pytest.raises(ZeroDivisionError):
        await state.change("count", int, lambda old: old // 0)

    assert await state.get("count", int) == 4


async def test_it_is_a_part_of_the_callers_transaction(database, state):
    async with database.begin() as connection:
        await state.put("cursor", 1, connection=connection)
        assert await state.get("cursor", int, connection=connection) == 1
        await connection.rollback()

    assert await state.get("cursor", int) is None


async def test_keys_are_listed_by_their_beginning(state):
    for key in ("shop:b", "shop:a", "shop_c", "other"):
        await state.put(key, key)

    assert await state.keys("shop:") == ["shop:a", "shop:b"]
    assert await state.keys("shop_") == ["shop_c"]


async def test_a_value_too_large_and_a_key_that_is_none_are_refused(state):
    with pytest.raises(TooLarge, match="table of your own"):
        await state.put("big", "x" * MAX_VALUE_BYTES)
    for key in ("", "x" * 201, "a\0b"):
        with pytest.raises(ValueError, match="1 to 200 characters"):
            await state.put(key, 1)
