"""A TLS context that answers plain HTTP, so that a wrong ``http://`` is seen as such.

A browser or a script that speaks plain HTTP to the HTTPS port would otherwise get a
connection that closes without a word.
"""

import ssl
from typing import Final

from gateway.http.connections import refusal

# OpenSSL's reason when a handshake begins with GET, HEAD, POST or PUT.
_HTTP_REQUEST: Final = "HTTP_REQUEST"
_ANSWER: Final = refusal(
    400, "This port speaks HTTPS: begin the address with https://.", "https_required"
)


class _Handshake(ssl.SSLObject):
    outgoing: ssl.MemoryBIO
    is_answered = False

    def do_handshake(self) -> None:
        """Shake hands; plain HTTP is answered, and the client closes the connection."""
        try:
            super().do_handshake()
        except ssl.SSLError as error:
            if error.reason != _HTTP_REQUEST or self.is_answered:
                raise
            self.is_answered = True
            self.outgoing.read()  # a TLS alert, which no HTTP client understands
            self.outgoing.write(_ANSWER)
            # The event loop sends what is outgoing and waits for more: until the client
            # closes, or the deadline of the handshake.
            raise ssl.SSLWantReadError from error


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
            made.outgoing = outgoing
        return made
