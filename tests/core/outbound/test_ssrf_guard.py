"""Whom the gateway may call: URLs, addresses, and what DNS says of a name."""

import asyncio
import ipaddress
import socket
import threading
import traceback
from ipaddress import ip_address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pyreqwest.http import Url
from waiting import PATIENCE_SECONDS

from gateway.errors import InvalidInput, Unavailable
from gateway.outbound.pinned import Target
from gateway.outbound.ssrf_guard import (
    AddressGuard,
    SystemResolver,
    blocked_reason,
    check_url,
    embedded_reason,
    resolve,
)

STRICT = AddressGuard()
HTTP = AddressGuard.of(allow_http=True, allow_networks=[])
LOOPBACK = AddressGuard.of(allow_http=True, allow_networks=["127.0.0.0/8", "::1/128"])
EVERYTHING = AddressGuard.of(allow_http=True, allow_networks=["0.0.0.0/0", "::/0"])
POLICIES = [STRICT, HTTP, LOOPBACK, EVERYTHING]

USUAL_FORM = (
    "write the host in its usual form: a name such as hooks.example.com (an international one "
    "as xn--…), or an address such as 203.0.113.7 or [2001:db8::7], then the port if any"
)
ENCODE = "percent-encode spaces, backslashes and all that is not ASCII"
PORT = "leave the port out, or have the host's network added to allow_networks"


def refusal_of(url: str, guard: AddressGuard = STRICT) -> str:
    """Return the sentence for the field ``url``, and see that it is the only one."""
    with pytest.raises(InvalidInput) as caught:
        check_url(url, guard)
    (problem,) = caught.value.details
    assert problem.field == "url"
    assert caught.value.message == f"The endpoint's URL can't be used: {problem.message}."
    return problem.message


def private(kind: str) -> str:
    return f"give a host with public addresses only, no {kind} one (or see allow_networks)"


# --- what is taken -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("https://hooks.example.com/a?b=c", "hooks.example.com", 443),
        ("https://hooks.example.com", "hooks.example.com", 443),
        ("https://hooks.example.com?b=c", "hooks.example.com", 443),
        ("https://hooks.example.com:443/", "hooks.example.com", 443),
        ("HTTPS://Hooks.Example.COM/A", "hooks.example.com", 443),
        ("https://xn--bcher-kva.example/", "xn--bcher-kva.example", 443),
        ("https://my_service/", "my_service", 443),
        ("https://a.b-c.d1/%20;=@:?q=@", "a.b-c.d1", 443),
        ("https://8.8.8.8/", "8.8.8.8", 443),
        ("https://[2606:4700::1111]/", "2606:4700::1111", 443),
        ("https://[2606:4700::ABCD]:443/", "2606:4700::abcd", 443),
    ],
)
def test_a_plain_https_url_is_taken_and_read_as_the_client_reads_it(url, host, port) -> None:
    target = check_url(url, STRICT)

    address = None if host[0].isalpha() else ip_address(host)
    assert target == Target(url=url, scheme="https", host=host, port=port, address=address)
    seen = Url(url)
    assert seen.host_str.strip("[]") == host
    assert seen.port_or_known_default == port


def test_plain_http_is_taken_only_when_the_setting_allows_it() -> None:
    assert check_url("http://hooks.example.com/", HTTP).port == 80
    refusal = refusal_of("http://hooks.example.com/")
    assert refusal == "begin it with https:// (http:// needs allow_http = true under [delivery])"


def test_another_port_is_taken_only_where_a_network_is_allowed() -> None:
    assert refusal_of("https://hooks.example.com:8443/") == PORT
    assert refusal_of("https://8.8.8.8:8443/") == PORT
    assert refusal_of("https://8.8.8.8:8443/", LOOPBACK) == PORT
    assert refusal_of("https://hooks.example.com:80/", HTTP) == PORT
    assert refusal_of("http://hooks.example.com:443/", HTTP) == PORT
    assert check_url("http://127.0.0.1:9000/", LOOPBACK).port == 9000
    # Where a name leads is known only once it is looked up.
    assert check_url("http://hooks.example.com:9000/", LOOPBACK).port == 9000


# --- what is refused ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        "2130706433",  # 127.0.0.1 as one number
        "0x7f000001",
        "017700000001",
        "0177.0.0.1",
        "0x7f.1",
        "0x7F.0x1",
        "127.1",
        "127.0.1",
        "127.0.0.1.",
        "127.0.0.01",
        "%31%32%37.0.0.1",
        "127%2e0.0.1",
        "0",
        "1",
        "foo.1",
        "1.2.3.4.5",
        "256.1.1.1",
        "8.8.8.8.",
        "0x08.8.8.8",
        "hooks.example.com.",
        "ex%61mple.com",
        "a..example.com",
        ".example.com",
        "-a.example.com",
        "a-.example.com",
        "a,b",
        "a'b",
        "a*b.example.com",
        "a%00b",
        "a" * 64,
        ".".join(["a" * 63] * 4),
        "[::0:1]",
        "[0:0:0:0:0:0:0:1]",
        "[2606:4700:0::1111]",
        "[2606:4700::1111%25eth0]",
        "[fe80::1%eth0]",
        "[::1]x",
        "[v1.x]",
        "[::1",
        "[]",
        "127.0.0.1]",
        "::1",
        "",
        "a:b",
        "a:",
        "a:0",
        "a:00443",
        "a:+443",
        "a:65536",
        "a:443:443",
        ":443",
    ],
)
@pytest.mark.parametrize("guard", POLICIES)
def test_a_host_or_port_in_an_odd_spelling_is_refused_whatever_is_allowed(host, guard) -> None:
    assert refusal_of(f"https://{host}/", guard) == USUAL_FORM


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("", "write it as https://host/path"),
        ("hooks.example.com", "write it as https://host/path"),
        ("//hooks.example.com/", "write it as https://host/path"),
        ("https:hooks.example.com", "write it as https://host/path"),
        ("https:/hooks.example.com", "write it as https://host/path"),
        (
            "ftp://hooks.example.com/",
            "begin it with https:// (http:// needs allow_http = true under [delivery])",
        ),
        (
            "file:///etc/passwd",
            "begin it with https:// (http:// needs allow_http = true under [delivery])",
        ),
        (
            "ws://hooks.example.com/",
            "begin it with https:// (http:// needs allow_http = true under [delivery])",
        ),
        ("https:///hooks.example.com", USUAL_FORM),
        ("https://hooks.example.com/#top", "leave out the # and what follows it"),
        ("https://hooks.example.com#@8.8.8.8/", "leave out the # and what follows it"),
        ("https://hooks.example.com/\\evil", ENCODE),
        ("https://8.8.8.8\\@127.0.0.1/", ENCODE),
        ("https://hooks.example.com/a b", ENCODE),
        (" https://hooks.example.com/", ENCODE),
        ("https://hooks.example.com/\n", ENCODE),
        ("https://ho\toks.example.com/", ENCODE),
        ("https://hooks.example.com\x00/", ENCODE),
        ("https://bücher.example/", ENCODE),
        ("https://\uff11\uff12\uff17.0.0.1/", ENCODE),
        ("https://127。0。0。1/", ENCODE),
        ("https://①②⑦.0.0.1/", ENCODE),
        ("https://loc\u00adalhost/", ENCODE),
        ("https://hooks.example.com/\u202e", ENCODE),
        ("https://hooks.example.com/\ud800", ENCODE),
    ],
)
@pytest.mark.parametrize("guard", [STRICT, LOOPBACK])
def test_a_url_that_two_readers_could_read_differently_is_refused(url, sentence, guard) -> None:
    assert refusal_of(url, guard) == sentence


@pytest.mark.parametrize("userinfo", ["user:pass@", "user@", ":@", "@", "8.8.8.8@", "a%40b@"])
def test_a_user_name_or_password_is_refused(userinfo) -> None:
    refusal = refusal_of(f"https://{userinfo}hooks.example.com/")
    assert refusal == "leave out the user name and password, and send a header instead"


def test_a_url_may_have_2048_characters_and_no_more() -> None:
    longest = "https://hooks.example.com/".ljust(2048, "a")

    assert check_url(longest, STRICT).url == longest
    assert refusal_of(longest + "a") == "shorten it to 2048 characters or fewer"


def test_a_refusal_repeats_nothing_of_the_url() -> None:
    urls = ["https://2130706433/tok-SECRET", "https://tok-SECRET@a.b/", "https://10.1.2.3/SECRET"]
    for url in urls:
        with pytest.raises(InvalidInput) as caught:
            check_url(url, STRICT)
        said = "".join(traceback.format_exception(caught.value)).replace(__file__, "")
        assert "SECRET" not in said
        assert "2130706433" not in said
        assert "10.1.2.3" not in said


# --- addresses ---------------------------------------------------------------------------

SPECIAL = [
    ("169.254.169.254", "cloud metadata"),
    ("169.254.170.2", "cloud metadata"),
    ("100.100.100.200", "cloud metadata"),
    ("192.0.0.192", "cloud metadata"),
    ("168.63.129.16", "cloud metadata"),
    ("fd00:ec2::254", "cloud metadata"),
    ("fd20:ce::254", "cloud metadata"),
    ("0.0.0.0", "unspecified"),
    ("0.255.255.255", "unspecified"),
    ("::", "unspecified"),
    ("127.0.0.1", "loopback"),
    ("127.255.255.255", "loopback"),
    ("::1", "loopback"),
    ("10.0.0.0", "private"),
    ("10.255.255.255", "private"),
    ("172.16.0.1", "private"),
    ("172.31.255.255", "private"),
    ("192.168.0.1", "private"),
    ("fc00::1", "unique local"),
    ("fdff:ffff::1", "unique local"),
    ("169.254.0.1", "link-local"),
    ("fe80::1", "link-local"),
    ("febf::1", "link-local"),
    ("fec0::1", "site-local"),
    ("100.64.0.1", "carrier-grade NAT"),
    ("100.127.255.255", "carrier-grade NAT"),
    ("192.0.0.8", "IETF protocol"),
    ("192.88.99.1", "IETF protocol"),
    ("2001:1::1", "IETF protocol"),
    ("2001:2::1", "IETF protocol"),
    ("2001:20::1", "IETF protocol"),
    ("192.0.2.1", "documentation"),
    ("198.51.100.1", "documentation"),
    ("203.0.113.1", "documentation"),
    ("2001:db8::1", "documentation"),
    ("3fff:fff::1", "documentation"),
    ("198.18.0.1", "benchmarking"),
    ("198.19.255.255", "benchmarking"),
    ("224.0.0.1", "multicast"),
    ("239.255.255.255", "multicast"),
    ("ff02::1", "multicast"),
    ("255.255.255.255", "broadcast"),
    ("100::1", "discard-only"),
    ("240.0.0.1", "reserved"),
    ("3ffe::1", "reserved"),
    ("5f00::1", "reserved"),
    ("4000::1", "reserved"),
    ("1::1", "reserved"),
]
EMBEDDED = [
    ("::ffff:8.8.8.8", "IPv4-mapped"),
    ("::ffff:127.0.0.1", "IPv4-mapped"),
    ("::ffff:0:127.0.0.1", "IPv4-translated"),
    ("::127.0.0.1", "IPv4-compatible"),
    ("::2", "IPv4-compatible"),
    ("64:ff9b:1::10.0.0.1", "NAT64"),
    ("2002:7f00:1::", "6to4"),
    ("2001::1", "Teredo"),
    ("2001:0:7f00:1::", "Teredo"),
    ("2606:4700::5efe:7f00:1", "ISATAP"),
    ("2606:4700::200:5efe:8.8.8.8", "ISATAP"),
    ("fe80::1%eth0", "zone-bound"),
    ("2606:4700::1%1", "zone-bound"),
]


@pytest.mark.parametrize(("text", "reason"), SPECIAL + EMBEDDED)
def test_a_special_address_is_named_for_what_it_is(text, reason) -> None:
    assert blocked_reason(ip_address(text)) == reason


@pytest.mark.parametrize(
    "text",
    [
        "1.1.1.1",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "168.63.129.17",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "2606:4700::1111",
        "2a00:1450::1",
        "2001:200::1",
        "2001:db7::1",
        "2003::1",
        "3ffd::1",
    ],
)
def test_an_ordinary_public_address_is_not_blocked(text) -> None:
    address = ip_address(text)

    assert blocked_reason(address) is None
    assert embedded_reason(address) is None
    assert STRICT.refusal(address, standard_port=True) is None
    assert STRICT.refusal(address, standard_port=False) == PORT


@pytest.mark.parametrize(
    ("text", "refused"),
    [("64:ff9b::8.8.8.8", None), ("64:ff9b::10.0.0.1", "private"), ("64:ff9b::7f00:1", "loopback")],
)
def test_behind_dns64_the_ipv4_address_is_judged(text, refused) -> None:
    """RFC 6147: such networks write every IPv4-only host so, beside its A record."""
    address = ip_address(text)

    assert blocked_reason(address) == refused
    assert (STRICT.refusal(address, standard_port=True) is None) is (refused is None)
    allowed = AddressGuard.of(allow_http=False, allow_networks=["10.0.0.0/8", "127.0.0.0/8"])
    assert allowed.trusts(address) is (refused is not None)


@pytest.mark.parametrize("network", ["64:ff9b::/96", "64:ff9b::a00:0/104", "::ffff:10.0.0.0/104"])
def test_an_allowed_network_that_has_no_effect_is_refused(network) -> None:
    with pytest.raises(InvalidInput) as caught:
        AddressGuard.of(allow_http=False, allow_networks=["10.0.0.0/8", network])

    [problem] = caught.value.details
    assert (problem.index, problem.field) == (1, "allow_networks")
    assert "name the IPv4 network" in problem.message


@given(st.ip_addresses())
def test_python_calls_no_address_private_that_we_let_through(address) -> None:
    if blocked_reason(address) is None:
        assert address.is_global
        assert not address.is_multicast


@pytest.mark.parametrize(("text", "reason"), SPECIAL)
def test_a_special_address_in_a_url_is_refused_unless_its_network_is_allowed(text, reason) -> None:
    address = ip_address(text)
    host = f"[{address}]" if address.version == 6 else text

    assert refusal_of(f"https://{host}/") == private(reason)
    only_it = AddressGuard.of(allow_http=False, allow_networks=[text])
    assert check_url(f"https://{host}:8443/", only_it).address == address
    assert only_it.refusal(address, standard_port=False) is None


@pytest.mark.parametrize(("text", "reason"), EMBEDDED)
def test_an_address_that_hides_another_is_refused_even_where_all_is_allowed(text, reason) -> None:
    address = ip_address(text)
    sentence = f"give a host with plain addresses only, no {reason} one"

    assert EVERYTHING.refusal(address, standard_port=True) == sentence
    assert not EVERYTHING.trusts(address)
    if "%" not in text:
        written = Url(f"https://[{text}]/").host_str
        assert refusal_of(f"https://{written}/", EVERYTHING) == sentence


def test_networks_that_can_not_be_read_are_each_named_by_their_place() -> None:
    entries = ["127.0.0.0/8", "10.0.0.1/8", "SECRET", "fd00::/8", "1.2.3.0/33"]

    with pytest.raises(InvalidInput) as caught:
        AddressGuard.of(allow_http=False, allow_networks=entries)

    assert caught.value.message.startswith("[delivery] allow_networks: entry ")
    assert [(p.field, p.index) for p in caught.value.details] == [
        ("allow_networks", 1),
        ("allow_networks", 2),
        ("allow_networks", 4),
    ]
    sentence = "is no network by its first address, such as 192.168.1.0/24"
    assert {problem.message for problem in caught.value.details} == {sentence}


# --- looking names up --------------------------------------------------------------------


class FakeDns:
    """Gives one answer after the other, the last one again and again."""

    def __init__(self, *answers: list[str] | OSError) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str) -> list[str]:
        self.asked.append(host)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, OSError):
            raise answer
        return answer


TARGET = check_url("https://hooks.example.com/", STRICT)


async def test_a_name_is_looked_up_once_and_all_its_addresses_come_back_in_order() -> None:
    dns = FakeDns(["2606:4700::1", "8.8.8.8", "8.8.8.8", "1.1.1.1"])

    found = await resolve(TARGET, STRICT, dns)

    assert found == [ip_address(text) for text in ("2606:4700::1", "8.8.8.8", "1.1.1.1")]
    assert dns.asked == ["hooks.example.com"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (["10.0.0.1"], "private"),
        (["8.8.8.8", "10.0.0.1"], "private"),
        (["127.0.0.1", "8.8.8.8"], "loopback"),
        (["8.8.8.8", "169.254.169.254"], "cloud metadata"),
        (["8.8.8.8", "fd00::1"], "unique local"),
    ],
)
async def test_one_address_that_may_not_be_called_refuses_the_whole_answer(answer, reason) -> None:
    with pytest.raises(InvalidInput) as caught:
        await resolve(TARGET, STRICT, FakeDns(answer))

    assert [(p.field, p.message) for p in caught.value.details] == [("url", private(reason))]


@pytest.mark.parametrize("answer", ["::ffff:8.8.8.8", "fe80::1%eth0", "64:ff9b:1::8.8.8.8"])
async def test_an_answer_that_hides_an_address_is_refused_even_where_all_is_allowed(answer) -> None:
    with pytest.raises(InvalidInput):
        await resolve(TARGET, EVERYTHING, FakeDns([answer]))


async def test_another_port_is_called_only_when_all_addresses_lie_in_allowed_networks() -> None:
    target = check_url("http://hooks.example.com:9000/", LOOPBACK)

    assert await resolve(target, LOOPBACK, FakeDns(["127.0.0.1"])) == [ip_address("127.0.0.1")]
    for answer in (["8.8.8.8"], ["127.0.0.1", "8.8.8.8"]):
        with pytest.raises(InvalidInput) as caught:
            await resolve(target, LOOPBACK, FakeDns(answer))
        assert caught.value.details[0].message == PORT


async def test_a_name_that_moves_inside_between_two_calls_is_refused_the_second_time() -> None:
    dns = FakeDns(["8.8.8.8"], ["192.168.1.1"])

    assert await resolve(TARGET, STRICT, dns) == [ip_address("8.8.8.8")]
    with pytest.raises(InvalidInput):
        await resolve(TARGET, STRICT, dns)


async def test_an_address_in_the_url_is_not_looked_up_but_judged_again() -> None:
    dns = FakeDns(["8.8.8.8"])
    target = check_url("http://127.0.0.1:9000/", LOOPBACK)

    assert await resolve(target, LOOPBACK, dns) == [ip_address("127.0.0.1")]
    with pytest.raises(InvalidInput):
        await resolve(target, STRICT, dns)
    assert dns.asked == []


async def test_localhost_needs_only_one_of_its_two_networks_allowed() -> None:
    v4_only = AddressGuard.of(allow_http=True, allow_networks=["127.0.0.0/8"])
    target = check_url("http://localhost:9000/", v4_only)
    dns = FakeDns(["::1", "127.0.0.1"])

    assert await resolve(target, v4_only, dns) == [ip_address("127.0.0.1")]
    other_name = check_url("http://localhost.example.com:9000/", v4_only)
    with pytest.raises(InvalidInput):
        await resolve(other_name, v4_only, dns)
    with pytest.raises(InvalidInput):
        await resolve(check_url("https://localhost/", STRICT), STRICT, dns)


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (socket.gaierror(-2, "unknown"), "The endpoint's host name can't be looked up; check it."),
        (TimeoutError(), "The endpoint's host name can't be looked up; check it."),
        ([], "The endpoint's host name has no address; check it."),
    ],
)
async def test_a_name_without_an_answer_is_something_to_try_again(answer, sentence) -> None:
    with pytest.raises(Unavailable) as caught:
        await resolve(TARGET, STRICT, FakeDns(answer))
    assert caught.value.message == sentence


async def test_a_name_server_that_hangs_is_given_up_on() -> None:
    async def hang(_host: str) -> list[str]:
        await asyncio.Event().wait()
        return []

    async with asyncio.timeout(PATIENCE_SECONDS):
        with pytest.raises(Unavailable):
            await resolve(TARGET, STRICT, hang, timeout_seconds=0.01)


# --- the machine's own resolver ----------------------------------------------------------


async def test_the_machine_knows_localhost() -> None:
    found = await SystemResolver()("localhost")

    assert {ip_address(text) for text in found} <= {ip_address("127.0.0.1"), ip_address("::1")}
    assert found != []


async def test_a_name_that_is_none_is_an_error_of_the_machine() -> None:
    with pytest.raises(socket.gaierror):
        await SystemResolver()("no name at all")


class SlowLookups:
    """Stands in for getaddrinfo; each look-up ends when ``go`` is set."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.asked: list[bytes] = []

    def __call__(self, host: bytes, _port: None, **_: object) -> list[tuple[object, ...]]:
        self.asked.append(host)
        self.go.wait(PATIENCE_SECONDS)
        return [(0, 0, 0, "", ("8.8.8.8", 0))]


@pytest.fixture
def slow(monkeypatch):
    lookups = SlowLookups()
    monkeypatch.setattr(socket, "getaddrinfo", lookups)
    yield lookups
    lookups.go.set()


async def test_a_name_that_is_being_looked_up_takes_no_second_thread(slow) -> None:
    resolver = SystemResolver(max_lookups=1)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(resolver("a.example"), 0.01)
    waiting = [asyncio.ensure_future(resolver("a.example")) for _ in range(5)]
    await asyncio.sleep(0)

    with pytest.raises(OSError, match="too many host names"):
        await resolver("b.example")
    slow.go.set()

    assert await asyncio.gather(*waiting) == [["8.8.8.8"]] * 5
    assert await resolver("b.example") == ["8.8.8.8"]
    assert slow.asked == [b"a.example", b"b.example"]


def test_a_look_up_that_outlives_its_loop_disturbs_nobody(slow) -> None:
    async def give_up() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(SystemResolver()("a.example"), 0.01)

    before = set(threading.enumerate())
    asyncio.run(give_up())
    (thread,) = set(threading.enumerate()) - before
    slow.go.set()
    # What it raised would fail the test as an unhandled exception in a thread.
    thread.join(PATIENCE_SECONDS)

    assert not thread.is_alive()
    assert thread.daemon


# --- anything at all ---------------------------------------------------------------------

PLAIN_PIECES = (
    "https http HTTPS :// : / // \\ @ # ? % . .. [ ] :: 0x 0 1 127 7f 017 8 256 255 65535 443 80 "
    "localhost example.com xn-- ffff 169.254.169.254 2130706433 127.0.0.1 8.8.8.8 [::1] %2e %00 "
    "[::ffff:127.0.0.1] [2606:4700::1] - _ a"
)
ODD_PIECES = ["\u3002", "\uff11", "\xdf", "\xe9", "\xad", "\u200b", "\t", "\n", " ", "\x00", "\x7f"]
PIECES = st.sampled_from(PLAIN_PIECES.split() + ODD_PIECES)
URLS = st.one_of(
    st.text(max_size=60),
    st.lists(PIECES, max_size=12).map("".join),
    st.lists(PIECES, max_size=10).map(lambda pieces: "https://" + "".join(pieces)),
    st.lists(PIECES, max_size=10).map(lambda pieces: "http://" + "".join(pieces)),
    st.builds("http://{}/".format, st.ip_addresses(v=4)),
    st.builds("https://[{}]/".format, st.ip_addresses(v=6)),
    st.builds("https://{}.{}.{}.{}/".format, *[st.integers(0, 300)] * 4),
    st.builds("https://{:#x}/".format, st.integers(0, 2**32)),
)


@given(url=URLS, guard=st.sampled_from(POLICIES))
@example(url="https://①②⑦.⓪.⓪.①/", guard=EVERYTHING)
@example(url="http://[::ffff:7f00:1]:9/", guard=EVERYTHING)
def test_a_url_is_refused_or_leads_exactly_where_it_says(url, guard) -> None:
    try:
        target = check_url(url, guard)
    except InvalidInput:
        return

    seen = Url(url)
    assert target.url == url
    assert (seen.scheme, seen.port_or_known_default) == (target.scheme, target.port)
    assert (seen.username, seen.password, seen.fragment) == ("", None, None)
    written = f"[{target.host}]" if ":" in target.host else target.host
    assert seen.host_str == written
    assert url.lower().startswith(f"{target.scheme}://{written}")
    try:
        literal = ipaddress.ip_address(target.host)
    except ValueError:
        literal = None
    assert target.address == literal
    standard = target.port == (443 if target.scheme == "https" else 80)
    if literal is not None:
        assert str(literal) == target.host
        assert guard.refusal(literal, standard_port=standard) is None
    assert target.scheme == "https" or guard.allow_http
    assert standard or guard.allow_networks
