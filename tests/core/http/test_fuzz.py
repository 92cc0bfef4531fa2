"""Whatever is sent, the answer is a 4xx in our one shape: never a 500, never an echo."""

import asyncio
import json
import string

import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.testing import GatewayHarness, Receiver

TOML = """
[limits]
orders_requests_per_minute = 1000000
orders_per_hour = 1000000
reads_per_minute = 1000000
updates_requests_per_minute = 1000000
[delivery]
allow_http = true
allow_networks = ["127.0.0.0/8"]
[plugins.json_api]
[plugins.webhooks]
"""
MARK = "Quackenbush"
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=20).map(lambda text: MARK + text)
    | st.sampled_from([MARK, f"+1305555{MARK}", "1e999999", "2026-99-99", "-0.001"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*string.ascii_lowercase]), inner, max_size=3)
    ),
    max_leaves=5,
)
FIELDS = [
    "patient_name",
    "patient_address",
    "patient_phone",
    "patient_email",
    "rx_number",
    "copay_amount",
    "priority",
    "requires_signature",
    "delivery_date",
    "notes",
    "external_order_id",
    "site",
    "metadata",
]
ORDERS = st.lists(st.dictionaries(st.sampled_from(FIELDS), VALUES) | VALUES, max_size=3)


async def test_no_order_however_strange_gives_a_500_or_is_echoed(harness, caplog):
    async with harness(TOML) as gateway:
        key = await gateway.issue_key()
        bodies = []

        @given(ORDERS)
        @settings(
            max_examples=150,
            deadline=None,
            derandomize=True,
            suppress_health_check=[HealthCheck.too_slow],
        )
        def collect(orders):
            bodies.append(json.dumps({"orders": orders}).encode())

        collect()
        for body in bodies:
            answer = await gateway.request("POST", "/api/webhook/orders", key, body)
            assert answer.status_code in {200, 400}, (answer.status_code, body)
            assert MARK not in answer.text, (answer.text, body)
    assert MARK not in caplog.text


async def test_the_whole_document_holds_against_requests_made_from_it(
    harness: type[GatewayHarness],
):
    """Every operation, driven by schemathesis from /openapi.json: no 5xx, answers as described."""
    async with Receiver(), harness(TOML) as gateway:
        key = await gateway.issue_key()
        document = (await gateway.get("/openapi.json")).json()
        await asyncio.to_thread(_drive, document, gateway.url, key)


def _drive(document, url, key):
    schema = schemathesis.openapi.from_dict(document)
    schema.config.base_url = url
    for each in schema.get_all_operations():
        operation = each.ok()

        @given(case=operation.as_strategy())
        @settings(
            max_examples=12,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        )
        def never_a_fault(case):
            response = case.call(headers={"X-API-Key": key})
            assert response.status_code < 500 or case.path == "/health/ready", response.text
            if response.status_code >= 400:
                assert "error" in response.json(), response.text
            assert "x-request-id" in response.headers

        never_a_fault()
