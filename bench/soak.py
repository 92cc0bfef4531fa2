"""What becomes of memory while a day's events are pushed through in minutes."""

import time
from typing import Final

from intake import BATCH
from part import Part, Plan
from pushing import memory_rows, push
from setups import SQLITE, site_code
from stage import GatewayServer, Stage
from table import Table

EVENTS: Final = 200_000
ENDPOINTS: Final = 10
_SETTLE_SECONDS: Final = 60.0


def measure(stage: Stage, plan: Plan) -> list[Table]:
    """Push them through one embedded gateway; raises when one is not delivered."""
    events = (plan.events or (10_000 if plan.quick else EVENTS)) // BATCH * BATCH
    sites = [site_code(number) for number in range(ENDPOINTS)]
    with stage.sink() as sink, stage.gateway("soak", SQLITE, ENDPOINTS) as gateway:
        for number, site in enumerate(sites):
            gateway.add_endpoint(sink.url(f"/seen/{site}", number), "active", site=site)
        idle = gateway.memory_mb()
        pushed = push(
            stage,
            gateway,
            sink,
            orders=events,
            arriving=events,
            what="different",
            sites=sites,
        )
        _wait_until_delivered(gateway, events)
        size_mb = gateway.database.stat().st_size / 1e6
    rows = [(f"{idle[name]:,.0f}", *figures) for name, *figures in memory_rows(pushed.memory_mb)]
    told = f"{events:,} events in {pushed.seconds:.0f} s, database {size_mb:,.0f} MB"
    return [
        Table(
            "soak",
            f"Memory while events are pushed through: {told}",
            ("events", "idle, MB", "at 10 %", "at 50 %", "at 100 %", "100 % to 10 %", "seconds"),
            [(f"{events:,}", *rows[0], f"{pushed.seconds:.0f}")],
        )
    ]


def _wait_until_delivered(gateway: GatewayServer, events: int) -> None:
    deadline = time.monotonic() + _SETTLE_SECONDS
    count = "SELECT state, count(*) FROM deliveries GROUP BY state"
    while (states := dict(gateway.run_sql(count))) != {"delivered": events}:
        assert time.monotonic() < deadline, f"{events} events, but deliveries are {states}"
        time.sleep(0.2)


PART: Final = Part("f", "soak", measure)
