"""POSTing to servers that mean no good, over real sockets on 127.0.0.1."""

import asyncio
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator
from ipaddress import ip_address

import hostile
import pytest
from waiting import PATIENCE_SECONDS

from gateway.clock import SystemClock
from gateway.errors import InvalidInput
from gateway.outbound.messages import OutboundRequest, OutboundResponse
from gateway.outbound.pinned import IPAddress, PinnedClient, Target
from gateway.outbound.ssrf_guard import AddressGuard, check_url, resolve

Headers = list[tuple[str, str]] | dict[str, str]
LOOPBACK = ip_address("127.0.0.1")
HEADERS = [("Content-Type", "application/json"), ("X-Twice", "1"), ("X-Twice", "2")]
DEADLINE_SECONDS = 0.3  # for what must run into it
LONG_SECONDS = 10.0  # for what must not

OK_HEAD = hostile.OK_HEAD
CHUNKED = OK_HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def target_of(server: hostile.Server, scheme: str = "http", host: str = "pinned.invalid") -> Target:
    """Name a host that no resolver knows, so that only the pinned address can be dialled."""
    return Target(
        url=f"{scheme}://{host}:{server.port}/in", scheme=scheme, host=host, port=server.port
    )


@pytest.fixture
async def client() -> AsyncIterator[PinnedClient]:
    made = PinnedClient(SystemClock(), "rx-gateway/1.2.3")
    yield made
    await made.close()


async def posted(
    client: PinnedClient,
    target: Target,
    address: IPAddress,
    headers: Headers,
    body: bytes,
    timeout_seconds: float,
    *,
    repeatable: bool = False,
) -> OutboundResponse:
    request = OutboundRequest(url=target.url, headers=headers, body=body, repeatable=repeatable)
    return await client.send(target, [address], request, timeout_seconds)


async def post(
    client: PinnedClient,
    server: hostile.Server,
    timeout_seconds: float = LONG_SECONDS,
    *,
    repeatable: bool = False,
) -> OutboundResponse:
    body = b'{"a":1}'
    return await posted(
        client, target_of(server), LOOPBACK, HEADERS, body, timeout_seconds, repeatable=repeatable
    )


async def reply_to(
    client: PinnedClient, answer: hostile.Answer, **limits: float
) -> OutboundResponse:
    async with hostile.serving(answer) as server:
        return await post(client, server, **limits)


# --- what goes out -----------------------------------------------------------------------


async def test_a_post_carries_the_body_and_the_headers_and_nothing_that_betrays_us(client) -> None:
    async with hostile.serving(hostile.answering("202 Accepted", b"thanks")) as server:
        reply = await post(client, server)

    assert (reply.status, reply.error, reply.body) == (202, None, b"thanks")
    assert reply.retry_after is None
    (request,) = server.requests
    assert request.line == "POST /in HTTP/1.1"
    assert request.body == b'{"a":1}'
    assert request.headers == {
        "host": f"pinned.invalid:{server.port}",
        "user-agent": "rx-gateway/1.2.3",
        "accept": "*/*",
        "content-type": "application/json",
        "content-length": "7",
        "x-twice": "1, 2",
    }


async def test_headers_may_be_a_mapping_as_well(client) -> None:
    async with hostile.serving(hostile.answering()) as server:
        await posted(client, target_of(server), LOOPBACK, {"X-One": "1"}, b"", LONG_SECONDS)

    assert server.requests[0].headers["x-one"] == "1"


async def test_how_long_it_took_is_measured_in_milliseconds(client) -> None:
    started = time.monotonic()

    reply = await reply_to(client, hostile.silent(), timeout_seconds=DEADLINE_SECONDS)

    taken_ms = (time.monotonic() - started) * 1000
    assert DEADLINE_SECONDS * 1000 <= reply.duration_ms <= taken_ms + 1


@pytest.mark.parametrize("header", [("X-A", "b\r\nX-Evil: 1"), ("X A", "b"), ("", "b")])
async def test_a_header_that_can_not_be_sent_is_reported_and_nothing_goes_out(
    client, header
) -> None:
    async with hostile.serving(hostile.answering()) as server:
        reply = await posted(client, target_of(server), LOOPBACK, [header], b"", LONG_SECONDS)

    assert (reply.status, reply.error) == (None, "bad_request")
    assert server.connections == 0


async def test_no_time_left_means_no_connection(client) -> None:
    async with hostile.serving(hostile.answering()) as server:
        replies = [await post(client, server, seconds) for seconds in (0.0, -1.0)]

    assert [reply.error for reply in replies] == ["timeout", "timeout"]
    assert server.connections == 0


# --- answers -----------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 204, 400, 410, 429, 500, 999])
async def test_any_status_is_an_answer(client, status) -> None:
    reply = await reply_to(client, hostile.answering(f"{status} Whatever"))

    assert (reply.status, reply.error, reply.body) == (status, None, b"")


@pytest.mark.parametrize("status", ["301 A", "302 A", "303 A", "307 A", "308 A"])
async def test_a_redirect_is_never_followed(client, status) -> None:
    async with hostile.serving(hostile.answering()) as inside:
        location = f"Location: http://127.0.0.1:{inside.port}/\r\n".encode()
        reply = await reply_to(client, hostile.answering(status, b"", location))

    assert (reply.status, reply.error) == (int(status[:3]), None)
    assert inside.connections == 0


async def test_retry_after_is_handed_over_unread(client) -> None:
    header = b"Retry-After: Wed, 21 Oct 2026 07:28:00 GMT\r\nSet-Cookie: a=b\r\n"
    answer = hostile.answering("503 Later", b"", header)
    async with hostile.serving(answer) as server:
        replies = [await post(client, server) for _ in range(2)]

    assert [reply.retry_after for reply in replies] == ["Wed, 21 Oct 2026 07:28:00 GMT"] * 2
    assert "cookie" not in server.requests[1].headers
    assert "referer" not in server.requests[1].headers


async def test_a_retry_after_that_is_no_text_is_left_out(client) -> None:
    reply = await reply_to(client, hostile.answering("503 \xff", b"", b"Retry-After: \xff\xfe\r\n"))

    assert (reply.status, reply.retry_after) == (503, None)


async def test_two_kilobytes_of_the_answer_are_kept(client) -> None:
    body = bytes(range(256)) * 40

    reply = await reply_to(client, hostile.answering(body=body))

    assert reply.body == body[:2048]


async def test_a_gzip_bomb_stays_packed(client) -> None:
    async with hostile.serving(hostile.gzip_bomb(10_000_000)) as server:
        reply = await post(client, server)

    assert (reply.status, len(reply.body)) == (200, 2048)
    assert reply.body.startswith(b"\x1f\x8b")
    assert "accept-encoding" not in server.requests[0].headers


@pytest.mark.parametrize(
    ("status", "headers", "sent", "body"),
    [
        ("200 OK", b"", b"ok", b"ok"),
        ("200 OK", b"Transfer-Encoding: chunked\r\n", b"2\r\nok\r\n0\r\n\r\n", b"ok"),
        ("204 No Content", b"", b"ok", b""),
        ("304 Not Modified", b"", b"ok", b""),
    ],
    ids=["usual", "chunks", "no_content", "not_modified"],
)
async def test_a_body_that_comes_with_its_head_is_read_by_its_frame(
    client, status, headers, sent, body
) -> None:
    """What is not the usual frame ends the connection: its bytes could be another answer."""
    async with hostile.serving(hostile.answering(status, sent, headers)) as server:
        replies = [await post(client, server) for _ in range(2)]

    assert [(reply.error, reply.body) for reply in replies] == [(None, body)] * 2
    assert server.connections == (1 if sent == body else 2)


# --- answers without end, and long ones --------------------------------------------------

FEW_BYTES = 8_000_000  # what the kernel's buffers of both ends may swallow, with room to spare


async def test_of_a_huge_answer_only_the_start_is_taken(client) -> None:
    async with hostile.serving(hostile.big_body(100_000_000)) as server:
        reply = await post(client, server)
        await server.until(lambda seen: seen.gone == 1)

    assert (reply.status, reply.error) == (200, None)
    assert reply.body == b"a" * 2048
    assert server.sent_bytes < FEW_BYTES


@pytest.mark.parametrize(
    ("head", "piece"),
    [(OK_HEAD + b"\r\n", hostile.PIECE), (CHUNKED, b"1\r\na\r\n" * 1000)],
    ids=["until_close", "tiny_chunks"],
)
async def test_an_endless_answer_is_dropped_after_its_start(client, head, piece) -> None:
    async with hostile.serving(hostile.endlessly(head, piece)) as server:
        reply = await post(client, server)
        await server.until(lambda seen: seen.gone == 1)

    assert (reply.status, reply.error) == (200, None)
    assert reply.body == b"a" * 2048
    assert server.sent_bytes < FEW_BYTES


@pytest.mark.parametrize(
    "answer",
    [
        hostile.endless_fields(),
        hostile.endlessly(OK_HEAD + b"X-One: ", hostile.PIECE),
        hostile.endlessly(OK_HEAD, b"X-Small: a\r\n" * 100),
        hostile.endlessly(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    ],
    ids=["fields", "one_field", "small_fields", "early_hints"],
)
async def test_an_answer_with_a_head_without_end_is_bad(client, answer) -> None:
    async with hostile.serving(answer) as server:
        reply = await post(client, server)
        await server.until(lambda seen: seen.gone == 1)

    assert (reply.status, reply.error, reply.body) == (None, "bad_answer", b"")
    assert server.sent_bytes < FEW_BYTES


@pytest.mark.parametrize(
    "answer",
    [
        hostile.endlessly(CHUNKED + b"5;", hostile.PIECE),
        hostile.endlessly(CHUNKED + b"0\r\n", b"X-Trailer: " + hostile.PIECE + b"\r\n"),
    ],
    ids=["chunk_extension", "trailers"],
)
async def test_a_status_counts_though_its_frame_has_no_end(client, answer) -> None:
    async with hostile.serving(answer) as server:
        reply = await post(client, server)
        await server.until(lambda seen: seen.gone == 1)

    assert (reply.status, reply.error, reply.body) == (200, "body_invalid", b"")
    assert server.sent_bytes < FEW_BYTES


@pytest.mark.parametrize(
    "answer",
    [
        hostile.silent(),
        hostile.dripping(OK_HEAD, b"X-Drop: a\r\n"),
        hostile.dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["silent", "head", "continue"],
)
async def test_one_deadline_ends_an_answer_that_never_does(client, answer) -> None:
    started = time.monotonic()

    reply = await reply_to(client, answer, timeout_seconds=DEADLINE_SECONDS)

    assert (reply.status, reply.error) == (None, "timeout")
    assert DEADLINE_SECONDS <= time.monotonic() - started < PATIENCE_SECONDS


@pytest.mark.parametrize(
    "answer",
    [
        hostile.dripping(OK_HEAD + b"\r\n", b"a"),
        hostile.dripping(CHUNKED, b"1\r\na\r\n"),
        hostile.dripping(OK_HEAD + b"Content-Length: 1000\r\n\r\n", b"a"),
    ],
    ids=["body", "chunks", "announced_body"],
)
async def test_a_status_counts_though_its_body_is_not_there_by_the_deadline(client, answer) -> None:
    started = time.monotonic()

    reply = await reply_to(client, answer, timeout_seconds=DEADLINE_SECONDS)

    assert (reply.status, reply.error, reply.cut) == (200, "body_late", True)
    assert reply.body.startswith(b"a")
    assert DEADLINE_SECONDS <= time.monotonic() - started < PATIENCE_SECONDS


async def test_a_server_that_reads_nothing_is_left_at_the_deadline(client) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=1) as deaf:
        target = target_of(hostile.Server(port=deaf.getsockname()[1]))
        body = bytes(20_000_000)
        reply = await posted(client, target, LOOPBACK, [], body, DEADLINE_SECONDS)

    assert reply.error == "timeout"


async def test_a_tls_handshake_that_hangs_is_left_at_the_deadline(client) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        target = target_of(hostile.Server(port=deaf.getsockname()[1]), "https")
        reply = await posted(client, target, LOOPBACK, [], b"", DEADLINE_SECONDS)

    assert reply.error == "timeout"


# --- broken answers ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 200",
        OK_HEAD + b"Content-Le",
    ],
)
@pytest.mark.parametrize("reset", [False, True])
async def test_a_connection_that_ends_too_early_is_no_answer(client, data, reset) -> None:
    reply = await reply_to(client, hostile.saying(data, reset=reset))

    assert (reply.status, reply.error, reply.body) == (None, "closed_early", b"")


@pytest.mark.parametrize(
    ("data", "kept"),
    [
        (OK_HEAD + b"Content-Length: 10\r\n\r\nabc", b"abc"),
        (CHUNKED + b"5\r\nab", b"ab"),
        (CHUNKED + b"5\r\nabcde\r\n", b"abcde"),
    ],
)
@pytest.mark.parametrize("reset", [False, True])
async def test_a_status_counts_though_its_body_is_cut(client, data, kept, reset) -> None:
    reply = await reply_to(client, hostile.saying(data, reset=reset))

    assert (reply.status, reply.error, reply.body, reply.cut) == (200, "body_cut", kept, True)


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/3.1 200 OK\r\n\r\n",
        b"HTTP/1.1 099 Low\r\n\r\n",
        b"\x00" * 100,
    ],
)
async def test_what_is_no_http_is_a_bad_answer(client, data) -> None:
    reply = await reply_to(client, hostile.saying(data))

    assert (reply.status, reply.error) == (None, "bad_answer")


@pytest.mark.parametrize(
    "data",
    [
        OK_HEAD + b"Content-Length: -4\r\n\r\n",
        OK_HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
        CHUNKED + b"zz\r\n",
        CHUNKED + b"2\r\nabc\r\n",
    ],
)
async def test_a_status_counts_though_its_length_makes_no_sense(client, data) -> None:
    reply = await reply_to(client, hostile.saying(data))

    assert (reply.status, reply.error) == (200, "body_invalid")


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nX-Folded: one\r\n two\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon here\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 2\n\n",
        b"HTTP/1.1 200 OK\r\nX-Latin: caf\xe9\r\nX y: z\r\nContent-Length: 2, 2\r\n\r\n",
        b"\r\nHTTP/1.1  200\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\n",
    ],
    ids=["folded", "no_colon", "space", "bare_lf", "odd_names", "twice", "old"],
)
async def test_headers_are_read_leniently(client, head) -> None:
    reply = await reply_to(client, hostile.saying(head + b"ok"))

    assert (reply.status, reply.error, reply.body) == (200, None, b"ok")


async def test_a_port_where_nobody_listens_is_a_failed_connection(client) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closing:
        port = closing.getsockname()[1]
    reply = await post(client, hostile.Server(port=port))

    assert (reply.status, reply.error) == (None, "connect")


async def test_an_offer_to_switch_protocols_is_an_answer_like_any_other(client) -> None:
    data = b"HTTP/1.1 101 Switching\r\nUpgrade: evil\r\nConnection: upgrade\r\n\r\nevil"

    assert (await reply_to(client, hostile.saying(data))).status == 101


# --- which address is dialled ------------------------------------------------------------


async def test_the_address_that_was_checked_is_the_one_dialled(client) -> None:
    answers = ["127.0.0.1", "10.0.0.1"]

    async def rebinding(_host: str) -> list[str]:
        return [answers.pop(0)]

    guard = AddressGuard.of(allow_http=True, allow_networks=["127.0.0.0/8"])
    async with hostile.serving(hostile.answering()) as server:
        target = check_url(f"http://rebinding.invalid:{server.port}/", guard)
        (address,) = await resolve(target, guard, rebinding)
        reply = await posted(client, target, address, [], b"", LONG_SECONDS)

    assert reply.status == 200
    assert server.requests[0].headers["host"] == f"rebinding.invalid:{server.port}"
    assert answers == ["10.0.0.1"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux answers on all of 127.0.0.0/8")
async def test_a_name_that_moved_is_dialled_anew_though_a_connection_is_open(client) -> None:
    async with hostile.serving(hostile.answering(body=b"old")) as old:
        moved = hostile.serving(hostile.answering(body=b"new"), host="127.0.0.2", port=old.port)
        async with moved as new:
            target = target_of(old)
            before = await posted(client, target, LOOPBACK, [], b"", LONG_SECONDS)
            after = await posted(client, target, ip_address("127.0.0.2"), [], b"", LONG_SECONDS)

    assert (before.body, after.body) == (b"old", b"new")
    assert (old.connections, new.connections) == (1, 1)


async def test_for_an_address_in_the_url_no_other_is_dialled(client) -> None:
    guard = AddressGuard.of(allow_http=True, allow_networks=["127.0.0.0/8"])
    async with hostile.serving(hostile.answering()) as server:
        target = check_url(f"http://127.0.0.1:{server.port}/", guard)
        wrong = await posted(client, target, ip_address("127.0.0.2"), [], b"", LONG_SECONDS)
        right = await posted(client, target, LOOPBACK, [], b"", LONG_SECONDS)

    assert (wrong.status, wrong.error) == (None, "refused_address")
    assert right.status == 200
    assert server.connections == 1


async def test_proxies_of_the_environment_are_not_used(client, monkeypatch) -> None:
    async with (
        hostile.serving(hostile.answering(body=b"proxy")) as proxy,
        hostile.serving(hostile.answering(body=b"server")) as server,
    ):
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
            monkeypatch.setenv(name.lower(), f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        reply = await post(client, server)
        seen_by_proxy = proxy.connections
        # The trap works: a client with the library's own settings walks into it.
        plain = urllib.request.build_opener()
        await asyncio.to_thread(plain.open, target_of(server).url, b"", LONG_SECONDS)

    assert reply.body == b"server"
    assert (seen_by_proxy, proxy.connections) == (0, 1)


# --- connections -------------------------------------------------------------------------


async def test_a_connection_is_used_again(client) -> None:
    async with hostile.serving(hostile.answering(body=b"a" * 10_000)) as server:
        replies = [await post(client, server) for _ in range(20)]

    assert {reply.status for reply in replies} == {200}
    assert server.connections == 1


async def test_a_connection_that_the_server_closed_meanwhile_is_replaced(client) -> None:
    async with hostile.serving(hostile.saying(OK_HEAD + b"Content-Length: 0\r\n\r\n")) as server:
        replies = [await post(client, server, repeatable=True) for _ in range(5)]

    assert [reply.status for reply in replies] == [200] * 5
    assert server.connections == 5


async def test_bytes_after_an_answer_are_not_taken_for_the_next_one(client) -> None:
    smuggled = b"HTTP/1.1 500 Smuggled\r\nContent-Length: 0\r\n\r\n"
    answer = hostile.saying(OK_HEAD + b"Content-Length: 0\r\n\r\n" + smuggled)
    async with hostile.serving(answer) as server:
        replies = [await post(client, server) for _ in range(5)]

    assert [reply.status for reply in replies] == [200] * 5


async def test_many_posts_at_once_are_each_answered(client) -> None:
    async with (
        hostile.serving(hostile.silent()) as hanging,
        hostile.serving(hostile.answering()) as server,
    ):
        stuck = [asyncio.ensure_future(post(client, hanging, DEADLINE_SECONDS)) for _ in range(20)]
        replies = await asyncio.gather(*(post(client, server) for _ in range(200)))
        late = await asyncio.gather(*stuck)

    assert {reply.status for reply in replies} == {200}
    assert {reply.error for reply in late} == {"timeout"}


async def test_the_least_recently_used_host_gives_up_its_idle_connections() -> None:
    client = PinnedClient(SystemClock(), "test", max_hosts=2)
    async with hostile.serving(hostile.answering()) as server:
        for host in ("a.invalid", "b.invalid", "a.invalid", "c.invalid"):
            await posted(client, target_of(server, host=host), LOOPBACK, [], b"", LONG_SECONDS)
        await server.until(lambda seen: seen.gone == 1)
        opened_so_far = server.connections
        for host in ("a.invalid", "c.invalid"):
            await posted(client, target_of(server, host=host), LOOPBACK, [], b"", LONG_SECONDS)
        still_opened = server.connections
        await posted(client, target_of(server, host="b.invalid"), LOOPBACK, [], b"", LONG_SECONDS)
        await client.close()

        assert (opened_so_far, still_opened, server.connections) == (3, 3, 4)


async def test_what_is_in_flight_outlives_its_place_among_the_recently_used() -> None:
    client = PinnedClient(SystemClock(), "test", max_hosts=1)
    go = asyncio.Event()

    async def when_told(send: hostile.Send, _: hostile.Request) -> None:
        await go.wait()
        await send(OK_HEAD + b"Content-Length: 4\r\n\r\nlate")

    async with (
        hostile.serving(when_told) as slow,
        hostile.serving(hostile.answering()) as other,
    ):
        waiting = asyncio.ensure_future(post(client, slow))
        await slow.until(lambda seen: len(seen.requests) == 1)
        assert (await post(client, other)).status == 200
        go.set()
        reply = await waiting
        await slow.until(lambda seen: seen.gone == 1)
        await client.close()

    assert (reply.status, reply.body) == (200, b"late")


async def test_closing_answers_who_still_waits_and_ends_idle_connections(client) -> None:
    async with (
        hostile.serving(hostile.silent()) as hanging,
        hostile.serving(hostile.answering()) as server,
    ):
        assert (await post(client, server)).status == 200
        waiting = asyncio.ensure_future(post(client, hanging, DEADLINE_SECONDS))
        await hanging.until(lambda seen: len(seen.requests) == 1)
        await client.close()
        reply = await waiting
        await server.until(lambda seen: seen.gone == 1)

    assert (reply.status, reply.error) == (None, "stopped")


async def test_cancelling_goes_through_at_once(client) -> None:
    async with hostile.serving(hostile.silent()) as server:
        waiting = asyncio.ensure_future(post(client, server, DEADLINE_SECONDS))
        await server.until(lambda seen: len(seen.requests) == 1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

        assert (await reply_to(client, hostile.answering())).status == 200


# --- TLS ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> hostile.Authority:
    return hostile.Authority()


async def tls_reply(
    authority: hostile.Authority, *names: str, days_left: int = 1, trusted: bytes | None = None
) -> OutboundResponse:
    client = PinnedClient(SystemClock(), "test", extra_root_pem=trusted)
    context = authority.serve_as(*names, days_left=days_left)
    async with hostile.serving(hostile.answering(body=b"private"), tls=context) as server:
        reply = await posted(client, target_of(server, "https"), LOOPBACK, [], b"", LONG_SECONDS)
        await client.close()
    assert len(server.requests) == (1 if reply.status else 0)
    return reply


async def test_a_good_certificate_of_a_trusted_authority_is_delivered_to(authority) -> None:
    both = hostile.Authority().pem + authority.pem

    reply = await tls_reply(authority, "pinned.invalid", trusted=both)

    assert (reply.status, reply.body) == (200, b"private")


@pytest.mark.parametrize("names", [("other.invalid",), ("127.0.0.1",), ("invalid",)])
async def test_a_certificate_for_another_name_is_refused(authority, names) -> None:
    reply = await tls_reply(authority, *names, trusted=authority.pem)

    assert (reply.status, reply.error) == (None, "tls_wrong_host")


async def test_a_certificate_of_an_unknown_authority_is_refused(authority) -> None:
    reply = await tls_reply(authority, "pinned.invalid")

    assert (reply.status, reply.error) == (None, "tls_unknown_issuer")


async def test_a_certificate_that_has_run_out_is_refused(authority) -> None:
    reply = await tls_reply(authority, "pinned.invalid", days_left=-1, trusted=authority.pem)

    assert (reply.status, reply.error) == (None, "tls_expired")


async def test_a_url_with_an_address_needs_a_certificate_for_that_address(authority) -> None:
    guard = AddressGuard.of(allow_http=False, allow_networks=["127.0.0.0/8"])
    client = PinnedClient(SystemClock(), "test", extra_root_pem=authority.pem)
    replies = []
    for name in ("127.0.0.1", "localhost"):
        answer, context = hostile.answering(), authority.serve_as(name)
        async with hostile.serving(answer, tls=context) as server:
            target = check_url(f"https://127.0.0.1:{server.port}/", guard)
            replies.append(await posted(client, target, LOOPBACK, [], b"", LONG_SECONDS))
    await client.close()

    assert [(reply.status, reply.error) for reply in replies] == [
        (200, None),
        (None, "tls_wrong_host"),
    ]


@pytest.mark.parametrize(
    ("data", "error"), [(b"HTTP/1.1 400 Bad Request\r\n\r\n", "tls_not_spoken"), (b"", "tls")]
)
async def test_a_server_that_speaks_no_tls_is_a_tls_failure(client, data, error) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(5)  # the client's greeting has begun
        writer.write(data)
        writer.close()

    async with await asyncio.start_server(speak, "127.0.0.1", 0) as listener:
        server = hostile.Server(port=listener.sockets[0].getsockname()[1])
        reply = await posted(client, target_of(server, "https"), LOOPBACK, [], b"", LONG_SECONDS)

    assert (reply.status, reply.error) == (None, error)


@pytest.mark.parametrize(
    "pem",
    [b"", b"SECRET", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"],
)
def test_extra_roots_that_are_no_certificates_are_refused(pem) -> None:
    with pytest.raises(InvalidInput) as caught:
        PinnedClient(SystemClock(), "test", extra_root_pem=pem)
    sentence = "The extra root certificates can't be read; give one or more in PEM form."
    assert caught.value.message == sentence


WITHOUT_AUTHORITIES = """
import asyncio, ipaddress
from gateway.clock import SystemClock
from gateway.outbound.messages import OutboundRequest
from gateway.outbound.pinned import PinnedClient, Target

async def main():
    client = PinnedClient(SystemClock(), "test")
    url, address = "https://127.0.0.1:9/", ipaddress.ip_address("127.0.0.1")
    target = Target(url=url, scheme="https", host="127.0.0.1", port=9, address=address)
    reply = await client.send(target, [address], OutboundRequest(url=url), 5.0)
    print(reply.status, reply.error)

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system's own store is asked")
def test_a_machine_that_trusts_no_authority_reports_it_as_a_tls_failure(tmp_path) -> None:
    nowhere = str(tmp_path / "none")
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT_AUTHORITIES],
        env=os.environ
        | {"SSL_CERT_FILE": nowhere, "SSL_CERT_DIR": nowhere, "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=True,
    )

    assert ended.stdout.split() == ["None", "tls_no_authorities"]
