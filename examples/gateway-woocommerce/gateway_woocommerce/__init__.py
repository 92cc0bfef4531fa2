"""Orders from WooCommerce into rx-gateway."""

from collections.abc import Sequence

from litestar import Router

from gateway.plugin import API_VERSION, Gateway, hookimpl
from gateway_woocommerce.routes import router
from gateway_woocommerce.settings import WooCommerceSettings


class WooCommerce:
    """The plugin ``woocommerce``."""

    api_version = API_VERSION
    Settings = WooCommerceSettings

    def __init__(self, settings: WooCommerceSettings, gateway: Gateway) -> None:
        self._settings = settings
        self._gateway = gateway

    @hookimpl
    def http_routers(self) -> Sequence[Router]:
        """Bring ``POST /api/woocommerce/orders``."""
        return [router(self._gateway, self._settings)]
