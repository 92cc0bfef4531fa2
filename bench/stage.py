"""The processes that a measurement needs, and the folder they work in."""

import asyncio
import http.client
import json
import os
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil
from setups import SQLITE, Setup
from sqlalchemy import NullPool, text
from sqlalchemy.ext.asyncio import create_async_engine

HERE: Final = Path(__file__).parent
SPIKE: Final = str(HERE / "spike.py")
KEYS: Final = 4
SINK_PORTS: Final = 100
_PATIENCE_SECONDS: Final = 120.0
_LAST_WORDS: Final = 2000
_POLL_SECONDS: Final = 0.05
# Puts itself into each control group that is named, then becomes the command.
_ENTER: Final = (
    "sh",
    "-c",
    'while [ "$1" != -- ]; do echo $$ > "$1" || exit; shift; done; shift; exec "$@"',
    "enter",
)

Process = subprocess.Popen[str]


@dataclass(frozen=True, slots=True)
class Made:
    """A folder with a configuration, and a database that is up to date."""

    folder: Path
    url: str
    keys: list[str]


class Server:
    """A process that answers HTTP on a free port of 127.0.0.1."""

    def __init__(self, process: Process, port: int) -> None:
        self.port = port
        self._process = process
        self._watched = psutil.Process(process.pid)

    def signal(self, number: int) -> None:
        """Send its process a signal."""
        self._process.send_signal(number)

    def cpu_seconds(self) -> float:
        """Return what the process used of the processors since it began, all threads."""
        times = self._watched.cpu_times()
        return float(times.user + times.system)

    def call(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Any:
        """Send a request and return what the answer's JSON says."""
        given = {"Content-Type": "application/json", **(headers or {})}
        content = None if body is None else json.dumps(body).encode()
        return json.loads(self.send(method, path, content, given))

    def send(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> bytes:
        """Send a request, which must succeed; returns the answer's body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, dict(headers))
            answer = connection.getresponse()
            said = answer.read()
            assert answer.status < 300, f"{method} {path}: {answer.status} {said[:500]!r}"
            return said
        finally:
            connection.close()


class Sink(Server):
    """The sink process."""

    def __init__(self, process: Process, ports: Sequence[int]) -> None:
        super().__init__(process, ports[0])
        self._ports = ports

    def reset(self) -> None:
        """Forget what came in."""
        self.call("GET", "/reset")

    def report(self) -> dict[str, Any]:
        """Return what came in since the last reset."""
        report: dict[str, Any] = self.call("GET", "/report")
        return report

    def seen(self) -> dict[str, dict[str, Any]]:
        """Return what came in at ``/seen/NAME``, by name."""
        seen: dict[str, dict[str, Any]] = self.call("GET", "/seen")
        return seen

    def wait_for(
        self,
        count: int,
        what: str = "count",
        look: Callable[[int], object] = lambda _arrived: None,
    ) -> dict[str, Any]:
        """Wait until ``count`` requests have come in; returns the report.

        It fails when nothing more has come in for two minutes. ``what`` is the number of the
        report that is waited for; ``look`` is called with it again and again.
        """
        arrived, deadline = -1, 0.0
        while True:
            report = self.report()
            look(report[what])
            if report[what] >= count:
                return report
            if report[what] > arrived:
                arrived, deadline = report[what], time.monotonic() + _PATIENCE_SECONDS
            assert time.monotonic() < deadline, f"{arrived} of {count} arrived"
            time.sleep(_POLL_SECONDS)

    def url(self, path: str, server: int = 0) -> str:
        """Return an address of the sink; each of its ports passes for another server."""
        return f"http://127.0.0.1:{self._ports[server]}{path}"


class GatewayServer(Server):
    """``gateway serve`` on a fresh database, its workers if it has some, and a few keys."""

    def __init__(self, processes: Mapping[str, Process], port: int, made: Made) -> None:
        super().__init__(processes["serve"], port)
        self.keys = made.keys
        self.database = database_in(made.folder)
        self._url = made.url
        self._all = {name: psutil.Process(each.pid) for name, each in processes.items()}

    def cpu_seconds(self) -> float:
        """Return what server and workers used of the processors since they began."""
        return sum(self.cpu_by_process().values())

    def cpu_by_process(self) -> dict[str, float]:
        """Return what each process used of the processors since it began.

        That of processes which it started counts once they have ended.
        """
        times = {name: each.cpu_times() for name, each in self._all.items()}
        return {
            name: each.user + each.system + each.children_user + each.children_system
            for name, each in times.items()
        }

    def kill(self, name: str) -> None:
        """Kill a process (SIGKILL)."""
        self._all[name].kill()

    def memory_mb(self) -> dict[str, float]:
        """Return how much memory each process holds (resident set), in megabytes."""
        return {name: each.memory_info().rss / 1e6 for name, each in self._all.items()}

    def own_memory_mb(self) -> float:
        """Return the server's part of that which is no file's: what it has allocated itself."""
        held = self._all["serve"].memory_info()
        return float(held.rss - getattr(held, "shared", 0)) / 1e6  # which only Linux tells

    def children(self, name: str) -> list[psutil.Process]:
        """Return the processes that a process has started, which takes some milliseconds."""
        found: list[psutil.Process] = self._all[name].children()
        return found

    def add_endpoint(self, url: str, status: str, **more: Any) -> str:
        """Subscribe ``url`` to everything; returns the endpoint's id."""
        made = self.call("POST", "/api/webhooks/endpoints", {"url": url, **more}, self._key())
        if status != made["status"]:
            self.switch(made["id"], status)
        return str(made["id"])

    def switch(self, endpoint_id: str, status: str) -> None:
        """Make an endpoint ``active``, ``paused`` or ``disabled``."""
        self.call(
            "PATCH", f"/api/webhooks/endpoints/{endpoint_id}", {"status": status}, self._key()
        )

    def switch_all(self, before: str, after: str) -> None:
        """Switch all those endpoints in one statement; the next sweep, within a second, sees it."""
        self.run_sql(
            "UPDATE destinations SET state = :after WHERE state = :before",
            before=before,
            after=after,
        )

    def run_sql(self, statement: str, **values: Any) -> list[tuple[Any, ...]]:
        """Run a statement on the gateway's database, beside it; returns its rows, if any."""

        async def run() -> list[tuple[Any, ...]]:
            engine = create_async_engine(self._url, poolclass=NullPool)
            async with engine.begin() as connection:
                done = await connection.execute(text(statement), values)
                return [tuple(row) for row in done] if done.returns_rows else []

        return asyncio.run(run())

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
    def spike(
        self, name: str, setup: Setup, sink_url: str, *, program: Sequence[str] = (SPIKE,)
    ) -> Iterator[tuple[Server, str]]:
        """Run the yardstick of an order's cost on a database of its own; yields it and its key."""
        with setup.configuration(1) as configuration:
            url = str(tomllib.loads(configuration)["database"]["url"])
            in_file = url.startswith("sqlite")
            database = str(self.folder / f"{name}.db") if in_file else url.replace("+asyncpg", "")
            command = [sys.executable, *program, database, sink_url]
            log = self.folder / f"{name}.log"
            with _running(command, self.folder, log) as process:
                said = json.loads(_first_line(process, log))
                yield Server(process, said["port"]), said["key"]

    @contextmanager
    def faulty(self) -> Iterator[dict[str, int]]:
        """Run servers that fail, each in its way; yields their ports by how they fail."""
        command, log = [sys.executable, str(HERE / "faulty.py")], self.folder / "faulty.log"
        with _running(command, self.folder, log) as process:
            yield json.loads(_first_line(process, log))

    @contextmanager
    def attacker(self, job: Mapping[str, Any]) -> Iterator[None]:
        """Attack a gateway as ``job`` says while the block runs."""
        command, log = [sys.executable, str(HERE / "attacker.py")], self.folder / "attacker.log"
        with _running(command, self.folder, log) as process:
            assert process.stdin is not None
            process.stdin.write(json.dumps(job) + "\n")
            process.stdin.flush()
            begun = json.loads(_first_line(process, log))["begun"]
            assert begun, "no attack began"
            yield

    @contextmanager
    def watchers(self, port: int, cookies: Sequence[str]) -> Iterator[None]:
        """Let signed-in people watch a gateway's news while the block runs."""
        command, log = [sys.executable, str(HERE / "watchers.py")], self.folder / "watchers.log"
        with _running(command, self.folder, log) as process:
            assert process.stdin is not None
            process.stdin.write(json.dumps({"port": port, "cookies": cookies}) + "\n")
            process.stdin.flush()
            assert json.loads(_first_line(process, log))["watching"] == len(cookies)
            yield

    @contextmanager
    def gateway(self, name: str, setup: Setup = SQLITE, sites: int = 1) -> Iterator[GatewayServer]:
        """Run a gateway in a new folder of its own."""
        with self.ground(name, setup, sites) as made, self.running(made, setup) as gateway:
            yield gateway

    @contextmanager
    def ground(
        self, name: str, setup: Setup = SQLITE, sites: int = 1, *, more: str = ""
    ) -> Iterator[Made]:
        """Prepare a folder of its own for a gateway; the servers that it needs run meanwhile.

        ``more`` is added to its configuration.
        """
        with setup.configuration(sites) as configuration:
            yield self.prepare(name, configuration + more)

    @contextmanager
    def running(
        self,
        made: Made,
        setup: Setup,
        *,
        program: Sequence[str] = ("-m", "gateway"),
        inside: Sequence[Path] = (),
        environment: Mapping[str, str] | None = None,
    ) -> Iterator[GatewayServer]:
        """Run a gateway where it was prepared, ``inside`` control groups if there are some."""
        names = ["serve", *(f"worker {number + 1}" for number in range(setup.workers))]
        processes, said = {}, {}
        with ExitStack() as running:
            for each in names:
                command = [sys.executable, *program, each.split()[0], "--json"]
                log = made.folder / f"{each}.log"
                if inside:
                    command = [
                        *_ENTER,
                        *(str(group / "cgroup.procs") for group in inside),
                        "--",
                        *command,
                    ]
                one = _running(command, made.folder, log, environment)
                processes[each] = running.enter_context(one)
                said[each] = json.loads(_first_line(processes[each], log))
            # All are asked to end before any is waited for: each finishes what it has in flight.
            running.callback(lambda: [each.terminate() for each in processes.values()])
            port = int(said["serve"]["address"].rpartition(":")[2])
            yield GatewayServer(processes, port, made)

    def prepare(self, name: str, configuration: str = "") -> Made:
        """Make a folder with a configuration (SQLite's, if none is given) and a database."""
        if not configuration:
            with SQLITE.configuration(1) as usual:
                return self.prepare(name, usual)
        folder = self.folder / name
        folder.mkdir()
        config = folder / "gateway.toml"
        config.write_text(configuration)
        keys = json.loads(_output_of("prepare.py", str(config), str(KEYS)))
        url = str(tomllib.loads(configuration)["database"]["url"])
        if url.startswith("sqlite"):
            url = f"sqlite+aiosqlite:///{database_in(folder)}"
        return Made(folder, url, keys)

    def ask(self, script: str, job: Mapping[str, Any], *, seconds: float = 600) -> Any:
        """Run one of the scripts beside this one on a job; returns what it prints.

        It fails after ``seconds``.
        """
        return json.loads(_output_of(script, told=json.dumps(job) + "\n", seconds=seconds))


def database_in(folder: Path) -> Path:
    """Return where a gateway keeps its database."""
    return folder / "data" / "gateway.db"


def _output_of(script: str, *arguments: str, told: str = "", seconds: float = 600) -> str:
    done = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, str(HERE / script), *arguments],
        # Unbuffered, Python writes once, and drops what a signal kept from a full pipe.
        env={**os.environ, "PYTHONUNBUFFERED": ""},
        input=told,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=seconds,
    )
    return done.stdout


@contextmanager
def _running(
    command: list[str], folder: Path, log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[Process]:
    with log.open("w") as file:
        process = subprocess.Popen(  # noqa: S603 - our own command
            command,
            cwd=folder,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})},
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


def _first_line(process: Process, log: Path) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, f"a process ended before it was ready: {log.read_text()[-_LAST_WORDS:]}"
    return line
