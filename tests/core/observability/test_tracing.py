"""Traces: one picture of a request and of every try to deliver what came of it."""

import asyncio
import subprocess
import sys
from contextlib import asynccontextmanager

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from gateway.errors import ConfigurationError
from gateway.observability.tracing import Tracing, open_tracing, traceparent_of
from gateway.settings import TracingTable
from gateway.testing import Receiver

PLUGINS = """
[plugins.json_api]
[plugins.webhooks]
[delivery]
allow_http = true
allow_networks = ["127.0.0.0/8"]
retry_schedule_seconds = [0.01]
"""
ORDERS = "/api/webhook/orders"
GOOD = {"orders": [{"patient_name": "Maria Rodriguez", "patient_address": "1 Ocean Dr"}]}
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
ABOVE = {"traceparent": f"00-{TRACE}-{SPAN}-01"}


@asynccontextmanager
async def traced(harness, sample_ratio=1.0):
    """Run a gateway that is traced; yields it and what has its spans."""
    exporter = InMemorySpanExporter()
    async with harness(PLUGINS) as running:
        gateway = running.gateway
        tracing = Tracing(SimpleSpanProcessor(exporter), sample_ratio)
        gateway.tracing = gateway.dispatcher.tracing = tracing
        yield running, exporter


async def until_settled(running, receiver, count):
    """Wait for ``count`` webhooks, and until how they went is stored."""
    await receiver.wait_for(count)
    await running.gateway.engine.stop()


def named(exporter, name):
    found = [each for each in exporter.get_finished_spans() if each.name == name]
    return sorted(found, key=lambda each: each.start_time)


async def test_an_attempt_is_a_child_span_of_its_request(harness):
    async with Receiver() as receiver, traced(harness) as (running, exporter):
        key = await running.issue_key()
        added = await running.post("/api/webhooks/endpoints", key, {"url": receiver.url})
        answer = await running.post(ORDERS, key, GOOD, ABOVE)
        await until_settled(running, receiver, 1)
        [request] = named(exporter, f"POST {ORDERS}")
        [delivery] = named(exporter, "deliver")

    assert f"{request.context.trace_id:032x}" == TRACE
    assert f"{request.parent.span_id:016x}" == SPAN
    assert (request.kind, request.status.status_code) == (SpanKind.SERVER, StatusCode.UNSET)
    assert dict(request.attributes) == {
        "http.request.method": "POST",
        "http.route": ORDERS,
        "http.response.status_code": 200,
        "gateway.request_id": answer.headers["x-request-id"],
    }
    assert delivery.context.trace_id == request.context.trace_id
    assert delivery.parent.span_id == request.context.span_id
    assert (delivery.kind, delivery.status.status_code) == (SpanKind.CLIENT, StatusCode.UNSET)
    attributes = dict(delivery.attributes)
    assert attributes.pop("gateway.delivery_id").startswith("dlv_")
    assert delivery.end_time - delivery.start_time == (
        attributes.pop("gateway.duration_ms") * 1_000_000
    )
    assert attributes == {
        "gateway.destination_id": added.json()["id"],
        "gateway.event_id": receiver.received[0].json()["id"],
        "gateway.attempt": 1,
        "gateway.status": 200,
    }
    assert delivery.resource.attributes["service.name"] == "rx-gateway"


async def test_each_attempt_has_a_span_and_one_that_failed_is_marked(harness):
    async with Receiver([503, 404]) as receiver, traced(harness) as (running, exporter):
        key = await running.issue_key()
        await running.post("/api/webhooks/endpoints", key, {"url": receiver.url})
        await running.post(ORDERS, key, GOOD, ABOVE)
        await until_settled(running, receiver, 2)
        tries = named(exporter, "deliver")

    assert [each.attributes["gateway.attempt"] for each in tries] == [1, 2]
    assert [each.attributes["gateway.status"] for each in tries] == [503, 404]
    assert {each.status.status_code for each in tries} == {StatusCode.ERROR}
    assert {f"{each.context.trace_id:032x}" for each in tries} == {TRACE}


async def test_what_a_driver_reports_is_traced_to_its_webhook_too(harness):
    async with Receiver() as receiver, traced(harness) as (running, exporter):
        key = await running.issue_key()
        sent = {"url": receiver.url, "events": ["delivery.completed"]}
        await running.post("/api/webhooks/endpoints", key, sent)
        answer = await running.post(ORDERS, key, GOOD)
        [package_id] = answer.json()["package_ids"]
        path = f"/api/packages/{package_id}/events"
        await running.post(path, key, {"event": "delivery.completed"}, ABOVE)
        await until_settled(running, receiver, 1)
        [delivery] = named(exporter, "deliver")

    assert f"{delivery.context.trace_id:032x}" == TRACE


async def test_requests_that_are_stored_together_keep_their_traces_apart(harness):
    async with Receiver() as receiver, traced(harness) as (running, exporter):
        key = await running.issue_key()
        await running.post("/api/webhooks/endpoints", key, {"url": receiver.url})
        traces = [f"00-{number:032x}-{number:016x}-01" for number in range(1, 11)]
        posts = [running.post(ORDERS, key, GOOD, {"traceparent": each}) for each in traces]
        await asyncio.gather(*posts)
        await until_settled(running, receiver, 10)
        tries = named(exporter, "deliver")

    assert sorted(each.context.trace_id for each in tries) == list(range(1, 11))


async def test_a_test_event_belongs_to_the_request_that_asked_for_it(harness):
    async with Receiver() as receiver, traced(harness) as (running, exporter):
        key = await running.issue_key()
        added = await running.post("/api/webhooks/endpoints", key, {"url": receiver.url})
        path = f"/api/webhooks/endpoints/{added.json()['id']}/test"
        await running.post(path, key, None, ABOVE)
        await until_settled(running, receiver, 1)
        [delivery] = named(exporter, "deliver")

    assert f"{delivery.context.trace_id:032x}" == TRACE


@pytest.mark.parametrize("header", [{}, {"traceparent": "00-Maria-Rodriguez-01"}], ids=str)
async def test_without_a_usable_trace_a_request_begins_one(harness, header):
    async with traced(harness) as (running, exporter):
        await running.post(ORDERS, None, GOOD, header)
        [request] = exporter.get_finished_spans()

    assert request.parent is None
    assert request.attributes["http.response.status_code"] == 401


async def test_what_the_caller_chose_not_to_trace_is_not_traced(harness):
    async with Receiver() as receiver, traced(harness) as (running, exporter):
        key = await running.issue_key()
        await running.post("/api/webhooks/endpoints", key, {"url": receiver.url})
        exporter.clear()
        await running.post(ORDERS, key, GOOD, {"traceparent": f"00-{TRACE}-{SPAN}-00"})
        await until_settled(running, receiver, 1)

    assert exporter.get_finished_spans() == ()


async def test_a_ratio_of_nought_traces_only_what_comes_traced(harness):
    async with traced(harness, sample_ratio=0.0) as (running, exporter):
        await running.post(ORDERS, None, GOOD)
        await running.post(ORDERS, None, GOOD, ABOVE)
        [request] = exporter.get_finished_spans()

    assert f"{request.context.trace_id:032x}" == TRACE


async def test_what_machines_ask_every_few_seconds_is_not_traced(harness):
    async with traced(harness) as (running, exporter):
        for path in ("/health/live", "/health/ready", "/metrics"):
            await running.get(path)

    assert exporter.get_finished_spans() == ()


async def test_no_patient_data_is_in_a_span(harness):
    async with Receiver([500]) as receiver, traced(harness) as (running, exporter):
        key = await running.issue_key()
        await running.post("/api/webhooks/endpoints", key, {"url": receiver.url})
        await running.post(ORDERS, key, GOOD, {"tracestate": "name=Maria"})
        await running.post(f"{ORDERS}?name=Maria", key, GOOD)
        await running.post("/Maria/Rodriguez?name=Maria", key, GOOD)
        await running.post("/api/packages/search", key, {"patient_phone": "Maria"})
        await until_settled(running, receiver, 2)
        spans, address = exporter.get_finished_spans(), receiver.url

    assert {each.name for each in spans} >= {f"POST {ORDERS}", "POST unmatched", "deliver"}
    for each in spans:
        assert "Maria" not in each.to_json()
        assert address not in each.to_json()


async def test_a_fault_of_ours_is_marked(harness, monkeypatch):
    async with traced(harness) as (running, exporter):
        key = await running.issue_key()
        monkeypatch.setattr(running.gateway.packages, "page", None)
        answer = await running.get("/api/packages", key)
        [request] = exporter.get_finished_spans()

    assert answer.status_code == 500
    assert request.status.status_code == StatusCode.ERROR


@pytest.mark.slow
def test_without_an_endpoint_nothing_is_traced_and_nothing_is_imported():
    assert open_tracing(TracingTable()) is None
    code = (
        "import sys, gateway.http.app, gateway.runtime, gateway.cli.serve\n"
        # The API alone may be there: the Redis client looks for it.
        "print([name for name in sys.modules if name.startswith('opentelemetry.exporter')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


async def test_what_was_not_sent_yet_is_sent_at_the_end():
    async with Receiver() as collector:
        tracing = open_tracing(TracingTable(endpoint=f"{collector.url}/v1/traces"))
        span = tracing.begin(f"00-{TRACE}-{SPAN}-01")
        assert traceparent_of(span).startswith(f"00-{TRACE}-")
        tracing.answered(span, "GET", "/api/packages", 200, {"request_id": None})
        await tracing.close()
        [sent] = collector.received

    assert (sent.method, sent.path) == ("POST", "/v1/traces")
    assert bytes.fromhex(TRACE) in sent.body
    assert b"GET /api/packages" in sent.body


def test_an_endpoint_without_opentelemetry_is_refused_with_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(ConfigurationError) as refused:
        open_tracing(TracingTable(endpoint="http://127.0.0.1:4318/v1/traces"))

    assert refused.value.message == (
        '[tracing] endpoint needs OpenTelemetry: pip install "rx-gateway[otel]", or leave the '
        "endpoint out."
    )
