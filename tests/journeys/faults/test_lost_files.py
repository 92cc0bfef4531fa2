"""Files are lost while the gateway serves: its database, the -wal, the master key, an import."""

import os
import sys

import httpx
import pytest
from journeys.faults.experiment import PATIENCE_SECONDS, UNHURRIED_SECONDS, Experiment

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        sys.platform == "win32", reason="Windows does not delete a file that is open"
    ),
]

PEOPLE = "patient_name,patient_address\nAna Silva,1 Elm St\n"


async def red(experiment, part):
    """Return whether /health/ready says that this part is broken."""
    async with httpx.AsyncClient(timeout=PATIENCE_SECONDS) as client:
        answer = await client.get(f"{experiment.gateway.url}/health/ready")
    return answer.status_code == 503 and not answer.json()["checks"][part]["ok"]


async def test_a_database_that_is_moved_away_takes_no_order_and_goes_on_once_it_is_back(
    tmp_path, note
):
    path, aside = tmp_path / "data" / "gateway.db", tmp_path / "data" / "aside"
    async with Experiment(tmp_path) as experiment:
        await experiment.under_load()

        path.rename(aside)
        await experiment.load.until(lambda: experiment.load.refusals["503"] > 10)
        assert await red(experiment, "database")
        experiment.mending()
        await experiment.gateway.stop()
        aside.rename(path)
        await experiment.gateway.start()

        row = await experiment.verdict("database file gone", "moved away, stopped, put back")
    assert row.exhausted == 0
    note(row)


async def test_a_database_that_is_replaced_takes_no_order_and_goes_on_once_it_is_back(
    tmp_path, note
):
    path, kept = tmp_path / "data" / "gateway.db", tmp_path / "data" / "kept"
    async with Experiment(tmp_path) as experiment:
        await experiment.under_load()

        kept.hardlink_to(path)
        other = tmp_path / "data" / "other"
        other.write_bytes(path.read_bytes())
        other.replace(path)
        await experiment.load.until(lambda: experiment.load.refusals["503"] > 10)
        assert await red(experiment, "database")
        experiment.mending()
        await experiment.gateway.stop()
        kept.replace(path)
        await experiment.gateway.start()

        row = await experiment.verdict("database replaced", "a copy put over it, then put back")
    assert row.exhausted == 0
    note(row)


async def test_an_unlinked_wal_takes_no_order_and_loses_none_when_the_gateway_is_stopped(
    tmp_path, note
):
    async with Experiment(tmp_path) as experiment:
        await experiment.under_load()

        (tmp_path / "data" / "gateway.db-wal").unlink()
        await experiment.load.until(lambda: experiment.load.refusals["503"] > 10)
        assert await red(experiment, "database")
        experiment.mending()
        await experiment.gateway.stop()
        await experiment.gateway.start()

        row = await experiment.verdict("-wal unlinked", "deleted, then stopped and started")
    assert row.exhausted == 0
    note(row)


async def test_a_lost_master_key_stops_nothing_and_is_written_back(tmp_path, note):
    key = tmp_path / "data" / "master.key"
    async with Experiment(tmp_path, timeout_seconds=UNHURRIED_SECONDS) as experiment:
        await experiment.under_load()

        before = key.read_bytes()
        key.unlink()
        assert await red(experiment, "key file")
        experiment.mending()
        await experiment.gateway.json("seal", "write-back")
        assert not await red(experiment, "key file")

        row = await experiment.verdict("master key gone", "deleted, then gateway seal write-back")
    assert key.read_bytes() == before
    assert experiment.load.refusals == {}
    assert (row.exhausted, row.duplicates) == (0, 0)
    note(row)


async def test_a_poisoned_file_in_the_watched_folder_keeps_no_other_waiting(tmp_path, note):
    folder = tmp_path / "incoming"
    folder.mkdir()
    plugin = f'[plugins.csv]\nfolder = "{folder}"\nfolder_seconds = 0.2\n'
    async with Experiment(tmp_path, timeout_seconds=UNHURRIED_SECONDS, more=plugin) as experiment:
        await experiment.under_load()

        for name, content in (("a.csv", b"\x00\xff" * 5000), ("b.xlsx", b"PK\x03\x04 no zip")):
            (folder / name).write_bytes(content)
            os.utime(folder / name, (0, 0))
        (folder / "c.csv").write_text(PEOPLE)
        experiment.mending()
        await experiment.load.until(lambda: any((folder / "done").glob("*_c.csv")))
        await experiment.load.until(lambda: len(list((folder / "failed").glob("*.report.txt"))) > 1)
        # The order of c.csv is one that the load doesn't know of.
        _, out, _ = await experiment.gateway.run("status", "--json")
        assert "of the watched folder could not be imported" in out

        row = await experiment.verdict(
            "poison files imported", "damaged CSV and XLSX put before a good file", imported=1
        )
    assert experiment.load.refusals == {}
    assert (row.exhausted, row.duplicates) == (0, 0)
    note(row)
