"""Runs one throw-away server for a process that may end at any moment.

    python -I -S keeper.py DIRECTORY USER COMMAND…

Standard input is a pipe from that process. A line ``stop`` or ``kill`` on it ends the
server, ``pause`` and ``resume`` let it stand still for a while, and are answered with a line
once that is so. When the pipe closes without a word, nobody is left to clean up: then the
server is ended and DIRECTORY removed. USER is empty for no other user than ours. What the
server prints goes to DIRECTORY/server.log. Started by ``servers.py``.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

STOP_SECONDS: Final = 10.0
PAUSES: Final = {"pause": signal.SIGSTOP, "resume": signal.SIGCONT}


@contextmanager
def throw_away_directory(prefix: str, place: Path | None = None) -> Iterator[Path]:
    """Yield a new directory in ``place``, by default the system's, that is removed afterwards."""
    directory = Path(tempfile.mkdtemp(prefix=prefix, dir=place)).resolve()
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def kept(
    directory: Path, user: str | None, command: Sequence[str | Path]
) -> subprocess.Popen[bytes]:
    """Start a keeper for ``command``; what it may be told is written at the top."""
    return subprocess.Popen(
        [sys.executable, "-I", "-S", __file__, directory, user or "", *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # a Ctrl-C meant for the tests is not for the servers
    )


def keep(directory: Path, user: str | None, command: Sequence[str]) -> int:
    """Run the server until it ends by itself or by order; return its exit code."""
    with (directory / "server.log").open("ab") as log:
        server = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=directory,
            user=user,
            start_new_session=True,
        )
    orders: list[str] = []

    def obey() -> None:
        while (order := sys.stdin.readline().strip()) in PAUSES:
            server.send_signal(PAUSES[order])
            # A signal is only sent by then: what follows must find it done.
            done = os.WSTOPPED if order == "pause" else os.WCONTINUED
            os.waitid(os.P_PID, server.pid, done | os.WEXITED | os.WNOWAIT)
            print("done", flush=True)  # noqa: T201 - to whoever started us
        orders.append(order)
        server.send_signal(signal.SIGCONT)  # while it stands still it hears of nothing else
        if orders != ["kill"]:
            server.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                server.wait(STOP_SECONDS)
        server.kill()

    threading.Thread(target=obey, daemon=True).start()
    code = server.wait()
    if orders == [""]:
        shutil.rmtree(directory, ignore_errors=True)
    return code


if __name__ == "__main__":
    sys.exit(keep(Path(sys.argv[1]), sys.argv[2] or None, sys.argv[3:]))
