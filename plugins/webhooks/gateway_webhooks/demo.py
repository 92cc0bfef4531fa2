"""``gateway demo``: the whole story on one screen, told by doing it.

It starts a gateway on a temporary SQLite file and a subscriber's server, then uses
both from outside, over HTTP and the command line, as anybody would.
"""

import json
import queue
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import click

from gateway.plugin import GatewayError, Session, command
from gateway_webhooks.demo_receiver import Arrival, DemoReceiver

_PATIENCE_SECONDS: Final = 30.0
_LOOKS: Final = 100
_CONFIGURATION: Final = """
[gateway]
port = 0
[delivery]
allow_http = true
allow_networks = ["127.0.0.0/8"]
retry_schedule_seconds = [1, 2]
[plugins.json_api]
[plugins.webhooks]
"""
_ORDER: Final[Mapping[str, Any]] = {
    "patient_name": "Maria Rodriguez",
    "patient_address": "123 Main St, Miami, FL 33178",
    "patient_phone": "+13055551234",
    "rx_number": "RX-8872341",
    "copay_amount": 12.50,
    "priority": "routine",
    "requires_signature": True,
}
_DRIVER: Final = (
    {"event": "delivery.picked_up", "driver_id": "drv_b12c"},
    {"event": "delivery.out_for_delivery", "driver_id": "drv_b12c"},
    {
        "event": "delivery.completed",
        "driver_id": "drv_b12c",
        "proof": {"photo_url": "https://storage.example.com/p/1.jpg", "lat": 25.86, "lng": -80.3},
        "copay_collected": 12.50,
        "copay_method": "card",
    },
)
# package.created and three steps of the driver's go to both endpoints; one of them is retried.
_WEBHOOKS: Final = 2 * (1 + len(_DRIVER)) + 1


@command("demo")
async def demo(session: Session) -> None:
    """Show the whole story: an order comes in, signed webhooks go out, one is retried.

    Everything happens on this machine, in a temporary folder. Exits with 0 only if all
    of it happened.
    """
    told = _Story(session)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        config = Path(folder) / "gateway.toml"
        config.write_text(_CONFIGURATION, encoding="utf-8")
        with DemoReceiver() as receiver, _serving(config) as address:
            told.tell(receiver, address, config)
    if session.as_json:
        session.record({"ok": True, "webhooks": [each._asdict() for each in told.arrivals]})


class _Story:
    def __init__(self, session: Session) -> None:
        self._session = session
        self.arrivals: list[Arrival] = []

    def tell(self, receiver: DemoReceiver, address: str, config: Path) -> None:
        self._step(f"A gateway runs at {address}, on a SQLite file of its own.")
        key = _gateway(config, "keys", "create", "--name", "demo")["key"]
        self._step(f"It made an API key: {key[:12]}…  (shown once, stored as a hash)")
        self._subscribe(receiver, config, "/board", "scriptrun", "a dispatch board")
        self._subscribe(receiver, config, "/ledger", "autorx", "a ledger that is having a bad day")

        self._step("An order comes in: POST /api/webhook/orders")
        answer = _call("POST", f"{address}/api/webhook/orders", key, {"orders": [_ORDER]})
        package_id = answer["package_ids"][0]
        self._note(f"200, created {answer['created']}: {package_id}")
        self._watch(receiver, 2)

        for report in _DRIVER:
            self._step(f"The driver reports {report['event']}")
            url = f"{address}/api/packages/{package_id}/events"
            done = _call("POST", url, key, report)
            self._note(f"200, the package is {done['status']}")
            self._watch(receiver, 2)

        self._step("The ledger answered 500 once. It gets the same event again:")
        self._watch(receiver, 1)
        self._check()
        self._step("The log of that delivery, as GET /api/webhooks/logs has it:")
        self._log(address, key)
        self._step("Done. Every webhook arrived, and every signature was right.", last=True)

    def _subscribe(
        self, receiver: DemoReceiver, config: Path, path: str, wire_format: str, who: str
    ) -> None:
        url = receiver.url(path)
        added = _gateway(config, "endpoints", "add", url, "--format", wire_format, "--name", who)
        receiver.secrets[path] = added["secret"]
        self._step(f"{who.capitalize()} subscribes: {url}  ({wire_format} format)")
        self._note(f"its signing secret: {added['secret'][:12]}…  (shown once, stored sealed)")

    def _watch(self, receiver: DemoReceiver, count: int) -> None:
        for _ in range(count):
            try:
                arrival = receiver.arrivals.get(timeout=_PATIENCE_SECONDS)
            except queue.Empty:
                raise GatewayError("The demo failed: a webhook did not arrive.") from None
            self.arrivals.append(arrival)
            sign = click.style("✓ signature verified", fg="green")
            if not arrival.verified:
                sign = click.style("✗ signature WRONG", fg="red")
            attempt = f" attempt {arrival.attempt}" if arrival.attempt else ""
            answered = click.style(
                f"answered {arrival.answered}",
                fg="green" if arrival.answered == 200 else "yellow",  # noqa: PLR2004
            )
            self._note(f"→ {arrival.path:<8}{arrival.event:<27}{sign}, {answered}{attempt}")

    def _check(self) -> None:
        retried = [each for each in self.arrivals if each.answered == 500]  # noqa: PLR2004
        again = [
            each
            for each in self.arrivals
            if retried and each.event_id == retried[0].event_id and each.path == "/ledger"
        ]
        if not all(arrival.verified for arrival in self.arrivals):
            raise GatewayError("The demo failed: a signature was wrong.")
        if len(self.arrivals) != _WEBHOOKS or [each.attempt for each in again] != [1, 2]:
            raise GatewayError("The demo failed: the retry did not come as it should.")

    def _log(self, address: str, key: str) -> None:
        query = "event=delivery.completed&limit=10"
        tries: list[dict[str, Any]] = []
        for _ in range(_LOOKS):
            log = _call("GET", f"{address}/api/webhooks/logs?{query}", key)["attempts"]
            failed = [each for each in log if each["outcome"] == "failed"]
            tries = [
                each for each in log if failed and each["delivery_id"] == failed[0]["delivery_id"]
            ]
            if len(tries) == 2:  # noqa: PLR2004
                break
            time.sleep(0.1)
        for each in sorted(tries, key=lambda each: int(each["attempt"])):
            self._note(
                f"attempt {each['attempt']}  {each['started_at']}  status {each['status']}  "
                f"{each['outcome']} in {each['duration_ms']} ms"
            )

    def _step(self, text: str, *, last: bool = False) -> None:
        self._session.say(click.style(text, bold=True, fg="green" if last else None))

    def _note(self, text: str) -> None:
        self._session.say(f"   {text}")


@contextmanager
def _serving(config: Path) -> Iterator[str]:
    log = config.with_name("serve.log")
    with log.open("wb") as stderr:
        server = subprocess.Popen(  # noqa: S603 - this same program, with words of our own
            [sys.executable, "-m", "gateway", "serve", "--json", "--config", str(config)],
            stdout=subprocess.PIPE,
            stderr=stderr,
            encoding="utf-8",
        )
    try:
        line = server.stdout.readline() if server.stdout else ""
        if not line:
            said = log.read_text(encoding="utf-8", errors="replace").strip()
            raise GatewayError(f"The demo failed: the gateway did not start. {said[-500:]}")
        yield json.loads(line)["address"]
    finally:
        server.terminate()
        server.wait(timeout=_PATIENCE_SECONDS)
        if server.stdout:
            server.stdout.close()


def _gateway(config: Path, *words: str) -> dict[str, Any]:
    """Run ``gateway …`` as a person would, and read what it prints."""
    done = subprocess.run(  # noqa: S603 - this same program, with words of our own
        [sys.executable, "-m", "gateway", *words, "--json", "--config", str(config)],
        capture_output=True,
        encoding="utf-8",
        errors="replace",  # what it says of an error is in the terminal's encoding
        timeout=_PATIENCE_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise GatewayError(f"The demo failed at gateway {words[0]} {words[1]}: {done.stderr}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _call(method: str, url: str, key: str, body: Any = None) -> dict[str, Any]:
    request = urllib.request.Request(  # noqa: S310 - an address of our own, on 127.0.0.1
        url,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"X-API-Key": key, "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=_PATIENCE_SECONDS) as response:  # noqa: S310
        answer: dict[str, Any] = json.load(response)
    return answer
