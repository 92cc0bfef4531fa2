"""``GET /metrics``: counters and the backlog in Prometheus' text format 0.0.4.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from typing import TYPE_CHECKING, Final

from litestar import Response, Router, get
from litestar.handlers import HTTPRouteHandler

from gateway.runtime import Gateway

if TYPE_CHECKING:
    from gateway.http.metrics_page import MetricsPage

_MEDIA_TYPE: Final = "text/plain; version=0.0.4"  # Litestar adds the charset


def metrics_router(gateway: Gateway) -> Router:
    """Return the router of ``/metrics``."""
    page: MetricsPage | None = None

    @get(
        "/metrics", media_type="text/plain", opt={"public": True}, summary="Numbers for Prometheus"
    )
    async def metrics() -> Response[bytes]:
        """Return counters since the start and the current backlog, for Prometheus."""
        nonlocal page
        if page is None:
            # Most gateways are never asked: prometheus-client is two megabytes, and 20 ms.
            from gateway.http.metrics_page import MetricsPage

            page = MetricsPage(gateway)
        return Response(await page.text(), media_type=_MEDIA_TYPE)

    handlers: list[HTTPRouteHandler] = [metrics]
    return Router("/", route_handlers=handlers, tags=["Health"])
