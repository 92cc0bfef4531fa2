"""Tenants: accounts, their sites, callers and API keys."""

from datetime import datetime
from typing import Literal

import msgspec

Mode = Literal["live", "test"]
"""Test keys work like live ones, but what they create reaches test destinations only."""

DEFAULT_ACCOUNT = "default"


class Site(msgspec.Struct, frozen=True):
    """One pharmacy of an account. Orders name it by its ``code``."""

    account_id: str
    code: str
    name: str
    timezone: str = "UTC"
    country: str = "US"


class Caller(msgspec.Struct, frozen=True):
    """The caller of a request, from its key. ``site`` is set when the key is limited to one site.

    ``trace`` is the trace context of a traced request, for the events that it records.
    """

    account_id: str
    mode: Mode
    actor: str
    """The key's id, or ``cli:<user>``, as in the audit trail."""
    site: str | None = None
    trace: str | None = None

    def sees_site(self, site: str | None) -> bool:
        """Return whether this caller may see a row of ``site``."""
        return self.site is None or self.site == site


class ApiKey(msgspec.Struct, frozen=True):
    """A credential without the key itself."""

    id: str
    account_id: str
    name: str
    mode: Mode
    prefix: str
    site: str | None
    created_at: datetime
    revoked_at: datetime | None


class IssuedKey(msgspec.Struct, frozen=True):
    """A new credential with the key in clear text, shown this once."""

    id: str
    key: str
    name: str
    mode: Mode
    site: str | None
