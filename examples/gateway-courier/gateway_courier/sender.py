"""One attempt: the request to the courier, with a token, and its outcome.

The gateway repeats what fails, at growing intervals. The courier knows a repetition by its
``Idempotency-Key``, which is the event's id: a job is booked once, however often it is sent.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec

from gateway.plugin import (
    AddressGuard,
    AuditEntry,
    Batch,
    Caller,
    ClaimedDelivery,
    Credential,
    Gateway,
    HealthReport,
    OAuth2,
    OutboundClient,
    OutboundRequest,
    OutboundResponse,
    Outcome,
    Package,
    TokenRefused,
    outcome_of,
)
from gateway_courier.mapping import Call, call_of
from gateway_courier.settings import CourierSettings

SINK: Final = "courier"
_NEEDS_PACKAGE: Final = frozenset({"package.ready", "package.updated"})
_UNAUTHORIZED: Final = 401
_NOT_FOUND: Final = 404


class Sender:
    """Sends events. Connections are kept for the next one until the gateway stops."""

    def __init__(self, settings: CourierSettings, gateway: Gateway) -> None:
        delivery = gateway.settings.delivery
        guard = AddressGuard.of(delivery.allow_http, delivery.allow_networks)
        self.client = OutboundClient(gateway.clock, guard, egress=delivery)
        self._api_url = settings.api_url.rstrip("/")
        oauth2 = OAuth2(
            self.client,
            gateway.clock,
            token_url=f"{self._api_url}/oauth/token",
            client_id=settings.client_id,
            client_secret=settings.client_secret,
            scope="jobs",
        )
        self._credential = Credential(SINK, "api", gateway, oauth2.client_credentials)
        self._gateway = gateway

    async def deliver(self, batch: Batch) -> Sequence[Outcome]:
        """Attempt each delivery of the batch once, side by side."""
        return await asyncio.gather(*(self._attempt(each, batch) for each in batch.deliveries))

    async def health(self) -> HealthReport:
        """Report the last refusal of a token: every delivery waits behind it."""
        reason = (await self._credential.status()).last_error
        if reason is None:
            return HealthReport(healthy=True, detail="the courier grants tokens")
        text = f"the courier grants no token ({reason}): check client_id and client_secret"
        return HealthReport(healthy=False, detail=text)

    async def _attempt(self, delivery: ClaimedDelivery, batch: Batch) -> Outcome:
        started_at = self._gateway.clock.now()
        package = await self._package(delivery)
        call = call_of(delivery.event, package, batch.settings.depot)
        failed = Outcome(
            delivery_id=delivery.id, delivered=False, started_at=started_at, duration_ms=0
        )
        if call is None:
            return msgspec.structs.replace(failed, delivered=True, error="needs_no_call")
        try:
            answer = await self._authorised(call, delivery, batch.timeout_seconds)
        except TokenRefused as refused:
            return msgspec.structs.replace(
                failed,
                status=refused.status,
                error=f"token_{refused.reason}",
                retry_after_seconds=refused.retry_after_seconds,
                busy=True,  # no other delivery gets in either
            )
        outcome = outcome_of(answer, delivery.id, started_at)
        if answer.status == _NOT_FOUND and call.method != "POST":
            # It was never booked: there is nothing to change or to cancel.
            return msgspec.structs.replace(outcome, delivered=True, error="not_booked")
        if outcome.delivered and call.names_patient and package is not None:
            await self._note_disclosed(package)
        return outcome

    async def _authorised(
        self, call: Call, delivery: ClaimedDelivery, timeout_seconds: float
    ) -> OutboundResponse:
        """Send a request with a token; with another one if the first was revoked."""
        token = await self._credential.token()
        answer = await self._send(call, delivery, token, timeout_seconds)
        if answer.status == _UNAUTHORIZED:
            token = await self._credential.token(instead_of=token)
            answer = await self._send(call, delivery, token, timeout_seconds)
        return answer

    async def _send(
        self, call: Call, delivery: ClaimedDelivery, token: str, timeout_seconds: float
    ) -> OutboundResponse:
        return await self.client.send(
            OutboundRequest(
                url=self._api_url + call.path,
                method=call.method,
                body=call.body,
                headers={
                    "Authorization": f"Bearer {token}",
                    "Content-Type": "application/json",
                    "Idempotency-Key": delivery.event.id,
                    "User-Agent": "gateway-courier",
                },
                timeout_seconds=timeout_seconds / 2,  # two of them fit into an attempt
                repeatable=True,
            )
        )

    async def _package(self, delivery: ClaimedDelivery) -> Package | None:
        """Return the package as it is now: an event names no patient and no address."""
        event = delivery.event
        if event.type not in _NEEDS_PACKAGE:
            return None
        caller = Caller(event.account_id, event.mode, f"plugin:{SINK}")
        async with self._gateway.database.read() as connection:
            return await self._gateway.packages.get(connection, caller, event.subject)

    async def _note_disclosed(self, package: Package) -> None:
        """Put into the accounting of disclosures what the courier learned."""
        entry = AuditEntry(
            package.account_id,
            f"plugin:{SINK}",
            "package.booked",
            package.id,
            self._gateway.packages.patient_keys(package),
            kind="disclose",
            fields=("contact", "identity"),
            site=package.site,
        )
        await self._gateway.audit.note([entry])
