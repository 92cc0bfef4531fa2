"""A secret is being replaced: both sign for a while, then the new one alone is left."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Final

import msgspec

from gateway.plugin import Conflict, Destination, Gateway
from gateway_webhooks.mapping import SINK, settings_of, stored
from gateway_webhooks.settings import EndpointSettings

_LOOKED_AT_ONCE: Final = 500


def rotating(endpoint: Destination, fresh: str, ends_at: datetime) -> Destination:
    """Return the endpoint with ``fresh`` riding along; raises ``Conflict`` while one does."""
    settings = settings_of(endpoint)
    if settings.next_secret is not None:
        raise Conflict("A rotation is running already; finish it, then start another.")
    settings = msgspec.structs.replace(settings, next_secret=fresh, rotation_ends_at=ends_at)
    return _with(endpoint, settings)


def rotated(endpoint: Destination) -> Destination:
    """Return the endpoint with the new secret alone; raises ``Conflict`` when there is none."""
    settings = settings_of(endpoint)
    if settings.next_secret is None:
        raise Conflict("No rotation is running; start one first.")
    return _with(endpoint, settings.ended())


def as_of(now: datetime, endpoint: Destination) -> Destination:
    """Return the endpoint as it is at ``now``: of a rotation that is over nothing is left."""
    settings = settings_of(endpoint)
    current = settings.as_of(now)
    return endpoint if current is settings else _with(endpoint, current)


async def over(gateway: Gateway) -> AsyncIterator[Destination]:
    """Yield the endpoints, every account's, that still hold a secret whose overlap has ended."""
    place = ""
    while True:
        async with gateway.database.read() as connection:
            found = await gateway.destinations.of_sink(
                connection, SINK, after_id=place, limit=_LOOKED_AT_ONCE
            )
        now = gateway.clock.now()
        for each in found:
            if as_of(now, each) is not each:
                yield each
        if len(found) < _LOOKED_AT_ONCE:
            return
        place = found[-1].id


def _with(endpoint: Destination, settings: EndpointSettings) -> Destination:
    return msgspec.structs.replace(endpoint, settings=stored(settings))
