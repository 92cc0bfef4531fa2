"""The writer ``http``: posts each job to a bridge beside the pharmacy system, signed."""

import asyncio
import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from gateway.plugin import (
    AddressGuard,
    Gateway,
    InvalidInput,
    OutboundClient,
    OutboundRequest,
    OutboundResponse,
    decode,
    encode,
)
from gateway_rx_queue.extension_points import WriteJob, WriteOutcome
from gateway_rx_queue.mapping import outcome_of
from gateway_rx_queue.schema import BridgeJobOut, OutcomeIn
from gateway_rx_queue.settings import BridgeTable

SIGNATURE: Final = "X-Rx-Signature"
_KEPT_BYTES: Final = 65_536
# Not about the job itself: it may work later (RFC 9110, RFC 6585, RFC 8470).
_LATER: Final = frozenset({401, 403, 404, 405, 408, 409, 421, 423, 425, 429})
_REFUSED: Final = range(400, 500)


class Bridge:
    """Posts jobs to the address in the settings."""

    def __init__(self, gateway: Gateway, table: BridgeTable) -> None:
        delivery = gateway.settings.delivery
        guard = AddressGuard.of(
            delivery.allow_http or table.allow_http,
            [*delivery.allow_networks, *table.allow_networks],
        )
        self._table = table
        self._clock = gateway.clock
        self._client = OutboundClient(gateway.clock, guard)

    async def write(self, jobs: Sequence[WriteJob]) -> list[WriteOutcome]:
        """Post each job once."""
        return list(await asyncio.gather(*map(self._posted, jobs)))

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _posted(self, job: WriteJob) -> WriteOutcome:
        body = encode(
            BridgeJobOut(
                queueId=job.queue_id,
                idempotency_token=job.idempotency_token,
                attempt=job.attempt,
                site=job.site,
                prescription=job.prescription,
                catalog_name=job.catalog_name,
            )
        )
        answer = await self._client.send(
            OutboundRequest(
                url=self._table.url,
                body=body,
                headers={
                    "Content-Type": "application/json",
                    "Idempotency-Key": job.idempotency_token,
                    SIGNATURE: signature(self._table.secret, body, self._clock.now()),
                },
                timeout_seconds=self._table.timeout_seconds,
                keep_bytes=_KEPT_BYTES,
            )
        )
        outcome = outcome_from(answer)
        if outcome.outcome != "retry":
            return outcome
        wait = answer.retry_after_seconds(self._clock.now())
        return msgspec.structs.replace(outcome, retry_after_seconds=wait)


def signature(secret: str, body: bytes, now: datetime) -> str:
    """Return ``t=<unix>,v1=<hex HMAC-SHA256 of "<t>.<body>">``; the key is the secret as it is."""
    timestamp = int(now.timestamp())
    signed = f"{timestamp}.".encode() + body
    return f"t={timestamp},v1={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}"


def outcome_from(answer: OutboundResponse) -> WriteOutcome:
    """Return the outcome of a bridge's response.

    A 2xx with an outcome in its body is that outcome, with an empty body ``completed``. A
    4xx about the job is a permanent failure; everything else is retried.
    """
    if answer.error is not None:
        return WriteOutcome(outcome="retry", reason=f"bridge_{answer.error}")
    if answer.is_success:
        if answer.cut:
            return WriteOutcome(outcome="retry", reason="bridge_answer_too_long")
        if not answer.body.strip():
            return WriteOutcome(outcome="completed")
        try:
            return outcome_of(decode(answer.body, OutcomeIn))
        except InvalidInput:
            return WriteOutcome(outcome="retry", reason="bridge_answer_unreadable")
    status = answer.status or 0
    refused = status in _REFUSED and status not in _LATER
    return WriteOutcome(
        outcome="failed" if refused else "retry", reason=f"bridge_answered_{status}"
    )
