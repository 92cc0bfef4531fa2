"""Guard against SSRF: rules for URLs, rules for addresses, one checked look-up.

A customer writes an endpoint's URL and another party controls its DNS, so neither may lead into the
operator's own network. Three checks in a row:

1. :func:`check_url` accepts only a plain URL whose host has one reading.
2. :func:`resolve` looks the host up once and accepts the answer only if every address in it
   may be called.
3. :class:`~gateway.outbound.pinned.PinnedClient` dials an address that passed here; it makes no
  look-up itself.

The tables are written out because ``ipaddress.is_global`` differs between Python's patch releases
(https://github.com/python/cpython/issues/113171). Sources: IANA's special-purpose registries
(https://www.iana.org/assignments/iana-ipv4-special-registry,
https://www.iana.org/assignments/iana-ipv6-special-registry), RFC 6890.
"""

import asyncio
import contextlib
import re
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import (
    AddressValueError,
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from threading import Thread
from typing import Final, Self, TypeAlias

from gateway.errors import InvalidInput, Problem, Unavailable
from gateway.outbound.pinned import IPAddress, Target

Network: TypeAlias = IPv4Network | IPv6Network
Resolver: TypeAlias = Callable[[str], Awaitable[Sequence[str]]]
"""Looks a host name up and returns its addresses as text; raises OSError when it can't."""

MAX_URL_CHARS: Final = 2048
_STANDARD_PORTS: Final = {"https": 443, "http": 80}
_MAX_PORT: Final = 65535

_VISIBLE: Final = re.compile(r"[\x21-\x7e]*")
_URL: Final = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?]*).*")
_AUTHORITY: Final = re.compile(r"(?P<host>\[[^\]]*\]|[^:]*)(?::(?P<port>[1-9][0-9]{0,4}))?")
# Underscores aren't allowed in a host name (RFC 1123), but private networks use them.
_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_NAME: Final = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")

_USUAL_FORM: Final = (
    "write the host in its usual form: a name such as hooks.example.com (an international one "
    "as xn--…), or an address such as 203.0.113.7 or [2001:db8::7], then the port if any"
)

_OTHER_PORT: Final = "leave the port out, or have the host's network added to allow_networks"


def _table(rows: dict[str, str]) -> tuple[tuple[Network, str], ...]:
    return tuple(
        (ip_network(network), reason) for reason, row in rows.items() for network in row.split()
    )


# Each of these contains an IPv4 address that a router on the way may unpack.
_EMBEDDED: Final = _table(
    {
        "IPv4-mapped": "::ffff:0:0/96",
        "IPv4-translated": "::ffff:0:0:0/96",
        "NAT64": "64:ff9b:1::/48",
        "6to4": "2002::/16",
        "Teredo": "2001::/32",
    }
)
# A DNS64 name server returns each IPv4-only host in this form (RFC 6147): the IPv4 address in the
# last 32 bits is dialled, so the rules check that one.
_DNS64: Final = IPv6Network("64:ff9b::/96")
_COMPATIBLE: Final = IPv6Network("::/96")
_ISATAP: Final = (0x00005EFE, 0x02005EFE)  # RFC 5214, section 6.1: these, then an IPv4 address
_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")

# The first matching row gives the reason, so exact addresses come before networks.
_BLOCKED: Final = _table(
    {
        # AWS, GCP and most others; Alibaba; Oracle; Azure (a public address!); AWS and GCP on IPv6
        "cloud metadata": "169.254.169.254 169.254.170.2 100.100.100.200 192.0.0.192 "
        "168.63.129.16 fd00:ec2::254 fd20:ce::254",
        "unspecified": "0.0.0.0/8 ::",
        "loopback": "127.0.0.0/8 ::1",
        "private": "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16",
        "unique local": "fc00::/7",
        "link-local": "169.254.0.0/16 fe80::/10",
        "site-local": "fec0::/10",
        "carrier-grade NAT": "100.64.0.0/10",
        "IETF protocol": "192.0.0.0/24 192.31.196.0/24 192.52.193.0/24 192.88.99.0/24 "
        "192.175.48.0/24 2001::/23 2620:4f:8000::/48",
        "documentation": "192.0.2.0/24 198.51.100.0/24 203.0.113.0/24 2001:db8::/32 3fff::/20",
        "benchmarking": "198.18.0.0/15",
        "multicast": "224.0.0.0/4 ff00::/8",
        "broadcast": "255.255.255.255",
        "discard-only": "100::/63",
        "reserved": "240.0.0.0/4 3ffe::/16",
    }
)


def judged(address: IPAddress) -> IPAddress:
    """Return the address that the rules check: behind DNS64 the embedded IPv4 address."""
    if isinstance(address, IPv6Address) and address.scope_id is None and address in _DNS64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def embedded_reason(address: IPAddress) -> str | None:
    """Return the form in which an IPv6 address embeds IPv4, or None; no setting allows these."""
    if not isinstance(address, IPv6Address):
        return None
    if address.scope_id is not None:
        return "zone-bound"
    for network, reason in _EMBEDDED:
        if address in network:
            return reason
    if address in _COMPATIBLE and int(address) > 1:  # :: and ::1 have names of their own
        return "IPv4-compatible"
    return "ISATAP" if (int(address) >> 32) & 0xFFFFFFFF in _ISATAP else None


def blocked_reason(address: IPAddress) -> str | None:
    """Return the kind of a special address, or None for an ordinary public one."""
    address = judged(address)
    if embedded := embedded_reason(address):
        return embedded
    for network, reason in _BLOCKED:
        if address in network:
            return reason
    if isinstance(address, IPv6Address) and address not in _GLOBAL_UNICAST:
        return "reserved"
    return None


@dataclass(frozen=True, slots=True)
class AddressGuard:
    """The operator's exceptions from public addresses over https on port 443.

    ``allow_http`` allows plain http to port 80; ``allow_networks`` may be of any kind, on any port.
    """

    allow_http: bool = False
    allow_networks: tuple[Network, ...] = ()

    @classmethod
    def of(cls, allow_http: bool, allow_networks: Iterable[str]) -> Self:
        """Read the settings; InvalidInput names each entry that is no network."""
        networks: list[Network] = []
        faults: list[Problem] = []
        for index, text in enumerate(allow_networks):
            try:
                network = ip_network(text)
            except ValueError:
                sentence = "is no network by its first address, such as 192.168.1.0/24"
            else:
                networks.append(network)
                reason = _without_effect(network)
                if reason is None:
                    continue
                sentence = f"has no effect, as {reason} addresses are never dialled as such; name "
                sentence += "the IPv4 network that is meant"
            faults.append(Problem(message=sentence, index=index, field="allow_networks"))
        if faults:
            place, fault = (faults[0].index or 0) + 1, faults[0].message
            raise InvalidInput(f"[delivery] allow_networks: entry {place} {fault}.", faults)
        return cls(allow_http, tuple(networks))

    def trusts(self, address: IPAddress) -> bool:
        """Return whether the operator allowed a network that contains ``address``."""
        address = judged(address)
        return embedded_reason(address) is None and any(
            address in network for network in self.allow_networks
        )

    def refusal(self, address: IPAddress, *, standard_port: bool) -> str | None:
        """Return the reason, for customers, why ``address`` may not be called, or None."""
        address = judged(address)
        if self.trusts(address):
            return None
        if reason := embedded_reason(address):
            return f"give a host with plain addresses only, no {reason} one"
        if reason := blocked_reason(address):
            return (
                f"give a host with public addresses only, no {reason} one (or see allow_networks)"
            )
        return None if standard_port else _OTHER_PORT


def _without_effect(network: Network) -> str | None:
    """Return the form that embeds IPv4 in all of ``network``: allowing it would have no effect."""
    if not isinstance(network, IPv6Network):
        return None
    hidden = [*_EMBEDDED, (_DNS64, "DNS64")]
    return next(
        (reason for outer, reason in hidden if network.subnet_of(outer)),  # type: ignore[arg-type]
        None,
    )


def check_url(url: str, guard: AddressGuard) -> Target:
    """Read an endpoint's URL; a host that is a name may still be refused by :func:`resolve`.

    Raises InvalidInput, for the field ``url``, with one sentence that says what to change.
    """
    scheme, host, port = _read_strictly(url, guard)
    address = _read_address(host)
    name = host if address is None else str(address)
    target = Target(url=url, scheme=scheme, host=name, port=port, address=address)
    if target.address is not None:
        _require_allowed([target.address], target, guard)
    elif not _NAME.fullmatch(host):
        raise _refused(_USUAL_FORM)
    elif not _on_standard_port(target) and not guard.allow_networks:
        raise _refused(_OTHER_PORT)
    return target


def _read_strictly(url: str, guard: AddressGuard) -> tuple[str, str, int]:
    """Return scheme, host (lower case, IPv6 in brackets) and port, or refuse what isn't plain."""
    if len(url) > MAX_URL_CHARS:
        raise _refused(f"shorten it to {MAX_URL_CHARS} characters or fewer")
    if not _VISIBLE.fullmatch(url) or "\\" in url:
        raise _refused("percent-encode spaces, backslashes and all that is not ASCII")
    parts = _URL.fullmatch(url)
    if parts is None:
        raise _refused("write it as https://host/path")
    scheme = parts["scheme"].lower()
    if scheme != "https" and not (scheme == "http" and guard.allow_http):
        raise _refused("begin it with https:// (http:// needs allow_http = true under [delivery])")
    if "#" in url:
        raise _refused("leave out the # and what follows it")
    if "@" in parts["authority"]:
        raise _refused("leave out the user name and password, and send a header instead")
    authority = _AUTHORITY.fullmatch(parts["authority"])
    if authority is None or not authority["host"]:
        raise _refused(_USUAL_FORM)
    port = int(authority["port"] or _STANDARD_PORTS[scheme])
    if port > _MAX_PORT:
        raise _refused(_USUAL_FORM)
    return scheme, authority["host"].lower(), port


def _read_address(host: str) -> IPAddress | None:
    """Return ``host`` as an address, if it is one; refuse one in an unusual notation.

    A name whose last label is a number is an address: 2130706433, 0x7f.1 and 127.1 are 127.0.0.1 to
    many programs (https://url.spec.whatwg.org/#ends-in-a-number-checker).
    """
    address: IPAddress | None = None
    try:
        if host.startswith("["):
            address = IPv6Address(host[1:-1])
        elif _NUMBER.fullmatch(host.rpartition(".")[2]):
            address = IPv4Address(host)
    except AddressValueError:
        raise _refused(_USUAL_FORM) from None
    if address is not None and (str(address) != host.strip("[]") or "%" in host):
        raise _refused(_USUAL_FORM)
    return address


async def resolve(
    target: Target, guard: AddressGuard, resolver: Resolver, timeout_seconds: float = 5.0
) -> list[IPAddress]:
    """Return the addresses of ``target``, each of which may be dialled, in the resolver's order.

    Raises InvalidInput when any of them may not: a public address beside a private one is typical
    of DNS rebinding. Raises Unavailable without an answer in time.
    """
    if target.address is not None:
        found: list[IPAddress] = [target.address]
    else:
        try:
            async with asyncio.timeout(timeout_seconds):
                answers = await resolver(target.host)
        except OSError as error:  # TimeoutError and socket.gaierror among them
            raise Unavailable("The endpoint's host name can't be looked up; check it.") from error
        found = list(dict.fromkeys(ip_address(answer) for answer in answers))
    if not found:
        raise Unavailable("The endpoint's host name has no address; check it.")
    if target.host == "localhost":
        # localhost is always this machine (RFC 6761) and often both 127.0.0.1 and ::1: one is
        # enough.
        found = [address for address in found if guard.trusts(address)] or found
    _require_allowed(found, target, guard)
    return found


async def check_host(
    target: Target,
    guard: AddressGuard,
    resolver: Resolver,
    timeout_seconds: float = 2.0,
) -> None:
    """Look a host up before its URL is stored; raises InvalidInput as :func:`resolve` does.

    A host that can't be looked up now passes, because it is looked up again for each request.
    """
    with contextlib.suppress(Unavailable):
        await resolve(target, guard, resolver, timeout_seconds)


class SystemResolver:
    """Looks names up as the machine does (getaddrinfo), a thread for each name.

    A hanging name server occupies a thread for half a minute. So look-ups don't use the event
    loop's few shared threads, the exit doesn't wait for them, and one name never has two; beyond
    ``max_lookups`` names at once a look-up fails.
    """

    def __init__(self, max_lookups: int = 64) -> None:
        self._max_lookups = max_lookups
        self._running: dict[str, asyncio.Future[list[str] | OSError]] = {}

    async def __call__(self, host: str) -> list[str]:
        """Return the addresses of ``host`` as text; OSError when there are none."""
        running = self._running.get(host)
        if running is None:
            if len(self._running) >= self._max_lookups:
                raise OSError("too many host names are being looked up at once")
            loop = asyncio.get_running_loop()
            running = loop.create_future()
            Thread(target=_look_up, args=(host, loop, running), daemon=True).start()
            running.add_done_callback(lambda _: self._running.pop(host))
            self._running[host] = running
        answer = await asyncio.shield(running)
        if isinstance(answer, OSError):
            raise answer
        return answer


def _look_up(
    host: str, loop: asyncio.AbstractEventLoop, answer: asyncio.Future[list[str] | OSError]
) -> None:
    found: list[str] | OSError
    try:
        # As bytes, because Python would encode text by an older standard of international names.
        rows = socket.getaddrinfo(host.encode("ascii"), None, type=socket.SOCK_STREAM)
        found = [str(row[4][0]) for row in rows]
    except OSError as error:
        found = error
    with contextlib.suppress(RuntimeError):  # the loop is closed: the result isn't needed
        loop.call_soon_threadsafe(answer.set_result, found)


def _on_standard_port(target: Target) -> bool:
    return target.port == _STANDARD_PORTS[target.scheme]


def _require_allowed(found: Iterable[IPAddress], target: Target, guard: AddressGuard) -> None:
    for address in found:
        refusal = guard.refusal(address, standard_port=_on_standard_port(target))
        if refusal is not None:
            raise _refused(refusal)


def _refused(what_to_change: str) -> InvalidInput:
    return InvalidInput(
        f"The endpoint's URL can't be used: {what_to_change}.",
        [Problem(message=what_to_change, field="url")],
    )
