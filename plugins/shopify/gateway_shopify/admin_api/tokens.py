"""Access tokens of a shop's Admin API: a permanent one, or one that is renewed daily.

https://shopify.dev/docs/apps/build/authentication-authorization/access-tokens/client-credentials-grant
"""

import asyncio
from datetime import datetime
from typing import Final

from gateway.plugin import Credential, Gateway, OAuth2, OutboundClient, Token, TokenRefused
from gateway_shopify.errors import ShopUnreachable
from gateway_shopify.inbox import PLUGIN
from gateway_shopify.settings import ShopSettings

# A token is replaced this long before it expires.
_RENEWAL_SECONDS: Final = 600.0
_GRANT_SECONDS: Final = 15.0


class Tokens:
    """Returns tokens; those that expire are kept as credentials, for all processes and commands."""

    def __init__(self, gateway: Gateway, client: OutboundClient) -> None:
        self._gateway = gateway
        self._client = client
        self._credentials: dict[str, Credential] = {}

    async def get(
        self, shop: ShopSettings, timeout_seconds: float, *, instead_of: str | None = None
    ) -> str:
        """Return a token for ``shop``; never ``instead_of``, which the shop rejected.

        Raises :class:`ShopUnreachable` if the shop grants none.
        """
        if shop.access_token is not None:
            return shop.access_token
        if shop.client_id is None:
            raise ShopUnreachable("no_credentials")
        try:
            async with asyncio.timeout(timeout_seconds):
                return await self._of(shop).token(instead_of=instead_of)
        except TimeoutError:
            raise ShopUnreachable("timeout") from None
        except TokenRefused as refused:
            raise _unreachable(refused) from None

    async def expires_at(self, shop: ShopSettings) -> datetime | None:
        """Return when the stored token ends; ``None`` for one that doesn't, and without one."""
        return (await self._of(shop).status()).expires_at

    async def keep(self, shop: ShopSettings, token: str, expires_at: datetime) -> None:
        """Store a token from elsewhere."""
        await self._of(shop).store(Token(access_token=token, expires_at=expires_at))

    async def forget(self, shop: ShopSettings) -> None:
        """Delete the token of a shop that removed the app."""
        await self._of(shop).forget()

    def _of(self, shop: ShopSettings) -> Credential:
        if shop.domain not in self._credentials:
            oauth2 = OAuth2(
                self._client,
                self._gateway.clock,
                token_url=f"{shop.base_url}/admin/oauth/access_token",
                client_id=shop.client_id or "",
                client_secret=shop.client_secret,
                timeout_seconds=_GRANT_SECONDS,
            )
            self._credentials[shop.domain] = Credential(
                PLUGIN,
                shop.domain,
                self._gateway,
                oauth2.client_credentials,
                account_id=shop.account,
                renew_before_seconds=_RENEWAL_SECONDS,
            )
        return self._credentials[shop.domain]


def _unreachable(refused: TokenRefused) -> ShopUnreachable:
    """Return the failure as a word of the delivery log."""
    word = refused.reason
    if word == "bad_answer" and refused.status is not None:
        word = "bad_response"
    elif refused.status is not None and not 200 <= refused.status < 300:  # noqa: PLR2004
        word = "no_token"
    return ShopUnreachable(
        word, status=refused.status, retry_after_seconds=refused.retry_after_seconds
    )
