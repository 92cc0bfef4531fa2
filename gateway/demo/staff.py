"""The people of the made-up pharmacies: one of each role, and one of a single site."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gateway.model.account import DEFAULT_ACCOUNT
from gateway.model.ids import new_id
from gateway.model.permission import Role
from gateway.model.person import Factor, Membership, Person
from gateway.runtime import Gateway


@dataclass(frozen=True, slots=True)
class Colleague:
    """A person of the demo: role and sites (``None``: all)."""

    name: str
    role: Role
    sites: tuple[str, ...] | None = None


STAFF: Final[Sequence[Colleague]] = (
    Colleague("Amara Okafor", "owner"),
    Colleague("Daniel Tremblay", "manager", ("lakeside", "queen")),
    Colleague("Priya Raman", "pharmacist", ("lakeside",)),
    Colleague("Hannah Weiss", "pharmacist", ("queen",)),
    Colleague("Luis Ortega", "dispatcher", ("lakeside", "queen")),
    Colleague("Sam Cole", "integrator"),
    Colleague("Claire Nguyen", "privacy_officer"),
)


async def hire(gateway: Gateway) -> list[Person]:
    """Store the staff, in order. They sign in at the entrance: no device has their passkeys."""
    now, parts = gateway.clock.now(), gateway.identity.parts
    hired = []
    async with gateway.database.begin() as connection:
        for each in STAFF:
            email = f"{each.name.split()[0].lower()}@pharmacy.example"
            person = Person(
                id=new_id("per", now),
                name=each.name,
                email=email,
                login=email,
                handle=secrets.token_bytes(32),
                created_at=now,
            )
            await parts.people.add(connection, person)
            member = Membership(DEFAULT_ACCOUNT, person.id, each.role, each.sites)
            await parts.people.set_membership(connection, member, now)
            credential = secrets.token_bytes(32)
            passkey = Factor(
                id=new_id("fac", now),
                person_id=person.id,
                kind="passkey",
                name="Passkey",
                secret=_attested(credential),
                credential=credential,
                created_at=now,
            )
            await parts.people.add_factor(connection, passkey)
            hired.append(person)
    return hired


def _attested(credential: bytes) -> bytes:
    """Return a passkey as it is stored, of a key that is thrown away; pages read what is stored."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from fido2.cose import ES256
    from fido2.webauthn import Aaguid, AttestedCredentialData

    made = ec.generate_private_key(ec.SECP256R1()).public_key()
    key = ES256.from_cryptography_key(made)  # type: ignore[no-untyped-call]  # fido2's
    return bytes(AttestedCredentialData.create(Aaguid.NONE, credential, key))
