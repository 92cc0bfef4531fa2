"""Two hundred labelled prescriptions: made-up people, real drugs, half of them fine.

``tests/data/rx`` holds them with a catalog in the layout of Health Canada's extract.
"""

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from gateway_rx_queue.drugs import catalog as drugs
from gateway_rx_queue.drugs.dpd import Extract

from gateway.testing import SteppingClock

DATA = Path(__file__).parents[2] / "data" / "rx"
TOML = """
[plugins.rx_queue]
[limits]
orders_requests_per_minute = 100000
orders_per_hour = 1000000
reads_per_minute = 100000
"""
TODAY = datetime(2026, 11, 22, 12, tzinfo=UTC)
FHIR = {"Content-Type": "application/fhir+json"}
# What shows that a fault of this kind was found: another reason would be luck.
FOUND_BY = {
    "wrong_drug": {
        "din_name_mismatch",
        "drug_not_found",
        "veterinary_product",
        "din_discontinued",
    },
    "wrong_strength": {"strength_mismatch"},
    "wrong_person": {
        "patient_not_found",
        "demographics_mismatch",
        "patient_ambiguous",
        "patient_deceased",
        "unmapped_instruction",
    },
    "controlled": {"controlled_substance"},
}
# What has nothing to do with the fault that the label names.
MOST_FALSE_ALARMS = 0


@pytest.fixture
def clock():
    made = SteppingClock()
    made.step((TODAY - made.now()).total_seconds())
    return made


@pytest.fixture
async def loaded(harness, clock):
    async with harness(TOML, clock) as gateway:
        extract = Extract()
        for path in sorted(DATA.glob("*.txt")):
            extract.read(path)
        extract.check()
        async with gateway.gateway.database.begin() as connection:
            await drugs.replace(connection, extract.drugs(), 0, extract.dated)
        yield gateway, await gateway.issue_key()


async def reasons_of(gateway, key, queue_ids):
    found = {}
    for queue_id in queue_ids:
        shown = (await gateway.get(f"/api/rx/{queue_id}", key)).json()
        found[queue_id] = [each["code"] for each in shown["reasons"]]
    return found


async def test_no_dangerous_fault_is_missed_and_few_fine_ones_are_held(loaded):
    gateway, key = loaded
    rows = json.loads((DATA / "prescriptions.json").read_text(encoding="utf-8"))
    missed, alarms = [], []
    for start in range(0, len(rows), 50):
        batch = [
            {
                "external_id": f"L-{start + place}",
                "prescriber": {"name": "Dr. Lee"},
                "patient": row["patient"],
                "medication": row["medication"],
            }
            for place, row in enumerate(rows[start : start + 50])
        ]
        answer = await gateway.post("/api/rx", key, {"prescriptions": batch})
        results = answer.json()["results"]
        found = await reasons_of(gateway, key, [each["queueId"] for each in results])
        for row, result in zip(rows[start : start + 50], results, strict=True):
            codes, label = found[result["queueId"]], row["label"]
            if label == "fine" and codes:
                alarms.append((row["medication"]["drug_text"], codes))
            if label != "fine" and not FOUND_BY[label] & set(codes):
                missed.append((label, row["medication"], codes))

    assert Counter(row["label"] for row in rows)["fine"] == 100
    assert missed == []
    assert len(alarms) <= MOST_FALSE_ALARMS, alarms  # docs/explanation/rx-rules.md says how many


async def test_no_other_person_is_taken_for_the_patient_of_a_bundle(loaded):
    gateway, key = loaded
    missed = []
    for place, bundle in enumerate(json.loads((DATA / "wrong_person_fhir.json").read_text())):
        answer = await gateway.post("/api/rx", key, bundle, FHIR)
        if answer.status_code == 400:
            continue
        assert answer.status_code == 202, answer.text
        [codes] = (await reasons_of(gateway, key, answer.json()["queueIds"])).values()
        if not FOUND_BY["wrong_person"] & set(codes):
            missed.append((place, codes))

    assert missed == []
