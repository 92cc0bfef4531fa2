"""How long people wait for a page with a million packages stored, and what watching costs."""

import http.client
import time
from collections.abc import Sequence
from statistics import median
from typing import Any, Final
from urllib.parse import urlencode

from part import Part, Plan
from setups import POSTGRESQL, SQLITE, Setup, possible
from stage import GatewayServer, Made, Sink, Stage
from table import Table, milliseconds_at

PACKAGES: Final = 1_000_000
AIM_MS: Final = 50
WATCHERS: Final = 50
WATCHERS_AIM: Final = 1.05
_RECENT_BATCHES: Final = 4
_BATCH: Final = 100
_TURNS: Final = 100
_WINDOWS: Final = 6
_PERCENT: Final = (50, 95)

_Times = dict[str, tuple[float, ...]]


def measure(stage: Stage, plan: Plan) -> list[Table]:
    """Measure the pages on each database, then watchers on SQLite."""
    packages = plan.events or (20_000 if plan.quick else PACKAGES)
    found = []
    with stage.sink() as sink:
        for setup in possible((SQLITE, POSTGRESQL)):
            print(f"  pages, {setup.name} …", flush=True)
            times = measure_setup(stage, sink, f"pages-{setup.name}", setup, packages)
            found.append((setup, times))
    print("  watchers …", flush=True)
    windows = _WINDOWS * (1 if plan.quick else 3)
    watching = measure_watchers(stage, "watchers", windows, plan.seconds or 3.0)
    return [_pages(packages, found), _watching(watching)]


def measure_setup(stage: Stage, sink: Sink, name: str, setup: Setup, packages: int) -> _Times:
    """Return milliseconds of each page, and of the bare query, at the 50th and 95th percentile."""
    with stage.ground(name, setup) as made:
        with stage.running(made, setup) as gateway:
            gateway.add_endpoint(sink.url("/count"), "active")
        [cookie] = _signed_in(stage, made, packages, 1)
        with stage.running(made, setup) as gateway:
            ids = _recent(stage, gateway)
            times = _Viewer(gateway, cookie).look(ids)
        bare = stage.ask("bare_page.py", {"url": made.url, "turns": _TURNS})
    return {**times, "the newest 50 rows, bare": milliseconds_at(_PERCENT, bare)}


class _Viewer:
    """A person's browser, on one connection."""

    def __init__(self, gateway: GatewayServer, cookie: str) -> None:
        host = f"localhost:{gateway.port}"
        self._connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=120)
        self._headers = {
            "Host": host,
            "Cookie": f"session={cookie}",
            "Origin": f"http://{host}",
            "Sec-Fetch-Site": "same-origin",
            "Accept-Encoding": "gzip",
        }

    def look(self, ids: Sequence[str]) -> _Times:
        """Ask for each page many times, one after the other."""
        addresses = {
            "Today": "/dashboard",
            "Packages, today": "/dashboard/packages",
            "Packages, all": "/dashboard/packages?view=all",
            "Packages, out": "/dashboard/packages?view=out",
            "Packages, need a person": "/dashboard/packages?view=person",
            "Packages, without proof": "/dashboard/packages?view=noproof",
            "a package": f"/dashboard/packages/{ids[0]}",
            "Events": "/dashboard/events",
            "Endpoints": "/dashboard/endpoints",
            "Deliveries": "/dashboard/deliveries",
        }
        times = {
            name: milliseconds_at(_PERCENT, [self._seconds(path) for _ in range(_TURNS)])
            for name, path in addresses.items()
        }
        searches = [self._search(f"rx {number}") for number in range(_TURNS)]
        return {**times, "a search": milliseconds_at(_PERCENT, searches)}

    def _seconds(self, path: str, form: bytes | None = None, status: int = 200) -> float:
        began = time.perf_counter()
        self._ask(path, form, status)
        return time.perf_counter() - began

    def _ask(self, path: str, form: bytes | None, status: int) -> Any:
        headers = dict(self._headers)
        if form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        self._connection.request("GET" if form is None else "POST", path, form, headers)
        answer = self._connection.getresponse()
        said = answer.read()
        assert answer.status == status, f"{path}: {answer.status} {said[:300]!r}"
        return answer

    def _search(self, words: str) -> float:
        """Send the search and follow it to the list, as a browser does."""
        began = time.perf_counter()
        sent = self._ask("/dashboard/search", urlencode({"q": words}).encode(), 303)
        self._ask(sent.headers["Location"], None, 200)
        return time.perf_counter() - began


def measure_watchers(
    stage: Stage, name: str, windows: int, seconds: float
) -> list[tuple[float, float]]:
    """Return orders a second and CPU milliseconds an order, without and with watchers in turn."""
    with stage.ground(name) as made:
        cookies = _signed_in(stage, made, 0, WATCHERS)
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


def _signed_in(stage: Stage, made: Made, packages: int, people: int) -> list[str]:
    config = str(made.folder / "gateway.toml")
    job = {"config": config, "packages": packages, "people": people}
    cookies: list[str] = stage.ask("pages_ground.py", job)
    return cookies


def _load(stage: Stage, gateway: GatewayServer, **more: Any) -> dict[str, Any]:
    job = {"port": gateway.port, "keys": gateway.keys, "seconds": more["seconds"]}
    load: dict[str, Any] = stage.ask("load.py", {**job, "first_order": more["first"]})
    assert not load["statuses"], f"refused: {load['statuses']}"
    return load


def _recent(stage: Stage, gateway: GatewayServer) -> list[str]:
    """Let the day begin: new orders, some out, some failed; returns their ids."""
    job = {
        "port": gateway.port,
        "keys": gateway.keys,
        "seconds": 60.0,
        "orders_per_request": _BATCH,
        "most_requests": _RECENT_BATCHES,
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


def _pages(packages: int, found: Sequence[tuple[Setup, _Times]]) -> Table:
    def shown(times: tuple[float, ...]) -> str:
        return f"{times[0]:.1f} / {times[1]:.1f}"

    rows = []
    for name in found[0][1]:
        slowest = max(times[name][1] for _, times in found)
        aim = "" if "bare" in name else "reached" if slowest <= AIM_MS else "not reached"
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
