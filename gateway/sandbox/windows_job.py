"""A Windows Job object around a child process: memory, CPU time, and no process of its own.

https://learn.microsoft.com/windows/win32/procthread/job-objects. When the last handle is closed,
also because this process died, Windows ends the child.
"""

import ctypes
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from gateway.errors import Unavailable

_EXTENDED_LIMITS: Final = 9  # JobObjectExtendedLimitInformation
_PROCESS_TIME: Final = 0x0002
_ACTIVE_PROCESS: Final = 0x0008
_PROCESS_MEMORY: Final = 0x0100
_DIE_ON_UNHANDLED_EXCEPTION: Final = 0x0400
_KILL_ON_JOB_CLOSE: Final = 0x2000
_TICKS_PER_SECOND: Final = 10_000_000  # of 100 ns


class _BasicLimits(ctypes.Structure):
    _fields_ = (
        ("process_time", ctypes.c_int64),
        ("job_time", ctypes.c_int64),
        ("flags", ctypes.c_uint32),
        ("minimum_working_set", ctypes.c_size_t),
        ("maximum_working_set", ctypes.c_size_t),
        ("active_processes", ctypes.c_uint32),
        ("affinity", ctypes.c_size_t),
        ("priority_class", ctypes.c_uint32),
        ("scheduling_class", ctypes.c_uint32),
    )


class _ExtendedLimits(ctypes.Structure):
    _fields_ = (
        ("basic", _BasicLimits),
        ("io_counters", ctypes.c_uint64 * 6),
        ("process_memory", ctypes.c_size_t),
        ("job_memory", ctypes.c_size_t),
        ("peak_process_memory", ctypes.c_size_t),
        ("peak_job_memory", ctypes.c_size_t),
    )


@contextmanager
def confined_to_job(
    process: subprocess.Popen[bytes], memory_bytes: int, cpu_seconds: int, kernel: Any = None
) -> Iterator[None]:
    """Keep a process in a Job object while the block runs; on Windows only.

    ``kernel`` is kernel32 (a test passes its own). Raises ``Unavailable`` where Windows refuses: no
    file is read by an unconfined process.
    """
    if kernel is None and sys.platform == "win32":
        kernel = ctypes.WinDLL("kernel32", use_last_error=True)
    if kernel is None:
        yield
        return
    kernel.CreateJobObjectW.restype = ctypes.c_void_p
    job = ctypes.c_void_p(kernel.CreateJobObjectW(None, None))
    limits = _limits(memory_bytes, cpu_seconds)
    handle = ctypes.c_void_p(int(process._handle))  # type: ignore[attr-defined]  # noqa: SLF001
    try:
        if not (
            job.value
            and kernel.SetInformationJobObject(
                job, _EXTENDED_LIMITS, ctypes.byref(limits), ctypes.sizeof(limits)
            )
            and kernel.AssignProcessToJobObject(job, handle)
        ):
            raise Unavailable("Windows refuses a Job object for the reader; restart the gateway.")
        yield
    finally:
        if job.value:
            kernel.CloseHandle(job)


def _limits(memory_bytes: int, cpu_seconds: int) -> _ExtendedLimits:
    limits = _ExtendedLimits()
    limits.basic.flags = (
        _PROCESS_TIME
        | _ACTIVE_PROCESS
        | _PROCESS_MEMORY
        | _DIE_ON_UNHANDLED_EXCEPTION
        | _KILL_ON_JOB_CLOSE
    )
    limits.basic.process_time = cpu_seconds * _TICKS_PER_SECOND
    limits.basic.active_processes = 1
    limits.process_memory = memory_bytes
    return limits
