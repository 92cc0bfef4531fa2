"""Very many events to fifty endpoints of which five fail, and whether the others notice."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from intake import BATCH
from part import Part, Plan
from pushing import Pushed, memory_rows, push
from setups import TWO_WORKERS, possible, site_code
from stage import GatewayServer, Sink, Stage
from table import Table

ENDPOINTS: Final = 50
EVENTS: Final = 200_000
_SETTLE_SECONDS: Final = 60.0

States = Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """What became of the deliveries to one failing endpoint."""

    how: str
    tries: int
    pending: int
    exhausted: int
    held_back: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run. ``finished`` is, for each healthy endpoint, when it had everything (seconds)."""

    pushed: Pushed
    events: int
    arrived: int
    again: int
    finished: Sequence[float]
    failed: Sequence[Failed]


def measure(stage: Stage, plan: Plan) -> list[Table]:
    """Run without the failing endpoints, then with them. Raises if a single event is lost."""
    events = (plan.events or (5_000 if plan.quick else EVENTS)) // BATCH * BATCH
    if not possible((TWO_WORKERS,)):
        return []
    with stage.sink() as sink, stage.faulty() as faulty:
        rounds = plan.each_round(
            lambda name: (
                run_once(stage, sink, f"{name} without", dict.fromkeys(faulty, 0), events),
                run_once(stage, sink, f"{name} with", faulty, events),
            ),
            PART.name,
        )
    without, together = rounds[-1]
    return [_table(without, together), _failing(together), _memory(together)]


def run_once(stage: Stage, sink: Sink, name: str, faulty: Mapping[str, int], events: int) -> Run:
    """Push the events through; a failing endpoint whose port is 0 is left out.

    Each endpoint belongs to a site, and each order names one, in turn.
    """
    sites = [site_code(number) for number in range(ENDPOINTS)]
    healthy, sick = sites[len(faulty) :], dict(zip(sites, faulty, strict=False))
    with stage.gateway(name, TWO_WORKERS, ENDPOINTS) as gateway:
        sink.reset()
        told = {
            gateway.add_endpoint(
                sink.url(f"/seen/{site}", number), "active", site=site, events=["package.*"]
            ): site
            for number, site in enumerate(healthy)
        }
        for site, how in sick.items():
            if port := faulty[how]:
                url = f"http://127.0.0.1:{port}/"
                told[gateway.add_endpoint(url, "active", site=site, events=["package.*"])] = site
        pushed = push(
            stage,
            gateway,
            sink,
            orders=events,
            arriving=events // ENDPOINTS * len(healthy),
            what="different",
            sites=sites,
        )
        states = _settled(gateway, told, healthy)
        seen = sink.seen()
        check(_stored(gateway), seen, states, healthy)
        opened = "SELECT id FROM destinations WHERE opened_at_ms IS NOT NULL"
        held_back = {told[destination_id] for (destination_id,) in gateway.run_sql(opened)}
    failed = [
        Failed(
            how=how,
            tries=states[site]["tries"],
            pending=states[site].get("pending", 0),
            exhausted=states[site].get("exhausted", 0),
            held_back=site in held_back,
        )
        for site, how in sick.items()
        if faulty[how]
    ]
    return Run(
        pushed=pushed,
        events=events,
        arrived=sum(len(each["packages"]) for each in seen.values()),
        again=sum(each["again"] for each in seen.values()),
        finished=[each["last_at"] - pushed.began_at for each in seen.values()],
        failed=failed,
    )


_OPEN: Final = ("pending", "exhausted")


def _settled(gateway: GatewayServer, told: Mapping[str, str], healthy: Sequence[str]) -> States:
    """Return deliveries by state and tries, by site, once what arrived is recorded as such."""
    deadline = time.monotonic() + _SETTLE_SECONDS
    while True:
        states: dict[str, dict[str, int]] = {site: {"tries": 0} for site in told.values()}
        for destination_id, state, count, tries in gateway.run_sql(
            "SELECT destination_id, state, count(*), sum(attempts) FROM deliveries"
            " GROUP BY destination_id, state"
        ):
            of_site = states[told[destination_id]]
            of_site[state] = int(count)
            of_site["tries"] += int(tries)
        if all(not states[site].get("pending") for site in healthy):
            return states
        assert time.monotonic() < deadline, "what arrived is not recorded as delivered"
        time.sleep(0.2)


def _stored(gateway: GatewayServer) -> dict[str, set[str]]:
    """Return the packages of each site, as the database has them."""
    stored: dict[str, set[str]] = {}
    for site, package_id in gateway.run_sql("SELECT site, id FROM packages"):
        stored.setdefault(site, set()).add(package_id)
    return stored


def check(
    stored: Mapping[str, set[str]],
    seen: Mapping[str, Mapping[str, Any]],
    states: States,
    healthy: Sequence[str],
) -> None:
    """Compare what was stored with what arrived, package by package; raises AssertionError."""
    for site in healthy:
        arrived = set(seen[site]["packages"])
        assert arrived == stored[site], (
            f"{site}: {len(stored[site] - arrived)} events lost, "
            f"{len(arrived - stored[site])} that it should not have got"
        )
        assert states[site].get("delivered") == len(arrived), f"{site}: {states[site]}"
    for site in states.keys() - set(healthy):
        waiting = sum(states[site].get(each, 0) for each in _OPEN)
        assert waiting == len(stored[site]), f"{site}, which fails: {states[site]}"


def _table(without: Run, together: Run) -> Table:
    pairs = [
        (
            "the last healthy endpoint had everything after, s",
            [max(each.finished) for each in (without, together)],
        ),
        (
            "half of them had everything after, s",
            [median(each.finished) for each in (without, together)],
        ),
        (
            "all orders were taken in after, s",
            [each.pushed.intake_seconds for each in (without, together)],
        ),
    ]
    rows = [
        (name, f"{found[0]:.1f}", f"{found[1]:.1f}", f"{found[1] / found[0]:.2f}")
        for name, found in pairs
    ]
    counts = [
        ("events", without.events, together.events),
        ("arrived at healthy endpoints", without.arrived, together.arrived),
        ("lost", 0, 0),  # or the run would have failed
        ("arrived twice", without.again, together.again),
    ]
    rows += [(name, f"{before:,}", f"{after:,}", "") for name, before, after in counts]
    return Table(
        "big_run",
        f"{together.events:,} events to {ENDPOINTS} endpoints, serve and 2 workers",
        ("", "without the failing five", "with them", "ratio"),
        rows,
    )


def _failing(together: Run) -> Table:
    return Table(
        "big_run_failing",
        "The failing five when the others were done",
        ("endpoint", "delivered", "waiting for its next try", "given up", "tries", "breaker"),
        [
            (
                each.how,
                "0",
                f"{each.pending:,}",
                f"{each.exhausted:,}",
                f"{each.tries:,}",
                "open" if each.held_back else "closed",
            )
            for each in together.failed
        ],
    )


def _memory(together: Run) -> Table:
    return Table(
        "big_run_memory",
        "Memory with the failing five, MB",
        ("process", "at 10 %", "at 50 %", "at 100 %", "100 % to 10 %"),
        memory_rows(together.pushed.memory_mb),
    )


PART: Final = Part("g", "big run", measure)
