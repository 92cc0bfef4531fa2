"""All that lets people in, wired: stores, sessions, sign-in, enrolment, management."""

from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import urlsplit

from gateway.auth.enrolment import Enrolment
from gateway.auth.one_time_tokens import OneTimeTokens
from gateway.auth.passkeys import Passkeys
from gateway.auth.passwords import PasswordHasher
from gateway.auth.people import People
from gateway.auth.roles import Permissions
from gateway.auth.sessions import Sessions
from gateway.auth.sign_in import Parts, SignIn
from gateway.auth.sign_in_throttle import SignInThrottle
from gateway.clock import Clock
from gateway.settings import Settings
from gateway.storage.crypto.encryption import Sealer
from gateway.storage.database import Database
from gateway.storage.stores.audit import AuditTrail
from gateway.storage.stores.people import PeopleStore
from gateway.storage.stores.sessions import SessionStore


class Ground(NamedTuple):
    """What the services about people are built on."""

    database: Database
    sealer: Sealer
    audit: AuditTrail
    clock: Clock


class Identity(NamedTuple):
    """The services about people."""

    parts: Parts
    sessions: Sessions
    sign_in: SignIn
    enrolment: Enrolment
    people: People


def build_identity(
    settings: Settings,
    ground: Ground,
    permissions: Permissions,
    known_site: Callable[[str, str], bool],
    *,
    hasher: PasswordHasher | None = None,
) -> Identity:
    """Wire the services; ``hasher`` is for tests with another cost."""
    database, sealer, audit, clock = ground
    store = SessionStore(sealer)

    sessions = Sessions(database, store, settings.people, clock, permissions)
    parts = Parts(
        database=database,
        sealer=sealer,
        people=PeopleStore(sealer),
        store=store,
        sessions=sessions,
        tokens=OneTimeTokens(sealer, store, clock),
        hasher=hasher or PasswordHasher(),
        passkeys=Passkeys(urlsplit(settings.gateway.public_url).hostname or "localhost"),
        throttle=SignInThrottle(clock),
        clock=clock,
        audit=audit,
    )
    sign_in = SignIn(parts)
    people = People(parts, permissions, known_site)
    return Identity(parts, sessions, sign_in, Enrolment(parts, sign_in), people)
