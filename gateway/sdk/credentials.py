"""Credential: a token of another system, stored sealed and renewed before it expires.

All processes and commands share the stored token. When it is about to expire, or the other system
rejected it, one process renews it and the others wait for the result: many systems revoke a
refresh token that is used twice. :class:`~gateway.sdk.oauth2.OAuth2` obtains tokens; any other
function that returns a :class:`Token` does, too.

.. code-block:: python

    class Courier:
        def __init__(self, settings, gateway):
            self.http = OutboundClient(gateway.clock, guard, egress=gateway.settings.delivery)
            self.oauth2 = OAuth2(self.http, gateway.clock, token_url=settings.token_url,
                                 client_id=settings.client_id, client_secret=settings.secret)
            self.credential = Credential(
                "courier", "api", gateway, self.oauth2.client_credentials)

        async def call(self, request):
            token = await self.credential.token()
            answer = await self.send(request, token)
            if answer.status == 401:                       # revoked before its time
                token = await self.credential.token(instead_of=token)
                answer = await self.send(request, token)
            return answer
"""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from sqlalchemy import Row, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import from_epoch_ms, to_epoch_ms
from gateway.errors import TokenRefused
from gateway.model.account import DEFAULT_ACCOUNT
from gateway.storage.database import insert_into
from gateway.storage.schema import plugin_credentials
from gateway.storage.stores.plugin_state import StoringGateway, plugin_row_id

RENEWAL_SECONDS: Final = 30.0
"""The limit of a renewal; after a process was killed during one, another begins after this time."""
_MARGIN_SECONDS: Final = 2.0
# A token with a life of a minute can't be renewed ten minutes before its end.
_LARGEST_PART_OF_LIFE: Final = 4
_LOOK_AGAIN_SECONDS: Final = 0.1

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token of another system; without ``expires_at`` it is used until it is rejected."""

    access_token: str = field(repr=False)
    expires_at: datetime | None = None
    refresh_token: str | None = field(default=None, repr=False)
    scope: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialStatus:
    """The public state of a credential, without the token.

    ``last_error`` is the reason of the last renewal, if that failed.
    """

    is_connected: bool
    obtained_at: datetime | None = None
    expires_at: datetime | None = None
    scope: str | None = None
    last_error: str | None = None


class Credential:
    """The token ``name`` of a plugin and account; ``obtain`` gets a new one when needed.

    ``obtain(stored)`` receives the stored token, expired or not, or ``None``; it takes up to half a
    minute and raises ``TokenRefused``. A token is renewed ``renew_before_seconds`` before its end,
    or in the last quarter of a short life. ``gateway`` may still be closed.
    """

    def __init__(
        self,
        plugin: str,
        name: str,
        gateway: StoringGateway,
        obtain: Callable[[Token | None], Awaitable[Token]],
        *,
        account_id: str = DEFAULT_ACCOUNT,
        renew_before_seconds: float = 600.0,
        renewal_seconds: float = RENEWAL_SECONDS,
    ) -> None:
        self._key = {"plugin": plugin, "account_id": account_id, "name": name}
        self._row_id = plugin_row_id(plugin, account_id, name)
        self._gateway = gateway
        self._obtain = obtain
        self._renew_before_seconds = renew_before_seconds
        self._renewal_seconds = renewal_seconds
        self._one_at_a_time = asyncio.Lock()

    async def token(self, *, instead_of: str | None = None) -> str:
        """Return a valid access token; never ``instead_of``, which was rejected.

        Raises ``TokenRefused`` if none is granted. A renewal that fails before the stored token
        has expired is logged, and the stored one returned.
        """
        async with self._one_at_a_time:  # one call of this process renews, the others get its token
            while True:
                stored = self._usable(await self._read(), instead_of)
                if stored is not None:
                    return stored.access_token
                lease, row = await self._take(instead_of)
                if lease is not None:
                    return (await self._renewed(lease, row, instead_of)).access_token
                await asyncio.sleep(_LOOK_AGAIN_SECONDS)  # another process renews it

    async def store(self, token: Token) -> None:
        """Store a token from a person's consent, in place of an earlier one."""
        await self._write(token)

    async def forget(self) -> None:
        """Delete the token; a running renewal doesn't store its result."""
        async with self._gateway.database.begin() as connection:
            await connection.execute(
                update(plugin_credentials)
                .where(*self._is_it())
                .values(
                    secret=None,
                    obtained_at_ms=None,
                    expires_at_ms=None,
                    lease=None,
                    lease_until_ms=0,
                    last_error=None,
                )
            )

    async def status(self) -> CredentialStatus:
        """Return the public state, for a page or a health check."""
        row = await self._read()
        if row is None:
            return CredentialStatus(is_connected=False)
        stored = self._opened(row)
        return CredentialStatus(
            is_connected=stored is not None,
            obtained_at=None if row.obtained_at_ms is None else from_epoch_ms(row.obtained_at_ms),
            expires_at=None if stored is None else stored.expires_at,
            scope=None if stored is None else stored.scope,
            last_error=row.last_error,
        )

    async def _read(self) -> Row[Any] | None:
        async with self._gateway.database.read() as connection:
            found = await connection.execute(select(plugin_credentials).where(*self._is_it()))
            return found.first()

    def _usable(self, row: Row[Any] | None, instead_of: str | None) -> Token | None:
        stored = None if row is None else self._opened(row)
        if row is None or stored is None or stored.access_token == instead_of:
            return None
        if stored.expires_at is None:
            return stored
        life_seconds = (stored.expires_at - from_epoch_ms(row.obtained_at_ms)).total_seconds()
        before_seconds = min(self._renew_before_seconds, life_seconds / _LARGEST_PART_OF_LIFE)
        renewal_at = stored.expires_at - timedelta(seconds=before_seconds)
        return stored if self._gateway.clock.now() < renewal_at else None

    async def _take(self, instead_of: str | None) -> tuple[str | None, Row[Any] | None]:
        """Claim the renewal; no lease if another process has it, or has just finished it."""
        lease = secrets.token_urlsafe(12)
        async with self._gateway.database.begin() as connection:
            await self._add(connection)
            query = select(plugin_credentials).where(*self._is_it()).with_for_update()
            row = (await connection.execute(query)).one()
            now_ms = to_epoch_ms(self._gateway.clock.now())
            until_ms = now_ms + int(self._renewal_seconds * 1000)
            # A lease that ends later than any lease can was claimed before the clock was set back.
            is_taken = now_ms < row.lease_until_ms <= until_ms
            if is_taken or self._usable(row, instead_of) is not None:
                return None, row
            await connection.execute(
                update(plugin_credentials)
                .where(*self._is_it())
                .values(lease=lease, lease_until_ms=until_ms)
            )
        return lease, row

    async def _renewed(self, lease: str, row: Row[Any] | None, instead_of: str | None) -> Token:
        stored = None if row is None else self._opened(row)
        try:
            async with asyncio.timeout(
                max(self._renewal_seconds - _MARGIN_SECONDS, self._renewal_seconds / 2)
            ):
                token = await self._obtain(stored)
        except TimeoutError:
            refused = TokenRefused("timeout")
        except TokenRefused as error:
            refused = error
        except BaseException as error:
            await self._give_up(lease, type(error).__name__)
            raise
        else:
            await self._write(token, lease)
            return token
        await self._give_up(lease, refused.reason)
        now = self._gateway.clock.now()
        if stored is None or stored.access_token == instead_of:
            raise refused
        if stored.expires_at is not None and stored.expires_at <= now:
            raise refused
        _log.warning(
            "a token of plugin %s could not be renewed and is used until it expires: %s",
            self._key["plugin"],
            refused.reason,
        )
        return stored

    async def _write(self, token: Token, lease: str | None = None) -> None:
        expires_at = token.expires_at
        plain = msgspec.json.encode(token)
        sealer = self._gateway.sealer
        values = {
            "secret": sealer.seal(plain, table=plugin_credentials.name, row_id=self._row_id),
            "obtained_at_ms": to_epoch_ms(self._gateway.clock.now()),
            "expires_at_ms": None if expires_at is None else to_epoch_ms(expires_at),
            "lease": None,
            "lease_until_ms": 0,
            "last_error": None,
        }
        own = () if lease is None else (plugin_credentials.c.lease == lease,)
        async with self._gateway.database.begin() as connection:
            if lease is None:
                await self._add(connection)
            await connection.execute(
                update(plugin_credentials).where(*self._is_it(), *own).values(values)
            )

    async def _give_up(self, lease: str, reason: str) -> None:
        async with self._gateway.database.begin() as connection:
            await connection.execute(
                update(plugin_credentials)
                .where(*self._is_it(), plugin_credentials.c.lease == lease)
                .values(lease=None, lease_until_ms=0, last_error=reason)
            )

    async def _add(self, connection: AsyncConnection) -> None:
        row = insert_into(connection, plugin_credentials).values(**self._key, lease_until_ms=0)
        await connection.execute(row.on_conflict_do_nothing())

    def _is_it(self) -> tuple[Any, ...]:
        return tuple(plugin_credentials.c[name] == value for name, value in self._key.items())

    def _opened(self, row: Row[Any]) -> Token | None:
        if row.secret is None:
            return None
        sealed = bytes(row.secret)
        sealer = self._gateway.sealer
        plain = sealer.unseal(sealed, table=plugin_credentials.name, row_id=self._row_id)
        return msgspec.json.decode(plain, type=Token)
