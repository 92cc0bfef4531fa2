"""The watchdog names the function that blocked the event loop."""

import asyncio
import logging
import sys
import threading
import time
from pathlib import Path

import pytest
from raw_http import until
from waiting import PATIENCE_SECONDS

from gateway.clock import SteppingClock, SystemClock
from gateway.observability.loop_watchdog import (
    _WaitingClock,
    _Watchdog,
    place_of,
    watched_loop,
)
from gateway.observability.metrics import Metrics


def busy(seconds: float) -> None:
    until = time.thread_time() + seconds  # on a busy machine, a block lasts longer
    while time.thread_time() < until:
        pass


async def test_a_block_is_logged_and_counted_with_its_place(caplog):
    caplog.set_level(logging.WARNING)
    metrics = Metrics()
    with watched_loop(metrics, SystemClock(), blocked_seconds=0.1):
        await asyncio.sleep(0.2)
        busy(0.3)
        await until(lambda: metrics.loop_blocks.values)

    # No frame of the gateway's is on this stack, so the innermost counts.
    assert any(place.endswith(":busy") for (place,) in metrics.loop_blocks.values)
    lines = [each.getMessage() for each in caplog.records if "blocked" in each.getMessage()]
    assert any(":busy" in line for line in lines)


async def test_a_place_that_blocks_again_and_again_is_logged_once_a_minute(caplog):
    caplog.set_level(logging.WARNING)
    metrics, clock = Metrics(), SteppingClock()
    watchdog = _Watchdog(asyncio.get_running_loop(), metrics, clock, 0.1)
    for seconds in (0, 1, 1, 58):
        clock.step(seconds)
        watchdog._report("gateway.x:y", 0.2, 0.1)
    await until(lambda: metrics.loop_blocks.values.get(("gateway.x:y",)) == 4)

    lines = [each.getMessage() for each in caplog.records if "gateway.x:y" in each.getMessage()]
    assert [line.rpartition("gateway.x:y")[2] for line in lines] == [
        "",
        ", and 2 times since the last line of it",
    ]


async def test_what_a_busy_machine_holds_up_is_counted_and_not_logged(caplog):
    caplog.set_level(logging.WARNING)
    metrics = Metrics()
    watchdog = _Watchdog(asyncio.get_running_loop(), metrics, SteppingClock(), 0.1)
    watchdog._report("gateway.x:starved", 0.5, 0.002, 0.45)
    watchdog._report("gateway.x:sleeps", 0.5, 0.002, 0.01)
    await until(lambda: len(metrics.loop_blocks.values) == 2)
    watchdog._waited_seconds.close()

    [line] = [each.getMessage() for each in caplog.records if "blocked" in each.getMessage()]
    assert "gateway.x:sleeps" in line


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="the system doesn't say")
def test_the_time_that_a_thread_waits_for_a_processor_is_what_the_kernel_reports():
    own = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat")
    clock = _WaitingClock(threading.get_native_id())

    before = int(own.read_text().split()[1])
    waited_ns = clock() * 1e9
    after = int(own.read_text().split()[1])
    clock.close()

    assert before - 1 <= waited_ns <= after + 1
    assert clock() == 0
    assert _WaitingClock(2**22 + 1)() == 0  # no such thread


async def test_its_thread_ends_with_the_block():
    with watched_loop(Metrics(), SystemClock()):
        assert "loop watchdog" in {each.name for each in threading.enumerate()}
    assert "loop watchdog" not in {each.name for each in threading.enumerate()}


def test_the_place_is_the_innermost_function_of_the_gateway_or_a_plugin():
    inner = {"__name__": "json.decoder", "sys": sys}
    outer = {"__name__": "gateway_csv.importer"}
    exec("def scan(): return sys._getframe()", inner)
    exec("def parse(scan): return scan()", outer)

    assert place_of(outer["parse"](inner["scan"])) == "gateway_csv.importer:parse"
    assert place_of(inner["scan"]()) == "json.decoder:scan"
    assert place_of(None) == "unknown"


@pytest.mark.skipif(not hasattr(time, "pthread_getcpuclockid"), reason="no clock of a thread")
async def test_the_line_tells_waiting_from_computing(caplog):
    caplog.set_level(logging.WARNING)
    metrics = Metrics()
    with watched_loop(metrics, SystemClock(), blocked_seconds=0.1):
        await asyncio.sleep(0.2)
        time.sleep(0.5)  # noqa: ASYNC251 - that is the fault
        await until(lambda: metrics.loop_blocks.values)

    line = next(each for each in caplog.records if "blocked" in each.getMessage())
    seconds, cpu_seconds = line.args[0], line.args[1]
    assert seconds > 100
    assert cpu_seconds < seconds / 2


async def test_a_loop_that_waits_is_left_alone(monkeypatch):
    asked = []
    monkeypatch.setattr(_Watchdog, "_answers", lambda _self: asked.append(1) or True)
    with watched_loop(Metrics(), SystemClock()):
        await asyncio.sleep(0.3)
        # It may have been looked at while it was beginning to wait.
        assert len(asked) <= 1
        until_looked_at = time.monotonic() + PATIENCE_SECONDS
        seen = len(asked)
        while len(asked) == seen and time.monotonic() < until_looked_at:
            busy(0.01)
    assert len(asked) > seen
