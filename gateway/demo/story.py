"""The demo of one order, from the request to the webhooks, on one screen.

It starts a gateway on a temporary SQLite file and a subscriber's server, then uses
both from outside, over HTTP and the command line.
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

from gateway.demo.story_receiver import Arrival, DemoReceiver
from gateway.errors import GatewayError
from gateway.sdk.cli import Session

_TIMEOUT_SECONDS: Final = 30.0
_MAX_POLLS: Final = 100
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
_DRIVER_REPORTS: Final = (
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
# package.created and the driver's three reports go to both endpoints; one is retried.
_WEBHOOKS: Final = 2 * (1 + len(_DRIVER_REPORTS)) + 1


def play_story(session: Session) -> None:
    """Play an order through; raises ``GatewayError`` unless every step succeeded."""
    run = _Run(session)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        config = Path(folder) / "gateway.toml"
        config.write_text(_CONFIGURATION, encoding="utf-8")
        with DemoReceiver() as receiver, _serving(config) as address:
            run.play(receiver, address, config)
    if session.as_json:
        session.record({"ok": True, "webhooks": [each._asdict() for each in run.arrivals]})


class _Run:
    def __init__(self, session: Session) -> None:
        self._session = session
        self.arrivals: list[Arrival] = []

    def play(self, receiver: DemoReceiver, address: str, config: Path) -> None:
        self._step(f"A gateway runs at {address}, on a temporary SQLite file.")
        scopes = ("--scope", "orders", "--scope", "webhooks.read")
        key = _gateway(config, "keys", "create", "--name", "demo", *scopes)["key"]
        self._step(f"An API key was created: {key[:12]}…  (shown once, stored as a hash)")
        self._subscribe(receiver, config, "/board", "scriptrun", "a dispatch board")
        self._subscribe(receiver, config, "/ledger", "autorx", "a ledger that fails once")

        self._step("An order comes in: POST /api/webhook/orders")
        answer = _call("POST", f"{address}/api/webhook/orders", key, {"orders": [_ORDER]})
        package_id = answer["package_ids"][0]
        self._note(f"200, created {answer['created']}: {package_id}")
        self._watch(receiver, 2)

        for report in _DRIVER_REPORTS:
            self._step(f"The driver reports {report['event']}")
            url = f"{address}/api/packages/{package_id}/events"
            done = _call("POST", url, key, report)
            self._note(f"200, the package is {done['status']}")
            self._watch(receiver, 2)

        self._step("The ledger answered 500 once. It receives the same event again:")
        self._watch(receiver, 1)
        self._check()
        self._step("The attempts of that delivery, from GET /api/webhooks/logs:")
        self._log(address, key)
        self._step("Done. Every webhook arrived, and every signature was valid.", last=True)

    def _subscribe(
        self, receiver: DemoReceiver, config: Path, path: str, wire_format: str, name: str
    ) -> None:
        url = receiver.url(path)
        added = _gateway(config, "endpoints", "add", url, "--format", wire_format, "--name", name)
        receiver.secrets[path] = added["secret"]
        self._step(f"{name.capitalize()} subscribes: {url}  ({wire_format} format)")
        self._note(f"its signing secret: {added['secret'][:12]}…  (shown once, stored sealed)")

    def _watch(self, receiver: DemoReceiver, count: int) -> None:
        for _ in range(count):
            try:
                arrival = receiver.arrivals.get(timeout=_TIMEOUT_SECONDS)
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
            raise GatewayError("The demo failed: the retry did not arrive as expected.")

    def _log(self, address: str, key: str) -> None:
        query = "event=delivery.completed&limit=10"
        attempts: list[dict[str, Any]] = []
        for _ in range(_MAX_POLLS):
            log = _call("GET", f"{address}/api/webhooks/logs?{query}", key)["attempts"]
            failed = [each for each in log if each["outcome"] == "failed"]
            attempts = [
                each for each in log if failed and each["delivery_id"] == failed[0]["delivery_id"]
            ]
            if len(attempts) == 2:  # noqa: PLR2004
                break
            time.sleep(0.1)
        for each in sorted(attempts, key=lambda each: int(each["attempt"])):
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
        server = subprocess.Popen(  # noqa: S603 - this same program, with fixed arguments
            [sys.executable, "-m", "gateway", "serve", "--json", "--config", str(config)],
            stdout=subprocess.PIPE,
            stderr=stderr,
            encoding="utf-8",
        )
    try:
        line = server.stdout.readline() if server.stdout else ""
        if not line:
            output = log.read_text(encoding="utf-8", errors="replace").strip()
            raise GatewayError(f"The demo failed: the gateway did not start. {output[-500:]}")
        yield json.loads(line)["address"]
    finally:
        server.terminate()
        server.wait(timeout=_TIMEOUT_SECONDS)
        if server.stdout:
            server.stdout.close()


def _gateway(config: Path, *arguments: str) -> dict[str, Any]:
    """Run a ``gateway`` command and return the JSON it prints."""
    done = subprocess.run(  # noqa: S603 - this same program, with fixed arguments
        [sys.executable, "-m", "gateway", *arguments, "--json", "--config", str(config)],
        capture_output=True,
        encoding="utf-8",
        errors="replace",  # error messages are in the terminal's encoding
        timeout=_TIMEOUT_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise GatewayError(
            f"The demo failed at gateway {arguments[0]} {arguments[1]}: {done.stderr}"
        )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _call(method: str, url: str, key: str, body: Any = None) -> dict[str, Any]:
    request = urllib.request.Request(  # noqa: S310 - our own server on 127.0.0.1
        url,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"X-API-Key": key, "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response:  # noqa: S310
        answer: dict[str, Any] = json.load(response)
    return answer
