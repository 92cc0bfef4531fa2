"""A day's counts, a package's history, who saw it, reveals, many at once, manifests: over HTTP."""

import csv
import io

import pytest
from core.gateways import update
from waiting import until

from gateway.clock import SteppingClock
from gateway.testing import Receiver

TOML = """
[plugins.json_api]
[plugins.webhooks]
[[sites]]
code = "main"
name = "Lakeside"
timezone = "America/Toronto"
country = "CA"
"""
ORDER = {
    "patient_name": "Maria Rodriguez",
    "patient_address": "123 Main St, Toronto",
    "patient_phone": "+14165550123",
    "rx_number": "RX-8872341",
    "copay_amount": 12.5,
}


@pytest.fixture
def clock():
    return SteppingClock()


@pytest.fixture
async def running(harness, clock):
    async with harness(TOML, clock) as opened:
        opened.key = await opened.issue_key()
        yield opened


async def ordered(running, **more):
    answer = await running.post("/api/webhook/orders", running.key, {"orders": [ORDER | more]})
    return answer.json()["package_ids"][0]


async def test_a_day_is_counted_by_status_and_by_the_sites_hours(running):
    package_id = await ordered(running)
    await ordered(running, delivery_date="2026-01-02")
    caller = running.caller()
    await running.gateway.tracking.apply(caller, update(package_id, "delivery.completed"))
    day = (await running.get("/api/day", running.key)).json()
    next_day = (await running.get("/api/day?on=2026-01-02", running.key)).json()

    # The clock stands at midnight UTC, which is seven in the evening at the site.
    assert (day["date"], day["timezone"]) == ("2025-12-31", "America/Toronto")
    assert (day["packages"], day["has_more"]) == (1, False)
    assert day["by_status"] == {"completed": 1}
    busy = [each for each in day["by_hour"] if each["delivered"]]
    assert busy == [{"starts_at": "2025-12-31T19:00-05:00", "delivered": 1}]
    assert len(day["by_hour"]) == 24
    assert (next_day["date"], next_day["by_status"]) == ("2026-01-02", {"created": 1})


@pytest.mark.parametrize("on", ["0001-01-01", "1999-12-31", "2201-01-01", "9999-12-31"])
async def test_a_day_that_no_one_can_mean_is_refused(running, on):
    answer = await running.get(f"/api/day?on={on}", running.key)

    assert (answer.status_code, answer.json()["error"]) == (400, "There is no such day.")
    assert answer.json()["details"] == [
        {"message": "expected a day of the years 2000 to 2100", "field": "on"}
    ]


async def test_a_history_has_who_reported_each_step_and_what_each_endpoint_answered(running, clock):
    async with Receiver() as works, Receiver([502]) as fails:
        for name, each in (("Clinic", works), ("Courier", fails)):
            body = {"description": name, "url": each.url, "events": ["package.created"]}
            made = await running.post("/api/webhooks/endpoints", running.key, body)
            assert made.status_code == 201, made.text
        package_id = await ordered(running)

        async def settled():
            path = f"/api/packages/{package_id}/history"
            history = (await running.get(path, running.key)).json()
            endpoints = history["steps"][0]["endpoints"]
            return history if all(each["status"] for each in endpoints) else None

        history = await until(settled)

    [step] = history["steps"]
    assert (history["package_id"], history["status"]) == (package_id, "created")
    assert (step["event"], step["actor_name"], step["file_ids"]) == ("package.created", "test", [])
    heard = [
        (each["endpoint_name"], each["state"], each["status"], each["attempts"])
        for each in step["endpoints"]
    ]
    assert heard == [("Clinic", "delivered", 200, 1), ("Courier", "pending", 502, 1)]
    assert step["endpoints"][1]["next_attempt_at"] is not None


async def test_a_reveal_has_its_purpose_in_the_trail_and_shows_who_saw_the_package(running):
    package_id = await ordered(running)
    path = f"/api/packages/{package_id}"
    revealed = await running.post(f"{path}/reveal", running.key, {"purpose": "care"})
    again = await running.post(f"{path}/reveal", running.key, {"purpose": "care"})
    nonsense = await running.post(f"{path}/reveal", running.key, {"purpose": "curiosity"})
    masked = await running.issue_key(scopes=["packages.read"])
    refused = await running.post(f"{path}/reveal", masked, {"purpose": "care"})
    half = await running.issue_key(scopes=["packages.read", "reveal.contact"])
    contact = await running.post(f"{path}/reveal", half, {"purpose": "delivery"})
    await running.gateway.audit.drained()
    seen = (await running.get(f"{path}/accesses", running.key)).json()["accesses"]

    assert revealed.json()["order"]["patient_name"] == "Maria Rodriguez"
    assert (again.status_code, nonsense.status_code, refused.status_code) == (200, 400, 403)
    assert "reveal.contact" in refused.json()["error"]
    assert contact.json()["order"]["patient_phone"] == "+14165550123"
    assert contact.json()["order"]["rx_number"] == "…2341"
    rows = [(each["action"], each["purpose"], each["fields"]) for each in seen]
    assert rows == [  # newest first; the second reveal is folded into the first
        ("package.revealed", "delivery", ["contact", "identity"]),
        ("package.revealed", "care", ["contact", "identity", "rx"]),
    ]
    assert {each["actor_name"] for each in seen} == {"test"}


async def test_a_dry_run_shows_what_a_change_of_many_would_do_and_changes_nothing(running):
    package_id = await ordered(running)
    body = {"action": "ready", "package_ids": [package_id, "pkg_0"], "dry_run": True}
    shown = (await running.post("/api/packages/bulk", running.key, body)).json()
    before = (await running.get(f"/api/packages/{package_id}", running.key)).json()["status"]
    done = await running.post("/api/packages/bulk", running.key, body | {"dry_run": False})
    after = (await running.get(f"/api/packages/{package_id}", running.key)).json()["status"]

    assert (shown["changed"], shown["failed"], before, after) == (1, 1, "created", "ready")
    unknown = {"package_id": "pkg_0", "status": None, "leads_to": None}
    assert done.json()["packages"][1] == unknown | {"error": "There is no such package."}


async def test_a_manifest_has_no_drug_and_no_rx_number_and_is_logged_as_a_print(running, clock):
    formula = await ordered(running, patient_name="=cmd()", external_order_id="SO-2")
    clock.step(1)  # ids of one moment have no order
    package_id = await ordered(running)
    ids = {"package_ids": [package_id, formula]}
    sheet = await running.post("/api/packages/manifest?as_csv=true", running.key, ids)
    stops = (await running.post("/api/packages/manifest", running.key, ids)).json()["stops"]
    await running.gateway.audit.drained()
    seen = (await running.get(f"/api/packages/{package_id}/accesses", running.key)).json()

    rows = list(csv.DictReader(io.StringIO(sheet.text)))
    assert "8872341" not in sheet.text
    assert [each["patient_name"] for each in rows] == ["'=cmd()", "Maria Rodriguez"]
    assert rows[1]["patient_phone"] == "+14165550123"
    assert (stops[1]["prescriptions"], stops[1]["copay_amount"]) == (1, 12.5)
    assert {each["kind"] for each in seen["accesses"]} == {"print"}


async def test_a_bag_label_says_where_the_bag_goes_and_its_code_is_the_packages_id(running):
    package_id = await ordered(running)
    unseen = await running.issue_key(scopes=("packages.read",))

    sent = {"package_ids": [package_id, "pkg_unknown"]}
    answer = await running.post("/api/packages/labels", running.key, sent)
    refused = await running.post("/api/packages/labels", unseen, sent)
    too_many = await running.post(
        "/api/packages/labels", running.key, {"package_ids": ["pkg_1"] * 101}
    )
    await running.gateway.audit.drained()
    seen = (await running.get(f"/api/packages/{package_id}/accesses", running.key)).json()

    [label] = answer.json()["labels"]
    assert (label["code"], label["patient_name"]) == (package_id, "Maria Rodriguez")
    assert "8872341" not in answer.text
    assert "4165550123" not in answer.text
    assert (refused.status_code, too_many.status_code) == (403, 400)
    assert [each["action"] for each in seen["accesses"]] == ["bag_label.printed"]


@pytest.mark.parametrize(("path", "rows"), [("labels", "labels"), ("manifest", "stops")])
async def test_an_erased_package_is_on_no_label_and_no_manifest(running, clock, path, rows):
    package_id = await ordered(running)
    for step in ("delivery.picked_up", "delivery.completed"):
        await running.gateway.tracking.apply(running.caller(), update(package_id, step))
    clock.step(91 * 86_400)
    await running.gateway.housekeeper.prune("test")
    another = await ordered(running)

    sent = {"package_ids": [package_id, another]}
    answer = await running.post(f"/api/packages/{path}", running.key, sent)

    assert answer.status_code == 200, answer.text
    assert package_id not in answer.text
    assert len(answer.json()[rows]) == 1


async def test_an_order_is_corrected_field_by_field_and_only_in_the_pharmacy(running):
    package_id = await ordered(running)
    path = f"/api/packages/{package_id}"
    changes = {"patient_address": "9 New St", "delivery_date": "2026-01-05", "copay_amount": None}
    done = await running.request("PATCH", path, running.key, {"order": changes})
    after = (await running.get(path, running.key)).json()
    both = {"order": {"notes": "x"}, "needs_person": True}
    refusals = [
        (await running.request("PATCH", path, running.key, body)).status_code
        for body in (both, {"order": {}}, {"order": {"rx_number": "RX-1"}})
    ]
    await running.gateway.tracking.apply(running.caller(), update(package_id, "delivery.picked_up"))
    late = await running.request("PATCH", path, running.key, {"order": {"notes": "x"}})

    assert sorted(done.json()["changed"]) == sorted(changes)
    assert (after["patient_address"], after["patient_name"]) == ("9 New St", "Maria Rodriguez")
    assert (after["delivery_date"], after["copay_amount"]) == ("2026-01-05", None)
    assert (refusals, late.status_code) == ([400, 400, 400], 409)
