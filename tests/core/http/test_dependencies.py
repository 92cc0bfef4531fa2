"""What a handler is provided with is there already: no request starts a task for it."""

from core.gateways import opened, sqlite_url
from litestar.routes import HTTPRoute

from gateway.http.app import create_litestar


async def test_dependencies_are_provided_one_after_the_other(tmp_path):
    async with opened(sqlite_url(tmp_path), tmp_path, toml="[plugins.json_api]\n") as gateway:
        app = create_litestar(gateway)

    batches = {
        len(batch)
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for _, model in route.route_handler_map.values()
        for batch in model.dependency_batches
    }
    assert batches == {1}
