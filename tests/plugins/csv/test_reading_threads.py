"""However many files come, whatever is in them: reading is bounded, and lets others work."""

import asyncio
import sys
import threading
import time
from io import BytesIO

import psutil
import pytest
from gateway_csv.read.sheets import sheet_rows
from gateway_csv.read.table import ImportOptions, Table
from gateway_csv.read.threads import AT_ONCE, Pace, ReadingThreads
from gateway_csv.report import Report
from gateway_csv.settings import CsvSettings
from plugins.csv.files import PLUGINS, SEED, Sender, workbook

from gateway.errors import FileTooSlow, TooLarge, Unavailable


def busy(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


async def test_no_more_than_two_imports_are_at_work_and_the_others_have_their_turn():
    at_work, most, done = 0, 0, 0

    async def take_turn():
        nonlocal at_work, most, done
        async with threads.turn():
            at_work += 1
            most = max(most, at_work)
            await asyncio.sleep(0)
            at_work -= 1
            done += 1

    async with ReadingThreads() as threads:
        await asyncio.gather(*(take_turn() for _ in range(9)))

    assert (most, done) == (AT_ONCE, 9)


async def test_files_are_read_in_threads_of_their_own_and_the_shared_ones_stay_free():
    go_on = threading.Event()
    async with ReadingThreads() as threads:
        reading = [asyncio.create_task(threads.run(go_on.wait, 60)) for _ in range(40)]
        name = await asyncio.to_thread(lambda: threading.current_thread().name)
        go_on.set()
        answers = await asyncio.gather(*reading)

    assert not name.startswith("csv-reading")
    assert answers == [True] * 40


def test_a_file_that_takes_more_than_its_time_is_refused():
    def read():
        pace = Pace(0.005)
        for _ in range(100):
            pace.beat()
            busy(0.0011)

    with pytest.raises(FileTooSlow, match="split it"):
        read()


def test_a_pause_comes_after_each_millisecond_of_work(monkeypatch):
    pauses = []
    monkeypatch.setattr("gateway_csv.read.threads.time.sleep", pauses.append)
    pace = Pace()
    pace.beat()
    for _ in range(20):
        busy(0.0011)
        pace.beat()

    assert len(pauses) == 20
    assert all(0 < each < 0.001 for each in pauses)


async def test_reading_ends_when_the_gateway_stops():
    begun = threading.Event()

    def read():
        pace = threads.pace(None)
        while True:
            busy(0.0005)
            pace.beat()
            begun.set()

    async with ReadingThreads() as threads:
        reading = asyncio.create_task(threads.run(read))
        await asyncio.to_thread(begun.wait, 60)

    with pytest.raises(Unavailable, match="stops"):
        await reading
    with pytest.raises(Unavailable, match="stops"):
        await threads.run(read)


def test_a_file_of_blank_lines_is_refused_by_its_lines():
    file = BytesIO(SEED.encode() + b"\n" * 1000)
    table = Table(file, CsvSettings(max_lines=1000), ImportOptions())

    with pytest.raises(TooLarge, match="more than 1000 lines, blank ones included"):
        table.understand(Report())


async def test_a_dozen_uploads_at_once_are_all_answered(harness):
    async with harness(PLUGINS) as gateway:
        sender = Sender(gateway, await gateway.issue_key())
        reports = await asyncio.gather(*(sender.send(SEED, "?dry_run=true") for _ in range(12)))

    assert [each["created"] for each in reports] == [2] * 12


def test_a_spreadsheet_is_read_by_a_process_that_gives_way_to_orders():
    before = {each.pid for each in psutil.Process().children()}
    rows = sheet_rows(BytesIO(workbook(*([["patient_name"]] * 20_000))), lambda _sheets: None)
    next(rows)
    [reader] = [each for each in psutil.Process().children() if each.pid not in before]
    niceness, own = reader.nice(), psutil.Process().nice()
    rows.close()

    assert niceness > own


async def test_the_loop_has_its_turn_sooner_while_a_file_is_read():
    usual = sys.getswitchinterval()

    async with ReadingThreads() as threads:
        meanwhile = await threads.run(sys.getswitchinterval)

    assert meanwhile < 0.001 <= usual
    assert sys.getswitchinterval() == usual
