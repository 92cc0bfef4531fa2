"""The prescription queue of the demo, and its agent beside the pharmacy's software.

The agent writes clear prescriptions, and asks a person when two patients match.
"""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any, Final

from gateway.demo.calls import Program
from gateway.demo.paper import can_draw, fax_page

_LEASE_WAIT_SECONDS: Final = 5
_TWO_FIT: Final = "Whitfield"


def _one(
    number: int,
    patient: tuple[str, str, str],
    drug: Mapping[str, Any],
    *,
    allergies: Sequence[str] = (),
    **more: Any,
) -> dict[str, Any]:
    first, last, dob = patient
    return {
        "external_id": f"FAX-{number}",
        "source": "fax",
        "patient": {"first_name": first, "last_name": last, "dob": dob, "allergies": allergies},
        "prescriber": {"name": "Dr. Susan Lee", "licence_type": "CPSO", "licence_number": "78214"},
        "medication": drug,
        **more,
    }


def sent_today(today: date) -> Sequence[dict[str, Any]]:
    """Return the day's prescriptions, the oldest first: some clear, some not."""
    written = today.isoformat()
    plain = {"days_supply": 30, "refills": 3, "written_date": written}
    return (
        _one(2231, ("Maria", "Rodriguez", "1961-03-14"),
             {"din": "02242705", "drug_text": "atorvastatin 20 mg tab", "quantity": 30,
              "quantity_unit": "tab", "sig": "1 tab daily", **plain}),
        _one(2232, ("Samuel", "Mensah", "1978-09-30"),
             {"din": "02162822", "drug_text": "metformin 500 mg tab", "quantity": 60,
              "quantity_unit": "tab", "sig": "1 tab twice daily", **plain}),
        _one(2233, ("Dorothy", "Whitfield", "1944-01-22"),
             {"din": "02242705", "drug_text": "atorvastatin 20 mg tab", "quantity": 30,
              "quantity_unit": "tab", "sig": "1 tab daily", **plain}),
        _one(2234, ("Ravi", "Subramaniam", "1969-11-02"),
             {"din_candidates": ["02242705", "02242706"], "drug_text": "atorvastatin tab",
              "quantity": 30, "quantity_unit": "tab", "sig": "1 tab daily", **plain}),
        _one(2235, ("Helga", "Brandt", "1952-06-18"),
             {"din": "02247917", "drug_text": "ramipril 10 mg cap",
              "quantity_unit": "cap", "sig": "1 cap daily",
              **plain},
             confidence={"medication.drug_text": 0.61, "patient.last_name": 0.97}),
        _one(2236, ("Patrick", "Omalley", "1988-12-05"),
             {"din": "00125083", "drug_text": "hydromorphone 2 mg tab",
              "quantity": 20, "quantity_unit": "tab",
              "sig": "1 tab every 6 hours as needed for pain", "days_supply": 5, "refills": 0,
              "written_date": written, "controlled": True}),
        _one(2237, ("Rosa", "Delgado", "1990-04-27"),
             {"din": "00628123", "drug_text": "amoxicillin 500 mg cap",
              "quantity": 21, "quantity_unit": "cap",
              "sig": "1 cap three times daily", "days_supply": 7, "refills": 0,
              "written_date": (today - timedelta(days=1)).isoformat()},
             allergies=["penicillin"]),
    )  # fmt: skip


async def send(emr: Program, sent: Mapping[str, Any], site: str) -> None:
    """Send a prescription with the page that it was read from."""
    taken = await emr.post("/api/rx", {"site": site, **sent})
    if can_draw():
        path = f"/api/rx/{taken['queueId']}/files"
        await emr.upload(path, "page-1.png", "image/png", fax_page(sent))


class Agent:
    """The program that writes jobs into the pharmacy's software, and reports."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._asked: set[str] = set()

    async def work_once(self, *, patient: bool = False) -> int:
        """Lease the queued jobs, and report each; returns their number.

        With ``patient`` it waits some seconds for the first.
        """
        wait = _LEASE_WAIT_SECONDS if patient else 0
        leased = await self._program.post("/api/rx/lease", {"max": 10, "wait_seconds": wait})
        for job in leased["jobs"]:
            await self._program.post(f"/api/rx/{job['queueId']}/result", self._result_of(job))
        return len(leased["jobs"])

    def _result_of(self, job: Mapping[str, Any]) -> dict[str, Any]:
        result: dict[str, Any] = {"lease_token": job["lease_token"], "outcome": "completed"}
        patient = job["prescription"]["patient"]
        if patient["last_name"] == _TWO_FIT and job["queueId"] not in self._asked:
            self._asked.add(job["queueId"])
            return {**result, "outcome": "excepted", "reasons": [_two_patients(job)]}
        return result


def _two_patients(job: Mapping[str, Any]) -> dict[str, Any]:
    name = "{first_name} {last_name}".format(**job["prescription"]["patient"])
    return {
        "code": "patient_ambiguous",
        "field": "patient.external_patient_id",
        "message": "Two patients of this name are in the pharmacy's software.",
        "candidates": [
            {
                "value": "P-1044",
                "label": f"{name}, born 22 Jan 1944",
                "evidence": {"address": "Broadview Ave", "prior_fill": "atorvastatin 20 mg"},
            },
            {
                "value": "P-3192",
                "label": f"{name}, born 22 Jan 1947",
                "evidence": {"address": "Dundas St W"},
            },
        ],
    }
