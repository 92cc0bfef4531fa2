"""Enrolment: the first owner by a code, others by an invitation, new factors by a link.

Each has two steps. The first checks the code or the link and returns what the person needs to set
up a passkey, or a password and an authenticator; the second uses it up and makes the person in one
transaction, so that of two simultaneous requests only one succeeds. Between the steps the state is
in a sealed token; no row is written.
"""

import hashlib
import hmac
import os
from datetime import timedelta
from typing import Any, Final, Literal, NamedTuple

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.auth.passwords import refuse_weak
from gateway.auth.sign_in import Begun, Browser, Parts, SignIn
from gateway.auth.totp import (
    matching_step,
    new_recovery_codes,
    new_secret,
    provisioning_uri,
    qr_svg,
    read_spelled,
    recovery_hash,
    secret_text,
    spell,
)
from gateway.errors import Conflict, InvalidInput, NotAuthenticated, Problem
from gateway.model.account import DEFAULT_ACCOUNT
from gateway.model.audit import AuditEntry
from gateway.model.ids import new_id
from gateway.model.permission import Role
from gateway.model.person import Factor, FactorKind, Invitation, Membership, Method, Person
from gateway.model.plan import PEOPLE
from gateway.storage.stores.people import OWNER, fold

OWNER_CODE_LIFE: Final = timedelta(hours=1)
OWNER_CODE_TRIES: Final = 10
_CODE_CHARACTERS: Final = 8
_HANDLE_BYTES: Final = 32
_MAX_NAME: Final = 100
_MAX_EMAIL: Final = 254
_ISSUER: Final = "rx-gateway"


class SetUp(NamedTuple):
    """The data that a person needs to set up factors.

    ``token`` is sent back with the second step; ``options`` are for
    ``navigator.credentials.create``, ``secret`` and ``qr`` for an authenticator.
    """

    token: str
    options: dict[str, Any]
    secret: str
    qr: str
    name: str
    email: str
    role: Role | None
    sites: tuple[str, ...] | None


class Choice(NamedTuple):
    """The factors that a person chose: a passkey's response, or a password and a first code."""

    passkey: dict[str, Any] | None = None
    passkey_name: str = ""
    password: str = ""
    code: str = ""


class Made(NamedTuple):
    """A person's first session, and their recovery codes, shown once."""

    begun: Begun
    recovery_codes: list[str]


class _Held(msgspec.Struct, frozen=True):
    """The state between the steps. ``digest`` is that of the owner's code or of the link."""

    kind: Literal["owner", "invitation", "own"]
    digest: bytes
    handle: bytes
    challenge: str
    totp: bytes
    name: str
    email: str
    person_id: str | None = None


class Enrolment:
    """Creates people, and sets their factors."""

    def __init__(self, parts: Parts, sign_in: SignIn) -> None:
        self._database = parts.database
        self._sealer = parts.sealer
        self._people = parts.people
        self._sessions = parts.store
        self._sign_in = sign_in
        self._audit = parts.audit
        self._tokens = parts.tokens
        self._hasher = parts.hasher
        self._passkeys = parts.passkeys
        self._clock = parts.clock
        self._plans = parts.plans

    async def needs_owner(self) -> bool:
        """Return whether no owner was ever made."""
        async with self._database.read() as connection:
            return not await self._people.has_anyone(connection)

    async def new_owner_code(
        self, *, actor: str | None = None, keep_good: bool = False
    ) -> str | None:
        """Make the code of the first owner, in place of an earlier one.

        Raises ``Conflict`` when there is an owner. With ``keep_good``, one of several processes
        that start together makes the code, and the others get ``None``. ``actor`` is for the audit
        trail; a start passes none, so that an unused gateway has no data.
        """
        now = self._clock.now()
        code = spell(_CODE_CHARACTERS)
        async with self._database.begin() as connection:
            if await self._people.has_anyone(connection):
                raise Conflict(
                    "There is an owner already; gateway people link EMAIL gives them new factors."
                )
            if keep_good and await self._people.has_owner_code(connection, now):
                return None
            await self._people.put_owner_code(
                connection, self._code_digest(code), OWNER_CODE_TRIES, now, now + OWNER_CODE_LIFE
            )
            if actor is not None:
                entry = AuditEntry(DEFAULT_ACCOUNT, actor, "owner_code.made", "owner", via="cli")
                await self._audit.record(connection, [entry], now)
        return code

    async def begin_owner(self, code: str, name: str, email: str) -> SetUp:
        """Check the owner's code, which uses one of its attempts, and begin to make the owner."""
        name, email = _name(name), check_email(email)
        digest = self._code_digest(code)
        async with self._database.begin() as connection:
            stored = await self._people.try_owner_code(connection, self._clock.now())
        if stored is None or not hmac.compare_digest(stored, digest):
            raise NotAuthenticated(
                "This code is not good: it holds for one hour and ten tries. "
                "gateway people owner-code makes another."
            )
        held = self._held("owner", digest, os.urandom(_HANDLE_BYTES), name, email)
        return self._set_up(held, OWNER, None, [])

    async def begin_invitation(self, token: str, name: str = "") -> SetUp:
        """Check a link, and begin to set the factors of its person."""
        digest = link_digest(token)
        async with self._database.read() as connection:
            invitation = await self._good_invitation(connection, digest)
            if invitation.person_id is not None:
                person = await self._people.get(connection, invitation.person_id)
            else:
                person = await self._people.by_login(connection, invitation.email)
                if person is not None:
                    raise Conflict(
                        "You have an account here already: sign in with it, then open the "
                        "invitation again to join."
                    )
        held = self._held(
            "invitation",
            digest,
            os.urandom(_HANDLE_BYTES) if person is None else person.handle,
            name.strip()[:_MAX_NAME] if person is None else person.name,
            invitation.email,
            invitation.person_id,
        )
        return self._set_up(held, invitation.role, invitation.sites, [])

    async def join(self, token: str, person_id: str) -> Membership:
        """Join another account with an invitation, as a person who is signed in."""
        digest, now = link_digest(token), self._clock.now()
        async with self._database.begin() as connection:
            invitation = await self._good_invitation(connection, digest)
            person = await self._people.get(connection, person_id)
            if invitation.person_id is not None or person is None:
                raise _used_link()
            if person.login != invitation.email:
                raise Conflict("This invitation is for another address than yours.")
            if not await self._people.use_invitation(connection, digest, now):
                raise _used_link()
            await self._plans.take(connection, invitation.account_id, PEOPLE)
            membership = Membership(
                invitation.account_id, person.id, invitation.role, invitation.sites
            )
            await self._people.set_membership(connection, membership, now)
            entry = AuditEntry(
                invitation.account_id, person.id, "person.joined", person.id, via="page"
            )
            await self._audit.record(connection, [entry], now)
        return membership

    async def begin_own(self, person_id: str) -> SetUp:
        """Begin to add factors to one's own."""
        async with self._database.read() as connection:
            person = await self._people.get(connection, person_id)
            present = await self._people.factors_of(connection, person_id, "passkey")
        if person is None or person.login is None:
            raise Conflict("Your company's account is what you sign in with; it has no factors.")
        held = self._held("own", b"", person.handle, person.name, person.email, person.id)
        return self._set_up(held, None, None, present)

    async def again(self, token: str) -> SetUp:
        """Return the data to choose factors again, after a refused choice."""
        held = self._tokens.open("enrolment", token, _Held)
        present: list[Factor] = []
        if held.kind == "own" and held.person_id is not None:
            async with self._database.read() as connection:
                present = await self._people.factors_of(connection, held.person_id, "passkey")
        return self._set_up(held, None, None, present)

    async def finish(self, token: str, choice: Choice, browser: Browser, name: str = "") -> Made:
        """Make the person whose code or link the token came from, and begin their session."""
        held = self._tokens.open("enrolment", token, _Held)
        if held.kind == "own":
            raise NotAuthenticated("Begin again with the code or the link.")
        held = msgspec.structs.replace(held, name=_name(name or held.name))
        if choice.password:
            refuse_weak(choice.password, held.name, held.email)
        method: Method = "password" if choice.passkey is None else "passkey"
        chosen, codes = await self._chosen(held, choice, browser)
        now = self._clock.now()
        async with self._database.begin() as connection:
            await self._tokens.spend(connection, "enrolment", token)
            person, account_id = (
                await self._make_owner(connection, held)
                if held.kind == "owner"
                else await self._accept(connection, held)
            )
            for each in chosen:
                factor = msgspec.structs.replace(each, person_id=person.id)
                await self._people.add_factor(connection, factor)
            begun = await self._sign_in.begin_new(connection, person, account_id, method, browser)
            entry = AuditEntry(account_id, person.id, "person.enrolled", person.id, via="page")
            await self._audit.record(connection, [entry], now)
        return Made(begun, codes)

    async def add_own(
        self, person_id: str, account_id: str, token: str, choice: Choice, browser: Browser
    ) -> list[str]:
        """Add a passkey, or replace password and authenticator; returns new recovery codes."""
        held = self._tokens.open("enrolment", token, _Held)
        if held.kind != "own" or held.person_id != person_id:
            raise NotAuthenticated("This step belongs to another session; begin again.")
        if choice.password:
            refuse_weak(choice.password, held.name, held.email)
        chosen, codes = await self._chosen(held, choice, browser)
        now = self._clock.now()
        replaced: list[FactorKind] = [each.kind for each in chosen if each.kind != "passkey"]
        async with self._database.begin() as connection:
            await self._tokens.spend(connection, "enrolment", token)
            if replaced:
                await self._people.remove_factors(connection, person_id, *replaced)
            for each in chosen:
                await self._people.add_factor(
                    connection, msgspec.structs.replace(each, person_id=person_id)
                )
            entry = AuditEntry(account_id, person_id, "factor.added", chosen[0].id, via="page")
            await self._audit.record(connection, [entry], now)
        return codes

    async def _make_owner(self, connection: AsyncConnection, held: _Held) -> tuple[Person, str]:
        now = self._clock.now()
        if not await self._people.use_owner_code(connection, held.digest, now):
            raise Conflict("The code was used or replaced meanwhile; nothing was made.")
        if await self._people.has_anyone(connection):
            raise Conflict("There is an owner already; nothing was made.")
        person = self._person(held)
        await self._people.add(connection, person)
        await self._people.set_membership(
            connection, Membership(DEFAULT_ACCOUNT, person.id, OWNER), now
        )
        return person, DEFAULT_ACCOUNT

    async def _accept(self, connection: AsyncConnection, held: _Held) -> tuple[Person, str]:
        now = self._clock.now()
        invitation = await self._good_invitation(connection, held.digest)
        if not await self._people.use_invitation(connection, held.digest, now):
            raise _used_link()
        if invitation.person_id is not None:
            person = await self._people.get(connection, invitation.person_id)
            if person is None or person.disabled_at is not None:
                raise _used_link()
            await self._people.remove_factors(connection, person.id)
            await self._sessions.end(connection, person_id=person.id)
            own = await self._people.memberships_of(connection, person.id)
            if not own:
                raise _used_link()
            return person, own[0].account_id
        if await self._people.by_login(connection, invitation.email) is not None:
            raise Conflict("You have an account here already: sign in with it to join.")
        await self._plans.take(connection, invitation.account_id, PEOPLE)
        person = self._person(held)
        await self._people.add(connection, person)
        await self._people.set_membership(
            connection,
            Membership(invitation.account_id, person.id, invitation.role, invitation.sites),
            now,
        )
        return person, invitation.account_id

    async def _good_invitation(self, connection: AsyncConnection, digest: bytes) -> Invitation:
        found = await self._people.invitation_by_digest(connection, digest)
        now = self._clock.now()
        if found is None or found.used_at is not None or found.expires_at <= now:
            raise _used_link()
        return found

    async def _chosen(
        self, held: _Held, choice: Choice, browser: Browser
    ) -> tuple[list[Factor], list[str]]:
        """Check what a person chose; returns their factors, and recovery codes to show."""
        now = self._clock.now()

        def factor(kind: FactorKind, secret: bytes, name: str = "", **more: Any) -> Factor:
            return Factor(
                id=new_id("fac", now),
                person_id="",
                kind=kind,
                name=name,
                secret=secret,
                created_at=now,
                **more,
            )

        if choice.passkey is not None:
            credential, data, counter = self._passkeys.registered(
                choice.passkey, held.challenge, browser.origin
            )
            name = choice.passkey_name.strip()[:_MAX_NAME] or "Passkey"
            return [factor("passkey", data, name, credential=credential, counter=counter)], []
        step = matching_step(held.totp, choice.code, now, 0)
        if not choice.password:
            raise InvalidInput(
                "Choose a passkey, or a password and a code.",
                [Problem("choose a password", field="password")],
            )
        if step is None:
            raise InvalidInput(
                "The code doesn't fit.",
                [
                    Problem(
                        "this is not the code that the authenticator shows now; see that the "
                        "clocks of both devices are right",
                        field="code",
                    )
                ],
            )
        codes = new_recovery_codes()
        hashed = await self._hasher.hash(choice.password)
        return [
            factor("password", hashed.encode()),
            factor("totp", held.totp, counter=step),
            *(factor("recovery", recovery_hash(code)) for code in codes),
        ], codes

    def _held(
        self,
        kind: Literal["owner", "invitation", "own"],
        digest: bytes,
        handle: bytes,
        name: str,
        email: str,
        person_id: str | None = None,
    ) -> _Held:
        return _Held(kind, digest, handle, "", new_secret(), name, email, person_id)

    def _set_up(
        self, held: _Held, role: Role | None, sites: tuple[str, ...] | None, present: list[Factor]
    ) -> SetUp:
        options, challenge = self._passkeys.registration(
            held.handle, held.email, held.name or held.email, present
        )
        token = self._tokens.seal("enrolment", msgspec.structs.replace(held, challenge=challenge))
        uri = provisioning_uri(held.totp, issuer=_ISSUER, account=held.email)
        return SetUp(
            token, options, secret_text(held.totp), qr_svg(uri), held.name, held.email, role, sites
        )

    def _person(self, held: _Held) -> Person:
        now = self._clock.now()
        return Person(
            id=new_id("per", now),
            name=held.name,
            email=held.email,
            login=fold(held.email),
            handle=held.handle,
            created_at=now,
        )

    def _code_digest(self, code: str) -> bytes:
        # A keyed hash: 40 bits could be guessed from a plain one.
        return self._sealer.blind_index("owner code", "", read_spelled(code))


def new_link() -> tuple[str, bytes]:
    """Return a link's token of 256 bits, and the hash to store."""
    token = os.urandom(32).hex()
    return token, link_digest(token)


def link_digest(token: str) -> bytes:
    """Return the hash by which a link is found."""
    return hashlib.sha256(token.strip().encode("utf-8", "surrogatepass")).digest()


def _used_link() -> NotAuthenticated:
    return NotAuthenticated("This link was used, withdrawn or has expired; ask for another one.")


def _name(text: str) -> str:
    name = " ".join(text.split())
    if not name or len(name) > _MAX_NAME or not name.isprintable():
        raise InvalidInput(
            "The name is missing or too long.",
            [Problem(f"write your name, at most {_MAX_NAME} characters", field="name")],
        )
    return name


def check_email(text: str) -> str:
    """Return an email address, trimmed; raises ``InvalidInput`` for an impossible one."""
    email = text.strip()
    local, at, domain = email.rpartition("@")
    if (
        not at or not local or not domain or len(email) > _MAX_EMAIL
        or not email.isprintable() or any(each in email for each in ' ,;<>"')
    ):  # fmt: skip
        raise InvalidInput(
            "The address can't be right.",
            [Problem("write an email address such as ana@example.com", field="email")],
        )
    return email
