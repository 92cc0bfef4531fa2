"""Any input gets the documented answer: never a 500, never an echo of what was sent."""

import asyncio
import json
import string

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.specs.openapi.checks import positive_data_acceptance

from gateway.testing import GatewayHarness, Receiver

TOML = """
[http]
failed_keys_per_minute = 1000000
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
[plugins.csv]
[plugins.rx_queue]
"""
# Operations that refuse inputs which fit their schema, and why the schema can't say so. Every
# other operation accepts whatever its schema describes, and every other check is on everywhere.
_TEXTS = "texts of people: a phone number of its country, no control characters, decimals as text"
_ONE_OF = "exactly one of several fields has to be there"
UNSTATABLE = {
    ("POST", "/api/webhook/orders"): _TEXTS,
    ("PATCH", "/api/packages/{package_id}"): _TEXTS,
    ("POST", "/api/packages/{package_id}/events"): _TEXTS,
    ("POST", "/api/delivery-events"): _TEXTS,
    ("GET", "/api/day"): "a day of the years 2000 to 2100",
    ("POST", "/api/packages/search"): _ONE_OF,
    ("POST", "/api/packages/bulk"): "which fields it takes depends on its action",
    ("POST", "/api/packages/import"): "the file's part and its content",
    ("POST", "/api/packages/imports"): "the file's part and its content",
    ("PATCH", "/api/packages/imports/{import_id}/check"): "fields of orders are known by name",
    ("POST", "/api/webhooks/endpoints"): "which hosts and addresses may be called",
    ("PATCH", "/api/webhooks/endpoints/{endpoint_id}"): "which hosts and addresses may be called",
    ("POST", "/api/rx"): "any faulty prescription is answered with what is wrong in it",
    ("POST", "/api/rx/lease"): "a JSON schema's integer may be written 62.0",
    ("POST", "/api/rx/{queue_id}/result"): "the eight digits of a DIN, the codes of reasons",
    ("POST", "/api/keys"): "scopes and sites are those of this installation",
    ("PATCH", "/api/keys/{key_id}"): "scopes and sites are those of this installation",
    ("POST", "/api/audit/search"): "a JSON schema's integer may be written 62.0; RFC 3339 times",
    ("POST", "/api/audit/patient"): _ONE_OF,
    ("POST", "/api/audit/disclosures"): _ONE_OF,
}
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


@pytest.mark.slow
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
    named = set()
    for each in schema.get_all_operations():
        operation = each.ok()
        name = (operation.method.upper(), operation.path)
        named.add(name)
        _drive_operation(operation, key, [positive_data_acceptance] if name in UNSTATABLE else [])
    assert set(UNSTATABLE) <= named  # no operation is excused that there isn't


def _drive_operation(operation, key, excluded):
    @given(case=operation.as_strategy())
    @settings(
        max_examples=12,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    def as_documented(case):
        if isinstance(case.body, dict) and "wait_seconds" in case.body:
            case.body["wait_seconds"] = 0  # a long poll is no finding
        if case.query:
            case.query.pop("as_csv", None)  # a table instead of the described JSON
            for parameter, value in case.query.items():
                if isinstance(value, str):  # no address takes a NUL
                    case.query[parameter] = value.replace("\0", "")
        response = case.call_and_validate(
            headers={"X-API-Key": key}, excluded_checks=excluded, timeout=60
        )
        if response.status_code >= 400 and case.path != "/health/ready":
            assert set(response.json()) == {"error", "code", "details"}, response.text
        assert "x-request-id" in response.headers

    as_documented()


async def test_each_path_refuses_other_methods_and_names_its_own(harness):
    async with harness(TOML) as gateway:
        key = await gateway.issue_key()
        document = (await gateway.get("/openapi.json")).json()
        answers = {}
        for path, methods in document["paths"].items():
            allowed = {each.upper() for each in methods} | {"OPTIONS"}
            for method in {"GET", "POST", "PUT", "PATCH", "DELETE"} - allowed:
                answer = await gateway.request(method, path.replace("{", "").replace("}", ""), key)
                named = {each.strip() for each in answer.headers.get("allow", "").split(",")}
                answers[method, path] = (answer.status_code, named - {"OPTIONS"})
            for method in methods:
                answers.setdefault(("known", path), set()).add(method.upper())

    for (method, path), found in answers.items():
        if method != "known":
            # Two routes may share a path: /api/rx/lease is also a queue id of /api/rx/{id}.
            status, named = found
            assert status in {405, 404}, (method, path, status)
            if status == 405:
                assert answers["known", path] <= named, (method, path, named)
