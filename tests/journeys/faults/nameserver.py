"""A name server that changes its mind (RFC 1035): A records of a few names, over UDP."""

import asyncio
import struct
from ipaddress import IPv4Address
from typing import Any, ClassVar, Self

_A = 1
_ANSWER_BITS = 0x8580  # a response, authoritative, recursion available


class NameServer(asyncio.DatagramProtocol):
    """Answers on port 53 of an address of its own, and lets nobody keep an answer.

    ``asked`` counts the questions for an address.
    """

    HOST: ClassVar = "127.0.53.53"

    def __init__(self, addresses: dict[str, str]) -> None:
        self.asked = 0
        self._now = dict(addresses)
        self._next: dict[str, str] = {}
        self._transport: asyncio.DatagramTransport | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: self, local_addr=(self.HOST, 53))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._transport.close()

    def then(self, name: str, address: str) -> None:
        """Answer once more as until now, then with ``address``."""
        self._next[name] = address

    def always(self, name: str, address: str) -> None:
        """Answer with ``address`` from now on."""
        self._now[name] = address
        self._next.pop(name, None)

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        name, end = _read_name(data)
        (kind,) = struct.unpack_from("!H", data, end)
        answer = b""
        if kind == _A and name in self._now:
            self.asked += 1
            answer = b"\xc0\x0c" + struct.pack("!HHIH", _A, 1, 0, 4)
            answer += IPv4Address(self._now[name]).packed
            self._now[name] = self._next.pop(name, self._now[name])
        head = data[:2] + struct.pack("!HHHHH", _ANSWER_BITS, 1, 1 if answer else 0, 0, 0)
        self._transport.sendto(head + data[12 : end + 4] + answer, addr)


def _read_name(data: bytes) -> tuple[str, int]:
    """Return the name that is asked for, and where it ends."""
    labels, place = [], 12
    while length := data[place]:
        labels.append(data[place + 1 : place + 1 + length].decode().lower())
        place += 1 + length
    return ".".join(labels), place + 1
