"""The routes under ``/api/keys``: list, create, narrow and revoke API keys.

A caller sees the keys of its account, mode and sites, and grants only what it has.
"""

from datetime import timedelta
from typing import Annotated, Any, Final

import msgspec
from litestar import Response, Router, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, RawBody
from msgspec import Meta

from gateway.auth.key_grants import KeyState, sees_key
from gateway.errors import InvalidInput, Problem
from gateway.model.account import ApiKey, Caller, Mode
from gateway.model.wire import decode, timestamp
from gateway.runtime import Gateway
from gateway.sdk.http import json_response

_MANAGE: Final = "keys.manage"
# A change by a person needs a factor that was shown in the last minutes.
_CHANGE: Final = {"permission": _MANAGE, "step_up": True}
_LONGEST_DAYS: Final = 3650
_Name = Annotated[str, Meta(min_length=1, max_length=100, description="what the key is for")]
_Scope = Annotated[str, Meta(max_length=100)]


class KeyIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key to create. ``scopes`` are permissions and presets, the default is ``orders``.

    ``party`` names another organisation that uses the key: what it reads in full is a disclosure.
    """

    name: _Name
    scopes: Annotated[tuple[_Scope, ...], Meta(min_length=1, max_length=100)] = ("orders",)
    site: Annotated[str, Meta(max_length=100, description="a site's code")] | None = None
    mode: Annotated[Mode | None, Meta(description="the caller's own mode")] = None
    expires_in_days: Annotated[int, Meta(ge=1, le=_LONGEST_DAYS)] | None = None
    party: Annotated[str, Meta(max_length=100, description="another organisation")] | None = None


class KeyChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The remaining scopes and expiry of a key; never more than before."""

    scopes: Annotated[tuple[_Scope, ...], Meta(min_length=1, max_length=100)] | None = None
    expires_in_days: Annotated[int, Meta(ge=1, le=_LONGEST_DAYS)] | None = None


class KeyOut(msgspec.Struct, frozen=True, kw_only=True):
    """A key without its secret; ``prefix`` is its beginning. Only ``active`` keys work."""

    id: str
    name: str
    mode: Mode
    site: str | None
    scopes: list[str]
    prefix: str
    state: KeyState
    created_at: str | None
    last_used_at: str | None
    expires_at: str | None
    revoked_at: str | None
    made_by: str | None
    party: str | None


class KeysOut(msgspec.Struct, frozen=True):
    """The keys, oldest first."""

    keys: list[KeyOut]


class IssuedOut(msgspec.Struct, frozen=True, kw_only=True):
    """A new key. ``key`` is shown this once."""

    id: str
    key: str
    name: str
    mode: Mode
    site: str | None
    scopes: list[str]
    expires_at: str | None


def keys_router(gateway: Gateway) -> Router:
    """Build the router over a gateway that is open when a route is called."""

    @get(
        "/",
        tags=["Keys"],
        summary="List keys",
        opt={"permission": _MANAGE, "answer": KeysOut},
    )
    async def list_keys(caller: NamedDependency[Caller]) -> Response[bytes]:
        """List the keys of your account, mode and sites, oldest first.

        ```bash
        curl $GATEWAY/api/keys -H "X-API-Key: $KEY"
        ```
        """
        found = await gateway.keys.list(caller.account_id)
        shown = [_key_out(gateway, key) for key in found if sees_key(caller, key)]
        return json_response(KeysOut(shown))

    @post(
        "/",
        status_code=201,
        tags=["Keys"],
        summary="Create a key",
        opt={**_CHANGE, "body": KeyIn, "answer": IssuedOut},
    )
    async def create_key(body: RawBody, caller: NamedDependency[Caller]) -> Response[bytes]:
        r"""Create a key; the answer is the only place that shows it.

        It may do nothing that you may not: each scope, its mode and its site are among yours.
        `keys.*`, `people.*`, `audit.*`, `reports.*` and `records.*` are given to keys by
        `gateway keys create` only.

        ```bash
        curl -X POST $GATEWAY/api/keys -H "X-API-Key: $KEY" -H "Content-Type: application/json" \
          -d '{"name": "Till 2", "scopes": ["orders"], "expires_in_days": 365}'
        ```
        """
        sent = decode(body, KeyIn)
        site = sent.site or caller.site
        if site is not None and not gateway.sites.known(caller.account_id, site):
            problem = Problem("name one of your account's sites", field="site")
            raise InvalidInput("There is no such site.", [problem])
        days = sent.expires_in_days
        issued = await gateway.keys.issue(
            sent.name.strip(),
            account_id=caller.account_id,
            actor=caller.actor,
            mode=sent.mode or caller.mode,
            site=site,
            scopes=sent.scopes,
            expires_at=None if days is None else gateway.clock.now() + timedelta(days=days),
            party=sent.party,
            maker=caller,
        )
        shown = IssuedOut(
            id=issued.id,
            key=issued.key,
            name=issued.name,
            mode=issued.mode,
            site=issued.site,
            scopes=list(issued.scopes),
            expires_at=timestamp(issued.expires_at),
        )
        return json_response(shown, 201)

    @patch(
        "/{key_id:str}",
        status_code=200,
        tags=["Keys"],
        summary="Narrow a key",
        opt={**_CHANGE, "body": KeyChange, "answer": KeyOut},
    )
    async def narrow_key(
        key_id: FromPath[str], body: RawBody, caller: NamedDependency[Caller]
    ) -> Response[bytes]:
        r"""Take scopes or time away from a key, from the next request on.

        A key is never given more: create a new one for that.

        ```bash
        curl -X PATCH $GATEWAY/api/keys/$KEY_ID -H "X-API-Key: $KEY" \
          -H "Content-Type: application/json" -d '{"scopes": ["orders.create"]}'
        ```
        """
        sent = decode(body, KeyChange)
        if sent.scopes is None and sent.expires_in_days is None:
            raise InvalidInput("Say what the key may still do (scopes), or when it ends.")
        days = sent.expires_in_days
        _, after = await gateway.keys.narrow(
            key_id,
            actor=caller.actor,
            scopes=sent.scopes,
            expires_at=None if days is None else gateway.clock.now() + timedelta(days=days),
            maker=caller,
        )
        return json_response(_key_out(gateway, after))

    @delete(
        "/{key_id:str}",
        status_code=200,
        tags=["Keys"],
        summary="Revoke a key",
        opt={**_CHANGE, "answer": KeyOut},
    )
    async def revoke_key(key_id: FromPath[str], caller: NamedDependency[Caller]) -> Response[bytes]:
        """Revoke a key for good, from the next request on.

        ```bash
        curl -X DELETE $GATEWAY/api/keys/$KEY_ID -H "X-API-Key: $KEY"
        ```
        """
        revoked = await gateway.keys.revoke(key_id, actor=caller.actor, maker=caller)
        return json_response(_key_out(gateway, revoked))

    handlers: list[Any] = [list_keys, create_key, narrow_key, revoke_key]
    return Router("/api/keys", route_handlers=handlers)


def _key_out(gateway: Gateway, key: ApiKey) -> KeyOut:
    return KeyOut(
        id=key.id,
        name=key.name,
        mode=key.mode,
        site=key.site,
        scopes=key.scopes.split(),
        prefix=key.prefix,
        state=gateway.keys.state(key),
        created_at=timestamp(key.created_at),
        last_used_at=timestamp(key.last_used_at),
        expires_at=timestamp(key.expires_at),
        revoked_at=timestamp(key.revoked_at),
        made_by=key.made_by,
        party=key.party,
    )
