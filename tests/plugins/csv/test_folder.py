"""The watched folder: files are taken once they stopped growing, and put away with a report."""

import asyncio
import csv
import os
import sqlite3
from contextlib import closing

import pytest
from gateway_csv.folder import WatchedFolder
from gateway_csv.importer import Importer
from gateway_csv.service import ImportService
from gateway_csv.settings import CsvSettings
from plugins.csv.files import SEED, Sender
from processes import TOML, GatewayProcess
from waiting import PATIENCE_SECONDS

from gateway.testing import SteppingClock

BAD = SEED + ",9 Nowhere Lane,,,,,,\n"
STAMP = "20260101T000000Z"


@pytest.fixture
async def gateway(harness):
    async with harness("[plugins.csv]\n[plugins.json_api]\n", clock=SteppingClock()) as running:
        yield running


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "incoming"
    path.mkdir()
    return path


def watching(gateway, folder, **settings):
    made = CsvSettings(**settings)
    return WatchedFolder(folder, ImportService(gateway.gateway, made), made)


async def until(condition):
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110 - a folder and another process tell nobody
            await asyncio.sleep(0.005)


def put_away(folder):
    return {
        kind: sorted(each.name for each in (folder / kind).iterdir())
        for kind in ("done", "failed", "working")
    }


async def test_a_file_is_taken_at_the_second_look_and_put_away_with_its_report(gateway, folder):
    watched = watching(gateway, folder)
    sender = Sender(gateway, await gateway.issue_key())
    (folder / "orders.csv").write_text(SEED)

    await watched.look()
    first_look = await sender.packages()
    await watched.look()

    assert first_look == []
    assert len(await sender.packages()) == 2
    assert put_away(folder) == {
        "done": [f"{STAMP}_orders.csv", f"{STAMP}_orders.csv.report.txt"],
        "failed": [],
        "working": [],
    }
    assert (folder / "done" / f"{STAMP}_orders.csv").read_text() == SEED
    assert (folder / "done" / f"{STAMP}_orders.csv.report.txt").read_text() == (
        "2 rows: 2 created, 0 imported before, 0 rejected.\n"
    )


async def test_a_file_that_grows_is_left_alone_until_it_stopped(gateway, folder):
    watched = watching(gateway, folder)
    path = folder / "orders.csv"
    lines = SEED.splitlines(keepends=True)

    for count in range(1, 4):
        path.write_text("".join(lines[:count]))
        await watched.look()
        assert path.exists()
    await watched.look()

    report = (folder / "done" / f"{STAMP}_orders.csv.report.txt").read_text()
    assert report.startswith("2 rows: 2 created")


async def test_rejected_rows_lie_beside_the_report_for_the_same_people_to_read(gateway, folder):
    watched = watching(gateway, folder)
    path = folder / "orders.csv"
    path.write_text(BAD)
    path.chmod(0o640)

    await watched.look()
    await watched.look()

    rejected = folder / "done" / f"{STAMP}_orders.csv.rejected.csv"
    _, row = csv.reader(rejected.read_text("utf-8-sig").splitlines())
    assert row[1] == "9 Nowhere Lane"
    assert os.name == "nt" or rejected.stat().st_mode & 0o777 == 0o640
    report = (folder / "done" / f"{STAMP}_orders.csv.report.txt").read_text()
    assert report.startswith("3 rows: 2 created, 0 imported before, 1 rejected.\n")
    assert (
        "- row 4, column patient_name: patient_name is required (expected a name; enter the "
        "patient's name)" in report
    )
    assert "Nowhere" not in report


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("%PDF-1.7", "This file could not be imported.\nThe file is a PDF"),
        ("patient_name,patient_address\n,1 Elm\n", "1 row: 0 created, 0 imported before, 1 rej"),
        (
            "patient_name,Delivery Adress,notes\n",
            "This file could not be imported.\nThe table lacks",
        ),
    ],
)
async def test_a_file_that_nothing_came_of_is_put_with_the_failed(gateway, folder, content, said):
    watched = watching(gateway, folder)
    (folder / "orders.csv").write_text(content)

    await watched.look()
    await watched.look()

    names = put_away(folder)
    assert f"{STAMP}_orders.csv" in names["failed"]
    assert (names["done"], names["working"]) == ([], [])
    report = (folder / "failed" / f"{STAMP}_orders.csv.report.txt").read_text()
    assert report.startswith(said)


async def test_what_is_not_whole_yet_or_no_file_stays_where_it_is(gateway, folder):
    watched = watching(gateway, folder)
    names = [".hidden.csv", "~$orders.xlsx", "orders.csv.part", "orders.csv.crdownload"]
    for name in names:
        (folder / name).write_text(SEED)
    (folder / "link.csv").symlink_to(folder / ".hidden.csv")
    (folder / "a folder").mkdir()
    (folder / "working").mkdir()
    (folder / "working" / "somebody's").write_text("x")

    for _ in range(3):
        await watched.look()

    left = sorted(each.name for each in folder.iterdir() if each.name not in {"done", "failed"})
    assert left == sorted([*names, "link.csv", "a folder", "working"])
    assert put_away(folder) == {"done": [], "failed": [], "working": ["somebody's"]}


async def test_an_empty_file_is_given_a_minute_to_be_filled(gateway, folder):
    watched = watching(gateway, folder)
    path = folder / "orders.csv"
    path.touch()
    now = gateway.gateway.clock.now().timestamp()

    for age_seconds in (0, 59, 59):
        os.utime(path, (now - age_seconds, now - age_seconds))
        await watched.look()
        assert path.exists()
    os.utime(path, (now - 61, now - 61))
    await watched.look()
    await watched.look()

    report = (folder / "failed" / f"{STAMP}_orders.csv.report.txt").read_text()
    assert "The file is empty" in report


async def test_the_same_file_put_in_again_makes_nothing_twice(gateway, folder):
    watched = watching(gateway, folder)
    reports = []
    for name in ("orders.csv", "again.csv"):
        (folder / name).write_text(SEED)
        await watched.look()
        await watched.look()
        reports.append((folder / "done" / f"{STAMP}_{name}.report.txt").read_text())

    assert reports[1].startswith("2 rows: 0 created, 2 imported before, 0 rejected.\n")


async def test_what_was_begun_before_a_crash_is_finished_and_counts_once(gateway, folder):
    """The crash comes after half of the rows are in: the file is in working/ still."""
    sender = Sender(gateway, await gateway.issue_key())
    watched = watching(gateway, folder)
    (folder / "orders.csv").write_text(BAD)
    await watched.look()

    def crash(*_):
        raise ConnectionAbortedError

    watched._put_away = crash  # what it would have done is left undone
    with pytest.raises(ConnectionAbortedError):
        await watched.look()
    in_the_middle = put_away(folder)
    await watching(gateway, folder).look()

    [begun] = [each for each in in_the_middle["working"] if not each.endswith(".rejected")]
    assert begun.endswith("_orders.csv")
    assert len(await sender.packages()) == 2
    assert put_away(folder) == {
        "done": [
            f"{STAMP}_orders.csv",
            f"{STAMP}_orders.csv.rejected.csv",
            f"{STAMP}_orders.csv.report.txt",
        ],
        "failed": [],
        "working": [],
    }
    report = (folder / "done" / f"{STAMP}_orders.csv.report.txt").read_text()
    assert report.startswith("3 rows: 2 created, 0 imported before, 1 rejected.\n")


async def test_a_file_that_makes_the_gateway_fail_is_tried_some_times_and_put_away(
    gateway, folder, monkeypatch
):
    async def broken(*_):
        raise ZeroDivisionError

    monkeypatch.setattr("gateway_csv.importer.Importer.run", broken)
    watched = watching(gateway, folder)
    (folder / "orders.csv").write_text(SEED)
    await watched.look()
    for _ in range(4):
        with pytest.raises(ZeroDivisionError):
            await watched.look()
    await watched.look()

    report = (folder / "failed" / f"{STAMP}_orders.csv.report.txt").read_text()
    assert "The gateway failed over this file" in report


async def test_a_database_that_is_away_leaves_the_file_for_later(gateway, folder, monkeypatch):
    async def away(*_):
        raise ConnectionRefusedError

    watched = watching(gateway, folder)
    (folder / "orders.csv").write_text(SEED)
    await watched.look()
    with monkeypatch.context() as patched:
        patched.setattr("gateway_csv.importer.Importer.run", away)
        for _ in range(7):
            with pytest.raises(ConnectionRefusedError):
                await watched.look()
    await watched.look()

    assert f"{STAMP}_orders.csv" in put_away(folder)["done"]


async def test_a_file_that_somebody_else_takes_first_is_theirs(gateway, folder, monkeypatch):
    watched = watching(gateway, folder)
    (folder / "orders.csv").write_text(SEED)
    await watched.look()
    monkeypatch.setattr("pathlib.Path.rename", _taken)

    await watched.look()

    assert put_away(folder) == {"done": [], "failed": [], "working": []}


def _taken(*_):
    raise FileNotFoundError


async def test_no_name_of_a_file_is_logged(gateway, folder, caplog):
    caplog.set_level("DEBUG")
    watched = watching(gateway, folder)
    (folder / "maria-rodriguez.csv").write_text(SEED)
    await watched.look()
    await watched.look()

    assert "2 rows, 2 created" in caplog.text
    assert "maria" not in caplog.text.lower()


async def test_the_health_check_says_whether_the_folder_can_be_used(gateway, folder, tmp_path):
    well = await watching(gateway, folder).health()
    (tmp_path / "file").touch()
    ill = await watching(gateway, tmp_path / "file").health()
    nowhere = await watching(gateway, folder, folder_site="south").health()

    assert (well.healthy, well.detail) == (True, "the watched folder can be used")
    assert (ill.healthy, nowhere.healthy) == (False, False)
    assert ill.detail.startswith("the watched folder can't be used")
    assert nowhere.detail.startswith("folder_site of [plugins.csv] is none of the [[sites]]")


async def test_a_running_gateway_watches_the_folder_of_its_settings(harness, tmp_path):
    toml = '[plugins.csv]\nfolder = "incoming"\nfolder_seconds = 0.05\n[plugins.json_api]\n'
    async with harness(toml) as gateway:
        sender = Sender(gateway, await gateway.issue_key())
        incoming = tmp_path / "incoming"
        await until((incoming / "done").exists)
        (incoming / "orders.csv").write_text(SEED)
        await until(lambda: list((incoming / "done").glob("*_orders.csv")))
        ready = await gateway.get("/health/ready")
        assert len(await sender.packages()) == 2

    assert "csv-folder" in ready.text


@pytest.mark.slow
async def test_killed_in_the_middle_of_a_file_a_gateway_imports_every_row_once(tmp_path):
    """Thousands of rows; SIGKILL once some are in; the next start finishes the file."""
    rows = 12_000  # a second or two: time enough to be killed in the middle
    toml = TOML + '[plugins.csv]\nfolder = "incoming"\nfolder_seconds = 0.05\n'
    incoming = tmp_path / "incoming"
    header = "patient_name,patient_address,rx_number\n"
    text = header + "".join(f"Ana,{number} Elm St,RX-{number}\n" for number in range(rows))
    async with GatewayProcess(tmp_path, toml) as process:
        await until((incoming / "done").exists)
        (incoming / "orders.csv").write_text(text)
        await until(lambda: _count(tmp_path))
        await process.kill()
        had = _count(tmp_path)
        await process.start()
        await until(lambda: list((incoming / "done").glob("*_orders.csv")))

    assert 0 < had < rows
    assert _count(tmp_path) == rows
    [report] = (incoming / "done").glob("*.report.txt")
    assert report.read_text().startswith(
        f"{rows} rows: {rows} created, 0 imported before, 0 rejected.\n"
    )


def _count(folder):
    path = folder / "data" / "gateway.db"
    if not path.exists():
        return 0
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        return database.execute("SELECT count(*) FROM packages").fetchone()[0]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such pipes")
async def test_a_file_that_cannot_be_read_is_set_aside_and_the_next_one_goes_on(
    gateway, folder, caplog
):
    watched = watching(gateway, folder)
    (folder / "b.csv").write_text(SEED)
    await watched.look()
    os.mkfifo(folder / "a.csv")  # root reads every file, so permissions don't do here
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(watched, "_settled", lambda: [folder / "a.csv", folder / "b.csv"])
        await watched.look()

    assert f"{STAMP}_b.csv" in put_away(folder)["done"]
    report = (folder / "failed" / f"{STAMP}_a.csv.report.txt").read_text()
    assert "The file can't be read: it is no regular file." in report
    [warning] = [each for each in caplog.records if each.levelname == "WARNING"]
    assert "put into failed/" in warning.getMessage()


async def test_one_file_that_fails_again_and_again_keeps_no_other_waiting(
    gateway, folder, monkeypatch
):
    run = Importer.run

    async def broken(self, file, job, hooks):
        if b"broken" in file.read():
            raise ZeroDivisionError
        return await run(self, file, job, hooks)

    monkeypatch.setattr("gateway_csv.importer.Importer.run", broken)
    watched = watching(gateway, folder)
    (folder / "a.csv").write_text("broken")
    os.utime(folder / "a.csv", (0, 0))
    (folder / "b.csv").write_text(SEED)
    await watched.look()
    with pytest.raises(ZeroDivisionError):
        await watched.look()

    assert f"{STAMP}_b.csv" in put_away(folder)["done"]


@pytest.mark.skipif(os.name == "nt", reason="a link takes an administrator on Windows")
async def test_a_link_among_the_files_is_neither_read_nor_followed(gateway, folder, tmp_path):
    secret = tmp_path / "secret.csv"
    secret.write_text(SEED)
    watched = watching(gateway, folder)
    (folder / "link.csv").symlink_to(secret)
    await watched.look()
    await watched.look()
    assert (folder / "link.csv").is_symlink()

    # Swapped after it was looked at: the link is claimed, and not opened
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(watched, "_settled", lambda: [folder / "link.csv"])
        await watched.look()

    sender = Sender(gateway, await gateway.issue_key())
    assert await sender.packages() == []
    assert secret.read_text() == SEED
    assert f"{STAMP}_link.csv" in put_away(folder)["failed"]


@pytest.mark.skipif(os.name == "nt", reason="a link takes an administrator on Windows")
@pytest.mark.parametrize("name", ["working", "done", "failed"])
async def test_a_link_in_place_of_our_own_folder_is_refused(gateway, folder, tmp_path, name):
    outside = tmp_path / "outside"
    outside.mkdir()
    (folder / name).symlink_to(outside)
    watched = watching(gateway, folder)
    (folder / "orders.csv").write_text(SEED)
    with pytest.raises(NotADirectoryError):
        await watched.look()
    report = await watched.health()

    assert not report.healthy
    assert f"{name} is a link" in report.detail
    assert list(outside.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="a link takes an administrator on Windows")
async def test_a_link_among_the_files_is_named_to_the_operator_and_logged_once(
    gateway, folder, tmp_path, caplog
):
    watched = watching(gateway, folder)
    (folder / "link.csv").symlink_to(tmp_path / "elsewhere.csv")
    for _ in range(3):
        await watched.look()

    report = await watched.failed_files()
    [line] = [each for each in caplog.messages if "link" in each]
    (folder / "link.csv").unlink()
    afterwards = await watched.failed_files()

    assert (report.healthy, report.detail, report.command) == (
        False,
        (
            "1 in the watched folder is a link, which is never followed (link.csv): put the file "
            "itself there, or take the link away"
        ),
        f"ls {folder}",
    )
    assert "link.csv" not in line
    assert afterwards.healthy


@pytest.mark.skipif(os.name == "nt", reason="a link takes an administrator on Windows")
async def test_a_report_is_never_written_through_a_link(gateway, folder, tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("as it was")
    watched = watching(gateway, folder)
    (folder / "orders.csv").write_text(SEED)
    await watched.look()
    (folder / "done" / f"{STAMP}_orders.csv.report.txt").symlink_to(precious)
    (folder / "done" / f".{STAMP}_orders.csv.report.txt").symlink_to(precious)
    await watched.look()

    assert precious.read_text() == "as it was"
    report = folder / "done" / f"{STAMP}_orders.csv.report.txt"
    assert not report.is_symlink()
    assert report.read_text().startswith("2 rows: 2 created")


@pytest.mark.skipif(os.name == "nt", reason="modes say nothing on Windows")
async def test_what_is_in_work_is_out_of_the_senders_reach(gateway, folder):
    await watching(gateway, folder).look()

    assert (folder / "working").stat().st_mode & 0o777 == 0o700


async def test_failed_files_are_named_to_the_operator_until_they_are_gone(gateway, folder):
    watched = watching(gateway, folder)
    (folder / "march.csv").write_text("a,b\n1,2\n")
    await watched.look()
    await watched.look()
    red = await watched.failed_files()
    for each in (folder / "failed").iterdir():
        each.unlink()
    green = await watched.failed_files()

    assert (red.healthy, green.healthy) == (False, True)
    assert f"({STAMP}_march.csv)" in red.detail
    assert red.command == f"ls {folder / 'failed'}"


async def test_a_file_that_stopped_the_gateway_twice_is_set_aside(gateway, folder, monkeypatch):
    """Each new WatchedFolder is a process that starts after another one died over the file."""
    (folder / "orders.csv").write_text(SEED)
    first = watching(gateway, folder)
    await first.look()
    with monkeypatch.context() as died:
        died.setattr("gateway_csv.folder_files.CrashCount.clear", lambda _: None)
        died.setattr("gateway_csv.importer.Importer.run", _killed)
        for watched in (first, watching(gateway, folder)):
            with pytest.raises(KeyboardInterrupt):
                await watched.look()
    (folder / "next.csv").write_text(SEED.replace("RX-", "RY-"))
    last = watching(gateway, folder)
    await last.look()
    await last.look()

    report = (folder / "failed" / f"{STAMP}_orders.csv.report.txt").read_text()
    assert "The gateway stopped twice in the middle of this file" in report
    assert put_away(folder)["working"] == []
    assert f"{STAMP}_next.csv" in put_away(folder)["done"]
    assert [each for each in folder.iterdir() if each.name.startswith(".")] == []


async def _killed(*_):
    raise KeyboardInterrupt


async def test_the_health_check_says_how_the_latest_import_ended(harness, folder):
    clock = SteppingClock()
    async with harness("[plugins.csv]\n[plugins.json_api]\n", clock=clock) as gateway:
        watched = watching(gateway, folder)
        for content in (SEED, BAD.replace("RX-", "RY-")):
            clock.step(3600)
            (folder / "orders.csv").write_text(content)
            await watched.look()
            await watched.look()
        report = await watched.health()

    assert report.detail == (
        "the watched folder can be used; last import 2026-01-01T02:00:00Z: 3 rows: 2 created, "
        "0 imported before, 1 rejected"
    )
