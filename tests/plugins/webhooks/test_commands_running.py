"""``gateway endpoints …`` beside a running server, on the same SQLite file."""

import asyncio
import json
import re

import pytest
from click.testing import CliRunner

from gateway.cli import main
from gateway.testing import Receiver

CONFIGURATION = """
[plugins.json_api]
[plugins.webhooks]
[delivery]
allow_http = true
allow_networks = ["127.0.0.0/8"]
trusted_accounts = ["default"]
"""
REFUSED = (
    "gateway: The endpoint did not accept it: see the status or error above, and the log of its "
    "server.\n"
)


@pytest.fixture
def gateway(tmp_path):
    """Run a command in another thread, with a loop and a gateway of its own."""
    config = tmp_path / "gateway.toml"
    config.write_text(CONFIGURATION, "utf-8")

    async def run(*words, code=0):
        arguments = ["endpoints", *words, "--config", str(config)]
        done = await asyncio.to_thread(
            CliRunner().invoke, main, arguments, prog_name="gateway", catch_exceptions=False
        )
        assert done.exit_code == code, done.output
        if code:
            assert done.stderr == REFUSED
        return done.stdout

    return run


async def test_a_test_event_shows_how_it_went(gateway, harness):
    async with Receiver([200, 503]) as receiver, harness(CONFIGURATION):
        added = json.loads(await gateway("add", receiver.url, "--json"))
        delivery = json.loads(await gateway("test", added["id"], "--json"))
        printed = (await gateway("test", added["id"], code=1)).splitlines()
    assert list(delivery) == [
        "id",
        "endpoint_id",
        "event_id",
        "event",
        "subject",
        "state",
        "reason",
        "explanation",
        "next_attempt_at",
        "created_at",
        "finished_at",
        "attempts",
    ]
    [attempt] = delivery["attempts"]
    assert list(attempt) == [
        "endpoint_id",
        "delivery_id",
        "event_id",
        "event",
        "attempt",
        "started_at",
        "duration_ms",
        "outcome",
        "status",
        "error",
        "explanation",
        "response",
    ]
    assert (delivery["state"], attempt["outcome"], attempt["status"]) == (
        "delivered",
        "delivered",
        200,
    )
    assert receiver.received[0].json()["id"] == delivery["event_id"]
    assert re.fullmatch(r"dlv_[0-9a-f]{32} is pending", printed[0])
    headings, attempt = (re.split(r" {2,}", line) for line in printed[1:])
    assert headings[:6] == ["attempt", "started at", "duration ms", "outcome", "status", "error"]
    assert (attempt[0], *attempt[3:6]) == ("1", "failed", "503", "-")


async def test_an_endpoint_added_meanwhile_gets_the_next_event(gateway, harness):
    order = {"patient_name": "Ana Silva", "patient_address": "1 Lake Rd"}
    async with Receiver() as receiver, harness(CONFIGURATION) as running:
        key = await running.issue_key()
        added = json.loads(await gateway("add", receiver.url, "--json"))
        await running.post("/api/webhook/orders", key, {"orders": [order]})
        await receiver.wait_for(1)
        await gateway("disable", added["id"])
        await running.post("/api/webhook/orders", key, {"orders": [order]})
        await gateway("enable", added["id"])
        await running.post("/api/webhook/orders", key, {"orders": [order]})
        await receiver.wait_for(2)
        listed = await running.get("/api/webhooks/endpoints", key)
    assert [each["id"] for each in listed.json()["endpoints"]] == [added["id"]]
    assert len(receiver.received) == 2
    assert {each.headers["x-scriptrun-event"] for each in receiver.received} == {"package.created"}
