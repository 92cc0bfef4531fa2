"""``gateway demo --keep``: a temporary gateway with a day at two pharmacies, until stopped."""

import asyncio
import contextlib
import logging
import socket
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import click

from gateway.clock import SystemClock
from gateway.demo import labels, prescriptions, shop, spreadsheet
from gateway.demo.at_work import AtWork
from gateway.demo.calls import Program
from gateway.demo.clock import PlayedClock, working_zone
from gateway.demo.entrance import PATH, SITE_NAMES, Entrance
from gateway.demo.invented import Inventor
from gateway.demo.morning import BEGINS_MINUTES_AGO, LEDGER, PORTAL, Morning
from gateway.demo.rounds import Dispatch
from gateway.demo.staff import hire
from gateway.demo.subscribers import Subscribers
from gateway.errors import GatewayError
from gateway.http.app import create_app
from gateway.http.server import BACKLOG, HttpServer
from gateway.installed_plugins.discovery import installed_plugins
from gateway.model.account import DEFAULT_ACCOUNT, Caller
from gateway.model.person import Person
from gateway.runtime import Gateway
from gateway.sdk.cli import Session
from gateway.sdk.signals import on_termination
from gateway.settings import Settings, parse_settings

_SETTINGS: Final = """
[gateway]
port = {port}
public_url = "http://localhost:{port}"
[delivery]
allow_http = true
allow_networks = ["127.0.0.0/8"]
trusted_accounts = ["default"]
retry_schedule_seconds = [5, 10, 20, 30, 60, 120, 300]
breaker_failures = 6
breaker_pauses_seconds = [20, 30, 45]
[people]
idle_minutes = 480
step_up_minutes = 60
session_hours = 24
[limits]
orders_requests_per_minute = 100000
orders_per_hour = 1000000
reads_per_minute = 100000
updates_requests_per_minute = 100000
people_reads_per_minute = 100000
"""
_SITE: Final = """
[[sites]]
code = "{code}"
name = "{name}"
timezone = "{zone}"
country = "CA"
"""
_PLUGINS: Final = {
    "json_api": "",
    "csv": "",
    "labels": "",
    "webhooks": "",
    "rx_queue": "",
    "reports": "",
    "shopify": (
        f'[[plugins.shopify.shops]]\ndomain = "{shop.DOMAIN}"\nsite = "lakeside"\n'
        f'client_secret = "{shop.SECRET}"\nhold_tags = ["{shop.HOLD_TAG}"]\n'
    ),
}
_WHAT_HAPPENED: Final = ("package.*", "delivery.*", "rx.*")
_SETTLE_SECONDS: Final = 0.1
_SETTLES: Final = 300


async def keep_demo(session: Session, port: int) -> None:
    """Serve the demo until SIGINT or SIGTERM; then delete its folder."""
    logging.basicConfig(level=logging.CRITICAL)  # servers fail on purpose
    ending = asyncio.Event()
    with (
        tempfile.TemporaryDirectory(prefix="gateway-demo-", ignore_cleanup_errors=True) as folder,
        _listener(port) as listener,
        Subscribers() as subscribers,
        on_termination(ending.set),
    ):
        kept = _Kept(session, Path(folder), listener, subscribers)
        async with kept.open():
            filling = asyncio.create_task(kept.fill())
            stopped = asyncio.create_task(ending.wait())
            await asyncio.wait({filling, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if filling.done():
                work = await filling
                async with work.going_on():
                    kept.announce()
                    await stopped
            else:
                filling.cancel()
                await asyncio.gather(filling, return_exceptions=True)
            session.say("Ending the demo; its folder is removed.")


@dataclass(frozen=True, slots=True)
class _Programs:
    """The programs that have a key."""

    set_up: Program
    till: Program
    courier: Program
    clinic: Program
    agent: Program
    phone: Program
    set_up_key: str


class _Kept:
    """The gateway of the demo, which fills itself."""

    def __init__(
        self, session: Session, folder: Path, listener: socket.socket, subscribers: Subscribers
    ) -> None:
        port: int = listener.getsockname()[1]
        self._session = session
        self._listener = listener
        self._subscribers = subscribers
        self._address = f"http://127.0.0.1:{port}"
        self._page = f"http://localhost:{port}{PATH}"
        self._now = SystemClock().now()
        self._zone = working_zone(self._now)
        self._plugins = frozenset(
            each.name
            for each in installed_plugins(Settings())
            if each.name in _PLUGINS and (each.name != "labels" or labels.can_read())
        )
        text = _settings_text(port, self._zone, sorted(self._plugins))
        settings = parse_settings(text, source=None, directory=folder, environ={})
        self._clock = PlayedClock()
        self._clock.begin_at(self._now - timedelta(minutes=BEGINS_MINUTES_AGO))
        self._gateway = Gateway(settings, self._clock)
        self._entrance = Entrance(self._gateway)
        self._gateway.hooks.register(self._entrance, "demo")

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Serve, and deliver, until the block ends."""
        gateway = self._gateway
        async with gateway:
            ready = asyncio.Event()
            server = HttpServer(
                create_app(gateway),
                gateway.settings.http,
                gateway.metrics,
                gateway.clock,
                on_ready=ready.set,
                on_stop=gateway.stopping.set,
            )
            async with gateway.running():
                serving = asyncio.create_task(server.serve(sockets=[self._listener]))
                try:
                    await ready.wait()
                    yield
                finally:
                    server.stop()
                    await serving

    async def fill(self) -> AtWork:
        """Play the day so far; returns the tasks that continue it."""
        self._session.say("Filling a temporary gateway with a day at two pharmacies …")
        staff = await hire(self._gateway)
        programs = await self._hand_out_keys(staff)
        await self._subscribe(programs.set_up)
        dispatch = Dispatch(programs.till, programs.courier, Inventor())
        morning = Morning(self._gateway, self._clock, dispatch, self._subscribers)
        morning.note_everything(self._now)
        agent = prescriptions.Agent(programs.agent) if "rx_queue" in self._plugins else None
        self._note_side_doors(morning, programs, agent)
        morning.at(72, lambda: self._break_glass(morning, staff))
        await morning.play(self._now)
        await self._gateway.keys.revoke(programs.set_up_key, actor=staff[0].id)
        self._entrance.admit(staff)
        return AtWork(morning, dispatch, self._subscribers, agent)

    def announce(self) -> None:
        """Print the address and the code."""
        code = self._entrance.code
        clock = self._now.astimezone(ZoneInfo(self._zone))
        text = (
            f"{click.style('Ready.', bold=True, fg='green')} Open {self._page}\n"
            f"and enter the code {click.style(code, bold=True)} (good once).\n"
            f"It is {clock:%H:%M} at the pharmacies ({self._zone}); a driver is on the road.\n"
            "Ctrl-C ends the demo and removes everything."
        )
        self._session.line({"address": self._page, "code": code}, text)

    async def _hand_out_keys(self, staff: Sequence[Person]) -> _Programs:
        owner = staff[0].id

        async def program(name: str, *scopes: str, site: str | None = None) -> tuple[Program, str]:
            made = await self._gateway.keys.issue(
                name, account_id=DEFAULT_ACCOUNT, actor=owner, site=site, scopes=scopes
            )
            return Program(name, self._address, made.key), made.id

        has_queue = "rx_queue" in self._plugins
        set_up, set_up_key = await program("Set-up of the demo", "all")
        till, _ = await program("Till, Lakeside", "orders")
        courier, _ = await program("Courier app", "orders")
        scopes = ("orders", "imports.run")
        clinic, _ = await program("Spreadsheets of the clinic", *scopes, site="lakeside")
        agent, _ = await program("Kroll agent", *(("rx.agent",) if has_queue else ("orders",)))
        scanning = "labels.scan" if "labels" in self._plugins else "orders"
        phone, _ = await program("Phone at the counter", scanning, site="lakeside")
        return _Programs(set_up, till, courier, clinic, agent, phone, set_up_key)

    async def _subscribe(self, set_up: Program) -> None:
        if "webhooks" not in self._plugins:
            return
        for path, name, wire_format in (
            ("/dispatch", "Courier dispatch", "scriptrun"),
            (PORTAL, "Patient portal", "autorx"),
            (LEDGER, "Ledger", "standard"),
        ):
            sent = {
                "url": self._subscribers.url(path),
                "description": name,
                "format": wire_format,
                "events": list(_WHAT_HAPPENED),
            }
            await set_up.post("/api/webhooks/endpoints", sent)

    def _note_side_doors(
        self, morning: Morning, programs: _Programs, agent: prescriptions.Agent | None
    ) -> None:
        """Schedule what arrives through other plugins than the JSON API, if they are installed."""
        if "csv" in self._plugins:
            morning.at(62, lambda: spreadsheet.import_orders(programs.clinic))
            morning.at(8, lambda: spreadsheet.check_next(programs.clinic))
        if "labels" in self._plugins:
            morning.at(11, lambda: labels.scan_one(programs.phone))
        if "shopify" in self._plugins:
            morning.at(57, lambda: shop.send_orders(programs.set_up, self._gateway.clock.now()))
        if agent is not None:
            today = self._now.astimezone(ZoneInfo(self._zone)).date()
            for number, each in enumerate(prescriptions.sent_today(today)):
                minutes_ago = 140 - 19 * number
                send = partial(prescriptions.send, programs.set_up, each, "lakeside")
                morning.at(minutes_ago, send)
                morning.at(minutes_ago - 2, agent.work_once)

    async def _break_glass(self, morning: Morning, staff: Sequence[Person]) -> None:
        """Open a record in an emergency, for the privacy officer to review."""
        dispatcher = next(each for each in staff if each.name == "Luis Ortega")
        caller = Caller(
            DEFAULT_ACCOUNT, "live", dispatcher.id, None, kind="person", name=dispatcher.name
        )
        reason = "The driver found the patient on the floor and needs to know what she takes."
        package = morning.on_the_road[0]
        await self._gateway.emergencies.open(caller, package.package_id, reason)


def _settings_text(port: int, zone: str, plugins: Sequence[str]) -> str:
    sites = [_SITE.format(code=code, name=name, zone=zone) for code, name in SITE_NAMES.items()]
    tables = [f"[plugins.{name}]\n{_PLUGINS[name]}" for name in plugins]
    return "".join((_SETTINGS.format(port=port), *sites, *tables))


def _listener(port: int) -> socket.socket:
    try:
        return socket.create_server(("127.0.0.1", port), backlog=BACKLOG)
    except OSError as error:
        raise GatewayError(
            f"Port {port} can't be listened on ({error.strerror}); leave --port out for a free one."
        ) from error
