"""One write for a response: its head is sent together with its body.

uvicorn writes head and body separately, which is two system calls, two segments on the wire and two
wake-ups of the client for a response of a few hundred bytes.
"""

import asyncio
from typing import Final

# A larger body is sent separately: joining would copy it.
_MOST_JOINED_BYTES: Final = 64 * 1024


class OneWrite:
    """The transport of one response, as uvicorn's request cycle uses it.

    The first write is kept until the second, at most for the current turn of the event loop: the
    head of a stream whose first line comes later is sent alone.
    """

    __slots__ = ("_is_begun", "_kept", "_loop", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._kept = b""
        self._is_begun = False

    def write(self, data: bytes) -> None:
        """Write, or keep the first write."""
        if not self._is_begun:
            self._is_begun = True
            self._kept = data
            self._loop.call_soon(self._send_kept)
        elif self._kept and len(data) <= _MOST_JOINED_BYTES:
            kept, self._kept = self._kept, b""
            self._transport.write(kept + data)
        else:
            self._send_kept()
            self._transport.write(data)

    def close(self) -> None:
        """Close the connection when all is written."""
        self._send_kept()
        self._transport.close()

    def is_closing(self) -> bool:
        """Return whether the connection is closed or about to be."""
        return self._transport.is_closing()

    def _send_kept(self) -> None:
        if self._kept:
            kept, self._kept = self._kept, b""
            self._transport.write(kept)
