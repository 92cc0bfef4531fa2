"""The core's own pages and panels, in one list: each family adds its line."""

from collections.abc import Mapping, Sequence

from gateway.dashboard.pages.audit import audit_pages
from gateway.dashboard.pages.emergency import emergency_pages
from gateway.dashboard.pages.events import events_pages
from gateway.dashboard.pages.first_steps import first_steps_pages, first_steps_panels
from gateway.dashboard.pages.health import health_pages
from gateway.dashboard.pages.inbox import inbox_pages
from gateway.dashboard.pages.keys import keys_pages
from gateway.dashboard.pages.me import me_pages
from gateway.dashboard.pages.package import package_pages
from gateway.dashboard.pages.packages import packages_pages
from gateway.dashboard.pages.patient_reports import patient_report_pages
from gateway.dashboard.pages.people import people_pages
from gateway.dashboard.pages.report import report_pages
from gateway.dashboard.pages.saved_views import saved_view_pages
from gateway.dashboard.pages.search import search_pages
from gateway.dashboard.pages.settings import settings_pages
from gateway.dashboard.pages.today import today_pages
from gateway.runtime import Gateway
from gateway.sdk.pages import Page, Panel, PanelPlace


def own_pages(gateway: Gateway) -> list[Page]:
    """Return the core's pages."""
    return [
        *today_pages(gateway),
        *packages_pages(gateway),
        *saved_view_pages(gateway),
        *package_pages(gateway),
        *report_pages(gateway),
        *events_pages(gateway),
        *first_steps_pages(gateway),
        *people_pages(gateway),
        *keys_pages(gateway),
        *audit_pages(gateway),
        *patient_report_pages(gateway),
        *emergency_pages(gateway),
        *health_pages(gateway),
        *inbox_pages(gateway),
        *settings_pages(gateway),
        *me_pages(gateway),
        *search_pages(gateway),
    ]


def own_panels(gateway: Gateway) -> Mapping[PanelPlace, Sequence[Panel]]:
    """Return the core's panels by place."""
    return {"today": first_steps_panels(gateway)}
