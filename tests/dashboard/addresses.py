"""The addresses of all pages that need no parameter. Knows no pytest."""

from gateway.dashboard.own_pages import own_pages, own_panels
from gateway.dashboard.registry import Pages


def addresses_of(gateway):
    """Return the address of each page without parameters, live data first."""
    found = Pages(own_pages(gateway), own_panels(gateway), gateway.hooks)
    paths = [path for path, each in found.all.items() if "{" not in path and not each.page.step_up]
    return [f"/dashboard/{path}".rstrip("/") for path in sorted(paths)]
