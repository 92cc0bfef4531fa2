"""Secret rotation: both secrets sign during the overlap, then only the new one."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Final

import msgspec

from gateway.plugin import Conflict, Destination, Gateway
from gateway_webhooks.mapping import SINK, settings_of, stored
from gateway_webhooks.settings import EndpointSettings

_PAGE_SIZE: Final = 500


def rotating(endpoint: Destination, fresh: str, now: datetime, ends_at: datetime) -> Destination:
    """Return the endpoint with ``fresh`` as its next secret; ``Conflict`` if it has one."""
    settings = settings_of(endpoint)
    if settings.next_secret is not None:
        raise Conflict("A rotation is already running; finish it, then start another.")
    settings = msgspec.structs.replace(
        settings, next_secret=fresh, next_secret_since=now, rotation_ends_at=ends_at
    )
    return _with(endpoint, settings)


def rotated(endpoint: Destination, now: datetime) -> Destination:
    """Return the endpoint with only the new secret; ``Conflict`` if there is none."""
    settings = settings_of(endpoint)
    if settings.next_secret is None:
        raise Conflict("No rotation is running; start one first.")
    return _with(endpoint, settings.ended(now))


def as_of(now: datetime, endpoint: Destination) -> Destination:
    """Return the endpoint as of ``now``, without a rotation that has ended."""
    settings = settings_of(endpoint)
    current = settings.as_of(now)
    return endpoint if current is settings else _with(endpoint, current)


async def ended_rotations(
    gateway: Gateway, *, page_size: int = _PAGE_SIZE
) -> AsyncIterator[Destination]:
    """Yield the endpoints of all accounts that still store a secret whose overlap has ended."""
    after_id = ""
    while True:
        async with gateway.database.read() as connection:
            found = await gateway.destinations.of_sink(
                connection, SINK, after_id=after_id, limit=page_size
            )
        now = gateway.clock.now()
        for each in found:
            if as_of(now, each) is not each:
                yield each
        if len(found) < page_size:
            return
        after_id = found[-1].id


def _with(endpoint: Destination, settings: EndpointSettings) -> Destination:
    return msgspec.structs.replace(endpoint, settings=stored(settings))
