"""An answer is kept for a day under a key, in its own account and mode."""

import pytest
from core.storage.rows import rows_in
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from gateway.clock import SteppingClock
from gateway.errors import Conflict, IdempotencyKeyReused
from gateway.model.account import Caller
from gateway.model.submission import Idempotency
from gateway.storage.schema import idempotency
from gateway.storage.stores.idempotency import (
    KeyedRequest,
    StoredResponse,
    key_id,
    keyed_request,
    split_replays,
    store_responses,
    stored_responses,
)

KEY = key_id(Caller("acme", "live", "key_1"), "Maria Rodriguez 2026-04-19")
ANSWER = StoredResponse(KEY, b"d" * 32, b'{"results":[]}')
DAY_SECONDS = 24 * 60 * 60


async def test_a_kept_answer_is_found_again(connection):
    now = SteppingClock().now()
    another = StoredResponse(key_id(Caller("acme", "live", "key_1"), "key-2"), b"e" * 32, b"{}")

    await store_responses(connection, [ANSWER, another], now)

    assert await stored_responses(connection, {KEY}, now) == {KEY: ANSWER}
    assert await stored_responses(connection, {KEY, another.key}, now) == {
        KEY: ANSWER,
        another.key: another,
    }


async def test_it_is_found_by_no_other_caller_and_under_no_other_key(connection):
    now = SteppingClock().now()
    await store_responses(connection, [ANSWER], now)

    others = {
        key_id(Caller("other", "live", "key_1"), "Maria Rodriguez 2026-04-19"),
        key_id(Caller("acme", "test", "key_1"), "Maria Rodriguez 2026-04-19"),
        key_id(Caller("acme", "live", "key_1"), "maria rodriguez 2026-04-19"),
        key_id(Caller("acme", "live", "key_1", frozenset({"north"})), "Maria Rodriguez 2026-04-19"),
    }
    assert await stored_responses(connection, others, now) == {}


async def test_the_key_itself_is_not_kept(connection):
    await store_responses(connection, [ANSWER], SteppingClock().now())

    row = (await connection.execute(select(idempotency))).one()

    assert KEY[0] == "acme"
    assert len(KEY[1]) == 32
    assert not any("Maria" in str(value) for value in row)


async def test_a_response_is_stored_for_a_day_and_then_deleted(connection):
    clock = SteppingClock()
    await store_responses(connection, [ANSWER], clock.now())

    clock.step(DAY_SECONDS)
    assert await stored_responses(connection, {KEY}, clock.now()) == {KEY: ANSWER}

    clock.step(0.001)
    assert await stored_responses(connection, {KEY}, clock.now()) == {}
    assert await rows_in(connection, idempotency) == 0


async def test_a_deleted_key_may_be_used_again(connection):
    clock = SteppingClock()
    await store_responses(connection, [ANSWER], clock.now())
    clock.step(DAY_SECONDS + 1)
    assert await stored_responses(connection, {KEY}, clock.now()) == {}

    later = StoredResponse(KEY, b"f" * 32, b'{"results":[1]}')
    await store_responses(connection, [later], clock.now())

    assert await stored_responses(connection, {KEY}, clock.now()) == {KEY: later}


async def test_the_database_itself_keeps_one_answer_for_a_key(database):
    now = SteppingClock().now()
    async with database.begin() as connection:
        await store_responses(connection, [ANSWER], now)

    with pytest.raises(IntegrityError):
        async with database.begin() as connection:
            await store_responses(connection, [ANSWER], now)


async def test_asking_for_nothing_and_keeping_nothing_is_fine(connection):
    now = SteppingClock().now()

    await store_responses(connection, [], now)

    assert await stored_responses(connection, set(), now) == {}


def test_a_request_is_known_by_its_key_and_its_digest():
    caller = Caller("acme", "live", "key_1")

    assert keyed_request(caller, None) is None
    assert keyed_request(caller, Idempotency("Maria Rodriguez 2026-04-19", b"d")) == KeyedRequest(
        KEY, b"d"
    )


async def test_of_requests_that_come_together_each_new_one_is_done_once(connection):
    now = SteppingClock().now()
    another = key_id(Caller("acme", "live", "key_1"), "key-2")
    await store_responses(connection, [ANSWER], now)

    answers, fresh = await split_replays(
        connection,
        [
            None,
            KeyedRequest(KEY, ANSWER.request_digest),
            KeyedRequest(another, b"e" * 32),
            KeyedRequest(another, b"e" * 32),
            KeyedRequest(KEY, b"f" * 32),
            None,
        ],
        now,
    )

    assert fresh == [0, 2, 5]
    assert list(answers) == [1, 3, 4]
    assert answers[1] == ANSWER.response
    running, reused = answers[3], answers[4]
    assert isinstance(running, Conflict)
    assert running.message == (
        "The first request with this Idempotency-Key is still running; try again."
    )
    assert isinstance(reused, IdempotencyKeyReused)
    assert reused.message == (
        "This Idempotency-Key was used with another request body; use a new key for a new request."
    )
