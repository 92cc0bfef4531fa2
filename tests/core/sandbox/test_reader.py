"""A reader runs on foreign bytes in a confined process, and can end only that."""

import ctypes
import errno
import io
import os
import sys
import threading
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import pytest

from gateway.errors import (
    FileTooDemanding,
    FileTooSlow,
    FileUnreadable,
    InvalidInput,
    ReaderCrashed,
    TooLarge,
    Unavailable,
)
from gateway.sandbox import child, reader, windows_job
from gateway.sandbox.reader import SandboxLimits, SandboxReader, read_in_sandbox

READERS = Path(__file__).with_name("readers.py")
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="seccomp is Linux's")


def items(behaviour, content=b"abcdef", **limits):
    sandboxed = SandboxReader(READERS, (behaviour,), SandboxLimits(**limits))
    return read_in_sandbox(sandboxed, io.BytesIO(content))


def test_what_a_reader_yields_comes_out_as_json_and_as_bytes():
    assert list(items("count")) == [{"bytes": 6}, b"abc", [None, 1.5, "é"]]
    assert list(items("nothing")) == []


def test_a_reader_that_is_not_read_to_its_end_is_ended():
    before = threading.active_count()
    running = items("many")

    assert list(islice(running, 3)) == [0, 1, 2]
    running.close()

    assert threading.active_count() == before


def test_two_hundred_thousand_items_come_in_order():
    assert list(items("many")) == list(range(200_000))


def test_a_reader_may_refuse_a_file_with_a_code_of_its_own():
    running = items("refuse")
    assert next(running) == 1

    with pytest.raises(FileUnreadable) as refused:
        next(running)

    assert refused.value.code == "encrypted"
    assert isinstance(refused.value, InvalidInput)


def test_a_reader_that_fails_is_reported_by_the_class_of_its_error_and_not_by_its_words():
    with pytest.raises(ReaderCrashed) as crashed:
        list(items("raise", b"Ana Reed"))

    assert crashed.value.cause == "KeyError"
    assert "Ana" not in f"{crashed.value} {crashed.value.stderr!r}"


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS doesn't enforce the limit")
def test_a_reader_that_takes_too_much_memory_is_ended():
    with pytest.raises(FileTooDemanding) as refused:
        list(items("allocate", memory_bytes=500_000_000))

    assert isinstance(refused.value, TooLarge)


def test_a_reader_that_is_silent_for_too_long_is_ended():
    with pytest.raises(FileTooSlow):
        list(items("hang", silence_seconds=0.5))


class Process:
    """Stands for a process: notes whether it was killed."""

    def __init__(self):
        self.stderr = io.BytesIO()
        self.killed = threading.Event()

    def kill(self):
        self.killed.set()


def test_time_that_the_caller_takes_between_two_items_is_not_the_readers():
    process = Process()
    watch = reader.Watch(process, 0.5)
    watch.is_waiting = False

    assert not process.killed.wait(1.5)

    watch.is_waiting = True
    assert process.killed.wait(60)
    assert watch.timed_out
    watch.close()


@pytest.mark.skipif(sys.platform == "win32", reason="the Job object is tried apart")
def test_a_reader_that_computes_for_too_long_is_ended():
    with pytest.raises(FileTooSlow):
        list(items("spin", cpu_seconds=1))


def test_an_item_that_is_too_large_is_not_taken_in():
    with pytest.raises(FileTooDemanding):
        list(items("flood", item_bytes=1_000_000))


def test_of_what_a_dying_process_writes_to_stderr_only_the_beginning_is_kept():
    running = items("die")

    with pytest.raises(ReaderCrashed) as crashed:
        list(running)

    assert crashed.value.cause.startswith("exit ")
    assert crashed.value.stderr == b"e" * 4096


@on_linux
def test_a_reader_has_no_network_no_other_process_no_file_to_write_and_no_secret(monkeypatch):
    monkeypatch.setenv("GATEWAY_SECRET", "sesame")
    if os.uname().machine not in {"x86_64", "aarch64"}:
        pytest.skip("no filter for this machine")

    attempts, environment = list(items("try"))

    assert attempts.pop("write") in {"OSError", "FileNotFoundError"}
    assert attempts == {
        "socket": "PermissionError",
        "fork": "PermissionError",
        "program": "PermissionError",
        "kill": "PermissionError",
        "thread": "done",
    }
    assert set(environment) <= {"LANG", "LC_CTYPE", "LD_LIBRARY_PATH"}


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_every_jump_of_the_system_call_filter_lands_on_an_instruction(machine):
    program = child.system_call_filter(machine)

    ends = range(len(program) - 3, len(program))
    for place, (code, if_true, if_false, _) in enumerate(program):
        for jump in (if_true, if_false):
            assert code == 6 or place + 1 + jump < len(program)
            assert jump == 0 or place + 1 + jump in ends
    assert child.system_call_filter("riscv64") is None


class Kernel:
    """Stands for kernel32: notes the calls, and refuses one of them when told to."""

    def __init__(self, refuses=None):
        self.calls = []
        self.limits = None
        self._refuses = refuses
        self.CreateJobObjectW = self._call("create", 7)
        self.AssignProcessToJobObject = self._call("assign", 1)
        self.CloseHandle = self._call("close", 1)

    def _call(self, name, answer):
        def call(*arguments):
            self.calls.append((name, *(getattr(each, "value", each) for each in arguments)))
            return 0 if name == self._refuses else answer

        return call

    def SetInformationJobObject(self, job, kind, pointer, size):  # noqa: N802 - Windows' name
        self.calls.append(("set", job.value, kind, size))
        self.limits = pointer._obj
        return int(self._refuses != "set")


def test_on_windows_a_job_object_bounds_memory_time_and_processes():
    kernel = Kernel()

    with windows_job.confined_to_job(SimpleNamespace(_handle=42), 1_000, 3, kernel):
        assert kernel.calls[-1] == ("assign", 7, 42)

    size = 144 if ctypes.sizeof(ctypes.c_size_t) == 8 else 112
    assert kernel.calls == [
        ("create", None, None),
        ("set", 7, 9, size),
        ("assign", 7, 42),
        ("close", 7),
    ]
    assert kernel.limits.process_memory == 1_000
    assert kernel.limits.basic.process_time == 30_000_000
    assert (kernel.limits.basic.active_processes, kernel.limits.basic.flags) == (1, 0x250A)


@pytest.mark.parametrize("refuses", ["create", "set", "assign"])
def test_on_windows_nothing_is_read_by_a_process_that_is_not_confined(refuses):
    with (
        pytest.raises(Unavailable),
        windows_job.confined_to_job(SimpleNamespace(_handle=42), 1, 1, Kernel(refuses)),
    ):
        pytest.fail("it was let through")


@pytest.mark.parametrize(
    ("error", "is_broken"),
    [
        (BrokenPipeError(errno.EPIPE, "broken pipe"), True),
        (OSError(errno.EINVAL, "Invalid argument"), True),  # Windows
        (OSError(errno.ENOSPC, "No space left on device"), False),
    ],
)
def test_a_process_that_is_gone_is_told_from_other_trouble(error, is_broken):
    assert reader._is_broken_pipe(error) is is_broken
