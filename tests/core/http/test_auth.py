"""Authentication, rate limits, content types, and the shape of refusals."""

import asyncio

import pytest

from gateway.http.docs.style import POLICY

PLUGINS = "[plugins.json_api]\n"
ORDERS = "/api/webhook/orders"
GOOD = {"orders": [{"patient_name": "A. Smith", "patient_address": "1 Ocean Dr"}]}


@pytest.fixture
async def gateway(harness):
    async with harness(PLUGINS) as running:
        yield running


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        (None, "Send your API key in the X-API-Key header."),
        ("sk_live_wrong", "This API key is not valid; check it, or create a new one "),
        ("x" * 5000, "This API key is not valid; check it, or create a new one "),
    ],
)
async def test_without_a_valid_key_the_answer_is_401(gateway, key, sentence):
    answer = await gateway.post(ORDERS, key, GOOD)

    assert answer.status_code == 401
    assert answer.json()["error"].startswith(sentence)
    assert answer.json()["details"] == []


async def test_a_revoked_key_is_refused_from_the_next_request_on(gateway):
    made = await gateway.gateway.keys.issue("x", account_id="default", actor="test")
    assert (await gateway.post(ORDERS, made.key, GOOD)).status_code == 200

    await gateway.gateway.keys.revoke(made.id, actor="test")

    answer = await gateway.post(ORDERS, made.key, GOOD)
    assert answer.status_code == 401
    assert answer.json() == {
        "error": "This API key was revoked; create a new one (gateway keys create).",
        "code": "not_authenticated",
        "details": [],
    }


async def test_a_key_is_refused_before_the_body_is_read(gateway):
    reader, writer = await asyncio.open_connection("127.0.0.1", int(gateway.url.rsplit(":", 1)[1]))
    head = f"POST {ORDERS} HTTP/1.1\r\nHost: x\r\nX-API-Key: sk_live_no\r\n"
    writer.write(f"{head}Content-Type: application/json\r\nContent-Length: 900000\r\n\r\n".encode())

    status = await asyncio.wait_for(reader.readline(), 10)

    assert b"401" in status
    writer.close()
    await writer.wait_closed()


async def test_past_the_limit_the_answer_is_429_with_a_time_to_come_back(harness):
    async with harness("[limits]\norders_requests_per_minute = 3\n" + PLUGINS) as gateway:
        key, other = await gateway.issue_key(), await gateway.issue_key()
        statuses = [(await gateway.post(ORDERS, key, GOOD)).status_code for _ in range(3)]
        answer = await gateway.post(ORDERS, key, GOOD)
        untouched = await gateway.post(ORDERS, other, GOOD)

    assert statuses == [200, 200, 200]
    assert answer.status_code == 429
    seconds = int(answer.headers["retry-after"])
    assert 1 <= seconds <= 120
    assert answer.headers["ratelimit"] == f'"orders";r=0;t={seconds}'
    assert answer.headers["ratelimit-policy"] == '"orders";q=3;w=60'
    assert answer.json() == {
        "error": "The limit of 3 order requests per minute is reached; wait, then send it again.",
        "code": "rate_limited",
        "details": [],
    }
    assert untouched.status_code == 200


async def test_orders_an_hour_count_orders_and_not_requests(harness):
    async with harness("[limits]\norders_per_hour = 5\n" + PLUGINS) as gateway:
        key = await gateway.issue_key()
        three = {"orders": GOOD["orders"] * 3}
        first = await gateway.post(ORDERS, key, three)
        second = await gateway.post(ORDERS, key, three)
        third = await gateway.post(ORDERS, key, {"orders": GOOD["orders"] * 2})

    assert [first.status_code, second.status_code, third.status_code] == [200, 429, 200]
    assert second.headers["ratelimit-policy"] == '"orders_per_hour";q=5;w=3600'


async def test_reads_have_a_limit_of_their_own(harness):
    async with harness("[limits]\nreads_per_minute = 1\n" + PLUGINS) as gateway:
        key = await gateway.issue_key()
        first = await gateway.get("/api/packages", key)
        second = await gateway.post("/api/packages/search", key, {"rx_number": "1"})
        order = await gateway.post(ORDERS, key, GOOD)

    assert [first.status_code, second.status_code, order.status_code] == [200, 429, 200]


async def test_a_body_of_another_kind_is_415(gateway):
    key = await gateway.issue_key()
    headers = {"Content-Type": "application/x-www-form-urlencoded"}

    answer = await gateway.request("POST", ORDERS, key, b'{"orders":[]}', headers)

    assert answer.status_code == 415
    assert answer.json() == {
        "error": "Send the body with Content-Type: application/json.",
        "code": "unsupported_media",
        "details": [],
    }


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b'{"orders": 1}', b'{"orders": []}']
)
async def test_a_body_that_makes_no_sense_is_400_in_our_shape(gateway, body):
    key = await gateway.issue_key()

    answer = await gateway.request("POST", ORDERS, key, body)

    assert answer.status_code == 400
    assert set(answer.json()) == {"error", "code", "details"}


async def test_a_body_over_a_megabyte_is_413(gateway):
    key = await gateway.issue_key()

    answer = await gateway.request("POST", ORDERS, key, b" " * 1_000_001)

    assert answer.status_code == 413
    assert answer.json()["error"].startswith("The request body is larger")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/api/nowhere", 404),
        ("DELETE", "/api/packages", 405),
        ("GET", ORDERS, 405),
    ],
)
async def test_an_address_or_method_that_is_not_there_answers_in_our_shape(
    gateway, method, path, status
):
    answer = await gateway.request(method, path)

    assert answer.status_code == status
    assert list(answer.json()) == ["error", "code", "details"]
    assert "x-request-id" in answer.headers


async def test_a_fault_of_ours_is_500_with_an_id_that_is_in_the_log(harness, caplog):
    async with harness(PLUGINS) as gateway:
        key = await gateway.issue_key()

        async def broken(_submission):
            raise RuntimeError("Maria Rodriguez")

        gateway.gateway.intake.accept = broken
        answer = await gateway.post(ORDERS, key, GOOD)

    identity = answer.headers["x-request-id"]
    assert answer.status_code == 500
    assert answer.json()["error"].endswith(f"The log has it as request {identity}.")
    assert identity in caplog.text
    assert "RuntimeError" in caplog.text
    assert "Smith" not in caplog.text
    assert "Smith" not in answer.text


async def test_health_live_ready_and_the_docs_need_no_key(gateway):
    await asyncio.wait_for(_swept(gateway), 10)
    live = await gateway.get("/health/live")
    ready = await gateway.get("/health/ready")
    docs = await gateway.get("/docs")
    document = await gateway.get("/openapi.json")

    assert live.json() == {"status": "ok"}
    assert ready.status_code == 200
    assert ready.json()["checks"] == {
        "database": {"ok": True, "detail": "SQLite answers"},
        "engine": {"ok": True, "detail": "deliveries are moving"},
        "key file": {"ok": True, "detail": "the key file is as in memory"},
        "plugins": {"ok": True, "detail": "1 plugins loaded"},
        "queue:inbox": {"ok": True, "detail": "0 due, 0 in work, 0 dead letters"},
    }
    assert docs.headers["content-type"].startswith("text/html")
    assert document.json()["openapi"].startswith("3.1")
    assert ORDERS in document.json()["paths"]


async def test_an_address_is_described_with_the_forms_of_body_that_it_takes(harness):
    async with harness("[plugins.json_api]\n[plugins.csv]\n[plugins.rx_queue]\n") as gateway:
        paths = (await gateway.get("/openapi.json")).json()["paths"]

    def taken(path):
        content = paths[path]["post"]["requestBody"]["content"]
        return {media: each.get("schema") for media, each in content.items()}

    assert taken(ORDERS).keys() == {"application/json"}
    assert taken("/api/packages/import") == {"multipart/form-data": None}
    assert taken("/api/rx") == {
        "application/json": {"$ref": "#/components/schemas/PrescriptionIn"},
        "application/fhir+json": None,
    }


async def _swept(gateway):
    while gateway.gateway.engine.last_sweep_at is None:  # noqa: ASYNC110 - nothing tells
        await asyncio.sleep(0.01)


async def test_ready_turns_red_when_a_plugin_is_broken_or_the_database_is_gone(harness):
    async with harness("[plugins.json_api]\n[plugins.missing]\n") as gateway:
        ready = await gateway.get("/health/ready")

    assert ready.status_code == 503
    plugins = ready.json()["checks"]["plugins"]
    assert plugins["ok"] is False
    assert plugins["detail"] == ("failed to load: missing; the log and gateway check say why")


@pytest.mark.parametrize("path", ["/health/live", "/openapi.json", "/nowhere", ORDERS])
async def test_every_answer_has_the_security_headers(gateway, path):
    answer = await gateway.get(path)

    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; frame-anc")
    assert answer.headers["referrer-policy"] == "no-referrer"


async def test_the_docs_page_has_its_own_policy(gateway):
    answer = await gateway.get("/docs")

    assert answer.headers.get_list("content-security-policy") == [
        f"{POLICY}; frame-ancestors 'none'"
    ]
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
