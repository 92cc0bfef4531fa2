"""The same code on PostgreSQL and Redis, with workers of their own, as real processes."""

import asyncio
import os

import httpx
import pytest
from processes import TOML, GatewayProcess
from scraping import Scraped
from waiting import PATIENCE_SECONDS, until

from gateway.testing import Receiver

pytestmark = pytest.mark.slow

# A vendor's job that keeps the event loop to itself.
GREEDY = """
import time

import msgspec
from gateway.plugin import API_VERSION, Job, hookimpl


class Greedy:
    api_version = API_VERSION

    class Settings(msgspec.Struct, frozen=True):
        pass

    def __init__(self, settings, gateway):
        pass

    @hookimpl
    def jobs(self):
        return [Job("greedy", self.block, every_seconds=1)]

    async def block(self):
        time.sleep(0.5)
"""


@pytest.fixture
def toml(postgres_url, redis_url):
    return f'{TOML}\n[database]\nurl = "{postgres_url}"\n[redis]\nurl = "{redis_url}"\n'


async def _orders(gateway, key, count, start=0):
    async with httpx.AsyncClient(headers={"X-API-Key": key}, timeout=PATIENCE_SECONDS) as http:
        for first in range(start, start + count, 50):
            orders = [
                {"patient_name": f"P. {number}", "patient_address": "1 Ocean Dr"}
                for number in range(first, min(first + 50, start + count))
            ]
            answer = await http.post(f"{gateway.url}/api/webhook/orders", json={"orders": orders})
            assert answer.status_code == 200, answer.text


@pytest.mark.long
async def test_two_workers_carry_what_one_server_takes_in_each_event_once(tmp_path, toml):
    (tmp_path / "worker").mkdir()
    shared = toml.replace("port = 0", f'port = 0\ndata_dir = "{tmp_path / "data"}"')
    async with (
        Receiver() as receiver,
        GatewayProcess(tmp_path, shared) as gateway,
        GatewayProcess(tmp_path / "worker", shared, ("worker", "--processes", "1")),
        GatewayProcess(tmp_path / "worker", shared, ("worker", "--threads", "1")),
    ):
        key = (await gateway.json("keys", "create", "--name", "test", "--scope", "all"))["key"]
        for number in range(3):
            await gateway.json("endpoints", "add", f"{receiver.url}/{number}")

        await _orders(gateway, key, 200)
        received = await asyncio.wait_for(receiver.wait_for(600), 60)
        async with httpx.AsyncClient(timeout=PATIENCE_SECONDS) as http:
            ready = (await http.get(f"{gateway.url}/health/ready")).json()

    assert ready["checks"]["engine"] == {"ok": True, "detail": "2 workers are running"}
    for number in range(3):
        ids = [each.json()["id"] for each in received if each.path == f"/{number}"]
        assert len(ids) == len(set(ids)) == 200


@pytest.fixture
def greedy_plugin(tmp_path, monkeypatch):
    """A plugin that is installed for the processes of a test."""
    site = tmp_path / "site"
    info = site / "greedy-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "gateway_greedy.py").write_text(GREEDY, "utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: greedy\nVersion: 1.0\n", "utf-8")
    entry = "[gateway.plugins]\ngreedy = gateway_greedy:Greedy\n"
    (info / "entry_points.txt").write_text(entry, "utf-8")
    paths = [str(site), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    return "[plugins.greedy]\n"


async def test_a_worker_reports_what_blocks_its_event_loop(tmp_path, toml, greedy_plugin):
    shared = toml.replace("port = 0", f'port = 0\ndata_dir = "{tmp_path / "data"}"')
    shared += greedy_plugin
    (tmp_path / "worker").mkdir()
    async with (
        GatewayProcess(tmp_path, shared) as gateway,
        GatewayProcess(tmp_path / "worker", shared, ("worker",)) as worker,
        httpx.AsyncClient(timeout=PATIENCE_SECONDS) as http,
    ):

        async def blocks() -> float | None:
            page = Scraped((await http.get(f"{gateway.url}/metrics")).text)
            places = page.labelled("gateway_event_loop_blocks_total", "place")
            return places.get("gateway_greedy:Greedy.block")

        assert await until(blocks) >= 1
        assert "gateway_greedy:Greedy.block" in worker.log.read_text()
        assert "gateway_greedy:Greedy.block" not in gateway.log.read_text()  # it runs no jobs


async def test_work_that_nobody_was_woken_for_is_found_by_the_sweep(tmp_path, toml, redis_server):
    shared = toml.replace("port = 0", f'port = 0\ndata_dir = "{tmp_path / "data"}"')
    (tmp_path / "worker").mkdir()
    async with Receiver() as receiver, GatewayProcess(tmp_path, shared) as gateway:
        key = (await gateway.json("keys", "create", "--name", "test", "--scope", "all"))["key"]
        await gateway.json("endpoints", "add", receiver.url)
        # Given wake-ups that were lost with all of Redis
        await _orders(gateway, key, 50)
        redis_server.flush()
        assert receiver.received == []
        # When a worker starts
        async with GatewayProcess(tmp_path / "worker", shared, ("worker",)):
            received = await asyncio.wait_for(receiver.wait_for(50), 30)

    assert len({each.json()["id"] for each in received}) == 50


async def test_a_worker_without_redis_or_on_sqlite_is_refused_with_a_reason(tmp_path, redis_url):
    process = GatewayProcess(tmp_path)
    code, _, err = await process.run("worker")
    assert (code, err.strip()) == (
        1,
        "gateway: A worker needs [redis] url; without Redis, gateway serve carries deliveries.",
    )

    process = GatewayProcess(tmp_path, f'{TOML}\n[redis]\nurl = "{redis_url}"\n')
    code, _, err = await process.run("worker")
    assert code == 1
    assert err.strip().splitlines()[-1].startswith("gateway: A worker needs PostgreSQL")


async def test_a_server_of_several_processes_shares_one_address_and_one_count_of_limits(
    tmp_path, toml
):
    limited = toml.replace("orders_requests_per_minute = 1000000", "orders_requests_per_minute = 5")
    async with GatewayProcess(tmp_path, limited, ("serve", "--workers", "2")) as gateway:
        key = (await gateway.json("keys", "create", "--name", "test", "--scope", "all"))["key"]
        orders = {"orders": [{"patient_name": "A. Smith", "patient_address": "1 Ocean Dr"}]}
        statuses = []
        for _ in range(8):
            async with httpx.AsyncClient(timeout=PATIENCE_SECONDS) as http:
                url = f"{gateway.url}/api/webhook/orders"
                answer = await http.post(url, json=orders, headers={"X-API-Key": key})
                statuses.append(answer.status_code)
        assert await gateway.stop() == 0

    assert statuses == [200] * 5 + [429] * 3


async def test_several_processes_on_memory_limits_are_refused_with_a_reason(tmp_path):
    code, out, err = await GatewayProcess(tmp_path).run("serve", "--workers", "2")

    assert (code, out) == (1, "")
    assert err.startswith("gateway: Each process counts limits in its own memory")
