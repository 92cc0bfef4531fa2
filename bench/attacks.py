"""What an order costs its caller while the gateway is attacked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from attacker import Attacker
from part import Part, Plan
from setups import SQLITE
from stage import GatewayServer, Stage
from table import Table, ratio

RATE: Final = 20
_AIM: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Attacked:
    """Milliseconds at the 95th percentile from order to answer, without and with an attack."""

    way: str
    quiet_ms: float
    attacked_ms: float
    memory_mb: float
    """How much more memory the gateway held after the attack."""

    @property
    def times(self) -> float:
        """How many times as long an order takes."""
        return self.attacked_ms / self.quiet_ms


def measure(stage: Stage, plan: Plan) -> list[Table]:
    """Measure round by round: each attack right after a quiet run on the same gateway."""
    seconds = plan.seconds or (4.0 if plan.quick else 10.0)
    rounds = plan.each_round(lambda name: measure_round(stage, name, seconds), PART.name)
    return [_table(rounds)]


def measure_round(stage: Stage, name: str, seconds: float) -> list[Attacked]:
    """Measure every way to attack on one gateway."""
    found = []
    with stage.gateway(name, SQLITE) as gateway:
        _p95_ms(stage, gateway, 2.0, 0)
        for turn, way in enumerate(Attacker(0, "").ways(), 1):
            quiet_ms = _p95_ms(stage, gateway, seconds, turn * 100_000)
            before = gateway.memory_mb()["serve"]
            job = {"port": gateway.port, "key": gateway.keys[1], "way": way}
            with stage.attacker(job):
                attacked_ms = _p95_ms(stage, gateway, seconds, turn * 100_000 + 50_000)
            ready = gateway.call("GET", "/health/ready")
            assert ready["status"] == "ok", ready
            memory_mb = gateway.memory_mb()["serve"] - before
            found.append(
                Attacked(way=way, quiet_ms=quiet_ms, attacked_ms=attacked_ms, memory_mb=memory_mb)
            )
    return found


def _p95_ms(stage: Stage, gateway: GatewayServer, seconds: float, first_order: int) -> float:
    job: dict[str, Any] = {
        "port": gateway.port,
        "keys": gateway.keys[:1],
        "seconds": seconds,
        "rate": RATE,
        "connections": 16,
        "first_order": first_order,
    }
    load = stage.ask("load.py", job)
    assert not load["statuses"], f"refused: {load['statuses']}"
    took = sorted(load["answered"][each] - load["begun"][each] for each in load["begun"])
    return float(took[min(len(took) - 1, len(took) * 95 // 100)] * 1000)


def _table(rounds: Sequence[Sequence[Attacked]]) -> Table:
    return Table(
        "attacks",
        f"From order to answer at {RATE} orders/s, p95: attacked against quiet",
        ("", "quiet, ms", "attacked, ms", "times", "aim", "memory after, MB"),
        [
            (
                each[0].way,
                ratio(each, lambda one: one.quiet_ms),
                ratio(each, lambda one: one.attacked_ms),
                ratio(each, lambda one: one.times),
                f"≤ {_AIM:g}",
                f"{max(one.memory_mb for one in each):+.0f}",
            )
            for each in zip(*rounds, strict=True)
        ],
    )


PART: Final = Part("k", "attacks", measure, rounds=3)
