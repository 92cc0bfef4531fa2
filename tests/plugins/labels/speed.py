"""How long a scan takes beside the bare OCR call, and what orders notice of it.

``make labels-speed`` prints the figures of docs/explanation/labels.md: the same pictures through
``RapidOCR()`` as it comes, in a process of its own, and through a whole gateway, from the picture
sent to the draft; then single orders, ten a second, without scans and during them.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from plugins.labels.conftest import TOML
from plugins.labels.made_labels import made
from plugins.labels.scans import Scans

from gateway.settings import parse_settings
from gateway.testing import GatewayHarness

_BARE = """
import json, logging, os, sys, time
os.environ.update({"ORT_DISABLE_TELEMETRY": "1", "ORT_TELEMETRY_DISABLED": "1"})
from rapidocr import RapidOCR
logging.disable(logging.CRITICAL)
engine = RapidOCR(params={"Global.log_level": "critical"})
engine(sys.argv[1])
took = []
for path in sys.argv[1:]:
    started = time.perf_counter()
    engine(path)
    took.append(time.perf_counter() - started)
print(json.dumps(took))
"""
_EVERY_SECONDS = 0.1
_LIMITS = """
orders_requests_per_minute = 1000000
orders_per_hour = 1000000
labels_per_minute = 1000000
"""


def bare(paths):
    """Return the seconds of the bare OCR call on each picture; the model is loaded before."""
    run = [sys.executable, "-c", _BARE, *map(str, paths)]
    return json.loads(subprocess.run(run, capture_output=True, check=True, text=True).stdout)


async def scanned(scans, pictures):
    """Return the seconds from the picture sent to its draft, and the peak of the memory."""
    took, peak = [], 0
    for content in pictures:
        started = time.perf_counter()
        await scans.read(content)
        took.append(time.perf_counter() - started)
        peak = max(peak, _memory())
    return took, peak


def _memory():
    """Return the peak of the reader's resident memory, which Linux counts by process."""
    import psutil

    peaks = [0]
    for child in psutil.Process().children(recursive=True):
        status = Path(f"/proc/{child.pid}/status")
        if status.exists() and "child.py" in " ".join(child.cmdline()):
            [line] = [e for e in status.read_text().splitlines() if e.startswith("VmHWM")]
            peaks.append(int(line.split()[1]) * 1024)
    return max(peaks)


async def orders(gateway, key, seconds, first):
    """Return the seconds that single orders took, ten a second."""
    took, began, number = [], time.perf_counter(), first
    while time.perf_counter() - began < seconds:
        order = {"patient_name": f"Ana Reed {number}", "patient_address": "1 Elm St, Miami, FL"}
        started = time.perf_counter()
        answer = await gateway.post("/api/webhook/orders", key, {"orders": [order]})
        took.append(time.perf_counter() - started)
        assert answer.status_code == 200, answer.text
        number += 1
        await asyncio.sleep(max(0.0, _EVERY_SECONDS - (time.perf_counter() - started)))
    return took


async def measured(pictures, seconds):
    toml = TOML.replace("[limits]", f"[limits]{_LIMITS}").replace(
        "[plugins.labels]", "[plugins.labels]\nreading_seconds = 300"
    )
    with tempfile.TemporaryDirectory() as folder:
        settings = parse_settings(toml, source=None, directory=Path(folder), environ={})
        async with GatewayHarness(settings) as gateway:
            key = await gateway.issue_key()
            scans = Scans(gateway, key)
            await scans.read(pictures[0])  # the model is loaded
            took, peak = await scanned(scans, pictures)
            alone = await orders(gateway, key, seconds, 0)
            scanning = asyncio.create_task(_forever(scans, pictures))
            beside = await orders(gateway, key, seconds, 100_000)
            scanning.cancel()
    return took, peak, alone, beside


async def _forever(scans, pictures):
    while True:
        for content in pictures:
            await scans.read(content)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--labels", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=20.0)
    asked = parser.parse_args()
    pictures = [made(seed, seed % 3).jpeg() for seed in range(asked.labels)]
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number}.jpg" for number in range(len(pictures))]
        for path, content in zip(paths, pictures, strict=True):
            path.write_bytes(content)
        before = bare(paths)
        took, peak, alone, beside = asyncio.run(measured(pictures, asked.seconds))
        after = bare(paths)
    calls = [*before, *after]
    print("| | median | worst |\n|---|---|---|")
    print(f"| the bare OCR call | {statistics.median(calls):.2f} s | {max(calls):.2f} s |")
    print(f"| a whole scan | {statistics.median(took):.2f} s | {max(took):.2f} s |")
    for name, times in (("without scans", alone), ("during scans", beside)):
        p50, p95 = statistics.median(times) * 1000, statistics.quantiles(times, n=20)[-1] * 1000
        print(f"| an order {name}: p50, p95 | {p50:.1f} ms | {p95:.1f} ms |")
    print(f"\nratio {statistics.median(took) / statistics.median(calls):.2f}, "
          f"{peak / 1e6:.0f} MB in the reader's process at most")  # fmt: skip


if __name__ == "__main__":
    main()
