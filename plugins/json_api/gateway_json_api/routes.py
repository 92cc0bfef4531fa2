"""The router of the JSON API."""

from litestar import Router

from gateway.plugin import Gateway, provided
from gateway_json_api import order_routes, package_routes, update_routes
from gateway_json_api.settings import JsonApiSettings


def router(gateway: Gateway, settings: JsonApiSettings) -> Router:
    """Build the router. The gateway is open by the time a route is called."""
    return Router(
        "/api",
        opt={"feature": None},  # orders by the API are in every plan
        route_handlers=[
            order_routes.create_orders,
            package_routes.list_packages,
            package_routes.search_packages,
            package_routes.show_package,
            package_routes.change_package,
            package_routes.show_timeline,
            package_routes.list_event_types,
            update_routes.report_update,
            update_routes.report_updates,
        ],
        dependencies={"gateway": provided(gateway), "settings": provided(settings)},
    )
