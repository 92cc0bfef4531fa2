"""The newest revisions are read from the files, as Alembic finds them, without importing them."""

from datetime import UTC, datetime

import pytest
from conftest import STOCK

from gateway.storage.database import Database
from gateway.storage.maintenance import migrate
from gateway.storage.maintenance.revisions import heads_in
from gateway.testing.schema import migrated_file


def test_the_files_say_what_alembic_finds():
    places = migrate._places(STOCK)

    assert heads_in(places) == set(migrate._scripts(STOCK).get_heads())
    assert len(heads_in(places)) == len(places)


@pytest.mark.parametrize(
    "text",
    [
        'revision = "acme_0001"\n',
        "revision = name()\ndown_revision = None\n",
        "revision = (\ndown_revision = None\n",
        "",
    ],
    ids=["no word of the one before", "computed", "over several lines", "empty"],
)
def test_a_file_that_does_not_say_it_plainly_is_left_to_alembic(tmp_path, text):
    (tmp_path / "acme_0001.py").write_text(text)

    assert heads_in([tmp_path]) is None


def test_annotations_and_merges_are_understood(tmp_path):
    for name, text in {
        "a": 'revision: str = "a"  # the first\ndown_revision: str | None = None\n',
        "b": 'revision = "b"\ndown_revision = None\n',
        "c": "revision = 'c'\ndown_revision = ('a', 'b')\n",
    }.items():
        (tmp_path / f"{name}.py").write_text(text)

    assert heads_in([tmp_path]) == {"c"}


@pytest.fixture
def up_to_date(tmp_path):
    path = tmp_path / "stock.db"
    path.write_bytes(migrated_file(tuple(each.migrations for each in STOCK)))
    return f"sqlite+aiosqlite:///{path.as_posix()}"


async def test_a_database_that_is_up_to_date_is_opened_without_alembic(
    up_to_date, tmp_path, monkeypatch
):
    def alembic(_tables):
        pytest.fail("Alembic takes a tenth of a start")

    monkeypatch.setattr(migrate, "_scripts", alembic)
    database = Database(up_to_date)
    try:
        assert not await migrate.pending(database, STOCK)
        done = await migrate.migrate(database, STOCK, tmp_path, datetime.now(UTC))
    finally:
        await database.close()

    assert done == ((), None)
