"""A TLS context that answers plain HTTP with a hint, for clients that use ``http://``.

A browser or a script that speaks plain HTTP to the HTTPS port would otherwise get a closed
connection without an explanation.
"""

import re
import ssl
from contextlib import suppress
from typing import Final

from gateway.http.connections import refusal

# OpenSSL recognises plain HTTP by four methods only, so this module looks at the first bytes.
_METHOD: Final = re.compile(rb"(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS|TRACE|CONNECT) ")
_LONGEST_METHOD: Final = 8
_ANSWER: Final = refusal(
    400, "This port speaks HTTPS: begin the address with https://.", "https_required"
)


class _Handshake(ssl.SSLObject):
    incoming: ssl.MemoryBIO
    outgoing: ssl.MemoryBIO
    first = b""
    is_answered = False

    def do_handshake(self) -> None:
        """Shake hands; plain HTTP is answered, and the client closes the connection."""
        self._look()
        try:
            super().do_handshake()
        except ssl.SSLError as error:
            if self.is_answered or not _METHOD.match(self.first):
                raise
            self.is_answered = True
            self.outgoing.read()  # a TLS alert, which no HTTP client understands
            self.outgoing.write(_ANSWER)
            # The event loop sends the output and waits for more, until the client closes or the
            # handshake's deadline.
            raise ssl.SSLWantReadError from error

    def _look(self) -> None:
        """Keep a copy of the first bytes, which OpenSSL is about to take."""
        if len(self.first) < _LONGEST_METHOD and self.incoming.pending:
            arrived = self.incoming.read()
            self.first = (self.first + arrived)[:_LONGEST_METHOD]
            with suppress(ssl.SSLError):  # the client closed at once: there is no handshake
                self.incoming.write(arrived)


class HintingContext(ssl.SSLContext):
    """A server's context: plain HTTP is answered with 400 in the gateway's error shape."""

    sslobject_class = _Handshake

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """Return the TLS connection of two buffers, as asyncio and uvloop ask for it."""
        made = super().wrap_bio(incoming, outgoing, server_side, server_hostname, session)
        if isinstance(made, _Handshake):
            made.incoming, made.outgoing = incoming, outgoing
        return made
