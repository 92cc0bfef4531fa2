"""People, their memberships, what they sign in with, and the links that invite them."""

import json
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, delete, exists, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import from_epoch_ms, to_epoch_ms
from gateway.model.permission import Role
from gateway.model.person import Factor, FactorKind, Invitation, Membership, Person
from gateway.storage.crypto.encryption import Sealer
from gateway.storage.database import among, insert_into
from gateway.storage.schema import factors, invitations, memberships, owner_codes, people
from gateway.storage.stores.saved_views import forget_views

OWNER: Final[Role] = "owner"


class PeopleStore:
    """Reads and writes people and what belongs to them."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    async def add(self, connection: AsyncConnection, person: Person) -> None:
        """Write a new person."""
        values = _columns(person, "id", "name", "email", "login", "issuer", "subject", "language")
        await connection.execute(
            insert(people).values(
                **values, handle=person.handle, created_at_ms=to_epoch_ms(person.created_at)
            )
        )

    async def get(self, connection: AsyncConnection, person_id: str) -> Person | None:
        """Return a person by id."""
        return await _one_person(connection, people.c.id == person_id)

    async def by_login(self, connection: AsyncConnection, login: str) -> Person | None:
        """Return the person whom the folded address ``login`` identifies."""
        return await _one_person(connection, people.c.login == login)

    async def by_subject(
        self, connection: AsyncConnection, issuer: str, subject: str
    ) -> Person | None:
        """Return the person whom an identity provider knows as ``subject``."""
        condition = (people.c.issuer == issuer) & (people.c.subject == subject)
        return await _one_person(connection, condition)

    async def add_or_get(self, connection: AsyncConnection, person: Person) -> Person:
        """Write a person of an identity provider, or return the one that there is by now."""
        values = _columns(person, "id", "name", "email", "login", "issuer", "subject", "language")
        new = insert_into(connection, people).values(
            **values, handle=person.handle, created_at_ms=to_epoch_ms(person.created_at)
        )
        await connection.execute(new.on_conflict_do_nothing())
        found = await self.by_subject(connection, person.issuer or "", person.subject or "")
        return found or person

    async def count(self, connection: AsyncConnection, account_id: str, now: datetime) -> int:
        """Return how many people an account has, with those who are invited."""
        members = (
            select(func.count())
            .select_from(memberships.join(people, people.c.id == memberships.c.person_id))
            .where(memberships.c.account_id == account_id, people.c.disabled_at_ms.is_(None))
        )
        invited = select(func.count()).where(
            invitations.c.account_id == account_id,
            invitations.c.person_id.is_(None),
            invitations.c.used_at_ms.is_(None),
            invitations.c.expires_at_ms > to_epoch_ms(now),
        )
        total = select(members.scalar_subquery() + invited.scalar_subquery())
        return int((await connection.execute(total)).scalar_one())

    async def named(self, connection: AsyncConnection, email_or_id: str) -> list[Person]:
        """Return people by id or address, those of identity providers too, for the operator."""
        wanted = fold(email_or_id)
        query = select(people).where(
            (people.c.id == email_or_id.strip())
            | (people.c.login == wanted)
            | (func.lower(people.c.email) == wanted)
        )
        return [_person(row) for row in await connection.execute(query.order_by(people.c.id))]

    async def change(
        self,
        connection: AsyncConnection,
        person_id: str,
        *,
        name: str | None = None,
        language: str | None = None,
        email: str | None = None,
    ) -> None:
        """Change what lists show of a person; ``None`` leaves a value."""
        values = {"name": name, "language": language, "email": email}
        given = {key: value for key, value in values.items() if value is not None}
        if given:
            await connection.execute(update(people).where(people.c.id == person_id).values(**given))

    async def set_disabled(
        self, connection: AsyncConnection, person_id: str, at: datetime | None
    ) -> None:
        """Disable a person, or enable them again (``None``)."""
        value = None if at is None else to_epoch_ms(at)
        await connection.execute(
            update(people).where(people.c.id == person_id).values(disabled_at_ms=value)
        )

    async def members(
        self, connection: AsyncConnection, account_id: str | None = None
    ) -> list[tuple[Person, Membership]]:
        """Return people with each of their memberships, oldest first; of one account if named."""
        joined = people.join(memberships, memberships.c.person_id == people.c.id)
        query = select(
            people, memberships.c.account_id, memberships.c.role, memberships.c.sites
        ).select_from(joined)
        if account_id is not None:
            query = query.where(memberships.c.account_id == account_id)
        rows = await connection.execute(query.order_by(people.c.id, memberships.c.account_id))
        return [(_person(row), _membership(row, row.id)) for row in rows]

    async def memberships_of(self, connection: AsyncConnection, person_id: str) -> list[Membership]:
        """Return a person's memberships, by account."""
        query = select(memberships).where(memberships.c.person_id == person_id)
        rows = await connection.execute(query.order_by(memberships.c.account_id))
        return [_membership(row, row.person_id) for row in rows]

    async def set_membership(
        self, connection: AsyncConnection, membership: Membership, at: datetime
    ) -> None:
        """Make a membership, or change its role and sites."""
        same = (memberships.c.account_id == membership.account_id) & (
            memberships.c.person_id == membership.person_id
        )
        values = {"role": membership.role, "sites": _codes(membership.sites)}
        changed = await connection.execute(update(memberships).where(same).values(**values))
        if changed.rowcount == 0:
            await connection.execute(
                insert(memberships).values(
                    account_id=membership.account_id,
                    person_id=membership.person_id,
                    created_at_ms=to_epoch_ms(at),
                    **values,
                )
            )

    async def remove_membership(
        self, connection: AsyncConnection, account_id: str, person_id: str
    ) -> None:
        """End a membership; the views that the person saved in the account go with it."""
        await forget_views(connection, account_id, person_id)
        await connection.execute(
            delete(memberships).where(
                memberships.c.account_id == account_id, memberships.c.person_id == person_id
            )
        )

    async def has_owner(
        self, connection: AsyncConnection, account_id: str, *, besides: str | None = None
    ) -> bool:
        """Return whether an account has an owner who isn't disabled, ``besides`` a person."""
        query = select(people.c.id).where(
            memberships.c.person_id == people.c.id,
            memberships.c.account_id == account_id,
            memberships.c.role == OWNER,
            people.c.disabled_at_ms.is_(None),
        )
        if besides is not None:
            query = query.where(people.c.id != besides)
        return (await connection.execute(query.limit(1))).first() is not None

    async def has_anyone(self, connection: AsyncConnection) -> bool:
        """Return whether any owner was ever made."""
        query = select(exists().where(memberships.c.role == OWNER))
        return bool((await connection.execute(query)).scalar())

    async def add_factor(self, connection: AsyncConnection, factor: Factor) -> None:
        """Write a factor, its secret sealed."""
        await connection.execute(
            insert(factors).values(
                **_columns(factor, "id", "person_id", "kind", "name", "credential", "counter"),
                secret=self._sealer.seal(factor.secret, table=factors.name, row_id=factor.id),
                created_at_ms=to_epoch_ms(factor.created_at),
            )
        )

    async def factors_of(
        self, connection: AsyncConnection, person_id: str, *kinds: FactorKind
    ) -> list[Factor]:
        """Return a person's factors, oldest first; of these kinds, if any are named."""
        query = select(factors).where(factors.c.person_id == person_id).order_by(factors.c.id)
        if kinds:
            query = query.where(factors.c.kind.in_(kinds))
        return [self._factor(row) for row in await connection.execute(query)]

    async def factor_kinds(
        self, connection: AsyncConnection, person_ids: Collection[str]
    ) -> dict[str, set[str]]:
        """Return the kinds of factors that people have, by person id."""
        found: dict[str, set[str]] = {}
        query = select(factors.c.person_id, factors.c.kind).distinct()
        own = among(connection, factors.c.person_id, person_ids)
        for person_id, kind in await connection.execute(query.where(own)):
            found.setdefault(person_id, set()).add(kind)
        return found

    async def by_credential(self, connection: AsyncConnection, credential: bytes) -> Factor | None:
        """Return the passkey with this credential id."""
        found = await connection.execute(select(factors).where(factors.c.credential == credential))
        row = found.first()
        return None if row is None else self._factor(row)

    async def advance(
        self, connection: AsyncConnection, factor: Factor, counter: int, at: datetime
    ) -> bool:
        """Raise a factor's counter; false when it was used meanwhile with this one or a later."""
        is_behind = factors.c.counter < counter if counter > 0 else factors.c.counter == 0
        changed = await connection.execute(
            update(factors)
            .where(factors.c.id == factor.id, is_behind)
            .values(counter=counter, used_at_ms=to_epoch_ms(at))
        )
        return changed.rowcount == 1

    async def use_up(self, connection: AsyncConnection, factor: Factor, at: datetime) -> bool:
        """Mark a recovery code as used; false when it was before."""
        changed = await connection.execute(
            update(factors)
            .where(factors.c.id == factor.id, factors.c.used_at_ms.is_(None))
            .values(used_at_ms=to_epoch_ms(at))
        )
        return changed.rowcount == 1

    async def remove_factors(
        self,
        connection: AsyncConnection,
        person_id: str,
        *kinds: FactorKind,
        factor_id: str | None = None,
    ) -> int:
        """Delete a person's factors, of these kinds or with this id; returns how many."""
        query = delete(factors).where(factors.c.person_id == person_id)
        if kinds:
            query = query.where(factors.c.kind.in_(kinds))
        if factor_id is not None:
            query = query.where(factors.c.id == factor_id)
        return (await connection.execute(query)).rowcount

    async def add_invitation(
        self, connection: AsyncConnection, invitation: Invitation, digest: bytes
    ) -> None:
        """Write an invitation: the hash of its token, never the token."""
        await connection.execute(
            insert(invitations).values(
                **_columns(invitation, "id", "account_id", "person_id", "email", "role", "made_by"),
                sites=_codes(invitation.sites),
                digest=digest,
                created_at_ms=to_epoch_ms(invitation.created_at),
                expires_at_ms=to_epoch_ms(invitation.expires_at),
            )
        )

    async def invitation_by_digest(
        self, connection: AsyncConnection, digest: bytes
    ) -> Invitation | None:
        """Return an invitation, used or expired ones too."""
        found = await connection.execute(select(invitations).where(invitations.c.digest == digest))
        row = found.first()
        return None if row is None else _invitation(row)

    async def open_invitations(
        self, connection: AsyncConnection, account_id: str | None, now: datetime
    ) -> list[Invitation]:
        """Return what is neither used nor expired, oldest first."""
        query = select(invitations).where(
            invitations.c.used_at_ms.is_(None), invitations.c.expires_at_ms > to_epoch_ms(now)
        )
        if account_id is not None:
            query = query.where(invitations.c.account_id == account_id)
        rows = await connection.execute(query.order_by(invitations.c.id))
        return [_invitation(row) for row in rows]

    async def use_invitation(
        self, connection: AsyncConnection, digest: bytes, at: datetime
    ) -> bool:
        """Use an invitation up; false when it was used or withdrawn meanwhile, or has expired."""
        now = to_epoch_ms(at)
        changed = await connection.execute(
            update(invitations)
            .where(
                invitations.c.digest == digest,
                invitations.c.used_at_ms.is_(None),
                invitations.c.expires_at_ms > now,
            )
            .values(used_at_ms=now)
        )
        return changed.rowcount == 1

    async def withdraw_invitations(
        self,
        connection: AsyncConnection,
        *,
        email: str | None = None,
        person_id: str | None = None,
        account_id: str | None = None,
    ) -> int:
        """Delete unused invitations to an address, or links of a person; returns how many."""
        query = delete(invitations).where(invitations.c.used_at_ms.is_(None))
        if email is not None:
            query = query.where(invitations.c.email == email, invitations.c.person_id.is_(None))
        if person_id is not None:
            query = query.where(invitations.c.person_id == person_id)
        if account_id is not None:
            query = query.where(invitations.c.account_id == account_id)
        return (await connection.execute(query)).rowcount

    async def put_owner_code(
        self,
        connection: AsyncConnection,
        digest: bytes,
        tries: int,
        now: datetime,
        expires_at: datetime,
    ) -> None:
        """Replace the owner's code."""
        await connection.execute(delete(owner_codes))
        await connection.execute(
            insert(owner_codes).values(
                digest=digest,
                tries_left=tries,
                created_at_ms=to_epoch_ms(now),
                expires_at_ms=to_epoch_ms(expires_at),
            )
        )

    async def has_owner_code(self, connection: AsyncConnection, now: datetime) -> bool:
        """Return whether a code is good."""
        query = select(owner_codes.c.digest).where(*_good_code(now))
        return (await connection.execute(query)).first() is not None

    async def try_owner_code(self, connection: AsyncConnection, now: datetime) -> bytes | None:
        """Spend a try; returns the hash of the code to compare with, if a code is good."""
        found = await connection.execute(
            update(owner_codes)
            .where(*_good_code(now))
            .values(tries_left=owner_codes.c.tries_left - 1)
            .returning(owner_codes.c.digest)
        )
        digest = found.scalar()
        return None if digest is None else bytes(digest)

    async def use_owner_code(
        self, connection: AsyncConnection, digest: bytes, now: datetime
    ) -> bool:
        """Use the code up; false when it was used, replaced or expired meanwhile."""
        gone = await connection.execute(
            delete(owner_codes).where(
                owner_codes.c.digest == digest, owner_codes.c.expires_at_ms > to_epoch_ms(now)
            )
        )
        return gone.rowcount == 1

    def _factor(self, row: Row[Any]) -> Factor:
        return Factor(
            id=row.id,
            person_id=row.person_id,
            kind=row.kind,
            name=row.name,
            credential=None if row.credential is None else bytes(row.credential),
            secret=self._sealer.unseal(bytes(row.secret), table=factors.name, row_id=row.id),
            counter=row.counter,
            created_at=from_epoch_ms(row.created_at_ms),
            used_at=_time(row.used_at_ms),
        )


def fold(email: str) -> str:
    """Return an address as logins are compared: trimmed, in lower case."""
    return email.strip().lower()


def read_codes(text: str | None) -> tuple[str, ...] | None:
    """Read the JSON list of site codes; ``None`` means all sites."""
    return None if text is None else tuple(json.loads(text))


def _codes(sites: Sequence[str] | None) -> str | None:
    return None if sites is None else json.dumps(sorted(sites))


def _good_code(now: datetime) -> tuple[Any, ...]:
    return (owner_codes.c.expires_at_ms > to_epoch_ms(now), owner_codes.c.tries_left > 0)


def _columns(record: Any, *names: str) -> dict[str, Any]:
    return {name: getattr(record, name) for name in names}


def _time(epoch_ms: int | None) -> datetime | None:
    return None if epoch_ms is None else from_epoch_ms(epoch_ms)


async def _one_person(connection: AsyncConnection, condition: Any) -> Person | None:
    row = (await connection.execute(select(people).where(condition))).first()
    return None if row is None else _person(row)


def _person(row: Row[Any]) -> Person:
    return Person(
        **_columns(row, "id", "name", "email", "login", "issuer", "subject", "language"),
        handle=bytes(row.handle),
        created_at=from_epoch_ms(row.created_at_ms),
        disabled_at=_time(row.disabled_at_ms),
    )


def _membership(row: Row[Any], person_id: str) -> Membership:
    return Membership(row.account_id, person_id, row.role, read_codes(row.sites))


def _invitation(row: Row[Any]) -> Invitation:
    return Invitation(
        **_columns(row, "id", "account_id", "person_id", "email", "role", "made_by"),
        sites=read_codes(row.sites),
        created_at=from_epoch_ms(row.created_at_ms),
        expires_at=from_epoch_ms(row.expires_at_ms),
        used_at=_time(row.used_at_ms),
    )
