"""How fast a large CSV file comes in, next to the same orders over the batch API; its memory."""

import http.client
import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

import psutil
from intake import BATCH, CONNECTIONS
from part import Part, Plan
from stage import GatewayServer, Sink, Stage
from table import Aim, Table, rate, ratio

ROWS: Final = 100_000
AIM: Final = 0.8
_WARM_UP_ROWS: Final = 2_000
_BATCHES_FROM: Final = 50_000_000
_LOOK_SECONDS: Final = 0.02
_LOOKS_FOR_CHILDREN: Final = 25
_PATIENCE_SECONDS: Final = 900.0
_BOUNDARY: Final = "a-boundary-that-no-row-has"
_HEADER: Final = (
    "patient_name,patient_address,patient_phone,rx_number,copay_amount,priority,"
    "requires_signature,external_patient_id,external_order_id\n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportRound:
    """One round. Memory is the resident set in megabytes, CPU is of one row or order.

    Both are the server's, and those of the process that reads a large file.
    """

    rows_per_second: float
    batch_orders_per_second: float
    row_cpu_us: float
    batch_order_cpu_us: float
    again_rows_per_second: float
    idle_mb: float
    peak_mb: float
    file_mb: float

    @property
    def part(self) -> float:
        """Return what the import does of what the batch API does."""
        return self.rows_per_second / self.batch_orders_per_second


def measure(stage: Stage, plan: Plan) -> list[Table]:
    """Import a file through ``POST /api/packages/import``, then send as many orders as JSON."""
    rows = plan.events or (5_000 if plan.quick else ROWS)
    seconds = plan.seconds or 3.0
    with stage.sink() as sink:
        rounds = plan.each_round(
            lambda name: measure_round(stage, sink, name, rows, seconds), PART.name
        )
    return [_table(rounds, rows)]


def measure_round(stage: Stage, sink: Sink, name: str, rows: int, seconds: float) -> ImportRound:
    """Measure one gateway: warmed up, the file, the same file again, and the batch API."""
    with stage.gateway(name) as gateway:
        gateway.add_endpoint(sink.url("/count"), "paused")
        _import(gateway, _written(stage.folder / f"{name}-warm-up.csv", ROWS * 10, _WARM_UP_ROWS))
        file = _written(stage.folder / f"{name}.csv", 0, rows)
        idle = gateway.memory_mb()["serve"]
        before = gateway.cpu_seconds()
        with _watched(gateway) as seen:
            took = _import(gateway, file)
        import_cpu = gateway.cpu_seconds() - before
        again = _import(gateway, file, created=0)
        job = {
            "port": gateway.port,
            "keys": gateway.keys,
            "seconds": seconds,
            "connections": CONNECTIONS,
            "orders_per_request": BATCH,
            "first_order": _BATCHES_FROM,
        }
        before = gateway.cpu_seconds()
        load = stage.ask("load.py", job)
        batch_cpu = gateway.cpu_seconds() - before
        assert not load["statuses"], f"refused: {load['statuses']}"
    return ImportRound(
        row_cpu_us=1e6 * import_cpu / rows,
        batch_order_cpu_us=1e6 * batch_cpu / load["created"],
        rows_per_second=rows / took,
        batch_orders_per_second=load["created"] / load["seconds"],
        again_rows_per_second=rows / again,
        idle_mb=idle,
        peak_mb=max(seen),
        file_mb=file.stat().st_size / 1e6,
    )


def _written(path: Path, first: int, rows: int) -> Path:
    """Write a file with the orders that the load generator sends, from number ``first`` on."""
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(_HEADER)
        for number in range(first, first + rows):
            file.write(
                f'Maria Rodriguez,"123 Main St, Miami, FL {33100 + number % 97}",'
                f"+1305{2_000_000 + number % 7_000_000},RX-{number:08},12.50,routine,yes,"
                f"P-{number:08},CSV-{number:08}\n"
            )
    return path


def _import(gateway: GatewayServer, file: Path, created: int | None = None) -> float:
    """Upload a file; returns how many seconds the answer took."""
    content = file.read_bytes()
    head = (
        f"--{_BOUNDARY}\r\n"
        'Content-Disposition: form-data; name="file"; filename="orders.csv"\r\n\r\n'
    )
    body = b"".join([head.encode(), content, f"\r\n--{_BOUNDARY}--\r\n".encode()])
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=_PATIENCE_SECONDS)
    headers = {
        "X-API-Key": gateway.keys[0],
        "Content-Type": f"multipart/form-data; boundary={_BOUNDARY}",
    }
    began = time.monotonic()
    connection.request("POST", "/api/packages/import", body, headers)
    answer = connection.getresponse()
    said: dict[str, Any] = json.loads(answer.read())
    took = time.monotonic() - began
    connection.close()
    assert answer.status == 200, said
    assert said["created"] == (said["rows"] if created is None else created), said["errors"][:3]
    return took


@contextmanager
def _watched(gateway: GatewayServer) -> Iterator[list[float]]:
    """Look at the server's memory again and again while something runs, its children's too."""
    seen: list[float] = [gateway.memory_mb()["serve"]]
    over = threading.Event()

    def look() -> None:
        children: list[psutil.Process] = []
        looks = 0
        while not over.wait(_LOOK_SECONDS):
            if looks % _LOOKS_FOR_CHILDREN == 0:
                children = gateway.children("serve")
            looks += 1
            seen.append(gateway.memory_mb()["serve"] + sum(map(_resident_mb, children)))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()


def _resident_mb(process: psutil.Process) -> float:
    with suppress(psutil.NoSuchProcess):
        return float(process.memory_info().rss) / 1e6
    return 0.0


def _table(rounds: Sequence[ImportRound], rows: int) -> Table:
    def middle(name: str) -> float:
        return median(getattr(each, name) for each in rounds)

    return Table(
        "csv_import",
        f"A CSV file of {rows:,} rows ({middle('file_mb'):.1f} MB), imported over HTTP",
        (
            "rows",
            "rows/s",
            "batch API, orders/s",
            "ratio",
            "CPU µs a row",
            "CPU µs an order in batches",
            "the same file again, rows/s",
            "memory before, MB",
            "at its highest",
        ),
        [
            (
                f"{rows:,}",
                rate(rounds, lambda each: each.rows_per_second),
                rate(rounds, lambda each: each.batch_orders_per_second),
                ratio(rounds, lambda each: each.part),
                f"{middle('row_cpu_us'):,.0f}",
                f"{middle('batch_order_cpu_us'):,.0f}",
                rate(rounds, lambda each: each.again_rows_per_second),
                f"{middle('idle_mb'):,.0f}",
                f"{middle('peak_mb'):,.0f}",
            )
        ],
        (
            Aim(
                f"rows/s of a CSV import ≥ {AIM} times the batch API's orders/s",
                f"{middle('part'):.2f} times",
                middle("part") >= AIM,
            ),
        ),
    )


PART: Final = Part("h", "csv import", measure, rounds=3)
