"""The audit trail: a row that was changed, taken out or put in shows."""

import asyncio
import hashlib
from itertools import pairwise

import pytest
from core.storage.rows import NOW, NOW_MS, rows_in
from sqlalchemy import delete, insert, select, update

from gateway.clock import SteppingClock
from gateway.storage.schema import audit as trail
from gateway.storage.stores import audit
from gateway.storage.stores.audit import AuditEntry, AuditTrail, first_broken_link

VIEWED = AuditEntry("acme", "key_1", "package.viewed", "pkg_1", b"p" * 16)
CREATED = AuditEntry("acme", "cli:ana", "key.created", "key_1")


def entries(count):
    return [AuditEntry("acme", "key_1", "package.viewed", f"pkg_{place}") for place in range(count)]


@pytest.fixture
async def chain(connection):
    """Append five entries in three transactions' worth; returns their sequences."""
    five = entries(5)
    await audit.append(connection, five[:2], NOW)
    await audit.append(connection, five[2:3], NOW)
    await audit.append(connection, five[3:], NOW)
    rows = await connection.execute(select(trail.c.sequence).order_by(trail.c.sequence))
    return list(rows.scalars())


async def test_an_entry_says_who_did_what_when_and_in_whose_record(connection):
    await audit.append(connection, [VIEWED, CREATED], NOW)

    rows = (await connection.execute(select(trail).order_by(trail.c.sequence))).all()

    assert [row[1:7] for row in rows] == [
        ("acme", NOW_MS, "key_1", "package.viewed", "pkg_1", b"p" * 16),
        ("acme", NOW_MS, "cli:ana", "key.created", "key_1", None),
    ]


async def test_the_digest_covers_the_row_and_the_digest_before_it(connection):
    await audit.append(connection, [CREATED], NOW)

    stored = (await connection.execute(select(trail.c.digest))).scalar_one()

    # Written out: 32 zero bytes, then each part with its length in four bytes before it.
    written = bytes(32)
    for part in (str(NOW_MS), "acme", "cli:ana", "key.created", "key_1", ""):
        written += len(part).to_bytes(4) + part.encode()
    assert bytes(stored) == hashlib.sha256(written).digest()


async def test_an_untouched_chain_is_whole(connection, chain):
    assert await first_broken_link(connection) is None


async def test_an_empty_trail_is_whole(connection):
    await audit.append(connection, [], NOW)

    assert await rows_in(connection, trail) == 0
    assert await first_broken_link(connection) is None


async def test_a_changed_row_is_found(connection, chain):
    changes = [
        {"account_id": "other"},
        {"at_ms": NOW_MS + 1},
        {"actor": "key_2"},
        {"action": "package.listed"},
        {"subject": "pkg_9"},
        {"patient_index": b"q" * 16},
        {"digest": bytes(32)},
    ]
    for sequence in chain:
        for change in changes:
            async with connection.begin_nested() as savepoint:
                await connection.execute(
                    update(trail).where(trail.c.sequence == sequence).values(**change)
                )
                assert await first_broken_link(connection) == sequence, change
                await savepoint.rollback()

    assert await first_broken_link(connection) is None


async def test_parts_moved_between_neighbouring_columns_are_found(connection, chain):
    await connection.execute(
        update(trail)
        .where(trail.c.sequence == chain[1])
        .values(action="package.viewedp", subject="kg_1")
    )

    assert await first_broken_link(connection) == chain[1]


async def test_a_row_that_was_taken_out_is_found_at_the_next_one(connection, chain):
    for gone, following in pairwise(chain):
        async with connection.begin_nested() as savepoint:
            await connection.execute(delete(trail).where(trail.c.sequence == gone))
            assert await first_broken_link(connection) == following
            await savepoint.rollback()


@pytest.mark.parametrize("sequence", [-1, 1_000_000])
async def test_a_row_that_was_put_in_is_found(connection, chain, sequence):
    forged = {**CREATED._asdict(), "sequence": sequence, "at_ms": NOW_MS, "digest": b"x" * 32}

    await connection.execute(insert(trail).values(forged))

    assert await first_broken_link(connection) == sequence


async def test_a_row_copied_to_the_end_is_found(connection, chain):
    row = (await connection.execute(select(trail).where(trail.c.sequence == chain[2]))).one()

    await connection.execute(insert(trail).values({**row._mapping, "sequence": 99}))

    assert await first_broken_link(connection) == 99


async def test_rows_that_changed_places_are_found(connection, chain):
    for from_, to in ((chain[1], 99), (chain[2], chain[1]), (99, chain[2])):
        await connection.execute(update(trail).where(trail.c.sequence == from_).values(sequence=to))

    assert await first_broken_link(connection) == chain[1]


async def test_what_is_noted_is_stored_when_the_call_returns(database):
    noting = AuditTrail(database, SteppingClock(NOW))

    await noting.note([VIEWED])
    await noting.note([])

    async with database.read() as connection:
        assert await rows_in(connection, trail) == 1


async def test_notes_that_come_together_are_one_chain_in_their_order(database):
    noting = AuditTrail(database, SteppingClock(NOW))

    waiting = [asyncio.create_task(noting.note([entry])) for entry in entries(20)]
    await asyncio.sleep(0)
    await noting.drained()

    assert all(each.done() for each in waiting)
    async with database.read() as connection:
        found = await connection.execute(select(trail.c.subject).order_by(trail.c.sequence))
        assert list(found.scalars()) == [f"pkg_{place}" for place in range(20)]
        assert await first_broken_link(connection) is None


async def test_processes_that_append_at_once_keep_one_chain(database):
    async def write(number):
        async with database.begin() as connection:
            await audit.append(connection, [VIEWED._replace(subject=f"pkg_{number}")] * 3, NOW)

    await asyncio.gather(*(write(number) for number in range(30)))

    async with database.read() as connection:
        assert await rows_in(connection, trail) == 90
        assert await first_broken_link(connection) is None


async def test_what_is_rolled_back_leaves_the_chain_whole(database):
    async def give_up():
        async with database.begin() as connection:
            await audit.append(connection, [VIEWED], NOW)
            raise ValueError

    async with database.begin() as connection:
        await audit.append(connection, [CREATED], NOW)
    with pytest.raises(ValueError, match=r"^$"):
        await give_up()
    async with database.begin() as connection:
        await audit.append(connection, [VIEWED], NOW)

        assert await rows_in(connection, trail) == 2
        assert await first_broken_link(connection) is None
