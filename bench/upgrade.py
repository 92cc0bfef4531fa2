"""Upgrade a database of many packages while orders come in, and kill the server in the middle.

``python bench/upgrade.py OLD [--packages 200000] [--database sqlite|postgresql]``, where OLD is a
checkout of the version before. Its code fills the database; with PostgreSQL its server also
serves while this version migrates the schema. Then this version serves: orders are posted and old
packages searched until the clear columns of all are filled, and the server is killed once when
two fifths are. Prints the figures; ends with 1 if anything was lost, missed or left unfilled.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

from sqlalchemy import text

from gateway.storage.database import Database

HERE: Final = Path(__file__).resolve().parents[1]
FILL: Final = Path(__file__).with_name("upgrade_fill.py")
PLUGINS: Final = ("json_api",)
KILL_AT: Final = 0.4
LOOKED_UP: Final = 200
FIRST_DAY: Final = date(2026, 1, 1)


def _environment(tree: Path) -> dict[str, str]:
    folders = [tree, *(tree / "plugins" / each for each in PLUGINS)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))}


class Installation:
    """One database, and servers of either version over it."""

    def __init__(self, folder: Path, url: str) -> None:
        self.url = url
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.config = folder / "gateway.toml"
        self.config.write_text(
            f'[gateway]\nport = {self.port}\ndata_dir = "{folder}"\n[database]\nurl = "{url}"\n'
            "[limits]\norders_requests_per_minute = 100000000\norders_per_hour = 100000000\n"
            "reads_per_minute = 100000000\n[plugins.json_api]\n",
            encoding="utf-8",
        )

    def run(self, tree: Path, *words: str) -> Any:
        """Run a command of a version; returns what it prints as JSON."""
        done = subprocess.run(  # noqa: S603 - a command of our own
            [sys.executable, "-m", "gateway", *words, "--config", str(self.config), "--json"],
            env=_environment(tree),
            cwd=tree,
            capture_output=True,
            text=True,
            check=False,
        )
        return json.loads(done.stdout.splitlines()[0] if done.stdout else "null"), done.returncode

    def serve(self, tree: Path) -> subprocess.Popen[bytes]:
        """Start a server of a version; returns when it answers."""
        server = subprocess.Popen(  # noqa: S603 - a command of our own
            [sys.executable, "-m", "gateway", "serve", "--config", str(self.config)],
            env=_environment(tree),
            cwd=tree,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while True:
            try:
                self.call("GET", "/health/live", None)
            except OSError:
                if server.poll() is not None:
                    raise SystemExit("the server didn't start") from None
                time.sleep(0.1)
            else:
                return server

    def call(self, method: str, path: str, body: Any, key: str = "") -> Any:
        """Send a request."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "X-API-Key": key},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - as above
            return json.loads(answer.read() or b"null")


class Traffic(threading.Thread):
    """Posts orders and searches old packages until it is stopped; what fails is sent again."""

    def __init__(self, there: Installation, key: str, packages: int) -> None:
        super().__init__(daemon=True)
        self._there, self._key, self._packages = there, key, packages
        self._over = threading.Event()
        self._random = random.Random(7)  # noqa: S311 - which package is asked for
        self.accepted: dict[str, str] = {}
        self.latencies: list[float] = []
        self.missed = self.searched = 0

    def stop(self) -> None:
        """End after what is under way."""
        self._over.set()
        self.join()

    def run(self) -> None:
        """Post and search."""
        number = 0
        while not self._over.is_set():
            number += 1
            order_id = f"NEW-{id(self)}-{number}"
            order = {
                "patient_name": "Ana Silva",
                "patient_address": "1 Elm St",
                "external_order_id": order_id,
                "rx_number": f"N-{number}",
                "priority": "urgent",
            }
            began = time.monotonic()
            answer = self._until_answered("/api/webhook/orders", {"orders": [order]})
            self.latencies.append(time.monotonic() - began)
            self.accepted[order_id] = answer["results"][0]["package_id"]
            if number % 5 == 0:
                old = self._random.randrange(self._packages)
                found = self._until_answered("/api/packages/search", {"rx_number": f"RX-{old}"})
                self.searched += 1
                self.missed += len(found["packages"]) != 1
            time.sleep(0.02)

    def _until_answered(self, path: str, body: Any) -> Any:
        while True:
            try:
                return self._there.call("POST", path, body, self._key)
            except (OSError, urllib.error.URLError):
                time.sleep(0.05)


async def _count(url: str, statement: str) -> int:
    database = Database(url)
    try:
        async with database.read() as connection:
            return int((await connection.execute(text(statement))).scalar_one())
    finally:
        await database.close()


def unfilled(url: str) -> int:
    """Return how many packages are still to be filled."""
    return asyncio.run(_count(url, "SELECT count(*) FROM packages WHERE flags IS NULL"))


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("old", type=Path, help="a checkout of the version before")
    parser.add_argument("--packages", type=int, default=200_000)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="gateway-upgrade-") as name,
        _database(options.database, Path(name)) as url,
    ):
        there = Installation(Path(name), url)
        faults = upgraded(there, options.old.resolve(), options.packages)
    print("load at the end:", " ".join(f"{each:.1f}" for each in os.getloadavg()))
    if faults:
        raise SystemExit("; ".join(faults))


@contextmanager
def _database(kind: str, folder: Path) -> Iterator[str]:
    if kind == "sqlite":
        yield f"sqlite+aiosqlite:///{folder / 'gateway.db'}"
        return
    sys.path.insert(0, str(HERE / "tests"))
    from servers import running_postgres

    with running_postgres() as server, server.fresh_database() as url:
        yield url


def upgraded(there: Installation, old: Path, packages: int) -> list[str]:
    """Fill with the old version, upgrade, and say what went wrong."""
    is_shared = there.url.startswith("postgresql")
    began = time.monotonic()
    fill = [sys.executable, str(FILL), str(there.config), str(packages)]
    subprocess.run(fill, env=_environment(old), cwd=old, check=True)  # noqa: S603 - our own
    key = there.run(old, "keys", "create", "--name", "bench")[0]["key"]
    print(f"filled by the old version in {time.monotonic() - began:.0f} s", flush=True)

    traffic: list[Traffic] = []
    with _old_server(there, old, key, packages, traffic) if is_shared else nullcontext():
        began = time.monotonic()
        applied, code = there.run(HERE, "migrate")
        print(f"schema: {time.monotonic() - began:.1f} s, {applied}", flush=True)
        if code:
            return ["the schema was not migrated"]

    server = there.serve(HERE)
    news = Traffic(there, key, packages)
    news.start()
    traffic.append(news)
    began, killed, before = time.monotonic(), False, unfilled(there.url)
    print(f"{before} to fill", flush=True)
    while left := unfilled(there.url):
        if not killed and left < before * (1 - KILL_AT):
            server.send_signal(signal.SIGKILL)
            server.wait()
            left, killed = unfilled(there.url), True
            detail = there.run(HERE, "status")[0]["checks"]
            print([each["detail"] for each in detail if each["name"] == "database"])
            print(f"killed with {left} to fill, after {time.monotonic() - began:.0f} s", flush=True)
            server = there.serve(HERE)
            if (after := unfilled(there.url)) > left:
                print(f"after the restart {after} are to be filled", flush=True)
                return ["what was filled is to be filled again"]
        time.sleep(0.5)
    seconds = time.monotonic() - began
    for each in traffic:
        each.stop()
    faults = _verified(there, key, packages, traffic)
    if not killed:
        faults.append("it was over before the server was killed: take more packages")
    server.terminate()
    server.wait()
    times = sorted(news.latencies)
    print(
        f"filled in {seconds:.0f} s ({before / seconds:.0f} packages/s) while "
        f"{len(news.accepted)} orders came in: p50 {times[len(times) // 2] * 1000:.0f} ms, p99 "
        f"{times[int(len(times) * 0.99)] * 1000:.0f} ms, longest {times[-1] * 1000:.0f} ms (the "
        f"restart); {sum(each.searched for each in traffic)} searches"
    )
    return faults


@contextmanager
def _old_server(
    there: Installation, old: Path, key: str, packages: int, traffic: list[Traffic]
) -> Iterator[None]:
    """Serve with the old version, and take orders, until the block has ended."""
    server = there.serve(old)
    news = Traffic(there, key, packages)
    news.start()
    time.sleep(2)
    yield
    time.sleep(2)  # and what it stores after the migration is to be filled like the rest
    news.stop()
    traffic.append(news)
    print(f"the old version's server took {len(news.accepted)} orders meanwhile", flush=True)
    server.terminate()
    server.wait()


def _verified(there: Installation, key: str, packages: int, traffic: list[Traffic]) -> list[str]:
    accepted = {name: each for one in traffic for name, each in one.accepted.items()}
    faults = []
    stored = asyncio.run(_count(there.url, "SELECT count(*) FROM packages"))
    if stored != packages + len(accepted):
        faults.append(f"{stored} packages instead of {packages + len(accepted)}")
    if missed := sum(each.missed for each in traffic):
        faults.append(f"{missed} searches found nothing")
    # That none is missing, the count says; of some it is looked up that they are what was answered.
    for order_id, package_id in list(accepted.items())[:: max(1, len(accepted) // LOOKED_UP)]:
        sent = {"external_order_id": order_id}
        found = there.call("POST", "/api/packages/search", sent, key)["packages"]
        if [each["id"] for each in found] != [package_id]:
            faults.append(f"{package_id} is lost")
    day = FIRST_DAY + timedelta(days=7)
    wanted = {
        f"delivery_day = '{day}'": sum(number % 300 == 7 for number in range(packages)),
        "priority = 'stat'": sum(number % 4 == 3 for number in range(packages)),
        "(flags & 1) <> 0": sum(number % 5 == 0 for number in range(packages)),
        "driver_id IS NOT NULL": sum(number % 2 == 0 for number in range(packages)),
    }
    for condition, count in wanted.items():
        statement = f"SELECT count(*) FROM packages WHERE {condition}"  # noqa: S608 - our own
        found = asyncio.run(_count(there.url, statement))
        if found != count:
            faults.append(f"{condition}: {found} instead of {count}")
    return faults


if __name__ == "__main__":
    main()
