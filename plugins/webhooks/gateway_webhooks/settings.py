"""Settings of ``[plugins.webhooks]``, and the stored settings of an endpoint."""

from datetime import datetime
from typing import Literal

import msgspec

from gateway_webhooks.disclosure import FieldFilter

Format = Literal["scriptrun", "autorx", "standard"]
Signature = Literal["v1", "v1a"]


class WebhooksSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``autorx_signature``: encoding of the ``autorx`` signature; AutoRx itself uses hex."""

    autorx_signature: Literal["hex", "base64"] = "hex"


class EndpointSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The sink's own settings of an endpoint; sealed in the database.

    During a rotation both ``secret`` and ``next_secret`` sign, until ``rotation_ends_at``;
    from then on ``next_secret`` signs alone. With ``signature`` ``v1a``, of the ``standard`` format
    only, both are ed25519 private keys that never leave the gateway; receivers verify with the
    public key. ``filter_fields`` choose events by content, ``send_fields`` and ``rename_fields``
    the data that are sent (:mod:`gateway_webhooks.disclosure`). ``exclusive``: no other endpoint
    gets matching events.

    ``by_operator``: the operator chose the URL on the command line, and may see responses from a
      private network. ``secret_since`` is when ``secret`` began to sign alone,
      ``next_secret_since`` when the rotation began, ``changed_at`` when URL or headers last
      changed; all ``None`` if that was before these times were stored.
    """

    url: str
    format: Format
    secret: str
    headers: dict[str, str] = {}
    next_secret: str | None = None
    rotation_ends_at: datetime | None = None
    by_operator: bool = False
    signature: Signature = "v1"
    filter_fields: dict[str, FieldFilter] = {}
    send_fields: list[str] | None = None
    rename_fields: dict[str, str] = {}
    exclusive: bool = False
    secret_since: datetime | None = None
    next_secret_since: datetime | None = None
    changed_at: datetime | None = None

    def noted(self, before: "EndpointSettings", now: datetime) -> "EndpointSettings":
        """Return the settings with the time of their change, if they differ from ``before``."""
        return self if self == before else msgspec.structs.replace(self, changed_at=now)

    def as_of(self, now: datetime) -> "EndpointSettings":
        """Return the settings in force at ``now``: an ended rotation leaves only the new secret."""
        if self.next_secret is None or self.rotation_ends_at is None or now < self.rotation_ends_at:
            return self
        return self.ended(self.rotation_ends_at)

    def ended(self, at: datetime) -> "EndpointSettings":
        """Return the settings after the rotation: the new secret alone."""
        return msgspec.structs.replace(
            self,
            secret=self.next_secret,
            next_secret=None,
            rotation_ends_at=None,
            secret_since=at,
            next_secret_since=None,
        )

    def secrets_at(self, now: datetime) -> tuple[str, str | None]:
        """Return the secret in use and, during a rotation, the next one."""
        current = self.as_of(now)
        return current.secret, current.next_secret
