"""Traces from a real server and a real worker arrive at a collector as one picture."""

import time

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from processes import TOML, GatewayProcess
from waiting import PATIENCE_SECONDS

from gateway.testing import Receiver

pytestmark = pytest.mark.slow

TRACE = "0af7651916cd43dd8448eb211c80319c"
ABOVE = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
ORDER = {"patient_name": "Maria Rodriguez", "patient_address": "1 Ocean Dr"}


def spans_of(collector):
    """Return the spans of our trace that a collector was sent, by name."""
    found = {}
    for received in collector.received:
        assert received.path == "/v1/traces"
        assert b"Maria" not in received.body
        sent = ExportTraceServiceRequest.FromString(received.body)
        for of_resource in sent.resource_spans:
            for of_scope in of_resource.scope_spans:
                for span in of_scope.spans:
                    if span.trace_id.hex() == TRACE:
                        found[span.name] = span
    return found


async def hand_in(gateway, receiver):
    """Hand an order in that is traced, and wait until its webhook has arrived."""
    key = (await gateway.json("keys", "create", "--name", "test", "--scope", "all"))["key"]
    await gateway.json("endpoints", "add", receiver.url)
    headers = {"X-API-Key": key, **ABOVE}
    async with httpx.AsyncClient(headers=headers, timeout=PATIENCE_SECONDS) as http:
        answer = await http.post(f"{gateway.url}/api/webhook/orders", json={"orders": [ORDER]})
    assert answer.status_code == 200, answer.text
    await receiver.wait_for(1)


@pytest.mark.long
async def test_what_a_worker_delivers_stands_below_what_a_server_took_in(
    tmp_path, postgres_url, redis_url
):
    (tmp_path / "worker").mkdir()
    shared = TOML.replace("port = 0", f'port = 0\ndata_dir = "{tmp_path / "data"}"')
    shared += f'\n[database]\nurl = "{postgres_url}"\n[redis]\nurl = "{redis_url}"\n'
    async with Receiver() as receiver, Receiver() as of_server, Receiver() as of_worker:
        served = f'{shared}[tracing]\nendpoint = "{of_server.url}/v1/traces"\n'
        worked = f'{shared}[tracing]\nendpoint = "{of_worker.url}/v1/traces"\n'
        async with (
            GatewayProcess(tmp_path, served) as gateway,
            GatewayProcess(tmp_path / "worker", worked, ("worker",)),
        ):
            await hand_in(gateway, receiver)
        # What was not sent yet is sent at the end
        request = spans_of(of_server)["POST /api/webhook/orders"]
        delivery = spans_of(of_worker)["deliver"]

    assert delivery.parent_span_id == request.span_id


async def test_a_collector_that_is_away_holds_nothing_up(tmp_path):
    toml = TOML + '\n[tracing]\nendpoint = "http://127.0.0.1:9/v1/traces"\n'
    async with Receiver() as receiver, GatewayProcess(tmp_path, toml) as gateway:
        await hand_in(gateway, receiver)
        began = time.monotonic()
        code = await gateway.stop()

    assert code == 0
    assert time.monotonic() - began < 45  # the exporter by itself would go on for a minute
