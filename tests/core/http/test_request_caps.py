"""Caps of bodies from unknown callers and of requests that wait."""

import asyncio

import pytest
from raw_http import RawClient

from gateway.errors import RateLimited, Unavailable
from gateway.http.request_caps import AnonymousBodies, WaitingRequests


def sending(*sizes: int):
    messages = [{"type": "http.request", "body": b"x" * size, "more_body": True} for size in sizes]

    async def receive():
        return messages.pop(0)

    return receive


async def test_anonymous_bodies_share_one_total():
    bodies = AnonymousBodies(1000)
    with (
        bodies.counted(sending(250), "a") as first,
        bodies.counted(sending(250), "b") as second,
        bodies.counted(sending(250), "c") as third,
        bodies.counted(sending(250), "d") as fourth,
        bodies.counted(sending(1), "e") as fifth,
    ):
        for receive in (first, second, third, fourth):
            await receive()
        with pytest.raises(Unavailable):
            await fifth()


async def test_one_network_has_a_quarter_of_it():
    bodies = AnonymousBodies(1000)
    with bodies.counted(sending(250, 1), "a") as receive:
        await receive()
        with pytest.raises(Unavailable):
            await receive()
        with bodies.counted(sending(250), "b") as other:
            await other()


async def test_what_has_ended_is_given_back():
    bodies = AnonymousBodies(1000)
    for _ in range(10):
        with bodies.counted(sending(250), "a") as receive:
            await receive()
    assert (bodies._total, dict(bodies._by_network)) == (0, {})


def test_waiting_requests_are_capped_by_key_and_in_all():
    waiting = WaitingRequests(4)
    with waiting.held("a"):
        with pytest.raises(RateLimited) as raised, waiting.held("a"):
            pass
        with waiting.held("b"), waiting.held("c"), waiting.held("d"):  # noqa: SIM117
            with pytest.raises(RateLimited), waiting.held("e"):
                pass
        with waiting.held("e"):
            pass
    assert raised.value.policy == "waiting"
    assert dict(waiting._by_actor) == {}


async def test_a_public_route_reads_no_more_than_the_total_of_anonymous_bodies(harness):
    toml = """
    [http]
    max_anonymous_body_bytes = 400000
    [[sites]]
    code = "main"
    name = "Lakeside"
    [plugins.shopify]
    [[plugins.shopify.shops]]
    domain = "lakeside.myshopify.com"
    site = "main"
    client_id = "x"
    client_secret = "y"
    """
    head = (
        "POST /api/shopify/webhooks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        "X-Shopify-Shop-Domain: lakeside.myshopify.com\r\nX-Shopify-Hmac-Sha256: eA==\r\n"
        "Content-Length: 90000\r\n\r\n"
    )
    async with harness(toml) as gateway:
        clients = [await RawClient.open(gateway.url) for _ in range(4)]
        for client in clients:
            await client.send(head)
            await client.send("x" * 80_000)
        answers = [asyncio.create_task(client.answer()) for client in clients]
        done, _ = await asyncio.wait(answers, return_when=asyncio.FIRST_COMPLETED, timeout=20)
        for client in clients:
            client.reset()
        refused = [each.result().status for each in done if each.exception() is None]
        await asyncio.gather(*answers, return_exceptions=True)

    assert refused
    assert set(refused) == {503}


JOB = {
    "external_id": "FAX-1",
    "source": "fax",
    "patient": {"first_name": "Ana", "last_name": "Silva", "dob": "1950-02-01", "province": "ON"},
    "prescriber": {"name": "Dr. Lee", "licence_type": "CPSO", "licence_number": "54321"},
    "medication": {"din": "02242705", "drug_text": "atorvastatin 20 mg tab", "quantity": 30,
                   "quantity_unit": "tab", "days_supply": 30, "sig": "1 tab daily", "refills": 3,
                   "written_date": "2026-11-01"},
}  # fmt: skip
RX = """
[[sites]]
code = "main"
name = "Lakeside"
country = "CA"
[plugins.rx_queue]
min_confidence = 0
"""


async def test_a_lease_that_waits_gets_nothing_once_its_key_is_revoked(harness):
    async with harness(RX) as gateway:
        keys = gateway.gateway.keys
        agent = await keys.issue("agent", account_id="default", actor="test", scopes=["agent"])
        other = await gateway.issue_key()
        lease = {"max": 1, "wait_seconds": 30}
        waiting = asyncio.create_task(gateway.post("/api/rx/lease", agent.key, lease))
        await asyncio.sleep(0.5)
        await keys.revoke(agent.id, actor="test")
        queued = await gateway.post("/api/rx", other, JOB)
        refused = await waiting
        leased = await gateway.post("/api/rx/lease", other, {"max": 1})

    assert queued.status_code == 202, queued.text
    assert refused.status_code == 401
    assert "jobs" not in refused.json()
    assert [each["queueId"] for each in leased.json()["jobs"]] == [queued.json()["queueId"]]


async def test_long_polls_of_one_key_are_capped_apart(harness):
    async with harness("[http]\nmax_waiting_requests = 8\n" + RX) as gateway:
        key = await gateway.issue_key()
        lease = {"max": 1, "wait_seconds": 3}
        answers = await asyncio.gather(
            *(gateway.post("/api/rx/lease", key, lease) for _ in range(3))
        )

    assert sorted(each.status_code for each in answers) == [200, 200, 429]
