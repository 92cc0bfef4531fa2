"""One HTTP/1.1 connection: write a request, read the response's head and the start of its body.

The server at the other end may be hostile or broken, and is read as RFC 9112 advises:

* The status line decides. A defect of the body (an early end, a wrong length, no end before the
  deadline) is a ``fault`` beside the status.
* Headers are read leniently: folded lines are joined (section 5.2), space before a colon is
  ignored, a line without a colon is skipped, lines may end in a bare LF (section 2.2).
* A head has at most 64 KB, of a body ``keep_bytes`` are kept and at most 16 KB more read.
* A connection is reused only after a response whose end was read, with no bytes after it.

Header names are sent as given: vendors document theirs in mixed case, and people search logs for
the documented form.
"""

import asyncio
import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from gateway.errors import CallFailed
from gateway.outbound.failures import Failure, lost_failure

MAX_HEAD_BYTES: Final = 64 * 1024
_MAX_SURPLUS_BYTES: Final = 16 * 1024
_MAX_DRAIN_SECONDS: Final = 1.0
_MAX_CHUNK_LINE_BYTES: Final = 1024

_STATUS_LINE: Final = re.compile(rb"HTTP/1\.([01])[ \t]+([1-9][0-9]{2})(?:[ \t\r].*)?", re.DOTALL)
_HEAD_END: Final = re.compile(rb"\r?\n\r?\n")
_FOLD: Final = re.compile(rb"\r?\n[ \t]+")
_CHUNK_SIZE: Final = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?")
_DIGITS: Final = re.compile(rb"[0-9]{1,18}")
_SWITCHING_PROTOCOLS: Final = 101
_LINE_END: Final = b"\r\n"
_NO_BODY: Final = frozenset({101, 204, 304})


class Head(NamedTuple):
    """The head of a response: its status and, by lower-case name, its headers."""

    status: int
    headers: dict[bytes, bytes]
    is_http_1_0: bool


class Answer(NamedTuple):
    """A response: ``cut`` when there may be more body; ``fault`` is the body's defect."""

    head: Head
    body: bytes
    cut: bool = False
    fault: Failure | None = None


def read_head(data: bytes) -> Head:
    """Parse a head, without the empty line at its end; raises ``CallFailed``."""
    if b"\n " in data or b"\n\t" in data:
        data = _FOLD.sub(b" ", data)
    lines = data.split(b"\n")
    match = _STATUS_LINE.fullmatch(lines[0])
    if match is None:
        raise CallFailed("bad_answer")
    headers: dict[bytes, bytes] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        if not colon:
            continue
        key, value = name.strip().lower(), value.strip()
        headers[key] = headers[key] + b", " + value if key in headers else value
    return Head(int(match[2]), headers, match[1] == b"0")


class _Body:
    """Reads a body in pieces, with any framing."""

    __slots__ = ("_chunked", "_left", "_rest", "_trailer", "done", "fault", "until_close")

    def __init__(self, head: Head, *, expects_body: bool) -> None:
        self._rest = bytearray()
        self._left: int | None = 0
        self._trailer = False
        self.fault: Failure | None = None
        self.until_close = False
        coding = head.headers.get(b"transfer-encoding")
        length = head.headers.get(b"content-length")
        self._chunked = expects_body and coding is not None and coding.lower().endswith(b"chunked")
        if not expects_body:
            self.done = True
            return
        self.done = False
        if self._chunked:
            self._left = None
        elif coding is not None or length is None:
            self.until_close = True
        else:
            # One number said twice is one number (RFC 9112, section 6.3).
            numbers = {each.strip() for each in length.split(b",")}
            number = numbers.pop()
            if numbers or not _DIGITS.fullmatch(number):
                self.fault, self.until_close = "body_invalid", True
            else:
                self._left = int(number)
                self.done = self._left == 0

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Take received bytes; returns the body bytes, and the bytes after the body's end."""
        if self.done:
            return b"", data
        if self.until_close:
            return data, b""
        if not self._chunked:
            assert self._left is not None  # noqa: S101 - only chunked bodies begin without
            piece, behind = data[: self._left], data[self._left :]
            self._left -= len(piece)
            self.done = self._left == 0
            return piece, behind
        self._rest += data
        return self._feed_chunks()

    def _feed_chunks(self) -> tuple[bytes, bytes]:
        pieces: list[bytes] = []
        rest = self._rest
        while rest and not self.done and self.fault is None:
            if self._left:
                pieces.append(bytes(rest[: self._left]))
                del rest[: len(pieces[-1])]
                self._left -= len(pieces[-1])
                continue
            end = rest.find(b"\n")
            if end < 0:
                if len(rest) > _MAX_CHUNK_LINE_BYTES:
                    self.fault = "body_invalid"
                break
            line = bytes(rest[:end]).removesuffix(b"\r")
            del rest[: end + 1]
            self._chunk_line(line)
        behind = bytes(rest) if self.done else b""
        return b"".join(pieces), behind

    def _chunk_line(self, line: bytes) -> None:
        if self._trailer:
            self.done = not line
        elif self._left == 0:  # the line end after a chunk's data
            self._left = None
            if line:
                self.fault = "body_invalid"
        elif (match := _CHUNK_SIZE.fullmatch(line)) is None:
            self.fault = "body_invalid"
        else:
            size = int(match[1], 16)
            self._left = size or None
            self._trailer = size == 0


class HttpConnection(asyncio.Protocol):
    """A connection that carries one request at a time.

    ``on_idle`` is called when a response was read to its end and the connection can carry another
    request, ``on_closed`` when it can't any more.
    """

    def __init__(
        self,
        on_idle: Callable[["HttpConnection"], None],
        on_closed: Callable[["HttpConnection"], None],
    ) -> None:
        self._on_idle = on_idle
        self._on_closed = on_closed
        self._transport: Any = None
        self._answer: asyncio.Future[Answer] | None = None
        self._received = bytearray()
        self._head: Head | None = None
        self._body: _Body | None = None
        self._kept = bytearray()
        self._keep_bytes = 0
        self._surplus = 0
        self._keep_alive = True
        self._draining: asyncio.TimerHandle | None = None
        self.idle_since = 0.0
        self.closed = False

    # -- the request ----------------------------------------------------------------------

    def send(self, data: bytes, keep_bytes: int) -> asyncio.Future[Answer]:
        """Write a request; the future is its response, or raises an error of this module."""
        self._answer = asyncio.get_running_loop().create_future()
        self._head = self._body = None
        self._kept.clear()
        self._received.clear()
        self._keep_bytes, self._surplus = keep_bytes, 0
        self._transport.write(data)
        return self._answer

    def answer_so_far(self) -> Answer | None:
        """Return the received part of the response, once the head is complete."""
        if self._head is None:
            return None
        return Answer(self._head, bytes(self._kept), cut=True, fault="body_late")

    def close(self) -> None:
        """Close the connection in any state."""
        if not self.closed:
            self._closed()
            if self._transport is not None:
                self._transport.abort()

    # -- called by the event loop ---------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Read on; bytes that no request asked for end the connection."""
        if self._body is not None:
            self._read_body(data)
        elif self._answer is None or self._answer.done():
            self.close()
        else:
            self._received += data
            self._read_head()

    def eof_received(self) -> bool:
        """Let the transport close."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """End a waiting request with the received part of the response, or with an error."""
        if self._answer is not None and not self._answer.done():
            if self._head is not None and self._body is not None:
                whole = self._body.until_close and exc is None
                fault: Failure | None = None if whole else "body_cut"
                self._done_so_far(cut=fault is not None, fault=self._body.fault or fault)
            else:
                dropped = CallFailed(lost_failure(exc), unanswered=not self._received)
                self._answer.set_exception(dropped)
        self._closed()

    def _closed(self) -> None:
        if not self.closed:
            self.closed = True
            self._stop_draining()
            self._on_closed(self)

    def _stop_draining(self) -> None:
        if self._draining is not None:
            self._draining.cancel()
            self._draining = None

    # -- the answer -----------------------------------------------------------------------

    def _read_head(self) -> None:
        """Parse the complete head; earlier 1xx responses count towards its limit."""
        received, start = self._received, 0
        while True:
            while start < len(received) and received[start] in _LINE_END:
                start += 1
            end = _HEAD_END.search(received, start, MAX_HEAD_BYTES)
            if end is None:
                if len(received) >= MAX_HEAD_BYTES or not _may_be_http(received[start:][:16]):
                    self.fail(CallFailed("bad_answer"))
                return
            try:
                head = read_head(bytes(received[start : end.start()]))
            except CallFailed as error:
                self.fail(error)
                return
            start = end.end()
            if head.status >= 200 or head.status == _SWITCHING_PROTOCOLS:  # noqa: PLR2004
                break
        rest = bytes(received[start:])
        received.clear()
        self._head = head
        options = head.headers.get(b"connection", b"").lower()
        self._keep_alive = (
            (b"keep-alive" in options if head.is_http_1_0 else b"close" not in options)
            and head.status != _SWITCHING_PROTOCOLS
            and not (b"transfer-encoding" in head.headers and b"content-length" in head.headers)
        )
        if self._is_whole(head, rest):
            self._done(Answer(head, rest))
            self._ended()
        else:
            self._body = _Body(head, expects_body=head.status not in _NO_BODY)
            self._read_body(rest)

    def _is_whole(self, head: Head, rest: bytes) -> bool:
        """Return whether ``rest`` is the body, all of it and nothing else, as it is mostly."""
        return (
            head.headers.get(b"content-length") == b"%d" % len(rest)
            and b"transfer-encoding" not in head.headers
            and head.status not in _NO_BODY
            and len(rest) <= self._keep_bytes
        )

    def _read_body(self, data: bytes) -> None:
        body = self._body
        assert body is not None  # noqa: S101 - made with the head
        piece, behind = body.feed(data)
        if piece:
            wanted = self._keep_bytes - len(self._kept)
            self._kept += piece[:wanted]
            self._surplus += max(0, len(piece) - wanted)
        if behind:
            self._keep_alive = False
        if body.done or body.fault is not None:
            self._done_so_far(cut=self._surplus > 0 or body.fault is not None, fault=body.fault)
            self._keep_alive = self._keep_alive and body.fault is None
            self._ended()
        elif self._surplus or (self._keep_bytes and len(self._kept) >= self._keep_bytes):
            # There is enough; a little more is read, so that the connection can be reused.
            self._done_so_far(cut=True, fault=body.fault)
            if self._surplus > _MAX_SURPLUS_BYTES or body.until_close:
                self.close()
            elif self._draining is None:
                loop = asyncio.get_running_loop()
                self._draining = loop.call_later(_MAX_DRAIN_SECONDS, self.close)

    def _done_so_far(self, *, cut: bool, fault: Failure | None) -> None:
        if self._head is not None:
            self._done(Answer(self._head, bytes(self._kept), cut, fault))

    def _done(self, found: Answer) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(found)

    def _ended(self) -> None:
        """Keep the connection for another request, if its response leaves it usable."""
        if self._keep_alive and not self.closed:
            self._answer = self._head = self._body = None
            self._stop_draining()
            self._on_idle(self)
        else:
            self.close()

    def fail(self, error: Exception) -> None:
        """End the request with ``error``, and close the connection."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
        self.close()


def _may_be_http(start: bytes | bytearray) -> bool:
    return b"HTTP/1."[: len(start)] == start[:7]
