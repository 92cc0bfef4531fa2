"""What an order, a list, a search and a delivery take with ten million packages, beside none."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from latency import measured
from mass_fill import SITES
from page_viewer import PERCENT
from pages import KEPT, begin_day, filled
from part import Part, Plan
from setups import POSTGRESQL, SQLITE, possible, site_code
from stage import GatewayServer, Sink, Stage
from table import Aim, Table, milliseconds_at

PACKAGES: Final = 10_000_000
AIM: Final = 1.5
_RATE: Final = 50
_TURNS: Final = 100
_SITES: Final = [site_code(number) for number in range(SITES - 1)]

Figures = dict[str, float]


def measure(stage: Stage, plan: Plan) -> list[Table]:
    """Measure with nothing stored, then with very much: on PostgreSQL, or where it is missing."""
    packages = plan.events or (50_000 if plan.quick else PACKAGES)
    [setup, *_] = possible((POSTGRESQL, SQLITE))
    found = []
    with stage.sink() as sink:
        for count in (0, packages):
            print(f"  {count:,} packages, {setup.name} …", flush=True)
            with stage.ground(f"capacity-{count}", setup, SITES, more=KEPT) as made:
                with stage.running(made, setup) as gateway:
                    gateway.add_endpoint(sink.url("/keep"), "active")
                    begin_day(stage, gateway, first_order=0)
                searched = filled(stage, made, count, 0)["searched"]
                with stage.running(made, setup) as gateway:
                    found.append(_figures(stage, sink, gateway, searched, plan.seconds or 5.0))
    return [_table(setup.name, packages, found)]


def _figures(
    stage: Stage,
    sink: Sink,
    gateway: GatewayServer,
    searched: Sequence[Mapping[str, str]],
    seconds: float,
) -> Figures:
    key = {"X-API-Key": gateway.keys[0]}
    listed = [_timed(gateway, "GET", "/api/packages?limit=50", None, key) for _ in range(_TURNS)]
    numbers = [each["an Rx number"] for each in searched] or [
        f"RX-{number:08d}" for number in range(_TURNS)
    ]
    found = [
        _timed(gateway, "POST", "/api/packages/search", {"rx_number": each}, key)
        for each in numbers
    ]
    answer = gateway.call("POST", "/api/packages/search", {"rx_number": numbers[-1]}, key)
    assert len(answer["packages"]) == 1, f"{numbers[-1]}: {answer}"
    latencies = []
    for turn, duration in enumerate((1.0, seconds)):  # the first warms up
        sink.reset()
        steady = _load(
            stage, gateway, seconds=duration, rate=_RATE, first_order=10**7 + turn * 10**6
        )
        arrived = sink.wait_for(steady["answers"])["arrived_at"]
        latencies.append(measured(POSTGRESQL, _RATE, steady, arrived))
    single = _load(stage, gateway, seconds=seconds, first_order=3 * 10**7)
    batches = _load(stage, gateway, seconds=seconds, first_order=5 * 10**7, orders_per_request=100)
    figures = {
        "orders/s, single": single["created"] / single["seconds"],
        "orders/s, batches of 100": batches["created"] / batches["seconds"],
    }
    for name, milliseconds in (
        ("sent to accepted at 50/s", latencies[-1].answer[:2]),
        ("accepted to delivered at 50/s", latencies[-1].from_accepted[:2]),
        ("the newest 50 packages", milliseconds_at(PERCENT, listed)),
        ("a search by Rx number", milliseconds_at(PERCENT, found)),
    ):
        for percent, each in zip(PERCENT, milliseconds, strict=True):
            figures[f"{name}, ms at p{percent}"] = each
    return figures


def _timed(
    gateway: GatewayServer, method: str, path: str, body: Any, headers: Mapping[str, str]
) -> float:
    began = time.perf_counter()
    gateway.call(method, path, body, headers)
    return time.perf_counter() - began


def _load(stage: Stage, gateway: GatewayServer, **more: Any) -> dict[str, Any]:
    job = {"port": gateway.port, "keys": gateway.keys, "sites": _SITES, **more}
    load: dict[str, Any] = stage.ask("load.py", job)
    assert not load["statuses"], f"refused: {load['statuses']}"
    return load


def _table(setup: str, packages: int, found: Sequence[Figures]) -> Table:
    def shown(value: float) -> str:
        return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"

    rows = [
        [name, shown(before), shown(found[1][name]), f"{found[1][name] / before:.2f}"]
        for name, before in found[0].items()
    ]
    slower = {
        name: before / found[1][name] if name.startswith("orders/s") else found[1][name] / before
        for name, before in found[0].items()
    }
    slowest = max(slower, key=lambda name: slower[name])
    return Table(
        "capacity",
        f"{setup}, with nothing stored and with {packages:,} packages",
        (setup, "nothing", f"{packages:,} packages", "ratio"),
        rows,
        (
            Aim(
                f"nothing takes more than {AIM} times as long with history: {packages:,} packages",
                f"{slower[slowest]:.2f} times ({slowest})",
                slower[slowest] <= AIM,
            ),
        ),
    )


PART: Final = Part("p", "capacity", measure, only_asked=True)
