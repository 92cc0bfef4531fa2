"""Query parameters that a route doesn't declare are refused, and errors always have one shape."""

import pytest

PLUGINS = "[plugins.json_api]\n[plugins.webhooks]\n[plugins.rx_queue]\n[plugins.csv]"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/packages?stauts=Maria"),
        ("GET", "/api/packages?status=created&x="),
        ("POST", "/api/packages/search?limit=1"),
        ("GET", "/api/packages/pkg_1?site=main"),
        ("GET", "/api/event-types?x=1"),
        ("GET", "/api/webhooks/logs?endpoint=dst_1&outcom=failed"),
        ("GET", "/api/webhooks/endpoints?Maria=1"),
        ("POST", "/api/webhook/orders?dry_run=true"),
        ("GET", "/api/rx?sites=main"),
    ],
)
async def test_an_unknown_query_parameter_is_refused(harness, method, path):
    async with harness(PLUGINS) as gateway:
        key = await gateway.issue_key()
        answer = await gateway.request(method, path, key, {} if method == "POST" else None)

    assert answer.status_code == 400
    assert answer.json()["code"] == "invalid_input"
    assert "unknown query parameter" in answer.json()["details"][0]["message"]
    assert "Maria" not in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/api/packages?status=created&site=main&source=csv&limit=5&since=2026-01-01T00:00:00Z",
        "/api/webhooks/logs?outcome=failed&limit=5",
        "/api/rx?status=queued",
        "/health/live?probe=1",
    ],
)
async def test_declared_parameters_and_other_pages_pass(harness, path):
    async with harness(PLUGINS) as gateway:
        answer = await gateway.get(path, await gateway.issue_key())

    assert answer.status_code == 200


async def test_the_error_answer_of_every_route_has_the_one_shape(harness):
    """With a wrong body, a wrong id, an unknown parameter, and without a key."""
    async with harness(PLUGINS) as gateway:
        key = await gateway.issue_key()
        document = (await gateway.get("/openapi.json")).json()
        answers = []
        for template, methods in document["paths"].items():
            if not template.startswith("/api/"):
                continue
            path = template
            for name in ("package", "endpoint", "delivery", "recovery", "queue", "import", "order"):
                path = path.replace(f"{{{name}_id}}", "no_such_id")
            for method in methods:
                call = method.upper()
                answers += [
                    await gateway.request(call, path, None, b"[" if call != "GET" else None),
                    await gateway.request(call, path, key, b"[" if call != "GET" else None),
                    await gateway.request(call, f"{path}?unknown=1", key),
                    await gateway.request("TRACE", path, key),
                ]
    errors = [each.json() for each in answers if each.status_code >= 400]

    assert len(errors) > 50
    assert {type(each["error"]) for each in errors} == {str}
    assert {type(each["code"]) for each in errors} == {str}
    assert {type(each["details"]) for each in errors} == {list}
