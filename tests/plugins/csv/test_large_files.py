"""A large text file is converted by a process of its own, and makes what a small one makes."""

import asyncio
import os
import threading
from contextlib import aclosing
from io import BytesIO

import psutil
import pytest
from gateway_csv import row_chunks
from gateway_csv.importer import _ahead
from gateway_csv.read.table import ImportOptions, Table
from gateway_csv.read.threads import ReadingThreads
from gateway_csv.report import Report
from gateway_csv.settings import CsvSettings
from plugins.csv.files import PLUGINS, Sender

from gateway.errors import (
    FileTooDemanding,
    FileTooSlow,
    InvalidInput,
    ReaderCrashed,
    TooLarge,
    Unavailable,
)

HEADER = "Order ID,Patient Name,Address,Phone,Rx Number,Copay,Delivery Date,Status,Notes,metadata\n"
ROWS = (
    'SO-1,Ana Reed,"1 Elm St, Boston, MA 02108",617-555-0101,RX-100001,4.50,2026-12-01,,ring,"{}"',
    'SO-1,Ana Reed,"1 Elm St, Boston, MA 02108",617-555-0101,RX-100002,1.50,2026-12-01,,ring,"{}"',
    'SO-2,Bo Ott,"2 Elm St, Boston, MA 02108",none,RX-100003,a lot,2026-12-02,,,"{}"',
    'SO-3,Cy Poe,"3 Elm St, Boston, MA 02108",617-555-0103,RX-100004,3.00,2026-12-03,delivered,,',
    'SO-3,Cy Poe,"3 Elm St, Boston, MA 02108",617-555-0103,RX-100005,3.00,2026-12-03,,,',
    'SO-4,Di Roy,"4 Elm St, Boston, MA 02108",617-555-0104,RX-100006,,,,,"{""route"": ""7""}"',
    'SO-5,Ed Fox,"5 Elm St, Boston, MA 02108",12,RX-100007,2.00,2026-12-05,,,',
)
FILE = HEADER + "".join(f"{each}\n" for each in ROWS)


@pytest.fixture
def _all_are_large(monkeypatch):
    monkeypatch.setattr(row_chunks, "LARGE_BYTES", 0)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)


def understood(content=FILE, **options):
    table = Table(BytesIO(content.encode()), CsvSettings(), ImportOptions(**options))
    return table, table.understand(Report())[0]


def reads_of(table, reading, by="order_id"):
    return [each for chunk in row_chunks.row_chunks(table, reading, by) for each in chunk]


@pytest.mark.parametrize("by", ["order_id", "patient"])
def test_the_process_finds_what_a_thread_finds(monkeypatch, by):
    table, reading = understood(cells={7: {1: "Di Rowe"}})
    here = reads_of(table, reading, by)

    monkeypatch.setattr(row_chunks, "LARGE_BYTES", 0)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    there = reads_of(table, reading, by)

    assert there == here
    assert [len(each.members) for each in here if each.members] == [1]
    assert [each.row.number for each in here if each.skipped] == [5]
    assert [each.row.number for each in here if each.errors] == [4, 6]
    assert [each.candidate.order.patient_name for each in here[-2:]] == ["Di Rowe", "Ed Fox"]


async def test_a_large_file_makes_the_packages_and_the_report_of_a_small_one(harness, monkeypatch):
    async with harness(PLUGINS) as gateway:
        sender = Sender(gateway, await gateway.issue_key())
        rehearsed = await sender.send(FILE, "?dry_run=true")
        monkeypatch.setattr(row_chunks, "LARGE_BYTES", 0)
        monkeypatch.setattr(os, "cpu_count", lambda: 2)

        made = await sender.send(FILE)
        again = await sender.send(FILE)
        packages = await sender.packages()

    assert made["created"] == rehearsed["created"] == 3
    assert (made["errors"], made["rejected"]) == (rehearsed["errors"], 2)
    assert made["warnings"] == rehearsed["warnings"]
    assert (again["created"], again["duplicates"]) == (0, 3)
    assert [each["patient_name"] for each in packages] == ["Ana Reed", "Di Roy", "Ed Fox"]


@pytest.mark.usefixtures("_all_are_large")
def test_the_process_gives_way_to_orders_and_ends_with_its_reader():
    before = {each.pid for each in psutil.Process().children()}
    table, reading = understood(HEADER + f"{ROWS[5]}\n" * 5000)
    chunks = row_chunks.row_chunks(table, reading, "order_id")
    next(chunks)
    [process] = [each for each in psutil.Process().children() if each.pid not in before]
    niceness, own = process.nice(), psutil.Process().nice()
    chunks.close()

    assert niceness > own
    assert not process.is_running()


async def test_a_process_that_is_killed_stops_the_import_which_may_be_sent_again(
    harness, monkeypatch, caplog
):
    def killed(*_asked):
        raise ReaderCrashed("The file can't be read: it is damaged.", "exit -9", b"")
        yield b""

    async with harness(PLUGINS) as gateway:
        sender = Sender(gateway, await gateway.issue_key())
        with monkeypatch.context() as patch:
            patch.setattr(row_chunks, "LARGE_BYTES", 0)
            patch.setattr(os, "cpu_count", lambda: 2)
            patch.setattr(row_chunks, "read_in_sandbox", killed)
            answer = await sender.post(FILE)
        again = await sender.send(FILE)

    assert answer.status_code == 503
    assert "The process that reads the file was ended" in answer.text
    assert "the process that reads a file ended: exit -9" in caplog.text
    assert again["created"] == 3


@pytest.mark.usefixtures("_all_are_large")
@pytest.mark.parametrize(
    ("found", "said"),
    [
        (FileTooDemanding("much"), TooLarge),
        (FileTooSlow("long"), InvalidInput),
        (ReaderCrashed("damaged", "exit -9", b""), Unavailable),
    ],
)
def test_the_limits_of_the_process_are_told_as_those_of_a_text_file(monkeypatch, found, said):
    def read(*_asked):
        raise found
        yield b""

    monkeypatch.setattr(row_chunks, "read_in_sandbox", read)
    table, reading = understood()

    with pytest.raises(said, match=r"import the parts|was ended"):
        reads_of(table, reading)


@pytest.mark.usefixtures("_all_are_large")
def test_a_machine_of_one_core_reads_a_large_file_in_its_own_process(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    monkeypatch.setattr(row_chunks, "read_in_sandbox", lambda *_asked: pytest.fail("a process"))
    table, reading = understood()

    assert len(reads_of(table, reading)) == 6


async def test_a_cancelled_import_waits_for_its_thread_and_closes_what_it_reads():
    reads, may_read, ended = threading.Event(), threading.Event(), []

    def chunks():
        try:
            reads.set()
            may_read.wait(10)
            ended.append("read")
            yield []
        finally:
            ended.append("closed")

    async def imported(threads):
        async with aclosing(_ahead(chunks(), threads)) as coming:
            async for _ in coming:
                pass

    async with ReadingThreads() as threads:
        importing = asyncio.create_task(imported(threads))
        await asyncio.to_thread(reads.wait, 10)
        importing.cancel()
        done, _ = await asyncio.wait([importing], timeout=0.05)
        may_read.set()
        with pytest.raises(asyncio.CancelledError):
            await importing

    assert not done
    assert ended == ["read", "closed"]


@pytest.mark.usefixtures("_all_are_large")
def test_a_file_that_a_process_should_not_hold_is_read_in_a_thread(monkeypatch):
    monkeypatch.setattr(row_chunks, "MOST_BYTES", len(FILE) - 1)
    monkeypatch.setattr(row_chunks, "read_in_sandbox", lambda *_asked: pytest.fail("a process"))
    table, reading = understood()

    assert len(reads_of(table, reading)) == 6


@pytest.mark.usefixtures("_all_are_large")
def test_a_number_that_is_too_large_to_hand_over_is_an_error_of_its_row():
    header = "Order ID,Patient Name,Address,Prescriptions\n"
    row = 'SO-{id},Gia Ash,"6 Elm St, Boston, MA 02108","[{{""rx_number"": ""RX-1"", {fill}}}]"\n'
    rows = (row.format(id=each, fill=f'""fill_number"": {each}') for each in (2**64, 7))
    table, reading = understood(header + "".join(rows), chosen={"prescriptions": "prescriptions"})

    found = reads_of(table, reading)

    assert [each.field for read in found for each in read.errors] == ["prescriptions"]
    assert [read.row.number for read in found if read.errors] == [2]
