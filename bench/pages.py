"""How long people wait for a page with a million packages stored, and what watching costs."""

import time
from collections.abc import Sequence
from statistics import median
from typing import Any, Final

from mass_fill import SITES
from page_viewer import PERCENT, Times, Viewer, owner_pages, site_pages
from part import Part, Plan
from setups import POSTGRESQL, SQLITE, Setup, possible, site_code
from stage import GatewayServer, Made, Sink, Stage
from table import Table, milliseconds_at

PACKAGES: Final = 1_000_000
AIM_MS: Final = 50
WATCHERS: Final = 50
WATCHERS_AIM: Final = 1.05
BARE: Final = "the newest 50 rows, bare"
_RECENT_BATCHES: Final = 4
_BATCH: Final = 100
_TURNS: Final = 60
_SETTLE_SECONDS: Final = 300.0
# The job that announces looks through what is undelivered first.
_QUIET_LOOKS: Final = 8
_WINDOWS: Final = 6
# What is old stays: it is what is measured.
KEPT: Final = """
[retention]
enabled = false
"""
_PLUGINS: Final = """
[plugins.rx_queue]
[plugins.labels]
[plugins.reports]
[plugins.shopify]
"""


def measure(stage: Stage, plan: Plan) -> list[Table]:
    """Measure the pages on each database, then watchers on SQLite."""
    packages = plan.events or (20_000 if plan.quick else PACKAGES)
    found = []
    with stage.sink() as sink:
        for setup in possible((SQLITE, POSTGRESQL)):
            print(f"  pages, {setup.name} …", flush=True)
            turns = 3 if plan.quick else _TURNS
            times = measure_setup(stage, sink, f"pages-{setup.name}", setup, packages, turns)
            found.append((setup, times))
    print("  watchers …", flush=True)
    windows = _WINDOWS * (1 if plan.quick else 2)
    watching = measure_watchers(stage, "watchers", windows, plan.seconds or 3.0)
    return [_pages(packages, found), _watching(watching)]


def measure_setup(
    stage: Stage, sink: Sink, name: str, setup: Setup, packages: int, turns: int = _TURNS
) -> Times:
    """Return milliseconds of each page, and of the bare query, at the 50th and 95th percentile."""
    with stage.ground(name, setup, SITES, more=KEPT + _PLUGINS) as made:
        with stage.running(made, setup) as gateway:
            endpoint_id = gateway.add_endpoint(sink.url("/count"), "active")
            begin_day(stage, gateway, first_order=0)
        at = [site_code(0), site_code(SITES - 1)]
        ground = filled(stage, made, packages, 1, at)
        with stage.running(made, setup) as gateway:
            ids = begin_day(stage, gateway, first_order=1_000_000)
            let_settle(gateway)
            viewer = Viewer(gateway, ground["cookies"][0])
            times = viewer.look(owner_pages(ids[0], ground["old_id"], endpoint_id), turns)
            times |= viewer.search(ground["searched"][:turns])
            for place, who in enumerate(("at one site", "at a new site")):
                pages = {f"{name}, {who}": path for name, path in site_pages().items()}
                times |= Viewer(gateway, ground["at"][place]).look(pages, turns)
        bare = stage.ask("bare_page.py", {"url": made.url, "turns": _TURNS})
    return {**times, BARE: milliseconds_at(PERCENT, bare)}


def measure_watchers(
    stage: Stage, name: str, windows: int, seconds: float
) -> list[tuple[float, float]]:
    """Return orders a second and CPU milliseconds an order, without and with watchers in turn."""
    with stage.ground(name) as made:
        cookies = filled(stage, made, 0, WATCHERS)["cookies"]
        with stage.running(made, SQLITE) as gateway:
            _load(stage, gateway, seconds=1.0, first=90_000_000)
            found = []
            for window in range(windows):
                # without, with, with, without: neither always has the younger database
                watched = window % 4 in (1, 2)
                with stage.watchers(gateway.port, cookies if watched else []):
                    before = gateway.cpu_seconds()
                    load = _load(stage, gateway, seconds=seconds, first=window * 1_000_000)
                    used = gateway.cpu_seconds() - before
                found.append((load["created"] / load["seconds"], 1000 * used / load["created"]))
    return found


def filled(
    stage: Stage, made: Made, packages: int, people: int, at: Sequence[str] = ()
) -> dict[str, Any]:
    """Fill a gateway that isn't running, and sign people in; returns what pages_ground.py says."""
    config = str(made.folder / "gateway.toml")
    job = {"config": config, "url": made.url, "packages": packages, "people": people, "at": [*at]}
    ground: dict[str, Any] = stage.ask("pages_ground.py", job, seconds=3600)
    if packages:
        print(f"    {packages:,} packages written in {ground['filled_seconds']:.0f} s", flush=True)
    return ground


def _load(stage: Stage, gateway: GatewayServer, **more: Any) -> dict[str, Any]:
    job = {"port": gateway.port, "keys": gateway.keys, "seconds": more["seconds"]}
    load: dict[str, Any] = stage.ask("load.py", {**job, "first_order": more["first"]})
    assert not load["statuses"], f"refused: {load['statuses']}"
    return load


def begin_day(stage: Stage, gateway: GatewayServer, first_order: int) -> list[str]:
    """Let the day begin: new orders, some out, some failed; returns their ids."""
    job = {
        "port": gateway.port,
        "keys": gateway.keys,
        "seconds": 60.0,
        "orders_per_request": _BATCH,
        "most_requests": _RECENT_BATCHES,
        "first_order": first_order,
        "sites": [site_code(number) for number in range(SITES - 1)],
    }
    stage.ask("load.py", job)
    key = {"X-API-Key": gateway.keys[0]}
    listed = gateway.call("GET", "/api/packages?limit=60&status=created", headers=key)
    ids = [each["id"] for each in listed["packages"]]
    for place, each in enumerate(ids):
        steps: list[dict[str, str]] = [{"event": "delivery.assigned", "driver_id": "Marc"}]
        if place % 3 == 0:
            steps.append({"event": "delivery.completed"})
        elif place % 10 == 1:
            steps.append({"event": "delivery.failed", "failure_reason": "refused"})
        for step in steps:
            gateway.call("POST", f"/api/packages/{each}/events", step, key)
    return ids


def let_settle(gateway: GatewayServer) -> None:
    """Wait until what came due over the filled year is announced and sent.

    Thousands of bags go back to stock all at once, which happens to no pharmacy.
    """
    quiet = 0
    deadline = time.monotonic() + _SETTLE_SECONDS
    while quiet < _QUIET_LOOKS:
        [(waiting,)] = gateway.run_sql("SELECT count(*) FROM deliveries WHERE state = 'pending'")
        quiet = 0 if waiting else quiet + 1
        assert time.monotonic() < deadline, f"{waiting} deliveries wait"
        time.sleep(1)


def _pages(packages: int, found: Sequence[tuple[Setup, Times]]) -> Table:
    def shown(times: tuple[float, ...]) -> str:
        return f"{times[0]:.1f} / {times[1]:.1f}"

    rows = []
    for name in found[0][1]:
        slowest = max(times[name][1] for _, times in found)
        aim = "" if name == BARE else "reached" if slowest <= AIM_MS else "not reached"
        rows.append([name, *(shown(times[name]) for _, times in found), aim])
    columns = ["p50 / p95, milliseconds", *(setup.name for setup, _ in found), f"p95 ≤ {AIM_MS}"]
    return Table("pages", f"Pages with {packages:,} packages stored", columns, rows)


def _watching(found: Sequence[tuple[float, float]]) -> Table:
    sides = {
        name: [each for place, each in enumerate(found) if (place % 4 in (1, 2)) is watched]
        for name, watched in (("no watchers", False), (f"{WATCHERS} watchers", True))
    }
    rates = [median(each[0] for each in side) for side in sides.values()]
    costs = [median(each[1] for each in side) for side in sides.values()]
    rows = [
        [name, f"{rate:,.0f}", f"{cost:.2f}"]
        for name, rate, cost in zip(sides, rates, costs, strict=True)
    ]
    slower, dearer = rates[0] / rates[1], costs[1] / costs[0]
    said = "reached" if max(slower, dearer) < WATCHERS_AIM else "not reached"
    rows.append([f"ratio (aim < {WATCHERS_AIM}: {said})", f"{slower:.3f}", f"{dearer:.3f}"])
    return Table(
        "watchers",
        "Orders taken in while people watch Today",
        ("", "orders/s", "CPU ms an order"),
        rows,
    )


PART: Final = Part("l", "pages", measure)
