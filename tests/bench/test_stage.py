"""What the bench's scripts print arrives whole, however the environment has Python write."""

import signal
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"
sys.path.insert(0, str(BENCH))

from stage import Stage  # noqa: E402 - the bench is no package: its modules stand on the path

sys.path.remove(str(BENCH))

PRINTS_MUCH = """
import json, signal
signal.signal(signal.SIGALRM, lambda *_: None)
signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
print(json.dumps("x" * 20_000_000), flush=True)
signal.setitimer(signal.ITIMER_REAL, 0)
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="Windows has no such signals")
def test_what_a_script_prints_is_whole_though_signals_interrupt_it(tmp_path, monkeypatch):
    script = tmp_path / "prints_much.py"
    script.write_text(PRINTS_MUCH)
    monkeypatch.setenv("PYTHONUNBUFFERED", "1")

    printed = Stage(Path()).ask(str(script), {})

    assert len(printed) == 20_000_000
