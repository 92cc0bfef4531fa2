"""Access tokens of a shop's Admin API: a permanent one, or one that is renewed daily.

https://shopify.dev/docs/apps/build/authentication-authorization/access-tokens/client-credentials-grant
"""

import asyncio
from collections import defaultdict
from datetime import timedelta
from typing import Final
from urllib.parse import urlencode

import msgspec
from sqlalchemy import select, update

from gateway.plugin import Gateway, OutboundClient, OutboundRequest, from_epoch_ms, to_epoch_ms
from gateway_shopify.errors import ShopUnreachable
from gateway_shopify.settings import ShopSettings
from gateway_shopify.tables import shops

# A token is replaced this long before it expires.
_RENEWAL_MARGIN: Final = timedelta(minutes=10)
_MAX_RESPONSE_BYTES: Final = 16_000


class _Granted(msgspec.Struct):
    access_token: str
    expires_in: float = 86_399.0


class Tokens:
    """Returns tokens; those that expire are stored sealed, for all processes and commands."""

    def __init__(self, gateway: Gateway, client: OutboundClient) -> None:
        self._gateway = gateway
        self._client = client
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def get(
        self, shop: ShopSettings, timeout_seconds: float, *, instead_of: str | None = None
    ) -> str:
        """Return a token for ``shop``; never ``instead_of``, which the shop rejected.

        Raises :class:`ShopUnreachable` if the shop grants none.
        """
        if shop.access_token is not None:
            return shop.access_token
        async with self._locks[shop.domain]:  # one call asks, the others get its token
            stored = await self._stored(shop)
            if stored is not None and stored != instead_of:
                return stored
            granted = await self._grant(shop, timeout_seconds)
            await self._store(shop, granted)
            return granted.access_token

    async def _stored(self, shop: ShopSettings) -> str | None:
        query = select(shops.c.token, shops.c.token_expires_at_ms).where(
            shops.c.shop == shop.domain
        )
        async with self._gateway.database.read() as connection:
            row = (await connection.execute(query)).first()
        if row is None or row.token is None:
            return None
        if from_epoch_ms(row.token_expires_at_ms) - self._gateway.clock.now() < _RENEWAL_MARGIN:
            return None
        sealed = bytes(row.token)
        return self._gateway.sealer.unseal(sealed, table=shops.name, row_id=shop.domain).decode()

    async def _store(self, shop: ShopSettings, granted: _Granted) -> None:
        token = granted.access_token.encode()
        expires_at = self._gateway.clock.now() + timedelta(seconds=granted.expires_in)
        async with self._gateway.database.begin() as connection:
            await connection.execute(
                update(shops)
                .where(shops.c.shop == shop.domain)
                .values(
                    token=self._gateway.sealer.seal(token, table=shops.name, row_id=shop.domain),
                    token_expires_at_ms=to_epoch_ms(expires_at),
                )
            )

    async def _grant(self, shop: ShopSettings, timeout_seconds: float) -> _Granted:
        if shop.client_id is None:
            raise ShopUnreachable("no_credentials")
        form = {
            "grant_type": "client_credentials",
            "client_id": shop.client_id,
            "client_secret": shop.client_secret,
        }
        response = await self._client.send(
            OutboundRequest(
                url=f"{shop.base_url}/admin/oauth/access_token",
                headers={
                    "Content-Type": "application/x-www-form-urlencoded",
                    "Accept": "application/json",
                },
                body=urlencode(form).encode(),
                timeout_seconds=timeout_seconds,
                keep_bytes=_MAX_RESPONSE_BYTES,
            )
        )
        if response.error is not None:
            raise ShopUnreachable(response.error)
        if not response.is_success:
            raise ShopUnreachable(
                "no_token",
                status=response.status,
                retry_after_seconds=response.retry_after_seconds(self._gateway.clock.now()),
            )
        try:
            return msgspec.json.decode(response.body, type=_Granted, strict=False)
        except msgspec.MsgspecError:
            raise ShopUnreachable("bad_response", status=response.status) from None
