"""Deadlines and caps of connections, headers and bodies, as a client on the wire sees them."""

import asyncio
import contextlib
import gc
import json
import logging
import socket
import sys

import pytest
from raw_http import RawClient, raw_client, until
from waiting import PATIENCE_SECONDS

from gateway.http.connections import GuardedProtocol

HEAD = "Host: gateway\r\n"
PLUGINS = "[plugins.json_api]\n"
ORDERS = "/api/webhook/orders"
QUICK = """
[http]
header_timeout_seconds = 0.5
body_timeout_seconds = 0.5
keep_alive_seconds = 1
"""


def get(path: str, headers: str = "") -> str:
    return f"GET {path} HTTP/1.1\r\n{HEAD}{headers}\r\n"


def post(key: str, length: int, body: str = "") -> str:
    return (
        f"POST {ORDERS} HTTP/1.1\r\n{HEAD}X-API-Key: {key}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {length}\r\n\r\n{body}"
    )


@pytest.fixture
async def gateway(harness):
    async with harness(PLUGINS) as running:
        yield running


@pytest.fixture
async def quick(harness):
    async with harness(QUICK + PLUGINS) as running:
        yield running


def refused(gateway, reason: str) -> int:
    return gateway.gateway.metrics.connections_refused.values.get((reason,), 0)


def connections(gateway) -> float:
    [(_, [number])] = gateway.gateway.metrics.connections.rows()
    return number


async def test_a_closed_connection_does_not_wait_for_the_garbage_collector(gateway, monkeypatch):
    # Nine kilobytes each, of which the collector comes for thousands at a time.
    checked = asyncio.Event()
    check = GuardedProtocol.check
    monkeypatch.setattr(
        GuardedProtocol, "check", lambda self, now: (checked.set(), check(self, now))
    )
    gc.collect()
    gc.disable()
    before = protocols()  # another test's gateway may still be referenced, by its traceback
    try:
        async with raw_client(gateway.url) as client:
            await client.send(get("/health/live"))
            assert (await client.answer()).status == 200
            assert protocols() - before
            async with asyncio.timeout(PATIENCE_SECONDS):
                await checked.wait()  # for its deadlines, by the task that looks at all
        await until(lambda: not protocols() - before)
    finally:
        gc.enable()


def protocols() -> set[object]:
    return {each for each in gc.get_objects() if isinstance(each, GuardedProtocol)}


# Deadlines


@pytest.mark.parametrize("sent", ["G", "GET /health/live HTTP/1.1\r\nX-Slow: ", "\r\n"])
async def test_a_head_that_does_not_end_in_time_is_answered_with_408(quick, sent):
    async with raw_client(quick.url) as client:
        await client.send(sent)
        answer = await client.answer()
        closed = await client.is_closed()

    assert answer.status == 408
    assert json.loads(answer.body)["code"] == "head_timeout"
    assert closed
    assert refused(quick, "head_timeout") == 1


async def test_a_connection_that_never_sends_a_byte_is_closed(quick):
    async with raw_client(quick.url) as client:
        assert await client.is_closed()
    assert refused(quick, "head_timeout") == 1


async def test_dripping_header_bytes_does_not_extend_the_deadline(quick):
    async with raw_client(quick.url) as client:
        await client.send("GET / HTTP/1.1\r\nX: ")
        dripping = asyncio.create_task(drip(client))
        answer = await client.answer()
        dripping.cancel()

    assert answer.status == 408


async def drip(client: RawClient) -> None:
    while True:
        await client.send("x")
        await asyncio.sleep(0.05)


async def test_a_body_that_stops_coming_is_answered_with_408(quick):
    key = await quick.issue_key()
    async with raw_client(quick.url) as client:
        await client.send(post(key, 100, '{"orders": '))
        answer = await client.answer()
        closed = await client.is_closed()

    assert answer.status == 408
    assert json.loads(answer.body) == {
        "error": "The request body stopped arriving; send the request again.",
        "code": "body_timeout",
        "details": [],
    }
    assert "connection: close" in answer.head
    assert closed
    assert refused(quick, "body_timeout") == 1


async def test_each_second_needs_its_share_of_the_body(harness):
    slow = "[http]\nbody_timeout_seconds = 0.5\nbody_min_bytes_per_second = 1000\n"
    async with harness(slow + PLUGINS) as running:
        key = await running.issue_key()
        async with raw_client(running.url) as client:
            await client.send(post(key, 500_000))
            dripping = asyncio.create_task(drip(client))
            answer = await client.answer()
            dripping.cancel()

    assert answer.status == 408


async def test_a_large_body_has_time_in_proportion_to_what_has_come(harness):
    slow = "[http]\nbody_timeout_seconds = 0.5\nbody_min_bytes_per_second = 1000\n"
    order = json.dumps({"orders": [{"patient_name": "A", "patient_address": "B"}]})
    async with harness(slow + PLUGINS) as running:
        key = await running.issue_key()
        async with raw_client(running.url) as client:
            await client.send(post(key, len(order) + 60_000, " " * 60_000))  # time for a minute
            await asyncio.sleep(1.5)
            await client.send(order)
            answer = await client.answer()

    assert answer.status == 200


async def test_a_slow_application_does_not_count_against_the_body(quick):
    key = await quick.issue_key()
    taken = asyncio.Event()
    limits = quick.gateway.limits
    take = limits.take

    async def slow_take(*arguments):
        await taken.wait()
        await take(*arguments)

    limits.take = slow_take
    body = json.dumps({"orders": [{"patient_name": "A", "patient_address": "B"}]})
    async with raw_client(quick.url) as client:
        await client.send(post(key, len(body)))
        await asyncio.sleep(2)
        taken.set()
        await client.send(body)
        answer = await client.answer()

    assert answer.status == 200


async def test_an_idle_connection_is_closed_after_its_time(quick):
    async with raw_client(quick.url) as client:
        await client.send(get("/health/live"))
        answer = await client.answer()
        closed = await client.is_closed()

    assert (answer.status, closed) == (200, True)
    assert "connection: close" not in answer.head
    assert refused(quick, "head_timeout") == 0


async def test_the_second_request_of_a_connection_has_a_head_deadline_too(quick):
    async with raw_client(quick.url) as client:
        await client.send(get("/health/live"))
        await client.answer()
        await client.send("GET /health")
        answer = await client.answer()

    assert answer.status == 408


async def test_the_rest_of_a_refused_body_is_not_read_for_ever(harness):
    quick = "[http]\nbody_timeout_seconds = 0.5\nkeep_alive_seconds = 600\n"
    async with harness(quick + PLUGINS) as running, raw_client(running.url) as client:
        await client.send(post("sk_live_wrong", 900_000))
        answer = await client.answer()
        assert await client.is_closed()

    assert answer.status == 401


async def test_the_rest_of_a_refused_body_is_read_at_a_bounded_rate(harness, monkeypatch):
    """However much is sent to be refused: the answers to others wait for little of it."""
    monkeypatch.setattr("gateway.http.connections._DISCARDED_BYTES_PER_SECOND", 1)
    quick = "[http]\nbody_timeout_seconds = 0.5\nkeep_alive_seconds = 600\n"
    async with harness(quick + PLUGINS) as running, raw_client(running.url) as client:
        body = b"x" * 30_000_000
        await client.send(post("sk_live_wrong", len(body)))
        answer = await client.answer()
        with pytest.raises(ConnectionError):
            await client.send(body)

    assert answer.status == 401


async def test_a_client_may_send_all_of_a_refused_body_and_ask_again(gateway):
    async with raw_client(gateway.url) as client:
        await client.send(post("sk_live_wrong", 900_000))
        refusal = await client.answer()
        await client.send("x" * 900_000 + get("/health/live"))
        answer = await client.answer()

    assert (refusal.status, answer.status) == (401, 200)


async def test_a_client_that_does_not_read_its_answers_is_disconnected(harness):
    quick = "[http]\nbody_timeout_seconds = 0.5\nkeep_alive_seconds = 600\n"
    async with harness(quick + PLUGINS) as running:
        host, _, port = running.url.removeprefix("http://").partition(":")
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.setblocking(False)  # noqa: FBT003 - the module's own signature
            loop = asyncio.get_running_loop()
            await loop.sock_connect(client, (host, int(port)))
            answered = running.gateway.metrics.requests.values
            sent = 0
            async with asyncio.timeout(PATIENCE_SECONDS):
                # Until the buffers between them are full; more than eight in a row are refused.
                while not refused(running, "unread_answer"):
                    if sent - sum(answered.values()) < 7:
                        await loop.sock_sendall(client, get("/openapi.json").encode())
                        sent += 1
                    await asyncio.sleep(0.005)
            await until(lambda: connections(running) == 0)


# What is too large


async def test_a_head_above_32_kb_is_refused_before_it_is_kept(gateway):
    async with raw_client(gateway.url) as client:
        await client.send(f"GET / HTTP/1.1\r\n{HEAD}X-Large: " + "x" * 33_000)
        answer = await client.answer()
        closed = await client.is_closed()

    assert answer.status == 431
    assert json.loads(answer.body)["code"] == "head_too_large"
    assert closed
    assert refused(gateway, "head_too_large") == 1


async def test_a_head_of_32_kb_is_taken(gateway):
    request = get("/health/live", "X-Large: {}\r\n")
    filled = request.format("x" * (32 * 1024 - len(request) + 2))
    async with raw_client(gateway.url) as client:
        await client.send(filled)
        taken = await client.answer()
        await client.send(filled.replace("X-Large", "X-Larger"))
        too_large = await client.answer()

    assert len(filled) == 32 * 1024
    assert (taken.status, too_large.status) == (200, 431)


@pytest.mark.parametrize(("number", "status"), [(99, 200), (100, 431)])
async def test_100_headers_are_taken_and_no_more(gateway, number, status):
    async with raw_client(gateway.url) as client:
        await client.send(get("/health/live", "X: y\r\n" * number))
        answer = await client.answer()

    assert answer.status == status


async def test_a_url_above_32_kb_is_refused(gateway):
    async with raw_client(gateway.url) as client:
        await client.send(get("/" + "x" * 40_000))
        answer = await client.answer()

    assert answer.status == 431


async def test_a_large_body_in_one_piece_with_its_head_is_taken(gateway):
    key = await gateway.issue_key()
    orders = [{"patient_name": "A", "patient_address": "B", "notes": "n" * 900}] * 100
    body = json.dumps({"orders": orders})
    async with raw_client(gateway.url) as client:
        await client.send(post(key, len(body), body))
        answer = await client.answer()

    assert len(body) > 64 * 1024
    assert answer.status == 200


async def test_trailers_never_become_headers(gateway):
    key = await gateway.issue_key()
    body = json.dumps({"orders": [{"patient_name": "A", "patient_address": "B"}]})
    async with raw_client(gateway.url) as client:
        await client.send(
            f"POST {ORDERS} HTTP/1.1\r\n{HEAD}Content-Type: application/json\r\n"
            f"Transfer-Encoding: chunked\r\n\r\n{len(body):x}\r\n{body}\r\n0\r\n"
            f"X-API-Key: {key}\r\n\r\n"
        )
        answer = await client.answer()

    assert answer.status == 401


async def test_endless_chunk_extensions_end_the_connection(gateway):
    key = await gateway.issue_key()
    async with raw_client(gateway.url) as client:
        await client.send(
            f"POST {ORDERS} HTTP/1.1\r\n{HEAD}X-API-Key: {key}\r\n"
            "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n5;x="
        )
        await send_until_disconnected(client, "x" * 10_000)
    assert refused(gateway, "malformed") == 1


async def test_a_flood_of_pipelined_requests_ends_the_connection(gateway):
    async with raw_client(gateway.url) as client:
        await client.send(get("/health/ready") * 100)
        assert await client.is_closed()
    assert refused(gateway, "pipelined") == 1


async def test_a_few_pipelined_requests_are_answered_in_order(gateway):
    async with raw_client(gateway.url) as client:
        await client.send(get("/health/live") + get("/nowhere") + get("/health/live"))
        statuses = [(await client.answer()).status for _ in range(3)]

    assert statuses == [200, 404, 200]


async def test_what_is_no_http_is_refused_in_the_error_shape_without_a_log_line(gateway, caplog):
    async with raw_client(gateway.url) as client:
        await client.send(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n")
        answer = await client.answer()

    assert answer.status == 400
    assert json.loads(answer.body) == {
        "error": "The request is not valid HTTP/1.1.",
        "code": "malformed_request",
        "details": [],
    }
    assert [each for each in caplog.records if each.levelno >= logging.WARNING] == []


async def test_an_upgrade_is_answered_as_plain_http_and_ends(gateway):
    async with raw_client(gateway.url) as client:
        await client.send(get("/health/live", "Connection: Upgrade\r\nUpgrade: websocket\r\n"))
        answer = await client.answer()
        closed = await client.is_closed()

    assert (answer.status, closed) == (200, True)


# Caps


async def test_at_its_cap_an_address_loses_its_oldest_idle_connection(harness):
    async with harness("[http]\nmax_connections_per_address = 5\n" + PLUGINS) as gateway:
        first = await RawClient.open(gateway.url)
        others = [await RawClient.open(gateway.url) for _ in range(4)]
        await until(lambda: connections(gateway) == 5)
        async with raw_client(gateway.url) as sixth:
            await sixth.send(get("/health/live"))
            answer = await sixth.answer()
        first_is_closed = await first.is_closed(5)
        still_open = [not await each.is_closed(0.1) for each in others]
        for each in (first, *others):
            await each.close()

    assert answer.status == 200
    assert first_is_closed
    assert still_open == [True] * 4
    assert refused(gateway, "address_cap") == 1


async def test_a_connection_that_was_used_outlives_one_that_never_was(harness):
    """A client's pool is older than a flood of connections that say nothing."""
    toml = "[http]\nmax_connections_per_address = 2\n"
    async with (
        harness(toml + PLUGINS) as running,
        raw_client(running.url) as used,
    ):
        await used.send(get("/health/live"))
        await used.answer()
        async with raw_client(running.url) as silent, raw_client(running.url):
            assert await silent.is_closed()
            await used.send(get("/health/live"))
            answer = await used.answer()

    assert answer.status == 200


async def test_one_that_only_connects_again_and_again_is_closed_late(harness, monkeypatch):
    """Each new connection costs a fraction of a millisecond: a flood's are a second apart."""
    monkeypatch.setattr("gateway.http.connections._DISMISSED_SECONDS", 3600.0)
    toml = "[http]\nmax_connections_per_address = 2\nmax_connections = 4\n"
    async with harness(toml + PLUGINS) as running, contextlib.AsyncExitStack() as stack:
        flood = []
        for _ in range(5):
            flood.append(await stack.enter_async_context(raw_client(running.url)))
            await until(lambda: refused(running, "address_cap") == max(0, len(flood) - 2))
        first_is_closed = await flood[0].is_closed()  # those dismissed count towards the total
        held = connections(running)
        await flood[1].send(get("/health/live"))
        sender_is_closed = await flood[1].is_closed()
        third_is_closed = await flood[2].is_closed(0.1)

    assert held == 2
    assert (first_is_closed, sender_is_closed, third_is_closed) == (True, True, False)


async def test_a_trusted_proxy_may_open_more_connections_than_an_address(harness):
    toml = '[http]\nmax_connections_per_address = 2\ntrusted_proxies = ["127.0.0.1"]\n'
    async with contextlib.AsyncExitStack() as stack:
        running = await stack.enter_async_context(harness(toml + PLUGINS))
        clients = [await stack.enter_async_context(raw_client(running.url)) for _ in range(6)]
        statuses = []
        for client in clients:
            await client.send(get("/health/live"))
            statuses.append((await client.answer()).status)

    assert statuses == [200] * 6


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8")
async def test_at_the_total_cap_the_address_with_the_most_connections_makes_room(harness):
    async with harness("[http]\nmax_connections = 6\n" + PLUGINS) as gateway:
        calm = await RawClient.open(gateway.url, "127.0.0.2")
        flood = [await RawClient.open(gateway.url, "127.0.0.3") for _ in range(5)]
        await until(lambda: connections(gateway) == 6)
        async with raw_client(gateway.url, "127.0.0.4") as other:
            await other.send(get("/health/live"))
            answer = await other.answer()
        await calm.send(get("/health/live"))
        calm_answer = await calm.answer()
        closed = [await each.is_closed(0.2) for each in flood]
        for each in (calm, *flood):
            await each.close()

    assert (answer.status, calm_answer.status) == (200, 200)
    assert closed == [True, False, False, False, False]


async def test_a_request_in_flight_is_never_closed_for_another(harness):
    async with harness("[http]\nmax_connections_per_address = 1\n" + PLUGINS) as gateway:
        key = await gateway.issue_key()
        body = json.dumps({"orders": [{"patient_name": "A", "patient_address": "B"}]})
        async with raw_client(gateway.url) as busy:
            await busy.send(post(key, len(body)))
            await asyncio.sleep(0.3)
            async with raw_client(gateway.url) as refused_one:
                assert await refused_one.is_closed()
            await busy.send(body)
            answer = await busy.answer()

    assert answer.status == 200


async def test_no_connection_is_counted_once_it_has_ended(gateway):
    for _ in range(20):
        client = await RawClient.open(gateway.url)
        await client.send("GET ")
        client.reset()
    await until(lambda: connections(gateway) == 0)


# Clients that hang up, and servers that stop


async def test_a_client_that_hangs_up_in_mid_body_is_499_without_a_traceback(gateway, caplog):
    caplog.set_level(logging.INFO)
    key = await gateway.issue_key()
    client = await RawClient.open(gateway.url)
    await client.send(post(key, 1000, '{"orders'))
    await asyncio.sleep(0.3)
    client.reset()
    requests = gateway.gateway.metrics.requests.values
    await until(lambda: ("POST", ORDERS, "499") in requests)

    assert not any("failed" in each.getMessage() for each in caplog.records)
    assert [each for each in caplog.records if each.levelno >= logging.WARNING] == []
    assert ("POST", ORDERS, "500") not in requests


async def test_a_stopping_server_announces_that_it_closes_the_connection(harness):
    running = harness(PLUGINS)
    async with running as gateway:
        key = await gateway.issue_key()
        body = json.dumps({"orders": [{"patient_name": "A", "patient_address": "B"}]})
        client = await RawClient.open(gateway.url)
        await client.send(post(key, len(body)))
        await asyncio.sleep(0.3)

        async def finish():
            await asyncio.sleep(0.5)
            await client.send(body)
            return await client.answer()

        finishing = asyncio.create_task(finish())
    answer = await finishing
    await client.close()

    assert answer.status == 200
    assert "connection: close" in answer.head


async def send_until_disconnected(client: RawClient, data: str) -> None:
    """Send without reading, until the gateway hangs up."""
    async with asyncio.timeout(30):
        with contextlib.suppress(OSError):
            while True:
                await client.send(data)
                await asyncio.sleep(0)
