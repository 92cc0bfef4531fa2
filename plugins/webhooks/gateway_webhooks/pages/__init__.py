"""The pages Endpoints and Deliveries, and those of one endpoint."""

from gateway.plugin import Gateway, Page, Panel
from gateway_webhooks.deliveries import Deliveries
from gateway_webhooks.endpoints import Endpoints
from gateway_webhooks.pages.data_page import DataPages
from gateway_webhooks.pages.delivery_page import DeliveryPages
from gateway_webhooks.pages.endpoint_forms import EndpointForms
from gateway_webhooks.pages.endpoint_page import EndpointPages
from gateway_webhooks.pages.hours import HoursPanel
from gateway_webhooks.pages.inspector import Inspector


def webhook_pages(gateway: Gateway, endpoints: Endpoints, deliveries: Deliveries) -> list[Page]:
    """Make the pages, which call the same services as the routes."""
    inspector = Inspector(gateway, deliveries)
    return [
        *EndpointPages(gateway, endpoints, deliveries, inspector).pages(),
        *EndpointForms(gateway, endpoints, deliveries).pages(),
        *DataPages(gateway, endpoints).pages(),
        *DeliveryPages(gateway, endpoints, deliveries, inspector).pages(),
    ]


def today_panels(gateway: Gateway, endpoints: Endpoints) -> list[Panel]:
    """Make the panels of Today."""
    return [HoursPanel(gateway, endpoints).panel()]
