"""A manifest has what a driver needs and no drug; each planner gets its own columns."""

import csv
import io

import pytest

BAG = {
    "prescriptions": [
        {"rx_number": "RX-8872341", "refrigerated": True, "copay_amount": 4.5},
        {"rx_number": "RX-8872342", "copay_amount": 8},
    ],
    "requires_signature": True,
    "notes": "ring twice",
}


@pytest.fixture
async def on_the_road(day):
    mine, other, _ = await day.bags([BAG, {"rx_number": "RX-9"}, {"rx_number": "RX-10"}])
    await day.report(
        [
            {"package_id": mine, "event": "delivery.assigned", "driver_id": "drv_1"},
            {"package_id": other, "event": "delivery.picked_up", "driver_id": "drv_2"},
        ]
    )
    return mine


async def test_a_driver_gets_name_address_phone_signature_and_copay(day, on_the_road):
    shown = await day.get("manifest?driver=drv_1")

    assert shown["copay_due"] == 12.5
    assert shown["stops"] == [
        {
            "package_id": on_the_road,
            "status": "assigned",
            "driver_id": "drv_1",
            "patient_name": "Maria Rodriguez",
            "patient_address": "12 Queen St W, Toronto, ON M5H 2M9",
            "patient_phone": "+14165550123",
            "prescriptions": 2,
            "requires_signature": True,
            "refrigerated": True,
            "copay_amount": 12.5,
            "priority": "routine",
            "delivery_date": None,
            "notes": "ring twice",
        }
    ]


@pytest.mark.parametrize("layout", ["plain", "circuit", "onfleet", "optimoroute"])
async def test_no_layout_names_a_prescription(day, on_the_road, layout):
    answer = await day.gateway.get(
        f"/api/reports/manifest?as_csv=true&layout={layout}&driver=drv_1", day.key
    )

    assert "8872341" not in answer.text
    head, stop = csv.reader(io.StringIO(answer.text.removeprefix("\ufeff")))
    assert on_the_road in stop
    assert "14165550123" in stop
    assert "12 Queen St W, Toronto, ON M5H 2M9" in stop
    assert len(head) == len(stop)


async def test_without_a_driver_all_drivers_are_listed(day, on_the_road):
    assert [each["driver_id"] for each in (await day.get("manifest"))["stops"]] == [
        "drv_1",
        "drv_2",
    ]


async def test_an_unknown_layout_is_refused(day):
    answer = await day.gateway.get("/api/reports/manifest?layout=none", day.key)

    assert answer.status_code == 400
    assert answer.json()["details"][0]["field"] == "layout"


async def test_a_manifest_needs_the_right_to_see_contacts(day):
    key = await day.gateway.issue_key(scopes=("packages.read",))

    assert (await day.gateway.get("/api/reports/manifest", key)).status_code == 403
