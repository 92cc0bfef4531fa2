"""After a rotation everything is sealed again with the newest key, and opens as before."""

from types import SimpleNamespace

import pytest
from core.storage.rows import (
    KEYRING,
    LIVE,
    NOW,
    delivered,
    destination,
    draft,
    failed,
    new_package,
    newest_only,
    queued,
    stores,
)
from sqlalchemy import Column, LargeBinary, MetaData, Table, Text, insert, select

from gateway.clock import SteppingClock
from gateway.errors import SealError
from gateway.sdk.credentials import Credential, Token
from gateway.sdk.inbox import Inbox
from gateway.storage import schema
from gateway.storage.crypto import reencryption
from gateway.storage.crypto.encryption import Sealer, key_id_of
from gateway.storage.crypto.reencryption import Progress, reseal
from gateway.storage.plugin_tables import SealedColumn
from gateway.storage.stores.delivery_log import AttemptFilter
from gateway.storage.stores.inbox_items import Arrival
from gateway.storage.stores.package_lists import PackageFilter
from gateway.storage.stores.plugin_state import PluginState

ROTATED = KEYRING.rotated()
ONLY_THE_NEW = newest_only(ROTATED)
SEALED = (
    schema.packages.c.payload,
    schema.events.c.data,
    schema.destinations.c.settings,
    schema.factors.c.secret,
    schema.drafts.c.data,
    schema.saved_views.c.data,
    schema.break_glass.c.data,
    schema.attempts.c.excerpt,
    schema.audit.c.address,
    schema.audit.c.detail,
    schema.file_chunks.c.payload,
    schema.plugin_inbox.c.payload,
    schema.plugin_state.c.payload,
    schema.plugin_credentials.c.secret,
)


async def fill(database, packages=1):
    """Put a value into every place that is sealed; returns the destination."""
    kept, made = stores(), destination(LIVE)
    async with database.begin() as connection:
        await kept.packages.insert(
            connection, [new_package(LIVE, external_order_id=None) for _ in range(packages)]
        )
        await kept.destinations.add(connection, made)
        await queued(connection, made, 2)
        spoke, silent = await kept.outbox.claim(
            connection, made.id, limit=9, now=NOW, lease_seconds=60
        )
        await kept.outbox.settle(
            connection, [delivered(spoke, excerpt=b"Maria"), failed(silent)], NOW
        )
    acme = SimpleNamespace(database=database, sealer=Sealer(KEYRING), clock=SteppingClock(NOW))
    await PluginState("acme", acme).put("synced_to", "Maria")
    await credential(acme).store(Token(access_token="Maria"))
    inbox = Inbox("acme", acme, handle=None)
    async with database.begin() as connection:
        await inbox.add(connection, [Arrival(key="1", body=b"Maria")])
    return made


def credential(gateway):
    return Credential("acme", "api", gateway, obtain=None)


async def key_numbers(database):
    """Return the numbers of the keys that the stored values are sealed with."""
    found = set()
    async with database.read() as connection:
        for column in SEALED:
            values = (await connection.execute(select(column).where(column.is_not(None)))).scalars()
            found |= {key_id_of(bytes(each)) for each in values}
    return found


async def run(database, sealer, **options):
    return [progress async for progress in reseal(database, sealer, **options)]


async def test_everything_is_sealed_again_and_the_old_key_is_needed_no_more(database):
    made = await fill(database)
    assert await key_numbers(database) == {1}

    told = await run(database, Sealer(ROTATED))

    assert told == [
        Progress("packages", 1, 1),
        Progress("events", 2, 2),
        Progress("destinations", 1, 1),
        Progress("factors", 0, 0),
        Progress("drafts", 0, 0),
        Progress("saved_views", 0, 0),
        Progress("break_glass", 0, 0),
        Progress("attempts", 2, 1),
        Progress("audit", 0, 0),
        Progress("audit", 0, 0),
        Progress("file_chunks", 0, 0),
        Progress("plugin_inbox", 1, 1),
        Progress("plugin_state", 1, 1),
        Progress("plugin_credentials", 1, 1),
    ]
    assert await key_numbers(database) == {2}
    kept = stores(Sealer(ONLY_THE_NEW))
    async with database.read() as connection:
        (package,) = await kept.packages.page(connection, LIVE, PackageFilter(9))
        assert package.order.patient_name == "Maria Rodriguez"
        assert len(await kept.events.of_subject(connection, LIVE, "pkg_1")) == 2
        assert await kept.destinations.list(connection, LIVE) == [made]
        tries = await kept.log.attempts_page(connection, LIVE, AttemptFilter(9))
        assert [attempt.excerpt for _, attempt in tries] == ["", "Maria"]
    acme = SimpleNamespace(database=database, sealer=Sealer(ONLY_THE_NEW), clock=SteppingClock(NOW))
    assert await PluginState("acme", acme).get("synced_to", str) == "Maria"
    assert await credential(acme).token() == "Maria"


async def test_look_ups_find_the_same_rows_as_before(database):
    await fill(database)

    await run(database, Sealer(ROTATED))

    async with database.read() as connection:
        found = await stores(Sealer(ONLY_THE_NEW)).packages.search(
            connection, LIVE, "rx_number", "RX-8872341", limit=9
        )
    assert len(found) == 1


async def test_a_second_run_finds_nothing_to_do(database):
    await fill(database)
    sealer = Sealer(ROTATED)
    await run(database, sealer)

    assert [each.resealed for each in await run(database, sealer)] == [0] * len(SEALED)


async def test_it_goes_through_large_tables_a_few_rows_at_a_time(database):
    await fill(database, packages=7)

    told = await run(database, Sealer(ROTATED), rows_at_once=3)

    assert [each for each in told if each.table == "packages"] == [
        Progress("packages", 3, 3),
        Progress("packages", 6, 6),
        Progress("packages", 7, 7),
    ]
    assert await key_numbers(database) == {2}


async def test_it_can_be_stopped_and_started_again(database):
    await fill(database, packages=7)
    sealer = Sealer(ROTATED)
    stopped = reseal(database, sealer, rows_at_once=3)
    assert await anext(stopped) == Progress("packages", 3, 3)
    await stopped.aclose()
    assert await key_numbers(database) == {1, 2}

    told = await run(database, sealer, rows_at_once=3)

    assert told[2] == Progress("packages", 7, 4)
    assert await key_numbers(database) == {2}


async def test_what_is_written_meanwhile_is_sealed_with_the_new_key(database):
    await fill(database)
    new = stores(Sealer(ROTATED))

    async for _ in reseal(database, Sealer(ROTATED)):
        async with database.begin() as connection:
            await new.events.append(connection, [draft()], NOW)

    assert await key_numbers(database) == {2}


async def test_every_sealed_column_of_the_schema_is_known_here():
    """A column that is sealed and not listed would be lost with the old key."""
    names = {"payload", "data", "settings", "excerpt", "address", "detail", "secret"}
    sealed = {
        column
        for table in schema.metadata.sorted_tables
        for column in table.c
        if column.name in names
    }

    assert sealed == set(SEALED)
    assert {(each.table, each.column) for each in reencryption._SEALED} == {
        (column.table, column.name) for column in sealed
    }


async def test_a_running_gateway_takes_up_the_key_that_another_process_rotated_to(database):
    # Given a sealer of before the rotation, which can read the keyring anew
    asked = []

    def read_again():
        asked.append("read")
        return ROTATED

    running = Sealer(KEYRING, read_again)
    before = running.seal(b"Ana", table="packages", row_id="pkg_1")
    assert asked == []

    # When it meets a value that another process sealed
    sealed = Sealer(ROTATED).seal(b"Ana", table="packages", row_id="pkg_1")
    assert running.unseal(sealed, table="packages", row_id="pkg_1") == b"Ana"

    # Then it seals with the new key as well, and still opens what it sealed before
    assert key_id_of(running.seal(b"", table="packages", row_id="pkg_1")) == 2
    assert running.unseal(before, table="packages", row_id="pkg_1") == b"Ana"
    assert asked == ["read"]


async def test_a_key_that_is_nowhere_is_missed_all_the_same():
    sealed = Sealer(ROTATED.rotated()).seal(b"Ana", table="packages", row_id="pkg_1")

    with pytest.raises(SealError, match="seal key number 3 is missing"):
        Sealer(KEYRING, lambda: ROTATED).unseal(sealed, table="packages", row_id="pkg_1")


async def test_the_sealed_columns_of_a_plugins_table_are_sealed_again_too(database):
    metadata = MetaData()
    table = Table(
        "acme_notes",
        metadata,
        Column("id", Text, primary_key=True),
        Column("note", LargeBinary),
    )
    old = Sealer(KEYRING)
    async with database.begin() as connection:
        await connection.run_sync(metadata.create_all)
        rows = [
            {"id": "n1", "note": old.seal(b"ring twice", table="acme_notes", row_id="note/n1")},
            {"id": "n2", "note": None},
        ]
        await connection.execute(insert(table), rows)
    column = SealedColumn(table, "note", ("id",), lambda row: f"note/{row.id}")
    steps = [each async for each in reseal(database, Sealer(ROTATED), [column])]
    async with database.read() as connection:
        notes = (await connection.execute(select(table.c.note).order_by(table.c.id))).scalars()
        first, second = notes

    assert steps[-1] == Progress("acme_notes", 2, 1)
    new = Sealer(ONLY_THE_NEW)
    assert new.unseal(bytes(first), table="acme_notes", row_id="note/n1") == b"ring twice"
    assert second is None
