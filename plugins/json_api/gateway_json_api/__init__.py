"""Orders, packages and delivery updates over a JSON API."""

from collections.abc import Sequence

from litestar import Router

from gateway.plugin import API_VERSION, SOURCES, Gateway, OrderSource, hookimpl
from gateway_json_api.routes import router
from gateway_json_api.settings import JsonApiSettings


class JsonApi:
    """The plugin ``json_api``: the routes of orders, packages and delivery updates."""

    api_version = API_VERSION
    Settings = JsonApiSettings

    def __init__(self, settings: JsonApiSettings, gateway: Gateway) -> None:
        self._settings = settings
        self._gateway = gateway

    @hookimpl
    def http_routers(self) -> Sequence[Router]:
        """Register the routes."""
        return [router(self._gateway, self._settings)]

    @hookimpl
    def extensions(self, point: str) -> Sequence[object]:
        """Register the words for orders that came over the API."""
        return [OrderSource("json_api", "API")] if point == SOURCES else []
