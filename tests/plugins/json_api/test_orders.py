"""Orders in: partial success, duplicates, idempotency, and what is refused."""

import asyncio

import pytest

PLUGINS = "[plugins.json_api]\n"
ORDERS = "/api/webhook/orders"
GOOD = {"patient_name": "A. Smith", "patient_address": "1 Ocean Dr, Miami Beach FL"}
SITES = """
[[sites]]
code = "main"
name = "Lakeside Pharmacy"
country = "CA"
[[sites]]
code = "north"
name = "Northgate Pharmacy"
country = "CA"
"""


@pytest.fixture
async def gateway(harness):
    async with harness(PLUGINS) as running:
        yield running


@pytest.fixture
async def key(gateway):
    return await gateway.issue_key()


async def test_one_order_gives_one_package_id_and_no_warnings(gateway, key):
    answer = await gateway.post(ORDERS, key, {"orders": [GOOD]})

    assert answer.status_code == 200
    body = answer.json()
    [package_id] = body["package_ids"]
    assert package_id.startswith("pkg_")
    assert body == {
        "created": 1,
        "package_ids": [package_id],
        "warnings": [],
        "results": [{"index": 0, "status": "created", "package_id": package_id}],
    }
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert len(answer.headers["x-request-id"]) == 16


async def test_of_a_hundred_orders_three_bad_ones_are_explained_and_the_rest_kept(gateway, key):
    orders = [{**GOOD, "external_order_id": f"SO-{number}"} for number in range(100)]
    orders[3] = {"patient_address": "1 Ocean Dr"}
    orders[50] = {**GOOD, "copay_amount": -1}
    orders[99] = {**GOOD, "priority": "yesterday", "requires_signature": "yes"}

    answer = await gateway.post(ORDERS, key, {"orders": orders})

    body = answer.json()
    assert answer.status_code == 200
    assert body["created"] == 97
    assert len(set(body["package_ids"])) == 97
    rejected = [each for each in body["results"] if each["status"] == "rejected"]
    assert rejected == [
        {
            "index": 3,
            "status": "rejected",
            "errors": [{"message": "patient_name is required", "field": "patient_name"}],
        },
        {
            "index": 50,
            "status": "rejected",
            "errors": [
                {"message": "copay_amount must be between 0 and 10000", "field": "copay_amount"}
            ],
        },
        {
            "index": 99,
            "status": "rejected",
            "errors": [{"message": "Expected bool | null, got str", "field": "requires_signature"}],
        },
    ]


async def test_a_hundred_and_one_orders_are_too_many(gateway, key):
    answer = await gateway.post(ORDERS, key, {"orders": [GOOD] * 101})

    assert answer.status_code == 400
    assert answer.json() == {
        "error": "orders must hold 1 to 100 entries.",
        "code": "invalid_input",
        "details": [{"message": "send 1 to 100 at a time", "field": "orders"}],
    }


async def test_when_no_order_is_acceptable_the_answer_is_400_with_every_reason(gateway, key):
    answer = await gateway.post(ORDERS, key, {"orders": [{}, 7]})

    assert answer.status_code == 400
    assert answer.json() == {
        "error": "None of the orders can be accepted.",
        "code": "invalid_input",
        "details": [
            {"message": "patient_name is required", "index": 0, "field": "patient_name"},
            {"message": "patient_address is required", "index": 0, "field": "patient_address"},
            {"message": "an order must be a JSON object", "index": 1},
        ],
    }


async def test_the_same_external_order_id_again_is_a_duplicate_without_a_second_event(gateway, key):
    order = {**GOOD, "external_order_id": "SO-1"}
    first = (await gateway.post(ORDERS, key, {"orders": [order]})).json()
    again = (await gateway.post(ORDERS, key, {"orders": [order, {**order, "notes": "x"}]})).json()

    package_id = first["package_ids"][0]
    assert again["created"] == 0
    assert again["package_ids"] == []
    assert again["results"] == [
        {"index": 0, "status": "duplicate", "package_id": package_id},
        {"index": 1, "status": "duplicate", "package_id": package_id},
    ]
    timeline = (await gateway.get(f"/api/packages/{package_id}/events", key)).json()
    assert [each["event"] for each in timeline["events"]] == ["package.created"]


async def test_an_idempotency_key_replays_the_first_answer(gateway, key):
    headers = {"Idempotency-Key": "req-1"}
    first = await gateway.post(ORDERS, key, {"orders": [GOOD, {}]}, headers)
    again = await gateway.post(ORDERS, key, {"orders": [GOOD, {}]}, headers)

    assert first.status_code == again.status_code == 200
    assert again.content == first.content
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    packages = (await gateway.get("/api/packages", key)).json()["packages"]
    assert len(packages) == 1


async def test_an_idempotency_key_with_another_body_is_422(gateway, key):
    headers = {"Idempotency-Key": "req-1"}
    await gateway.post(ORDERS, key, {"orders": [GOOD]}, headers)
    other = await gateway.post(ORDERS, key, {"orders": [GOOD, GOOD]}, headers)

    assert other.status_code == 422
    assert other.json()["error"].startswith("This Idempotency-Key was used with another")


@pytest.mark.parametrize("value", ["", "with space", "x" * 256])
async def test_an_idempotency_key_that_is_none_is_400(gateway, key, value):
    answer = await gateway.post(ORDERS, key, {"orders": [GOOD]}, {"Idempotency-Key": value})

    assert answer.status_code == 400
    assert answer.json()["error"] == "Idempotency-Key takes 1 to 255 visible ASCII characters."


async def test_many_at_once_with_one_idempotency_key_make_one_package(gateway, key):
    headers = {"Idempotency-Key": "req-1"}
    answers = await asyncio.gather(
        *(gateway.post(ORDERS, key, {"orders": [GOOD]}, headers) for _ in range(10))
    )

    assert {answer.status_code for answer in answers} <= {200, 409}
    packages = (await gateway.get("/api/packages", key)).json()["packages"]
    assert len(packages) == 1


async def test_unknown_fields_are_ignored_with_a_warning_that_names_them(gateway, key):
    order = {**GOOD, "color": "red", "Maria Rodriguez, 305-555-1234": 1}

    body = (await gateway.post(ORDERS, key, {"orders": [order]})).json()

    assert body["created"] == 1
    assert body["warnings"] == [
        {"message": "unknown field; it was ignored", "index": 0, "field": "color"},
        {"message": "unknown field; it was ignored", "index": 0},
    ]


async def test_a_phone_number_is_normalised_or_left_out_with_a_warning(gateway, key):
    orders = [
        {**GOOD, "patient_phone": "(305) 555-1234"},
        {**GOOD, "patient_phone": "call the daughter"},
    ]

    body = (await gateway.post(ORDERS, key, {"orders": orders})).json()

    packages = [(await gateway.get(f"/api/packages/{i}", key)).json() for i in body["package_ids"]]
    assert [each["patient_phone"] for each in packages] == ["+13055551234", None]
    message = "patient_phone is not a phone number; it was left out"
    assert body["warnings"] == [{"message": message, "index": 1, "field": "patient_phone"}]


async def test_an_order_must_name_its_site_when_there_are_several(harness):
    async with harness(PLUGINS + SITES) as gateway:
        key = await gateway.issue_key()
        orders = [GOOD, {**GOOD, "site": "north"}, {**GOOD, "site": "south"}]
        body = (await gateway.post(ORDERS, key, {"orders": orders})).json()
        at_north = await gateway.issue_key(site="north")
        own = await gateway.post(ORDERS, at_north, {"orders": [GOOD, {**GOOD, "site": "main"}]})

    names = "name one of this account's sites (main, north)"
    assert [each["status"] for each in body["results"]] == ["rejected", "created", "rejected"]
    assert body["results"][0]["errors"][0]["message"] == f"site is required: {names}"
    assert body["results"][2]["errors"][0]["message"] == names
    results = own.json()["results"]
    assert [each["status"] for each in results] == ["created", "rejected"]
    assert results[1]["errors"][0]["message"] == "this key belongs to another site"


async def test_two_sites_orders_with_the_same_id_are_never_merged(harness):
    async with harness(PLUGINS + SITES) as gateway:
        key = await gateway.issue_key()
        order = {**GOOD, "external_order_id": "1001"}
        await gateway.post(ORDERS, key, {"orders": [{**order, "site": "main"}]})
        answer = await gateway.post(ORDERS, key, {"orders": [{**order, "site": "north"}]})

    assert answer.status_code == 400
    assert answer.json()["details"] == [
        {
            "message": (
                "another site's order has this external_order_id; put the site into the id"
            ),
            "index": 0,
            "field": "external_order_id",
        }
    ]
