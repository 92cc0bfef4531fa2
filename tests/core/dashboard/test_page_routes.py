"""The address of a page or an action leads to it, in live and in test mode."""

import pytest
from litestar.exceptions import MethodNotAllowedException

from gateway.dashboard.page_routes import PageRoutes
from gateway.dashboard.registry import OwnedPage
from gateway.errors import PluginError
from gateway.sdk.pages import Action, Page


async def handler(request):
    return request


def page(path, *actions):
    made = tuple(Action(path=each, permission="stock.change", handler=handler) for each in actions)
    return OwnedPage(
        Page(path=path, title="Stock", permission="stock.read", handler=handler, actions=made),
        "stock",
    )


ROUTES = PageRoutes(
    [
        page(""),
        page("stock", "", "count"),
        page("stock/new"),
        page("stock/{item_id}", "move"),
        page("{kind}/report"),
    ]
)


@pytest.mark.parametrize("mode", ["", "/test"])
@pytest.mark.parametrize(
    ("method", "path", "found", "parameters"),
    [
        ("GET", "", "", {}),
        ("GET", "/stock", "/stock", {}),
        ("GET", "/stock/", "/stock", {}),
        ("POST", "/stock", "/stock", {}),
        ("POST", "/stock/count", "/stock/count", {}),
        ("GET", "/stock/new", "/stock/new", {}),
        ("GET", "/stock/i7", "/stock/{item_id}", {"item_id": "i7"}),
        ("POST", "/stock/i7/move", "/stock/{item_id}/move", {"item_id": "i7"}),
        # "stock" is written out elsewhere, but only the parameter has a report.
        ("GET", "/stock/report", "/stock/{item_id}", {"item_id": "report"}),
        ("GET", "/drugs/report", "/{kind}/report", {"kind": "drugs"}),
    ],
)
def test_an_address_leads_to_its_page(mode, method, path, found, parameters):
    route, values = ROUTES.find(method, f"/dashboard{mode}{path}")

    assert (route.method, route.path, values) == (method, f"/dashboard{mode}{found}", parameters)
    wanted = "stock.read" if method == "GET" else "stock.change"
    assert route.options["permission"] == wanted


def test_a_part_that_leads_nowhere_is_tried_as_a_parameter():
    routes = PageRoutes([page("stock/new/label"), page("{kind}/{item_id}/history")])

    route, values = routes.find("GET", "/dashboard/stock/new/history")

    assert route.path == "/dashboard/{kind}/{item_id}/history"
    assert values == {"kind": "stock", "item_id": "new"}


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "path", ["/nowhere", "/stock/i7/move/on", "/test/nowhere", "/stock" * 9000]
)
def test_an_address_of_no_page_has_no_page(method, path):
    route, values = ROUTES.find(method, f"/dashboard{path}")

    assert (route.owned, route.action, values) == (None, None, {})


def test_an_address_without_the_method_names_the_methods_that_it_has():
    with pytest.raises(MethodNotAllowedException) as caught:
        ROUTES.find("POST", "/dashboard/stock/new")
    assert caught.value.headers == {"allow": "GET"}


@pytest.mark.parametrize(
    "pages",
    [
        [page("stock", "new"), page("stock/new", "")],
        [page("stock", "new", "new")],
        [page("stock/{item_id}", "move"), page("stock/{name}/move", "")],
    ],
)
def test_two_actions_of_one_address_are_refused_at_the_start(pages):
    with pytest.raises(PluginError, match=r"plugin stock brings POST /dashboard/stock/.* has as "):
        PageRoutes(pages)
