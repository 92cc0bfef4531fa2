"""What an endpoint missed is sent again: durable, complete, and each event once."""

import asyncio

import pytest
from waiting import PATIENCE_SECONDS

from gateway.testing import Receiver

PLUGINS = "[plugins.json_api]\n[plugins.webhooks]\n"
ENDPOINTS = "/api/webhooks/endpoints"


async def _hand_in(gateway, key, count):
    for first in range(0, count, 100):
        orders = [
            {"patient_name": f"P. {number}", "patient_address": "1 Ocean Dr"}
            for number in range(first, min(first + 100, count))
        ]
        answer = await gateway.post("/api/webhook/orders", key, {"orders": orders})
        assert answer.status_code == 200, answer.text


async def _done(gateway, key, recovery_id):
    while True:
        answer = await gateway.get(f"/api/webhooks/recoveries/{recovery_id}", key)
        if answer.json()["state"] == "done":
            return answer.json()
        await asyncio.sleep(0.1)


async def test_what_came_while_an_endpoint_was_disabled_is_sent_after_recovery(harness):
    limits = "[limits]\nreads_per_minute = 100000\n"
    async with Receiver() as receiver, harness(limits + PLUGINS) as gateway:
        key = await gateway.issue_key()
        added = await gateway.post(ENDPOINTS, key, {"url": receiver.url})
        endpoint = added.json()["id"]
        # Given some events that arrived, and more than one batch that did not
        await _hand_in(gateway, key, 10)
        await receiver.wait_for(10)
        change = {"status": "disabled"}
        await gateway.request("PATCH", f"{ENDPOINTS}/{endpoint}", key, change)
        await _hand_in(gateway, key, 700)
        refused = await gateway.post(
            f"{ENDPOINTS}/{endpoint}/recover", key, {"since": "2020-01-01T00:00:00Z"}
        )
        await gateway.post(f"{ENDPOINTS}/{endpoint}/enable", key)

        # When it is recovered
        answer = await gateway.post(
            f"{ENDPOINTS}/{endpoint}/recover", key, {"since": "2020-01-01T00:00:00Z"}
        )
        finished = await asyncio.wait_for(_done(gateway, key, answer.json()["id"]), 30)
        received = await receiver.wait_for(710)

    # Then each event arrived once
    assert refused.status_code == 409
    assert answer.status_code == 202
    assert answer.json()["state"] == "running"
    assert finished["queued"] == 700
    assert finished["looked_at"] == 710
    assert len({each.json()["id"] for each in received}) == len(received) == 710


async def test_what_was_given_up_is_tried_again_and_what_arrived_is_not(harness):
    toml = "[delivery]\nallow_http = true\nallow_networks = ['127.0.0.0/8']\n"
    toml += "retry_schedule_seconds = [0.01]\ngive_up_after_seconds = 0.02\n"
    toml += "[limits]\nreads_per_minute = 100000\n"
    async with Receiver([200, 500, 500, 500]) as receiver, harness(toml + PLUGINS) as gateway:
        key = await gateway.issue_key()
        added = await gateway.post(ENDPOINTS, key, {"url": receiver.url, "max_in_flight": 1})
        endpoint = added.json()["id"]
        await _hand_in(gateway, key, 1)
        await receiver.wait_for(1)
        await _hand_in(gateway, key, 1)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                caller = gateway.caller()
                async with gateway.gateway.database.read() as connection:
                    log = gateway.gateway.delivery_log
                    given_up = await log.page(connection, caller, limit=5, state="exhausted")
                if given_up:
                    break
                await asyncio.sleep(0.05)
        receiver.answers.clear()
        before = len(receiver.received)

        answer = await gateway.post(
            f"{ENDPOINTS}/{endpoint}/recover", key, {"since": "2020-01-01T00:00:00Z"}
        )
        finished = await asyncio.wait_for(_done(gateway, key, answer.json()["id"]), 30)
        received = await receiver.wait_for(before + 1)

    assert finished["queued"] == 1
    assert received[-1].json()["id"] == given_up[0].event_id


@pytest.mark.parametrize(
    "body",
    [{}, {"since": "yesterday"}, {"since": "2999-01-01T00:00:00Z"}, {"since": "2026-01-01T00:00"}],
)
async def test_a_time_that_makes_no_sense_is_400(harness, body):
    async with Receiver() as receiver, harness(PLUGINS) as gateway:
        key = await gateway.issue_key()
        added = await gateway.post(ENDPOINTS, key, {"url": receiver.url})

        answer = await gateway.post(f"{ENDPOINTS}/{added.json()['id']}/recover", key, body)

    assert answer.status_code == 400
    assert set(answer.json()) == {"error", "code", "details"}
