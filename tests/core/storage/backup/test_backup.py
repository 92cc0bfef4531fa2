"""A backup is one moment of the whole database, and restoring it gives that moment back."""

import asyncio
import sqlite3
import sys
from contextlib import ExitStack, closing
from datetime import timedelta

import pytest
from core.storage.old_rows import BOARD, STORES, ago
from core.storage.people_rows import ENDED_BY_A_RESTORE
from core.storage.plugin_folders import CORE_HEAD, Plugin
from core.storage.rows import KEYRING, LIVE, NOW, SEALER, draft, new_package, rows_in
from core.storage.saved import SHELF, Shelves, contents, furnish, opened, restoring, save
from sqlalchemy import func, insert, select, text, update

from gateway.clock import to_epoch_ms
from gateway.errors import ConfigurationError, Conflict, StorageError
from gateway.storage.backup import restore
from gateway.storage.backup.format import verify
from gateway.storage.crypto.key_binding import UNBOUND, KeyBinder
from gateway.storage.database import Database
from gateway.storage.maintenance.migrate import heads_of
from gateway.storage.maintenance.space import extent
from gateway.storage.schema import api_keys, audit, deliveries, events, facts, packages
from gateway.storage.stores import audit_chain
from gateway.storage.stores.accounts import AccountStore
from gateway.storage.stores.audit_chain import first_broken_link
from gateway.storage.stores.installation import read_fact
from gateway.storage.stores.outbox import NewDelivery
from gateway.version import __version__, build_id

pytestmark = pytest.mark.slow

KINDS = ("sqlite", pytest.param("postgresql", marks=pytest.mark.slow))


@pytest.fixture
def empty(tmp_path, request):
    """Make addresses of empty databases: ``empty("sqlite")``."""
    with ExitStack() as stack:
        made = []

        def make(kind):
            if kind == "postgresql":
                server = request.getfixturevalue("postgres_server")
                return stack.enter_context(server.fresh_database())
            made.append(tmp_path / f"data{len(made)}")
            return f"sqlite+aiosqlite:///{made[-1] / 'gateway.db'}"

        yield make


@pytest.fixture
def target(tmp_path):
    return tmp_path / "kept" / "gateway.backup"


@pytest.fixture
async def furnished(empty_database_url, tmp_path):
    """A database with something in every table."""
    database = await opened(empty_database_url, tmp_path)
    await furnish(database)
    yield database
    await database.close()


@pytest.mark.parametrize("there", KINDS)
@pytest.mark.parametrize("here", KINDS)
async def test_what_was_saved_from_either_database_is_restored_into_either(
    empty, here, there, target, tmp_path
):
    # Given a database with something in every table, a plugin's tables among them
    plugin = Shelves(tmp_path)
    source = await opened(empty(here), tmp_path, [plugin.tables])
    await furnish(source, plugin)
    before = await contents(source, [plugin.tables])
    manifest = await save(source, target, [plugin.tables])
    await source.close()

    # When the backup is restored into an empty one
    url = empty(there)
    assert await restoring(target, [plugin.tables]).into(url) == manifest

    # Then every row is the same, but that the restore is in the audit trail, and that sessions,
    # invitations and codes have ended: they may have been used or withdrawn since
    restored = await opened(url, tmp_path, [plugin.tables])
    after = await contents(restored, [plugin.tables])
    entry = after["audit"].pop()
    if here != there and "sqlite" in {here, there}:  # SQLite keeps no zone, and it is UTC
        for row in (*before["acme_shelves"], *after["acme_shelves"]):
            row["aware"] = row["aware"].replace(tzinfo=None)
    assert after == before | {name: [] for name in ENDED_BY_A_RESTORE}
    empty_here = {"sites", "recoveries", "disclosures", "plan_usage", "files", "file_chunks"}
    empty_here |= {"job_runs", "plugin_credentials", "plugin_inbox", "plugin_state"}
    empty_here.add("changes")  # a feed of the last minutes
    assert all(rows for name, rows in before.items() if name not in empty_here)
    assert (entry["actor"], entry["action"], entry["subject"]) == (
        "cli:ana",
        "backup.restored",
        "gateway.backup",
    )

    # And it works: the chain holds, values open, numbers go on, space comes back
    async with restored.begin() as connection:
        assert await first_broken_link(connection, SEALER) is None
        assert {CORE_HEAD, "acme_0001"} == await heads_of(connection)
        [package, *_] = await STORES.packages.search(
            connection, LIVE, "external_order_id", "SO-1001", limit=1
        )
        assert package.order.patient_name == "Maria Rodriguez"
        before_next = (await connection.execute(select(func.max(events.c.sequence)))).scalar()
        [event] = await STORES.events.append(connection, [draft(moment=NOW)], NOW)
        following = select(events.c.sequence).where(events.c.id == event.id)
        assert (await connection.execute(following)).scalar() == before_next + 1
        await connection.execute(insert(plugin.shelves).values(**SHELF))
        numbers = await connection.execute(select(plugin.shelves.c.sequence))
        assert sorted(numbers.scalars()) == [1, 2, 3]
    assert (await extent(restored)).releases_space
    await restored.close()


async def test_a_backup_says_what_it_is(furnished, target):
    manifest = await save(furnished, target)

    assert verify(target, KEYRING) == manifest
    assert (manifest.version, manifest.created_at, manifest.dialect) == (
        f"{__version__}+{build_id()}",
        NOW,
        furnished.dialect,
    )
    assert (manifest.heads, manifest.left_out) == ((CORE_HEAD,), ())
    assert manifest.keyring == KEYRING.fingerprint()
    counts = {table.name: table.rows for table in manifest.tables}
    assert (counts["packages"], counts["events"], counts["audit"]) == (3, 3, 3)
    assert manifest.rows == sum(counts.values())


async def test_a_backup_is_its_owner_s_alone_and_nothing_else_is_left(furnished, target):
    await save(furnished, target)

    assert [each.name for each in target.parent.iterdir()] == ["gateway.backup"]
    assert target.stat().st_mode & 0o777 == 0o600
    assert target.parent.stat().st_mode & 0o777 == 0o700


async def test_nothing_of_a_patient_or_of_a_key_is_in_a_backup(furnished, target):
    await save(furnished, target)

    content = target.read_bytes()
    for secret in (b"Maria", b"RX-88", b"sk_live", b"SO-2", b"pkg_", KEYRING.index_key):
        assert secret not in content


async def test_a_backup_overwrites_nothing(furnished, target):
    target.parent.mkdir()
    target.write_text("mine")

    with pytest.raises(Conflict, match=r"gateway\.backup is there already: name another file\.$"):
        await save(furnished, target)

    assert target.read_text() == "mine"


async def test_where_a_backup_can_not_be_written_a_sentence_says_so(furnished, tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(StorageError, match=r"^The backup could not be written \(\w+\): see that"):
        await save(furnished, tmp_path / "file" / "gateway.backup")


async def test_progress_is_reported(furnished, target, tmp_path, empty):
    told, restored = [], []

    await save(furnished, target, on_progress=lambda *news: told.append(news))
    on_progress = lambda *news: restored.append(news)  # noqa: E731 - as short as the one above
    await restoring(target, on_progress=on_progress).into(empty("sqlite"))

    assert ("packages", 3, 3) in told
    assert restored == told


# While somebody writes


async def test_a_backup_is_one_moment_while_writes_go_on(furnished, target, empty, tmp_path):
    """Each order comes with its event and its delivery: a backup has all three or none."""
    stop = asyncio.Event()

    async def write() -> int:
        number = 0
        while not stop.is_set():
            moment = NOW + timedelta(milliseconds=number)
            order = new_package(moment=moment, external_order_id=f"W-{number}")
            async with furnished.begin() as connection:
                await STORES.packages.insert(connection, [order])
                [event] = await STORES.events.append(
                    connection, [draft(moment=moment, subject=order.id)], moment
                )
                new = NewDelivery("acme", BOARD.id, event.id, "x", order.id, in_order=False)
                await STORES.outbox.queue(connection, [new], moment)
            number += 1
        return number

    writing = asyncio.create_task(write())
    manifests = [await save(furnished, target.with_name(f"{n}.backup")) for n in range(5)]
    stop.set()
    written = await writing

    for number, manifest in enumerate(manifests):
        counts = {table.name: table.rows for table in manifest.tables}
        assert counts["packages"] == counts["events"] == counts["deliveries"]
        if number:
            continue
        url = empty("sqlite")
        await restoring(target.with_name(f"{number}.backup")).into(url)
        restored = await opened(url, tmp_path)
        async with restored.read() as connection:
            subjects = set((await connection.execute(select(events.c.subject))).scalars())
            assert subjects == set((await connection.execute(select(packages.c.id))).scalars())
            sent = set((await connection.execute(select(deliveries.c.subject))).scalars())
            assert sent == subjects
        await restored.close()
    assert written > 5


# Restore


async def test_deliveries_that_were_leased_come_due_again(furnished, target, empty, tmp_path):
    later = NOW + timedelta(hours=1)
    async with furnished.begin() as connection:
        await connection.execute(
            update(deliveries)
            .where(deliveries.c.state == "pending")
            .values(lease="theirs", due_at_ms=to_epoch_ms(later))
        )
    await save(furnished, target)

    url = empty("sqlite")
    await restoring(target, now=NOW + timedelta(minutes=1)).into(url)

    restored = await opened(url, tmp_path)
    async with restored.read() as connection:
        pending = select(deliveries).where(deliveries.c.state == "pending")
        [row] = await connection.execute(pending)
    assert (row.lease, row.due_at_ms) == (None, to_epoch_ms(NOW + timedelta(minutes=1)))
    await restored.close()


async def test_keys_from_before_there_were_bindings_have_theirs_after_a_restore(
    furnished, target, empty, tmp_path
):
    async with furnished.begin() as connection:
        await connection.execute(update(api_keys).values(binding=None, scopes="legacy"))
        await connection.execute(insert(facts).values(name=UNBOUND, value="1"))
    await save(furnished, target)

    url = empty("sqlite")
    await restoring(target).into(url)

    restored = await opened(url, tmp_path)
    async with restored.read() as connection:
        [key] = await AccountStore().list_keys(connection)
        assert await read_fact(connection, UNBOUND) is None
    assert KeyBinder(KEYRING).is_bound(key)
    await restored.close()


@pytest.mark.parametrize("there", KINDS)
async def test_a_database_that_holds_something_is_replaced_by_force_only(
    furnished, target, empty, there, tmp_path
):
    await save(furnished, target)
    url = empty(there)
    other = await opened(url, tmp_path)
    async with other.begin() as connection:
        await STORES.packages.insert(connection, [new_package(external_order_id="OTHER")])
    await other.close()

    with pytest.raises(Conflict) as refused:
        await restoring(target).into(url)

    assert refused.value.message == (
        "The database holds data already (in packages): name an empty one, or use --force to "
        "replace all of it."
    )
    other = await opened(url, tmp_path)
    async with other.read() as connection:
        assert await rows_in(connection, packages) == 1
    await other.close()

    await restoring(target).into(url, force=True)

    other = await opened(url, tmp_path)
    expected = await contents(furnished) | {name: [] for name in ENDED_BY_A_RESTORE}
    assert {**await contents(other), "audit": None} == {**expected, "audit": None}
    await other.close()


@pytest.mark.parametrize("there", KINDS)
async def test_a_database_that_a_gateway_only_started_on_counts_as_empty(
    furnished, target, empty, there, tmp_path
):
    await save(furnished, target)
    url = empty(there)
    started = await opened(url, tmp_path)
    async with started.begin() as connection:
        await connection.execute(insert(facts).values(name="keyring", value="another"))
        await STORES.accounts.ensure(connection, "default", NOW)
    await started.close()

    await restoring(target).into(url)

    started = await opened(url, tmp_path)
    assert (await contents(started))["facts"] == (await contents(furnished))["facts"]
    await started.close()


@pytest.mark.parametrize("there", KINDS)
async def test_nothing_is_restored_while_another_process_has_the_database_open(
    furnished, target, empty, there, tmp_path
):
    await save(furnished, target)
    url = empty(there)
    serving = await opened(url, tmp_path)  # its pool keeps a connection

    with pytest.raises(Conflict, match=r"^The database is in use by another process, such as"):
        await restoring(target).into(url, force=True)

    async with serving.read() as connection:
        assert await rows_in(connection, packages) == 0
    await serving.close()
    await restoring(target).into(url)


@pytest.mark.parametrize("there", KINDS)
async def test_what_fails_half_way_leaves_everything_as_it_was(
    furnished, target, empty, there, tmp_path, monkeypatch
):
    await save(furnished, target)
    url = empty(there)
    other = await opened(url, tmp_path)
    async with other.begin() as connection:
        await STORES.packages.insert(connection, [new_package(external_order_id="OTHER")])
    before = await contents(other)
    await other.close()

    def full_disk(value, column):
        if column.table.name == "packages":
            raise OSError(28, "No space left on device")
        return value

    monkeypatch.setattr(restore, "column_value", full_disk)
    with pytest.raises(StorageError) as failed:
        await restoring(target).into(url, force=True)

    assert failed.value.message == (
        "The backup could not be restored (OSError), and nothing was changed: see that the "
        "database can be written, and that there is room."
    )
    other = await opened(url, tmp_path)
    assert await contents(other) == before
    await other.close()


@pytest.mark.skipif(sys.platform == "win32", reason="modes say nothing on Windows")
async def test_a_restored_file_and_its_folder_are_their_owner_s_alone(furnished, target, tmp_path):
    await save(furnished, target)
    place = tmp_path / "new" / "gateway.db"

    await restoring(target).into(f"sqlite+aiosqlite:///{place}")

    modes = [each.stat().st_mode & 0o777 for each in (place, place.parent)]
    assert modes == [0o600, 0o700]


async def test_a_restore_that_fails_leaves_no_new_file(furnished, target, tmp_path, monkeypatch):
    await save(furnished, target)
    place = tmp_path / "new" / "gateway.db"

    def full_disk(_value, _column):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(restore, "column_value", full_disk)
    with pytest.raises(StorageError):
        await restoring(target).into(f"sqlite+aiosqlite:///{place}")

    assert list(place.parent.iterdir()) == []


async def test_a_file_that_is_no_database_is_left_alone(furnished, target, tmp_path):
    await save(furnished, target)
    place = tmp_path / "letter.txt"
    place.write_text("Dear Maria, " * 1000)

    with pytest.raises(StorageError, match=r"could not be restored \(DatabaseError\)"):
        await restoring(target).into(f"sqlite+aiosqlite:///{place}", force=True)

    assert place.read_text() == "Dear Maria, " * 1000


async def test_a_stranger_s_sqlite_file_is_not_replaced_unasked(furnished, target, tmp_path):
    await save(furnished, target)
    place = tmp_path / "theirs.db"
    with closing(sqlite3.connect(place)) as theirs:
        theirs.execute("CREATE TABLE sqlitely (a INTEGER PRIMARY KEY AUTOINCREMENT)")
        theirs.execute("INSERT INTO sqlitely VALUES (1)")
        theirs.commit()

    with pytest.raises(Conflict, match=r"holds data already \(in sqlitely\)"):
        await restoring(target).into(f"sqlite+aiosqlite:///{place}")


async def test_other_tables_of_a_postgresql_database_stay(furnished, target, empty):
    await save(furnished, target)
    url = empty("postgresql")
    shared = Database(url)
    async with shared.begin() as connection:
        await connection.execute(text("CREATE TABLE theirs (a INTEGER)"))
        await connection.execute(text("INSERT INTO theirs VALUES (1)"))
    await shared.close()

    await restoring(target).into(url)

    async with shared.read() as connection:
        assert (await connection.execute(text("SELECT a FROM theirs"))).scalar() == 1
        assert await rows_in(connection, packages) == 3
    await shared.close()


# Versions and plugins


async def test_an_older_schema_is_restored_and_brought_up_to_date(target, empty, tmp_path):
    # Given a backup from before a plugin's second migration
    plugin = Plugin(tmp_path)
    source = await opened(empty("sqlite"), tmp_path, [plugin.tables])
    async with source.begin() as connection:
        await connection.execute(text("INSERT INTO acme_orders VALUES ('1')"))
    await save(source, target, [plugin.tables])
    await source.close()

    # When it is restored by a version that has that
    note = "ALTER TABLE {label}_orders ADD COLUMN note TEXT DEFAULT 'none'"
    (plugin.folder / "0002.py").write_text(
        "from alembic import op\nrevision = 'acme_0002'\ndown_revision = 'acme_0001'\n"
        "branch_labels = None\ndepends_on = None\n\n\n"
        f"def upgrade():\n    op.execute({note.format(label='acme')!r})\n"
    )
    url = empty("postgresql")
    await restoring(target, [plugin.tables]).into(url)

    restored = Database(url)
    async with restored.read() as connection:
        assert await heads_of(connection) == {CORE_HEAD, "acme_0002"}
        rows = await connection.execute(text("SELECT id, note FROM acme_orders"))
        assert list(rows) == [("1", "none")]
    await restored.close()


async def test_what_a_migration_put_there_is_not_there_twice(target, empty, tmp_path):
    plugin = Plugin(tmp_path)
    script = plugin.folder / "0001.py"
    seeded = script.read_text() + "    op.execute(\"INSERT INTO acme_orders VALUES ('seed')\")\n"
    script.write_text(seeded)
    source = await opened(empty("sqlite"), tmp_path, [plugin.tables])
    await save(source, target, [plugin.tables])
    await source.close()

    url = empty("sqlite")
    await restoring(target, [plugin.tables]).into(url)

    restored = Database(url)
    async with restored.read() as connection:
        rows = await connection.execute(text("SELECT id FROM acme_orders"))
        assert list(rows.scalars()) == ["seed"]
    await restored.close()


async def test_a_plugin_that_is_off_is_left_out_and_named(target, empty, tmp_path):
    plugin = Plugin(tmp_path)
    source = await opened(empty("sqlite"), tmp_path, [plugin.tables])

    manifest = await save(source, target)

    assert (manifest.heads, manifest.left_out) == ((CORE_HEAD,), ("acme_0001",))
    assert "acme_orders" not in {table.name for table in manifest.tables}
    await source.close()


async def test_a_backup_with_a_plugin_that_is_not_here_is_refused(target, empty, tmp_path):
    plugin = Plugin(tmp_path)
    source = await opened(empty("sqlite"), tmp_path, [plugin.tables])
    await save(source, target, [plugin.tables])
    await source.close()

    with pytest.raises(ConfigurationError) as refused:
        await restoring(target).into(empty("sqlite"))

    assert refused.value.message == (
        f"The backup was made by version {__version__}+{build_id()} with parts that are not here "
        "(acme_0001): install that version, enable the same plugins."
    )


async def test_a_postgresql_database_with_a_plugin_that_is_off_is_left_alone(
    target, empty, tmp_path
):
    plugin, url = Plugin(tmp_path), empty("postgresql")
    source = await opened(url, tmp_path, [plugin.tables])
    await save(source, target)
    await source.close()

    with pytest.raises(Conflict, match=r"not enabled, or of a newer version \(acme_0001\): name"):
        await restoring(target).into(url, force=True)


async def test_tables_that_do_not_fit_are_refused(furnished, target, empty, monkeypatch):
    """A version that isn't released yet may have other tables under the same revision."""
    manifest = await save(furnished, target)
    odd = [
        type(table)(table.name, (*table.columns[:-1], "odd"), table.rows)
        if table.name == "packages"
        else table
        for table in manifest.tables
    ]
    changed = type(manifest)(
        **{
            name: getattr(manifest, name) for name in manifest.__struct_fields__ if name != "tables"
        },
        tables=tuple(odd),
    )
    monkeypatch.setattr(restore, "verify", lambda _path, _keyring: changed)

    with pytest.raises(StorageError, match=r"^The backup's table packages doesn't fit: it was"):
        await restoring(target).into(empty("sqlite"))


async def test_a_file_that_is_replaced_while_it_is_read_is_refused(
    furnished, target, empty, monkeypatch
):
    first = await save(furnished, target)
    async with furnished.begin() as connection:
        await STORES.packages.insert(connection, [new_package(external_order_id="NEW")])
    second = target.with_name("second.backup")
    await save(furnished, second)

    def checked(path, _keyring):
        second.replace(path)
        return first

    monkeypatch.setattr(restore, "verify", checked)
    with pytest.raises(StorageError, match=r"was replaced while it was read; nothing was changed"):
        await restoring(target).into(empty("sqlite"))


async def test_a_backup_that_is_not_there_is_reported_in_a_sentence(tmp_path, empty):
    with pytest.raises(StorageError) as refused:
        await restoring(tmp_path / "gone.backup").into(empty("sqlite"))

    assert (
        refused.value.message
        == f"{tmp_path / 'gone.backup'} can't be read: no such file or directory."
    )


async def test_the_audit_trail_continues_after_a_restore(furnished, target, empty, tmp_path):
    await save(furnished, target)
    url = empty("postgresql")
    await restoring(target).into(url)

    restored = await opened(url, tmp_path)
    async with restored.begin() as connection:
        assert await rows_in(connection, audit) == 4
        newest = select(audit).order_by(audit.c.sequence.desc()).limit(2)
        noted, before = (await connection.execute(newest)).all()
        head = f"{before.sequence}:{bytes(before.digest).hex()}"
        assert noted.action == "backup.restored"
        assert audit_chain.opened(SEALER, noted, "detail") == (
            f"head of the backup {head}, head before it none"
        )
        assert await first_broken_link(connection, SEALER) is None
    assert ago(0) == NOW
    await restored.close()
