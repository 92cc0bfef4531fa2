"""A signed-in person for tests of pages: a browser without a screen, at ``http://localhost``."""

import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

import httpx

from gateway.auth.web_origin import cookie_name
from gateway.model.account import DEFAULT_ACCOUNT
from gateway.model.ids import new_id
from gateway.model.permission import Role
from gateway.model.person import Membership, Person
from gateway.runtime import Gateway

FORM: Final = "application/x-www-form-urlencoded"


async def begin_session(
    gateway: Gateway,
    role: Role = "owner",
    *,
    name: str = "Amara Okafor",
    sites: Sequence[str] | None = None,
    language: str | None = None,
    account_id: str = DEFAULT_ACCOUNT,
) -> str:
    """Make a person who is signed in with a passkey; returns the session's cookie."""
    now = gateway.clock.now()
    email = f"{secrets.token_hex(4)}@example.com"
    person = Person(
        id=new_id("per", now),
        name=name,
        email=email,
        login=email,
        handle=secrets.token_bytes(32),
        created_at=now,
        language=language,
    )
    membership = Membership(account_id, person.id, role, None if sites is None else tuple(sites))
    parts = gateway.identity.parts
    async with gateway.database.begin() as connection:
        await parts.people.add(connection, person)
        await parts.people.set_membership(connection, membership, now)
        return await gateway.identity.sessions.begin(
            connection, person, account_id, "passkey", is_strong=True, agent="Firefox/1 Linux"
        )


class PageBrowser:
    """Requests pages like a signed-in person's browser, with its own cookies."""

    def __init__(self, client: httpx.AsyncClient, url: str, cookie: str) -> None:
        self._client = client
        self._url = url
        port = url.rpartition(":")[2]
        self.host = f"localhost:{port}"
        self.origin = f"http://{self.host}"
        self.cookies = {cookie_name("session", self.origin): cookie}

    async def get(self, path: str, headers: Mapping[str, str] | None = None) -> httpx.Response:
        """Request a page; redirects are not followed."""
        return await self._send("GET", path, None, headers)

    async def post(
        self,
        path: str,
        fields: Mapping[str, str | Sequence[str]] | bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Send a form as a page of the gateway's own does."""
        body = fields if isinstance(fields, bytes) else urlencode(fields, doseq=True).encode()
        sent = {
            "Origin": self.origin,
            "Sec-Fetch-Site": "same-origin",
            "Content-Type": FORM,
            **(headers or {}),
        }
        return await self._send("POST", path, body, sent)

    async def _send(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str] | None
    ) -> httpx.Response:
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        sent: dict[str, Any] = {"Host": self.host, "Cookie": cookies, **(headers or {})}
        answer = await self._client.request(method, self._url + path, content=body, headers=sent)
        self._client.cookies.clear()
        for line in answer.headers.get_list("set-cookie"):
            name, _, rest = line.partition("=")
            if "Max-Age=0" in line:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = rest.split(";")[0].strip('"')
        return answer
