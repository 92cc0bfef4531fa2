"""The sink: one mail for each batch, over SMTP with a verified certificate."""

import asyncio
import ssl
from collections.abc import Sequence
from email.message import EmailMessage
from pathlib import Path
from typing import Final

import aiosmtplib

from gateway.plugin import Batch, Clock, HealthReport, Outcome
from gateway_email.letter import Letters
from gateway_email.settings import EmailSettings, Recipient

SINK: Final = "email"
MAX_BATCH: Final = 50
_EXCERPT_BYTES: Final = 2048
_ACCEPTED: Final = 250
_REACH_SECONDS: Final = 4.0


class Sender:
    """Sends mails by the server of gateway.toml; one connection for each mail."""

    def __init__(self, settings: EmailSettings, letters: Letters, clock: Clock) -> None:
        self._settings = settings
        self._letters = letters
        self._clock = clock

    async def deliver(self, batch: Batch) -> Sequence[Outcome]:
        """Send one mail with all events of the batch; they share its outcome."""
        recipient: Recipient = batch.settings
        events = [each.event for each in batch.deliveries]
        mail = self._letters.of(events, recipient.address, batch.destination.id)
        started_at, began = self._clock.now(), self._clock.monotonic_seconds()
        status, error, excerpt = await self.send(mail, batch.timeout_seconds)
        duration_ms = int((self._clock.monotonic_seconds() - began) * 1000)
        return [
            Outcome(
                delivery_id=each.id,
                delivered=error is None,
                started_at=started_at,
                duration_ms=duration_ms,
                status=status,
                error=error,
                excerpt=excerpt,
            )
            for each in batch.deliveries
        ]

    async def send(
        self, mail: EmailMessage, timeout_seconds: float
    ) -> tuple[int | None, str | None, bytes]:
        """Send ``mail``: the server's code, a word for the failure, the server's text."""
        try:
            async with asyncio.timeout(timeout_seconds):
                _, text = await aiosmtplib.send(
                    mail,
                    hostname=self._settings.host,
                    port=self._settings.server_port,
                    use_tls=self._settings.security == "tls",
                    start_tls=self._settings.security == "starttls",
                    tls_context=await asyncio.to_thread(self._trusted),
                    username=self._settings.username,
                    password=self._settings.password,
                    sender=self._letters.sender,
                    timeout=timeout_seconds,
                )
        except (OSError, TimeoutError, aiosmtplib.SMTPException, ssl.SSLError) as failure:
            return _failure(failure)
        return _ACCEPTED, None, text.encode()[:_EXCERPT_BYTES]

    async def health(self) -> HealthReport:
        """Connect and log in without sending; reports an unhealthy server with the reason."""
        settings = self._settings
        if settings.is_sample:
            detail = "no mail server is set up yet: change host and from under [plugins.email]"
            return HealthReport(healthy=True, detail=detail)
        server = aiosmtplib.SMTP(
            hostname=settings.host,
            port=settings.server_port,
            use_tls=settings.security == "tls",
            start_tls=settings.security == "starttls",
            tls_context=await asyncio.to_thread(self._trusted),
            username=settings.username,
            password=settings.password,
            timeout=_REACH_SECONDS,
        )
        host = f"{settings.host}:{settings.server_port}"
        try:
            async with asyncio.timeout(_REACH_SECONDS), server:
                await server.noop()
        except (OSError, TimeoutError, aiosmtplib.SMTPException, ssl.SSLError) as failure:
            error = _failure(failure)[1]
            return HealthReport(
                healthy=False, detail=f"{host}: {error}", command="gateway email test ADDRESS"
            )
        return HealthReport(healthy=True, detail=f"{host} takes mail")

    def _trusted(self) -> ssl.SSLContext | None:
        if self._settings.security == "none":
            return None
        authority = self._settings.ca_file
        return ssl.create_default_context(cafile=None if authority is None else Path(authority))


def _failure(error: Exception) -> tuple[int | None, str, bytes]:
    """Return the word for a failure. The text of the server may quote the address of a person."""
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        refused = error.recipients[0]
        return refused.code, "smtp_recipient_refused", refused.message.encode()[:_EXCERPT_BYTES]
    if isinstance(error, aiosmtplib.SMTPResponseException):
        word = (
            "smtp_login_refused"
            if isinstance(error, aiosmtplib.SMTPAuthenticationError)
            else "smtp_refused"
        )
        return error.code, word, error.message.encode()[:_EXCERPT_BYTES]
    causes = (error, error.__cause__, error.__context__)
    if any(isinstance(each, ssl.SSLError) for each in causes):
        return None, "tls", b""
    if isinstance(error, TimeoutError | aiosmtplib.SMTPTimeoutError):
        return None, "timeout", b""
    if isinstance(error, aiosmtplib.SMTPException) and "STARTTLS" in str(error):
        return None, "smtp_no_starttls", b""
    return None, "connect", b""
