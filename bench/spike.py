"""The yardstick of an order's cost: the least that takes an order in and delivers its event.

A process of its own: ``spike.py DATABASE-URL SINK-URL`` prints its port and serves until its
standard input ends. It keeps an order as durably as the gateway does (sealed, indexed, known by
its id, committed before the answer) and sends a signed event to one endpoint, born claimed. It
has no rate limits, plugins, audit, masking, breaker, retries or log. SQLite has one writer thread
that commits queued writes together; PostgreSQL runs one statement a transaction.
"""

import asyncio
import hashlib
import hmac
import json
import os
import queue
import socket
import sqlite3
import sys
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final, Protocol

import asyncpg
import msgspec
import uvicorn
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from litestar import Litestar, Request, Response, post
from loops import run
from pyreqwest.client import Client, ClientBuilder

KEY: Final = "spike-key"
_LEASE_MS: Final = 60_000
_MOST_A_COMMIT: Final = 500
_TABLES: Final = (
    "keys(digest {bytes} PRIMARY KEY, account TEXT)",
    (
        "packages(account TEXT, id TEXT, status TEXT, site TEXT, source TEXT, created BIGINT,"
        " order_index {bytes}, rx {bytes}, phone {bytes}, payload {bytes},"
        " PRIMARY KEY (account, id))"
    ),
    (
        "events(seq {serial} PRIMARY KEY, id TEXT UNIQUE, account TEXT, type TEXT, subject TEXT,"
        " at BIGINT, data {bytes})"
    ),
    (
        "deliveries(account TEXT, id TEXT, dest TEXT, event TEXT, state TEXT, attempts INTEGER,"
        " due BIGINT, lease TEXT, PRIMARY KEY (account, id))"
    ),
    "attempts(seq {serial} PRIMARY KEY, delivery TEXT, at BIGINT, ms INTEGER, status INTEGER)",
)
_INDEXES: Final = (
    "CREATE UNIQUE INDEX u ON packages(order_index)",
    "CREATE INDEX r ON packages(rx)",
    "CREATE INDEX ph ON packages(phone)",
    "CREATE INDEX es ON events(subject, seq)",
    "CREATE INDEX dd ON deliveries(dest, due) WHERE state = 'pending'",
    "CREATE INDEX de ON deliveries(event)",
    "CREATE INDEX ad ON attempts(delivery)",
)
_STORE: Final = """WITH p AS (
  INSERT INTO packages VALUES ('a', $1, 'created', 'main', 'api', $2, $3, $4, $5, $6)
  ON CONFLICT (order_index) DO NOTHING RETURNING id),
e AS (INSERT INTO events (id, account, type, subject, at, data)
  SELECT $7, 'a', 'package.created', $1, $2, $8 FROM p RETURNING id)
INSERT INTO deliveries SELECT 'a', $9, 'd', $7, 'pending', 0, $2 + $10, 'me' FROM e RETURNING id"""
_SETTLE: Final = """WITH d AS (
  UPDATE deliveries SET state = 'delivered', attempts = 1, lease = NULL
  WHERE account = 'a' AND id = $1 RETURNING id)
INSERT INTO attempts (delivery, at, ms, status) SELECT id, $2, $3, $4 FROM d"""


class New(msgspec.Struct, frozen=True):
    """What one order stores."""

    package: str
    event: str
    delivery: str
    at: int
    order_index: bytes
    rx: bytes
    phone: bytes
    payload: bytes
    data: bytes


class Storage(Protocol):
    """Where orders are kept."""

    async def knows(self, digest: bytes) -> bool:
        """Look a key up."""

    async def store(self, new: New) -> bool:
        """Store an order with its event and a claimed delivery; False where it is known."""

    async def settle(self, delivery: str, at: int, ms: int, status: int) -> None:
        """Store an attempt that delivered."""


class InSqlite:
    """A read in the loop's thread; a writer thread that commits all that waits at once."""

    def __init__(self, path: str, loop: asyncio.AbstractEventLoop) -> None:
        self._path, self._loop = path, loop
        self._reader = self._connect()
        for table in _TABLES:
            kinds = {"bytes": "BLOB", "serial": "INTEGER"}
            self._reader.execute("CREATE TABLE " + table.format(**kinds))
        for index in _INDEXES:
            self._reader.execute(index)
        self._reader.execute("INSERT INTO keys VALUES (?, 'a')", (_digest(KEY),))
        self._waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=self._write, daemon=True).start()

    async def knows(self, digest: bytes) -> bool:
        """Look a key up."""
        found = self._reader.execute("SELECT account FROM keys WHERE digest = ?", (digest,))
        return found.fetchone() is not None

    async def store(self, new: New) -> bool:
        """Store an order with its event and a claimed delivery."""

        def write(to: sqlite3.Connection) -> bool:
            known = to.execute("SELECT id FROM packages WHERE order_index = ?", (new.order_index,))
            if known.fetchone():
                return False
            package = (new.package, new.at, new.order_index, new.rx, new.phone, new.payload)
            to.execute(
                "INSERT INTO packages VALUES ('a', ?, 'created', 'main', 'api', ?, ?, ?, ?, ?)",
                package,
            )
            to.execute(
                "INSERT INTO events (id, account, type, subject, at, data)"
                " VALUES (?, 'a', 'package.created', ?, ?, ?)",
                (new.event, new.package, new.at, new.data),
            )
            to.execute(
                "INSERT INTO deliveries VALUES ('a', ?, 'd', ?, 'pending', 0, ?, 'me')",
                (new.delivery, new.event, new.at + _LEASE_MS),
            )
            return True

        return bool(await self._submit(write))

    async def settle(self, delivery: str, at: int, ms: int, status: int) -> None:
        """Store an attempt that delivered."""

        def write(to: sqlite3.Connection) -> None:
            to.execute(
                "UPDATE deliveries SET state = 'delivered', attempts = 1, lease = NULL"
                " WHERE account = 'a' AND id = ?",
                (delivery,),
            )
            to.execute(
                "INSERT INTO attempts (delivery, at, ms, status) VALUES (?, ?, ?, ?)",
                (delivery, at, ms, status),
            )

        await self._submit(write)

    def _submit(self, write: Callable[[sqlite3.Connection], Any]) -> asyncio.Future[Any]:
        done: asyncio.Future[Any] = self._loop.create_future()
        self._waiting.put((write, done))
        return done

    def _write(self) -> None:
        connection = self._connect()
        while True:
            batch = [self._waiting.get()]
            with suppress(queue.Empty):
                while len(batch) < _MOST_A_COMMIT:
                    batch.append(self._waiting.get_nowait())
            connection.execute("BEGIN IMMEDIATE")
            found = [(done, write(connection)) for write, done in batch]
            connection.execute("COMMIT")
            self._loop.call_soon_threadsafe(_answer, found)

    def _connect(self) -> sqlite3.Connection:
        made = sqlite3.connect(
            self._path, check_same_thread=False, isolation_level=None, cached_statements=256
        )
        made.execute("PRAGMA journal_mode = WAL")
        made.execute("PRAGMA synchronous = FULL")
        return made


def _answer(found: list[tuple[asyncio.Future[Any], Any]]) -> None:
    for done, value in found:
        if not done.done():
            done.set_result(value)


class InPostgres:
    """One statement a transaction."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    @classmethod
    async def open(cls, url: str) -> "InPostgres":
        """Connect, and make the tables."""
        pool = await asyncpg.create_pool(url, min_size=4, max_size=16)
        for table in _TABLES:
            kinds = {"bytes": "BYTEA", "serial": "BIGSERIAL"}
            await pool.execute("CREATE TABLE " + table.format(**kinds))
        for index in _INDEXES:
            await pool.execute(index)
        await pool.execute("INSERT INTO keys VALUES ($1, 'a')", _digest(KEY))
        return cls(pool)

    async def knows(self, digest: bytes) -> bool:
        """Look a key up."""
        found = await self._pool.fetchval("SELECT account FROM keys WHERE digest = $1", digest)
        return found is not None

    async def store(self, new: New) -> bool:
        """Store an order with its event and a claimed delivery."""
        stored = await self._pool.fetchval(
            _STORE,
            new.package,
            new.at,
            new.order_index,
            new.rx,
            new.phone,
            new.payload,
            new.event,
            new.data,
            new.delivery,
            _LEASE_MS,
        )
        return stored is not None

    async def settle(self, delivery: str, at: int, ms: int, status: int) -> None:
        """Store an attempt that delivered."""
        await self._pool.execute(_SETTLE, delivery, at, ms, status)


class Order(msgspec.Struct):
    """What is read of an order."""

    patient_name: str
    patient_address: str
    external_order_id: str
    rx_number: str
    patient_phone: str


class Orders(msgspec.Struct):
    """A request."""

    orders: list[Order]


def application(storage: Storage, client: Client, sink: str) -> Litestar:
    """Return the application."""
    decoder = msgspec.json.Decoder(Orders)
    cipher = AESGCM(b"k" * 32)
    running: set[asyncio.Task[None]] = set()

    def seal(value: bytes, name: str) -> bytes:
        nonce = os.urandom(12)
        return nonce + cipher.encrypt(nonce, value, name.encode())

    async def deliver(new: New, body: bytes) -> None:
        sent_at = str(int(time.time()))
        signature = hmac.new(b"s", f"{sent_at}.".encode() + body, "sha256").hexdigest()
        began = time.monotonic()
        answer = await (
            client.post(sink)
            .header("content-type", "application/json")
            .header("x-scriptrun-signature", f"t={sent_at},v1={signature}")
            .body_bytes(body)
            .build()
            .send()
        )
        took = int((time.monotonic() - began) * 1000)
        await storage.settle(new.delivery, _now_ms(), took, answer.status)

    @post("/api/webhook/orders", status_code=200)
    async def take(request: Request[Any, Any, Any]) -> Response[bytes]:
        if not await storage.knows(_digest(request.headers.get("x-api-key", ""))):
            return Response(b"{}", status_code=401)
        order = decoder.decode(await request.body()).orders[0]
        package, event, delivery = (f"{kind}_{uuid.uuid4().hex}" for kind in ("pkg", "evt", "dlv"))
        now = _now_ms()
        about = {
            "package_id": package,
            "rx_number": order.rx_number,
            "external_order_id": order.external_order_id,
        }
        body = msgspec.json.encode(
            {"id": event, "event": "package.created", "created_at": now, "data": about}
        )
        new = New(
            package,
            event,
            delivery,
            now,
            _index(order.external_order_id),
            _index(order.rx_number),
            _index(order.patient_phone),
            seal(msgspec.json.encode(order), package),
            seal(body, event),
        )
        if await storage.store(new):
            task = asyncio.create_task(deliver(new, body))
            running.add(task)
            task.add_done_callback(running.discard)
        given = {"created": 1, "results": [{"package_id": package}]}
        return Response(msgspec.json.encode(given), media_type="application/json")

    return Litestar([take], openapi_config=None, logging_config=None)


async def main(database: str, sink: str) -> None:
    """Serve until standard input ends."""
    loop = asyncio.get_running_loop()
    storage: Storage
    if database.startswith("postgresql"):
        storage = await InPostgres.open(database)
    else:
        storage = InSqlite(database, loop)
    client = ClientBuilder().timeout(timedelta(seconds=15)).build()
    listening = socket.create_server(("127.0.0.1", 0))
    print(json.dumps({"port": listening.getsockname()[1], "key": KEY}), flush=True)
    app = application(storage, client, sink)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    await asyncio.to_thread(sys.stdin.read)
    server.should_exit = True
    await serving


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def _index(value: str) -> bytes:
    return hmac.new(b"i", value.encode(), "sha256").digest()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


if __name__ == "__main__":
    run(main(*sys.argv[1:]))
