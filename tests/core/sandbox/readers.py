"""Readers that the sandbox's tests run: each behaves in one way."""

import time


def read(content, refuse, behaviour):
    """Do what ``behaviour`` says."""
    return globals()[f"do_{behaviour}"](content, refuse)


def do_count(content, refuse):
    yield {"bytes": len(content)}
    yield content[:3]
    yield [None, 1.5, "é"]


def do_nothing(content, refuse):
    yield from ()


def do_refuse(content, refuse):
    yield 1
    refuse("encrypted")


def do_raise(content, refuse):
    yield 1
    raise KeyError(content.decode())


def do_allocate(content, refuse):
    yield len(bytearray(4_000_000_000))


def do_hang(content, refuse):
    yield 1
    time.sleep(600)


def do_spin(content, refuse):
    yield 1
    while True:
        pass


def do_flood(content, refuse):
    yield b"x" * 2_000_000


def do_die(content, refuse):
    import os

    os.write(2, b"e" * 1_000_000)
    yield 1
    os.abort()


def do_many(content, refuse):
    yield from range(200_000)


def _outcome(action):
    try:
        action()
    except (OSError, RuntimeError) as error:
        return type(error).__name__
    return "done"


def do_try(content, refuse):
    import os
    import socket
    import subprocess
    import sys
    import tempfile
    import threading

    def fork():
        if os.fork() == 0:
            os._exit(0)

    def write():
        with tempfile.TemporaryFile() as file:
            file.write(b"x")

    def thread():
        started = threading.Thread(target=len, args=("",))
        started.start()
        started.join()

    yield {
        "socket": _outcome(socket.socket),
        "fork": _outcome(fork),
        "program": _outcome(lambda: subprocess.run([sys.executable, "-V"], check=False)),
        "kill": _outcome(lambda: os.kill(os.getppid(), 0)),
        "write": _outcome(write),
        "thread": _outcome(thread),
    }
    yield sorted(os.environ)


def do_process(content, refuse):
    """Say which process reads, or do what the content says."""
    import os

    said = content.decode()
    if said in {"raise", "hang", "refuse", "grow", "swell"}:
        yield from globals()[f"do_{said}"](content, refuse)
    yield [os.getpid(), os.nice(0) if hasattr(os, "nice") else None, said]


def do_grow(content, refuse):
    grown = bytearray(b"x") * 300_000_000
    yield len(grown)
    time.sleep(600)


def do_swell(content, refuse):
    """Take much memory in a process that has read before, as one does that leaks."""
    if _READ_BEFORE:
        yield from do_grow(content, refuse)
    _READ_BEFORE.append(1)


_READ_BEFORE = []
