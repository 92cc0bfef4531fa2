"""The services about people, wired: stores, sessions, sign-in, enrolment, management."""

from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import urlsplit

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.auth.enrolment import Enrolment
from gateway.auth.oidc import OidcSignIn
from gateway.auth.oidc_provider import OidcProvider
from gateway.auth.one_time_tokens import OneTimeTokens
from gateway.auth.passkeys import Passkeys
from gateway.auth.passwords import PasswordHasher
from gateway.auth.people import People
from gateway.auth.plans import Plans
from gateway.auth.roles import Permissions
from gateway.auth.sessions import Sessions
from gateway.auth.sign_in import Parts, SignIn
from gateway.auth.sign_in_throttle import SignInThrottle
from gateway.clock import Clock
from gateway.model.plan import PEOPLE
from gateway.outbound.client import OutboundClient
from gateway.outbound.ssrf_guard import AddressGuard
from gateway.settings import Settings
from gateway.storage.crypto.encryption import Sealer
from gateway.storage.database import Database
from gateway.storage.stores.audit import AuditTrail
from gateway.storage.stores.people import PeopleStore
from gateway.storage.stores.sessions import SessionStore


class Ground(NamedTuple):
    """The parts that the services about people need."""

    database: Database
    sealer: Sealer
    audit: AuditTrail
    clock: Clock


class Identity(NamedTuple):
    """The services about people; ``oidc`` where ``[people.oidc]`` names a provider."""

    parts: Parts
    sessions: Sessions
    sign_in: SignIn
    enrolment: Enrolment
    people: People
    oidc: OidcSignIn | None = None

    async def close(self) -> None:
        """Stop the threads that compute hashes, and close connections."""
        self.parts.hasher.close()
        if self.oidc is not None:
            await self.oidc.close()


def build_identity(
    settings: Settings,
    ground: Ground,
    permissions: Permissions,
    known_site: Callable[[str, str], bool],
    plans: Plans,
    *,
    hasher: PasswordHasher | None = None,
) -> Identity:
    """Wire the services; ``hasher`` is for tests with another cost."""
    database, sealer, audit, clock = ground
    store = SessionStore(sealer)
    person_store = PeopleStore(sealer)

    async def count_people(connection: AsyncConnection, account_id: str) -> int:
        return await person_store.count(connection, account_id, clock.now())

    plans.counters[PEOPLE] = count_people
    sessions = Sessions(database, store, settings.people, clock, permissions)
    parts = Parts(
        database=database,
        sealer=sealer,
        people=person_store,
        store=store,
        sessions=sessions,
        tokens=OneTimeTokens(sealer, store, clock),
        hasher=hasher or PasswordHasher(),
        passkeys=Passkeys(urlsplit(settings.gateway.public_url).hostname or "localhost"),
        throttle=SignInThrottle(database, clock),
        clock=clock,
        audit=audit,
        plans=plans,
    )
    sign_in = SignIn(parts)
    people = People(parts, permissions, known_site)
    oidc = _build_oidc(settings, parts, sign_in, known_site)
    return Identity(parts, sessions, sign_in, Enrolment(parts, sign_in), people, oidc)


def company_provider(settings: Settings, clock: Clock) -> OidcProvider | None:
    """Return the provider of ``[people.oidc]``; raises ``InvalidInput`` for a bad ``ca_file``."""
    table, delivery = settings.people.oidc, settings.delivery
    if table is None:
        return None
    guard = AddressGuard.of(delivery.allow_http, delivery.allow_networks)
    return OidcProvider(table, OutboundClient(clock, guard, egress=delivery), clock)


def _build_oidc(
    settings: Settings, parts: Parts, sign_in: SignIn, known_site: Callable[[str, str], bool]
) -> OidcSignIn | None:
    table, provider = settings.people.oidc, company_provider(settings, parts.clock)
    if table is None or provider is None:
        return None
    return OidcSignIn(table, provider, parts, sign_in, known_site)
