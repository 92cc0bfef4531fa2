"""The health of API keys: their number, and the inactive ones."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from gateway.auth.key_grants import KeyState, key_state
from gateway.auth.roles import LEGACY
from gateway.health.lines import Line, green, red
from gateway.health.preflight import DatabaseState, opened_database
from gateway.model.account import ApiKey
from gateway.runtime import Gateway
from gateway.storage.crypto import keyring
from gateway.storage.crypto.key_binding import KeyBinder
from gateway.storage.stores.accounts import AccountStore

_MOST_NAMED: Final = 5
_NAME: Final = "keys"
_LIST: Final = "gateway keys list"
_LEGACY_KEYS: Final = (
    "from before there were scopes, and able to do what every key could: {names}; narrow them "
    "(gateway keys narrow ID --scope orders) or revoke them"
)
_MAKER_LEFT: Final = (
    "stopped with the people who made them: {names}; let them go on (gateway keys keep ID) or "
    "revoke them"
)
_CHANGED: Final = (
    "{names}: not as the gateway wrote it, so it opens nothing; revoke it (gateway keys revoke ID) "
    "and look for who can write the database"
)
_UNCONFIRMED: Final = (
    "{names}: written by SQL, or from before there were scopes, so it opens nothing; revoke it, or "
    "let it in if you know it (gateway keys confirm ID)"
)


def key_lines(keys: Iterable[ApiKey], state_of: Callable[[ApiKey], KeyState]) -> Iterator[Line]:
    """Return the lines of the keys; none without keys.

    Keys with the scope ``legacy`` are named until they are narrowed. Rows that the gateway didn't
    write are a fault: they open nothing, and a person who can write the database added them.
    """
    by_state: dict[str, list[ApiKey]] = {}
    for key in keys:
        by_state.setdefault(state_of(key), []).append(key)
    if not by_state:
        return
    active = by_state.get("active", [])
    yield green(_NAME, "{count} active", count=len(active))
    if legacy := [key for key in active if key.scopes == LEGACY]:
        yield green(_NAME, _LEGACY_KEYS, names=_named(legacy))
    if left := by_state.get("maker_left"):
        yield green(_NAME, _MAKER_LEFT, names=_named(left))
    if changed := by_state.get("changed"):
        yield red(_NAME, _LIST, _CHANGED, names=_named(changed))
    if unconfirmed := by_state.get("unconfirmed"):
        yield red(_NAME, _LIST, _UNCONFIRMED, names=_named(unconfirmed))


async def look_at_keys(gateway: Gateway, state: DatabaseState) -> list[Line]:
    """Return the lines of the keys of every account, without opening the gateway."""
    if not (state.is_ready and state.is_sealed):
        return []
    text = gateway.settings.security.master_key
    keys = keyring.load(gateway.master_key_path) if text is None else keyring.Keyring.parse(text)
    binder, now = KeyBinder(keys), gateway.clock.now()
    async with opened_database(gateway) as database, database.read() as connection:
        found = await AccountStore().list_keys(connection)
    return list(key_lines(found, lambda key: key_state(binder, key, now)))


def _named(keys: list[ApiKey]) -> str:
    named = ", ".join(f"{key.id} ({key.name})" for key in keys[:_MOST_NAMED])
    more = len(keys) - _MOST_NAMED
    return f"{named} and {more} more" if more > 0 else named
