"""The gateway beside another program, on the same minutes: ``make bench ARGS="--peer URL"``.

The calls to the peer are in a file (``--peer-calls``, one for each program in
``bench/peers/``): calls that set it up once, and the call that creates what a webhook then carries
to the sink. The peer is started by hand, on this machine; its processes are found by the port that
it listens on, with their children, so that what it keeps in a database counts for the database.
"""

import os
import secrets
import tomllib
import urllib.parse
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from string import Template
from typing import Any, Final

import cost
import psutil
from part import Part, Plan
from setups import POSTGRESQL, SQLITE, possible
from stage import Server, Sink, Stage
from table import Table, percentiles

CALLS: Final = Path(__file__).parent / "peers" / "svix.toml"
_LOCAL: Final = ("127.0.0.1", "localhost")


class Peer(Server):
    """Another program's server, and how it is asked."""

    def __init__(self, url: str, calls: Path, sink: Sink) -> None:
        parts = urllib.parse.urlsplit(url)
        assert parts.scheme == "http", "a peer is called by http"
        assert parts.hostname in _LOCAL, "a peer runs on this machine, so that both share it"
        self.port = parts.port or 80
        said = tomllib.loads(calls.read_text("utf-8"))
        known = {"sink": sink.url("/peer"), "run": secrets.token_hex(4), **os.environ}
        self.name = str(said["name"])
        headers = {
            "Content-Type": "application/json",
            **{name: _filled(value, known) for name, value in said.get("headers", {}).items()},
        }
        for each in said.get("setup", []):
            self._post(each, known, headers)
        create = said["create"]
        path = _filled(create["path"], known)
        self.calls = {"path": path, "headers": headers, "body": create["body"].replace("\n", " ")}

    def cpu_seconds(self) -> float:
        """Return what the peer's processes used so far; 0 if they can't be seen."""
        used = 0.0
        for process in _listening_at(self.port):
            for each in (process, *process.children(recursive=True)):
                times = each.cpu_times()
                used += times.user + times.system
        return used

    def _post(
        self, call: Mapping[str, Any], known: Mapping[str, str], headers: Mapping[str, str]
    ) -> None:
        body = Template(call["body"]).safe_substitute(known)
        self.send("POST", _filled(call["path"], known), body.encode(), headers)


def part(url: str, calls: Path) -> Part:
    """Return the part that measures a peer at ``url``."""

    def measure(stage: Stage, plan: Plan) -> list[Table]:
        seconds = plan.seconds or (4.0 if plan.quick else 10.0)
        with stage.sink() as sink:
            peer = Peer(url, calls, sink)
            rounds = plan.each_round(lambda name: _round(stage, sink, name, seconds, peer), "peer")
        return [_table(peer.name, rounds)]

    return Part("p", "peer", measure, rounds=3)


_Costs = dict[tuple[str, int], cost.Cost]


def _round(stage: Stage, sink: Sink, name: str, seconds: float, peer: Peer) -> _Costs:
    found = {}
    for setup in possible((SQLITE, POSTGRESQL)):
        with stage.gateway(f"{name}-{setup.name}", setup) as gateway:
            gateway.add_endpoint(sink.url("/keep"), "active")
            for rate in cost.RATES:
                found[setup.name, rate] = cost.measure_cost(
                    stage, sink, gateway, gateway.keys, rate, seconds
                )
    for rate in cost.RATES:
        found[peer.name, rate] = cost.measure_cost(
            stage, sink, peer, [""], rate, seconds, call=peer.calls
        )
    return found


def _table(peer: str, rounds: Sequence[_Costs]) -> Table:
    rows = []
    for name, rate in rounds[0]:
        each = [one[name, rate] for one in rounds]
        cpu = median(one.cpu_ms for one in each)
        rows.append(
            (
                f"{name}, {rate}/s",
                percentiles([one.accepting for one in each]),
                percentiles([one.delivering for one in each]),
                f"{cpu:.2f}" if cpu else "not seen",
                f"{median(one.database_cpu_ms for one in each):.2f}",
            )
        )
    return Table(
        "peer",
        f"Beside {peer}; milliseconds at p50 / p95",
        ("", "sent to accepted", "accepted to delivered", "CPU ms an order", "in PostgreSQL"),
        rows,
    )


def _filled(text: str, known: Mapping[str, str]) -> str:
    return Template(text).substitute(known)


def _listening_at(port: int) -> list[psutil.Process]:
    found = {
        each.pid
        for each in psutil.net_connections("tcp")
        if each.status == psutil.CONN_LISTEN and each.laddr.port == port and each.pid
    }
    return [psutil.Process(each) for each in sorted(found)]
