"""OpenTelemetry traces of requests and of the delivery attempts they cause.

Optional: needs ``pip install "rx-gateway[otel]"`` and ``[tracing] endpoint``. Without them
nothing is imported, and the cost is a comparison with ``None``.

A request's span continues the ``traceparent`` of its header, if any (W3C Trace Context,
https://www.w3.org/TR/trace-context/). Events store the ``traceparent`` of their request, so
that a delivery attempt, in another process and hours later, is a child span of it.
Spans hold ids, numbers and fixed words: never a path, a query, an address or a body.
"""

import asyncio
import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from gateway.clock import to_epoch_ms
from gateway.errors import ConfigurationError
from gateway.model.delivery import Outcome
from gateway.settings import TracingTable
from gateway.version import __version__

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.trace import Span

NOT_INSTALLED: Final = (
    'needs OpenTelemetry: pip install "rx-gateway[otel]", or leave the endpoint out'
)
_EXPORT_TIMEOUT_SECONDS: Final = 5.0
_NS_PER_MS: Final = 1_000_000
_SERVER_FAULT: Final = 500

Facts = Mapping[str, str | int | float | None]
"""Attributes of a span, by name; what is ``None`` is left out."""


class Tracing:
    """Writes the spans of one process, and passes them to ``processor``.

    Of the requests without a ``traceparent``, ``sample_ratio`` (0 to 1) are traced; for the
    others the sampling decision of the incoming trace holds.
    """

    def __init__(self, processor: "SpanProcessor", sample_ratio: float = 1.0) -> None:
        from opentelemetry import trace
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._otel = trace
        self._propagator = TraceContextTextMapPropagator()
        self._provider = TracerProvider(
            sampler=ParentBasedTraceIdRatio(sample_ratio),
            resource=Resource.create(
                {"service.name": "rx-gateway", "service.version": __version__}
            ),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("gateway", __version__)

    def begin(self, traceparent: str | None) -> "Span":
        """Start the span of a request with this ``traceparent``."""
        kind = self._otel.SpanKind.SERVER
        return self._tracer.start_span("request", self._parent(traceparent), kind)

    def answered(self, span: "Span", method: str, route: str, status: int, facts: Facts) -> None:
        """End the span of a request; ``route`` is its template, never its path."""
        span.update_name(f"{method} {route}")
        span.set_attributes(
            {
                "http.request.method": method,
                "http.route": route,
                "http.response.status_code": status,
                **_named(facts),
            }
        )
        if status >= _SERVER_FAULT:
            span.set_status(self._otel.StatusCode.ERROR)
        span.end()

    def attempted(self, traceparent: str | None, outcome: Outcome, facts: Facts) -> None:
        """Record the span of a finished delivery attempt; ``facts`` are its log fields."""
        start_ns = to_epoch_ms(outcome.started_at) * _NS_PER_MS
        kind = self._otel.SpanKind.CLIENT
        parent = self._parent(traceparent)
        span = self._tracer.start_span("deliver", parent, kind, _named(facts), start_time=start_ns)
        if not outcome.delivered:
            span.set_status(self._otel.StatusCode.ERROR)
        span.end(start_ns + outcome.duration_ms * _NS_PER_MS)

    async def close(self) -> None:
        """Flush pending spans; returns within seconds, even if the collector is unreachable."""
        await asyncio.to_thread(self._provider.shutdown)

    def _parent(self, traceparent: str | None) -> Any:
        """Return the parent context; empty for a missing or malformed ``traceparent``."""
        return self._propagator.extract({"traceparent": traceparent or ""})


def traceparent_of(span: "Span") -> str:
    """Return the ``traceparent`` of a span (W3C Trace Context)."""
    here = span.get_span_context()
    return f"00-{here.trace_id:032x}-{here.span_id:016x}-{here.trace_flags:02x}"


def is_installed() -> bool:
    """Return whether OpenTelemetry is installed."""
    try:
        importlib.import_module("opentelemetry.sdk.trace")
        importlib.import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    except ImportError:
        return False
    return True


def open_tracing(table: TracingTable) -> Tracing | None:
    """Start tracing, if the settings enable it.

    Raises ``ConfigurationError`` when OpenTelemetry isn't installed.
    """
    if table.endpoint is None:
        return None
    if not is_installed():
        raise ConfigurationError(f"[tracing] endpoint {NOT_INSTALLED}.")
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    exporter = OTLPSpanExporter(table.endpoint, timeout=_EXPORT_TIMEOUT_SECONDS)
    return Tracing(BatchSpanProcessor(exporter), table.sample_ratio)


def _named(facts: Facts) -> dict[str, str | int | float]:
    return {f"gateway.{name}": value for name, value in facts.items() if value is not None}
