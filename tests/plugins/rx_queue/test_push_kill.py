"""A gateway that is killed while its push writer writes: the same token, the next attempt, once."""

import asyncio
import json

import httpx
import pytest
from processes import TOML, GatewayProcess

from gateway.clock import SystemClock

pytestmark = pytest.mark.slow

PATIENCE_SECONDS = 60
KILLS = 2


class Pharmacy:
    """A strict pharmacy system behind a bridge: it writes a token once, and says nothing at first.

    The first ``silent`` requests are written, and never answered.
    """

    def __init__(self, silent):
        self.silent = silent
        self.jobs = []
        self.written = {}
        self.news = asyncio.Event()

    async def serve(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        size = int(head.partition("content-length:")[2].partition("\r\n")[0])
        job = json.loads(await reader.readexactly(size))
        self.jobs.append(job)
        self.written.setdefault(job["idempotency_token"], job["prescription"])
        self.news.set()
        if len(self.jobs) > self.silent:
            writer.write(b"HTTP/1.1 204 Said\r\n\r\n")
            await writer.drain()
        else:
            await reader.read()  # until the gateway is gone
        writer.close()

    async def wait_for(self, count):
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(self.jobs) < count:
                self.news.clear()
                await self.news.wait()


async def completed(client, url, queue_id):
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            found = (await client.get(f"{url}/api/rx/{queue_id}")).json()
            if found.get("status") == "completed":
                return found
            await asyncio.sleep(0.2)


async def test_a_gateway_killed_while_it_writes_writes_again_with_the_same_token(
    tmp_path, database_url, rx
):
    pharmacy = Pharmacy(silent=KILLS)
    bridge = await asyncio.start_server(pharmacy.serve, "127.0.0.1", 0)
    host, port = bridge.sockets[0].getsockname()
    toml = (
        TOML
        + f'[database]\nurl = "{database_url}"\n'
        + '[plugins.rx_queue]\nwriter = "http"\nlease_seconds = 3\n'
        + f'[plugins.rx_queue.http]\nurl = "http://{host}:{port}/"\nsecret = "s"\n'
        + 'allow_http = true\nallow_networks = ["127.0.0.0/8"]\n'
    )
    async with bridge, GatewayProcess(tmp_path, toml) as server:
        key = (await server.json("keys", "create", "--name", "emr", "--scope", "all"))["key"]
        async with httpx.AsyncClient(headers={"X-API-Key": key}) as client:
            sent = rx(medication__written_date=SystemClock().now().date().isoformat())
            answer = await client.post(f"{server.url}/api/rx", json=sent)
            queue_id = answer.json()["queueId"]
            for kill in range(KILLS):
                await pharmacy.wait_for(kill + 1)
                await server.kill()
                await server.start()
            found = await completed(client, server.url, queue_id)

    # Counted when it begins: no two attempts have one number.
    assert [each["attempt"] for each in pharmacy.jobs] == [1, 2, 3]
    assert list(pharmacy.written) == [f"{queue_id}-0"]
    assert found["attempts"] == KILLS + 1
    assert [each["why"] for each in found["history"]] == [
        "submitted",
        *["leased", "lease_ended"] * KILLS,
        "leased",
        "written",
    ]
