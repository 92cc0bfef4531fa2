"""An answer is kept for a day under a key, in its own account and mode."""

import pytest
from core.storage.rows import rows_in
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from gateway.clock import SteppingClock
from gateway.model.account import Caller
from gateway.storage.idempotency import KeptAnswer, keep_answers, kept_answers, key_id
from gateway.storage.tables import idempotency

KEY = key_id(Caller("acme", "live", "key_1"), "Maria Rodriguez 2026-04-19")
ANSWER = KeptAnswer(KEY, b"d" * 32, b'{"results":[]}')
DAY_SECONDS = 24 * 60 * 60


async def test_a_kept_answer_is_found_again(connection):
    now = SteppingClock().now()
    another = KeptAnswer(key_id(Caller("acme", "live", "key_1"), "key-2"), b"e" * 32, b"{}")

    await keep_answers(connection, [ANSWER, another], now)

    assert await kept_answers(connection, {KEY}, now) == {KEY: ANSWER}
    assert await kept_answers(connection, {KEY, another.key}, now) == {
        KEY: ANSWER,
        another.key: another,
    }


async def test_it_is_found_by_nobody_else_and_under_no_other_key(connection):
    now = SteppingClock().now()
    await keep_answers(connection, [ANSWER], now)

    others = {
        key_id(Caller("other", "live", "key_1"), "Maria Rodriguez 2026-04-19"),
        key_id(Caller("acme", "test", "key_1"), "Maria Rodriguez 2026-04-19"),
        key_id(Caller("acme", "live", "key_1"), "maria rodriguez 2026-04-19"),
        key_id(Caller("acme", "live", "key_1", "north"), "Maria Rodriguez 2026-04-19"),
    }
    assert await kept_answers(connection, others, now) == {}


async def test_the_key_itself_is_not_kept(connection):
    await keep_answers(connection, [ANSWER], SteppingClock().now())

    row = (await connection.execute(select(idempotency))).one()

    assert KEY[0] == "acme"
    assert len(KEY[1]) == 32
    assert not any("Maria" in str(value) for value in row)


async def test_an_answer_is_kept_for_a_day_and_then_forgotten(connection):
    clock = SteppingClock()
    await keep_answers(connection, [ANSWER], clock.now())

    clock.step(DAY_SECONDS)
    assert await kept_answers(connection, {KEY}, clock.now()) == {KEY: ANSWER}

    clock.step(0.001)
    assert await kept_answers(connection, {KEY}, clock.now()) == {}
    assert await rows_in(connection, idempotency) == 0


async def test_a_forgotten_key_may_be_used_anew(connection):
    clock = SteppingClock()
    await keep_answers(connection, [ANSWER], clock.now())
    clock.step(DAY_SECONDS + 1)
    assert await kept_answers(connection, {KEY}, clock.now()) == {}

    later = KeptAnswer(KEY, b"f" * 32, b'{"results":[1]}')
    await keep_answers(connection, [later], clock.now())

    assert await kept_answers(connection, {KEY}, clock.now()) == {KEY: later}


async def test_the_database_itself_keeps_one_answer_for_a_key(database):
    now = SteppingClock().now()
    async with database.begin() as connection:
        await keep_answers(connection, [ANSWER], now)

    with pytest.raises(IntegrityError):
        async with database.begin() as connection:
            await keep_answers(connection, [ANSWER], now)


async def test_asking_for_nothing_and_keeping_nothing_is_fine(connection):
    now = SteppingClock().now()

    await keep_answers(connection, [], now)

    assert await kept_answers(connection, set(), now) == {}
