"""Sign-in with a passkey, or with a password and an authenticator's code; and step-up.

All failures have the same response and take the same time: an unknown person's password is hashed
and compared too, and each result is a row of the audit trail.
"""

from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.auth.one_time_tokens import OneTimeTokens
from gateway.auth.passkeys import Passkeys, refused
from gateway.auth.passwords import PasswordHasher
from gateway.auth.plans import Plans
from gateway.auth.sessions import Sessions, SignedIn, cookie_digest
from gateway.auth.sign_in_throttle import SignInThrottle
from gateway.auth.totp import is_recovery_code, matching_step, recovery_hash
from gateway.clock import Clock
from gateway.errors import NotAuthenticated
from gateway.model.account import DEFAULT_ACCOUNT
from gateway.model.audit import AuditEntry
from gateway.model.person import Factor, Membership, Method, Person
from gateway.storage.crypto.encryption import Sealer
from gateway.storage.database import Database
from gateway.storage.stores.audit import AuditTrail
from gateway.storage.stores.people import PeopleStore, fold
from gateway.storage.stores.sessions import SessionStore

DEVICE_LIFE: Final = timedelta(days=90)
_MAX_LOGIN: Final = 254
_MAX_CODE: Final = 40


class Browser(NamedTuple):
    """The origin of a request.

    ``origin`` is that of the page; ``session`` and ``device`` are the cookies, if there are any.
    """

    host: str
    origin: str
    agent: str = ""
    session: str | None = None
    device: str | None = None


class Begun(NamedTuple):
    """A session that began: its cookie and its device token."""

    cookie: str
    device: str
    person: Person
    recovery_codes_left: int | None = None


class Challenge(msgspec.Struct, frozen=True):
    """The challenge that a passkey signs; ``session`` is set for a step-up."""

    challenge: str
    session: str | None = None


class _Device(msgspec.Struct, frozen=True):
    person_id: str
    id: str


class Parts(NamedTuple):
    """The parts of sign-in and enrolment."""

    database: Database
    sealer: Sealer
    people: PeopleStore
    store: SessionStore
    sessions: Sessions
    tokens: OneTimeTokens
    hasher: PasswordHasher
    passkeys: Passkeys
    throttle: SignInThrottle
    clock: Clock
    audit: AuditTrail
    plans: Plans


class SignIn:
    """Signs people in. Wrong answers raise ``NotAuthenticated`` or ``RateLimited``."""

    def __init__(self, parts: Parts) -> None:
        self._database = parts.database
        self._audit = parts.audit
        self._people = parts.people
        self._store = parts.store
        self._sessions = parts.sessions
        self._tokens = parts.tokens
        self._hasher = parts.hasher
        self._passkeys = parts.passkeys
        self._throttle = parts.throttle
        self._clock = parts.clock

    async def with_password(self, login: str, password: str, code: str, browser: Browser) -> Begun:
        """Begin a session with a password and, where the person has set one up, a code."""
        login = fold(login)[:_MAX_LOGIN]
        if not login.isprintable():  # no address contains a NUL, and PostgreSQL can't store one
            login = ""
        person, factors = await self._look_up(login)
        key = await self._throttle.admit(browser.host, login, self._known_as(browser, person))
        proof = await self._prove(factors, password, code)
        now = self._clock.now()
        async with self._database.begin() as connection:
            accounts = [] if person is None else await self._accounts(connection, person)
            is_good = (
                proof is not None and bool(accounts) and await self._use(connection, proof.second)
            )
            if person is None or proof is None or not is_good:
                # Committed like a success, so that it takes as long.
                entry = AuditEntry(
                    accounts[0].account_id if accounts else DEFAULT_ACCOUNT,
                    "anonymous",
                    "sign_in.refused",
                    "unknown" if person is None else person.id,
                    kind="denied",
                    via="page",
                    outcome="denied",
                    address=browser.host,
                )
                await self._audit.record(connection, [entry], now)
                begun = None
            else:
                begun = await self._begin(
                    connection,
                    person,
                    accounts,
                    "password",
                    browser,
                    is_strong=proof.second is not None,
                )
        if begun is None:
            raise _wrong()
        await self._throttle.succeeded(key, browser.host)
        left = None
        if (
            proof is not None
            and proof.second is not None
            and proof.second.factor.kind == "recovery"
        ):
            left = sum(each.kind == "recovery" and each.used_at is None for each in factors) - 1
        return begun._replace(recovery_codes_left=left)

    def begin_passkey(self) -> tuple[dict[str, Any], str]:
        """Return the options for the browser, and the token to send back with its answer."""
        options, challenge = self._passkeys.assertion()
        return options, self._tokens.seal("assertion", Challenge(challenge))

    async def with_passkey(self, token: str, response: dict[str, Any], browser: Browser) -> Begun:
        """Begin a session with a passkey's response; each challenge works once."""
        held = self._tokens.open("assertion", token, Challenge)
        if held.session is not None:
            raise refused()
        async with self._database.begin() as connection:
            person = await self._assert(connection, token, held, response, browser)
            accounts = await self._accounts(connection, person)
            if not accounts:
                raise refused()
            return await self._begin(
                connection, person, accounts, "passkey", browser, is_strong=True
            )

    async def begin_new(
        self,
        connection: AsyncConnection,
        person: Person,
        account_id: str,
        method: Method,
        browser: Browser,
    ) -> Begun:
        """Begin the first session of a person who has just set their factors up."""
        account = Membership(account_id, person.id, "owner")  # its account alone is read
        return await self._begin(connection, person, [account], method, browser, is_strong=True)

    async def begin_step_up(self, signed_in: SignedIn) -> tuple[dict[str, Any], str]:
        """Return the options for one of the person's own passkeys, and the token."""
        async with self._database.read() as connection:
            own = await self._people.factors_of(connection, signed_in.row.person_id, "passkey")
        options, challenge = self._passkeys.assertion(own)
        return options, self._tokens.seal("assertion", Challenge(challenge, signed_in.row.id))

    async def step_up_with_passkey(
        self, signed_in: SignedIn, token: str, response: dict[str, Any], browser: Browser
    ) -> None:
        """Show a passkey again in a session."""
        held = self._tokens.open("assertion", token, Challenge)
        if held.session != signed_in.row.id:
            raise refused()
        async with self._database.begin() as connection:
            person = await self._assert(connection, token, held, response, browser)
            if person.id != signed_in.row.person_id:
                raise refused()
            await self._proved(connection, signed_in, is_strong=True)

    async def step_up_with_password(
        self, signed_in: SignedIn, password: str, code: str, browser: Browser
    ) -> None:
        """Show password and code again in a session."""
        key = await self._throttle.admit(browser.host, "", f"session {signed_in.row.id}")
        async with self._database.read() as connection:
            factors = await self._people.factors_of(connection, signed_in.row.person_id)
        proof = await self._prove(factors, password, code)
        async with self._database.begin() as connection:
            is_good = proof is not None and await self._use(connection, proof.second)
            if proof is not None and is_good:
                await self._proved(connection, signed_in, is_strong=proof.second is not None)
        if not is_good:
            raise _wrong()
        await self._throttle.succeeded(key, browser.host)

    async def begin_elsewhere(
        self,
        connection: AsyncConnection,
        person: Person,
        membership: Membership,
        browser: Browser,
        *,
        proved_at: datetime,
    ) -> Begun:
        """Begin a session of a person whom an identity provider has authenticated."""
        return await self._begin(
            connection, person, [membership], "oidc", browser, is_strong=False, proved_at=proved_at
        )

    async def proved_elsewhere(self, connection: AsyncConnection, signed_in: SignedIn) -> None:
        """Record that an identity provider has just authenticated the person of a session."""
        await self._proved(connection, signed_in, is_strong=False)

    def device_of(self, browser: Browser) -> str | None:
        """Return the token of a browser in which a person has signed in before."""
        held = self._device(browser)
        return None if held is None else held.id

    async def _look_up(self, login: str) -> tuple[Person | None, list[Factor]]:
        async with self._database.read() as connection:
            person = await self._people.by_login(connection, login)
            # An unknown person costs the same two statements.
            found = await self._people.factors_of(connection, "" if person is None else person.id)
        if person is None or person.disabled_at is not None:
            return None, []
        return person, found

    async def _prove(self, factors: list[Factor], password: str, code: str) -> "_Proof | None":
        stored = next((each for each in factors if each.kind == "password"), None)
        is_right = await self._hasher.verify(
            password, None if stored is None else stored.secret.decode()
        )
        has_second = any(each.kind == "totp" for each in factors)
        second = self._second(factors, code[:_MAX_CODE])
        if not is_right or (has_second and second is None):
            return None
        return _Proof(second)

    def _second(self, factors: list[Factor], code: str) -> "_Used | None":
        if is_recovery_code(code):
            wanted = recovery_hash(code)
            for each in factors:
                if each.kind == "recovery" and each.used_at is None and each.secret == wanted:
                    return _Used(each, 0)
            return None
        for each in factors:
            if each.kind == "totp":
                step = matching_step(each.secret, code, self._clock.now(), each.counter)
                if step is not None:
                    return _Used(each, step)
        return None

    async def _use(self, connection: AsyncConnection, used: "_Used | None") -> bool:
        """Use a code up; false when another request already did."""
        if used is None:
            return True
        now = self._clock.now()
        if used.factor.kind == "recovery":
            return await self._people.use_up(connection, used.factor, now)
        return await self._people.advance(connection, used.factor, used.step, now)

    async def _assert(
        self,
        connection: AsyncConnection,
        token: str,
        held: Challenge,
        response: dict[str, Any],
        browser: Browser,
    ) -> Person:
        credential = self._passkeys.credential_of(response)
        factor = await self._people.by_credential(connection, credential)
        person = None if factor is None else await self._people.get(connection, factor.person_id)
        if factor is None or person is None or person.disabled_at is not None:
            raise refused()
        counter = self._passkeys.asserted(response, held.challenge, browser.origin, factor, person)
        await self._tokens.spend(connection, "assertion", token)
        if not await self._people.advance(connection, factor, counter, self._clock.now()):
            raise refused()
        return person

    async def _proved(
        self, connection: AsyncConnection, signed_in: SignedIn, *, is_strong: bool
    ) -> None:
        row, now = signed_in.row, self._clock.now()
        await self._store.proved(connection, row.id, now, is_strong=is_strong)
        entry = AuditEntry(
            row.account_id,
            row.person_id,
            "session.proved",
            row.id,
            kind="sign_in",
            via="page",
            session=row.id,
        )
        await self._audit.record(connection, [entry], now)

    async def _accounts(self, connection: AsyncConnection, person: Person) -> list[Membership]:
        if person.disabled_at is not None:
            return []
        return await self._people.memberships_of(connection, person.id)

    async def _begin(
        self,
        connection: AsyncConnection,
        person: Person,
        accounts: list[Membership],
        method: Method,
        browser: Browser,
        *,
        is_strong: bool,
        proved_at: datetime | None = None,
    ) -> Begun:
        """Begin a new session, always with a new cookie, in place of the browser's earlier one."""
        account = accounts[0].account_id
        if browser.session is not None:
            digest = cookie_digest(browser.session)
            before = await self._store.find(connection, digest, self._clock.now())
            if before is not None:
                await self._store.end(connection, session_id=before.row.id)
                own = [each.account_id for each in accounts]
                if before.row.person_id == person.id and before.row.account_id in own:
                    account = before.row.account_id
        cookie = await self._sessions.begin(
            connection,
            person,
            account,
            method,
            is_strong=is_strong,
            agent=browser.agent,
            proved_at=proved_at,
        )
        entry = AuditEntry(
            account,
            person.id,
            f"sign_in.{method}",
            person.id,
            kind="sign_in",
            via="page",
            address=browser.host,
        )
        await self._audit.record(connection, [entry], self._clock.now())
        device = browser.device if self._known_as(browser, person) is not None else None
        if device is None:
            identity = cookie_digest(cookie).hex()[:32]
            device = self._tokens.seal("device", _Device(person.id, identity), DEVICE_LIFE)
        return Begun(cookie, device, person)

    def _known_as(self, browser: Browser, person: Person | None) -> str | None:
        """Return the token of a browser in which ``person`` has signed in before."""
        held = None if person is None else self._device(browser)
        if held is None or person is None or held.person_id != person.id:
            return None
        return held.id

    def _device(self, browser: Browser) -> _Device | None:
        try:
            return self._tokens.open("device", browser.device or "", _Device)
        except NotAuthenticated:
            return None


class _Used(NamedTuple):
    factor: Factor
    step: int


class _Proof(NamedTuple):
    second: _Used | None


def _wrong() -> NotAuthenticated:
    return NotAuthenticated(
        "Email, password or code is wrong. Codes are good once; wait for the next one."
    )
