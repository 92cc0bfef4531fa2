"""Me: one's own name and language, ways to sign in, sessions, accounts, and this browser."""

from typing import Any

from gateway.auth.people import Maker
from gateway.auth.sessions import SIGNED_IN, SignedIn
from gateway.model.permission import ANY_CALLER
from gateway.model.person import Factor
from gateway.runtime import Gateway
from gateway.sdk.page_request import PageRequest
from gateway.sdk.pages import Action, Page, SeeOther, Template


def me_pages(gateway: Gateway) -> list[Page]:
    """Make the page."""
    me = _Me(gateway)
    own = ANY_CALLER
    return [
        Page(
            path="me",
            title="Me",
            permission=own,
            handler=me.show,
            actions=(
                Action(path="", permission=own, handler=me.save),
                Action(path="sessions/end", permission=own, handler=me.end),
                Action(path="account", permission=own, handler=me.switch),
                Action(path="passkeys/remove", permission=own, handler=me.remove, step_up=True),
            ),
        )
    ]


class _Me:
    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._people = gateway.identity.people

    async def show(self, request: PageRequest) -> Template:
        signed_in = signed_in_of(request)
        row, person_id = signed_in.row, request.person.id
        parts = self._gateway.identity.parts
        async with self._gateway.database.read() as connection:
            own = await parts.people.factors_of(connection, person_id)
            person = await parts.people.get(connection, person_id)
        sessions = await self._people.sessions(person_id)
        accounts = await self._people.accounts_of(person_id)
        return Template(
            "me.html",
            {
                "lacks_factor": signed_in.lacks_factor,
                "has_login": person is not None and person.login is not None,
                "factors": _ways(request, own),
                "sessions": [
                    {
                        "id": each.id,
                        "browser": each.agent,
                        "is_this": each.id == row.id,
                        "seen": each.seen_at,
                    }
                    for each in sessions
                ],
                "accounts": [
                    {
                        "account": each.account_id,
                        "role": request.text(each.role.replace("_", " ")),
                        "is_this": each.account_id == row.account_id,
                    }
                    for each in accounts
                ],
            },
            title=request.person.name,
        )

    async def save(self, request: PageRequest) -> SeeOther:
        form = await request.form()
        await self._people.rename(request.person.id, form.get("name"), form.get("language") or None)
        return SeeOther("me")

    async def end(self, request: PageRequest) -> SeeOther:
        form = await request.form()
        maker = Maker(request.person.id, request.caller.account_id)
        await self._people.end_session(maker, request.person.id, form.get("id"))
        return SeeOther("me", toast=request.text("That browser is signed out."))

    async def switch(self, request: PageRequest) -> SeeOther:
        form = await request.form()
        row = signed_in_of(request).row
        await self._people.switch_account(row, form.get("account"))
        return SeeOther("me")

    async def remove(self, request: PageRequest) -> SeeOther:
        form = await request.form()
        await self._people.remove_passkey(
            request.person.id, request.caller.account_id, form.get("id")
        )
        return SeeOther("me", toast=request.text("The passkey is removed."))


def signed_in_of(request: PageRequest) -> SignedIn:
    """Return the session of a request."""
    signed_in: SignedIn = request.http.scope["state"][SIGNED_IN]
    return signed_in


def _ways(request: PageRequest, own: list[Factor]) -> list[dict[str, Any]]:
    left = sum(each.kind == "recovery" and each.used_at is None for each in own)
    labels = {
        "password": request.text("Password"),
        "totp": request.text("Code from your authenticator"),
    }
    ways = sum(each.kind in {"passkey", "totp"} for each in own)
    rows: list[dict[str, Any]] = [
        {
            "id": each.id,
            "label": labels.get(each.kind, each.name),
            "since": each.used_at or each.created_at,
            "left": None,
            "is_removable": each.kind == "passkey" and ways > 1,
        }
        for each in own
        if each.kind != "recovery"
    ]
    if left:
        label = request.text("Recovery codes")
        rows.append({"id": "", "label": label, "since": None, "left": left, "is_removable": False})
    return rows
