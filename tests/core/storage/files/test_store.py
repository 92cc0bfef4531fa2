"""Files in the database: erased at their age, backed up, restored, sealed again."""

import asyncio
from datetime import timedelta

import pytest
from core.gateways import LIVE, opened, package, update
from pictures import photo
from sqlalchemy import delete, func, select
from sqlalchemy import update as changed

from gateway.clock import SteppingClock
from gateway.errors import Conflict, NotFound, SealError, Unavailable
from gateway.settings import parse_settings
from gateway.storage.backup.restore import Restore
from gateway.storage.backup.write import write_backup
from gateway.storage.crypto.encryption import Sealer, key_id_of
from gateway.storage.crypto.keyring import load, save
from gateway.storage.crypto.reencryption import reseal
from gateway.storage.files.spool import NewFile, SealedSpool
from gateway.storage.files.store import FileFilter, size_of_files
from gateway.storage.schema import file_chunks, files, packages

RETENTION = "[retention]\npayload_days = 90\nmetadata_days = 730\n"


async def keep(gateway, subject, content=None, kind="photo"):
    """Keep a photo of a package; returns the file."""
    owner = await gateway.files.owner_of_package(LIVE, subject)
    with SealedSpool(20_000_000) as sent:
        sent.write(content or photo())
        kept = await gateway.files.keep(LIVE, owner, NewFile(kind, sent, sent.finish()))
    [file] = await gateway.files.page(LIVE, FileFilter(1, subject=subject))
    assert file.id in kept.answer.decode()
    return file


async def content(gateway, file):
    return b"".join([piece async for piece in await gateway.files.open(file, "test")])


async def delivered(gateway, **fields):
    """Deliver a package with a photo; returns its id, and the file."""
    package_id = await package(gateway, **fields)
    file = await keep(gateway, package_id)
    await gateway.tracking.apply(LIVE, update(package_id, "delivery.completed"))
    return package_id, file


async def count(gateway, table):
    async with gateway.database.read() as connection:
        return (await connection.execute(select(func.count()).select_from(table))).scalar_one()


def days(number):
    return timedelta(days=number).total_seconds()


async def test_files_go_with_what_their_package_carries(database_url, tmp_path):
    clock = SteppingClock()
    async with opened(database_url, tmp_path, toml=RETENTION, clock=clock) as gateway:
        await delivered(gateway)
        waiting = await package(gateway)
        kept = await keep(gateway, waiting)
        clock.step(days(89))
        await gateway.housekeeper.prune("test")
        before = await count(gateway, files)
        clock.step(days(2))
        await gateway.housekeeper.prune("test")
        left = await gateway.files.page(LIVE, FileFilter(10))
        chunks = await count(gateway, file_chunks)

    assert before == 2
    assert [each.id for each in left] == [kept.id]  # its package isn't delivered yet
    assert chunks == 2  # its content and its thumbnail


async def test_proof_can_be_kept_longer_than_the_patients_data(database_url, tmp_path):
    clock = SteppingClock()
    toml = RETENTION + "proof_days = 400\n"
    async with opened(database_url, tmp_path, toml=toml, clock=clock) as gateway:
        package_id, _ = await delivered(gateway)
        clock.step(days(399))
        await gateway.housekeeper.prune("test")
        async with gateway.database.read() as connection:
            erased = await gateway.packages.get(connection, LIVE, package_id)
        before = await count(gateway, files)
        owner = await gateway.files.owner_of_package(LIVE, package_id, adding=False)
        with pytest.raises(Conflict, match="takes no files any more"):
            await keep(gateway, package_id)
        clock.step(days(2))
        await gateway.housekeeper.prune("test")
        after = await count(gateway, files)

    assert (erased.purged, before, after) == (True, 1, 0)
    assert owner.subject == package_id


async def test_a_place_keeps_its_proofs_and_their_packages_longer_than_the_settings(
    database_url, tmp_path
):
    clock = SteppingClock()
    site = '[[sites]]\ncode = "{code}"\nname = "{code}"\ntimezone = "America/New_York"\n'
    toml = RETENTION + site.format(code="miami") + 'rules = "florida"\n' + site.format(code="erie")
    async with opened(database_url, tmp_path, toml=toml, clock=clock) as gateway:
        by_place, _ = await delivered(gateway, site="miami")
        await delivered(gateway, site="erie")
        no_proof = await package(gateway, site="miami")
        await gateway.tracking.apply(LIVE, update(no_proof, "delivery.completed"))
        clock.step(days(4 * 365))
        await gateway.housekeeper.prune("test")
        kept = await gateway.files.page(LIVE, FileFilter(10))
        async with gateway.database.read() as connection:
            left = list(await connection.execute(select(packages.c.id, packages.c.purged)))
        clock.step(days(2))
        await gateway.housekeeper.prune("test")
        after = [await count(gateway, table) for table in (files, file_chunks, packages)]

    assert [each.subject for each in kept] == [by_place]
    assert [tuple(each) for each in left] == [(by_place, True)]
    assert after == [0, 0, 0]


@pytest.mark.parametrize(
    ("ages", "is_good"),
    [
        ("proof_days = 731\n", False),
        ("proof_days = 730\n", True),
        ("proof_days = 0\n", False),  # for ever, while rows are deleted
    ],
)
def test_proof_isnt_kept_longer_than_the_rows_that_say_whose_it_is(tmp_path, ages, is_good):
    def read():
        return parse_settings(RETENTION + ages, source=None, directory=tmp_path, environ={})

    if is_good:
        assert read().retention.proof_days == 730
    else:
        with pytest.raises(Exception, match="proof_days"):
            read()


async def test_a_package_that_is_deleted_leaves_no_file_behind(database_url, tmp_path):
    clock = SteppingClock()
    toml = "[retention]\npayload_days = 0\nmetadata_days = 10\n"
    async with opened(database_url, tmp_path, toml=toml, clock=clock) as gateway:
        await delivered(gateway)
        clock.step(days(11))
        await gateway.housekeeper.prune("test")
        left = [await count(gateway, table) for table in (files, file_chunks)]

    assert left == [0, 0]


async def test_a_patients_files_are_erased_at_their_request(database_url, tmp_path):
    async with opened(database_url, tmp_path, toml=RETENTION) as gateway:
        package_id, _ = await delivered(gateway)
        other, kept = await delivered(gateway)
        result = await gateway.amendments.erase(LIVE, [package_id])
        left = await gateway.files.page(LIVE, FileFilter(10))
        chunks = await count(gateway, file_chunks)

    assert result.redacted == (package_id,)
    assert [(each.id, each.subject) for each in left] == [(kept.id, other)]
    assert chunks == 2


async def test_a_file_is_sealed_in_rows_of_at_most_64_kb(database_url, tmp_path):
    async with opened(database_url, tmp_path) as gateway:
        package_id = await package(gateway)
        file = await keep(gateway, package_id, photo(size=(2400, 1800)))
        async with gateway.database.read() as connection:
            rows = (await connection.execute(select(file_chunks))).all()
            total = await size_of_files(connection)
        read = await content(gateway, file)

    assert max(len(row.payload) for row in rows) == 64 * 1024
    assert {row.part for row in rows} == {"content", "thumbnail"}
    assert len(read) == file.size_bytes > 64 * 1024
    assert total == (1, file.size_bytes + file.thumbnail_bytes)


@pytest.mark.parametrize("damage", ["left out", "cut off", "swapped"])
async def test_a_piece_that_is_missing_or_moved_is_noticed(database_url, tmp_path, damage):
    async with opened(database_url, tmp_path) as gateway:
        file = await keep(gateway, await package(gateway), photo(size=(3000, 2200)))
        mine = (file_chunks.c.part == "content") & (file_chunks.c.file_id == file.id)
        last = -(-file.size_bytes // (64 * 1024 - 43)) - 1
        assert last > 1
        async with gateway.database.begin() as connection:
            if damage == "swapped":
                for old, new in ((0, 99), (1, 0), (99, 1)):
                    moved = changed(file_chunks).where(mine, file_chunks.c.number == old)
                    await connection.execute(moved.values(number=new))
            else:
                gone = 1 if damage == "left out" else last
                await connection.execute(
                    delete(file_chunks).where(mine, file_chunks.c.number == gone)
                )

        with pytest.raises(SealError):
            await content(gateway, file)


async def test_a_new_seal_key_reaches_files_too(database_url, tmp_path):
    async with opened(database_url, tmp_path) as gateway:
        file = await keep(gateway, await package(gateway), photo(size=(2400, 1800)))
        before = await content(gateway, file)
        link = gateway.files.links._mac(b"link")
        rotated = load(gateway.master_key_path).rotated()
        save(gateway.master_key_path, rotated)
        sealer = Sealer(rotated)
        async for _ in reseal(gateway.database, sealer):
            pass
        async with gateway.database.read() as connection:
            stored = (await connection.execute(select(file_chunks.c.payload))).scalars().all()
    async with opened(database_url, tmp_path) as gateway:
        after = await content(gateway, file)
        same_link = gateway.files.links._mac(b"link")

    assert {key_id_of(bytes(each)) for each in stored} == {2}
    assert after == before
    assert same_link == link


async def test_a_backup_holds_files_and_a_restore_revokes_their_links(tmp_path):
    url = f"sqlite+aiosqlite:///{tmp_path / 'gateway.db'}"
    clock = SteppingClock()
    async with opened(url, tmp_path, clock=clock) as gateway:
        file = await keep(gateway, await package(gateway), photo(size=(2400, 1800)))
        before = await content(gateway, file)
        keyring = load(gateway.master_key_path)
        target = tmp_path / "backup"
        tables = gateway.hooks.tables()
        await write_backup(gateway.database, tables, keyring, target, clock.now())
        await gateway.files.remove(LIVE, file.id)
        with pytest.raises(NotFound):
            await gateway.files.get(LIVE, file.id)
    clock.step(60)
    restore = Restore(target, keyring, tables, "test", clock.now())
    await restore.into(url, force=True)
    async with opened(url, tmp_path, clock=clock) as gateway:
        found = await gateway.files.get(LIVE, file.id)
        after = await content(gateway, found)

    assert after == before
    assert found.links_after == clock.now()
    assert before[:200] not in target.read_bytes()


async def test_where_too_many_files_wait_the_next_is_told_to_come_back(tmp_path):
    url = f"sqlite+aiosqlite:///{tmp_path / 'gateway.db'}"
    async with opened(url, tmp_path) as gateway:
        package_id = await package(gateway)
        gateway.files._waiting = 16
        with pytest.raises(Unavailable, match="Send it again soon"):
            await keep_any(gateway, package_id)
        gateway.files._waiting = 15
        await keep_any(gateway, package_id)

        assert (gateway.files._waiting, await count(gateway, files)) == (15, 1)


async def keep_any(gateway, subject):
    owner = await gateway.files.owner_of_package(LIVE, subject)
    with SealedSpool(20_000_000) as sent:
        sent.write(photo())
        return await gateway.files.keep(LIVE, owner, NewFile("photo", sent, sent.finish()))


async def test_an_upload_whose_sender_left_leaves_nothing(tmp_path):
    url = f"sqlite+aiosqlite:///{tmp_path / 'gateway.db'}"
    async with opened(url, tmp_path) as gateway:
        package_id = await package(gateway)
        work = asyncio.create_task(keep_any(gateway, package_id))
        await asyncio.sleep(0.05)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        kept = await count(gateway, files)
        again = await keep_any(gateway, package_id)

    assert kept == 0
    assert again.replayed is False
