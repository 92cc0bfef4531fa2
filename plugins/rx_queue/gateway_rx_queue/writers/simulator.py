"""The writer ``simulator``: writes nothing; its outcome comes from the prescription's text.

``simulate:fail``, ``simulate:except``, ``simulate:retry=2`` (that many attempts fail) and
``simulate:delay=1.5`` (seconds), anywhere in ``medication.drug_text`` or ``external_id``;
without these every write succeeds.
"""

import asyncio
import re
from collections.abc import Sequence
from typing import Final

from gateway_rx_queue.extension_points import RxWriter, WriteJob, WriteOutcome
from gateway_rx_queue.model import Reason

_WISH: Final = re.compile(r"simulate:(fail|except|retry|delay)(?:=(\d{1,4}(?:\.\d{1,3})?))?")


async def write(jobs: Sequence[WriteJob]) -> list[WriteOutcome]:
    """Return the outcome that each job's text asks for."""
    return [await _written(job) for job in jobs]


async def _written(job: WriteJob) -> WriteOutcome:
    text = f"{job.prescription.medication.drug_text or ''} {job.prescription.external_id or ''}"
    wishes = {found[1]: float(found[2] or 1) for found in _WISH.finditer(text)}
    if "delay" in wishes:
        await asyncio.sleep(wishes["delay"])
    if "fail" in wishes:
        return WriteOutcome(outcome="failed", reason="simulated_failure")
    if "except" in wishes and job.idempotency_token.endswith("-0"):
        reason = Reason(code="patient_ambiguous", message="The simulator was asked to except this.")
        return WriteOutcome(outcome="excepted", reasons=(reason,))
    if job.attempt <= wishes.get("retry", 0):
        return WriteOutcome(outcome="retry", reason="simulated_trouble")
    return WriteOutcome(outcome="completed")


SIMULATOR: Final = RxWriter("simulator", write, max_in_flight=8)
