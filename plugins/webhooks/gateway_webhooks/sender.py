"""The sink: writes a delivery, dials the endpoint, says how it went."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple

from gateway.plugin import (
    Batch,
    ClaimedDelivery,
    Clock,
    InvalidInput,
    Outcome,
    Unavailable,
    __version__,
)
from gateway_webhooks.client import IPAddress, PinnedClient, Reply, Target
from gateway_webhooks.formats import write
from gateway_webhooks.guard import AddressPolicy, Resolver, SystemResolver, check_url, resolve
from gateway_webhooks.settings import EndpointSettings, WebhooksSettings

USER_AGENT: Final = f"rx-gateway/{__version__}"
_GONE: Final = 410
# How long checked addresses may be dialled before the name is looked up and checked anew.
_ADDRESSES_KEPT_SECONDS: Final = 5.0
_MOST_KEPT: Final = 1024


class _Admitted(NamedTuple):
    target: Target
    addresses: Sequence[IPAddress]
    until: float


class Sender:
    """Delivers webhooks. The address that was checked is the address that is dialled."""

    def __init__(
        self,
        settings: WebhooksSettings,
        policy: AddressPolicy,
        clock: Clock,
        resolver: Resolver | None = None,
    ) -> None:
        self._settings = settings
        self._policy = policy
        self._clock = clock
        self._resolver = resolver or SystemResolver()
        self._client = PinnedClient(clock, USER_AGENT)
        self._admitted: dict[str, _Admitted] = {}

    async def deliver(self, batch: Batch) -> Sequence[Outcome]:
        """Try each delivery of the batch once."""
        if len(batch.deliveries) == 1:
            return [await self._try(batch.deliveries[0], batch)]
        return await asyncio.gather(*(self._try(each, batch) for each in batch.deliveries))

    async def _try(self, delivery: ClaimedDelivery, batch: Batch) -> Outcome:
        started_at = self._clock.now()
        reply = await self._post(delivery, batch.settings, batch.timeout_seconds, started_at)
        return Outcome(
            delivery_id=delivery.id,
            delivered=reply.status is not None and 200 <= reply.status < 300,  # noqa: PLR2004
            started_at=started_at,
            duration_ms=reply.duration_ms,
            status=reply.status,
            error=reply.error,
            excerpt=reply.excerpt,
            retry_after_seconds=retry_after_seconds(reply.retry_after, self._clock.now()),
            gone=reply.status == _GONE,
        )

    async def _post(
        self,
        delivery: ClaimedDelivery,
        endpoint: EndpointSettings,
        timeout_seconds: float,
        now: datetime,
    ) -> Reply:
        began = self._clock.monotonic_seconds()
        try:
            admitted = await self._admit(endpoint.url, timeout_seconds)
        except InvalidInput:
            return Reply(error="refused_address", duration_ms=self._ms_since(began))
        except Unavailable:
            return Reply(error="dns", duration_ms=self._ms_since(began))
        # A host with several addresses is tried at the next one next time.
        address = admitted.addresses[(delivery.attempt - 1) % len(admitted.addresses)]
        message = write(delivery, endpoint, self._settings, now)
        left = timeout_seconds - (self._clock.monotonic_seconds() - began)
        return await self._client.post(
            admitted.target, address, message.headers, message.body, left
        )

    async def _admit(self, url: str, timeout_seconds: float) -> _Admitted:
        now = self._clock.monotonic_seconds()
        known = self._admitted.get(url)
        if known is not None and now < known.until:
            return known
        target = check_url(url, self._policy)
        addresses = await resolve(target, self._policy, self._resolver, timeout_seconds)
        if len(self._admitted) >= _MOST_KEPT:
            self._admitted.clear()
        admitted = _Admitted(target, addresses, now + _ADDRESSES_KEPT_SECONDS)
        self._admitted[url] = admitted
        return admitted

    def _ms_since(self, began: float) -> int:
        return int((self._clock.monotonic_seconds() - began) * 1000)


def retry_after_seconds(header: str | None, now: datetime) -> float | None:
    """Read ``Retry-After``: whole seconds or a date (RFC 9110, section 10.2.3)."""
    if header is None:
        return None
    text = header.strip()
    if text.isdecimal() and text.isascii():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # OverflowError: a year of twenty digits
        return None
    if moment.tzinfo is None:  # the old asctime form says no zone and means UTC
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())
