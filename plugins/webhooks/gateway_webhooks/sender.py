"""The sink: serializes a delivery, calls the endpoint, reports the outcome."""

import asyncio
from collections.abc import Collection, Sequence
from typing import Final

import msgspec

from gateway.plugin import (
    EXCERPT_BYTES,
    AddressGuard,
    Batch,
    ClaimedDelivery,
    Clock,
    EgressSettings,
    OutboundClient,
    OutboundRequest,
    OutboundResponse,
    Outcome,
    Resolver,
    Sink,
    outcome_of,
)
from gateway_webhooks.disclosure import unfit_field
from gateway_webhooks.formats import write
from gateway_webhooks.mapping import SINK, TEST_EVENT_TYPE
from gateway_webhooks.settings import EndpointSettings, WebhooksSettings

_REDIRECTS: Final = range(300, 400)

_PUBLIC: Final = ("url", "format", "filter_fields", "send_fields", "exclusive")


class Sender:
    """Delivers webhooks through a client that dials only checked addresses.

    Responses from the operator's private networks are kept only for the operator's own endpoints
    and those of ``trusted_accounts``.
    """

    def __init__(
        self,
        settings: WebhooksSettings,
        guard: AddressGuard,
        clock: Clock,
        resolver: Resolver | None = None,
        egress: EgressSettings | None = None,
        *,
        trusted_accounts: Collection[str] = (),
    ) -> None:
        self.client = OutboundClient(clock, guard, resolver, egress)
        self._settings = settings
        self._clock = clock
        self._trusted_accounts = frozenset(trusted_accounts)

    @property
    def sink(self) -> Sink:
        """The sink that POSTs events to endpoints, with its commands and its page."""
        deliver, place = self.deliver, "endpoints"
        return Sink(SINK, EndpointSettings, deliver, public=_PUBLIC, group=place, page=place)

    async def deliver(self, batch: Batch) -> Sequence[Outcome]:
        """Attempt each delivery of the batch once."""
        if len(batch.deliveries) == 1:
            return [await self._attempt(batch.deliveries[0], batch)]
        return await asyncio.gather(*(self._attempt(each, batch) for each in batch.deliveries))

    async def _attempt(self, delivery: ClaimedDelivery, batch: Batch) -> Outcome:
        started_at = self._clock.now()
        settings = batch.settings
        event = delivery.event
        filters = settings.filter_fields
        if filters and event.type != TEST_EVENT_TYPE.type and unfit_field(event, filters):
            # Queued before the filter was set, or chosen by hand: the filter still applies.
            return Outcome(
                delivery_id=delivery.id,
                delivered=True,
                started_at=started_at,
                duration_ms=0,
                error="filtered",
            )
        message = write(delivery, settings, self._settings, started_at)
        answer = await self.client.send(
            OutboundRequest(
                url=settings.url,
                body=message.body,
                headers=message.headers,
                timeout_seconds=batch.timeout_seconds,
                repeatable=True,  # its id is signed with it, and receivers deduplicate by it
                unprivileged=not (
                    settings.by_operator or delivery.account_id in self._trusted_accounts
                ),
            )
        )
        outcome = outcome_of(answer, delivery.id, started_at)
        if answer.location is None or answer.status not in _REDIRECTS:
            return outcome
        return msgspec.structs.replace(outcome, excerpt=_with_target(answer))


def _with_target(answer: OutboundResponse) -> bytes:
    """Return the target of a redirect, which isn't followed, and the start of the response."""
    return f"Location: {answer.location}\n\n".encode()[:EXCERPT_BYTES] + answer.body
