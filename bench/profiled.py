"""Run a program under Python's own profiler, each of its threads: what the part "profile" starts.

``profiled.py FOLDER PROGRAM [ARGUMENT…]``, where a program is a module's name or a file ``….py``.
At SIGUSR2 it writes ``FOLDER/N.json``, N counting from 1: since the start, for each file of Python
code, the seconds of CPU spent in it and in the built-in functions that it called, and its calls.
"""

import cProfile
import json
import runpy
import signal
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

_PROFILES: Final[list[cProfile.Profile]] = []


def main(folder: Path, program: str, arguments: list[str]) -> None:
    """Run the program to its end."""
    written = 0

    def write(*_: object) -> None:
        nonlocal written
        _PROFILES[0].disable()  # a signal is handled in the main thread, whose profile is the first
        written += 1
        unfinished = folder / "unfinished"
        unfinished.write_text(json.dumps(_by_file()))
        unfinished.rename(folder / f"{written}.json")
        _PROFILES[0].enable()

    signal.signal(signal.SIGUSR2, write)
    threading.setprofile(_begin)  # each thread calls it as its first act
    _begin()
    sys.argv = [program, *arguments]
    if program.endswith(".py"):
        sys.path.insert(0, str(Path(program).parent))
        runpy.run_path(program, run_name="__main__")
    else:
        runpy.run_module(program, run_name="__main__", alter_sys=True)


def _begin(*_: object) -> None:
    profile = cProfile.Profile(time.thread_time)
    _PROFILES.append(profile)
    profile.enable()


def _by_file() -> dict[str, tuple[float, int]]:
    seconds: dict[str, float] = defaultdict(float)
    calls: dict[str, int] = defaultdict(int)
    for entry in [each for profile in _PROFILES for each in profile.getstats()]:
        if isinstance(entry.code, str):  # built in: counted with each of its callers
            continue
        name = entry.code.co_filename
        inside: list[Any] = [each for each in entry.calls or () if isinstance(each.code, str)]
        seconds[name] += entry.inlinetime + sum(each.inlinetime for each in inside)
        calls[name] += entry.callcount + sum(each.callcount for each in inside)
    return {name: (seconds[name], calls[name]) for name in seconds}


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
