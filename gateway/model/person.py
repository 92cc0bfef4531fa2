"""People who sign in: their memberships, factors, sessions and invitations."""

from datetime import datetime
from typing import Final, Literal

import msgspec

from gateway.model.permission import Role

FactorKind = Literal["password", "totp", "recovery", "passkey"]
Method = Literal["passkey", "password", "oidc"]
"""How a session began."""

LANGUAGES: Final = ("en", "fr", "es")
"""The languages of the pages; the first is used where a reader asks for another one."""


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """A person. ``login`` is the folded address that identifies them.

    A person of an identity provider has ``issuer`` and ``subject`` instead: the address that
    a provider reports identifies no one. ``handle`` is the user handle of their passkeys.
    """

    id: str
    name: str
    email: str
    handle: bytes
    created_at: datetime
    login: str | None = None
    issuer: str | None = None
    subject: str | None = None
    language: str | None = None
    disabled_at: datetime | None = None


class Membership(msgspec.Struct, frozen=True):
    """A person's role in an account; ``sites`` are codes, or ``None`` for all sites."""

    account_id: str
    person_id: str
    role: Role
    sites: tuple[str, ...] | None = None


class Factor(msgspec.Struct, frozen=True, kw_only=True):
    """What a person signs in with. ``secret`` is in clear here, and sealed in the database.

    ``credential`` is a passkey's id. ``counter`` is the last TOTP step that was used, or the
    passkey's signature counter.
    """

    id: str
    person_id: str
    kind: FactorKind
    name: str
    secret: bytes
    created_at: datetime
    credential: bytes | None = None
    counter: int = 0
    used_at: datetime | None = None


class SessionRow(msgspec.Struct, frozen=True, kw_only=True):
    """A signed-in browser, without its cookie.

    ``proved_at`` is when a factor was last shown; ``is_strong`` says that two were shown, or a
    passkey that verified its user. ``agent`` is the browser, in a few words.
    """

    id: str
    person_id: str
    account_id: str
    method: Method
    is_strong: bool
    agent: str
    created_at: datetime
    seen_at: datetime
    proved_at: datetime
    expires_at: datetime
    locked_at: datetime | None = None


class Invitation(msgspec.Struct, frozen=True, kw_only=True):
    """A one-time link: to join an account, or (``person_id``) to set new factors."""

    id: str
    account_id: str
    email: str
    role: Role
    made_by: str
    created_at: datetime
    expires_at: datetime
    sites: tuple[str, ...] | None = None
    person_id: str | None = None
    used_at: datetime | None = None


class Emergency(msgspec.Struct, frozen=True, kw_only=True):
    """Break-glass: one record that a person opened in an emergency, with the reason."""

    id: str
    account_id: str
    person_id: str
    subject: str
    reason: str
    created_at: datetime
    expires_at: datetime
    reviewed_by: str | None = None
    reviewed_at: datetime | None = None
