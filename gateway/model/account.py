"""Who is calling: accounts, their sites, and what a key stands for."""

from datetime import datetime
from typing import Literal

import msgspec

Mode = Literal["live", "test"]
"""Test keys work like live ones, but what they create reaches test destinations only."""

DEFAULT_ACCOUNT = "default"


class Site(msgspec.Struct, frozen=True):
    """One pharmacy of an account. ``code`` is what orders name it by."""

    account_id: str
    code: str
    name: str
    timezone: str = "UTC"
    country: str = "US"


class Caller(msgspec.Struct, frozen=True):
    """The one who asks, as their key says. ``site`` is set when the key reaches one site only.

    ``trace`` is the trace context of the request, where it is traced: for the events made of it.
    """

    account_id: str
    mode: Mode
    actor: str
    """The key's id, or ``cli:<user>``: what the audit trail names."""
    site: str | None = None
    trace: str | None = None

    def sees_site(self, site: str | None) -> bool:
        """Say whether a row of ``site`` is this caller's to see."""
        return self.site is None or self.site == site


class ApiKey(msgspec.Struct, frozen=True):
    """A credential as it can be shown: never the key itself."""

    id: str
    account_id: str
    name: str
    mode: Mode
    prefix: str
    site: str | None
    created_at: datetime
    revoked_at: datetime | None


class IssuedKey(msgspec.Struct, frozen=True):
    """A new credential, with the key in clear: the only time it is seen."""

    id: str
    key: str
    name: str
    mode: Mode
    site: str | None
