"""People: their roles; invite, change, give new factors, disable."""

from collections.abc import Sequence
from typing import Any, Final

from gateway.auth.people import Listed, link_url, maker_of, site_list
from gateway.auth.roles import ROLES
from gateway.dashboard.pages.me import signed_in_of
from gateway.errors import Conflict, InvalidInput, NotAllowed, NotFound, Problem
from gateway.model.permission import Role
from gateway.model.person import Invitation
from gateway.runtime import Gateway
from gateway.sdk.page_request import PageRequest, Query
from gateway.sdk.pages import Action, Answer, Handler, Page, SeeOther, Template

_MANAGE: Final = "people.manage"
_ALL: Final = "*"


def people_pages(gateway: Gateway) -> list[Page]:
    """Make the pages."""
    people = _People(gateway)

    def action(path: str, handler: Handler) -> Action:
        return Action(path=path, permission=_MANAGE, handler=handler, step_up=True)

    return [
        Page(
            path="people",
            title="People",
            permission=_MANAGE,
            handler=people.show,
            section="administration",
            order=10,
            icon="i-people",
            actions=(action("withdraw", people.withdraw),),
        ),
        Page(
            path="people/invite",
            title="Invite a person",
            permission=_MANAGE,
            handler=people.ask_invite,
            parent="people",
            actions=(action("", people.invite),),
        ),
        Page(
            path="people/{person_id}",
            title="Person",
            permission=_MANAGE,
            handler=people.one,
            parent="people",
            actions=(
                action("role", people.change_role),
                action("link", people.link),
                action("sessions", people.end_sessions),
                action("enable", people.enable),
            ),
        ),
        Page(
            path="people/{person_id}/disable",
            title="Disable a person",
            permission=_MANAGE,
            handler=people.ask_disable,
            parent="people",
            actions=(action("", people.disable),),
        ),
    ]


class _People:
    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._people = gateway.identity.people

    async def show(self, request: PageRequest) -> Template:
        account = request.caller.account_id
        sees = _sight(request)
        members = [
            each for each in await self._people.members(account) if sees(each.membership.sites)
        ]
        invited = [each for each in await self._people.invitations(account) if sees(each.sites)]
        return Template(
            "people.html",
            {
                "members": [self._row(request, each) for each in members],
                "invitations": [self._invitation(request, each) for each in invited],
                "roles": [(role, _role_words(request, role)) for role in ROLES],
                "matrix": [
                    (each.name, request.text(each.meaning), {"owner", *each.roles})
                    for each in self._gateway.permissions.table
                ],
            },
        )

    async def ask_invite(self, request: PageRequest) -> Template:
        return Template("person_invite.html", self._choices(request))

    async def invite(self, request: PageRequest) -> Answer:
        form, maker = await request.form(), maker_of(signed_in_of(request))
        made, token = await self._people.invite(
            maker, form.get("email"), _role(form), self._sites(form)
        )
        return self._link_page(made, token, is_new=True)

    async def withdraw(self, request: PageRequest) -> Answer:
        form = await request.form()
        await self._people.withdraw(maker_of(signed_in_of(request)), form.get("email"))
        return SeeOther("people", toast=request.text("The invitation is withdrawn."))

    async def one(self, request: PageRequest) -> Template:
        listed = await self._one(request)
        context = self._row(request, listed) | self._choices(request)
        sessions = await self._people.sessions(listed.person.id)
        own = site_list(listed.membership)
        context |= {
            "open_sessions": sessions,
            "is_self": listed.person.id == request.person.id,
            "own_sites": [_ALL] if own is None else own,
        }
        return Template("person.html", context, title=listed.person.name)

    async def change_role(self, request: PageRequest) -> Answer:
        listed, form = await self._one(request), await request.form()
        maker = maker_of(signed_in_of(request))
        await self._people.set_role(maker, listed.person.id, _role(form), self._sites(form))
        text = request.text("{name} has the new role from now on.", name=listed.person.name)
        return SeeOther("people", toast=text)

    async def link(self, request: PageRequest) -> Answer:
        listed = await self._one(request)
        made, token = await self._people.link(maker_of(signed_in_of(request)), listed.person.id)
        return self._link_page(made, token, is_new=False)

    async def end_sessions(self, request: PageRequest) -> Answer:
        listed = await self._one(request)
        maker = maker_of(signed_in_of(request))
        if listed.person.id == request.person.id:
            raise NotAllowed("End your own sessions under Me: this one stays.")
        await self._people.end_sessions(maker, listed.person.id)
        text = request.text("{name} is signed out everywhere.", name=listed.person.name)
        return SeeOther(f"people/{listed.person.id}", toast=text)

    async def ask_disable(self, request: PageRequest) -> Template:
        return Template("person_disable.html", self._row(request, await self._one(request)))

    async def disable(self, request: PageRequest) -> Answer:
        listed, form = await self._one(request), await request.form()
        if form.get("confirm").strip() != listed.person.name.strip():
            raise Conflict(
                "The name is another one; the person was not disabled.",
                [Problem("write the person's name as it is shown", field="confirm")],
            )
        await self._people.disable(maker_of(signed_in_of(request)), listed.person.id)
        text = request.text("{name} can no longer sign in.", name=listed.person.name)
        return SeeOther("people", toast=text)

    async def enable(self, request: PageRequest) -> Answer:
        listed = await self._one(request)
        await self._people.enable(maker_of(signed_in_of(request)), listed.person.id)
        text = request.text("{name} can sign in again.", name=listed.person.name)
        return SeeOther("people", toast=text)

    async def _one(self, request: PageRequest) -> Listed:
        wanted, sees = request.path["person_id"], _sight(request)
        for each in await self._people.members(request.caller.account_id):
            if each.person.id == wanted and sees(each.membership.sites):
                return each
        raise NotFound("There is no such person here.")

    def _row(self, request: PageRequest, listed: Listed) -> dict[str, Any]:
        own = site_list(listed.membership)
        ways = [each for each in listed.factors if each != "recovery"]
        return {
            "member": listed.person,
            "role": listed.membership.role,
            "role_words": _role_words(request, listed.membership.role),
            "site_names": None if own is None else [self._site_name(each) for each in own],
            "factors": [_factor_words(request, each) for each in ways],
            "lacks_second": not {"passkey", "totp", "oidc"} & set(listed.factors),
            "session_count": listed.sessions,
        }

    def _invitation(self, request: PageRequest, made: Invitation) -> dict[str, Any]:
        return {
            "invitation": made,
            "role_words": _role_words(request, made.role),
            "site_names": None
            if made.sites is None
            else [self._site_name(each) for each in made.sites],
        }

    def _choices(self, request: PageRequest) -> dict[str, Any]:
        """Return the roles and sites that this person may give."""
        maker = maker_of(signed_in_of(request))
        table = self._gateway.permissions
        mine = frozenset() if maker.permissions is None else maker.permissions
        roles = [
            (role, _role_words(request, role), _role_hint(request, role))
            for role in ROLES
            if (maker.is_owner or role != "owner") and table.of_role(role) <= mine
        ]
        sites = [
            (each.code, each.name)
            for each in self._gateway.settings.sites
            if each.account == maker.account_id
            and (maker.sites is None or each.code in maker.sites)
        ]
        if maker.sites is None:
            sites.insert(0, (_ALL, request.text("All sites, those to come as well")))
        return {"role_choices": roles, "site_choices": sites, "all_of_them": _ALL}

    def _sites(self, form: Query) -> Sequence[str] | None:
        chosen = [each for each in form.all("sites") if each]
        if _ALL in chosen:
            return None
        if not chosen:
            raise InvalidInput(
                "The person needs a site.",
                [Problem("choose at least one, or all of them", field="sites")],
            )
        return chosen

    def _site_name(self, code: str) -> str:
        names = {each.code: each.name for each in self._gateway.settings.sites}
        return names.get(code, code)

    def _link_page(self, made: Invitation, token: str, *, is_new: bool) -> Template:
        link = link_url(self._gateway.settings, token)
        return Template("person_link.html", {"made": made, "link": link, "is_new": is_new})


def _sight(request: PageRequest) -> Any:
    """Return whether the reader sees a person, whose sites must all be among the reader's."""
    own = request.person.sites

    def sees(sites: Sequence[str] | None) -> bool:
        return own is None or (sites is not None and set(own).issuperset(sites))

    return sees


def _role(form: Query) -> Role:
    chosen = form.get("role")
    if chosen not in ROLES:
        raise InvalidInput(
            "The person needs a role.", [Problem("choose one of the list", field="role")]
        )
    return chosen


def _role_words(request: PageRequest, role: str) -> str:
    text = request.text
    words = {
        "owner": text("Owner"),
        "manager": text("Manager"),
        "pharmacist": text("Pharmacist"),
        "dispatcher": text("Dispatcher"),
        "integrator": text("Integrator"),
        "privacy_officer": text("Privacy officer"),
    }
    return words.get(role, role)


def _role_hint(request: PageRequest, role: str) -> str:
    text = request.text
    words = {
        "owner": text("Everything, at all sites."),
        "manager": text("Everything at their sites, but owners and plans."),
        "pharmacist": text("Orders, patients, prescriptions, imports and reports."),
        "dispatcher": text("Packages and addresses, no drugs."),
        "integrator": text("Webhooks, events and keys, no patients."),
        "privacy_officer": text("The audit trail and reports, no records."),
    }
    return words.get(role, "")


def _factor_words(request: PageRequest, kind: str) -> str:
    text = request.text
    words = {
        "passkey": text("Passkey"),
        "password": text("Password"),
        "totp": text("Authenticator"),
        "oidc": text("Company account"),
    }
    return words.get(kind, kind)
