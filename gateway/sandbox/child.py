"""Runs one reader inside the sandbox: the script of the child process.

Arguments: the limits as JSON (``memory_bytes``, ``cpu_seconds``, ``in_background``, ``stays``), the
reader's path, and the reader's own arguments. The file arrives on stdin and is read to its end
before any output. A process that ``stays`` reads one file after the other, each after eight bytes
for its length (big-endian), until stdin ends.

Each item is written to stdout as a frame: one byte for its kind, four for its length (big-endian),
and the payload. Kinds: ``J`` JSON, ``B`` bytes, ``E`` the end, whose JSON is ``["done"]``,
``["memory"]``, ``["crashed", <exception class>]`` or ``["refused", <code>]``.

It imports nothing of the gateway, so that it starts in milliseconds.
"""

import json
import os
import sys

_NICENESS = 10

if __name__ == "__main__" and json.loads(sys.argv[1])["in_background"] and sys.platform != "win32":
    os.nice(_NICENESS)  # before the imports, which take longer than many files

# ruff: noqa: E402
import contextlib
import ctypes
import importlib.util
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Final, NoReturn

import msgspec

_OPEN_FILES: Final = 128
_LENGTH_BYTES: Final = 8

# Linux: <linux/seccomp.h>, <linux/filter.h>, <linux/audit.h>, <sched.h>.
_NO_NEW_PRIVILEGES: Final = 38
_SET_SECCOMP: Final = 22
_FILTER_MODE: Final = 2
_LOAD_WORD: Final = 0x20
_JUMP_IF_EQUAL: Final = 0x15
_JUMP_IF_AT_LEAST: Final = 0x35
_JUMP_IF_SET: Final = 0x45
_RETURN: Final = 0x06
_CALL_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
_ALLOW: Final = 0x7FFF0000
_NOT_PERMITTED: Final = 0x00050001  # EPERM
_NOT_IMPLEMENTED: Final = 0x00050026  # ENOSYS: glibc then falls back from clone3 to clone
_AS_THREAD: Final = 0x00010000
_X32_CALLS: Final = 0x40000000
_CLONE3: Final = 435
# Opening sockets, starting programs, and reaching into other processes.
_DENIED: Final = {
    "x86_64": (0xC000003E, 56, (41, 42, 49, 53, 57, 58, 59, 62, 101, 310, 311, 322, 425)),
    "aarch64": (0xC00000B7, 220, (198, 199, 200, 203, 117, 129, 221, 270, 271, 281, 425)),
}
"""By machine: the audit architecture, ``clone``, and the numbers of
socket, connect, bind, socketpair, fork, vfork, execve, kill, ptrace, process_vm_readv,
process_vm_writev, execveat, io_uring_setup (arm64 has no fork and vfork)."""


class _Instruction(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_ushort),
        ("if_true", ctypes.c_ubyte),
        ("if_false", ctypes.c_ubyte),
        ("value", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.POINTER(_Instruction)))


def limit_resources(memory_bytes: int, cpu_seconds: int) -> None:
    """Limit memory, CPU time, open files and writes to files, where the system can (POSIX)."""
    try:
        import resource
    except ImportError:  # on Windows a Job object does it from outside
        return
    for kind, wanted in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
    ):
        with contextlib.suppress(ValueError, OSError):
            _, hard = resource.getrlimit(kind)
            most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            resource.setrlimit(kind, (most, hard))


def system_call_filter(machine: str) -> list[tuple[int, int, int, int]] | None:
    """Return the seccomp program for a machine as (code, if_true, if_false, value)."""
    if machine not in _DENIED:
        return None
    architecture, clone, denied = _DENIED[machine]
    # Jumps count instructions from the next one; the returns are the last four.
    body: list[tuple[int, str | None, str | None, int]] = [
        (_LOAD_WORD, None, None, _ARCHITECTURE),
        (_JUMP_IF_EQUAL, None, "deny", architecture),
        (_LOAD_WORD, None, None, _CALL_NUMBER),
        (_JUMP_IF_AT_LEAST, "deny", None, _X32_CALLS),
        *((_JUMP_IF_EQUAL, "deny", None, each) for each in denied),
        (_JUMP_IF_EQUAL, "absent", None, _CLONE3),
        (_JUMP_IF_EQUAL, None, "allow", clone),
        (_LOAD_WORD, None, None, _FIRST_ARGUMENT),
        (_JUMP_IF_SET, "allow", "deny", _AS_THREAD),
    ]
    ends = {"allow": _ALLOW, "deny": _NOT_PERMITTED, "absent": _NOT_IMPLEMENTED}
    places = {name: len(body) + index for index, name in enumerate(ends)}

    def offset(place: int, target: str | None) -> int:
        return 0 if target is None else places[target] - place - 1

    program = [
        (code, offset(place, if_true), offset(place, if_false), value)
        for place, (code, if_true, if_false, value) in enumerate(body)
    ]
    return program + [(_RETURN, 0, 0, value) for value in ends.values()]


def deny_network_and_processes() -> bool:
    """Forbid sockets and new processes in this process; returns whether that worked."""
    if sys.platform != "linux":
        return False
    found = system_call_filter(os.uname().machine)
    if found is None:
        return False
    instructions = (_Instruction * len(found))(*(_Instruction(*each) for each in found))
    program = _Program(len(found), instructions)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) != 0:
        return False
    filtered: int = libc.prctl(_SET_SECCOMP, _FILTER_MODE, ctypes.byref(program), 0, 0)
    return filtered == 0


def _refuse(code: str) -> NoReturn:
    raise SystemExit(code)


def _loaded(path: str) -> Callable[..., Iterator[Any]]:
    spec = importlib.util.spec_from_file_location("sandboxed_reader", path)
    assert spec is not None  # noqa: S101 - the gateway names a file that it has
    assert spec.loader is not None  # noqa: S101
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    read: Callable[..., Iterator[Any]] = module.read
    return read


def run(
    read: Callable[..., Iterator[Any]], arguments: list[str], content: bytes, out: BinaryIO
) -> None:
    """Run a reader on a file's content, and write its items to ``out``."""
    encode = msgspec.json.Encoder().encode
    try:
        for item in read(content, _refuse, *arguments):
            is_bytes = isinstance(item, bytes)
            payload = item if is_bytes else encode(item)
            out.write(b"BJ"[not is_bytes :][:1] + len(payload).to_bytes(4, "big"))
            out.write(payload)
        end = ["done"]
    except SystemExit as refused:  # no reader's own ``except Exception`` catches it
        end = ["refused", str(refused.code)]
    except MemoryError:
        end = ["memory"]
    except BrokenPipeError:  # the gateway stopped reading
        os._exit(0)
    except Exception as error:  # noqa: BLE001 - a fault of the reader is reported by its class
        end = ["crashed", type(error).__name__]
    payload = encode(end)
    out.write(b"E" + len(payload).to_bytes(4, "big") + payload)
    out.flush()


def run_each(
    read: Callable[..., Iterator[Any]], arguments: list[str], files: BinaryIO, out: BinaryIO
) -> None:
    """Run a reader on one file after the other, until ``files`` ends."""
    while len(head := files.read(_LENGTH_BYTES)) == _LENGTH_BYTES:
        content = files.read(int.from_bytes(head, "big"))
        run(read, arguments, content, out)


def main() -> None:
    """Confine this process, then read."""
    limits = json.loads(sys.argv[1])
    limit_resources(limits["memory_bytes"], limits["cpu_seconds"])
    deny_network_and_processes()
    read, files = _loaded(sys.argv[2]), sys.stdin.buffer
    if limits["stays"]:
        run_each(read, sys.argv[3:], files, sys.stdout.buffer)
    else:
        run(read, sys.argv[3:], files.read(), sys.stdout.buffer)


if __name__ == "__main__":
    main()
