"""Settings of ``[plugins.email]``, and the stored settings of a recipient."""

import re
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
# The common form of RFC 5321's addresses, in ASCII: what every mail server takes.
_ADDRESS: Final = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*"
)
_MAX_ADDRESS: Final = 254


class EmailSettings(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, rename={"sender": "from"}
):
    """The mail server, and when a person is reminded.

    ``security``: ``starttls`` (port 587) and ``tls`` (port 465) verify the server's certificate,
      with ``ca_file`` for a private authority. ``none`` is for a server on this machine only.
    """

    host: Annotated[str, Meta(min_length=1)]
    sender: str
    port: Annotated[int, Meta(ge=1, le=65535)] | None = None
    security: Literal["starttls", "tls", "none"] = "starttls"
    username: str | None = None
    password: str | None = None
    ca_file: str | None = None
    watch_seconds: Annotated[float, Meta(ge=1)] = 60.0
    again_after_hours: Annotated[float, Meta(ge=0)] = 6.0

    def __post_init__(self) -> None:
        """Raise ``ValueError`` without the value; the part before the colon names the key."""
        if not is_address(self.sender):
            raise ValueError("from: expected an e-mail address, such as gateway@lakeside.example")
        if self.security == "none" and self.host not in _LOOPBACK:
            raise ValueError(
                "security: none is for a mail server on this machine; use starttls or tls"
            )
        if (self.username is None) != (self.password is None):
            raise ValueError("password: expected username and password, or neither")

    @property
    def is_sample(self) -> bool:
        """Whether the host is still the sample's: no real host is below .example (RFC 2606)."""
        return self.host.endswith(".example")

    @property
    def server_port(self) -> int:
        """The port: 587, or 465 with TLS from the first byte, unless another is set."""
        return self.port or (465 if self.security == "tls" else 587)


class Recipient(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A stored recipient. ``attention``: it is notified of what needs a person."""

    address: str
    attention: bool = True


def is_address(text: str) -> bool:
    """Return whether ``text`` is an e-mail address in ASCII, without a name or brackets."""
    return len(text) <= _MAX_ADDRESS and _ADDRESS.fullmatch(text) is not None
