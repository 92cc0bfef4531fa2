"""Run a reader on a file in a confined child process, and return its items.

A reader is a Python file of its own, outside every package that takes long to import::

    def read(content: bytes, refuse: Callable[[str], NoReturn], *arguments: str):
        yield {"width": 640}   # anything that is JSON
        yield b"..."           # or bytes
        refuse("encrypted")    # the file is of no use; the code is the reader's own

It may import installed packages. Importing the gateway's own modules takes half a second.
"""

import errno
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, Protocol

import msgspec

from gateway.errors import FileTooDemanding, FileTooSlow, FileUnreadable, ReaderCrashed

_CHILD: Final = Path(__file__).with_name("child.py")
_TICK_SECONDS: Final = 0.25
_STDERR_BYTES: Final = 4096
_HEAD_BYTES: Final = 5
_TOO_LARGE: Final = b'["memory"]'
# Variables that a process needs to start and to find its libraries; others may be secrets.
_ENVIRONMENT: Final = ("SYSTEMROOT", "WINDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LANG")
# The messages of Rust and C++ before they abort without memory.
_OUT_OF_MEMORY: Final = (b"memory allocation of", b"bad_alloc")
_OUT_OF_CPU_TIME: Final = frozenset({-24, 1816})  # SIGXCPU; ERROR_NOT_ENOUGH_QUOTA on Windows


class SandboxLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of one run.

    ``silence_seconds`` is the longest time without output. ``memory_bytes`` is address space,
    ``resident_bytes`` resident memory (Linux only; 0: no limit). ``in_background``: the process has
    a lower priority than others, such as the server.
    """

    memory_bytes: int = 1_500_000_000
    resident_bytes: int = 0
    in_background: bool = False
    cpu_seconds: int = 300
    silence_seconds: float = 120.0
    item_bytes: int = 64_000_000


class SandboxReader(NamedTuple):
    """A reader's file, its arguments, and its limits."""

    script: Path
    arguments: tuple[str, ...] = ()
    limits: SandboxLimits = SandboxLimits()


class Readable(Protocol):
    """The interface of a file: it is read once, from its beginning."""

    def seek(self, offset: int, /) -> int:
        """Start from ``offset``, which is 0."""
        ...

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes, at most ``size``; empty at the end."""
        ...


def read_in_sandbox(reader: SandboxReader, file: Readable) -> Iterator[Any]:
    """Yield the items of ``reader`` for the whole ``file``: decoded JSON, or ``bytes``.

    Blocks: call it in a thread. Closing the iterator ends the process. Raises
    :class:`FileTooDemanding`, :class:`FileTooSlow`, :class:`FileUnreadable` or
    :class:`ReaderCrashed`.
    """
    with sandboxed_process(reader) as (process, watch):
        _send(file, process.stdin)
        yield from items_of(process, watch, reader.limits.item_bytes)


def items_of(process: Any, watch: "Watch", item_bytes: int) -> Iterator[Any]:
    """Yield a process's items for one file; raises as :func:`read_in_sandbox` does."""
    decode = msgspec.json.Decoder().decode
    end: list[str] = []
    for kind, payload in _frames(process.stdout, watch, item_bytes):
        if kind == b"E":
            end = decode(payload)
            break
        yield payload if kind == b"B" else decode(payload)
    if end == ["done"]:
        return
    if not end:
        process.wait()
    _fail(end, process.returncode, watch)


def _send(file: Readable, stdin: Any) -> None:
    file.seek(0)
    try:
        shutil.copyfileobj(file, stdin)
        stdin.close()
    except OSError as error:
        if not _is_broken_pipe(error):
            raise
        # The process ended before it read everything: its frames or its exit code show why.


def _frames(stdout: Any, watch: "Watch", item_bytes: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield each frame's kind and payload, up to the first incomplete one."""
    while True:
        watch.items += 1
        watch.is_waiting = True
        head = stdout.read(_HEAD_BYTES)
        length = int.from_bytes(head[1:], "big")
        if len(head) < _HEAD_BYTES:
            return
        if length > item_bytes:
            yield b"E", _TOO_LARGE
            return
        payload = stdout.read(length)
        watch.is_waiting = False
        if len(payload) < length:
            return
        yield head[:1], payload


def _fail(end: list[str], code: int | None, watch: "Watch") -> None:
    if end[:1] == ["refused"]:
        raise FileUnreadable("The file can't be read: it is damaged, or not what it says.", end[1])
    stderr = watch.stderr()
    is_too_large = watch.grew_too_large or any(each in stderr for each in _OUT_OF_MEMORY)
    if end[:1] == ["memory"] or (not end and is_too_large):
        raise FileTooDemanding("The file takes too much memory to read: split it, or make it less.")
    if watch.timed_out or (not end and code in _OUT_OF_CPU_TIME):
        raise FileTooSlow("The file takes too long to read: split it, or make it simpler.")
    cause = end[1] if end else f"exit {code}"
    raise ReaderCrashed("The file can't be read: it is damaged.", cause, stderr)


def resident_bytes_of(pid: int) -> int:
    """Return a process's resident memory; 0 where the system has no ``/proc``."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_bytes().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError, AttributeError):
        return 0  # the process is gone, or this isn't Linux


def _below_normal(limits: SandboxLimits) -> int:
    """Return the flag for a low priority on Windows; elsewhere the child lowers its own."""
    flag: int = getattr(subprocess, "BELOW_NORMAL_PRIORITY_CLASS", 0)
    return flag if limits.in_background else 0


class Watch:
    """Keeps the beginning of the process's stderr, and ends a process that is silent for long."""

    def __init__(
        self, process: subprocess.Popen[bytes], silence_seconds: float, resident_bytes: int = 0
    ) -> None:
        self.items = 0
        self.is_waiting = True
        self.timed_out = False
        self.grew_too_large = False
        self._resident_bytes = resident_bytes
        self._process = process
        self._silence_seconds = silence_seconds
        self._stderr = b""
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=each, daemon=True) for each in (self._tick, self._drain)
        ]
        for each in self._threads:
            each.start()

    def stderr(self) -> bytes:
        """Return the process's stderr after its end."""
        self._process.kill()
        self._threads[1].join()
        return self._stderr

    def close(self) -> None:
        """Stop watching; the process has ended."""
        self._over.set()
        for each in self._threads:
            each.join()

    def _tick(self) -> None:
        silent, items = 0.0, 0
        while not self._over.wait(_TICK_SECONDS):
            is_same = self.is_waiting and self.items == items
            silent, items = silent + _TICK_SECONDS if is_same else 0.0, self.items
            if silent >= self._silence_seconds:
                self.timed_out = True
                self._process.kill()
                return
            if self._resident_bytes and resident_bytes_of(self._process.pid) > self._resident_bytes:
                self.grew_too_large = True
                self._process.kill()
                return

    def _drain(self) -> None:
        stream: IO[bytes] | None = self._process.stderr
        while stream is not None and (block := stream.read(_STDERR_BYTES)):
            self._stderr = (self._stderr + block)[:_STDERR_BYTES]


@contextmanager
def sandboxed_process(reader: SandboxReader, *, stays: bool = False) -> Iterator[tuple[Any, Watch]]:
    """Start a confined process, and end it; with ``stays`` it reads one file after the other."""
    limits = reader.limits
    said = json.dumps(
        {
            "memory_bytes": limits.memory_bytes,
            "cpu_seconds": limits.cpu_seconds,
            "in_background": limits.in_background,
            "stays": stays,
        }
    )
    from gateway.sandbox.windows_job import confined_to_job  # ctypes: with the first file

    environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    python = sys.executable
    if sys.platform == "win32":
        # A venv's python.exe starts another one, which no Job object would hold
        # (as multiprocessing does: cpython Lib/multiprocessing/popen_spawn_win32.py).
        environment["__PYVENV_LAUNCHER__"] = python
        python = getattr(sys, "_base_executable", python)
    process = subprocess.Popen(  # noqa: S603 - our own script, run by our own interpreter
        [python, "-I", "-B", str(_CHILD), said, str(reader.script), *reader.arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        creationflags=_below_normal(limits),
    )
    watch = None
    try:
        # The file is sent afterwards, so that the process is confined before it reads any of it.
        with confined_to_job(process, limits.memory_bytes, limits.cpu_seconds):
            watch = Watch(process, limits.silence_seconds, limits.resident_bytes)
            yield process, watch
    finally:
        process.kill()
        process.wait()
        if watch is not None:
            watch.close()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                _close(pipe)


def _close(pipe: IO[bytes]) -> None:
    try:
        pipe.close()
    except OSError as error:
        if not _is_broken_pipe(error):
            raise  # no reader is left for the rest


def _is_broken_pipe(error: OSError) -> bool:
    """Return whether a pipe's other end is gone, which Windows calls an invalid argument."""
    return isinstance(error, BrokenPipeError) or error.errno == errno.EINVAL
