"""``gateway deliveries …``."""

import asyncio
from typing import Any

import pytest
from core.cli.stock import ACTOR
from sqlalchemy import select
from waiting import PATIENCE_SECONDS

from gateway.outbound.failures import EXPLANATIONS
from gateway.storage.schema import deliveries
from gateway.testing import Receiver

ORDER = {"patient_name": "Ana Silva", "patient_address": "1 Elm St"}


def test_a_delivery_is_shown_with_each_try(read, stock):
    endpoint_id = stock.endpoint()
    package_id, event_id = stock.order(site="main")
    stock.attempt(endpoint_id, status=500, excerpt=b"try later")
    delivery_id = stock.attempt(endpoint_id, delivered=True, status=204, duration_ms=7)

    masked = read("deliveries", "show", delivery_id)
    assert [each["response"] for each in masked["attempts"]] == [None, None]
    assert read("deliveries", "show", delivery_id, "--reveal") == {
        "id": delivery_id,
        "endpoint_id": endpoint_id,
        "event_id": event_id,
        "event": "package.created",
        "subject": package_id,
        "state": "delivered",
        "reason": None,
        "explanation": None,
        "attempt_count": 2,
        "next_attempt_at": None,
        "created_at": "2026-01-01T00:00:02Z",
        "finished_at": "2026-01-01T00:00:04Z",
        "attempts": [
            {
                "attempt": 1,
                "started_at": "2026-01-01T00:00:03Z",
                "duration_ms": 12,
                "outcome": "failed",
                "status": 500,
                "error": None,
                "explanation": None,
                "response": "try later",
            },
            {
                "attempt": 2,
                "started_at": "2026-01-01T00:00:04Z",
                "duration_ms": 7,
                "outcome": "delivered",
                "status": 204,
                "error": None,
                "explanation": None,
                "response": "",
            },
        ],
    }
    assert stock.audited("delivery.viewed") == [(ACTOR, delivery_id, None)] * 2


def test_what_a_stranger_answered_cannot_steer_the_terminal(run, stock):
    endpoint_id = stock.endpoint()
    stock.order(site="main")
    delivery_id = stock.attempt(endpoint_id, error="timeout", excerpt=b"\x1b[2Jgone\r\n\x9b1m")

    lines = run("deliveries", "show", delivery_id, "--reveal").stdout.splitlines()
    sentence = EXPLANATIONS["timeout"]
    headings = "attempt  started at            duration ms  outcome  status  error    "
    headings += f"{'explanation':{len(sentence)}}  response"

    assert f"id               {delivery_id}" in lines
    assert lines[-2:] == [
        headings,
        f"1        2026-01-01T00:00:03Z  12           failed   -       timeout  {sentence}  "
        r"\x1b[2Jgone\r\n" + "\ufffd1m",
    ]


def test_a_delivery_without_attempts_has_no_table_of_attempts(run, read, stock):
    stock.endpoint()
    stock.order(site="main")
    [row] = read("deliveries", "list")

    lines = run("deliveries", "show", row["id"]).stdout.splitlines()

    assert lines[-1] == "attempts         -"
    assert "attempt_count    0" in lines


def test_deliveries_are_listed_newest_first(read, run, stock):
    endpoint_id = stock.endpoint()
    for _ in range(2):
        stock.order(site="main")
    first = stock.attempt(endpoint_id, delivered=True, status=200)

    rows = read("deliveries", "list")
    assert [row["state"] for row in rows] == ["pending", "delivered"]
    assert rows[1]["id"] == first
    assert "attempts" not in rows[0]
    assert rows[0]["next_attempt_at"] == "2026-01-01T00:00:03Z"
    head, line = run("deliveries", "list", "--limit", "1").stdout.splitlines()
    assert head.split("  ")[0] == "id"
    assert head.split()[-4:] == ["next", "attempt", "at", "reason"]
    shown = [rows[0]["id"], "pending", "package.created", endpoint_id, "0", "2026-01-01T00:00:03Z"]
    assert line.split() == [*shown, "-"]


def test_a_delivery_that_its_endpoint_holds_names_no_attempt_that_is_past(read, run, stock):
    endpoint_id = stock.endpoint()
    stock.order(site="main")
    assert run("destinations", "pause", endpoint_id).exit_code == 0

    [row] = read("deliveries", "list")
    assert (row["state"], row["reason"], row["next_attempt_at"]) == ("pending", "paused", None)
    assert read("deliveries", "show", row["id"])["next_attempt_at"] is None


def test_a_list_can_be_narrowed_down(read, stock):
    everywhere = stock.endpoint()
    stock.order(site="main")
    exhausted = stock.attempt(everywhere, last=True, status=500)
    north = stock.endpoint(site="north")
    stock.order(site="north")
    stock.endpoint(mode="test")
    stock.order(site="main", mode="test")

    def listed(*words):
        return [(row["endpoint_id"], row["state"]) for row in read("deliveries", "list", *words)]

    assert sorted(listed()) == sorted(
        [(everywhere, "exhausted"), (everywhere, "pending"), (north, "pending")]
    )
    assert read("deliveries", "list", "--state", "exhausted")[0]["id"] == exhausted
    assert listed("--state", "exhausted") == [(everywhere, "exhausted")]
    assert listed("--state", "delivered") == []
    assert listed("--site", "north") == [(north, "pending")]
    assert len(listed("--test")) == 1
    assert listed("--account", "acme") == []


def test_an_unknown_state_is_wrong_usage(run):
    result = run("deliveries", "list", "--state", "lost")

    assert result.exit_code == 2
    assert "'lost' is not one of 'pending', 'delivered', 'exhausted'" in result.stderr


async def place_in_schedule(gateway):
    async with gateway.database.read() as connection:
        return (await connection.execute(select(deliveries.c.retry_index))).scalar_one()


def test_resending_starts_the_whole_schedule_again(read, run, stock):
    endpoint_id = stock.endpoint()
    stock.order(site="main")
    delivery_id = stock.attempt(endpoint_id, last=True, status=500)
    assert stock.do(place_in_schedule) == 1

    result = run("deliveries", "resend", delivery_id)

    assert (result.exit_code, result.stderr) == (0, "")
    assert "state            pending\n" in result.stdout
    after = read("deliveries", "show", delivery_id)
    assert after["next_attempt_at"] is not None
    assert (after["state"], after["attempt_count"], after["finished_at"]) == ("pending", 1, None)
    assert stock.do(place_in_schedule) == 0
    assert stock.audited("delivery.resent") == [(ACTOR, delivery_id, None)]


def test_resending_to_an_endpoint_that_is_off_says_that_it_waits(run, stock):
    endpoint_id = stock.endpoint(state="paused")
    stock.order(site="main")
    delivery_id = stock.attempt(endpoint_id, last=True, status=500)

    result = run("deliveries", "resend", delivery_id)

    assert result.exit_code == 0
    assert result.stdout.endswith(
        "Its endpoint is paused: it goes out once the endpoint is enabled.\n"
    )


def test_resending_to_an_endpoint_that_was_removed_fails(read, run, stock):
    endpoint_id = stock.endpoint()
    stock.order(site="main")
    delivery_id = stock.attempt(endpoint_id, last=True, status=500)
    stock.remove(endpoint_id)

    result = run("deliveries", "resend", delivery_id)

    assert result.exit_code == 1
    assert result.stderr == (
        "gateway: The endpoint was removed since: there is nowhere to send this.\n"
    )
    assert read("deliveries", "show", delivery_id)["state"] == "exhausted"
    assert stock.audited("delivery.resent") == []


@pytest.mark.parametrize("verb", ["show", "resend"])
def test_a_delivery_that_is_not_there_fails(run, verb):
    run("migrate")
    result = run("deliveries", verb, "dlv_1")

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "gateway: There is no such delivery here: gateway deliveries list shows the ids; "
        "--test and --account look elsewhere.\n"
    )


async def test_a_running_gateway_takes_up_what_is_sent_again(harness, config, read):
    plugins = "[plugins.json_api]\n[plugins.webhooks]\n"
    config.write_text(plugins, encoding="utf-8")
    async with Receiver() as receiver, harness(plugins) as gateway:
        key = await gateway.issue_key()
        await gateway.post("/api/webhooks/endpoints", key, {"url": receiver.url})
        await gateway.post("/api/webhook/orders", key, {"orders": [ORDER]})
        [first] = await receiver.wait_for(1)
        delivered: list[Any] = []
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not delivered:  # until the answer is stored
                words = ("deliveries", "list", "--state", "delivered")
                delivered = await asyncio.to_thread(read, *words)
        await asyncio.to_thread(read, "deliveries", "resend", delivered[0]["id"])
        [_, second] = await receiver.wait_for(2)

    assert second.json()["id"] == first.json()["id"] == delivered[0]["event_id"]
