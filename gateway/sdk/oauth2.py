"""Tokens by OAuth 2.0 (RFC 6749): client credentials, and authorization code with PKCE.

A page that connects an account:

.. code-block:: python

    verifier, challenge = code_challenge()
    state = secrets.token_urlsafe(24)                       # keep both until the person is back
    await self.state.put(f"oauth2:{state}", verifier)
    raise SeeOther(self.oauth2.authorization_url(redirect_uri, state, challenge=challenge))
    # … back at redirect_uri, with state and code in the query:
    token = await self.oauth2.exchange(code, redirect_uri, verifier=verifier)
    await self.credential.store(token)                      # its obtain is self.oauth2.refresh
"""

import base64
import hashlib
import re
import secrets
from collections.abc import Mapping
from datetime import timedelta
from typing import Final, Literal
from urllib.parse import quote, urlencode

import msgspec

from gateway.clock import Clock
from gateway.errors import TokenRefused
from gateway.outbound.client import OutboundClient
from gateway.outbound.messages import OutboundRequest
from gateway.sdk.credentials import Token

_MAX_ANSWER_BYTES: Final = 32_000
_LONGEST_LIFE_SECONDS: Final = 3650 * 86_400.0
# RFC 6749, section 5.2: the form of an error code; other text isn't repeated.
_ERROR_CODE: Final = re.compile(r"[a-z][a-z0-9_]{0,60}", re.ASCII)


class _Granted(msgspec.Struct):
    access_token: str
    expires_in: float | None = None
    refresh_token: str | None = None
    scope: str | None = None


class _Refused(msgspec.Struct):
    error: str = ""


class OAuth2:
    """A client of another system's authorization server.

    ``sends`` is where the server expects the client's secret: in the form (``body``) or in the
    header ``Authorization`` (``basic``). ``extra`` are further fields of each request for a token,
    such as an ``audience``. Each method raises ``TokenRefused``.
    """

    def __init__(  # noqa: PLR0913 - what the other system's documentation lists
        self,
        http: OutboundClient,
        clock: Clock,
        *,
        token_url: str,
        client_id: str,
        client_secret: str = "",
        scope: str | None = None,
        authorize_url: str | None = None,
        sends: Literal["body", "basic"] = "body",
        extra: Mapping[str, str] | None = None,
        timeout_seconds: float = 10.0,
    ) -> None:
        self._http = http
        self._clock = clock
        self._token_url = token_url
        self._client_id = client_id
        self._client_secret = client_secret
        self._scope = scope
        self._authorize_url = authorize_url
        self._sends = sends
        self._extra = dict(extra or {})
        self._timeout_seconds = timeout_seconds

    async def client_credentials(self, _stored: Token | None = None) -> Token:
        """Get a token in the client's own name (section 4.4)."""
        scope = {} if self._scope is None else {"scope": self._scope}
        return await self._grant({"grant_type": "client_credentials", **scope})

    async def refresh(self, stored: Token | None) -> Token:
        """Get a token for a refresh token (section 6); the old one stays if no other comes."""
        if stored is None or stored.refresh_token is None:
            raise TokenRefused("not_connected")
        granted = await self._grant(
            {"grant_type": "refresh_token", "refresh_token": stored.refresh_token}
        )
        return Token(
            access_token=granted.access_token,
            expires_at=granted.expires_at,
            refresh_token=granted.refresh_token or stored.refresh_token,
            scope=granted.scope or stored.scope,
        )

    def authorization_url(
        self, redirect_uri: str, state: str, *, challenge: str | None = None
    ) -> str:
        """Return the address that a person consents at (section 4.1.1).

        ``state`` is a random word that the server returns with the code: accept no other.
        """
        if self._authorize_url is None:
            raise ValueError("authorization_url needs an authorize_url")
        query = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": redirect_uri,
            "state": state,
            **({} if self._scope is None else {"scope": self._scope}),
        }
        if challenge is not None:
            query |= {"code_challenge": challenge, "code_challenge_method": "S256"}
        separator = "&" if "?" in self._authorize_url else "?"
        return f"{self._authorize_url}{separator}{urlencode(query)}"

    async def exchange(self, code: str, redirect_uri: str, *, verifier: str | None = None) -> Token:
        """Get a token for the returned code (section 4.1.3)."""
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
        return await self._grant(form if verifier is None else {**form, "code_verifier": verifier})

    async def _grant(self, form: Mapping[str, str]) -> Token:
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json",
        }
        client = {"client_id": self._client_id, "client_secret": self._client_secret}
        if self._sends == "basic":
            # Section 2.3.1: both are form-encoded before they are joined.
            pair = ":".join(quote(each, safe="") for each in client.values())
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
            client = {}
        elif not self._client_secret:
            del client["client_secret"]  # a public client
        began = self._clock.now()
        answer = await self._http.send(
            OutboundRequest(
                url=self._token_url,
                headers=headers,
                body=urlencode({**form, **client, **self._extra}).encode(),
                timeout_seconds=self._timeout_seconds,
                keep_bytes=_MAX_ANSWER_BYTES,
            )
        )
        if answer.error is not None:
            raise TokenRefused(answer.error, answer.status)
        if not answer.is_success:
            retry_after = answer.retry_after_seconds(self._clock.now())
            raise TokenRefused(_reason(answer.body), answer.status, retry_after)
        try:
            granted = msgspec.json.decode(answer.body, type=_Granted, strict=False)
        except msgspec.MsgspecError:
            raise TokenRefused("bad_answer", answer.status) from None
        if not granted.access_token:
            raise TokenRefused("bad_answer", answer.status)
        expires_at = None
        if granted.expires_in is not None:  # counted from before the request, to be safe
            lives_seconds = min(max(granted.expires_in, 0.0), _LONGEST_LIFE_SECONDS)
            expires_at = began + timedelta(seconds=lives_seconds)
        return Token(
            access_token=granted.access_token,
            expires_at=expires_at,
            refresh_token=granted.refresh_token,
            scope=granted.scope,
        )


def code_challenge() -> tuple[str, str]:
    """Return a verifier and its challenge (RFC 7636, S256).

    The challenge goes to ``authorization_url``, the verifier later to ``exchange``.
    """
    verifier = secrets.token_urlsafe(48)
    digest = hashlib.sha256(verifier.encode("ascii")).digest()
    return verifier, base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _reason(body: bytes) -> str:
    """Return the error code of a refusal, if it has one."""
    try:
        code = msgspec.json.decode(body, type=_Refused).error
    except msgspec.MsgspecError:
        return "refused"
    return code if _ERROR_CODE.fullmatch(code) else "refused"
