"""Attacks without a key against a real ``gateway serve``: it stays ready and bounded.

Each attack is bounded in count, so that a slow machine only takes longer.
"""

import asyncio
import contextlib
import os
import sys
from collections import Counter
from pathlib import Path

import httpx
import psutil
import pytest
from processes import TOML, GatewayProcess
from raw_http import RawClient, raw_client, until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        sys.platform != "linux", reason="several addresses of loopback, /proc and its descriptors"
    ),
]

ATTACKER = "127.0.0.66"
DEADLINES = """
[http]
header_timeout_seconds = 2
body_timeout_seconds = 2
"""
MEMORY_BYTES = 100_000_000
# Eight that read, the two that write and the one of point reads: a file and its -wal each, and
# one -shm for all.
DATABASE_FILES = 2 * 11 + 1


class Watch:
    """The process before and after an attack: memory, descriptors, readiness."""

    def __init__(self, gateway: GatewayProcess) -> None:
        self.gateway = gateway
        self.process = psutil.Process(gateway._process.pid)
        self.memory = self.process.memory_info().rss
        self.descriptors = self.process.num_fds()
        self.opened = self.open_now()

    def open_now(self) -> Counter[str]:
        """Return what the process has open: sockets, pipes and files by their path."""
        found = Counter()
        for entry in Path(f"/proc/{self.process.pid}/fd").iterdir():
            with contextlib.suppress(OSError):  # it was closed just now
                found[str(entry.readlink()).partition(":[")[0]] += 1
        return found

    def left_open(self) -> Counter[str]:
        """Return what is open beyond what was before the attack.

        The database's own connections, which open when they are first needed, may be open.
        """
        more = self.open_now() - self.opened
        files = [name for name in more if name.endswith(("gateway.db", "-wal", "-shm"))]
        if sum(self.open_now()[name] for name in files) <= DATABASE_FILES:
            for name in files:
                del more[name]
        return more

    async def check_ready(self) -> None:
        async with httpx.AsyncClient(timeout=30) as client:
            answer = await client.get(f"{self.gateway.url}/health/ready")
        assert answer.status_code == 200, answer.text

    async def check_recovered(self) -> None:
        await self.check_ready()
        assert self.process.memory_info().rss - self.memory < MEMORY_BYTES
        await until(lambda: not self.left_open(), 60)
        log = self.gateway.log.read_text()
        assert "Traceback" not in log
        assert "Too many open files" not in log


@pytest.fixture
async def watch(tmp_path):
    async with GatewayProcess(tmp_path, TOML + DEADLINES) as gateway:
        watch = Watch(gateway)
        await watch.check_ready()
        yield watch


async def open_many(url: str, number: int, first: bytes = b"") -> list[RawClient]:
    """Open connections one after the other; those that are refused count, too."""
    clients = []
    for _ in range(number):
        client = await RawClient.open(url, ATTACKER)
        clients.append(client)
        if first:
            with contextlib.suppress(OSError):
                await client.send(first)
    return clients


async def close(clients: list[RawClient]) -> None:
    for client in clients:
        client.reset()
    await asyncio.sleep(0)


async def test_1100_idle_connections_harm_only_their_own_address(watch):
    clients = await open_many(watch.gateway.url, 1100)
    await watch.check_ready()
    # max_connections_per_address is 200; the ones that made room are closed a second later.
    await until(lambda: watch.process.num_fds() < watch.descriptors + 250)
    # A new connection of the attacker's own address is served, too.
    async with raw_client(watch.gateway.url, ATTACKER) as client:
        await client.send("GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = await client.answer()
    await close(clients)

    assert answer.status == 200
    await watch.check_recovered()


async def test_slow_heads_are_closed_at_their_deadline(watch):
    clients = await open_many(watch.gateway.url, 300, b"GET / HTTP/1.1\r\nX-Slow: ")
    dripping = asyncio.create_task(drip(clients))
    await watch.check_ready()
    closed = [await client.is_closed(60) for client in clients[-100:]]
    dripping.cancel()
    await close(clients)

    assert all(closed)
    await watch.check_recovered()


async def drip(clients: list[RawClient]) -> None:
    while True:
        for client in clients:
            with contextlib.suppress(OSError):
                await client.send(b"x")
        await asyncio.sleep(0.5)


async def test_a_header_without_end_is_cut_off_early(watch):
    async def flood() -> int:
        sent = 0
        async with raw_client(watch.gateway.url, ATTACKER) as client:
            await client.send("GET / HTTP/1.1\r\nX-Large: ")
            with contextlib.suppress(OSError):
                while sent < 200_000_000:
                    await client.send(b"x" * 65_536)
                    sent += 65_536
        return sent

    sent = await asyncio.gather(*(flood() for _ in range(8)))
    await watch.check_recovered()

    assert max(sent) < 20_000_000  # what fits into the sockets' buffers


async def test_10000_headers_are_refused(watch):
    for _ in range(20):
        async with raw_client(watch.gateway.url, ATTACKER) as client:
            with contextlib.suppress(OSError):
                await client.send("GET / HTTP/1.1\r\n" + "X: y\r\n" * 10_000 + "\r\n")
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                assert (await client.answer()).status == 431
    await watch.check_recovered()


@pytest.mark.parametrize("path", ["/api/webhook/orders", "/nowhere", "/health/live"])
async def test_bodies_without_end_are_not_kept(watch, path):
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 900000000\r\n\r\n"
    clients = await open_many(watch.gateway.url, 150, head.encode() + b"x" * 60_000)
    await watch.check_ready()
    assert watch.process.memory_info().rss - watch.memory < MEMORY_BYTES
    closed = [await client.is_closed(60) for client in clients[-50:]]
    await close(clients)

    assert all(closed)
    await watch.check_recovered()


async def test_a_flood_of_wrong_keys_ends_in_429_and_leaves_a_used_key_alone(watch):
    key = (await watch.gateway.json("keys", "create", "--name", "till", "--scope", "all"))["key"]
    url = watch.gateway.url
    async with httpx.AsyncClient(timeout=60) as client:
        assert (await client.get(f"{url}/api/packages", headers={"X-API-Key": key})).is_success

        async def guess() -> list[int]:
            statuses = []
            for _ in range(20):
                headers = {"X-API-Key": f"sk_live_{os.urandom(24).hex()}"}
                answer = await client.get(f"{url}/api/packages", headers=headers)
                statuses.append(answer.status_code)
            return statuses

        guesses = [s for each in await asyncio.gather(*(guess() for _ in range(16))) for s in each]
        mine = await client.get(f"{url}/api/packages", headers={"X-API-Key": key})

    assert set(guesses) == {401, 429}
    assert guesses.count(429) > guesses.count(401)
    assert mine.status_code == 200
    await watch.check_recovered()


async def test_clients_that_hang_up_in_mid_body_leave_no_traceback(watch):
    key = (await watch.gateway.json("keys", "create", "--name", "till", "--scope", "all"))["key"]
    head = (
        f"POST /api/webhook/orders HTTP/1.1\r\nHost: x\r\nX-API-Key: {key}\r\n"
        'Content-Type: application/json\r\nContent-Length: 500\r\n\r\n{"orders'
    )
    for _ in range(50):
        client = await RawClient.open(watch.gateway.url, ATTACKER)
        await client.send(head)
        client.reset()
    await until(lambda: watch.gateway.log.read_text().count("status=499") == 50, 60)

    assert "status=500" not in watch.gateway.log.read_text()
    await watch.check_recovered()
