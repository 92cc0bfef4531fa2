"""The binding of an API key's row: a MAC that only the gateway can make.

A key is found by its SHA-256. A person who can write the database could add such a row, or change
one: another site, more scopes, no expiry. So each row has a binding, an HMAC-SHA256 over its
permissions under a key derived from the master key, and a row without a valid binding opens
nothing. The key is derived from the index key, which a rotation of the master key doesn't change.
"""

import asyncio
import hmac
import logging
from pathlib import Path
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import to_epoch_ms
from gateway.model.account import ApiKey
from gateway.storage.crypto.keyring import Keyring, derived_key, flush_names_to_disk
from gateway.storage.stores import installation
from gateway.storage.stores.accounts import AccountStore

_log = logging.getLogger(__name__)

UNBOUND: Final = "unbound api keys"
"""The fact that the migration notes: keys from before there were bindings have none yet."""
_MARKER: Final = "keys.bound"
_MARKER_TEXT: Final = (
    "The API keys of this database have bindings. While this file is here, a key without one is\n"
    "never given one at a start: writing to the database adds no key.\n"
)


class KeyBinder:
    """Makes and checks the bindings of one installation."""

    __slots__ = ("_mac",)

    def __init__(self, keyring: Keyring) -> None:
        key = derived_key(keyring.index_key, "rx-gateway api key binding v1")
        self._mac = hmac.new(key, digestmod="sha256")

    def binding(self, key: ApiKey) -> bytes:
        """Return the 32 bytes of the MAC over the row of ``key``."""
        ends = "" if key.expires_at is None else to_epoch_ms(key.expires_at)
        revoked = "" if key.revoked_at is None else to_epoch_ms(key.revoked_at)
        site = "" if key.site is None else f"={key.site}"
        # Lengths in front keep ("ab", "c") and ("a", "bc") apart.
        written = (
            f"{len(key.id)}:{key.id}{len(key.account_id)}:{key.account_id}{key.mode}"
            f"{len(site)}:{site}{len(key.scopes)}:{key.scopes}{len(key.name)}:{key.name}"
            f"{ends}:{revoked}"
        )
        # Added only where they are set, so that older keys keep their bindings.
        for name, value in (("maker", key.made_by), ("party", key.party)):
            if value is not None:
                written += f"{name}{len(value)}:{value}"
        mac = self._mac.copy()  # keyed once
        mac.update(key.digest)
        mac.update(written.encode("utf-8", "surrogatepass"))
        return mac.digest()

    def is_bound(self, key: ApiKey) -> bool:
        """Return whether the row is unchanged since the gateway wrote it."""
        return key.binding is not None and hmac.compare_digest(key.binding, self.binding(key))


async def bind_earlier_keys(
    connection: AsyncConnection, accounts: AccountStore, binder: KeyBinder
) -> list[ApiKey]:
    """Bind the keys from before bindings existed, if the migration recorded some.

    Returns them, for the operator to confirm. Call it only where the rows can be trusted: at the
    first start after the upgrade, and after a restore of an earlier backup.
    """
    if await installation.read_fact(connection, UNBOUND) is None:
        return []
    earlier = [key for key in await accounts.list_keys(connection) if key.binding is None]
    for key in earlier:
        await accounts.bind(connection, key.id, binder.binding(key))
    await installation.drop_fact_within(connection, UNBOUND)
    return earlier


async def bind_at_start(
    connection: AsyncConnection, accounts: AccountStore, binder: KeyBinder, data_dir: Path
) -> None:
    """Bind earlier keys at the first start after the upgrade, and log their ids.

    A file in ``data_dir`` records that this was done, so that a person who can only write the
    database can't make the gateway repeat it.
    """
    marker = data_dir / _MARKER
    if await asyncio.to_thread(marker.exists):
        if await installation.read_fact(connection, UNBOUND) is not None:
            _log.error(
                "the database was put back to before keys had bindings: its keys open nothing "
                "until you say which you know (gateway keys confirm)"
            )
        return
    earlier = await bind_earlier_keys(connection, accounts, binder)
    if earlier:
        _log.warning(
            "%d API keys from before there were scopes may do what they could before: %s. See "
            "that you know each of them (gateway keys list), then narrow it (gateway keys "
            "narrow) or revoke it (gateway keys revoke)",
            len(earlier),
            ", ".join(key.id for key in earlier),
        )
    await asyncio.to_thread(_mark, marker)


def _mark(marker: Path) -> None:
    try:
        marker.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        marker.write_text(_MARKER_TEXT, encoding="utf-8")
        flush_names_to_disk(marker.parent)
    except OSError as error:
        _log.warning("%s can't be written (%s)", marker, error.strerror)
