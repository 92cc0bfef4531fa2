"""Each situation of the zoo ends as it should, and the log names its cause."""

import asyncio
import contextlib
import warnings

import hostile
import pytest
from receivers import zoo

from gateway.clock import SystemClock
from gateway.outbound.client import OutboundClient
from gateway.outbound.failures import EXPLANATIONS
from gateway.outbound.messages import OutboundRequest
from gateway.outbound.ssrf_guard import AddressGuard

GUARD = AddressGuard.of(allow_http=True, allow_networks=["127.0.0.0/8"])
HEAD = b"HTTP/1.1 200 OK\r\n"
TIMEOUT_SECONDS = 20.0


class Egress:
    """The way out, as ``[delivery]`` would say it."""

    def __init__(self, ca_file=None, proxy=None):
        self.ca_file = ca_file
        self.proxy = proxy


async def sent(place, *, egress=None, count=1, timeout_seconds=TIMEOUT_SECONDS, repeatable=True):
    """Send ``count`` requests one after the other; returns their responses."""
    async with OutboundClient(SystemClock(), GUARD, place.resolve, egress) as client:
        return [
            await client.send(
                OutboundRequest(
                    url=place.url,
                    body=b"%d" % number,
                    timeout_seconds=timeout_seconds,
                    repeatable=repeatable,
                )
            )
            for number in range(count)
        ]


@pytest.mark.parametrize(
    ("receiver", "status", "error"),
    [
        (zoo.well(), 200, None),
        (zoo.one_address_refuses(), 200, None),
        (zoo.one_address_hangs(), 200, None),
        (zoo.closes_after_each_answer(), 200, None),
        (zoo.receiver(zoo.saying_once(HEAD + b"Content-Length: 99\r\n\r\nok")), 200, "body_cut"),
        (zoo.receiver(zoo.saying(HEAD + b"Content-Length: 99\r\n\r\nok")), 200, "body_late"),
        (zoo.receiver(zoo.saying(HEAD + b"Content-Length: many\r\n\r\nok")), 200, "body_invalid"),
        (
            zoo.receiver(zoo.saying(HEAD + b"X-A: b\r\n c\r\nContent-Length: 2\r\n\r\nok")),
            200,
            None,
        ),
        (zoo.receiver(zoo.saying(b"SSH-2.0-OpenSSH_9.6\r\n")), None, "bad_answer"),
        (zoo.receiver(zoo.saying_once(b"")), None, "closed_early"),
        (zoo.receiver(zoo.saying(b"")), None, "timeout"),
        (zoo.nothing_listens(), None, "connect"),
        (zoo.speaks_no_tls(), None, "tls_not_spoken"),
    ],
    ids=[
        "well",
        "one address refuses",
        "one address hangs",
        "closes after each answer",
        "body cut",
        "body late",
        "length is no number",
        "folded header",
        "no HTTP",
        "closes without an answer",
        "hangs",
        "nothing listens",
        "no TLS",
    ],
)
async def test_a_receiver_is_read_for_what_it_is(receiver, status, error):
    waits_in_vain = error in {"timeout", "body_late"}
    async with receiver as place:
        [response] = await sent(place, timeout_seconds=3.0 if waits_in_vain else TIMEOUT_SECONDS)

    assert (response.status, response.error) == (status, error)
    assert error is None or EXPLANATIONS[error]


async def test_the_address_that_answered_is_dialled_first_from_then_on():
    """Also on new connections: what listens at the dead address later on hears nothing."""
    async with zoo.closes_after_each_answer(0.0) as place:
        place.addresses = (zoo.REFUSING, zoo.GOOD)
        async with OutboundClient(SystemClock(), GUARD, place.resolve) as client:
            request = OutboundRequest(
                url=place.url, timeout_seconds=TIMEOUT_SECONDS, repeatable=True
            )
            first = await client.send(request)
            async with hostile.serving(
                hostile.answering("500 No"), host=zoo.REFUSING, port=place.port
            ) as dead:
                others = [await client.send(request) for _ in range(10)]

    assert {each.status for each in (first, *others)} == {200}
    assert dead.connections == 0


async def test_a_connection_that_the_server_closes_costs_one_request_and_no_failure():
    """The next request finds the connection closed, or closing: it goes out once more."""
    async with zoo.closes_after_each_answer(0.0) as place:
        responses = await sent(place, count=50)

    assert {each.status for each in responses} == {200}
    assert place.bodies == [b"%d" % number for number in range(50)]


async def test_a_request_that_may_not_come_twice_fails_instead():
    """A shop would make a second fulfilment: its client says so, and asks before it repeats."""
    async with zoo.receiver(answering_then(b"")) as place:
        first, second = await sent(place, count=2, repeatable=False)

    assert (first.status, second.error) == (200, "closed_early")
    assert place.bodies == [b"0", b"1"]


async def test_a_request_that_got_no_answer_on_a_new_connection_is_not_repeated():
    async with zoo.receiver(zoo.saying_once(b"")) as place:
        [response] = await sent(place)

    assert response.error == "closed_early"
    assert place.bodies == [b"0"]


async def test_an_answer_that_was_cut_in_its_status_line_is_not_repeated():
    async with zoo.receiver(answering_then(b"HTTP/1.1 20")) as place:
        _, cut = await sent(place, count=2)

    assert cut.error == "closed_early"
    assert place.bodies == [b"0", b"1"]


def answering_then(last: bytes):
    async def converse(read, writer):
        await read()
        writer.write(zoo.OK)
        await read()
        writer.write(last)
        await writer.drain()

    return converse


# --- TLS ---------------------------------------------------------------------------------


def good(authority):
    return authority.serve_as(zoo.HOST)


def expired(authority):
    return authority.serve_as(zoo.HOST, days_left=-1)


def for_another_host(authority):
    return authority.serve_as("other.invalid")


def of_an_unknown_authority(_):
    return hostile.Authority().serve_as(zoo.HOST)


def self_signed(_):
    return hostile.Authority().serve_as_itself(zoo.HOST)


@pytest.mark.parametrize(
    ("context", "error"),
    [
        (good, None),
        (expired, "tls_expired"),
        (for_another_host, "tls_wrong_host"),
        (of_an_unknown_authority, "tls_unknown_issuer"),
        (self_signed, "tls_self_signed"),
        (zoo.speaks_old_tls, "tls_old_protocol"),
        (zoo.wants_a_client_certificate, "tls_client_certificate"),
    ],
)
async def test_a_tls_failure_names_its_reason(tmp_path, context, error):
    authority = hostile.Authority()
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # old protocols are what is tested
        server = context(authority)
    async with zoo.speaks_tls(server) as place:
        for _ in range(10):
            [response] = await sent(place, egress=Egress(tmp_path / "ca.pem"))
            # Since TLS 1.3 a certificate is refused after the handshake. The server closes with
            # the request unread, and its reset may overtake the alert that has the reason.
            if response.error != "closed_early":
                break

    assert response.error == error
    assert (response.status == 200) is (error is None)


# --- proxies -----------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def proxy(answer=b"HTTP/1.1 200 Connection established\r\n\r\n"):
    """A proxy that connects where CONNECT says; yields its URL and the places asked for."""

    places, tasks = [], set()

    async def pump(reader, writer):
        try:
            while data := await reader.read(65536):
                writer.write(data)
        finally:
            writer.close()

    async def serve(reader, writer):
        tasks.add(asyncio.current_task())
        head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii")
        places.append(head)
        writer.write(answer)
        if b" 200 " not in answer:
            writer.close()
            return
        host, _, port = head.split()[1].rpartition(":")
        onward, back = await asyncio.open_connection(host, int(port))
        await asyncio.gather(pump(reader, back), pump(onward, writer), return_exceptions=True)

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listener:
        yield f"http://user:secret@127.0.0.1:{listener.sockets[0].getsockname()[1]}", places
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_proxy_connects_to_the_address_that_was_checked(tmp_path):
    authority = hostile.Authority()
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    async with proxy() as (url, places), zoo.speaks_tls(good(authority)) as place:
        responses = await sent(place, egress=Egress(tmp_path / "ca.pem", url), count=2)

    assert [each.status for each in responses] == [200, 200]
    [asked] = places
    assert asked.startswith(f"CONNECT 127.0.0.1:{place.port} HTTP/1.1\r\n")
    assert "Proxy-Authorization: Basic dXNlcjpzZWNyZXQ=\r\n" in asked


async def test_a_private_address_is_refused_behind_a_proxy_too():
    async with proxy() as (url, places), zoo.well() as place:
        client = OutboundClient(
            SystemClock(), AddressGuard(allow_http=True), place.resolve, Egress(proxy=url)
        )
        request = OutboundRequest(url="http://receiver.invalid/in", timeout_seconds=2.0)
        async with client:
            response = await client.send(request)

    assert (response.error, places) == ("refused_address", [])


@pytest.mark.parametrize("answer", [b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", b"no"])
async def test_a_proxy_that_refuses_is_named(answer):
    async with proxy(answer) as (url, _), zoo.well() as place:
        [response] = await sent(place, egress=Egress(proxy=url))

    assert response.error == "proxy"
    assert place.bodies == []
