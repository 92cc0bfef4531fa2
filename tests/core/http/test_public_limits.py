"""A limit of a public route counts by the sender's address, for it has no key."""

import pytest
from litestar import Response, Router, post
from litestar.params import RawBody

from gateway.plugin import hookimpl, json_response

TOML = """
[plugins.json_api]
[limits]
orders_requests_per_minute = 2
"""


@post("/hook", opt={"public": True, "limit": "orders"}, summary="Take a webhook")
async def hook(body: RawBody) -> Response[bytes]:
    """Take a webhook."""
    return json_response({"bytes": len(body)})


@post("/open", opt={"public": True}, summary="Take anything")
async def free() -> Response[bytes]:
    """Take anything."""
    return json_response({})


class acme:  # noqa: N801 - it is registered by this name
    @hookimpl
    def http_routers(self):
        return [Router("/api/acme", route_handlers=[hook, free])]


@pytest.fixture
async def gateway(harness):
    made = harness(TOML + '[http]\ntrusted_proxies = ["127.0.0.1"]\n')
    made.gateway.hooks.register(acme(), "acme")
    async with made:
        yield made


async def statuses(gateway, path, address, times):
    """Post from ``address``, as a trusted proxy names it."""
    return [
        (
            await gateway.post(f"/api/acme/{path}", None, {}, headers={"X-Forwarded-For": address})
        ).status_code
        for _ in range(times)
    ]


async def test_a_public_route_with_a_limit_refuses_an_address_that_exceeds_it(gateway):
    assert await statuses(gateway, "hook", "203.0.113.7", 2) == [200, 200]

    refused = await gateway.post(
        "/api/acme/hook", None, {}, headers={"X-Forwarded-For": "203.0.113.7"}
    )

    assert refused.status_code == 429
    assert refused.json()["code"] == "rate_limited"
    assert int(refused.headers["retry-after"]) >= 1


async def test_another_address_and_a_key_have_limits_of_their_own(gateway):
    await statuses(gateway, "hook", "203.0.113.7", 3)

    assert await statuses(gateway, "hook", "203.0.113.8", 1) == [200]
    key = await gateway.issue_key()
    orders = {"orders": [{"patient_name": "Maria", "patient_address": "123 Main St"}]}
    headers = {"X-Forwarded-For": "203.0.113.7"}
    assert (await gateway.post("/api/webhook/orders", key, orders, headers)).status_code == 200


async def test_a_public_route_without_a_limit_counts_nothing(gateway):
    assert await statuses(gateway, "open", "203.0.113.7", 5) == [200] * 5
