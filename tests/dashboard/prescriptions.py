"""Prescriptions that wait for review, made up: a catalog, earlier fills, a page of a fax."""

from datetime import UTC, datetime, timedelta

from gateway_rx_queue.drugs import catalog
from gateway_rx_queue.extension_points import Drug
from pictures import body, saved
from PIL import Image, ImageDraw

from gateway.plugin import to_epoch_ms

DINS = ("02230713", "02295288", "02310899")
NAMES = ("LIPITOR 20 MG", "APO-ATORVASTATIN 20 MG", "TEVA-ATORVASTATIN 20 MG")
DRUGS = [
    Drug(
        din=din,
        name=name,
        ingredients=("ATORVASTATIN",),
        strength="20 MG",
        form="TABLET",
        schedules=("Prescription",),
    )
    for din, name in zip(DINS, NAMES, strict=True)
]


def prescription(number=1, **medication):
    """Return one whose product the sender could not decide, and whose directions are unsure."""
    drug = {
        "din_candidates": list(DINS),
        "drug_text": "atorvastatin 20 mg tab",
        "quantity": 90,
        "quantity_unit": "tab",
        "days_supply": 90,
        "sig": "1 tab daily",
        "refills": 3,
        "written_date": datetime.now(UTC).date().isoformat(),
        **medication,
    }
    return {
        "external_id": f"FAX-2231-{number}",
        "site": "lakeside",
        "source": "fax",
        "patient": {
            "external_patient_id": f"P-{number}",
            "first_name": "Ana",
            "last_name": "Silva",
            "dob": "1950-02-01",
            "province": "ON",
            "allergies": ["penicillin"],
        },
        "prescriber": {"name": "Dr. Lee", "licence_type": "CPSO", "licence_number": "54321"},
        "medication": {name: value for name, value in drug.items() if value is not None},
        "confidence": {
            "medication.sig": 0.62,
            "medication.drug_text": 0.97,
            "medication.quantity": 0.99,
        },
    }


async def load_catalog(running):
    """Put the three products into the drug catalog."""
    now = datetime.now(UTC)
    async with running.gateway.database.begin() as connection:
        await catalog.replace(connection, DRUGS, to_epoch_ms(now), now.date() - timedelta(days=9))


async def submit(running, key, sent):
    """Hand a prescription in; returns its queue id."""
    answer = await running.post("/api/rx", key, sent)
    assert answer.status_code == 202, answer.text
    return answer.json()["queueId"]


async def written(running, key, outcome="completed", **more):
    """Lease what is due, as an agent does, and report it; returns the leased jobs."""
    answer = await running.post("/api/rx/lease", key, {"max": 10})
    jobs = answer.json()["jobs"]
    for job in jobs:
        report = {"lease_token": job["lease_token"], "outcome": outcome, **more}
        answer = await running.post(f"/api/rx/{job['queueId']}/result", key, report)
        assert answer.status_code == 200, answer.text
    return jobs


async def fax_page(running, key, queue_id):
    """Send the page that a prescription came on."""
    page = Image.new("L", (850, 1100), 250)
    pen = ImageDraw.Draw(page)
    lines = ("DR. LEE, CPSO 54321", "", "Ana Silva, 1950-02-01", "", "Rx", "atorvastatin 20 mg",
             "1 tab hs", "90 (ninety), refills 3")  # fmt: skip
    for place, line in enumerate(lines):
        pen.text((90, 120 + 70 * place), line, fill=20, font_size=36)
    pen.line((90, 960, 480, 930), fill=30, width=4)
    content, headers = body(saved(page, "PNG"), name="page-1.png")
    answer = await running.request("POST", f"/api/rx/{queue_id}/files", key, content, headers)
    assert answer.status_code == 201, answer.text
