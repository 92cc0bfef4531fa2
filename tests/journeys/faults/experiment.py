"""An experiment: a gateway under load, something that breaks, and what is true afterwards.

::

    async with Experiment(tmp_path) as experiment:
        await experiment.under_load()
        await experiment.gateway.kill()
        await experiment.gateway.start()
        row = await experiment.verdict("the server is killed", "kill -9, started again")

Nothing here waits for a length of time: each step waits for what has to have happened.
"""

import asyncio
import json
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple, Self

import httpx
from journeys.faults.endpoints import Endpoint, late
from journeys.faults.load import Load
from processes import GatewayProcess
from sqlalchemy import func, select
from webhook_verifiers import run_verifier

from gateway.clock import Clock
from gateway.settings import load_settings
from gateway.storage.database import Database
from gateway.storage.schema import attempts, deliveries, events, packages
from gateway.testing import GatewayHarness

PATIENCE_SECONDS: Final = 120.0
ORDERS_BEFORE: Final = 60
SLOW_SECONDS: Final = 0.1
_LOOK_AGAIN_SECONDS: Final = 0.1

TOML: Final = """
[gateway]
port = 0
data_dir = "{data}"
[delivery]
allow_http = true
allow_networks = {networks}
timeout_seconds = {timeout_seconds}
lease_margin_seconds = {lease_margin_seconds}
breaker_pauses_seconds = [1]
{delivery}
[limits]
orders_requests_per_minute = 1000000
orders_per_hour = 1000000
reads_per_minute = 1000000
[plugins.json_api]
[plugins.webhooks]
[database]
url = "{database}"
"""
# Short waits, and no end within an experiment: whatever is mended is delivered to.
# A machine that stands still for less makes no duplicate: for experiments that expect none at all.
UNHURRIED_SECONDS: Final = 60.0
RETRIES: Final = "retry_schedule_seconds = [0.2, 0.3, 0.5, 1, 1, 1, 2, 2, 2, 2, 5, 5, 5, 5, 5]"


@dataclass(frozen=True, slots=True)
class Row:
    """What an experiment found. ``stored`` are packages; ``events`` those to be delivered.

    ``delivered`` and ``exhausted`` count deliveries; ``duplicates`` webhooks that came though
    they had been acknowledged; ``seconds`` is the time from the start of mending until orders
    are accepted and the last webhook of what had been accepted before has come.
    """

    fault: str
    done: str
    accepted: int
    stored: int
    events: int
    delivered: int
    exhausted: int
    duplicates: int
    seconds: float


class Stored(NamedTuple):
    """What the database holds; all but ``packages`` by event id.

    ``answers_due`` are the good answers that an endpoint may have given: one, and one for
    each that didn't come in time.
    """

    packages: set[str]
    events: dict[str, str]
    states: dict[str, str]
    answers_due: Counter[str]


class ClockedGateway(GatewayProcess):
    """A gateway in this process, by a clock of ours; its commands are still processes."""

    def __init__(self, folder: Path, toml: str, clock: Clock) -> None:
        super().__init__(folder, toml)
        self._clock = clock
        self._harness: GatewayHarness | None = None

    async def start(self) -> None:
        self._harness = GatewayHarness(load_settings(self.config, {}), self._clock)
        await self._harness.__aenter__()
        self.url = self._harness.url

    async def stop(self) -> int | None:
        if self._harness is not None:
            await self._harness.__aexit__(None, None, None)
        return 0


class Experiment:
    """A gateway of real processes, endpoints that it tells, and a load of orders.

    Without ``redis_url`` it is one ``gateway serve``; with it, a server and ``workers``. With
    a ``clock`` it runs in this process instead, and reads the time there.
    """

    def __init__(
        self,
        folder: Path,
        *endpoints: Endpoint,
        database_url: str | None = None,
        redis_url: str | None = None,
        workers: int = 2,
        words: Sequence[str] = ("serve",),
        delivery: str = RETRIES,
        networks: Sequence[str] = ("127.0.0.0/8",),
        clock: Clock | None = None,
        timeout_seconds: float = 3,
        lease_margin_seconds: float = 45,
        before: Sequence[str] = (),
        more: str = "",
    ) -> None:
        data = folder / "data"
        data.mkdir(exist_ok=True)
        self.database_url = database_url or f"sqlite+aiosqlite:///{data / 'gateway.db'}"
        toml = TOML.format(
            data=data,
            database=self.database_url,
            delivery=delivery,
            timeout_seconds=timeout_seconds,
            lease_margin_seconds=lease_margin_seconds,
            networks=json.dumps(networks),
        )
        toml += more
        if redis_url is not None:
            toml += f'[redis]\nurl = "{redis_url}"\n'
        # One that takes its time: there is always something on its way when things break.
        slow = Endpoint("slow", signing="scriptrun", fault=late(SLOW_SECONDS), accepts=True)
        self.endpoints = endpoints or (Endpoint("quick"), slow)
        self.gateway = (
            GatewayProcess(folder, toml, words, before=before)
            if clock is None
            else ClockedGateway(folder, toml, clock)
        )
        self.workers = [
            GatewayProcess(_made(folder / f"worker{number}"), toml, ("worker",))
            for number in range(workers if redis_url is not None else 0)
        ]
        self.load: Load
        self._imported = 0
        self._mending_at = 0.0
        self._before_mending: set[str] = set()
        self._shown_as_exhausted: dict[str, list[str]] = {}
        self._database: Database
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Start everything and add the endpoints."""
        async with AsyncExitStack() as stack:
            for endpoint in self.endpoints:
                await stack.enter_async_context(endpoint)
            await stack.enter_async_context(self.gateway)
            self._database = Database(self.database_url, pool_size=1)
            stack.push_async_callback(self._database.close)
            stack.push_async_callback(self._stop_workers)
            issued, *_ = await asyncio.gather(
                self.gateway.json("keys", "create", "--name", "test", "--scope", "all"),
                *(worker.start() for worker in self.workers),
            )
            key = issued["key"]
            for endpoint in self.endpoints:
                await self._add(endpoint, key)
            self.load = Load(lambda: self.gateway.url, key)
            self._open = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop everything."""
        await self._open.aclose()

    async def _stop_workers(self) -> None:
        await asyncio.gather(*(worker.stop() for worker in self.workers))

    async def _add(self, endpoint: Endpoint, key: str) -> None:
        sent = {"url": endpoint.url, "format": endpoint.signing, "events": ["package.created"]}
        async with httpx.AsyncClient(headers={"X-API-Key": key}, timeout=PATIENCE_SECONDS) as http:
            try:
                answer = await http.post(f"{self.gateway.url}/api/webhooks/endpoints", json=sent)
            except httpx.TransportError as error:
                error.add_note(f"the gateway's log: {self.gateway.log.read_text()[-2000:]}")
                raise
        assert answer.status_code == 201, answer.text
        endpoint.id, endpoint.secret = answer.json()["id"], answer.json()["secret"]

    async def under_load(self) -> None:
        """Begin to hand orders in; returns in the midst of it, with some delivered."""
        self.load.start()
        await self.load.more(ORDERS_BEFORE)
        await self.load.until(lambda: all(each.acknowledged for each in self.endpoints))

    def mending(self) -> None:
        """Say that what is broken is being mended: recovering is timed from here."""
        self._mending_at = time.monotonic()
        self._before_mending = self._accepted()

    async def caught_up(self) -> None:
        """Wait until everything that was accepted before now has been delivered everywhere."""
        known = self._accepted()
        await self.load.until(
            lambda: all(known <= endpoint.told_of() for endpoint in self.endpoints)
        )

    def _accepted(self) -> set[str]:
        return {each for ids in self.load.packages.values() for each in ids}

    async def verdict(
        self, fault: str, done: str, *, orders_after: int = 20, imported: int = 0
    ) -> Row:
        """Take ``orders_after`` more orders, wait until all is quiet, check, and count.

        ``imported`` packages came another way than by the load.
        """
        self._imported = imported
        await self.load.more(orders_after)
        await self.load.stop()
        await self.quiet()
        rows = [await self.row_of(each, fault, done) for each in self.endpoints]
        return replace(
            rows[0],
            delivered=sum(row.delivered for row in rows),
            exhausted=sum(row.exhausted for row in rows),
            duplicates=sum(row.duplicates for row in rows),
            seconds=max(row.seconds for row in rows),
        )

    async def quiet(self) -> None:
        """Wait until no delivery is pending; then look at what came, and what was given up."""
        pending = select(func.count()).where(deliveries.c.state == "pending")
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                if not await self._count(pending):
                    break
                await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        came = [webhook for endpoint in self.endpoints for webhook in endpoint.webhooks()]
        assert False not in await asyncio.to_thread(run_verifier, "python", came)
        listing = ("deliveries", "list", "--state", "exhausted", "--limit", "1000")
        self._shown_as_exhausted = defaultdict(list)
        for each in await self.gateway.json(*listing):
            self._shown_as_exhausted[each["endpoint_id"]].append(each["event_id"])

    async def row_of(self, endpoint: Endpoint, fault: str, done: str) -> Row:
        """Check that one endpoint was told of everything, and count."""
        stored = await self._stored(endpoint)
        accepted = [next(iter(ids)) for ids in self.load.packages.values()]
        # Each order became one package, however often it was handed in; nothing else is there
        assert all(len(ids) == 1 for ids in self.load.packages.values())
        assert stored.packages >= set(accepted)
        assert len(accepted) == len(stored.packages) - self._imported
        # Each package has its event, and each event a delivery that is over
        assert sorted(stored.events.values()) == sorted(stored.packages)
        assert stored.states.keys() == stored.events.keys()
        assert set(stored.states.values()) <= {"delivered", "exhausted"}
        # What counts as delivered did arrive, under the id of its event, and well signed
        delivered = {event for event, state in stored.states.items() if state == "delivered"}
        assert delivered <= endpoint.acknowledged.keys()
        assert endpoint.package_of.items() <= stored.events.items()
        # What was given up is shown to whoever asks
        given_up = sorted(stored.states.keys() - delivered)
        assert sorted(self._shown_as_exhausted[endpoint.id]) == given_up
        return Row(
            fault,
            done,
            accepted=len(accepted) + self._imported,
            stored=len(stored.packages),
            events=len(stored.events),
            delivered=len(delivered),
            exhausted=len(given_up),
            duplicates=sum((endpoint.acknowledged - stored.answers_due).values()),
            seconds=self._recovered_in(endpoint, stored),
        )

    def _recovered_in(self, endpoint: Endpoint, stored: Stored) -> float:
        if not self._mending_at:
            return 0.0
        moments = [
            moment
            for event, moment in endpoint.first_at.items()
            if stored.events[event] in self._before_mending
        ]
        moments += [each for each in self.load.answered_at if each > self._mending_at][:1]
        return max([*moments, self._mending_at]) - self._mending_at

    async def _stored(self, endpoint: Endpoint) -> Stored:
        async with self._database.read() as connection:
            found = await connection.execute(select(packages.c.id))
            of_packages = set(found.scalars())
            created = select(events.c.id, events.c.subject).where(
                events.c.type == "package.created"
            )
            of_events = {row.id: row.subject for row in await connection.execute(created)}
            carried = select(deliveries.c.event_id, deliveries.c.state).where(
                deliveries.c.destination_id == endpoint.id
            )
            rows = (await connection.execute(carried)).all()
            timed_out = select(attempts.c.event_id).where(
                attempts.c.destination_id == endpoint.id, attempts.c.error == "timeout"
            )
            late = Counter((await connection.execute(timed_out)).scalars())
        assert len({row.event_id for row in rows}) == len(rows)  # one delivery an event
        states = {row.event_id: row.state for row in rows}
        return Stored(of_packages, of_events, states, Counter(states.keys()) + late)

    async def _count(self, query) -> int:
        async with self._database.read() as connection:
            return (await connection.execute(query)).scalar_one()


def _made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder
