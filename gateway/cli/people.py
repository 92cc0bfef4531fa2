"""``gateway people …``: invite people, replace lost factors, disable them, end sessions."""

import sys
from typing import TYPE_CHECKING, Any, Final, cast

import click

from gateway.auth.people import Maker, site_list
from gateway.auth.roles import ROLES
from gateway.cli.opening import account_option
from gateway.cli.owner_code import owner_code_file, welcome_address, write_owner_code
from gateway.model.permission import Role
from gateway.model.wire import timestamp
from gateway.sdk.cli import Session, command

if TYPE_CHECKING:
    from gateway.runtime import Gateway

_PEOPLE: Final = ("email", "name", "account", "role", "sites", "factors", "sessions", "state")
_SESSIONS: Final = ("id", "browser", "method", "began_at", "seen_at")


@command("invite")
@click.argument("email")
@click.option("--role", type=click.Choice(ROLES), required=True, help="What they are here.")
@click.option("--site", "sites", multiple=True, help="A site; repeat it.  [default: all sites]")
@account_option
async def invite(
    session: Session, *, email: str, role: str, sites: tuple[str, ...], account: str
) -> None:
    """Print a one-time link for EMAIL, good for 72 hours. It is shown only once."""
    async with session.gateway() as gateway:
        made, token = await gateway.identity.people.invite(
            _maker(session, account), email, cast("Role", role), list(sites) or None
        )
        link = _link(gateway, token)
    session.record(
        {
            "email": made.email,
            "role": made.role,
            "sites": None if made.sites is None else list(made.sites),
            "expires_at": timestamp(made.expires_at),
            "link": link,
        }
    )
    session.say("Hand the link to the person yourself: it lets its holder in.")


@command("list")
@click.option("--account", help="Only people of this account.  [default: all accounts]")
async def list_people(session: Session, *, account: str | None) -> None:
    """List people, their roles and sites, and open invitations."""
    async with session.gateway() as gateway:
        members = await gateway.identity.people.members(account)
        invited = await gateway.identity.people.invitations(account)
    rows: list[dict[str, Any]] = [
        {
            "id": each.person.id,
            "email": each.person.email,
            "name": each.person.name,
            "account": each.membership.account_id,
            "role": each.membership.role,
            "sites": site_list(each.membership) or "all",
            "factors": list(each.factors),
            "sessions": each.sessions,
            "state": "active" if each.person.disabled_at is None else "disabled",
        }
        for each in members
    ]
    rows += [
        {
            "id": each.id,
            "email": each.email,
            "name": None,
            "account": each.account_id,
            "role": each.role,
            "sites": "all" if each.sites is None else list(each.sites),
            "factors": [],
            "sessions": 0,
            "state": "invited" if each.person_id is None else "link open",
        }
        for each in invited
    ]
    session.table(_PEOPLE, rows)


@command("link")
@click.argument("email")
@account_option
async def link_person(session: Session, *, email: str, account: str) -> None:
    """Replace lost factors: print a one-time link with which EMAIL sets new ones.

    The old ones are removed at once, and all sessions end.
    """
    async with session.gateway() as gateway:
        person = await gateway.identity.people.find(account, email)
        made, token = await gateway.identity.people.link(_maker(session, account), person.id)
        link = _link(gateway, token)
    session.record({"email": person.email, "expires_at": timestamp(made.expires_at), "link": link})


@command("disable")
@click.argument("email")
@click.option("--undo", is_flag=True, help="Enable the person again.")
@click.option("--dry-run", is_flag=True, help="Only show what would change.")
@account_option
async def disable(session: Session, *, email: str, undo: bool, dry_run: bool, account: str) -> None:
    """Disable EMAIL: their sessions end, nothing signs them in, and keys they made open nothing.

    gateway keys keep ID lets a key go on without the person who made it.
    """
    async with session.gateway() as gateway:
        people = gateway.identity.people
        person = await people.find(account, email)
        maker = _maker(session, account)
        keys = await gateway.keys.made_by(person.id)
        if not dry_run:
            await (people.enable if undo else people.disable)(maker, person.id)
    session.record(
        {
            "email": person.email,
            "state": "active" if undo else "disabled",
            "keys": [f"{key.id} ({key.name})" for key in keys],
        }
    )
    if keys and not undo:
        session.say("These keys stop with the person; gateway keys keep ID lets one go on.")
    if dry_run:
        session.say("Nothing was changed; leave --dry-run out to do it.")


@command("role")
@click.argument("email")
@click.option("--role", type=click.Choice(ROLES), required=True, help="What they are from now on.")
@click.option("--site", "sites", multiple=True, help="A site; repeat it.  [default: all sites]")
@account_option
async def role(
    session: Session, *, email: str, role: str, sites: tuple[str, ...], account: str
) -> None:
    """Change role and sites of EMAIL, from their next request on."""
    async with session.gateway() as gateway:
        person = await gateway.identity.people.find(account, email)
        membership = await gateway.identity.people.set_role(
            _maker(session, account), person.id, cast("Role", role), list(sites) or None
        )
    session.record(
        {"email": person.email, "role": membership.role, "sites": site_list(membership) or "all"}
    )


@command("sessions")
@click.argument("email")
@click.option("--end", is_flag=True, help="End all of them.")
@account_option
async def sessions(session: Session, *, email: str, end: bool, account: str) -> None:
    """List the sessions of EMAIL, or end them."""
    async with session.gateway() as gateway:
        people = gateway.identity.people
        person = await people.find(account, email)
        if end:
            count = await people.end_sessions(_maker(session, account), person.id)
            session.record({"email": person.email, "ended": count})
            return
        rows = await people.sessions(person.id)
    session.table(
        _SESSIONS,
        [
            {
                "id": each.id,
                "browser": each.agent,
                "method": each.method,
                "began_at": timestamp(each.created_at),
                "seen_at": timestamp(each.seen_at),
            }
            for each in rows
        ],
    )


@command("owner-code")
async def owner_code(session: Session) -> None:
    """Make another code for the first owner, good for an hour and ten tries.

    Shown on a terminal or with --json; else written to the file owner-code in data_dir.
    """
    async with session.gateway() as gateway:
        code = await gateway.identity.enrolment.new_owner_code(actor=session.actor)
        place = welcome_address(gateway)
        if session.as_json or sys.stdout.isatty():
            owner_code_file(gateway).unlink(missing_ok=True)
            session.record({"code": code, "open": place})
            return
        session.record({"file": str(write_owner_code(gateway, str(code))), "open": place})


def _maker(session: Session, account: str) -> Maker:
    return Maker(session.actor, account)


def _link(gateway: "Gateway", token: str) -> str:
    public = gateway.settings.gateway.public_url.rstrip("/")
    return f"{public}/dashboard/invitation#{token}"


people: Final = click.Group(
    "people",
    commands=[invite, list_people, link_person, disable, role, sessions, owner_code],
    help="Invite people, replace lost factors, end sessions.",
)
