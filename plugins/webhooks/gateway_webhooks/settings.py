"""What ``[plugins.webhooks]`` may say, and what is kept of an endpoint."""

from datetime import datetime
from typing import Literal

import msgspec

Format = Literal["scriptrun", "autorx", "standard"]


class WebhooksSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``autorx_signature`` is how that format writes its signature; AutoRx itself uses hex."""

    autorx_signature: Literal["hex", "base64"] = "hex"


class EndpointSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What only the sink knows of an endpoint; sealed in the database.

    While a rotation runs, ``secret`` goes on signing and ``next_secret`` rides along,
    until ``rotation_ends_at``; from then on ``next_secret`` is the only one.
    """

    url: str
    format: Format
    secret: str
    headers: dict[str, str] = {}
    next_secret: str | None = None
    rotation_ends_at: datetime | None = None

    def as_of(self, now: datetime) -> "EndpointSettings":
        """Return what holds at ``now``: of a rotation that is over only the new secret is left."""
        if self.next_secret is None or self.rotation_ends_at is None or now < self.rotation_ends_at:
            return self
        return self.ended()

    def ended(self) -> "EndpointSettings":
        """Return what is left when a rotation ends: the new secret alone."""
        return msgspec.structs.replace(
            self, secret=self.next_secret, next_secret=None, rotation_ends_at=None
        )

    def secrets_at(self, now: datetime) -> tuple[str, str | None]:
        """Return the secret in use and the one that rides along, if any."""
        current = self.as_of(now)
        return current.secret, current.next_secret
