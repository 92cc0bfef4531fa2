"""What ``gateway check`` and ``gateway status`` say of API keys, without opening the gateway."""

from typing import Final

from gateway.auth.key_grants import key_state
from gateway.auth.roles import LEGACY
from gateway.cli.preflight import DatabaseState, opened_database
from gateway.model.account import ApiKey
from gateway.runtime import Gateway
from gateway.storage.crypto import keyring
from gateway.storage.crypto.key_binding import KeyBinder
from gateway.storage.stores.accounts import AccountStore

_MOST_NAMED: Final = 5


async def look_at_keys(gateway: Gateway, state: DatabaseState) -> tuple[str | None, str | None]:
    """Return a sentence about the keys, if there are any, and what is wrong with them, if anything.

    Keys that may do what every key could before there were scopes are named until they are
    narrowed. Rows that the gateway didn't write are a fault: they open nothing, and a person
    who can write the database put them there.
    """
    if not (state.is_ready and state.is_sealed):
        return None, None
    text = gateway.settings.security.master_key
    keys = keyring.load(gateway.master_key_path) if text is None else keyring.Keyring.parse(text)
    binder, now = KeyBinder(keys), gateway.clock.now()
    async with opened_database(gateway) as database, database.read() as connection:
        found = await AccountStore().list_keys(connection)
    if not found:
        return None, None
    by_state: dict[str, list[ApiKey]] = {}
    for key in found:
        by_state.setdefault(key_state(binder, key, now), []).append(key)
    active = by_state.get("active", [])
    detail = f"{len(active)} active"
    legacy = [key for key in active if key.scopes == LEGACY]
    if legacy:
        detail += (
            f"; from before there were scopes, and able to do what every key could: "
            f"{_named(legacy)}; narrow them (gateway keys narrow ID --scope orders) or revoke them"
        )
    left = by_state.get("maker_left", [])
    if left:
        detail += (
            f"; stopped with the people who made them: {_named(left)}; let them go on "
            "(gateway keys keep ID) or revoke them"
        )
    faults = []
    if changed := by_state.get("changed"):
        faults.append(
            f"{_named(changed)}: not as the gateway wrote it, so it opens nothing; revoke it "
            "(gateway keys revoke ID) and look for who can write the database"
        )
    if unconfirmed := by_state.get("unconfirmed"):
        faults.append(
            f"{_named(unconfirmed)}: written by SQL, or from before there were scopes, so it opens "
            "nothing; revoke it, or let it in if you know it (gateway keys confirm ID)"
        )
    return detail, "; ".join(faults) or None


def _named(keys: list[ApiKey]) -> str:
    named = ", ".join(f"{key.id} ({key.name})" for key in keys[:_MOST_NAMED])
    more = len(keys) - _MOST_NAMED
    return f"{named} and {more} more" if more > 0 else named
