"""``/api/people``: the people of an account, for callers with ``people.manage``."""

from typing import Final

import msgspec
from litestar import Response, Router, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, RawBody, SkipValidation

from gateway.auth.people import Listed, link_url, maker_of, site_list
from gateway.auth.sessions import SignedIn
from gateway.model.account import Caller
from gateway.model.permission import Role
from gateway.model.person import Invitation
from gateway.model.wire import decode, timestamp
from gateway.runtime import Gateway
from gateway.sdk.http import json_response

_MANAGE: Final = {"permission": "people.manage"}
_CHANGE: Final = {"permission": "people.manage", "session": True, "step_up": True}

AnyCaller = NamedDependency[Caller]
Own = NamedDependency[SkipValidation[SignedIn]]


class InviteIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An invitation: address, role and sites; without ``sites`` all of them."""

    email: str
    role: Role
    sites: list[str] | None = None


class PersonChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The fields to change; ``role`` comes with ``sites`` (null: all)."""

    role: Role | None = None
    sites: list[str] | None = None
    disabled: bool | None = None


class PersonOut(msgspec.Struct, frozen=True, kw_only=True):
    """A member of the account."""

    id: str
    name: str
    email: str
    role: str
    sites: list[str] | None
    factors: list[str]
    sessions: int
    disabled_at: str | None
    created_at: str | None


class InvitationOut(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An open invitation; ``link`` is shown once, when it is made."""

    id: str
    email: str
    role: str
    sites: list[str] | None
    expires_at: str | None
    link: str = ""


class PeopleOut(msgspec.Struct, frozen=True):
    """All members, and the open invitations."""

    people: list[PersonOut]
    invitations: list[InvitationOut]


def people_router(gateway: Gateway) -> Router:
    """Make the routes of ``/api/people``."""
    people = gateway.identity.people

    @get("/", summary="List people", opt={**_MANAGE, "answer": PeopleOut})
    async def show(caller: AnyCaller) -> Response[bytes]:
        """List the account's people, their roles, factors and sessions, and open invitations.

        ```bash
        curl $GATEWAY/api/people -H "X-API-Key: $KEY"
        ```
        """
        members = await people.members(caller.account_id)
        invited = await people.invitations(caller.account_id)
        seen = [each for each in members if _sees(caller, each.membership.sites)]
        return json_response(
            PeopleOut(
                [person_out(each) for each in seen],
                [invitation_out(each) for each in invited if _sees(caller, each.sites)],
            )
        )

    @post(
        "/invitations",
        status_code=201,
        summary="Invite a person",
        opt={**_CHANGE, "body": InviteIn, "answer": InvitationOut},
    )
    async def invite(body: RawBody, signed_in: Own) -> Response[bytes]:
        """Make a one-time link of 72 hours; its token is in the fragment, and shown only here."""
        given = decode(body, InviteIn)
        made, token = await people.invite(maker_of(signed_in), given.email, given.role, given.sites)
        return json_response(invitation_out(made, link_url(gateway.settings, token)), 201)

    @delete("/invitations/{email:str}", status_code=204, summary="Withdraw", opt=_CHANGE)
    async def withdraw(email: FromPath[str], signed_in: Own) -> None:
        """Withdraw the open invitation to an address."""
        await people.withdraw(maker_of(signed_in), email)

    @patch(
        "/{person_id:str}",
        status_code=204,
        summary="Change a person",
        opt={**_CHANGE, "body": PersonChange},
    )
    async def change(person_id: FromPath[str], body: RawBody, signed_in: Own) -> None:
        """Change role and sites, or disable; holds from the person's next request on."""
        given, maker = decode(body, PersonChange), maker_of(signed_in)
        if given.role is not None:
            await people.set_role(maker, person_id, given.role, given.sites)
        if given.disabled is not None:
            await (people.disable if given.disabled else people.enable)(maker, person_id)

    @post("/{person_id:str}/link", status_code=201, summary="Replace lost factors", opt=_CHANGE)
    async def link(person_id: FromPath[str], signed_in: Own) -> Response[bytes]:
        """Remove a person's factors, end their sessions, and make a one-time link to set new."""
        made, token = await people.link(maker_of(signed_in), person_id)
        return json_response(invitation_out(made, link_url(gateway.settings, token)), 201)

    @delete("/{person_id:str}/sessions", status_code=204, summary="End sessions", opt=_CHANGE)
    async def end(person_id: FromPath[str], signed_in: Own) -> None:
        """End all sessions of a person."""
        await people.end_sessions(maker_of(signed_in), person_id)

    handlers: list[HTTPRouteHandler] = [show, invite, withdraw, change, link, end]
    return Router("/api/people", route_handlers=handlers, tags=["People"])


def person_out(listed: Listed) -> PersonOut:
    """Return a member as JSON has it."""
    return PersonOut(
        id=listed.person.id,
        name=listed.person.name,
        email=listed.person.email,
        role=listed.membership.role,
        sites=site_list(listed.membership),
        factors=list(listed.factors),
        sessions=listed.sessions,
        disabled_at=timestamp(listed.person.disabled_at),
        created_at=timestamp(listed.person.created_at),
    )


def invitation_out(invitation: Invitation, link: str = "") -> InvitationOut:
    """Return an invitation as JSON has it."""
    return InvitationOut(
        id=invitation.id,
        email=invitation.email,
        role=invitation.role,
        sites=None if invitation.sites is None else list(invitation.sites),
        expires_at=timestamp(invitation.expires_at),
        link=link,
    )


def _sees(caller: Caller, sites: tuple[str, ...] | None) -> bool:
    return caller.sites is None or (sites is not None and caller.sites.issuperset(sites))
