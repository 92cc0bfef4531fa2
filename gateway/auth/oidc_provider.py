"""An OpenID Connect provider: its discovery document, its keys, and codes redeemed for ID tokens.

All requests use the gateway's own outbound client, with the networks, proxy and certificate
authorities of ``[delivery]``. Responses are checked as OpenID Connect Core 1.0, section 3.1.3.7
requires (https://openid.net/specs/openid-connect-core-1_0.html#IDTokenValidation).
"""

import asyncio
import base64
import hmac
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import quote_plus, urlencode

import msgspec

from gateway.clock import Clock
from gateway.errors import NotAuthenticated, Unavailable
from gateway.outbound.client import OutboundClient
from gateway.outbound.failures import EXPLANATIONS
from gateway.outbound.messages import OutboundRequest
from gateway.settings import OidcTable

if TYPE_CHECKING:  # gateway.auth.id_tokens is imported with the first token
    from joserfc.jwk import KeySet

T = TypeVar("T")

_log = logging.getLogger(__name__)

DISCOVERY: Final = "/.well-known/openid-configuration"
CLOCK_LEEWAY_SECONDS: Final = 60.0
_KEPT_SECONDS: Final = 3600.0
_RENEWED_SECONDS: Final = 60.0
_FAILED_SECONDS: Final = 5.0
_TIMEOUT_SECONDS: Final = 10.0
_MAX_ANSWER_BYTES: Final = 256 * 1024
_MAX_SUBJECT: Final = 255


class Metadata(msgspec.Struct, frozen=True):
    """The used part of a discovery document (OpenID Connect Discovery 1.0, RFC 8414, RFC 9207)."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    authorization_response_iss_parameter_supported: bool = False


class IdToken(msgspec.Struct, frozen=True):
    """The claims of an ID token that are checked; times are seconds since 1970."""

    iss: str
    sub: str
    aud: str | list[str]
    exp: float
    iat: float
    nonce: str
    azp: str | None = None
    auth_time: float | None = None


class Identified(msgspec.Struct, frozen=True):
    """A person as the provider knows them: the checked token, and all its claims."""

    token: IdToken
    claims: Mapping[str, Any]


class _TokenAnswer(msgspec.Struct, frozen=True):
    id_token: str


class _JwkSet(msgspec.Struct, frozen=True):
    keys: list[dict[str, Any]]


class OidcProvider:
    """The provider of ``[people.oidc]``."""

    def __init__(self, table: OidcTable, client: OutboundClient, clock: Clock) -> None:
        self._table = table
        self._client = client
        self._clock = clock
        self._metadata: tuple[Metadata, float] | None = None
        self._failed_until = 0.0
        self.fault: str | None = None
        """Why the last call failed, for the operator."""
        self._asking = asyncio.Lock()
        self._keys: tuple[KeySet, float] | None = None

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def metadata(self) -> Metadata:
        """Return the discovery document; kept for an hour. Raises ``Unavailable``."""
        async with self._asking:  # many concurrent sign-ins cause one request
            now = self._clock.monotonic_seconds()
            if self._metadata is not None and now - self._metadata[1] < _KEPT_SECONDS:
                return self._metadata[0]
            if now < self._failed_until:
                raise _unavailable()
            try:
                found = await self._discover()
            except Unavailable:
                self._failed_until = self._clock.monotonic_seconds() + _FAILED_SECONDS
                raise
            self._metadata = (found, now)
            return found

    async def _discover(self) -> Metadata:
        url = self._table.issuer.rstrip("/") + DISCOVERY
        found = await self._read(OutboundRequest(url=url, method="GET"), Metadata)
        # The document of another issuer would send people, codes and the secret there.
        if found.issuer != self._table.issuer:
            raise self._wrong("its discovery document names another issuer")
        # the guard above refuses it unless it is allowed
        plain = self._table.issuer.startswith("http://")
        if not found.authorization_endpoint.startswith(("https://", "http://")[: 1 + plain]):
            raise self._wrong("its authorization_endpoint isn't https")
        return found

    async def redeem(self, code: str, verifier: str, redirect_uri: str, nonce: str) -> Identified:
        """Redeem a code, and return the person of the ID token.

        Raises ``NotAuthenticated`` when the provider or a check refuses, ``Unavailable`` when
        the provider gives no usable answer.
        """
        known = await self.metadata()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
        }
        headers = [("Content-Type", "application/x-www-form-urlencoded")]
        if "client_secret_basic" in known.token_endpoint_auth_methods_supported:
            headers.append(("Authorization", self._basic()))
        else:
            form |= {"client_id": self._table.client_id, "client_secret": self._table.client_secret}
        request = OutboundRequest(
            url=known.token_endpoint, body=urlencode(form).encode(), headers=headers
        )
        answer = await self._read(request, _TokenAnswer)
        return self._checked(await self._verified(answer.id_token, known), nonce)

    def _basic(self) -> str:
        # RFC 6749, section 2.3.1: both are form-encoded first.
        pair = f"{quote_plus(self._table.client_id)}:{quote_plus(self._table.client_secret)}"
        return "Basic " + base64.b64encode(pair.encode()).decode()

    async def _verified(self, id_token: str, known: Metadata) -> Mapping[str, Any]:
        """Return the claims of a token that one of the provider's keys has signed."""
        from gateway.auth.id_tokens import UNREADABLE, claims_of

        keys, read_at = await self._key_set(known)
        try:
            return claims_of(id_token, keys)
        except UNREADABLE as error:
            # The provider may have a new key; a forged token must not cause a request each time.
            if self._clock.monotonic_seconds() - read_at < _RENEWED_SECONDS:
                raise self._refused(error) from error
        self._keys = None
        keys, _ = await self._key_set(known)
        try:
            return claims_of(id_token, keys)
        except UNREADABLE as error:
            raise self._refused(error) from error

    async def _key_set(self, known: Metadata) -> "tuple[KeySet, float]":
        from gateway.auth.id_tokens import usable

        now = self._clock.monotonic_seconds()
        if self._keys is None or now - self._keys[1] >= _KEPT_SECONDS:
            found = await self._read(OutboundRequest(url=known.jwks_uri, method="GET"), _JwkSet)
            self._keys = (usable(found.keys), now)
        return self._keys

    def _checked(self, claims: Mapping[str, Any], nonce: str) -> Identified:
        """Check the claims of a token whose signature is right."""
        try:
            token = msgspec.convert(claims, IdToken)
        except msgspec.ValidationError as error:
            raise self._refused(error) from error
        now = self._clock.now().timestamp()
        audience = [token.aud] if isinstance(token.aud, str) else token.aud
        own = self._table.client_id
        is_for_us = own in audience and (token.azp or (own if len(audience) == 1 else "")) == own
        faults = {
            "issuer": token.iss != self._table.issuer,
            "audience": not is_for_us,
            "subject": not 0 < len(token.sub) <= _MAX_SUBJECT or not token.sub.isprintable(),
            "expiry": token.exp <= now - CLOCK_LEEWAY_SECONDS,
            "time of issue": token.iat > now + CLOCK_LEEWAY_SECONDS,
            "nonce": not hmac.compare_digest(token.nonce.encode(), nonce.encode()),
        }
        for name, is_wrong in faults.items():
            if is_wrong:
                raise self._refused(ValueError(f"wrong {name}"))
        return Identified(token, claims)

    async def _read(self, request: OutboundRequest, into: type[T]) -> T:
        asked = msgspec.structs.replace(
            request, timeout_seconds=_TIMEOUT_SECONDS, keep_bytes=_MAX_ANSWER_BYTES
        )
        answer = await self._client.send(asked)
        if answer.error is not None:
            raise self._wrong(EXPLANATIONS.get(answer.error, answer.error))
        if request.method == "POST" and answer.status in {400, 401}:
            # The code was used or is too old; or the secret is wrong, which the log shows.
            raise self._refused(ValueError(f"the token endpoint answered {answer.status}"))
        if not answer.is_success or answer.cut:
            raise self._wrong(f"it answered {answer.status}")
        try:
            return msgspec.json.decode(answer.body, type=into)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise self._wrong("its answer isn't what OpenID Connect asks for") from error

    def _wrong(self, reason: str) -> Unavailable:
        self.fault = reason
        _log.warning("signing in with the provider %s fails: %s", self._table.issuer, reason)
        return _unavailable()

    def _refused(self, error: Exception) -> NotAuthenticated:
        _log.warning(
            "an answer of the provider %s was refused (%s)",
            self._table.issuer,
            error
            if isinstance(error, ValueError) and not error.__cause__
            else type(error).__name__,
        )
        return NotAuthenticated(
            "Your company's sign-in sent an answer that can't be used; begin again."
        )


def _unavailable() -> Unavailable:
    return Unavailable(
        "Your company's sign-in doesn't answer as it should; try again in a minute, or ask the "
        "gateway's operator: its log says why."
    )
