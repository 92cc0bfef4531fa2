"""A reader that stays in its process for some files, and what ends it."""

import io
import sys
import threading
from pathlib import Path

import pytest

from gateway.errors import FileTooDemanding, FileTooSlow, FileUnreadable, ReaderCrashed
from gateway.sandbox.reader import SandboxLimits, SandboxReader
from gateway.sandbox.warm import WarmSandbox

READERS = Path(__file__).with_name("readers.py")


@pytest.fixture
def opened():
    made = []

    def make(most_files=50, **limits):
        reader = SandboxReader(READERS, ("process",), SandboxLimits(**limits))
        made.append(WarmSandbox(reader, most_files=most_files))
        return made[-1]

    yield make
    for each in made:
        each.close()
    assert [each.pid for each in made] == [None] * len(made)


def ask(sandbox, said="x"):
    return sandbox.read(io.BytesIO(said.encode()))


def test_one_process_reads_file_after_file_and_a_new_one_when_it_has_read_enough(opened):
    sandbox = opened(most_files=3)
    assert sandbox.pid is None

    answers = [ask(sandbox, said) for said in ("a", "", "é" * 200_000, "d")]

    pids = [pid for [[pid, _, _]] in answers]
    assert [said for [[_, _, said]] in answers] == ["a", "", "é" * 200_000, "d"]
    assert len(set(pids[:3])) == 1
    assert pids[3] not in pids[:3]
    assert sandbox.pid == pids[3]


def test_a_file_that_is_refused_leaves_the_process_and_one_that_breaks_it_does_not(opened):
    sandbox = opened()
    [[first, _, _]] = ask(sandbox)
    with pytest.raises(FileUnreadable) as refused:
        ask(sandbox, "refuse")
    [[second, _, _]] = ask(sandbox)
    with pytest.raises(ReaderCrashed):
        ask(sandbox, "raise")
    [[third, _, _]] = ask(sandbox)

    assert refused.value.code == "encrypted"
    assert (first == second, second == third) == (True, False)


def test_a_file_that_takes_too_long_ends_the_process_and_the_next_is_read(opened):
    sandbox = opened(silence_seconds=1.0)
    with pytest.raises(FileTooSlow):
        ask(sandbox, "hang")

    # On a busy machine the next process alone takes longer than that to start.
    sandbox._reader = sandbox._reader._replace(limits=SandboxLimits())
    [[_, _, said]] = ask(sandbox, "after")
    assert said == "after"


@pytest.mark.skipif(sys.platform != "linux", reason="what is resident is read from /proc")
def test_a_process_that_takes_more_memory_than_it_may_is_ended(opened):
    sandbox = opened(resident_bytes=200_000_000)
    ask(sandbox)
    assert 1_000_000 < sandbox.resident_bytes < 200_000_000

    with pytest.raises(FileTooDemanding):
        ask(sandbox, "grow")


@pytest.mark.skipif(sys.platform != "linux", reason="what is resident is read from /proc")
def test_a_file_that_finds_the_memory_full_of_earlier_ones_is_read_in_a_new_process(opened):
    sandbox = opened(resident_bytes=200_000_000)
    [[first, _, _]] = ask(sandbox, "swell")
    [[second, _, said]] = ask(sandbox, "swell")

    assert (first == second, said) == (False, "swell")


def test_an_idle_process_is_ended_and_one_that_was_killed_is_replaced(opened):
    sandbox = opened()
    [[first, _, _]] = ask(sandbox)
    sandbox.end_if_idle(3600)
    assert sandbox.pid == first
    sandbox.end_if_idle(0)
    assert sandbox.pid is None

    [[second, _, _]] = ask(sandbox)
    process, _ = sandbox._running
    process.kill()
    process.wait()
    [[third, _, _]] = ask(sandbox)
    assert third != second


def test_closing_ends_a_process_over_its_file(opened):
    sandbox = opened()
    ask(sandbox)
    failed = []

    def hang():
        try:
            ask(sandbox, "hang")
        except ReaderCrashed as error:
            failed.append(error.cause)

    asking = threading.Thread(target=hang)
    asking.start()
    while not (sandbox._lock.locked() and sandbox._running[1].is_waiting):
        pass
    sandbox.close()
    asking.join(120)

    assert len(failed) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has classes instead")
def test_a_process_in_the_background_gives_way(opened):
    [[_, plain, _]] = ask(opened())
    [[_, yielding, _]] = ask(opened(in_background=True))

    assert yielding == min(19, plain + 10)
