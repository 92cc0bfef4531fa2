"""The client that plugins call others with: what is checked, kept, and told of what went wrong."""

import asyncio
import socket
from datetime import UTC, datetime

import msgspec
import pytest
from hostile import answering, big_body, serving

from gateway.clock import SteppingClock
from gateway.outbound.client import OutboundClient
from gateway.outbound.messages import OutboundRequest, retry_after_seconds
from gateway.outbound.ssrf_guard import AddressGuard

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
LOOPBACK = AddressGuard.of(allow_http=True, allow_networks=["127.0.0.0/8"])


class Names:
    """A name server that says what it is told to, and counts who asks."""

    def __init__(self, *addresses):
        self.addresses = list(addresses)
        self.asked = []

    async def __call__(self, host):
        self.asked.append(host)
        if not self.addresses:
            raise OSError("no such host")
        return self.addresses


@pytest.fixture
def names():
    return Names("127.0.0.1")


@pytest.fixture
async def client(names):
    async with OutboundClient(SteppingClock(NOW), LOOPBACK, names) as made:
        yield made


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("99999999999999999999", 86_400.0),
        ("Sun, 22 Nov 2026 12:01:30 GMT", 90.0),
        ("Sunday, 22-Nov-26 12:01:30 GMT", 90.0),
        ("Sun Nov 22 12:01:30 2026", 90.0),
        ("Sun, 22 Nov 2026 13:01:30 +0100", 90.0),
        ("Sun, 22 Nov 2026 11:59:00 GMT", 0.0),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("1e3", None),
        ("٣", None),
        ("Sun, 99 Nov 2026 12:00:00 GMT", None),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", None),
        ("Sun, 06 Nov 1994 08:49:37 +99999999999999999", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date_and_nonsense_is_ignored(header, seconds):
    assert retry_after_seconds(header, NOW) == seconds


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
async def test_a_request_goes_out_with_its_method_headers_and_body(client, method):
    async with serving(answering("202 Accepted", b"thanks")) as server:
        url = f"http://erp.example.com:{server.port}/in"
        sent = OutboundRequest(url=url, method=method, headers={"X-One": "1"}, body=b"abc")
        answer = await client.send(sent)

    assert (answer.status, answer.error, answer.body) == (202, None, b"thanks")
    assert (answer.is_success, answer.cut) == (True, False)
    [request] = server.requests
    assert request.line == f"{method} /in HTTP/1.1"
    assert (request.headers["x-one"], request.body) == ("1", b"abc")
    assert request.headers["user-agent"].startswith("rx-gateway/")


@pytest.mark.parametrize(
    ("length", "keep", "kept", "cut"),
    [
        (0, 10, 0, False),
        (10, 11, 10, False),
        (10, 10, 10, False),
        (300_000, 400_000, 300_000, False),
        (300_000, 200_000, 200_000, True),
        (5000, 2048, 2048, True),
        (5000, 0, 0, True),
    ],
)
async def test_as_much_of_an_answer_is_kept_as_is_asked_for(client, length, keep, kept, cut):
    body = bytes(ord("a") + place % 26 for place in range(length))
    async with serving(answering(body=body)) as server:
        url = f"http://127.0.0.1:{server.port}/"
        answer = await client.send(OutboundRequest(url=url, keep_bytes=keep))

    assert (answer.body, answer.cut) == (body[:kept], cut)


async def test_a_huge_answer_is_dropped_after_what_was_asked_for(client):
    async with serving(big_body(100_000_000)) as server:
        url = f"http://127.0.0.1:{server.port}/"
        answer = await client.send(OutboundRequest(url=url, keep_bytes=100_000))
        await server.until(lambda seen: seen.gone == 1)

    assert (answer.body, answer.cut) == (b"a" * 100_000, True)
    assert server.sent_bytes < 8_000_000


async def test_a_redirect_is_no_success(client):
    async with serving(answering("302 Found")) as server:
        answer = await client.send(OutboundRequest(url=f"http://127.0.0.1:{server.port}/"))

    assert (answer.status, answer.is_success) == (302, False)


async def test_what_the_other_side_asks_for_is_read_by_the_clock_that_is_handed_in(client):
    header = b"Retry-After: Sun, 22 Nov 2026 12:01:30 GMT\r\n"
    async with serving(answering("503 Busy", headers=header)) as server:
        answer = await client.send(OutboundRequest(url=f"http://127.0.0.1:{server.port}/"))

    assert answer.retry_after_seconds(NOW) == 90.0


async def test_a_private_address_is_not_called(names):
    names.addresses = ["10.0.0.1"]
    async with OutboundClient(SteppingClock(NOW), AddressGuard(), names) as client:
        answer = await client.send(OutboundRequest(url="https://erp.example.com/"))

    assert (answer.status, answer.error, answer.is_success) == (None, "refused_address", False)


async def test_a_name_without_an_address_is_a_dns_failure(client, names):
    names.addresses = []
    answer = await client.send(OutboundRequest(url="http://erp.example.com/"))

    assert (answer.status, answer.error) == (None, "dns")


async def test_a_name_is_looked_up_and_judged_anew_after_five_seconds(names):
    clock = SteppingClock(NOW)
    async with (
        OutboundClient(clock, LOOPBACK, names) as client,
        serving(answering("200 OK", b"")) as server,
    ):
        request = OutboundRequest(url=f"http://erp.example.com:{server.port}/in")
        assert (await client.send(request)).status == 200
        names.addresses = ["10.0.0.7"]
        clock.step(4.9)
        assert (await client.send(request)).status == 200
        clock.step(0.2)

        assert (await client.send(request)).error == "refused_address"
    assert len(names.asked) == 2


async def test_checked_addresses_do_not_pile_up(client, names):
    for number in range(1025):
        await client._admit(f"http://hooks.example.com:{number + 1}/", 1.0)

    assert len(client._admitted) == 1
    assert len(names.asked) == 1025


async def test_a_client_that_was_closed_can_be_used_again(client):
    async with serving(answering()) as server:
        sent = OutboundRequest(url=f"http://127.0.0.1:{server.port}/")
        await client.send(sent)
        await client.close()
        answer = await client.send(sent)

    assert answer.status == 200
    assert server.connections == 2


async def test_of_an_answers_headers_those_that_were_asked_for_are_kept(client):
    sent = b"X-Total: 7\r\nLink: <a>\r\nLink: <b>\r\nSet-Cookie: secret=1\r\n"
    async with serving(answering(headers=sent)) as server:
        asked = OutboundRequest(
            url=f"http://127.0.0.1:{server.port}/", keep_headers=("X-TOTAL", "link", "x-none")
        )
        answer = await client.send(asked)
        plain = await client.send(OutboundRequest(url=f"http://127.0.0.1:{server.port}/"))

    assert dict(answer.headers) == {"x-total": "7", "link": "<a>, <b>"}
    assert dict(plain.headers) == {}


async def test_of_an_answer_of_the_operators_network_a_stranger_gets_no_headers(client):
    async with serving(answering(headers=b"X-Total: 7\r\n")) as server:
        asked = OutboundRequest(
            url=f"http://127.0.0.1:{server.port}/", keep_headers=("x-total",), unprivileged=True
        )
        answer = await client.send(asked)

    assert (answer.status, dict(answer.headers)) == (200, {})


async def test_of_the_operators_network_a_stranger_waits_as_long_for_a_closed_port(client):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    asked = OutboundRequest(url=f"http://127.0.0.1:{port}/", unprivileged=True, timeout_seconds=0.4)
    loop = asyncio.get_running_loop()

    began = loop.time()
    answer = await client.send(asked)
    assert loop.time() - began >= 0.39
    assert (answer.error, answer.duration_ms) == ("unreachable", 0)
    own = await client.send(msgspec.structs.replace(asked, unprivileged=False))
    assert own.error == "connect"

    waiting = asyncio.create_task(client.send(msgspec.structs.replace(asked, timeout_seconds=120)))
    while not client._held:  # noqa: ASYNC110 - it sets no event for its tests
        await asyncio.sleep(0)
    await client.close()  # a gateway that stops doesn't wait for it
    assert (await waiting).error == "unreachable"
