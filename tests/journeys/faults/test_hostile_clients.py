"""Clients without a key hold connections, send endless heads and bodies: orders go on."""

import asyncio
import contextlib
import sys

import pytest
from journeys.faults.experiment import UNHURRIED_SECONDS, Experiment
from raw_http import RawClient

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="several addresses of loopback"),
]

ATTACKER = "127.0.0.66"
HTTP = "[http]\nheader_timeout_seconds = 2\nbody_timeout_seconds = 2\n"
ORDERS_MEANWHILE = 100


async def slow_head(client):
    await client.send("GET / HTTP/1.1\r\nX-Slow: ")
    while True:
        await client.send("a")
        await asyncio.sleep(0.5)


async def endless_head(client):
    await client.send("GET / HTTP/1.1\r\n")
    while True:
        await client.send(b"X-More: " + b"a" * 8000 + b"\r\n")


async def endless_body(client):
    await client.send(
        "POST /api/webhook/orders HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n"
    )
    while True:
        await client.send(b"a" * 100)
        await asyncio.sleep(0.2)


async def attack(url, misbehave):
    """Misbehave until that is ended, on a new connection whenever one is closed."""
    while True:
        with contextlib.suppress(OSError):
            client = await RawClient.open(url, ATTACKER)
            try:
                await misbehave(client)
            finally:
                client.reset()
        await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("misbehave", "fault", "done"),
    [
        (slow_head, "slowloris", "150 clients that never end their head"),
        (endless_head, "header flood", "150 clients that send headers without end"),
        (endless_body, "endless bodies", "150 clients that send bodies that never end"),
    ],
    ids=["slowloris", "header-flood", "endless-bodies"],
)
async def test_hostile_clients_refuse_nobody_else_an_order(tmp_path, note, misbehave, fault, done):
    async with Experiment(tmp_path, timeout_seconds=UNHURRIED_SECONDS, more=HTTP) as experiment:
        await experiment.under_load()
        attackers = [
            asyncio.create_task(attack(experiment.gateway.url, misbehave)) for _ in range(150)
        ]
        await experiment.load.more(ORDERS_MEANWHILE)
        experiment.mending()
        for each in attackers:
            each.cancel()
        await asyncio.gather(*attackers, return_exceptions=True)

        row = await experiment.verdict(fault, done)
    assert experiment.load.refusals == {}
    assert (row.exhausted, row.duplicates) == (0, 0)
    note(row)
