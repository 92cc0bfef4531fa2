"""``gateway dev``: serve plugins while they are written, and reload on change.

It uses a temporary database that is deleted at the end of the command: made-up orders come in, and
a receiver prints each webhook. The served gateway is a process of its own, so a plugin that can't
be imported ends that process only; the next change starts another.
"""

import asyncio
import contextlib
import json
import os
import shlex
import socket
import sys
import tempfile
import tomllib
from asyncio.subprocess import PIPE, Process
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click

from gateway.cli.dev_receiver import DevReceiver
from gateway.cli.loose_plugins import loose_plugins, write_distribution
from gateway.cli.opening import DEFAULT_FILE
from gateway.errors import GatewayError
from gateway.installed_plugins.discovery import default_configuration
from gateway.sdk.cli import Session, command
from gateway.sdk.signals import on_termination

_LOOK_SECONDS: Final = 0.3
_STOP_SECONDS: Final = 10.0
_WATCHED: Final = frozenset({".py", ".toml", ".html", ".po", ".mo", ".css", ".js"})
_LEFT_OUT: Final = frozenset({"__pycache__", "node_modules", "build", "dist", "data"})
_ORDERS: Final[Sequence[Mapping[str, Any]]] = (
    {"patient_name": "Maria Rodriguez", "patient_address": "123 Main St, Miami, FL 33178"},
    {
        "patient_name": "Ana Silva",
        "patient_address": "9 Elm St, Miami, FL 33139",
        "priority": "urgent",
        "rx_number": "RX-8872341",
        "copay_amount": 12.5,
    },
)


@command("dev")
@click.option(
    "--plugins-dir",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A folder of loose plugins: each .py file with a plugin class is one, by its name.",
)
@click.option(
    "--destination",
    "destinations",
    multiple=True,
    metavar="'SINK KEY=VALUE…'",
    help="Subscribe a destination of a sink; {receiver} is the address that shows what arrives.",
)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="[default: a free one]")
async def dev(
    session: Session, *, plugins_dir: Path | None, destinations: Sequence[str], port: int
) -> None:
    """Serve on a temporary database, reload on change, show each webhook.

    Uses ./gateway.toml, or the file of --config, for everything but the database. Made-up orders
    come in at the start. Ctrl-C ends it, and deletes the database.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, DevReceiver() as sink:
        place = Path(folder)
        config = session.config or (DEFAULT_FILE if DEFAULT_FILE.exists() else None)
        if config is None:
            config = place / "gateway.toml"
            config.write_text(default_configuration(), encoding="utf-8")
        environ = _environment(place, config, plugins_dir, port or _free_port())
        ending = asyncio.Event()
        with on_termination(ending.set):
            served = _Dev(session, config, environ, plugins_dir, sink)
            served.destinations = [_words(each) for each in destinations]
            await served.run(ending)


class _Dev:
    """One run: the served process, its sample data, and the watch for changes."""

    def __init__(
        self,
        session: Session,
        config: Path,
        environ: Mapping[str, str],
        plugins_dir: Path | None,
        sink: DevReceiver,
    ) -> None:
        self._session = session
        self._config = config
        self._environ = environ
        self._folders = [Path.cwd(), *([plugins_dir] if plugins_dir else [])]
        self._sink = sink
        self._is_furnished = False
        self._fault = ""
        self.destinations: Sequence[Sequence[str]] = ()

    async def run(self, ending: asyncio.Event) -> None:
        """Serve until ``ending``; each change of a file starts the served process again."""
        printing = asyncio.create_task(self._print_webhooks())
        try:
            while not ending.is_set():
                seen = self._changes()
                served = await self._start()
                await self._until_changed(seen, ending)
                await _stop(served)
        finally:
            printing.cancel()

    async def _start(self) -> Process:
        served = await asyncio.create_subprocess_exec(
            *_gateway("serve", "--json", "--config", str(self._config)),
            stdout=PIPE,
            env=self._environ,
        )
        line = b"" if served.stdout is None else await served.stdout.readline()
        if not line:
            self._session.say(click.style("It doesn't start; waiting for a change.", fg="red"))
            return served
        address = json.loads(line)["address"]
        self._session.say(click.style(f"Ready at {address} ({address}/docs)", bold=True))
        if not self._is_furnished:
            self._is_furnished = True
            await self._furnish(address)
        return served

    async def _furnish(self, address: str) -> None:
        """Make a key, subscribe the receiver, send made-up orders; each as far as possible."""
        made = await self._run("keys", "create", "--name", "dev", "--scope", "all")
        if made is None:
            return
        self._session.say(f"An API key for it: {made['key']}")
        words = ("endpoints", "add", self._sink.url, "--format", "standard", "--name", "dev")
        if await self._run(*words) is None:
            self._session.say("No webhooks are shown: [plugins.webhooks] isn't enabled.")
        for kind, *pairs in self.destinations:
            filled = [each.replace("{receiver}", self._sink.url) for each in pairs]
            if await self._run("destinations", "add", "--sink", kind, "--name", "dev", *filled):
                self._session.say(f"Subscribed: a destination of {kind}.")
            else:
                self._session.say(click.style(f"No destination of {kind}: {self._fault}", fg="red"))
        status = await asyncio.to_thread(
            self._sink.post, f"{address}/api/webhook/orders", made["key"], {"orders": _ORDERS}
        )
        if status is None:
            self._session.say("No made-up orders came in: [plugins.json_api] isn't enabled.")

    async def _run(self, *words: str) -> dict[str, Any] | None:
        """Run a command, and return what it prints; ``None`` where it fails."""
        process = await asyncio.create_subprocess_exec(
            *_gateway(*words, "--json", "--config", str(self._config)),
            stdout=PIPE,
            stderr=PIPE,
            env=self._environ,
        )
        printed, said = await process.communicate()
        if process.returncode != 0:
            self._fault = said.decode(errors="replace").strip().rpartition("\n")[2]
            return None
        read: dict[str, Any] = json.loads(printed)
        return read

    async def _print_webhooks(self) -> None:
        while True:
            arrived = await asyncio.to_thread(self._sink.next)
            if arrived is not None:
                self._session.say(click.style(f"→ {arrived.event}", fg="green"))
                self._session.say(f"  {arrived.text}")

    async def _until_changed(self, seen: Mapping[Path, int], ending: asyncio.Event) -> None:
        while not ending.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ending.wait(), _LOOK_SECONDS)
            now = await asyncio.to_thread(self._changes)
            if now != seen and not ending.is_set():
                changed = sorted({path.name for path, _ in seen.items() ^ now.items()})
                self._session.say(f"Reloading: {', '.join(changed[:3])} changed.")
                return

    def _changes(self) -> dict[Path, int]:
        """Return when each watched file was changed last."""
        found = {}
        for path in (self._config, *_watched(self._folders)):
            with contextlib.suppress(OSError):  # it was removed a moment ago
                found[path] = path.stat().st_mtime_ns
        return found


def _words(destination: str) -> list[str]:
    """Return a sink and the settings of a destination of it."""
    with contextlib.suppress(ValueError):  # a quotation mark too few
        words = shlex.split(destination)
        if words:
            return words
    raise click.UsageError("Write a destination as 'SINK KEY=VALUE…', in quotation marks.")


def _watched(folders: Sequence[Path]) -> Iterator[Path]:
    for top in folders:
        for folder, inner, files in os.walk(top):
            inner[:] = [each for each in inner if each[0] != "." and each not in _LEFT_OUT]
            yield from (Path(folder, each) for each in files if Path(each).suffix in _WATCHED)


def _environment(place: Path, config: Path, plugins_dir: Path | None, port: int) -> dict[str, str]:
    """Return the environment of the served process, whose database is a temporary one."""
    data = place / "data"
    environ = os.environ | {
        "GATEWAY_GATEWAY__DATA_DIR": json.dumps(str(data)),
        "GATEWAY_GATEWAY__PORT": str(port),
        "GATEWAY_DATABASE__URL": json.dumps(
            f"sqlite+aiosqlite:///{(data / 'gateway.db').as_posix()}"
        ),
        "GATEWAY_DELIVERY__ALLOW_HTTP": "true",
        "GATEWAY_DELIVERY__ALLOW_NETWORKS": '["127.0.0.0/8"]',
        "GATEWAY_DELIVERY__RETRY_SCHEDULE_SECONDS": "[1, 5, 30]",
    }
    if plugins_dir is None:
        return environ
    found = loose_plugins(plugins_dir)
    if not found:
        raise GatewayError(f"{plugins_dir} has no file with a plugin class: one with api_version.")
    site = place / "site"
    write_distribution(site, found)
    inherited = [environ["PYTHONPATH"]] if environ.get("PYTHONPATH") else []
    environ["PYTHONPATH"] = os.pathsep.join([str(site), str(plugins_dir.absolute()), *inherited])
    known = tomllib.loads(config.read_text("utf-8")).get("plugins", {})
    for name in found:
        if name not in known:
            environ[f"GATEWAY_PLUGINS__{name.upper()}"] = "{}"
    return environ


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _gateway(*words: str) -> list[str]:
    return [sys.executable, "-m", "gateway", *words]


async def _stop(served: Process) -> None:
    if served.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            served.terminate()
        try:
            await asyncio.wait_for(served.wait(), _STOP_SECONDS)
        except TimeoutError:
            served.kill()
    await served.wait()
