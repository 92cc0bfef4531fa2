"""Permissions of new and narrowed keys: never more than the maker's, later only fewer. Pure.

The maker is a key or a person; the command line may grant everything.
"""

from datetime import datetime
from typing import Literal

import msgspec

from gateway.auth.roles import only_by_command_line, permissions_of, stored
from gateway.errors import Forbidden, InvalidInput, NotAllowed, Problem
from gateway.model.account import ApiKey, Caller, Mode
from gateway.storage.crypto.key_binding import KeyBinder

KeyState = Literal["active", "revoked", "expired", "unconfirmed", "changed", "maker_left"]
"""What a key is good for. Those that are not active open nothing: ``changed`` when the row is
not as the gateway wrote it, ``unconfirmed`` when it has no binding at all, ``maker_left`` while
the person who made it is disabled or no member of the account."""


def key_state(binder: KeyBinder, key: ApiKey, now: datetime) -> KeyState:
    """Return the state of a key's row."""
    if not binder.is_bound(key):
        return "unconfirmed" if key.binding is None else "changed"
    if key.revoked_at is not None:
        return "revoked"
    if key.expires_at is not None and key.expires_at <= now:
        return "expired"
    return "maker_left" if key.maker_left else "active"


def check_grant(maker: Caller, scopes: frozenset[str], mode: Mode, site: str | None) -> None:
    """Raise ``NotAllowed`` for permissions that ``maker``, or any request, can't grant."""
    for scope in sorted(scopes):
        if only_by_command_line(scope):
            raise NotAllowed(
                f"No request can make a key with {scope}: use gateway keys create --scope {scope}.",
                [Problem(f"{scope} is given on the command line only", field="scopes")],
            )
        if not maker.may(scope):
            raise Forbidden(scope, holder=maker.kind)
    if mode != maker.mode:
        raise NotAllowed(
            f"A {maker.mode} caller makes {maker.mode} keys only.",
            [Problem(f"must be {maker.mode}", field="mode")],
        )
    if maker.sites is not None and (site is None or site not in maker.sites):
        raise NotAllowed(
            "You can make keys of your own sites only: name one.",
            [Problem(f"must be one of {', '.join(sorted(maker.sites))}", field="site")],
        )


def sees_key(maker: Caller, key: ApiKey) -> bool:
    """Return whether ``maker`` may see and revoke a key of its account, mode and sites."""
    own = (key.account_id, key.mode) == (maker.account_id, maker.mode)
    return own and maker.sees_site(key.site)


def narrowed(
    key: ApiKey, scopes: frozenset[str] | None, expires_at: datetime | None, now: datetime
) -> ApiKey:
    """Return ``key`` with fewer scopes or less time; raises ``InvalidInput`` for more."""
    if scopes is not None:
        more = scopes - permissions_of(key.scopes)
        if more:
            raise InvalidInput(
                "A key can only be narrowed; create a new key for what this one can't do.",
                [Problem(f"it lacks {', '.join(sorted(more))}", field="scopes")],
            )
        key = msgspec.structs.replace(key, scopes=stored(scopes))
    if expires_at is not None:
        if expires_at <= now:
            raise InvalidInput("A key must expire in the future; gateway keys revoke ends it now.")
        if key.expires_at is not None and expires_at > key.expires_at:
            raise InvalidInput("A key can't be given more time; create a new key.")
        key = msgspec.structs.replace(key, expires_at=expires_at)
    return key
