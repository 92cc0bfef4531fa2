"""An answer that goes out in one piece is the one that ASGI messages make, on every connection."""

import json
import re

import pytest
from raw_http import raw_client

from gateway.http.connections import GuardedProtocol

ORDERS = "/api/webhook/orders"


@pytest.fixture
async def gateway(harness):
    async with harness("[plugins.json_api]\n") as running:
        yield running


@pytest.fixture
def whole(monkeypatch):
    """Return a list that gets, for each answer, whether it went out in one piece."""
    found = []
    answer = GuardedProtocol.answer

    def noted(*given):
        found.append(answer(*given))
        return found[-1]

    monkeypatch.setattr(GuardedProtocol, "answer", noted)
    return found


def order(key, number, *, headers="", version="1.1"):
    given = {
        "patient_name": "Maria Rodriguez",
        "patient_address": "123 Main St",
        "external_order_id": f"WHOLE-{number}",
    }
    body = json.dumps({"orders": [given]})
    return (
        f"POST {ORDERS} HTTP/{version}\r\nHost: gateway\r\nX-API-Key: {key}\r\n{headers}"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    )


def lines(head):
    """Return the lines of a head without what differs between two answers."""
    return sorted(re.sub(r"(date|x-request-id): .*", r"\1", each) for each in head.split("\r\n"))


@pytest.mark.parametrize("key", ["good", "bad"])
async def test_its_head_is_the_one_that_asgi_messages_make(gateway, whole, monkeypatch, key):
    key = await gateway.issue_key() if key == "good" else "sk_live_bad"
    async with raw_client(gateway.url) as client:
        await client.send(order(key, 1))
        await client.answer()
        await client.send(order(key, 1))
        own = await client.answer()
        monkeypatch.setattr(GuardedProtocol, "answer", lambda *_: False)
        await client.send(order(key, 1))
        other = await client.answer()

    assert whole == [True, True]
    assert lines(own.head) == lines(other.head)
    assert (own.status, own.body) == (other.status, other.body)


@pytest.mark.parametrize(
    ("headers", "version"), [("Connection: close\r\n", "1.1"), ("", "1.0")]
)  # fmt: skip
async def test_a_connection_that_is_not_kept_says_so_and_closes(gateway, whole, headers, version):
    key = await gateway.issue_key()
    async with raw_client(gateway.url) as client:
        await client.send(order(key, 1, headers=headers, version=version))
        answer = await client.answer()

        assert await client.is_closed()
    assert whole == [True]
    assert answer.status == 200
    assert "connection: close" in answer.head


async def test_pipelined_orders_are_answered_in_their_order(gateway):
    key = await gateway.issue_key()
    async with raw_client(gateway.url) as client:
        await client.send("".join(order(key, number) for number in range(4)))
        answers = [await client.answer() for _ in range(4)]
        await client.send(order(key, 3))
        again = await client.answer()

    made = [json.loads(each.body)["package_ids"] for each in answers]
    assert all(len(each) == 1 for each in made)
    results = json.loads(again.body)["results"]
    assert [each["package_id"] for each in results] == made[3]


async def test_an_answer_with_headers_of_its_own_goes_through_asgi(gateway, whole):
    key = await gateway.issue_key()
    async with raw_client(gateway.url) as client:
        for _ in range(2):
            await client.send(order(key, 1, headers="Idempotency-Key: abc\r\n"))
            answer = await client.answer()

    assert whole == [True]
    assert "idempotent-replayed: true" in answer.head


async def test_a_client_that_waits_for_100_continue_gets_it_once(gateway):
    key = await gateway.issue_key()
    head, _, body = order(key, 1, headers="Expect: 100-continue\r\n").partition("\r\n\r\n")
    async with raw_client(gateway.url) as client:
        await client.send(f"{head}\r\n\r\n")
        assert (await client.answer()).status == 100
        await client.send(body)
        assert (await client.answer()).status == 200
        await client.send(order(key, 2))
        assert (await client.answer()).status == 200
