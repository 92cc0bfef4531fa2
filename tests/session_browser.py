"""A browser without a screen, for tests of sessions: cookies, origin, and the headers it sends.

Nothing here knows pytest.
"""

from typing import Any

import httpx
from authenticator import Authenticator
from core.auth.door import secret_of

from gateway.auth.totp import code_at, step_of
from gateway.clock import Clock
from gateway.testing.harness import GatewayHarness

PASSWORD = "correct bottle stable"


class SessionBrowser:
    """One browser at ``http://localhost:<port>``."""

    def __init__(self, harness: GatewayHarness, clock: Clock) -> None:
        self.harness = harness
        self.clock = clock
        self.port = harness.url.rpartition(":")[2]
        self.host = f"localhost:{self.port}"
        self.origin = f"http://{self.host}"
        self.cookies: dict[str, str] = {}
        self.totp = b""
        self.device = Authenticator(self.origin)

    async def send(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> httpx.Response:
        """Send a request as a page of the gateway's own would; a header of "" is left out."""
        sent = {"Host": self.host}
        if method != "GET":
            sent |= {"Origin": self.origin, "Sec-Fetch-Site": "same-origin"}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {name: value for name, value in sent.items() if value}
        answer = await self.harness.request(method, path, body=body, headers=sent)
        self.harness._client.cookies.clear()  # each browser has its own
        self.keep(answer)
        return answer

    def keep(self, answer: httpx.Response) -> None:
        for line in answer.headers.get_list("set-cookie"):
            name, _, rest = line.partition("=")
            value = rest.split(";")[0].strip('"')
            if "Max-Age=0" in line:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self.send("GET", path, **headers)

    async def post(self, path: str, body: Any = None, **headers: str) -> httpx.Response:
        return await self.send("POST", path, {} if body is None else body, **headers)

    def code(self) -> str:
        return code_at(self.totp, step_of(self.clock.now()))

    async def become_owner(self, *, passkey: bool = False, email: str = "amara@x.example") -> None:
        """From an empty gateway: the code, then a passkey or password and code."""
        code = await self.harness.gateway.identity.enrolment.new_owner_code()
        body = {"code": code, "name": "Amara Okafor", "email": email}
        begun = await self.post("/api/session/owner/begin", body)
        assert begun.status_code == 200, begun.text
        await self.enrol(begun.json(), passkey=passkey)

    async def accept(self, link: str, *, passkey: bool = False, name: str = "Sam Lee") -> None:
        """Open an invitation's link and set factors up."""
        body = {"token": link.partition("#")[2], "name": name}
        begun = await self.post("/api/session/invitation/begin", body)
        assert begun.status_code == 200, begun.text
        await self.enrol(begun.json(), passkey=passkey)

    async def enrol(self, set_up: dict[str, Any], *, passkey: bool = False) -> httpx.Response:
        self.totp = secret_of(set_up["totp_secret"])
        body: dict[str, Any] = {"token": set_up["token"]}
        if passkey:
            body["passkey"] = self.device.create(set_up["options"])
        else:
            body |= {"password": PASSWORD, "code": self.code()}
        made = await self.post("/api/session/enrol", body)
        assert made.status_code == 201, made.text
        return made

    async def sign_in(self, email: str = "amara@x.example", **headers: str) -> httpx.Response:
        body = {"email": email, "password": PASSWORD, "code": self.code()}
        return await self.post("/api/session", body, **headers)

    async def sign_in_with_passkey(self) -> httpx.Response:
        begun = (await self.post("/api/session/passkey/begin")).json()
        body = {"token": begun["token"], "response": self.device.get(begun["options"])}
        return await self.post("/api/session/passkey", body)
