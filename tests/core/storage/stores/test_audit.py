"""The audit trail: a row that was changed, taken out or put in shows."""

import asyncio
import hashlib
import hmac
from itertools import pairwise

import msgspec
import pytest
from core.storage.rows import KEYRING, NOW, NOW_MS, SEALER, newest_only, rows_in
from sqlalchemy import delete, func, insert, select, update

from gateway.clock import SteppingClock
from gateway.errors import InvalidInput
from gateway.model.audit import AuditEntry, PatientKeys
from gateway.storage.crypto.encryption import Sealer
from gateway.storage.crypto.keyring import derived_key
from gateway.storage.crypto.reencryption import reseal
from gateway.storage.schema import audit as trail
from gateway.storage.schema import patient_lookups
from gateway.storage.stores import audit_chain
from gateway.storage.stores.audit import AuditTrail
from gateway.storage.stores.audit_chain import Head, holds, opened, read_head, verify

KEYS = PatientKeys("pkg_1", b"p" * 16, (b"r" * 16, b"s" * 16), b"t" * 16, b"n" * 16)
VIEWED = AuditEntry(
    "acme", "key_1", "package.viewed", "pkg_1", KEYS, kind="reveal", fields=("contact", "rx"),
    site="main", purpose="care", via="key", address="192.0.2.7", detail="a note",
)  # fmt: skip
CREATED = AuditEntry("acme", "cli:1000", "key.created", "key_1", kind="create", via="cli")


async def append(connection, entries, sealer=SEALER):
    await audit_chain.append(connection, sealer, entries, NOW)


async def first_broken_link(connection):
    return await audit_chain.first_broken_link(connection, SEALER)


def entries(count):
    return [msgspec.structs.replace(VIEWED, subject=f"pkg_{place}") for place in range(count)]


@pytest.fixture
async def chain(connection):
    """Append five entries in three transactions' worth; returns their sequences."""
    five = entries(5)
    await append(connection, five[:2])
    await append(connection, five[2:3])
    await append(connection, five[3:])
    rows = await connection.execute(select(trail.c.sequence).order_by(trail.c.sequence))
    return list(rows.scalars())


async def test_an_entry_says_who_did_what_when_and_in_whose_record(connection):
    await append(connection, [VIEWED, CREATED])

    rows = (await connection.execute(select(trail).order_by(trail.c.sequence))).all()

    assert [row[1:6] for row in rows] == [
        ("acme", NOW_MS, "key_1", "package.viewed", "pkg_1"),
        ("acme", NOW_MS, "cli:1000", "key.created", "key_1"),
    ]
    first = rows[0]
    assert (first.kind, first.fields, first.site) == ("reveal", "contact,rx", "main")
    assert (first.purpose, first.via, first.outcome) == ("care", "key", "done")
    assert opened(SEALER, first, "address") == "192.0.2.7"
    assert opened(SEALER, first, "detail") == "a note"
    assert b"192.0.2.7" not in bytes(first.address)


async def test_an_entry_is_found_by_each_value_that_is_known_of_the_patient(connection):
    await append(connection, [VIEWED, CREATED])

    rows = (await connection.execute(select(patient_lookups))).all()
    owners = (await connection.execute(select(trail.c.id).order_by(trail.c.sequence))).scalars()

    assert sorted((row.owner, row.name, bytes(row.value)) for row in rows) == [
        (owner, name, value)
        for owner in [owners.first()]
        for name, value in [
            ("name_address", b"n" * 16),
            ("package", b"pkg_1"),
            ("patient", b"p" * 16),
            ("phone", b"t" * 16),
            ("rx", b"r" * 16),
            ("rx", b"s" * 16),
        ]
    ]


async def test_the_digest_is_keyed_and_covers_the_row_and_the_digest_before_it(connection):
    await append(connection, [CREATED])

    row = (await connection.execute(select(trail))).one()

    # Written out: 32 zero bytes, then each part with its length in four bytes before it.
    key = derived_key(bytes(range(32, 64)), "rx-gateway audit chain v1")
    parts = (
        "1", row.id, str(NOW_MS), "acme", "cli:1000", "key.created", "key_1", "create", "", None,
        "operations", "cli", None, "done", None, None,
    )  # fmt: skip
    written = bytes(32)
    for part in parts:
        written += b"\xff" * 4 if part is None else len(part).to_bytes(4) + part.encode()
    assert bytes(row.digest) == hmac.digest(key, written, "sha256")


async def test_an_untouched_chain_is_whole(connection, chain):
    assert await first_broken_link(connection) is None


async def test_an_empty_trail_is_whole(connection):
    await append(connection, [])

    assert await rows_in(connection, trail) == 0
    assert await first_broken_link(connection) is None


async def test_a_changed_row_is_found(connection, chain):
    changes = [
        {"account_id": "other"},
        {"at_ms": NOW_MS + 1},
        {"actor": "key_2"},
        {"action": "package.listed"},
        {"subject": "pkg_9"},
        {"kind": "view"},
        {"fields": "contact"},
        {"site": None},
        {"purpose": "legal"},
        {"via": "page"},
        {"session": "ses_1"},
        {"outcome": "denied"},
        {"address": None},
        {"detail": SEALER.seal(b"another", table="audit", row_id="aud_1:detail")},
        {"id": "aud_1"},
        {"chain_key": None},
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
    forged = {
        "account_id": "acme",
        "actor": "cli:1000",
        "action": "key.created",
        "subject": "key_1",
        "sequence": sequence,
        "at_ms": NOW_MS,
        "digest": b"x" * 32,
    }

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
    noting = AuditTrail(database, SEALER, SteppingClock(NOW))

    await noting.note([VIEWED])
    await noting.note([])

    async with database.read() as connection:
        assert await rows_in(connection, trail) == 1


async def test_notes_that_come_together_are_one_chain_in_their_order(database):
    noting = AuditTrail(database, SEALER, SteppingClock(NOW))

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
            await append(connection, [msgspec.structs.replace(VIEWED, subject=f"pkg_{number}")] * 3)

    await asyncio.gather(*(write(number) for number in range(30)))

    async with database.read() as connection:
        assert await rows_in(connection, trail) == 90
        assert await first_broken_link(connection) is None


async def test_what_is_rolled_back_leaves_the_chain_whole(database):
    async def give_up():
        async with database.begin() as connection:
            await append(connection, [VIEWED])
            raise ValueError

    async with database.begin() as connection:
        await append(connection, [CREATED])
    with pytest.raises(ValueError, match=r"^$"):
        await give_up()
    async with database.begin() as connection:
        await append(connection, [VIEWED])

        assert await rows_in(connection, trail) == 2
        assert await first_broken_link(connection) is None


async def test_look_ups_changed_taken_out_or_put_in_are_found(connection, chain):
    sequence = select(trail.c.id).where(trail.c.sequence == chain[2])
    owner = (await connection.execute(sequence)).scalar_one()
    of_this = patient_lookups.c.owner == owner
    forged = {"owner": owner, "name": "rx", "value": b"z" * 16}
    for change in (
        delete(patient_lookups).where(of_this, patient_lookups.c.name == "phone"),
        update(patient_lookups)
        .where(of_this, patient_lookups.c.name == "phone")
        .values(value=b"y" * 16),
        insert(patient_lookups).values(forged),
    ):
        async with connection.begin_nested() as savepoint:
            await connection.execute(change)
            assert await first_broken_link(connection) == chain[2]
            await savepoint.rollback()


async def test_a_chain_recomputed_without_the_key_is_found(connection, chain):
    stranger = Sealer(another_keyring())
    await connection.execute(delete(trail))
    await connection.execute(delete(patient_lookups))

    await append(connection, entries(5), stranger)

    assert await first_broken_link(connection) is not None


def another_keyring():
    return type(KEYRING)(KEYRING.index_key, ((1, bytes(range(64, 96))),))


async def test_a_chain_recomputed_in_the_form_without_a_key_is_found(connection, chain):
    await connection.execute(delete(trail))
    await connection.execute(delete(patient_lookups))

    await put_old_rows(connection, 5)

    found = await verify(connection, SEALER)
    [fault] = found.faults
    assert fault.startswith("no row is chained with a key")


async def put_old_rows(connection, count, digest=bytes(32)):
    """Write rows as the first version did."""
    for place in range(count):
        parts = (str(NOW_MS), "acme", "cli:ana", "key.created", f"key_{place}", "")
        written = b"".join(len(part).to_bytes(4) + part.encode() for part in parts)
        digest = hashlib.sha256(digest + written).digest()
        await connection.execute(
            insert(trail).values(
                account_id="acme",
                actor="cli:ana",
                action="key.created",
                subject=f"key_{place}",
                at_ms=NOW_MS,
                digest=digest,
            )
        )


async def test_rows_of_the_first_version_are_covered_by_the_first_with_a_key(database):
    keeping = AuditTrail(database, SEALER, SteppingClock(NOW))
    async with database.begin() as connection:
        await put_old_rows(connection, 3)

        await keeping.begin_keyed(connection, NOW)
        await keeping.begin_keyed(connection, NOW)

        found = await verify(connection, SEALER)
        assert (found.rows, found.unkeyed, found.faults) == (4, 3, [])
        await connection.execute(
            update(trail).where(trail.c.subject == "key_1").values(actor="cli:bob")
        )
        assert (await verify(connection, SEALER)).broken_at is not None


async def test_a_row_without_a_key_behind_one_with_a_key_is_found(connection, chain):
    head = await read_head(connection)

    await put_old_rows(connection, 1, head.digest)

    assert await first_broken_link(connection) == head.sequence + 1


async def test_the_newest_rows_taken_out_are_found_by_a_head_that_was_kept(connection, chain):
    kept = Head.parse(str(await read_head(connection)))
    assert await holds(connection, kept)

    await connection.execute(delete(trail).where(trail.c.sequence == chain[-1]))

    assert await first_broken_link(connection) is None  # the chain alone doesn't show it
    assert not await holds(connection, kept)


async def test_a_row_written_in_place_of_the_newest_is_found_by_the_head(connection, chain):
    kept = await read_head(connection)
    await connection.execute(delete(trail).where(trail.c.sequence == chain[-1]))

    await append(connection, [CREATED])
    await connection.execute(
        update(trail).where(trail.c.action == "key.created").values(sequence=chain[-1])
    )

    assert not await holds(connection, kept)


@pytest.mark.parametrize(
    "text", ["", "12", "12:", "x:" + "0" * 64, "12:" + "0" * 62, "-1:" + "0" * 64]
)
def test_a_head_that_is_none_is_refused(text):
    with pytest.raises(InvalidInput, match="A head is a number, a colon and 64 hex digits"):
        Head.parse(text)


async def test_only_the_newest_rows_can_be_verified(connection, chain):
    await connection.execute(
        update(trail).where(trail.c.sequence == chain[0]).values(actor="key_2")
    )

    assert (await verify(connection, SEALER, newest=3)).faults == []
    assert (await verify(connection, SEALER, newest=3)).rows == 3
    assert (await verify(connection, SEALER, newest=5)).broken_at == chain[0]


async def test_the_chain_survives_a_rotation_and_sealing_again(database):
    rotated = KEYRING.rotated()
    sealer = Sealer(rotated)
    async with database.begin() as connection:
        await append(connection, entries(3))
        await append(connection, entries(2), sealer)

    async for _ in reseal(database, sealer):
        pass

    async with database.read() as connection:
        found = await verify(connection, sealer)
        assert (found.rows, found.faults) == (5, [])
        keys = await connection.execute(select(trail.c.chain_key).order_by(trail.c.sequence))
        assert list(keys.scalars()) == [1, 1, 1, 2, 2]
        rows = (await connection.execute(select(trail))).all()
        assert {opened(Sealer(newest_only(rotated)), row, "detail") for row in rows} == {"a note"}


async def test_rows_of_a_key_that_is_gone_are_reported_and_still_covered(database):
    rotated = KEYRING.rotated()
    async with database.begin() as connection:
        await append(connection, entries(3))
        await append(connection, entries(2), Sealer(rotated))

        found = await verify(connection, Sealer(newest_only(rotated)))
        assert found.broken_at is None
        [fault] = found.faults
        assert fault.startswith("3 rows were chained with seal key 1, which is not in the")

        await connection.execute(
            update(trail).where(trail.c.subject == "pkg_2").values(digest=bytes(32))
        )
        assert (await verify(connection, Sealer(newest_only(rotated)))).broken_at is not None


async def test_views_of_one_record_by_one_key_are_one_entry_for_ten_minutes(database):
    clock = SteppingClock(NOW)
    keeping = AuditTrail(database, SEALER, clock)
    other_key = msgspec.structs.replace(VIEWED, actor="key_2")
    other_record = msgspec.structs.replace(VIEWED, subject="pkg_2")
    changed = msgspec.structs.replace(VIEWED, kind="change")

    async def written():
        async with database.read() as connection:
            return await connection.scalar(select(func.count()).select_from(trail))

    await keeping.note([VIEWED])
    await keeping.note([VIEWED])
    assert await written() == 1
    await keeping.note([VIEWED, other_key, other_record])
    assert await written() == 3
    await keeping.note([changed])
    await keeping.note([changed])
    assert await written() == 5
    clock.step(599)
    await keeping.note([VIEWED])
    assert await written() == 5
    clock.step(1)
    await keeping.note([VIEWED])
    assert await written() == 6
