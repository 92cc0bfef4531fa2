"""Look-ups of deliveries: lists, an attempt as it was sent, an endpoint's last hours."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

import msgspec

from gateway.plugin import (
    Attempt,
    AuditEntry,
    Caller,
    Delivery,
    DeliveryFilter,
    Destination,
    Event,
    EventType,
    Gateway,
    InvalidInput,
    NotFound,
    groups_of,
    masked,
    matches,
)
from gateway_webhooks.endpoints import Endpoints
from gateway_webhooks.inspection import SentRequest, sent_request
from gateway_webhooks.mapping import TEST_EVENT_TYPE, settings_of
from gateway_webhooks.settings import EndpointSettings, WebhooksSettings
from gateway_webhooks.statistics import Statistics, first_quarter, statistics

MAX_HOURS: Final = 24 * 7
_MAX_ATTEMPTS: Final = 10_000
_MAX_WAITING: Final = 10_000


class Inspected(NamedTuple):
    """One attempt of a delivery with its event and, unless removed, its ``endpoint``."""

    delivery: Delivery
    attempts: Sequence[Attempt]
    attempt: Attempt
    endpoint: Destination | None
    sent: SentRequest


class Learned(NamedTuple):
    """The fields of one event type that a receiver gets, each with its group, if it has one.

    The groups are those of the audit trail: identity, contact, rx, money, image, proof.
    """

    event: EventType
    fields: Mapping[str, str | None]


class Deliveries:
    """Reads deliveries and attempts on behalf of a caller."""

    def __init__(self, gateway: Gateway, settings: WebhooksSettings, endpoints: Endpoints) -> None:
        self._gateway = gateway
        self._settings = settings
        self._endpoints = endpoints

    async def search(
        self, caller: Caller, wanted: DeliveryFilter
    ) -> tuple[Sequence[Delivery], str | None]:
        """Return deliveries, newest first, and the cursor of the next page, if there is one."""
        async with self._gateway.database.read() as connection:
            return await self._gateway.delivery_log.search(connection, caller, wanted)

    async def attempt(self, caller: Caller, delivery_id: str, number: int | None) -> Inspected:
        """Return an attempt as it was sent, the last one by default.

        Shown patient data are audited. Raises ``NotFound``.
        """
        delivery, attempts = await self._endpoints.delivery(caller, delivery_id)
        attempt = next(
            (each for each in reversed(attempts) if number is None or each.number == number), None
        )
        if attempt is None:
            raise NotFound("There is no such attempt.")
        async with self._gateway.database.read() as connection:
            event = await self._gateway.events.get(connection, caller, delivery.event_id)
        if event is None:
            raise NotFound("There is no such attempt: its event is not visible any more.")
        endpoint: Destination | None = None
        with suppress(NotFound):
            endpoint = await self._endpoints.get(caller, delivery.destination_id)
        sent = sent_request(
            delivery,
            attempt,
            event,
            None if endpoint is None else settings_of(endpoint),
            self._settings,
            caller=caller,
            now=self._gateway.clock.now(),
        )
        if sent.body is not None:
            await self._note_shown(caller, event)
        return Inspected(delivery, attempts, attempt, endpoint, sent)

    async def _note_shown(self, caller: Caller, event: Event) -> None:
        fields = groups_of(masked(caller, msgspec.to_builtins(dict(event.data))))
        if not fields:
            return
        packages = self._gateway.packages
        entry = AuditEntry.by(
            caller,
            "reveal",
            "attempt.viewed",
            event.subject,
            patient=packages.event_keys(event.account_id, event.subject, event.data),
            fields=fields,
            site=event.site,
            purpose="operations",
        )
        await self._gateway.audit.note([entry])

    async def statistics(self, caller: Caller, endpoint_id: str, hours: int) -> Statistics:
        """Return an endpoint's last ``hours`` by quarter hour, and its backlog."""
        if not 1 <= hours <= MAX_HOURS:
            raise InvalidInput(f"hours must be between 1 and {MAX_HOURS}.")
        endpoint = await self._endpoints.get(caller, endpoint_id)
        return await self.statistics_of(caller, endpoint, hours)

    async def statistics_of(
        self, caller: Caller, endpoint: Destination, hours: int, *, most: int = _MAX_ATTEMPTS
    ) -> Statistics:
        """Return the statistics of an endpoint that was already read."""
        until = self._gateway.clock.now()
        since = first_quarter(until, hours)
        log = self._gateway.delivery_log
        async with self._gateway.database.read() as connection:
            timings, is_whole = await log.timings(
                connection, caller, endpoint.id, since=since, most=most
            )
            waiting = await log.backlog(connection, endpoint.id, most=_MAX_WAITING)
        return statistics(timings, since, until, waiting, is_whole=is_whole)

    def learned(self, endpoint: Destination) -> list[Learned]:
        """Return the sent fields of each event type that the receiver subscribes to."""
        return [
            Learned(each, fields_of(each, settings_of(endpoint)))
            for each in self._gateway.catalog()
            if each.type != TEST_EVENT_TYPE.type and matches(endpoint.events, each.type)
        ]


def fields_of(event: EventType, settings: EndpointSettings | None = None) -> dict[str, str | None]:
    """Return the fields of an event type's data that are sent, each with its group, if any."""
    names = list(event.schema.get("properties", {}))
    renames: Mapping[str, str] = {}
    if settings is not None:
        renames = settings.rename_fields
        if settings.send_fields is not None:
            kept = {each.partition(".")[0] for each in settings.send_fields}
            names = [each for each in names if each in kept]
    return {renames.get(name, name): next(iter(groups_of({name: name})), None) for name in names}
