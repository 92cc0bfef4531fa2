"""Keys: the API's callers, their scopes and age; create, narrow, revoke by name."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from markupsafe import Markup

from gateway.auth.key_grants import sees_key
from gateway.auth.roles import LEGACY, PRESETS, only_by_command_line, permissions_of
from gateway.errors import Conflict, InvalidInput, NotFound, Problem
from gateway.model.account import ApiKey
from gateway.runtime import Gateway
from gateway.sdk.page_request import PageRequest, Query
from gateway.sdk.pages import Action, Answer, Page, SeeOther, Template

_MANAGE: Final = "keys.manage"
_CHOSEN: Final = "chosen"
_DAYS: Final = ("", "30", "90", "365", "730")
_LONGEST_DAYS: Final = 3650


def keys_pages(gateway: Gateway) -> list[Page]:
    """Make the pages."""
    keys = _Keys(gateway)

    def page(path: str, title: str, show: Any, act: Any) -> Page:
        action = Action(path="", permission=_MANAGE, handler=act, step_up=True)
        return Page(
            path=path,
            title=title,
            permission=_MANAGE,
            handler=show,
            parent="keys",
            actions=(action,),
        )

    return [
        Page(
            path="keys",
            title="Keys",
            permission=_MANAGE,
            handler=keys.show,
            section="administration",
            order=20,
            icon="i-key",
        ),
        page("keys/new", "New key", keys.ask_new, keys.make),
        page("keys/{key_id}/narrow", "Narrow a key", keys.ask_narrow, keys.narrow),
        page("keys/{key_id}/revoke", "Revoke a key", keys.ask_revoke, keys.revoke),
    ]


class _Keys:
    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._keys = gateway.keys

    async def show(self, request: PageRequest) -> Template:
        found = await self._visible(request)
        rows = [self._row(request, key) for key in reversed(found)]
        active = [each for each in rows if each["state"] == "active"]
        return Template(
            "keys.html",
            {"active": active, "ended": [each for each in rows if each["state"] != "active"]},
        )

    async def ask_new(self, request: PageRequest) -> Template:
        return Template("key_new.html", self._offer(request))

    async def make(self, request: PageRequest) -> Answer:
        form, caller = await request.form(), request.caller
        site = form.get("for_site") or caller.site
        if site is not None and not self._gateway.sites.known(caller.account_id, site):
            raise InvalidInput("There is no such site.")
        days = _days(form)
        issued = await self._keys.issue(
            form.get("name").strip(),
            account_id=caller.account_id,
            actor=caller.actor,
            mode=caller.mode,
            site=site,
            scopes=_scopes(form),
            expires_at=None if days is None else request.now + timedelta(days=days),
            maker=caller,
        )
        may_order = "orders.create" in issued.scopes
        public = self._gateway.settings.gateway.public_url.rstrip("/")
        return Template(
            "key_made.html", {"issued": issued, "may_order": may_order, "public_url": public}
        )

    async def ask_narrow(self, request: PageRequest) -> Template:
        key = await self._one(request)
        has = sorted(permissions_of(key.scopes))
        context = {"key": key, "has": self._described(request, has), "expiries": _expiries(request)}
        return Template("key_narrow.html", context)

    async def narrow(self, request: PageRequest) -> Answer:
        key, form = await self._one(request), await request.form()
        scopes = [each for each in form.all("scopes") if each]
        days = _days(form)
        if not scopes:
            raise InvalidInput(
                "A key that may do nothing is revoked instead.",
                [Problem("keep at least one, or revoke the key", field="scopes")],
            )
        await self._keys.narrow(
            key.id,
            actor=request.caller.actor,
            scopes=scopes,
            expires_at=None if days is None else request.now + timedelta(days=days),
            maker=request.caller,
        )
        return SeeOther("keys", toast=request.text("{name} may do less now.", name=key.name))

    async def ask_revoke(self, request: PageRequest) -> Template:
        key = await self._one(request)
        return Template("key_revoke.html", {"key": key})

    async def revoke(self, request: PageRequest) -> Answer:
        key, form = await self._one(request), await request.form()
        if form.get("confirm").strip() != key.name.strip():
            raise Conflict(
                "The name is another one; the key was not revoked.",
                [Problem("write the name of the key as it is shown", field="confirm")],
            )
        await self._keys.revoke(key.id, actor=request.caller.actor, maker=request.caller)
        text = request.text("{name} is revoked: it opens nothing any more.", name=key.name)
        return SeeOther("keys", toast=text)

    async def _visible(self, request: PageRequest) -> Sequence[ApiKey]:
        found = await self._keys.list(request.caller.account_id)
        return [key for key in found if sees_key(request.caller, key)]

    async def _one(self, request: PageRequest) -> ApiKey:
        wanted = request.path["key_id"]
        found = [key for key in await self._visible(request) if key.id == wanted]
        if not found:
            raise NotFound("There is no such key here.")
        return found[0]

    def _row(self, request: PageRequest, key: ApiKey) -> dict[str, Any]:
        has = permissions_of(key.scopes)
        preset = next((name for name, scopes in PRESETS.items() if scopes == has), None)
        return {
            "key": key,
            "state": self._keys.state(key),
            "preset": None if preset is None else _preset_words(request, preset)[0],
            "is_legacy": key.scopes == LEGACY,
            "scopes": sorted(has),
        }

    def _offer(self, request: PageRequest) -> dict[str, Any]:
        """Return the scopes that the caller may grant."""
        caller = request.caller
        mine = sorted(
            each
            for each in self._gateway.permissions.names
            if caller.may(each) and not only_by_command_line(each)
        )
        presets = [
            (name, *_preset_words(request, name))
            for name, scopes in PRESETS.items()
            if name != LEGACY and scopes <= set(mine)
        ]
        sites = {
            each.code: each.name
            for each in self._gateway.settings.sites
            if each.account == caller.account_id and caller.sees_site(each.code)
        }
        choices = [*sites.items()]
        if caller.sites is None:
            choices.insert(0, ("", request.text("All sites")))
        return {
            "presets": presets,
            "chosen": _CHOSEN,
            "mine": self._described(request, mine),
            "site_choices": choices if sites else [],
            "expiries": _expiries(request),
        }

    def _described(self, request: PageRequest, names: Sequence[str]) -> list[tuple[str, str, str]]:
        known = {each.name: each.meaning for each in self._gateway.permissions.table}
        return [
            (
                name,
                request.text(known.get(name, "")) or name,
                Markup("<code>{}</code>").format(name),
            )
            for name in names
        ]


def _scopes(form: Query) -> tuple[str, ...]:
    preset = form.get("preset")
    if preset and preset != _CHOSEN:
        return (preset,)
    chosen = tuple(each for each in form.all("scopes") if each)
    if not chosen:
        raise InvalidInput(
            "The key may do nothing yet.",
            [Problem("choose at least one thing that it may do", field="scopes")],
        )
    return chosen


def _days(form: Query) -> int | None:
    given = form.get("days").strip()
    if not given:
        return None
    if not given.isascii() or not given.isdecimal() or not 0 < int(given[:6]) <= _LONGEST_DAYS:
        raise InvalidInput(
            "The key can't end then.", [Problem("choose one of the list", field="days")]
        )
    return int(given)


def _expiries(request: PageRequest) -> list[tuple[str, str]]:
    words = {
        "": request.text("Never"),
        "365": request.text("In a year"),
        "730": request.text("In two years"),
    }
    return [(days, words.get(days) or _in_days(request, int(days))) for days in _DAYS]


def _in_days(request: PageRequest, days: int) -> str:
    return request.ntext("In {n} day", "In {n} days", days)


def _preset_words(request: PageRequest, name: str) -> tuple[str, str]:
    """Return a preset's name and purpose."""
    text = request.text
    words = {
        "orders": (
            text("Orders"),
            text("Send orders and report what happens to them. Patients stay masked."),
        ),
        "integration": (
            text("Orders and patients"),
            text("The same, and read names, addresses and prescriptions in full."),
        ),
        "agent": (
            text("Prescription agent"),
            text("The program that takes prescriptions over into the software of the pharmacy."),
        ),
        "webhooks": (
            text("Webhooks"),
            text("Add and change endpoints, send deliveries again. No patients."),
        ),
        LEGACY: (
            text("Everything a key could do before there were scopes"),
            text("Narrow it to what it is for."),
        ),
    }
    return words.get(name, (name, ""))
