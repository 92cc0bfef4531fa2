"""Managing people: invitations, roles and sites, disabling, lost factors, sessions.

People can't grant what they lack: a signed-in manager can't make an owner, or give sites or
permissions that they don't have. The command line may do everything; with it a last owner who lost
their passkey gets access again.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final, NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.auth.enrolment import check_email, new_link
from gateway.auth.roles import ROLES, Permissions
from gateway.auth.sessions import SignedIn
from gateway.auth.sign_in import Parts
from gateway.errors import Conflict, InvalidInput, NotAllowed, NotFound, Problem
from gateway.model.audit import AuditEntry
from gateway.model.ids import new_id
from gateway.model.permission import Role
from gateway.model.person import LANGUAGES, Invitation, Membership, Person, SessionRow
from gateway.model.plan import PEOPLE
from gateway.settings import Settings
from gateway.storage.stores.people import OWNER, fold

INVITATION_LIFE: Final = timedelta(hours=72)


class Maker(NamedTuple):
    """A person or command that manages people, with the permissions that it can grant.

    ``permissions`` and ``sites`` are ``None`` for all of them (the command line).
    """

    actor: str
    account_id: str
    permissions: frozenset[str] | None = None
    sites: frozenset[str] | None = None
    is_owner: bool = True


def maker_of(signed_in: SignedIn) -> Maker:
    """Return the limits of a signed-in person's changes."""
    sites = signed_in.membership.sites
    return Maker(
        signed_in.row.person_id,
        signed_in.row.account_id,
        signed_in.permissions,
        None if sites is None else frozenset(sites),
        is_owner=signed_in.membership.role == "owner",
    )


class Listed(NamedTuple):
    """A member of an account, as lists show them; ``factors`` counts kinds."""

    person: Person
    membership: Membership
    factors: tuple[str, ...]
    sessions: int


class People:
    """Manages the people of accounts."""

    def __init__(
        self,
        parts: Parts,
        permissions: Permissions,
        known_site: Callable[[str, str], bool],
    ) -> None:
        self._database = parts.database
        self._audit = parts.audit
        self._people = parts.people
        self._sessions = parts.store
        self._clock = parts.clock
        self._plans = parts.plans
        self._permissions = permissions
        self._known_site = known_site

    async def invite(
        self, maker: Maker, email: str, role: Role, sites: Sequence[str] | None
    ) -> tuple[Invitation, str]:
        """Make an invitation; returns it and its token, which is shown once."""
        login = fold(check_email(email))
        wanted = None if sites is None else tuple(dict.fromkeys(sites))
        self._check(maker, role, wanted)
        token, digest = new_link()
        now = self._clock.now()
        invitation = Invitation(
            id=new_id("inv", now),
            account_id=maker.account_id,
            email=login,
            role=role,
            sites=wanted,
            made_by=maker.actor,
            created_at=now,
            expires_at=now + INVITATION_LIFE,
        )
        async with self._database.begin() as connection:
            person = await self._people.by_login(connection, login)
            if person is not None:
                own = await self._people.memberships_of(connection, person.id)
                if any(each.account_id == maker.account_id for each in own):
                    raise Conflict("This person is a member already; change their role instead.")
            await self._people.withdraw_invitations(
                connection, email=login, account_id=maker.account_id
            )
            await self._plans.take(connection, maker.account_id, PEOPLE)
            await self._people.add_invitation(connection, invitation, digest)
            await self._note(connection, maker, "person.invited", invitation.id)
        return invitation, token

    async def invitations(self, account_id: str | None) -> list[Invitation]:
        """Return the invitations and links that are open."""
        async with self._database.read() as connection:
            return await self._people.open_invitations(connection, account_id, self._clock.now())

    async def members(self, account_id: str | None) -> list[Listed]:
        """Return all members, oldest first; of one account if it is named."""
        now = self._clock.now()
        async with self._database.read() as connection:
            members = await self._people.members(connection, account_id)
            ids = {person.id for person, _ in members}
            kinds = await self._people.factor_kinds(connection, ids)
            sessions = await self._sessions.counts(connection, ids, now)
        listed = []
        for person, membership in members:
            own = kinds.get(person.id, set()) | ({"oidc"} if person.issuer is not None else set())
            listed.append(
                Listed(person, membership, tuple(sorted(own)), sessions.get(person.id, 0))
            )
        return listed

    async def find(self, account_id: str | None, email_or_id: str) -> Person:
        """Return the one person of an address or id; raises ``NotFound`` or ``Conflict``."""
        async with self._database.read() as connection:
            found = await self._people.named(connection, email_or_id)
            if account_id is not None:
                members = await self._people.members(connection, account_id)
                ids = {person.id for person, _ in members}
                found = [each for each in found if each.id in ids]
        if not found:
            raise NotFound("No such person; gateway people list shows them.")
        if len(found) > 1:
            ids_text = ", ".join(each.id for each in found)
            raise Conflict(f"Several people have this address; name one by its id: {ids_text}.")
        return found[0]

    async def set_role(
        self, maker: Maker, person_id: str, role: Role, sites: Sequence[str] | None
    ) -> Membership:
        """Change a member's role and sites, from their next request on."""
        wanted = None if sites is None else tuple(dict.fromkeys(sites))
        self._check(maker, role, wanted)
        membership = Membership(maker.account_id, person_id, role, wanted)
        async with self._database.begin() as connection:
            await self._member(connection, maker, person_id)
            if role != OWNER:
                await self._keep_an_owner(connection, maker.account_id, person_id)
            await self._people.set_membership(connection, membership, self._clock.now())
            await self._note(connection, maker, "person.role_changed", person_id)
        return membership

    async def disable(self, maker: Maker, person_id: str) -> None:
        """Disable a person: their sessions end, and nothing signs them in."""
        if person_id == maker.actor:
            raise NotAllowed("You can't disable yourself; ask another owner.")
        async with self._database.begin() as connection:
            await self._member(connection, maker, person_id)
            own = await self._people.memberships_of(connection, person_id)
            for each in own:
                await self._keep_an_owner(connection, each.account_id, person_id)
            await self._people.set_disabled(connection, person_id, self._clock.now())
            await self._people.withdraw_invitations(connection, person_id=person_id)
            await self._sessions.end(connection, person_id=person_id)
            await self._note(connection, maker, "person.disabled", person_id)

    async def enable(self, maker: Maker, person_id: str) -> None:
        """Enable a person again, with their earlier factors."""
        async with self._database.begin() as connection:
            person, _ = await self._member(connection, maker, person_id)
            if person.disabled_at is not None:
                for each in await self._people.memberships_of(connection, person_id):
                    await self._plans.take(connection, each.account_id, PEOPLE)
            await self._people.set_disabled(connection, person_id, None)
            await self._note(connection, maker, "person.enabled", person_id)

    async def link(self, maker: Maker, person_id: str) -> tuple[Invitation, str]:
        """Replace lost factors: they are removed and all sessions end; returns a one-time link."""
        token, digest = new_link()
        now = self._clock.now()
        async with self._database.begin() as connection:
            person, membership = await self._member(connection, maker, person_id)
            if person.login is None:
                raise Conflict("This person signs in with their company's account.")
            invitation = Invitation(
                id=new_id("inv", now),
                account_id=membership.account_id,
                person_id=person.id,
                email=person.email,
                role=membership.role,
                sites=membership.sites,
                made_by=maker.actor,
                created_at=now,
                expires_at=now + INVITATION_LIFE,
            )
            await self._people.withdraw_invitations(connection, person_id=person_id)
            await self._people.remove_factors(connection, person_id)
            await self._sessions.end(connection, person_id=person_id)
            await self._people.add_invitation(connection, invitation, digest)
            await self._note(connection, maker, "person.link_made", person_id)
        return invitation, token

    async def withdraw(self, maker: Maker, email: str) -> int:
        """Withdraw the open invitations to an address; returns how many."""
        async with self._database.begin() as connection:
            count = await self._people.withdraw_invitations(
                connection, email=fold(email), account_id=maker.account_id
            )
            if count:
                await self._note(connection, maker, "invitation.withdrawn", "invitation")
        return count

    async def end_sessions(
        self, maker: Maker, person_id: str, *, besides: str | None = None
    ) -> int:
        """End a person's sessions with their next request; returns how many."""
        async with self._database.begin() as connection:
            if maker.actor != person_id:
                await self._member(connection, maker, person_id)
            count = await self._sessions.end(connection, person_id=person_id, besides=besides)
            await self._note(connection, maker, "sessions.ended", person_id)
        return count

    async def end_session(self, maker: Maker, person_id: str, session_id: str) -> None:
        """End one session of a person."""
        async with self._database.begin() as connection:
            own = await self._sessions.of_person(connection, person_id, self._clock.now())
            if session_id not in {each.id for each in own}:
                raise NotFound("No such session; it has ended.")
            await self._sessions.end(connection, session_id=session_id)
            await self._note(connection, maker, "session.ended", person_id)

    async def sessions(self, person_id: str) -> list[SessionRow]:
        """Return a person's sessions, newest first."""
        async with self._database.read() as connection:
            return await self._sessions.of_person(connection, person_id, self._clock.now())

    async def rename(self, person_id: str, name: str | None, language: str | None) -> None:
        """Change one's own name and language."""
        shown = None if name is None else " ".join(name.split())
        if shown is not None and not (0 < len(shown) <= 100 and shown.isprintable()):  # noqa: PLR2004
            raise InvalidInput(
                "The name is missing or too long.",
                [Problem("write your name, at most 100 characters", field="name")],
            )
        if language is not None and language not in LANGUAGES:
            raise InvalidInput(
                "There is no such language.",
                [Problem(f"one of {', '.join(LANGUAGES)}", field="language")],
            )
        async with self._database.begin() as connection:
            await self._people.change(connection, person_id, name=shown, language=language)

    async def remove_passkey(self, person_id: str, account_id: str, factor_id: str) -> None:
        """Remove one's own passkey; the last way to sign in stays."""
        async with self._database.begin() as connection:
            own = await self._people.factors_of(connection, person_id)
            rest = [
                each for each in own if each.id != factor_id and each.kind in {"passkey", "totp"}
            ]
            if not any(each.id == factor_id and each.kind == "passkey" for each in own):
                raise NotFound("No such passkey; it was removed.")
            if not rest:
                raise Conflict("This is your only way to sign in; add another one first.")
            await self._people.remove_factors(connection, person_id, factor_id=factor_id)
            maker = Maker(person_id, account_id)
            await self._note(connection, maker, "factor.removed", factor_id)

    async def accounts_of(self, person_id: str) -> list[Membership]:
        """Return a person's memberships."""
        async with self._database.read() as connection:
            return await self._people.memberships_of(connection, person_id)

    async def switch_account(self, row: SessionRow, account_id: str) -> None:
        """Take a session to another account of its person."""
        async with self._database.begin() as connection:
            own = await self._people.memberships_of(connection, row.person_id)
            if account_id not in {each.account_id for each in own}:
                raise NotFound("You belong to no such account.")
            await self._sessions.switch(connection, row.id, account_id)
            maker = Maker(row.person_id, account_id)
            await self._note(connection, maker, "session.switched", row.id)

    def _check(self, maker: Maker, role: Role, sites: tuple[str, ...] | None) -> None:
        """Raise for an unknown role or site, or one that the maker doesn't have."""
        if role not in ROLES:
            known = ", ".join(ROLES)
            raise InvalidInput("There is no such role.", [Problem(f"one of {known}", field="role")])
        for site in sites or ():
            if not self._known_site(maker.account_id, site):
                raise InvalidInput(
                    "There is no such site.",
                    [Problem("a site is the code of one of [[sites]]", field="sites")],
                )
        if sites is not None and not sites:
            raise InvalidInput(
                "Name at least one site.", [Problem("or leave it out for all", field="sites")]
            )
        if role == OWNER and sites is not None:
            raise InvalidInput("An owner has all sites.", [Problem("leave it out", field="sites")])
        if role == OWNER and not maker.is_owner:
            raise NotAllowed("Only an owner can make an owner.")
        lacking = (
            set()
            if maker.permissions is None
            else self._permissions.of_role(role) - maker.permissions
        )
        if lacking:
            raise NotAllowed(
                f"You can't give what you don't have yourself: {', '.join(sorted(lacking))}."
            )
        if maker.sites is not None and (sites is None or not maker.sites.issuperset(sites)):
            raise NotAllowed("You can only give sites that you have yourself.")

    async def _member(
        self, connection: AsyncConnection, maker: Maker, person_id: str
    ) -> tuple[Person, Membership]:
        """Return a member whom ``maker`` may manage; raises ``NotFound`` or ``NotAllowed``."""
        person = await self._people.get(connection, person_id)
        own = [] if person is None else await self._people.memberships_of(connection, person_id)
        found = next((each for each in own if each.account_id == maker.account_id), None)
        if person is None or found is None:
            raise NotFound("No such person; gateway people list shows them.")
        if found.role == OWNER and not maker.is_owner:
            raise NotAllowed("Only an owner can change an owner.")
        if maker.sites is not None and (
            found.sites is None or not maker.sites.issuperset(found.sites)
        ):
            raise NotAllowed("This person has sites that you don't have.")
        return person, found

    async def _keep_an_owner(
        self, connection: AsyncConnection, account_id: str, person_id: str
    ) -> None:
        own = await self._people.memberships_of(connection, person_id)
        is_owner = any(each.account_id == account_id and each.role == OWNER for each in own)
        if is_owner and not await self._people.has_owner(connection, account_id, besides=person_id):
            raise Conflict("This is the last owner; make another one first.")

    async def _note(
        self, connection: AsyncConnection, maker: Maker, action: str, subject: str
    ) -> None:
        entry = AuditEntry(
            maker.account_id,
            maker.actor,
            action,
            subject,
            via="cli" if maker.actor.startswith("cli:") else "page",
        )
        await self._audit.record(connection, [entry], self._clock.now())


def site_list(membership: Membership) -> list[str] | None:
    """Return a membership's sites for JSON: ``None`` for all."""
    return None if membership.sites is None else sorted(membership.sites)


def link_url(settings: Settings, token: str) -> str:
    """Return the address of a one-time link; the fragment is in no log and no Referer."""
    public = settings.gateway.public_url.rstrip("/")
    return f"{public}/dashboard/invitation#{token}"
