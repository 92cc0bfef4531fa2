"""How tries end: a success always counts, a failure only while the delivery is ours."""

import pytest
from core.storage.rows import (
    LIVE,
    NOW,
    at,
    delivered,
    destination,
    failed,
    queued,
    rows_in,
)
from sqlalchemy import event, select

from gateway.model.delivery import Attempt, Delivery
from gateway.storage.schema import attempts

LEASE_SECONDS = 60.0
TARGET = destination(LIVE)


@pytest.fixture
async def claim(connection, kept):
    """Take due deliveries of the one destination there is."""
    await kept.destinations.add(connection, TARGET)

    async def take(now=NOW):
        return await kept.outbox.claim(
            connection, TARGET.id, limit=100, now=now, lease_seconds=LEASE_SECONDS
        )

    return take


@pytest.fixture
def looked_up(connection, kept):
    """Return a delivery as it can be looked up, and its tries."""

    async def look(delivery_id):
        found = await kept.log.get(connection, LIVE, delivery_id)
        return found, list(await kept.log.attempts_of(connection, found))

    return look


async def test_a_success_ends_the_delivery_and_is_written_down(connection, kept, claim, looked_up):
    (event,), (delivery_id,) = await queued(connection, TARGET)
    (taken,) = await claim(at(1))

    await kept.outbox.settle(
        connection, [delivered(taken, started_at=at(1), excerpt="Zoë ok".encode())], at(2)
    )

    assert await looked_up(delivery_id) == (
        Delivery(
            id=delivery_id,
            account_id="acme",
            destination_id=TARGET.id,
            event_id=event.id,
            event_type="delivery.completed",
            subject="pkg_1",
            state="delivered",
            attempts=1,
            due_at=None,
            created_at=NOW,
            first_attempt_at=at(1),
            finished_at=at(2),
        ),
        [
            Attempt(
                delivery_id=delivery_id,
                destination_id=TARGET.id,
                event_id=event.id,
                event_type="delivery.completed",
                number=1,
                started_at=at(1),
                duration_ms=12,
                delivered=True,
                status=200,
                error=None,
                excerpt="Zoë ok",
            )
        ],
    )
    assert await claim(at(100_000)) == []


async def test_the_successes_of_a_turn_end_their_deliveries_and_no_other(database, kept):
    async with database.begin() as connection:
        await kept.destinations.add(connection, TARGET)
        _, ids = await queued(connection, TARGET, 4)
        taken = await kept.outbox.claim(
            connection, TARGET.id, limit=100, now=NOW, lease_seconds=LEASE_SECONDS
        )
        # Given one that arrived already: another process had sent it
        await kept.outbox.settle(connection, [delivered(taken[0])], at(1))

    async def settle(transaction):
        await kept.outbox.settle(transaction, [delivered(each) for each in taken[:3]], at(2))

    await database.transact(settle)

    async with database.read() as connection:
        found = [await kept.log.get(connection, LIVE, each) for each in ids]
    assert [(each.state, each.attempts, each.finished_at) for each in found] == [
        ("delivered", 1, at(1)),
        ("delivered", 1, at(2)),
        ("delivered", 1, at(2)),
        ("pending", 0, None),
    ]


async def test_a_failure_makes_it_due_again_at_the_time_given(connection, kept, claim, looked_up):
    _, (delivery_id,) = await queued(connection, TARGET)
    (first,) = await claim(NOW)

    await kept.outbox.settle(
        connection, [failed(first, at(5), status=None, error="timeout")], at(1)
    )

    found, (attempt,) = await looked_up(delivery_id)
    assert (found.state, found.attempts, found.due_at, found.finished_at) == (
        "pending",
        1,
        at(5),
        None,
    )
    assert (attempt.delivered, attempt.status, attempt.error, attempt.excerpt) == (
        False,
        None,
        "timeout",
        "",
    )
    assert await claim(at(4.999)) == []
    (second,) = await claim(at(5))
    assert (second.attempt, second.retry_index, second.first_attempt_at) == (2, 1, NOW)


async def test_the_last_failure_exhausts_it(connection, kept, claim, looked_up):
    _, (delivery_id,) = await queued(connection, TARGET)
    (taken,) = await claim(NOW)

    await kept.outbox.settle(connection, [failed(taken)], at(1))

    found, tried = await looked_up(delivery_id)
    assert (found.state, found.attempts, found.due_at, found.finished_at) == (
        "exhausted",
        1,
        None,
        at(1),
    )
    assert len(tried) == 1
    assert await claim(at(100_000)) == []


async def test_many_outcomes_are_recorded_in_one_go(connection, kept, claim):
    _, ids = await queued(connection, TARGET, 30)
    taken = await claim(NOW)

    await kept.outbox.settle(
        connection,
        [
            *(delivered(each) for each in taken[:10]),
            *(failed(each, at(9)) for each in taken[10:20]),
            *(failed(each) for each in taken[20:]),
        ],
        at(1),
    )

    states = {each.id: each.state for each in await kept.log.page(connection, LIVE, limit=100)}
    assert [states[each] for each in ids] == (
        ["delivered"] * 10 + ["pending"] * 10 + ["exhausted"] * 10
    )
    assert await rows_in(connection, attempts) == 30


async def test_a_success_counts_though_the_lease_was_lost(connection, kept, claim, looked_up):
    # Given a slow process, whose delivery another one has taken meanwhile
    _, (delivery_id,) = await queued(connection, TARGET)
    (slow,) = await claim(NOW)
    (quick,) = await claim(at(LEASE_SECONDS))

    # When the slow one's success comes in at last, and then the quick one's failure
    await kept.outbox.settle(connection, [delivered(slow)], at(61))
    await kept.outbox.settle(connection, [failed(quick, at(90))], at(62))

    # Then it is delivered, and both tries are in the log
    found, tried = await looked_up(delivery_id)
    assert (found.state, found.attempts, found.finished_at) == ("delivered", 1, at(61))
    assert [each.delivered for each in tried] == [True, False]
    assert await claim(at(100_000)) == []


async def test_a_success_counts_though_the_delivery_was_exhausted_meanwhile(
    connection, kept, claim, looked_up
):
    _, (delivery_id,) = await queued(connection, TARGET)
    (slow,) = await claim(NOW)
    (quick,) = await claim(at(LEASE_SECONDS))
    await kept.outbox.settle(connection, [failed(quick)], at(61))

    await kept.outbox.settle(connection, [delivered(slow)], at(62))

    found, _ = await looked_up(delivery_id)
    assert (found.state, found.attempts, found.finished_at) == ("delivered", 2, at(62))


async def test_a_failure_counts_only_while_the_lease_is_ours(connection, kept, claim, looked_up):
    _, (delivery_id,) = await queued(connection, TARGET)
    (slow,) = await claim(NOW)
    (quick,) = await claim(at(LEASE_SECONDS))

    await kept.outbox.settle(connection, [failed(slow)], at(61))

    found, tried = await looked_up(delivery_id)
    assert (found.state, found.attempts) == ("pending", 0)
    assert len(tried) == 1
    await kept.outbox.settle(connection, [delivered(quick)], at(62))
    assert (await looked_up(delivery_id))[0].state == "delivered"


async def test_two_successes_are_one_delivery(connection, kept, claim, looked_up):
    _, (delivery_id,) = await queued(connection, TARGET)
    (slow,) = await claim(NOW)
    (quick,) = await claim(at(LEASE_SECONDS))

    await kept.outbox.settle(connection, [delivered(quick)], at(61))
    await kept.outbox.settle(connection, [delivered(slow)], at(62))

    found, tried = await looked_up(delivery_id)
    assert (found.state, found.attempts, found.finished_at) == ("delivered", 1, at(61))
    assert len(tried) == 2


@pytest.mark.parametrize("ending", ["delivered", "exhausted"])
async def test_sending_again_restarts_the_full_schedule(connection, kept, claim, looked_up, ending):
    _, (delivery_id,) = await queued(connection, TARGET)
    (first,) = await claim(NOW)
    await kept.outbox.settle(connection, [failed(first, at(5))], at(1))
    (second,) = await claim(at(5))
    over = delivered(second) if ending == "delivered" else failed(second)
    await kept.outbox.settle(connection, [over], at(6))

    await kept.outbox.resend(connection, "acme", delivery_id, at(100))

    found, tried = await looked_up(delivery_id)
    assert (found.state, found.attempts, found.due_at, found.finished_at) == (
        "pending",
        2,
        at(100),
        None,
    )
    assert len(tried) == 2
    (again,) = await claim(at(100))
    assert (again.attempt, again.retry_index, again.first_attempt_at) == (3, 0, at(100))


async def test_sending_again_what_is_in_flight_ignores_how_that_attempt_fails(
    connection, kept, claim, looked_up
):
    _, (delivery_id,) = await queued(connection, TARGET)
    (taken,) = await claim(NOW)

    await kept.outbox.resend(connection, "acme", delivery_id, at(1))
    await kept.outbox.settle(connection, [failed(taken)], at(2))

    found, _ = await looked_up(delivery_id)
    assert (found.state, found.due_at) == ("pending", at(1))


async def test_another_accounts_delivery_is_not_sent_again(connection, kept, claim, looked_up):
    _, (delivery_id,) = await queued(connection, TARGET)
    (taken,) = await claim(NOW)
    await kept.outbox.settle(connection, [delivered(taken)], at(1))

    await kept.outbox.resend(connection, "other", delivery_id, at(2))

    assert (await looked_up(delivery_id))[0].state == "delivered"


async def test_any_number_is_sent_again_in_two_statements_and_no_other_is_touched(
    connection, kept, claim, looked_up
):
    await queued(connection, TARGET, 4)
    taken = await claim(NOW)
    await kept.outbox.settle(connection, [failed(each) for each in taken], at(1))
    statements = []

    @event.listens_for(connection.sync_connection, "before_cursor_execute")
    def note(_connection, _cursor, statement, *_):
        statements.append(statement.split(maxsplit=1)[0])

    await kept.outbox.resend_all(connection, "acme", [each.id for each in taken[:3]], at(100))

    assert statements == ["SELECT", "UPDATE"]
    states = [(await looked_up(each.id))[0].state for each in taken]
    assert states == ["pending", "pending", "pending", "exhausted"]
    again = await claim(at(100))
    assert [(each.id, each.attempt, each.retry_index) for each in again] == [
        (each.id, 2, 0) for each in taken[:3]
    ]


async def test_sending_nothing_again_is_nothing(connection, kept, claim):
    await queued(connection, TARGET)
    (taken,) = await claim(NOW)
    await kept.outbox.settle(connection, [failed(taken)], at(1))

    await kept.outbox.resend_all(connection, "acme", [], at(100))

    assert await claim(at(100)) == []


async def test_what_the_other_side_answered_is_sealed(connection, kept, claim):
    await queued(connection, TARGET, 2)
    spoke, silent = await claim(NOW)
    await kept.outbox.settle(
        connection, [delivered(spoke, excerpt=b"Maria Rodriguez"), delivered(silent)], at(1)
    )

    rows = (
        await connection.execute(select(attempts.c.excerpt).order_by(attempts.c.sequence))
    ).scalars()

    sealed, nothing = rows
    assert len(sealed) == len(b"Maria Rodriguez") + 43
    assert b"Maria" not in bytes(sealed)
    assert nothing is None


async def test_an_answer_that_is_no_text_is_shown_all_the_same(connection, kept, claim, looked_up):
    _, (delivery_id,) = await queued(connection, TARGET)
    (taken,) = await claim(NOW)

    await kept.outbox.settle(connection, [delivered(taken, excerpt=b"\xff\x00ok")], at(1))

    _, (attempt,) = await looked_up(delivery_id)
    assert attempt.excerpt == "\ufffd\x00ok"
