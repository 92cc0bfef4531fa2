"""Expiring links to files: the token of ``GET /files/{token}``.

A token is base64url of::

    1 byte   version, 1
    16 bytes the file's id
    16 bytes the destination's id
    6 bytes  when the link was made, ms since 1970
    6 bytes  when it expires
    16 bytes HMAC-SHA256 of all that, cut, under a key derived from the index key

So no row is stored for a link, each attempt of a delivery makes the same link, and the link names
its destination. The index key is never rotated. A link that was made at or before a file's
``links_after`` is revoked: each revocation invalidates all earlier links.
"""

import base64
import binascii
import hmac
import ipaddress
from datetime import datetime, timedelta
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from gateway.clock import from_epoch_ms, to_epoch_ms
from gateway.storage.crypto.encryption import Sealer

_VERSION: Final = b"\x01"
_ID_BYTES: Final = 16
_MOMENT_BYTES: Final = 6
_MAC_BYTES: Final = 16
_BODY_BYTES: Final = 1 + 2 * _ID_BYTES + 2 * _MOMENT_BYTES
_TOKEN_CHARACTERS: Final = (_BODY_BYTES + _MAC_BYTES + 2) // 3 * 4
_FILE, _DESTINATION = "file_", "dst_"


class FileLink(NamedTuple):
    """The content of a token: file, destination, time made and time of expiry."""

    file_id: str
    destination_id: str
    made_at: datetime
    expires_at: datetime


class FileLinks:
    """Makes and reads links. ``public_url`` is the address that receivers can reach."""

    def __init__(self, sealer: Sealer, public_url: str, days: int) -> None:
        self._sealer = sealer
        self._base = public_url.rstrip("/")
        self._lasts = timedelta(days=days)
        self.reachable = not is_loopback(public_url)

    def url(self, file_id: str, destination_id: str, made_at: datetime) -> str | None:
        """Return the link, the same for the same time; ``None`` when no receiver could open it."""
        if not self.reachable:
            return None
        body = b"".join(
            (
                _VERSION,
                bytes.fromhex(file_id.removeprefix(_FILE)),
                bytes.fromhex(destination_id.removeprefix(_DESTINATION)),
                to_epoch_ms(made_at).to_bytes(_MOMENT_BYTES),
                to_epoch_ms(made_at + self._lasts).to_bytes(_MOMENT_BYTES),
            )
        )
        token = base64.urlsafe_b64encode(body + self._mac(body)).rstrip(b"=").decode()
        return f"{self._base}/files/{token}"

    def read(self, token: str) -> FileLink | None:
        """Return the content of a valid token, expired or not; else ``None``."""
        if len(token) > _TOKEN_CHARACTERS or not token.isascii():
            return None
        try:
            found = base64.b64decode(token + "=" * (-len(token) % 4), b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        body, mac = found[:_BODY_BYTES], found[_BODY_BYTES:]
        if len(body) < _BODY_BYTES or not hmac.compare_digest(mac, self._mac(body)):
            return None
        file_end, destination_end = 1 + _ID_BYTES, 1 + 2 * _ID_BYTES
        made_end = destination_end + _MOMENT_BYTES
        return FileLink(
            _FILE + body[1:file_end].hex(),
            _DESTINATION + body[file_end:destination_end].hex(),
            from_epoch_ms(int.from_bytes(body[destination_end:made_end])),
            from_epoch_ms(int.from_bytes(body[made_end:])),
        )

    def _mac(self, body: bytes) -> bytes:
        return self._sealer.mac("file links", body)[:_MAC_BYTES]


def is_loopback(url: str) -> bool:
    """Return whether an address leads to this machine only."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
