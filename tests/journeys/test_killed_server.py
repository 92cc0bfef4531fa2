"""Promises 1 and 2, across a kill -9 of the server."""

import asyncio

import httpx
from processes import GatewayProcess

from gateway.testing import Receiver

CLIENTS = 8
ORDERS_BEFORE_THE_KILL = 400


async def test_every_order_that_was_acknowledged_survives_a_kill_and_each_event_arrives(tmp_path):
    async with Receiver() as receiver, GatewayProcess(tmp_path) as gateway:
        key = (await gateway.json("keys", "create", "--name", "test"))["key"]
        await gateway.json("endpoints", "add", receiver.url, "--events", "package.created")
        acknowledged: dict[str, str] = {}
        enough = asyncio.Event()

        async def hand_in(client: int) -> None:
            async with httpx.AsyncClient(headers={"X-API-Key": key}, timeout=30) as http:
                number = 0
                while True:
                    number += 1
                    order_id = f"{client}-{number}"
                    order = {
                        "patient_name": "A. Smith",
                        "patient_address": "1 Ocean Dr",
                        "external_order_id": order_id,
                    }
                    url = f"{gateway.url}/api/webhook/orders"
                    answer = await http.post(url, json={"orders": [order]})
                    assert answer.status_code == 200, answer.text
                    acknowledged[order_id] = answer.json()["results"][0]["package_id"]
                    if len(acknowledged) >= ORDERS_BEFORE_THE_KILL:
                        enough.set()

        # Given a stream of orders
        clients = [asyncio.create_task(hand_in(number)) for number in range(CLIENTS)]
        async with asyncio.timeout(60):
            await enough.wait()
        # When the server is killed in the middle of it, and started again
        await gateway.kill()
        ends = await asyncio.gather(*clients, return_exceptions=True)
        assert all(isinstance(end, httpx.TransportError) for end in ends), ends
        await gateway.start()

        # Then every acknowledged order is there, once
        async with httpx.AsyncClient(headers={"X-API-Key": key}, timeout=30) as http:
            for order_id, package_id in acknowledged.items():
                url = f"{gateway.url}/api/packages/search"
                found = (await http.post(url, json={"external_order_id": order_id})).json()
                assert [each["id"] for each in found["packages"]] == [package_id]

        # And each event arrives at least once, under one id
        async def all_arrived() -> None:
            while True:
                told = {each.json()["data"]["package_id"] for each in receiver.received}
                if told >= set(acknowledged.values()):
                    return
                await asyncio.sleep(0.2)

        async with asyncio.timeout(30):
            await all_arrived()
        per_event: dict[str, set[str]] = {}
        for webhook in receiver.received:
            said = webhook.json()
            per_event.setdefault(said["data"]["package_id"], set()).add(said["id"])
        assert all(len(ids) == 1 for ids in per_event.values())
        assert await gateway.stop() == 0
