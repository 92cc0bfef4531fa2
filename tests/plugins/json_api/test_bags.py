"""Bags over the JSON API: several prescriptions in, one package with all their numbers out."""

import pytest

PLUGINS = """
[limits]
reads_per_minute = 100000
[plugins.json_api]
"""
ORDERS = "/api/webhook/orders"
ORDER = {"patient_name": "Maria Rodriguez", "patient_address": "123 Main St, Miami, FL 33178"}
THREE = [
    {"rx_number": "RX-1", "fill_number": 2, "filled_on": "2026-04-19", "copay_amount": 4.5},
    {"rx_number": "RX-2", "copay_amount": 8, "refrigerated": True},
    {"rx_number": "RX-3", "partial": True, "controlled": True},
]
CANCELLED = "cancel_prescriptions[0].rx_number"
SHOWN = [
    {
        "rx_number": "RX-1",
        "fill_number": 2,
        "filled_on": "2026-04-19",
        "copay_amount": 4.5,
        "partial": False,
        "controlled": False,
        "refrigerated": False,
    },
    {
        "rx_number": "RX-2",
        "fill_number": None,
        "filled_on": None,
        "copay_amount": 8.0,
        "partial": False,
        "controlled": False,
        "refrigerated": True,
    },
    {
        "rx_number": "RX-3",
        "fill_number": None,
        "filled_on": None,
        "copay_amount": None,
        "partial": True,
        "controlled": True,
        "refrigerated": False,
    },
]


@pytest.fixture
async def gateway(harness):
    async with harness(PLUGINS) as running:
        yield running


@pytest.fixture
async def key(gateway):
    return await gateway.issue_key()


async def create(gateway, key, **changes):
    answer = await gateway.post(ORDERS, key, {"orders": [{**ORDER, **changes}]})
    assert answer.status_code == 200, answer.text
    return answer.json()["package_ids"][0]


async def shown(gateway, key, package_id):
    return (await gateway.get(f"/api/packages/{package_id}", key)).json()


async def listed(gateway, key, **wanted):
    query = "&".join(f"{name}={value}" for name, value in wanted.items())
    answer = await gateway.get(f"/api/packages?{query}", key)
    assert answer.status_code == 200, answer.text
    return {each["id"] for each in answer.json()["packages"]}


async def test_three_prescriptions_are_one_package_with_the_first_number_and_the_sum(gateway, key):
    package_id = await create(gateway, key, prescriptions=THREE)

    body = await shown(gateway, key, package_id)

    assert (body["rx_number"], body["copay_amount"]) == ("RX-1", 12.5)
    assert body["prescriptions"] == SHOWN


async def test_each_of_its_numbers_finds_the_bag(gateway, key):
    package_id = await create(gateway, key, prescriptions=THREE)

    for number in ("RX-1", "rx-2", "RX-3"):
        answer = await gateway.post("/api/packages/search", key, {"rx_number": number})
        assert [each["id"] for each in answer.json()["packages"]] == [package_id]


async def test_an_order_without_prescriptions_is_shown_as_it_always_was(gateway, key):
    package_id = await create(gateway, key, rx_number="RX-1", copay_amount=12.5)

    body = await shown(gateway, key, package_id)

    assert body["rx_number"] == "RX-1"
    assert not {"prescriptions", "driver_id", "needs_person"} & body.keys()


async def test_a_number_and_a_sum_that_disagree_are_refused_and_nothing_is_guessed(gateway, key):
    order = {**ORDER, "prescriptions": THREE, "rx_number": "RX-2", "copay_amount": 12}

    answer = await gateway.post(ORDERS, key, {"orders": [order]})

    assert answer.status_code == 400
    assert answer.json()["details"] == [
        {
            "message": "rx_number must be that of the first of prescriptions, or left out",
            "index": 0,
            "field": "rx_number",
        },
        {
            "message": "copay_amount must be the sum of the copays in prescriptions, or left out",
            "index": 0,
            "field": "copay_amount",
        },
    ]


async def test_every_fault_of_every_prescription_is_named(gateway, key):
    faulty = [
        {"fill_number": "two"},
        "RX-2",
        {"rx_number": "RX-3", "copay_amount": "much", "partial": 1},
        *({"rx_number": f"RX-{number}"} for number in range(4, 52)),
    ]

    answer = await gateway.post(ORDERS, key, {"orders": [{**ORDER, "prescriptions": faulty}]})

    assert answer.status_code == 400
    found = [(each["field"], each["message"]) for each in answer.json()["details"]]
    assert found == [
        ("prescriptions[0].rx_number", "rx_number is required"),
        ("prescriptions[0].fill_number", "Expected int | null, got str"),
        ("prescriptions[1]", "a prescription must be a JSON object"),
        ("prescriptions[2].copay_amount", "Invalid decimal string"),
        ("prescriptions[2].partial", "Expected bool | null, got int"),
        ("prescriptions", "an order has at most 50 prescriptions"),
    ]


async def test_an_unknown_field_of_a_prescription_is_a_warning(gateway, key):
    order = {**ORDER, "prescriptions": [{"rx_number": "RX-1", "copay": 4.5}]}

    answer = await gateway.post(ORDERS, key, {"orders": [order]})

    assert answer.json()["warnings"] == [
        {
            "message": "unknown field; it was ignored",
            "index": 0,
            "field": "prescriptions[0].copay",
        }
    ]


async def test_lists_are_narrowed_by_day_priority_driver_and_flag(gateway, key):
    bag = await create(gateway, key, prescriptions=THREE, delivery_date="2026-04-20")
    stat = await create(gateway, key, priority="stat", requires_signature=True)
    for package_id, event in ((bag, "delivery.assigned"), (stat, "delivery.failed")):
        update = {"event": event, "driver_id": f"drv_{event[-1]}"}
        answer = await gateway.post(f"/api/packages/{package_id}/events", key, update)
        assert answer.status_code == 200

    assert await listed(gateway, key, delivery_day="2026-04-20") == {bag}
    assert await listed(gateway, key, priority="stat") == {stat}
    assert await listed(gateway, key, priority="routine") == {bag}
    assert await listed(gateway, key, driver_id="drv_d") == {bag, stat}
    assert await listed(gateway, key, driver_id="drv_d", status="failed") == {stat}
    assert await listed(gateway, key, flag="signature") == {stat}
    assert await listed(gateway, key, flag="refrigerated") == {bag}
    assert await listed(gateway, key, flag="controlled") == {bag}
    assert await listed(gateway, key, flag="needs_person") == {stat}
    body = await shown(gateway, key, stat)
    assert (body["driver_id"], body["needs_person"]) == ("drv_d", True)


@pytest.mark.parametrize("query", ["delivery_day=soon", "priority=now", "flag=cold"])
async def test_a_filter_that_cannot_be_is_refused(gateway, key, query):
    answer = await gateway.get(f"/api/packages?{query}", key)

    assert answer.status_code == 400
    assert query.split("=")[1] not in answer.text


async def test_cancelling_one_leaves_two_and_the_right_copay(gateway, key):
    package_id = await create(gateway, key, prescriptions=THREE)

    answer = await gateway.request(
        "PATCH",
        f"/api/packages/{package_id}",
        key,
        {"cancel_prescriptions": [{"rx_number": "RX-1", "fill_number": 2}]},
    )

    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["changed"] == ["rx_number", "copay_amount", "prescriptions"]
    timeline = (await gateway.get(f"/api/packages/{package_id}/events", key)).json()["events"]
    assert (timeline[-1]["id"], timeline[-1]["event"]) == (body["event_id"], "package.updated")
    after = await shown(gateway, key, package_id)
    assert (after["rx_number"], after["copay_amount"]) == ("RX-2", 8.0)
    assert after["prescriptions"] == SHOWN[1:]
    gone = await gateway.post("/api/packages/search", key, {"rx_number": "RX-1"})
    assert gone.json()["packages"] == []


@pytest.mark.parametrize(
    ("change", "status", "fields"),
    [
        ({}, 400, []),
        ({"copay_amount": 3}, 400, ["copay_amount"]),
        ({"cancel_prescriptions": [{"rx_number": "RX-9"}]}, 400, [CANCELLED]),
        ({"cancel_prescriptions": [{"rx": "RX-1"}]}, 400, ["cancel_prescriptions[0]"]),
        ({"cancel_prescriptions": [{"rx_number": f"RX-{each}"} for each in (1, 2, 3)]}, 409, []),
        ({"cancel": ["RX-1"]}, 400, [None]),
    ],
)
async def test_a_change_that_cannot_be_says_why(gateway, key, change, status, fields):
    package_id = await create(gateway, key, prescriptions=THREE)

    answer = await gateway.request("PATCH", f"/api/packages/{package_id}", key, change)

    assert answer.status_code == status, answer.text
    assert [each.get("field") for each in answer.json()["details"]] == fields
    assert "RX-9" not in answer.text
