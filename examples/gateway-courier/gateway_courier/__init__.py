"""Packages to a courier's REST API: booked when they are ready, changed, cancelled."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

from gateway.plugin import API_VERSION, Gateway, HealthCheck, Sink, hookimpl
from gateway_courier.sender import SINK, Sender
from gateway_courier.settings import CourierDestination, CourierSettings


class Courier:
    """The plugin ``courier``."""

    api_version = API_VERSION
    Settings = CourierSettings

    def __init__(self, settings: CourierSettings, gateway: Gateway) -> None:
        self._sender = Sender(settings, gateway)

    @hookimpl
    def sinks(self) -> Sequence[Sink]:
        """Bring the way to the courier; ``gateway destinations add --sink courier`` uses it."""
        return [Sink(SINK, CourierDestination, self._sender.deliver)]

    @hookimpl
    def lifespan(self) -> Sequence[AbstractAsyncContextManager[object]]:
        """Close the connections when the gateway stops."""
        return [self._sender.client]

    @hookimpl
    def health_checks(self) -> Sequence[HealthCheck]:
        """Say whether the courier still lets us in; orders are taken all the same if it doesn't."""
        return [HealthCheck("courier", self._sender.health, decides_readiness=False)]
