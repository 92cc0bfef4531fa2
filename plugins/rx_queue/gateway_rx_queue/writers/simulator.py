"""A writer for trying out: it writes nowhere, and does what a prescription's text asks of it.

``simulate:fail``, ``simulate:except``, ``simulate:retry=2`` (that many tries don't work) and
``simulate:delay=1.5`` (seconds), anywhere in ``medication.drug_text`` or ``external_id``;
without any of these every write succeeds.
"""

import asyncio
import re
from collections.abc import Sequence
from typing import Final

from gateway_rx_queue.points import Reason, RxWriter, WriteJob, WriteOutcome

_WISH: Final = re.compile(r"simulate:(fail|except|retry|delay)(?:=(\d{1,4}(?:\.\d{1,3})?))?")


async def write(jobs: Sequence[WriteJob]) -> list[WriteOutcome]:
    """Pretend to write each job, as its text asks."""
    return [await _written(job) for job in jobs]


async def _written(job: WriteJob) -> WriteOutcome:
    text = f"{job.prescription.medication.drug_text or ''} {job.prescription.external_id or ''}"
    wishes = {found[1]: float(found[2] or 1) for found in _WISH.finditer(text)}
    if "delay" in wishes:
        await asyncio.sleep(wishes["delay"])
    if "fail" in wishes:
        return WriteOutcome(outcome="failed", reason="simulated_failure")
    if "except" in wishes and job.idempotency_token.endswith("-0"):
        reason = Reason(code="patient_ambiguous", message="The simulator was asked to wonder.")
        return WriteOutcome(outcome="excepted", reasons=(reason,))
    if job.attempt <= wishes.get("retry", 0):
        return WriteOutcome(outcome="retry", reason="simulated_trouble")
    return WriteOutcome(outcome="completed")


SIMULATOR: Final = RxWriter("simulator", write, max_in_flight=8)
