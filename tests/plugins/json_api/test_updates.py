"""Delivery updates: one at a time and in batches."""

import pytest

PLUGINS = "[limits]\nreads_per_minute = 100000\n[plugins.json_api]\n"


@pytest.fixture
async def gateway(harness):
    async with harness(PLUGINS) as running:
        yield running


@pytest.fixture
async def key(gateway):
    return await gateway.issue_key()


@pytest.fixture
async def package_id(gateway, key):
    order = {"patient_name": "A. Smith", "patient_address": "1 Ocean Dr", "rx_number": "RX-1"}
    answer = await gateway.post("/api/webhook/orders", key, {"orders": [order]})
    return answer.json()["package_ids"][0]


async def _report(gateway, key, package_id, **update):
    return await gateway.post(f"/api/packages/{package_id}/events", key, update)


async def test_an_update_moves_the_package_and_answers_with_the_event(gateway, key, package_id):
    answer = await _report(gateway, key, package_id, event="delivery.picked_up", driver_id="d1")

    body = answer.json()
    assert answer.status_code == 200
    assert body == {
        "event_id": body["event_id"],
        "package_id": package_id,
        "status": "picked_up",
    }
    assert body["event_id"].startswith("evt_")


async def test_the_same_event_ref_again_gives_the_same_answer_and_no_new_event(
    gateway, key, package_id
):
    update = {"event": "delivery.assigned", "event_ref": "app-1"}
    first = await _report(gateway, key, package_id, **update)
    await _report(gateway, key, package_id, event="delivery.picked_up")
    again = await _report(gateway, key, package_id, **update)

    assert again.json() == first.json()
    timeline = (await gateway.get(f"/api/packages/{package_id}/events", key)).json()["events"]
    kinds = [each["event"] for each in timeline]
    assert kinds == ["package.created", "delivery.assigned", "delivery.picked_up"]


async def test_going_back_is_409_and_says_where_the_package_is(gateway, key, package_id):
    await _report(gateway, key, package_id, event="delivery.completed")
    answer = await _report(gateway, key, package_id, event="delivery.picked_up")

    assert answer.status_code == 409
    sentence = "The package is completed; delivery.picked_up can't follow."
    assert answer.json() == {"error": sentence, "code": "conflict", "details": []}


async def test_late_news_is_in_the_timeline_and_changes_nothing(gateway, key, package_id):
    done = {"event": "delivery.completed", "occurred_at": "2026-04-19T18:41:57Z"}
    await _report(gateway, key, package_id, **done)
    late = {"event": "delivery.arrived", "occurred_at": "2026-04-19T18:30:00Z"}
    answer = await _report(gateway, key, package_id, **late)

    assert answer.json()["status"] == "completed"
    timeline = (await gateway.get(f"/api/packages/{package_id}/events", key)).json()["events"]
    assert [(each["event"], each["late"]) for each in timeline] == [
        ("package.created", False),
        ("delivery.completed", False),
        ("delivery.arrived", True),
    ]


async def test_a_batch_is_judged_one_by_one(gateway, key, package_id):
    events = [
        {"package_id": package_id, "event": "delivery.out_for_delivery"},
        {"package_id": package_id, "event": "delivery.teleported"},
        {"package_id": "pkg_none", "event": "delivery.completed"},
        {"event": "delivery.completed"},
        "no update",
        {"package_id": package_id, "event": "completed", "copay_collected": 0},
    ]

    answer = await gateway.post("/api/delivery-events", key, {"events": events})

    body = answer.json()
    assert answer.status_code == 200
    assert body["accepted"] == 2
    kinds = [each["status"] for each in body["results"]]
    assert kinds == ["applied", "rejected", "rejected", "rejected", "rejected", "applied"]
    assert body["results"][5]["package_status"] == "completed"
    assert body["results"][1]["errors"][0]["field"] == "event"
    assert body["results"][2]["errors"] == [{"message": "There is no such package."}]
    assert body["results"][3]["errors"] == [
        {"message": "package_id is required", "field": "package_id"}
    ]
    assert body["results"][4]["errors"] == [{"message": "An update must be a JSON object."}]


async def test_a_batch_of_which_nothing_is_acceptable_is_400(gateway, key):
    answer = await gateway.post("/api/delivery-events", key, {"events": [{}]})

    assert answer.status_code == 400
    assert answer.json()["error"] == "None of the updates can be accepted."


@pytest.mark.parametrize(
    ("update", "field"),
    [
        ({"event": "package.created"}, "event"),
        ({"event": "delivery.completed", "copay_collected": 12.345}, "copay_collected"),
        ({"event": "delivery.completed", "copay_method": "beads"}, "copay_method"),
        ({"event": "delivery.failed", "failure_reason": "dog"}, "failure_reason"),
        ({"event": "delivery.failed", "occurred_at": "2026-04-19T18:41:57"}, "occurred_at"),
        ({"event": "delivery.failed", "notes": "x" * 2001}, "notes"),
    ],
)
async def test_a_faulty_update_names_the_field(gateway, key, package_id, update, field):
    answer = await _report(gateway, key, package_id, **update)

    assert answer.status_code == 400
    assert [each["field"] for each in answer.json()["details"]] == [field]


async def test_the_catalog_lists_the_event_types(gateway, key):
    entries = (await gateway.get("/api/event-types", key)).json()["event_types"]

    by_type = {entry["type"]: entry for entry in entries}
    assert {"package.created", "delivery.completed", "endpoint.disabled"} <= by_type.keys()
    assert by_type["delivery.completed"]["sample"]["copay_collected"] == 12.5
    assert all(entry["meaning"] and entry["schema"] for entry in entries)
