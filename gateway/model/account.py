"""Tenants: accounts, their sites, callers and API keys."""

from datetime import datetime
from typing import Literal

import msgspec

from gateway.errors import Forbidden
from gateway.model.permission import ANY_CALLER, REVEALING

Mode = Literal["live", "test"]
"""Test keys work like live ones, but what they create reaches test destinations only."""

CallerKind = Literal["key", "person", "cli", "job"]
"""An API key, a signed-in person, the command line, or work that a plugin or the core starts."""

DEFAULT_ACCOUNT = "default"


class Site(msgspec.Struct, frozen=True):
    """One pharmacy of an account. Orders name it by its ``code``."""

    account_id: str
    code: str
    name: str
    timezone: str = "UTC"
    country: str = "US"
    rules: str | None = None
    """The rules of its place for deliveries."""


class Caller(msgspec.Struct, frozen=True):
    """The caller of a request, and its permissions.

    ``sites`` are the codes of its sites, ``None`` for all of them. A caller that a plugin makes
    for work of its own (``kind`` is ``job``) has no permissions and needs none: routes and pages
    check them, services don't.
    """

    account_id: str
    mode: Mode
    actor: str
    """The key's id, ``cli:<uid>``, or the name of a plugin's job, as in the audit trail."""
    sites: frozenset[str] | None = None
    permissions: frozenset[str] = frozenset()
    kind: CallerKind = "job"
    name: str = ""
    """The key's or the person's name, for reviewers, lists and the audit trail."""
    session: str | None = None
    """The id of a person's session."""
    trace: str | None = None
    """The trace context of a traced request, for the events that it records."""
    party: str | None = None
    """The other organisation that uses the key: what it reads in full is a disclosure."""

    @property
    def site(self) -> str | None:
        """The site of a caller that has exactly one; ``None`` for several and for all."""
        sites = self.sites
        return next(iter(sites)) if sites is not None and len(sites) == 1 else None

    def sees_site(self, site: str | None) -> bool:
        """Return whether this caller may see a row of ``site``."""
        return self.sites is None or site in self.sites

    def may(self, permission: str) -> bool:
        """Return whether this caller has ``permission``.

        The command line may do everything, but reveals patient data only with ``--reveal``.
        """
        if self.kind == "cli" and permission not in REVEALING:
            return True
        return permission in self.permissions or permission == ANY_CALLER

    @property
    def reveals(self) -> bool:
        """Whether this caller sees patient data in full: it has both reveal permissions."""
        return self.permissions >= REVEALING

    @property
    def masked(self) -> "Caller":
        """This caller without the reveal permissions, for data that is masked until a reveal."""
        return msgspec.structs.replace(self, permissions=self.permissions - REVEALING)

    def need(self, permission: str) -> None:
        """Raise :class:`~gateway.errors.Forbidden`, which names ``permission``, without it."""
        if not self.may(permission):
            raise Forbidden(permission, holder=self.kind)


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
    scopes: str
    """Permissions separated by spaces, or ``legacy``: those of every key in earlier versions."""
    digest: bytes
    """The SHA-256 of the key, by which it is found."""
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    binding: bytes | None = None
    """The MAC over the row; ``None`` for a row that the gateway didn't write."""
    made_by: str | None = None
    """The id of the person who made the key; ``None`` for the command line."""
    party: str | None = None
    """The other organisation that uses the key."""
    maker_left: bool = False
    """Whether that person is disabled or no longer a member: the key then opens nothing."""


class IssuedKey(msgspec.Struct, frozen=True):
    """A new credential with the key in clear text, shown this once."""

    id: str
    key: str
    name: str
    mode: Mode
    site: str | None
    scopes: tuple[str, ...] = ()
    expires_at: datetime | None = None
    party: str | None = None
