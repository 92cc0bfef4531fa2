"""Each route declares the permission it needs, and one place enforces it."""

import httpx
import pytest
from litestar import Router, get

from gateway.errors import PluginError
from gateway.hookspecs import hookimpl
from gateway.http.app import create_litestar
from gateway.model.permission import Permission

PLUGINS = "[plugins.json_api]\n[plugins.webhooks]\n"


class Extra:
    """A plugin with one route, and a permission of its own."""

    def __init__(self, **options):
        self.options = options

    @hookimpl
    def permissions(self):
        return [Permission("extra.sync", "Start a sync.", ("manager",))]

    @hookimpl
    def http_routers(self):
        @get("/extra", opt=self.options, sync_to_thread=False)
        def show() -> None:
            """Show it."""

        return [Router("/api", route_handlers=[show])]


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({}, "GET /api/extra names no permission"),
        ({"permission": ()}, "GET /api/extra names no permission"),
        ({"permission": "extra.typo"}, "GET /api/extra needs extra.typo, which no plugin brings"),
        (
            {"permission": ("packages.read", "packages.raed")},
            "GET /api/extra needs packages.raed, which no plugin brings",
        ),
    ],
)
async def test_the_gateway_does_not_start_with_a_route_that_needs_no_known_permission(
    harness, options, fault
):
    made = harness(PLUGINS)
    made.gateway.hooks.register(Extra(**options), "extra")

    with pytest.raises(PluginError) as refused:
        async with made:
            pass

    assert fault in refused.value.message


@pytest.mark.parametrize(
    "options",
    [
        {"permission": "extra.sync"},
        {"permission": ("packages.read", "extra.sync")},
        {"permission": "any"},
        {"public": True},
    ],
)
async def test_a_route_needs_a_permission_any_key_or_none(harness, options):
    made = harness(PLUGINS)
    made.gateway.hooks.register(Extra(**options), "extra")

    async with made.gateway as gateway:
        assert create_litestar(gateway) is not None


async def test_a_key_without_a_plugins_permission_is_refused_by_its_name(harness):
    made = harness(PLUGINS)
    made.gateway.hooks.register(Extra(permission="extra.sync"), "extra")

    async with made as gateway:
        key = await gateway.issue_key(scopes=["orders"])
        answer = await gateway.get("/api/extra", key)

    assert answer.status_code == httpx.codes.FORBIDDEN
    assert answer.json() == {
        "error": "This key lacks the permission extra.sync; create one that has it "
        "(gateway keys create --scope extra.sync).",
        "code": "forbidden",
        "details": [{"message": "lacks the permission extra.sync", "field": "permission"}],
    }
