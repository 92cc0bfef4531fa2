"""The addresses of the JSON API, in one router."""

from litestar import Router
from litestar.di import Provide

from gateway.plugin import Gateway
from gateway_json_api import order_routes, package_routes, update_routes
from gateway_json_api.settings import JsonApiSettings


def router(gateway: Gateway, settings: JsonApiSettings) -> Router:
    """Put the routes together over a gateway that will be open when they are called."""
    return Router(
        "/api",
        route_handlers=[
            order_routes.hand_in_orders,
            package_routes.list_packages,
            package_routes.search_packages,
            package_routes.look_up_package,
            package_routes.show_timeline,
            package_routes.list_event_types,
            update_routes.report_update,
            update_routes.report_updates,
        ],
        dependencies={
            "gateway": Provide(lambda: gateway, sync_to_thread=False),
            "settings": Provide(lambda: settings, sync_to_thread=False),
        },
    )
