"""Plans over HTTP: 402 with the limit, 403 with the feature, and the usage."""

import pytest

TOML = """
[plugins.json_api]
[plugins.csv]
[plugins.webhooks]
[plans.basic]
features = ["webhooks"]
packages_per_month = 2
endpoints = 1
[accounts.default]
plan = "basic"
[delivery]
allow_http = true
allow_networks = ["127.0.0.0/8"]
"""
ORDER = {"patient_name": "Maria Rodriguez", "patient_address": "123 Main St"}


@pytest.fixture
async def gateway(harness):
    async with harness(TOML) as gateway:
        yield gateway


@pytest.fixture
async def key(gateway):
    return await gateway.issue_key()


async def test_orders_beyond_the_plan_are_402_when_none_fits(gateway, key):
    batch = {"orders": [ORDER] * 3}
    answer = await gateway.post("/api/webhook/orders", key, batch)
    assert answer.status_code == 200
    assert [each["status"] for each in answer.json()["results"]] == [
        "created",
        "created",
        "rejected",
    ]

    answer = await gateway.post("/api/webhook/orders", key, batch)

    assert answer.status_code == 402
    body = answer.json()
    assert (body["code"], body["limit_name"]) == ("plan_limit_reached", "packages_per_month")
    assert (body["limit"], body["used"]) == (2, 2)
    assert body["resets_at"].endswith("-01T00:00:00Z")
    assert [each["index"] for each in body["details"]] == [0, 1, 2]


async def test_a_plugin_that_is_not_on_the_plan_is_403_by_name_and_can_still_be_read(gateway, key):
    answer = await gateway.post("/api/packages/import", key, {})
    assert answer.status_code == 403
    assert answer.json()["code"] == "not_on_plan"
    assert answer.json()["details"] == [
        {"field": "feature", "message": "the plan doesn't include csv"}
    ]
    assert (await gateway.get("/api/packages", key)).status_code == 200


async def test_an_endpoint_beyond_the_plan_is_402_and_removing_one_makes_room(gateway, key):
    path, body = "/api/webhooks/endpoints", {"url": "http://127.0.0.1:9/hook"}
    first = await gateway.post(path, key, body)
    assert first.status_code == 201, first.text
    refused = await gateway.post(path, key, body)
    assert (refused.status_code, refused.json()["limit_name"]) == (402, "endpoints")
    assert (refused.json()["used"], refused.json()["resets_at"]) == (1, None)

    test_key = await gateway.issue_key(mode="test")
    assert (await gateway.post(path, test_key, body)).status_code == 201
    await gateway.request("DELETE", f"{path}/{first.json()['id']}", key)
    assert (await gateway.post(path, key, body)).status_code == 201


async def test_the_plan_and_its_usage_are_shown(gateway, key):
    await gateway.post("/api/webhook/orders", key, {"orders": [ORDER]})

    shown = (await gateway.get("/api/plan", key)).json()

    resets_at = shown["limits"][0].pop("resets_at")
    assert resets_at.endswith("-01T00:00:00Z")
    assert shown == {
        "account_id": "default",
        "plan": "basic",
        "features": ["webhooks"],
        "overage": "block",
        "limits": [
            {"limit_name": "packages_per_month", "limit": 2, "used": 1},
            {"limit_name": "endpoints", "limit": 1, "used": 0, "resets_at": None},
        ],
    }
