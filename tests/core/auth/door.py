"""The services about people over a real database, and people to let in.

Nothing here knows pytest.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from authenticator import Authenticator

from gateway.auth.enrolment import Choice
from gateway.auth.identity import Ground, Identity, build_identity
from gateway.auth.passwords import PasswordHasher
from gateway.auth.people import Maker
from gateway.auth.sign_in import Begun, Browser
from gateway.auth.totp import code_at, step_of
from gateway.clock import SteppingClock
from gateway.runtime import Gateway
from gateway.settings import parse_settings
from gateway.testing.schema import lay_schema

ORIGIN = "http://localhost:8080"
HERE = Browser("192.0.2.10", ORIGIN, "Mozilla/5.0 (Windows NT 10.0) Firefox/140.0")
ELSEWHERE = Browser("203.0.113.99", ORIGIN)
PASSWORD = "correct bottle stable"
COMMAND_LINE = Maker("cli:0", "default")
TOML = """
[[sites]]
code = "main"
name = "Lakeside"

[[sites]]
code = "north"
name = "Northside"
"""


class Door:
    """A gateway's people: made, signed in, moved through time."""

    def __init__(self, gateway: Gateway, identity: Identity, clock: SteppingClock) -> None:
        self.gateway = gateway
        self.identity = identity
        self.clock = clock
        self.secrets: dict[str, bytes] = {}

    async def owner(self, email: str = "amara@lakeside.example", **choice: str) -> Begun:
        """Make the owner, with a password and an authenticator."""
        code = await self.identity.enrolment.new_owner_code()
        begun = await self.identity.enrolment.begin_owner(code, "Amara Okafor", email)
        return await self.with_code(begun, email, **choice)

    async def with_code(self, set_up, email: str, password: str = PASSWORD) -> Begun:
        """Finish an enrolment with a password and the authenticator's first code."""
        self.secrets[email] = secret_of(set_up.secret)
        chosen = Choice(password=password, code=self.code(email))
        made = await self.identity.enrolment.finish(set_up.token, chosen, HERE, "A Name")
        self.recovery_codes = made.recovery_codes
        self.clock.step(30)  # the code that enrolled is used up
        return made.begun

    async def owner_with_passkey(self) -> tuple[Begun, Authenticator]:
        code = await self.identity.enrolment.new_owner_code()
        set_up = await self.identity.enrolment.begin_owner(code, "Amara Okafor", "a@b.example")
        device = Authenticator()
        chosen = Choice(passkey=device.create(dict(set_up.options)))
        made = await self.identity.enrolment.finish(set_up.token, chosen, HERE)
        return made.begun, device

    async def invited(self, email: str, role: str, sites=None) -> Begun:
        """Invite a person from the command line, who accepts with a password and a code."""
        _, token = await self.identity.people.invite(COMMAND_LINE, email, role, sites)
        set_up = await self.identity.enrolment.begin_invitation(token)
        return await self.with_code(set_up, email)

    def code(self, email: str) -> str:
        """Return the code that the person's authenticator shows now."""
        return code_at(self.secrets[email], step_of(self.clock.now()))

    async def sign_in(self, email: str, browser: Browser = HERE, password=PASSWORD) -> Begun:
        return await self.identity.sign_in.with_password(email, password, self.code(email), browser)


def secret_of(text: str) -> bytes:
    import base64

    return base64.b32decode(text + "=" * (-len(text) % 8))


@asynccontextmanager
async def opened_door(
    url: str | None, directory: Path, clock: SteppingClock | None = None, toml: str = ""
) -> AsyncIterator[Door]:
    clock = clock or SteppingClock()
    url = url or f"sqlite+aiosqlite:///{directory / 'gateway.db'}"
    text = f'[database]\nurl = "{url}"\n{TOML}{toml}'
    gateway = Gateway(parse_settings(text, source=None, directory=directory, environ={}), clock)
    await lay_schema(gateway)
    async with gateway:
        identity = build_identity(
            gateway.settings,
            Ground(gateway.database, gateway.sealer, gateway.audit, clock),
            gateway.permissions,
            gateway.sites.known,
            gateway.plans,
            hasher=PasswordHasher(memory_kib=64),
        )
        yield Door(gateway, identity, clock)
        await identity.close()
