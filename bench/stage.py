"""The processes that a measurement needs, and the folder they work in."""

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil

HERE: Final = Path(__file__).parent
KEYS: Final = 4
SINK_PORTS: Final = 10
_PATIENCE_SECONDS: Final = 120.0
_LAST_WORDS: Final = 2000
_POLL_SECONDS: Final = 0.05

# Everything is on; the limits count every order and are only too high to be reached.
_CONFIGURATION: Final = """
[gateway]
port = 0
data_dir = "data"

[database]
url = "sqlite+aiosqlite:///data/gateway.db"

[delivery]
allow_http = true
allow_networks = ["127.0.0.0/8"]

[limits]
orders_requests_per_minute = 100_000_000
orders_per_hour = 1_000_000_000
reads_per_minute = 100_000_000
updates_requests_per_minute = 100_000_000

[[sites]]
code = "main"
name = "Lakeside Pharmacy"
timezone = "America/New_York"

[plugins.json_api]
[plugins.webhooks]
"""


class Server:
    """A process that answers HTTP on a free port of 127.0.0.1."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.port = port
        self._process = process
        self._watched = psutil.Process(process.pid)

    def cpu_seconds(self) -> float:
        """Return what the process used of the processors since it began, all threads."""
        times = self._watched.cpu_times()
        return float(times.user + times.system)

    def call(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Any:
        """Send a request and return what the answer's JSON says."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            given = {"Content-Type": "application/json", **(headers or {})}
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content, given)
            answer = connection.getresponse()
            text = answer.read()
            assert answer.status < 300, f"{method} {path}: {answer.status} {text[:500]!r}"
            return json.loads(text)
        finally:
            connection.close()


class Sink(Server):
    """The sink process."""

    def __init__(self, process: subprocess.Popen[str], ports: Sequence[int]) -> None:
        super().__init__(process, ports[0])
        self._ports = ports

    def reset(self) -> None:
        """Forget what came in."""
        self.call("GET", "/reset")

    def report(self) -> dict[str, Any]:
        """Return what came in since the last reset."""
        report: dict[str, Any] = self.call("GET", "/report")
        return report

    def wait_for(self, count: int) -> dict[str, Any]:
        """Wait until ``count`` requests have come in; returns the report."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while (report := self.report())["count"] < count:
            assert time.monotonic() < deadline, f"{report['count']} of {count} arrived"
            time.sleep(_POLL_SECONDS)
        return report

    def url(self, path: str, server: int = 0) -> str:
        """Return an address of the sink; each of its ports passes for another server."""
        return f"http://127.0.0.1:{self._ports[server]}{path}"


class GatewayServer(Server):
    """``gateway serve`` on a fresh SQLite file, with a few keys."""

    def __init__(
        self, process: subprocess.Popen[str], port: int, keys: list[str], database: Path
    ) -> None:
        super().__init__(process, port)
        self.keys = keys
        self.database = database

    def add_endpoint(self, url: str, status: str) -> str:
        """Subscribe ``url`` to everything; returns the endpoint's id."""
        made = self.call("POST", "/api/webhooks/endpoints", {"url": url}, self._key())
        self.switch(made["id"], status)
        return str(made["id"])

    def switch(self, endpoint_id: str, status: str) -> None:
        """Make an endpoint ``active``, ``paused`` or ``disabled``."""
        self.call(
            "PATCH", f"/api/webhooks/endpoints/{endpoint_id}", {"status": status}, self._key()
        )

    def _key(self) -> dict[str, str]:
        return {"X-API-Key": self.keys[0]}


@dataclass(frozen=True, slots=True)
class Stage:
    """Where processes are started. ``folder`` is theirs to write to."""

    folder: Path

    @contextmanager
    def sink(self) -> Iterator[Sink]:
        """Run a sink."""
        command = [sys.executable, str(HERE / "sink.py"), str(SINK_PORTS)]
        with _running(command, self.folder, self.folder / "sink.log") as process:
            yield Sink(process, json.loads(_first_line(process, self.folder / "sink.log")))

    @contextmanager
    def gateway(self, name: str) -> Iterator[GatewayServer]:
        """Run a gateway in a new folder of its own."""
        folder = self.folder / name
        keys = self.prepare(folder)
        command = [sys.executable, "-m", "gateway", "serve", "--json"]
        with _running(command, folder, folder / "gateway.log") as process:
            address = json.loads(_first_line(process, folder / "gateway.log"))["address"]
            port = int(address.rpartition(":")[2])
            yield GatewayServer(process, port, keys, database_in(folder))

    def prepare(self, name: Path | str) -> list[str]:
        """Make a folder with a configuration and a database that is up to date."""
        folder = self.folder / name
        folder.mkdir()
        config = folder / "gateway.toml"
        config.write_text(_CONFIGURATION)
        return list(json.loads(_output_of("prepare.py", str(config), str(KEYS))))

    def ask(self, script: str, job: Mapping[str, Any]) -> Any:
        """Run one of the scripts beside this one on a job; returns what it prints."""
        return json.loads(_output_of(script, told=json.dumps(job) + "\n"))


def database_in(folder: Path) -> Path:
    """Return where a gateway keeps its database."""
    return folder / "data" / "gateway.db"


def _output_of(script: str, *arguments: str, told: str = "") -> str:
    done = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, str(HERE / script), *arguments],
        input=told,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=600,
    )
    return done.stdout


@contextmanager
def _running(command: list[str], folder: Path, log: Path) -> Iterator[subprocess.Popen[str]]:
    with log.open("w") as file:
        process = subprocess.Popen(  # noqa: S603 - our own command
            command,
            cwd=folder,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
        )
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.terminate()
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _first_line(process: subprocess.Popen[str], log: Path) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, f"a process ended before it was ready: {log.read_text()[-_LAST_WORDS:]}"
    return line
