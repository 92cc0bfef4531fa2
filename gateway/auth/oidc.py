"""Signing in with a company's account: OpenID Connect's code flow with PKCE, state and nonce.

The provider's issuer and subject identify a person, never the address that it reports, which may
belong to another person tomorrow. Role and sites come from claims at each sign-in. A claim neither
makes nor removes an owner. Between the redirect to the provider and the callback the state is a
sealed token in a cookie, so that the callback works in the same browser only.
"""

import base64
import hashlib
import hmac
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import urlencode

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.auth.enrolment import check_email
from gateway.auth.oidc_provider import CLOCK_LEEWAY_SECONDS, Identified, OidcProvider
from gateway.auth.sessions import SignedIn
from gateway.auth.sign_in import Begun, Browser, Parts, SignIn
from gateway.clock import from_epoch_ms, to_epoch_ms
from gateway.errors import InvalidInput, NotAuthenticated
from gateway.model.audit import AuditEntry
from gateway.model.ids import new_id
from gateway.model.permission import Role
from gateway.model.person import Membership, Person
from gateway.model.plan import PEOPLE
from gateway.settings import OidcTable
from gateway.storage.stores.people import OWNER

CALLBACK: Final = "/dashboard/oidc/callback"
"""The path of the redirect URI, which has to be registered at the provider."""
ALL_SITES: Final = "*"
_KIND: Final = "oidc"
_SECRET_BYTES: Final = 32
_MAX_NAME: Final = 100
_LONG_AGO: Final = 86_400.0  # longer than any session
_Refused = Literal["no_role", "no_site", "disabled", "no_owner"]
_SENTENCES: Final[Mapping[_Refused, str]] = {
    "no_role": "Your company's account has no role here; ask your company for one.",
    "no_site": "Your company's account has no site here; ask your company for one.",
    "disabled": "This account is disabled here; ask an owner or a manager.",
    "no_owner": "The gateway has no owner yet: the first owner is made with the owner's code.",
}


class Way(NamedTuple):
    """The provider's address for the browser, and the token to keep until the callback."""

    url: str
    token: str


class Answer(NamedTuple):
    """The callback's query from the provider; absent values are ``None``."""

    code: str | None = None
    state: str | None = None
    issuer: str | None = None
    error: str | None = None


class Finished(NamedTuple):
    """A session that began, or ``None`` after a step-up; and the next page."""

    begun: Begun | None
    target: str


class _Left(msgspec.Struct, frozen=True):
    """The state at the redirect. ``session`` is set for a step-up."""

    state: str
    nonce: str
    verifier: str
    redirect_uri: str
    target: str
    at_ms: int
    must_prove: bool
    session: str | None = None


class _Granted(NamedTuple):
    role: Role
    sites: tuple[str, ...] | None


class OidcSignIn:
    """Signs people in with the provider of ``[people.oidc]``."""

    def __init__(
        self,
        table: OidcTable,
        provider: OidcProvider,
        parts: Parts,
        sign_in: SignIn,
        known_site: Callable[[str, str], bool],
    ) -> None:
        self.name = table.name
        self._table = table
        self._provider = provider
        self._parts = parts
        self._sign_in = sign_in
        self._known_site = known_site

    async def close(self) -> None:
        """Close the connections to the provider."""
        await self._provider.close()

    async def begin(
        self,
        browser: Browser,
        target: str,
        *,
        step_up: SignedIn | None = None,
        callback: str = CALLBACK,
    ) -> Way:
        """Begin to sign in, or to confirm in a session; raises ``Unavailable``.

        ``callback`` is the path that the provider sends the browser back to. After a lock and for a
        confirmation the provider has to authenticate the person again: a session that is still open
        at the provider isn't enough.
        """
        known = await self._provider.metadata()
        before = await self._parts.sessions.find(browser.session)
        left = _Left(
            state=secrets.token_urlsafe(_SECRET_BYTES),
            nonce=secrets.token_urlsafe(_SECRET_BYTES),
            verifier=secrets.token_urlsafe(_SECRET_BYTES),
            redirect_uri=browser.origin + callback,
            target=target,
            at_ms=to_epoch_ms(self._parts.clock.now()),
            must_prove=step_up is not None or before is not None,
            session=None if step_up is None else step_up.row.id,
        )
        asked = {
            "response_type": "code",
            "client_id": self._table.client_id,
            "redirect_uri": left.redirect_uri,
            "scope": " ".join(("openid", *self._table.scopes)),
            "state": left.state,
            "nonce": left.nonce,
            "code_challenge": _challenge(left.verifier),
            "code_challenge_method": "S256",
        }
        if left.must_prove:
            asked |= {"prompt": "login", "max_age": "0"}
        mark = "&" if "?" in known.authorization_endpoint else "?"
        url = f"{known.authorization_endpoint}{mark}{urlencode(asked)}"
        return Way(url, self._parts.tokens.seal(_KIND, left))

    async def finish(self, token: str | None, answer: Answer, browser: Browser) -> Finished:
        """Handle the provider's answer: begin the session, or record the confirmation.

        Raises ``NotAuthenticated`` for an answer that isn't for this browser, comes twice or from
        another provider, or for a person who is refused; ``Unavailable``.
        """
        left = self._parts.tokens.open(_KIND, token or "", _Left)
        if not hmac.compare_digest(left.state.encode(), (answer.state or "").encode()):
            raise _another_browser()
        known = await self._provider.metadata()
        # RFC 9207: a code of another provider must not be sent to this one (mix-up).
        is_missing = answer.issuer is None and known.authorization_response_iss_parameter_supported
        if is_missing or answer.issuer not in {None, known.issuer}:
            raise NotAuthenticated("The answer is not from your company's sign-in; begin again.")
        async with self._parts.database.begin() as connection:
            await self._parts.tokens.spend(connection, _KIND, token or "")
        if answer.error is not None or not answer.code:
            raise NotAuthenticated("Your company's sign-in didn't let you through; begin again.")
        # Answers can be forged; so requests to the provider about them are limited.
        throttle, device = self._parts.throttle, self._sign_in.device_of(browser)
        key = await throttle.admit(browser.host, _KIND, device)
        found = await self._provider.redeem(
            answer.code, left.verifier, left.redirect_uri, left.nonce
        )
        await throttle.succeeded(key, browser.host)
        self._need_proof(left, found)
        if left.session is not None:
            await self._confirm(left.session, found, browser)
            return Finished(None, left.target)
        return Finished(await self._let_in(found, browser), left.target)

    @staticmethod
    def _need_proof(left: _Left, found: Identified) -> None:
        if not left.must_prove:
            return
        shown_at = found.token.auth_time
        began_at = from_epoch_ms(left.at_ms).timestamp()
        if shown_at is None or shown_at < began_at - CLOCK_LEEWAY_SECONDS:
            raise NotAuthenticated(
                "Your company's sign-in didn't ask for you again; sign out there, then begin again."
            )

    async def _confirm(self, session_id: str, found: Identified, browser: Browser) -> None:
        signed_in = await self._parts.sessions.read(browser.session)
        async with self._parts.database.begin() as connection:
            person = await self._parts.people.by_subject(
                connection, found.token.iss, found.token.sub
            )
            is_same = person is not None and person.id == signed_in.row.person_id
            if signed_in.row.id != session_id or not is_same:
                raise NotAuthenticated("This is another person's account; nothing was confirmed.")
            await self._sign_in.proved_elsewhere(connection, signed_in)

    async def _let_in(self, found: Identified, browser: Browser) -> Begun:
        """Begin a session; a refused person loses the role of an earlier claim."""
        people, now = self._parts.people, self._parts.clock.now()
        async with self._parts.database.begin() as connection:
            person = await people.by_subject(connection, found.token.iss, found.token.sub)
            before = None if person is None else await self._membership(connection, person)
            granted = await self._judge(connection, found, person, before)
            if isinstance(granted, _Granted):
                if before is None:
                    await self._parts.plans.take(connection, self._table.account, PEOPLE)
                person = await self._known_or_new(connection, found, person)
                wanted = Membership(self._table.account, person.id, granted.role, granted.sites)
                if wanted != before:
                    await people.set_membership(connection, wanted, now)
                    await self._note(connection, person.id, "person.role_claimed")
                return await self._sign_in.begin_elsewhere(
                    connection, person, wanted, browser, proved_at=self._proved_at(found)
                )
            await self._refuse(connection, person, before, granted, browser)
        raise NotAuthenticated(_SENTENCES[granted])

    async def _judge(
        self,
        connection: AsyncConnection,
        found: Identified,
        person: Person | None,
        before: Membership | None,
    ) -> "_Granted | _Refused":
        if not await self._parts.people.has_anyone(connection):
            return "no_owner"  # otherwise the first such person would make the owner's code useless
        if person is not None and person.disabled_at is not None:
            return "disabled"
        if before is not None and before.role == OWNER:
            return _Granted(OWNER, None)
        return self._granted(found.claims)

    def _granted(self, claims: Mapping[str, Any]) -> _Granted | _Refused:
        """Return the role and sites of a person's claims, or the reason for none."""
        held = values_of(claims, self._table.roles_claim)
        role = next((role for value, role in self._table.roles.items() if value in held), None)
        if role is None:
            return "no_role"
        if self._table.sites_claim is None:
            return _Granted(role, None)
        codes = values_of(claims, self._table.sites_claim)
        if ALL_SITES in codes:
            return _Granted(role, None)
        account = self._table.account
        own = sorted({each for each in codes if self._known_site(account, each)})
        return _Granted(role, tuple(own)) if own else "no_site"

    async def _membership(self, connection: AsyncConnection, person: Person) -> Membership | None:
        own = await self._parts.people.memberships_of(connection, person.id)
        return next((each for each in own if each.account_id == self._table.account), None)

    async def _refuse(
        self,
        connection: AsyncConnection,
        person: Person | None,
        before: Membership | None,
        reason: _Refused,
        browser: Browser,
    ) -> None:
        """Audit a refusal; the role of an earlier claim ends, with its sessions."""
        entry = AuditEntry(
            self._table.account,
            "anonymous",
            "sign_in.refused",
            "unknown" if person is None else person.id,
            kind="denied",
            via="page",
            outcome="denied",
            address=browser.host,
            detail=reason,
        )
        await self._parts.audit.record(connection, [entry], self._parts.clock.now())
        if person is None or before is None or reason not in {"no_role", "no_site"}:
            return
        await self._parts.people.remove_membership(connection, self._table.account, person.id)
        await self._parts.store.end(connection, person_id=person.id)
        await self._note(connection, person.id, "person.role_lost")

    async def _known_or_new(
        self, connection: AsyncConnection, found: Identified, person: Person | None
    ) -> Person:
        """Return the person with the address that the provider reports now; make a new one."""
        people, claims = self._parts.people, found.claims
        email = _address(claims.get("email"))
        if person is not None:
            if email not in {"", person.email}:
                await people.change(connection, person.id, email=email)
            return person
        now = self._parts.clock.now()
        name = _shown_name(claims.get("name")) or email.partition("@")[0]
        made = Person(
            id=new_id("per", now),
            name=name or found.token.sub[:_MAX_NAME],
            email=email,
            issuer=found.token.iss,
            subject=found.token.sub,
            handle=os.urandom(_SECRET_BYTES),
            created_at=now,
        )
        return await people.add_or_get(connection, made)

    async def _note(self, connection: AsyncConnection, person_id: str, action: str) -> None:
        entry = AuditEntry(self._table.account, person_id, action, person_id, via="page")
        await self._parts.audit.record(connection, [entry], self._parts.clock.now())

    def _proved_at(self, found: Identified) -> datetime:
        """Return when the person last showed a factor to the provider; if unknown, long ago.

        A provider that lets a person through silently has not asked for one.
        """
        shown_at = found.token.auth_time
        now = self._parts.clock.now()
        seconds_ago = _LONG_AGO if shown_at is None else now.timestamp() - shown_at
        return now - timedelta(seconds=min(max(0.0, seconds_ago), _LONG_AGO))


def values_of(claims: Mapping[str, Any], name: str) -> frozenset[str]:
    """Return the texts of a claim: a list, or one text. A dot in the name enters an object."""
    found: Any = claims.get(name)
    if found is None:
        found = claims
        for part in name.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
    if isinstance(found, str):
        return frozenset({found})
    if isinstance(found, Sequence):
        return frozenset(each for each in found if isinstance(each, str))
    return frozenset()


def _challenge(verifier: str) -> str:
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _address(claimed: Any) -> str:
    """Return the reported address, for display only: it identifies no one."""
    try:
        return check_email(claimed) if isinstance(claimed, str) else ""
    except InvalidInput:
        return ""


def _shown_name(claimed: Any) -> str:
    name = " ".join(claimed.split()) if isinstance(claimed, str) else ""
    return name[:_MAX_NAME] if name.isprintable() else ""


def _another_browser() -> NotAuthenticated:
    return NotAuthenticated(
        "This sign-in was begun in another browser or tab, or took too long; begin again."
    )
