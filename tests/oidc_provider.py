"""A strict OpenID Connect provider on loopback: real HTTP, real keys, made for one client.

It refuses what the specifications let it refuse: an unknown redirect URI, a request without
state, nonce or PKCE, a wrong secret, a code that was used, a verifier that doesn't match. A test
can make it lie: in the claims, the header, the key that signs, the discovery document.

Nothing here knows pytest.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import secrets
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey

from gateway.clock import Clock

CLIENT_ID = "gateway"
CLIENT_SECRET = "s3cret: with % and + in it, long enough to sign"
CALLBACK = "/dashboard/oidc/callback"


class OidcProvider:
    """The provider; ``person`` are the claims of the person at the browser."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.issuer = ""
        self.person: dict[str, Any] = {"sub": "u-1", "name": "Sam Lee", "email": "sam@x.example"}
        self.redirect_uris: set[str] = set()
        self.signed_in_at = self.now() - 3600
        self.asked = 0  # how often it asked for the person
        self.requests: list[str] = []
        self.codes: dict[str, dict[str, Any]] = {}
        self.lies: dict[str, Any] = {}  # claims to replace; None leaves one out
        self.document: dict[str, Any] = {}  # of the discovery document
        self.keys: list[ECKey] = []
        self.header: dict[str, str] = {}
        self.signs_with: Any = None
        self.answers_silently = False  # ignores prompt=login
        self.names_itself = True  # RFC 9207
        self.rotate()

    def now(self) -> int:
        return int(self.clock.now().timestamp())

    def rotate(self) -> None:
        """Sign with a new key from now on; the old one is gone."""
        self.keys = [ECKey.generate_key("P-256", parameters={"kid": secrets.token_hex(4)})]

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["OidcProvider"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.issuer = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/realm"
        async with server:
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            line, *rest = head.split("\r\n")
            headers = {k.lower(): v for k, _, v in (each.partition(": ") for each in rest)}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            method, target, _ = line.split(" ")
            parts = urlsplit(target)
            self.requests.append(parts.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            status, answer, more = self._answer(method, parts.path, query, headers, body.decode())
            content = json.dumps(answer).encode()
            lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(content)}", *more]
            lines += ["Content-Type: application/json", "Connection: close", "", ""]
            writer.write("\r\n".join(lines).encode() + content)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _answer(self, method: str, path: str, query: Any, headers: Any, body: str) -> Any:
        if (method, path) == ("GET", "/realm/.well-known/openid-configuration"):
            return 200, self._discovery(), []
        if (method, path) == ("GET", "/realm/keys"):
            return 200, KeySet(list(self.keys)).as_dict(private=False), []
        if (method, path) == ("GET", "/realm/authorize"):
            return self._authorize(query)
        if (method, path) == ("POST", "/realm/token"):
            form = {name: values[0] for name, values in parse_qs(body).items()}
            return self._token(form, headers)
        return 404, {}, []

    def _discovery(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "authorization_response_iss_parameter_supported": self.names_itself,
            **self.document,
        }

    def _authorize(self, query: dict[str, str]) -> Any:
        is_good = (
            query.get("response_type") == "code"
            and query.get("client_id") == CLIENT_ID
            and query.get("redirect_uri") in self.redirect_uris
            and "openid" in query.get("scope", "").split()
            and len(query.get("state", "")) >= 32
            and len(query.get("nonce", "")) >= 32
            and query.get("code_challenge_method") == "S256"
            and len(query.get("code_challenge", "")) == 43
        )
        if not is_good:
            return 400, {"error": "invalid_request"}, []
        if query.get("prompt") == "login" and not self.answers_silently:
            assert query["max_age"] == "0"
            self.asked += 1
            self.signed_in_at = self.now()
        code = secrets.token_urlsafe(24)
        self.codes[code] = {**query, "claims": dict(self.person)}
        back = {"code": code, "state": query["state"]}
        if self.names_itself:
            back["iss"] = self.issuer
        return 303, {}, [f"Location: {query['redirect_uri']}?{urlencode(back)}"]

    def _token(self, form: dict[str, str], headers: dict[str, str]) -> Any:
        scheme, _, pair = headers.get("authorization", "").partition(" ")
        name, _, secret = base64.b64decode(pair).decode().partition(":")
        known = (unquote_plus(name), unquote_plus(secret)) == (CLIENT_ID, CLIENT_SECRET)
        if scheme != "Basic" or not known:
            return 401, {"error": "invalid_client"}, []
        left = self.codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        if (
            left is None
            or form.get("grant_type") != "authorization_code"
            or form.get("redirect_uri") != left["redirect_uri"]
            or not hmac.compare_digest(challenge, left["code_challenge"])
        ):
            return 400, {"error": "invalid_grant"}, []
        return 200, {"access_token": "x", "token_type": "Bearer", "id_token": self._sign(left)}, []

    def _sign(self, left: dict[str, Any]) -> str:
        claims = {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "exp": self.now() + 300,
            "iat": self.now(),
            "auth_time": self.signed_in_at,
            "nonce": left["nonce"],
            **left["claims"],
            **self.lies,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        header = {"alg": "ES256", "kid": self.keys[0].kid, **self.header}
        key = self.signs_with or self.keys[0]
        with warnings.catch_warnings(action="ignore"):  # of unsigned tokens
            return jwt.encode(header, claims, key, algorithms=[header["alg"]])


def shared_secret() -> OctKey:
    """The client's secret as a key: what a provider's public answer must never be signed with."""
    return OctKey.import_key(CLIENT_SECRET)
