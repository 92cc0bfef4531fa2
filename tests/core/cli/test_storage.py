"""``gateway storage``: what there is, what goes, and making the file smaller."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import timedelta

import pytest
from click.testing import CliRunner
from sqlalchemy import update

from gateway.cli import main
from gateway.clock import SystemClock, to_epoch_ms
from gateway.storage.schema import packages

KINDS = [
    ("packages", 730),
    ("other events", 730),
    ("contents of packages", 90),
    ("contents of other events", 90),
    ("files of packages", 90),
    ("attempts", 30),
    ("replayable answers", 1),
]
HOLDING_IT_OPEN = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("SELECT count(*) FROM facts").fetchall()
print("open", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def file(config):
    return config.parent / "data" / "gateway.db"


@pytest.fixture
def old_package(stock):
    """A package that was completed 91 days ago by the system's clock."""
    package_id, _ = stock.order(site="main")
    ended = to_epoch_ms(SystemClock().now() - timedelta(days=91))

    async def end(gateway):
        async with gateway.database.begin() as connection:
            ending = {"status": "completed", "status_at_ms": ended, "created_at_ms": ended}
            await connection.execute(update(packages).values(**ending))

    stock.do(end)
    return package_id


def test_alone_it_shows_each_table_and_what_is_due(read, old_package):
    shown = read("storage")

    assert shown["database"] == "sqlite"
    assert shown["size"] > 100_000
    assert (shown["gives_space_back"], shown["retention_enabled"]) == (True, True)
    tables = {each["table"]: each for each in shown["tables"]}
    assert tables["packages"]["rows"] == tables["events"]["rows"] == 1
    assert tables["packages"]["size"] >= 4096
    assert tables["events"]["oldest"] == "2026-01-01T00:00:01Z"
    assert tables["attempts"]["oldest"] is None
    due = {each["what"]: (each["kept_days"], each["due"]) for each in shown["retention"]}
    assert due == {what: (days, int(what == "contents of packages")) for what, days in KINDS}
    assert read("storage", "show")["retention"] == shown["retention"]


def test_for_a_person_sizes_have_units(run, old_package):
    lines = run("storage").stdout.splitlines()

    [size] = [line.split() for line in lines if line.startswith("size ")]
    assert (size[0], size[2]) == ("size", "KB")
    assert "free               0 bytes" in lines
    assert any(line.split()[:2] == ["contents", "of"] for line in lines)


def test_what_is_kept_for_ever_is_reported(run, read, config):
    config.write_text("[retention]\nlog_days = 0\n")
    run("migrate")

    assert read("storage")["retention"][5]["kept_days"] is None
    [line] = [each for each in run("storage").stdout.splitlines() if "for ever" in each]
    assert line.split() == ["attempts", "for", "ever", "0", "0", "-"]


def test_a_rehearsal_changes_nothing_and_then_it_is_done(read, stock, old_package):
    assert [each["due"] for each in read("storage", "prune", "--dry-run")] == [0, 0, 1, 0, 0, 0, 0]
    assert stock.audited("retention.applied") == []

    assert [each["gone"] for each in read("storage", "prune")] == [0, 0, 1, 0, 0, 0, 0]

    assert [each["gone"] for each in read("storage", "prune")] == [0, 0, 0, 0, 0, 0, 0]
    [(actor, what, _)] = stock.audited("retention.applied")
    assert actor.startswith("cli:")
    assert what == "1 contents of packages"


def test_pruning_by_hand_works_where_the_job_is_turned_off(read, config, old_package):
    config.write_text("[retention]\nenabled = false\n")

    assert read("storage")["retention_enabled"] is False
    assert [each["gone"] for each in read("storage", "prune")] == [0, 0, 1, 0, 0, 0, 0]


def test_an_older_file_is_reported_and_shrinks_once_it_is_compacted(run, read, file, stock):
    # Given a file as it was made before it could give space back, with a lot taken out of it
    stock.order(site="main")
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA auto_vacuum=NONE")
        connection.execute("VACUUM")
        connection.execute("CREATE TABLE bulk (b BLOB)")
        connection.executemany("INSERT INTO bulk VALUES (?)", [(bytes(4000),)] * 500)
        connection.execute("DROP TABLE bulk")
    hint = "This file never gets smaller: stop the gateway, then gateway storage compact."
    assert hint in run("storage").stdout
    assert read("storage")["free"] > 1_900_000

    # When it is compacted
    done = read("storage", "compact")

    # Then it is small, and gives space back from now on
    assert done["file"] == str(file)
    assert done["after"] == file.stat().st_size < done["before"] - 1_900_000
    assert hint not in run("storage").stdout
    assert read("storage")["gives_space_back"] is True


def test_a_file_in_use_is_not_compacted(run, file, stock):
    stock.order(site="main")
    with subprocess.Popen(
        [sys.executable, "-c", HOLDING_IT_OPEN, str(file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout.readline() == b"open\n"

        result = run("storage", "compact")

        other.communicate(b"\n")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "gateway: The database is in use by another process, such as gateway serve: stop it, "
        "then try again.\n"
    )


def test_a_file_that_is_not_there_is_not_made(run, file):
    result = run("storage", "compact")

    assert result.stderr == f"gateway: There is no database at {file} yet.\n"
    assert not file.exists()


def test_a_file_that_is_no_database_stays_as_it_is(run, file):
    file.parent.mkdir()
    file.write_bytes(b"not a database" * 1000)

    result = run("storage", "compact")

    assert result.exit_code == 1
    assert "could not be rewritten (DatabaseError) and is unchanged" in result.stderr
    assert file.read_bytes() == b"not a database" * 1000


def test_postgresql_needs_no_compacting(run, read, config, postgres_url):
    config.write_text(f'[database]\nurl = "{postgres_url}"\n')

    assert read("storage", "compact") == {"database": "postgresql"}
    assert "there is nothing to do" in run("storage", "compact").stdout
    shown = read("storage")
    assert (shown["database"], shown["free"], shown["gives_space_back"]) == ("postgresql", 0, True)


def test_a_wrong_word_is_wrong_usage(run):
    result = run("storage", "pruen")

    assert result.exit_code == 2
    assert "No such command 'pruen'" in result.stderr


def test_its_help_is_its_own():
    shown = CliRunner().invoke(main, ["storage", "--help"]).stdout

    assert {"show", "prune", "compact"} <= {line.split()[0] for line in shown.splitlines() if line}
