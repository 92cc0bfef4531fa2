"""``/api/session``: signing in, staying signed in, and becoming a person, as JSON.

The pages use these routes, and so may any other client that runs in a browser at the gateway's own
address. Passkeys use ``options`` for ``navigator.credentials``, with byte strings in base64url, and
a ``token`` that is sent back with the response.
"""

from typing import Annotated, Any, Final

import msgspec
from litestar import Response, Router, delete, get, post
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, RawBody, SkipValidation
from msgspec import Meta

from gateway.auth.enrolment import Choice, Made, SetUp
from gateway.auth.oidc import CALLBACK, Answer, OidcSignIn
from gateway.auth.people import Maker, site_list
from gateway.auth.sessions import SignedIn
from gateway.auth.sign_in import Begun, Browser
from gateway.dashboard.cookies import begin_session, end_session
from gateway.errors import InvalidInput, NotFound, Problem
from gateway.model.ids import new_id
from gateway.model.permission import ANY_CALLER
from gateway.model.person import SessionRow
from gateway.model.wire import decode, timestamp
from gateway.runtime import Gateway
from gateway.sdk.http import json_response

_PUBLIC: Final = {"public": True, "session": True}
_OWN: Final = {"permission": ANY_CALLER, "session": True}
_FRESH: Final = {**_OWN, "step_up": True}
_MAX_DRAFT_BYTES: Final = 64 * 1024
_MAX_PATH: Final = 500

AnyBrowser = NamedDependency[SkipValidation[Browser]]
Own = NamedDependency[SkipValidation[SignedIn]]


class PasswordIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A password and, where one is set up, the code of an authenticator or a recovery code."""

    email: str
    password: str
    code: str = ""


class PasskeyIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The answer of ``navigator.credentials.get``, and the token that came with its options."""

    token: str
    response: dict[str, Any]


class StepUpIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A factor shown again: a passkey's answer with its token, or password and code."""

    token: str = ""
    response: dict[str, Any] | None = None
    password: str = ""
    code: str = ""


class OwnerIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first owner's code, name and address."""

    code: str
    name: str
    email: str


class LinkIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The token of an invitation's link, and the name that the person chooses."""

    token: str
    name: str = ""


class EnrolIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The factors that a person chose: ``passkey``, or ``password`` and the first ``code``."""

    token: str
    name: str = ""
    passkey: dict[str, Any] | None = None
    passkey_name: str = ""
    password: str = ""
    code: str = ""

    @property
    def choice(self) -> Choice:
        """The factors alone."""
        return Choice(self.passkey, self.passkey_name, self.password, self.code)


class OidcBeginIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Begin with the company's account; ``callback`` is a path of the gateway's own address."""

    callback: Annotated[str, Meta(pattern=r"^/[A-Za-z0-9/_.-]{0,200}$")] = CALLBACK
    step_up: bool = False


class OidcIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The query that the provider sent the browser back with, and the token from before."""

    token: str
    state: str
    code: str | None = None
    iss: str | None = None
    error: str | None = None


class WayOut(msgspec.Struct, frozen=True):
    """The address to redirect to, and the token to send back with the response."""

    location: str
    token: str


class AccountIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Another account of the same person."""

    account: str


class LockIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The typed text of the page at ``path``, to show after the next sign-in.

    A field of checkboxes has the values of the checked ones.
    """

    path: str = ""
    fields: dict[str, str | list[str]] = {}


class ChallengeOut(msgspec.Struct, frozen=True):
    """Options for a passkey, and the token to send back with its answer."""

    token: str
    options: dict[str, Any]


class SetUpOut(msgspec.Struct, frozen=True):
    """The data that a person needs to choose factors."""

    token: str
    options: dict[str, Any]
    totp_secret: str
    totp_qr: str
    name: str
    email: str
    role: str | None
    sites: list[str] | None


class BegunOut(msgspec.Struct, frozen=True):
    """A session that began; its cookie is in the headers."""

    person_id: str
    recovery_codes: list[str] = []
    recovery_codes_left: int | None = None


class SessionOut(msgspec.Struct, frozen=True, kw_only=True):
    """The signed-in person and their permissions."""

    person_id: str
    name: str
    account: str
    accounts: list[str]
    role: str
    sites: list[str] | None
    permissions: list[str]
    locks_at: str | None
    expires_at: str | None
    is_fresh: bool
    lacks_factor: bool
    language: str | None


class OwnSessionOut(msgspec.Struct, frozen=True, kw_only=True):
    """One of the person's sessions."""

    id: str
    is_this: bool
    browser: str
    method: str
    began_at: str | None
    seen_at: str | None


def begun_response(browser: Browser, begun: Begun, codes: list[str]) -> Response[bytes]:
    """Answer with the cookies of a session that began."""
    body = BegunOut(begun.person.id, codes, begun.recovery_codes_left)
    answer = json_response(body, 201)
    begin_session(answer, browser.origin, begun)
    return answer


def session_router(gateway: Gateway) -> Router:
    """Make the routes of ``/api/session``."""
    handlers: list[HTTPRouteHandler] = [
        *_signing_in(gateway),
        *_signed_in(gateway),
        *_enrolling(gateway),
        *_own_factors(gateway),
        *_at_company(gateway),
    ]
    return Router("/api/session", route_handlers=handlers, tags=["Sessions"])


def _signing_in(gateway: Gateway) -> list[HTTPRouteHandler]:
    sign_in, sessions = gateway.identity.sign_in, gateway.identity.sessions

    @post("/", status_code=201, summary="Sign in with a password", opt=_public(PasswordIn))
    async def with_password(body: RawBody, browser: AnyBrowser) -> Response[bytes]:
        """Begin a session; its cookie is in the answer's headers.

        Whatever is wrong, the answer is the same. After wrong answers there is a pause (429).
        """
        given = decode(body, PasswordIn)
        begun = await sign_in.with_password(given.email, given.password, given.code, browser)
        return begun_response(browser, begun, [])

    @post("/passkey/begin", status_code=200, summary="Begin with a passkey", opt=_public(None))
    async def begin_passkey() -> Response[bytes]:
        """Return the options for the browser's passkeys of this host."""
        options, token = sign_in.begin_passkey()
        return json_response(ChallengeOut(token, options))

    @post("/passkey", status_code=201, summary="Sign in with a passkey", opt=_public(PasskeyIn))
    async def with_passkey(body: RawBody, browser: AnyBrowser) -> Response[bytes]:
        """Begin a session with the answer of a passkey; each challenge is good once."""
        given = decode(body, PasskeyIn)
        begun = await sign_in.with_passkey(given.token, given.response, browser)
        return begun_response(browser, begun, [])

    @delete("/", status_code=204, summary="Sign out", opt=_PUBLIC)
    async def sign_out(browser: AnyBrowser) -> Response[None]:
        """End the session of this browser, if there is one."""
        await sessions.end(browser.session)
        answer: Response[None] = Response(None, status_code=204)
        end_session(answer, browser.origin)
        return answer

    return [with_password, begin_passkey, with_passkey, sign_out]


def _signed_in(gateway: Gateway) -> list[HTTPRouteHandler]:
    identity = gateway.identity

    @get("/", summary="Who is signed in", opt={**_OWN, "quiet": True, "answer": SessionOut})
    async def show(signed_in: Own) -> Response[bytes]:
        """Show the person, their role, sites and permissions, and when the session locks."""
        own = await identity.people.accounts_of(signed_in.row.person_id)
        return json_response(
            SessionOut(
                person_id=signed_in.row.person_id,
                name=signed_in.person_name,
                account=signed_in.row.account_id,
                accounts=[each.account_id for each in own],
                role=signed_in.membership.role,
                sites=site_list(signed_in.membership),
                permissions=sorted(signed_in.permissions),
                locks_at=timestamp(signed_in.locks_at),
                expires_at=timestamp(signed_in.row.expires_at),
                is_fresh=identity.sessions.is_fresh(signed_in.row),
                lacks_factor=signed_in.lacks_factor,
                language=signed_in.language,
            )
        )

    @post("/extend", status_code=204, summary="Stay signed in", opt=_OWN)
    async def extend(signed_in: Own) -> None:
        """Count as activity: the session locks later."""
        del signed_in

    @post("/lock", status_code=204, summary="Lock the session", opt=_public(LockIn))
    async def lock(body: RawBody, browser: AnyBrowser) -> None:
        """Lock at once; what was typed is kept for the same person, sealed, until they return.

        Also takes what was typed into a page whose session has just locked by itself.
        """
        given = decode(body, LockIn)
        await lock_session(gateway, browser, given.path, given.fields)

    @post("/account", status_code=204, summary="Switch to another account", opt=_own(AccountIn))
    async def switch(body: RawBody, signed_in: Own) -> None:
        """Take this session to another account that the person belongs to."""
        given = decode(body, AccountIn)
        await identity.people.switch_account(signed_in.row, given.account)

    @post("/step-up/begin", status_code=200, summary="Begin to confirm", opt=_OWN)
    async def begin_step_up(signed_in: Own) -> Response[bytes]:
        """Return the options for one of the person's passkeys."""
        options, token = await identity.sign_in.begin_step_up(signed_in)
        return json_response(ChallengeOut(token, options))

    @post("/step-up", status_code=204, summary="Confirm with a factor", opt=_own(StepUpIn))
    async def step_up(body: RawBody, signed_in: Own, browser: AnyBrowser) -> None:
        """Show a factor again, for what asks for one: people, keys, exports."""
        given = decode(body, StepUpIn)
        if given.response is not None:
            await identity.sign_in.step_up_with_passkey(
                signed_in, given.token, given.response, browser
            )
        else:
            await identity.sign_in.step_up_with_password(
                signed_in, given.password, given.code, browser
            )

    @get("/sessions", summary="The person's sessions", opt={**_OWN, "quiet": True})
    async def list_sessions(signed_in: Own) -> Response[bytes]:
        """List the person's sessions, newest first."""
        rows = await identity.people.sessions(signed_in.row.person_id)
        return json_response({"sessions": [_own_session(each, signed_in.row.id) for each in rows]})

    @delete("/sessions/{session_id:str}", status_code=204, summary="End a session", opt=_OWN)
    async def end_one(session_id: FromPath[str], signed_in: Own) -> None:
        """End one of the person's sessions, from its next request on."""
        row = signed_in.row
        maker = Maker(row.person_id, row.account_id)
        await identity.people.end_session(maker, row.person_id, session_id)

    return [show, extend, lock, switch, begin_step_up, step_up, list_sessions, end_one]


def _enrolling(gateway: Gateway) -> list[HTTPRouteHandler]:
    enrolment = gateway.identity.enrolment

    @post("/owner/begin", status_code=200, summary="Begin as the owner", opt=_public(OwnerIn))
    async def begin_owner(body: RawBody) -> Response[bytes]:
        """Check the code of the first owner; each wrong one spends a try of ten."""
        given = decode(body, OwnerIn)
        return _set_up(await enrolment.begin_owner(given.code, given.name, given.email))

    @post("/invitation/begin", status_code=200, summary="Open an invitation", opt=_public(LinkIn))
    async def begin_invitation(body: RawBody) -> Response[bytes]:
        """Check the token of an invitation's link."""
        given = decode(body, LinkIn)
        return _set_up(await enrolment.begin_invitation(given.token, given.name))

    @post("/enrol", status_code=201, summary="Set factors up", opt=_public(EnrolIn))
    async def finish(body: RawBody, browser: AnyBrowser) -> Response[bytes]:
        """Make the owner, or accept the invitation, and begin a session.

        With a password, the answer holds ten recovery codes, shown only here.
        """
        given = decode(body, EnrolIn)
        made: Made = await enrolment.finish(given.token, given.choice, browser, given.name)
        return begun_response(browser, made.begun, made.recovery_codes)

    @post("/invitation/join", status_code=204, summary="Join an account", opt=_own(LinkIn))
    async def join(body: RawBody, signed_in: Own) -> None:
        """Join another account with an invitation to one's own address."""
        await enrolment.join(decode(body, LinkIn).token, signed_in.row.person_id)

    return [begin_owner, begin_invitation, finish, join]


def _own_factors(gateway: Gateway) -> list[HTTPRouteHandler]:
    identity = gateway.identity

    @post("/factors/begin", status_code=200, summary="Begin to add a factor", opt=_FRESH)
    async def begin(signed_in: Own) -> Response[bytes]:
        """Return what is needed for another passkey, or for a new password and authenticator."""
        return _set_up(await identity.enrolment.begin_own(signed_in.row.person_id))

    @post("/factors", status_code=201, summary="Add a factor", opt={**_FRESH, "body": EnrolIn})
    async def add(body: RawBody, signed_in: Own, browser: AnyBrowser) -> Response[bytes]:
        """Add a passkey, or replace password and authenticator."""
        given, row = decode(body, EnrolIn), signed_in.row
        codes = await identity.enrolment.add_own(
            row.person_id, row.account_id, given.token, given.choice, browser
        )
        return json_response({"recovery_codes": codes}, 201)

    @delete("/factors/{factor_id:str}", status_code=204, summary="Remove a passkey", opt=_FRESH)
    async def remove(factor_id: FromPath[str], signed_in: Own) -> None:
        """Remove one of the person's passkeys; the last way to sign in stays."""
        row = signed_in.row
        await identity.people.remove_passkey(row.person_id, row.account_id, factor_id)

    return [begin, add, remove]


def _at_company(gateway: Gateway) -> list[HTTPRouteHandler]:
    identity = gateway.identity

    def configured() -> OidcSignIn:
        if identity.oidc is None:
            raise NotFound("Signing in with a company's account is not set up ([people.oidc]).")
        return identity.oidc

    @post(
        "/oidc/begin",
        status_code=200,
        summary="Begin with the company's account",
        opt={**_PUBLIC, "body": OidcBeginIn, "answer": WayOut},
    )
    async def begin(body: RawBody, browser: AnyBrowser) -> Response[bytes]:
        """Return the provider's address for the browser; `callback` has to be known there."""
        given = decode(body, OidcBeginIn)
        step_up = await identity.sessions.read(browser.session) if given.step_up else None
        way = await configured().begin(browser, "", step_up=step_up, callback=given.callback)
        return json_response(WayOut(way.url, way.token))

    @post(
        "/oidc", status_code=201, summary="Sign in with the company's account", opt=_public(OidcIn)
    )
    async def finish(body: RawBody, browser: AnyBrowser) -> Response[bytes]:
        """Begin a session with the provider's answer, or confirm (204); each is good once."""
        given = decode(body, OidcIn)
        answer = Answer(given.code, given.state, given.iss, given.error)
        finished = await configured().finish(given.token, answer, browser)
        if finished.begun is None:
            return Response(b"", status_code=204)
        return begun_response(browser, finished.begun, [])

    return [begin, finish]


async def lock_session(
    gateway: Gateway, browser: Browser, path: str, fields: dict[str, str | list[str]]
) -> None:
    """Lock the browser's session, and keep what was typed for its person."""
    signed_in = await gateway.identity.sessions.find(browser.session)
    if signed_in is None:
        return
    data = msgspec.json.encode(fields)
    if len(data) > _MAX_DRAFT_BYTES or len(path) > _MAX_PATH:
        raise InvalidInput("This is too much to keep.", [Problem("at most 64 KB", field="fields")])
    row, now = signed_in.row, gateway.clock.now()
    store = gateway.identity.parts.store
    async with gateway.database.begin() as connection:
        if fields and path:
            await store.keep_draft(
                connection, new_id("dra", now), row.person_id, path, data, row.expires_at
            )
        await store.lock(connection, row.id, now)


def _public(body: type | None) -> dict[str, Any]:
    return _PUBLIC if body is None else {**_PUBLIC, "body": body}


def _own(body: type) -> dict[str, Any]:
    return {**_OWN, "body": body}


def _set_up(set_up: SetUp) -> Response[bytes]:
    return json_response(
        SetUpOut(
            set_up.token,
            set_up.options,
            set_up.secret,
            set_up.qr,
            set_up.name,
            set_up.email,
            set_up.role,
            None if set_up.sites is None else sorted(set_up.sites),
        )
    )


def _own_session(row: SessionRow, this: str) -> OwnSessionOut:
    return OwnSessionOut(
        id=row.id,
        is_this=row.id == this,
        browser=row.agent,
        method=row.method,
        began_at=timestamp(row.created_at),
        seen_at=timestamp(row.seen_at),
    )
