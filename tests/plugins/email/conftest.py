"""A real SMTP server on loopback, and a gateway that mails through it."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from pathlib import Path
from typing import Any, Final

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword

from gateway.http import local_ca

PASSWORD: Final = "correct horse"


class Inbox:
    """The mails that a server took, and how it answers the next one."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.answer = "250 OK"
        self.recipient_answer = "250 OK"
        self.logins: list[bytes] = []

    async def handle_RCPT(self, *args: Any) -> str:  # noqa: N802 - aiosmtpd's name
        envelope: Envelope = args[2]
        if self.recipient_answer.startswith("250"):
            envelope.rcpt_tos.append(args[3])
        return self.recipient_answer

    async def handle_DATA(self, *args: Any) -> str:  # noqa: N802 - aiosmtpd's name
        envelope: Envelope = args[2]
        assert isinstance(envelope.content, bytes)
        if self.answer.startswith("250"):
            mail = BytesParser(policy=default).parsebytes(envelope.content)
            assert isinstance(mail, EmailMessage)
            self.mails.append(mail)
        return self.answer

    def login(self, *args: Any) -> AuthResult:
        """Accept one name and password."""
        given = args[4]
        assert isinstance(given, LoginPassword)
        self.logins.append(given.login)
        good = given.password == PASSWORD.encode()
        return AuthResult(success=good, handled=good)


class MailServer:
    """A server of one kind: ``starttls`` with a login, ``tls``, or ``none``."""

    def __init__(self, folder: Path, security: str) -> None:
        self.inbox = Inbox()
        self.security = security
        issued = local_ca.issue(folder, ["localhost"], datetime.now(UTC))
        self.ca_file = issued.ca
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(issued.cert, issued.key)
        options: dict[str, Any] = {}
        if security == "starttls":
            options = {
                "tls_context": context,
                "require_starttls": True,
                "auth_required": True,
                "authenticator": self.inbox.login,
            }
        self._options = options
        self._context = context if security == "tls" else None
        self._server: asyncio.Server | None = None
        self.known_port = 0

    async def start(self, *, again: bool = False) -> None:
        """Listen on a free port; again on the port it had."""
        self._server = await asyncio.get_running_loop().create_server(
            lambda: SMTP(self.inbox, hostname="localhost", **self._options),
            "127.0.0.1",
            self.known_port if again else 0,
            ssl=self._context,
        )
        self.known_port = self.port

    async def stop(self) -> None:
        """End."""
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    @property
    def port(self) -> int:
        """The port it listens on."""
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def toml(self, **more: str) -> str:
        """Return ``[plugins.email]`` for this server."""
        lines = {
            "host": '"localhost"',
            "port": str(self.port),
            "from": '"gateway@lakeside.example"',
            "security": f'"{self.security}"',
            "ca_file": f'"{self.ca_file}"',
        }
        if self.security == "starttls":
            lines |= {"username": '"gateway"', "password": f'"{PASSWORD}"'}
        lines |= more
        return "\n".join(["[plugins.email]", *(f"{key} = {value}" for key, value in lines.items())])


@pytest.fixture
async def mail_server(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[MailServer]:
    """A server that speaks STARTTLS and asks for a login, unless a parameter names another."""
    server = MailServer(tmp_path / "mail", getattr(request, "param", "starttls"))
    await server.start()
    yield server
    await server.stop()
