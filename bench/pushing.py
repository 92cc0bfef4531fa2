"""Many events pushed through a gateway while somebody looks at the memory of its processes."""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from intake import BATCH
from stage import GatewayServer, Sink, Stage

PERCENT: Final = (10, 50, 100)
_CONNECTIONS: Final = 8
_SECONDS: Final = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """How it went: seconds since the first order, megabytes by process at 10, 50 and 100 %."""

    began_at: float
    intake_seconds: float
    seconds: float
    memory_mb: Mapping[str, Sequence[float]]


def push(
    stage: Stage,
    gateway: GatewayServer,
    sink: Sink,
    *,
    orders: int,
    arriving: int,
    what: str,
    sites: Sequence[str],
) -> Pushed:
    """Send ``orders`` as fast as they are taken in, until ``arriving`` webhooks have arrived.

    ``what`` is the number of the sink's report that counts them.
    """
    marks: list[dict[str, float]] = []

    def look(arrived: int) -> None:
        if load.done():
            load.result()  # raises what went wrong, if anything did
        while len(marks) < len(PERCENT) and arrived * 100 >= PERCENT[len(marks)] * arriving:
            marks.append(gateway.memory_mb())

    job: dict[str, Any] = {
        "port": gateway.port,
        "keys": gateway.keys,
        "seconds": _SECONDS,
        "connections": _CONNECTIONS,
        "orders_per_request": BATCH,
        "most_requests": orders // BATCH,
        "sites": list(sites),
    }
    began_at = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        load = pool.submit(stage.ask, "load.py", job)
        sink.wait_for(arriving, what, look)
        taken_in = load.result()
    seconds = time.monotonic() - began_at
    assert taken_in["created"] == orders, f"{taken_in['created']} of {orders} orders were created"
    return Pushed(
        began_at=began_at,
        intake_seconds=taken_in["seconds"],
        seconds=seconds,
        memory_mb={name: [each[name] for each in marks] for name in marks[0]},
    )


def memory_rows(memory_mb: Mapping[str, Sequence[float]]) -> list[tuple[str, ...]]:
    """Show megabytes by process, and how the last compares with the first."""
    return [
        (name, *(f"{each:,.0f}" for each in found), f"{found[-1] / found[0]:.2f}")
        for name, found in memory_mb.items()
    ]
