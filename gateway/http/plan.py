"""``GET /api/plan``: the plan of the caller's account, and how much of it is used."""

from litestar import Response, Router, get
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler

from gateway.model.account import Caller
from gateway.model.plan import PlanUsage
from gateway.runtime import Gateway
from gateway.sdk.http import json_response


def plan_router(gateway: Gateway) -> Router:
    """Build the router; the gateway is open by the time a route is called."""
    return Router("/api", route_handlers=[_show_plan(gateway)])


def _show_plan(gateway: Gateway) -> HTTPRouteHandler:
    @get(
        "/plan",
        tags=["Plan"],
        summary="Show the plan and its usage",
        opt={"permission": "orders.create", "answer": PlanUsage},
    )
    async def show_plan(caller: NamedDependency[Caller]) -> Response[bytes]:
        """Show the account's plan, its features, and how much of each limit is used.

        `plan` is null for an account without a plan, which has no limits.

        ```bash
        curl $GATEWAY/api/plan -H "X-API-Key: $KEY"
        ```
        """
        async with gateway.database.read() as connection:
            return json_response(await gateway.plans.usage(connection, caller.account_id))

    return show_plan
