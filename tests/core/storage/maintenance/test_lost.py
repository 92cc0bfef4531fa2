"""A master key without its database: the start is refused, so that no loss is hidden."""

import shutil

import pytest
from core.gateways import opened, sqlite_url

from gateway.errors import StorageError
from gateway.health.preflight import look_at_database
from gateway.runtime import Gateway
from gateway.settings import parse_settings


def gateway_of(url, tmp_path, **options):
    text = f'[database]\nurl = "{url}"\n'
    return Gateway(parse_settings(text, source=None, directory=tmp_path, environ={}), **options)


async def start(url, tmp_path, **options):
    async with gateway_of(url, tmp_path, **options):
        pass


async def test_a_first_start_makes_database_and_key_and_the_next_finds_both(
    empty_database_url, tmp_path
):
    await start(empty_database_url, tmp_path)
    await start(empty_database_url, tmp_path)

    assert (tmp_path / "data" / "master.key").exists()


@pytest.mark.parametrize("harm", ["deleted", "emptied"])
async def test_a_key_whose_sqlite_file_is_gone_stops_the_start_and_nothing_is_created(
    tmp_path, harm
):
    async with opened(sqlite_url(tmp_path), tmp_path):
        pass
    path = tmp_path / "gateway.db"
    path.unlink()
    if harm == "emptied":
        path.touch()

    with pytest.raises(StorageError, match=r"gateway restore FILE.*gateway migrate --new"):
        await start(sqlite_url(tmp_path), tmp_path)
    assert not path.exists() or path.stat().st_size == 0


async def test_a_key_beside_an_empty_postgresql_stops_the_start(tmp_path, empty_postgres_url):
    async with opened(sqlite_url(tmp_path), tmp_path):
        pass

    with pytest.raises(StorageError, match="The PostgreSQL database is empty or missing"):
        await start(empty_postgres_url, tmp_path)


async def test_an_empty_database_is_created_beside_a_key_when_that_is_wanted(
    empty_database_url, tmp_path
):
    await start(empty_database_url, tmp_path)
    fresh = tmp_path / "other"
    fresh.mkdir()
    (tmp_path / "data").rename(fresh / "data")

    await start(sqlite_url(fresh), fresh, replaces_database=True)
    await start(sqlite_url(fresh), fresh)


async def test_a_leftover_wal_stops_the_start_even_without_a_key(tmp_path):
    wal = tmp_path / "gateway.db-wal"
    wal.write_bytes(b"orders")

    with pytest.raises(StorageError, match=r"gateway\.db-wal is there and may hold orders"):
        await start(sqlite_url(tmp_path), tmp_path)
    assert wal.read_bytes() == b"orders"


async def test_a_first_start_that_was_killed_after_the_schema_goes_on(tmp_path):
    async with opened(sqlite_url(tmp_path), tmp_path):
        pass
    (tmp_path / "data" / "master.key").unlink()
    (tmp_path / "gateway.db").unlink()
    async with opened(sqlite_url(tmp_path), tmp_path) as gateway:  # the schema, then a key
        assert gateway.master_key_path.exists()


@pytest.fixture
async def with_foreign_wal(tmp_path):
    """A folder with a gateway's database, and beside it what another one left behind."""
    own, other = tmp_path / "own", tmp_path / "other"
    for folder in (own, other):
        folder.mkdir()
        async with opened(sqlite_url(folder), folder):
            if folder == other:
                shutil.copy(other / "gateway.db-wal", own)
    return own


async def look(url, folder):
    await look_at_database(gateway_of(url, folder))


@pytest.mark.parametrize("how", [start, look])
async def test_a_wal_of_another_database_is_refused_and_overwrites_nothing(with_foreign_wal, how):
    """SQLite would take it, and with the last connection to close the orders would be gone."""
    own = with_foreign_wal
    before = (own / "gateway.db").read_bytes()

    with pytest.raises(StorageError, match=r"gateway\.db-wal is of another database than"):
        await how(sqlite_url(own), own)

    assert (own / "gateway.db").read_bytes() == before
    assert (own / "gateway.db-wal").exists()


async def test_what_a_killed_process_left_is_its_own_and_a_look_changes_nothing(tmp_path):
    left = tmp_path / "left"
    left.mkdir()
    async with opened(sqlite_url(tmp_path), tmp_path):
        for each in ("gateway.db", "gateway.db-wal"):
            shutil.copy(tmp_path / each, left)
        shutil.copytree(tmp_path / "data", left / "data")
    before = [(left / each).read_bytes() for each in ("gateway.db", "gateway.db-wal")]

    state = await look_at_database(gateway_of(sqlite_url(left), left), every_page=True)

    assert state.is_ready
    assert [(left / each).read_bytes() for each in ("gateway.db", "gateway.db-wal")] == before
    await start(sqlite_url(left), left)
